# The BME280 of an air station.

import asyncio
from time import ticks_ms

from drivers import bme280
from micropython import const

from sensors.chip import Chip, Series

_SAMPLE_MS = const(10_000)  # more often, it would warm itself


class Bme280(Chip):
    def __init__(self, i2c):
        # A digit more than the chip resolves, which the mean of many samples can tell.
        series = [
            Series("temperature", "Cel", 2, -40, 85),
            Series("pressure", "Pa", 0, 30_000, 110_000),
            Series("humidity", "%RH", 2, 0, 100),
        ]
        super().__init__("bme280", bme280.BME280(i2c), series)
        self._measure_ms = bme280.MEASURE_MS

    async def run(self):
        self.driver.start()
        while True:
            self.driver.measure()
            await asyncio.sleep_ms(self._measure_ms)
            self.poll()
            await asyncio.sleep_ms(_SAMPLE_MS)

    def now(self):
        """(temperature Cel, pressure Pa, humidity %RH), each None while it is not known."""
        now = ticks_ms()
        return [series.newest(now) for series in self.series]
