# An air station: PMS5003 (particles), SCD41 (CO2), BME280 (climate) -> their means over the window.
#
# A chip that fails ends its own task with an error; the supervisor reports it and starts it again, and until then its
# readings are absent. The others go on.

import asyncio

from drivers import bme280, pms5003, scd41
from machine import I2C, UART, Pin
from node.config import merge

from sensors.mean import Mean

DEFAULTS = {}

_SAMPLE_MS = 5_000
_FRAME_MS = 1_000
_SILENT_FRAMES = 10


def build(board, given):
    merge(DEFAULTS, given, "sensors.")
    bus = I2C(board.I2C["id"], scl=Pin(board.I2C["scl"]), sda=Pin(board.I2C["sda"]), freq=100_000)
    serial = UART(board.PMS5003["id"], pms5003.BAUD, tx=board.PMS5003["tx"], rx=board.PMS5003["rx"])
    return Air(bus, serial)


class Air:
    def __init__(self, i2c, uart):
        self._pms = pms5003.PMS5003(uart)
        self._scd = scd41.SCD41(i2c)
        self._bme = bme280.BME280(i2c)
        self._pressure_pa = None
        # (name, unit, digits, mean): a digit more than the chips resolve, which the mean of many samples can tell
        self._means = [
            (name, unit, digits, Mean())
            for name, unit, digits in (
                ("pm1_0", "ug/m3", 1),
                ("pm2_5", "ug/m3", 1),
                ("pm10", "ug/m3", 1),
                ("co2", "ppm", 1),
                ("temperature", "Cel", 2),
                ("humidity", "%RH", 2),
                ("pressure", "Pa", 0),
            )
        ]
        self.tasks = (("pms5003", self._particles), ("scd41", self._carbon), ("bme280", self._climate))

    def _add(self, first, values):
        for i, value in enumerate(values):
            self._means[first + i][3].add(value)

    async def _particles(self):
        self._pms.start()
        await asyncio.sleep_ms(pms5003.WARM_UP_MS)
        while self._pms.read():
            pass  # what came while the fan was starting
        silent = 0
        while True:
            found = self._pms.read()
            silent = 0 if found else silent + 1
            while found:
                self._add(0, found)
                found = self._pms.read()
            if silent == _SILENT_FRAMES:
                raise OSError(110, "no frame for %d s, %d garbled so far" % (_SILENT_FRAMES, self._pms.garbled))
            await asyncio.sleep_ms(_FRAME_MS)

    async def _carbon(self):
        await asyncio.sleep_ms(scd41.POWER_UP_MS)
        self._scd.stop()
        await asyncio.sleep_ms(scd41.STOP_MS)
        self._scd.start()
        while True:
            await asyncio.sleep_ms(_SAMPLE_MS)
            if self._pressure_pa:
                self._scd.set_pressure(self._pressure_pa)
            found = self._scd.read()
            # The chip's own heat is in its temperature and humidity: those are the BME280's to tell.
            if found:
                self._add(3, found[:1])

    async def _climate(self):
        self._bme.start()
        while True:
            self._bme.measure()
            await asyncio.sleep_ms(bme280.MEASURE_MS)
            found = self._bme.read()
            if found:
                cel, self._pressure_pa, humidity = found
                self._add(4, (cel, humidity, self._pressure_pa))
            await asyncio.sleep_ms(_SAMPLE_MS)

    def close_window(self, length_ms):
        return [(name, unit, mean.take(digits)) for name, unit, digits, mean in self._means]
