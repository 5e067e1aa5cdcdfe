# The SCD41 of an air station.

import asyncio

from drivers import scd41
from micropython import const

from sensors.chip import Chip, Series

_SAMPLE_MS = const(10_000)  # each other of its measurements: air does not change so fast


class Scd41(Chip):
    """The chip's own heat is in its temperature and humidity: those are the BME280's to tell."""

    def __init__(self, i2c, climate):
        # 0 is what it says of air that it has not measured.
        super().__init__("scd41", scd41.SCD41(i2c), [Series("co2", "ppm", 1, 1, scd41.MOST)])
        self._waits = scd41.POWER_UP_MS, scd41.STOP_MS
        self._climate = climate

    async def run(self):
        await asyncio.sleep_ms(self._waits[0])
        self.driver.stop()
        await asyncio.sleep_ms(self._waits[1])
        self.driver.start()
        while True:
            await asyncio.sleep_ms(_SAMPLE_MS)
            pascal = self._climate and self._climate.now()[1]
            if pascal:
                self.driver.set_pressure(pascal)
            self.poll()
