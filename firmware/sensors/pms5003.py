# The PMS5003 of an air station.

import asyncio

from drivers import pms5003
from micropython import const

from sensors.chip import Chip, particles

_PERIOD_MS = const(1_000)


class Pms5003(Chip):
    def __init__(self, uart):
        super().__init__("pms5003", pms5003.PMS5003(uart), particles(pms5003.MOST))
        self._warm_up_s = self._cold_s = pms5003.WARM_UP_MS // _PERIOD_MS

    async def run(self):
        self.driver.start()
        self._cold_s = self._warm_up_s
        heard = False
        while True:
            await asyncio.sleep_ms(_PERIOD_MS)
            while self.poll():
                heard = True  # with its first frame: before, there was perhaps no power for the fan
            if heard and self._cold_s:
                self._cold_s -= 1

    def take(self, values):
        return True if self._cold_s else super().take(values)
