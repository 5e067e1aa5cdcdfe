# The PMS5003 of an air station.

import asyncio

from drivers import pms5003
from micropython import const

from sensors.chip import Chip, particles

_POLL_MS = const(5_000)  # a frame comes each second, or more seldom; a UART's buffer holds eight


class Pms5003(Chip):
    patience = 3

    def __init__(self, uart):
        super().__init__("pms5003", pms5003.PMS5003(uart), particles(pms5003.MOST))
        self._cold_ms = 0

    async def run(self):
        self.driver.start()
        self._cold_ms = pms5003.WARM_UP_MS
        heard = False
        while True:
            await asyncio.sleep_ms(_POLL_MS)
            while self.poll():
                heard = True  # with its first frame: before, there was perhaps no power for the fan
            if heard and self._cold_ms:
                self._cold_ms -= _POLL_MS

    def take(self, values):
        return True if self._cold_ms else super().take(values)
