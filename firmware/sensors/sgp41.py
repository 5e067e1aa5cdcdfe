# The SGP41 of an air station: its ticks become indices here, second by second.

import asyncio
from time import ticks_diff, ticks_ms

from drivers import gasindex, sgp41
from micropython import const

from sensors.chip import Chip, Series

_PERIOD_MS = const(1_000)  # what the indices' figures are made for
_CONDITION_MS = const(8_000)  # not the whole 10 s: a TLS handshake, say, may hold the program up in between
_MOST = const(65_000)  # ticks; beyond, and at 0, a pixel is broken


class Sgp41(Chip):
    """`climate` has `now()`, (temperature Cel, pressure Pa, humidity %RH), each None while unknown; or is None."""

    def __init__(self, i2c, climate):
        series = [Series(name, "", 0, 1, 500) for name in ("voc_index", "nox_index")]
        super().__init__("sgp41", sgp41.SGP41(i2c), series)
        self._indices = gasindex.GasIndex(gasindex.VOC), gasindex.GasIndex(gasindex.NOX)
        self._climate = climate

    async def run(self):
        chip = self.driver
        await asyncio.sleep_ms(sgp41.POWER_UP_MS)
        chip.heater_off()
        for index in self._indices:
            index.restart()
        try:
            chip.condition()
            await asyncio.sleep_ms(_CONDITION_MS)
            began = ticks_ms()
            while True:
                cel, _, humidity = self._climate.now() if self._climate else (None, None, None)
                chip.measure(humidity, cel)
                await asyncio.sleep_ms(sgp41.MEASURE_MS)
                self.poll()
                await asyncio.sleep_ms(_PERIOD_MS - ticks_diff(ticks_ms(), began) % _PERIOD_MS)
        finally:
            self._off()  # conditioning must not outlast what ended this

    def _off(self):
        try:
            self.driver.heater_off()
        except OSError:
            pass  # it is why we are here

    def take(self, values):
        for raw in values:
            if not 0 < raw < _MOST:
                return self.reject()
        now = ticks_ms()
        for series, index, raw in zip(self.series, self._indices, values):
            value = index.add(raw)
            if value is not None:
                series.put(value, now)
        return True
