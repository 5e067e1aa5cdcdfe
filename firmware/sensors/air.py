# An air station: PMS5003 or SPS30 (particles), SCD41 (CO2), BME280 (climate), SGP41 (gas indices) -> their means over
# the window, and their newest values.
#
# A chip that fails ends its own task with an error; the supervisor reports it and starts it again, and until then its
# readings are absent. The others go on. What not every station has is imported only where it is: the heap is small.

import asyncio
from time import ticks_ms

from machine import I2C, UART, Pin
from node.config import ConfigError, merge

from sensors.chip import Chip, Series, particles

DEFAULTS = {"particles": "pms5003", "co2": True, "climate": True, "gas": False}

_PARTICLES = ("pms5003", "sps30")
_SECOND_MS = 1_000
_SAMPLE_MS = 5_000


def build(board, given, scratch):
    settings = check(board, given)
    chips = []
    if settings["particles"]:
        chips.append(_counter(settings["particles"], board.PARTICLES))
    bus = I2C(board.I2C["id"], scl=Pin(board.I2C["scl"]), sda=Pin(board.I2C["sda"]), freq=100_000)
    climate = Bme280(bus) if settings["climate"] else None
    if settings["co2"]:
        chips.append(Scd41(bus, climate))
    if climate:
        chips.append(climate)
    if settings["gas"]:
        from sensors.sgp41 import Sgp41

        chips.append(Sgp41(bus, climate))
    return Air(chips)


def check(board, given):
    """The complete settings. Raises ConfigError naming the key."""
    settings = merge(DEFAULTS, given, "sensors.")
    if settings["particles"] is not None and settings["particles"] not in _PARTICLES:
        raise ConfigError("sensors.particles must be one of %s, or null" % ", ".join(_PARTICLES))
    for key in ("co2", "climate", "gas"):
        if not isinstance(settings[key], bool):
            raise ConfigError("sensors.%s must be true or false" % key)
    if not any(settings.values()):
        raise ConfigError("sensors: of particles, co2, climate and gas there must be one")
    return settings


def _counter(name, pins):
    if name == "sps30":
        from drivers.sps30 import BAUD

        from sensors.sps30 import Sps30 as Counter
    else:
        from drivers.pms5003 import BAUD

        Counter = Pms5003
    return Counter(UART(pins["id"], BAUD, tx=pins["tx"], rx=pins["rx"]))


class Pms5003(Chip):
    def __init__(self, uart):
        from drivers import pms5003

        super().__init__("pms5003", pms5003.PMS5003(uart), particles(pms5003.MOST))
        self._warm_up_s = self._cold_s = pms5003.WARM_UP_MS // _SECOND_MS

    async def run(self):
        self.driver.start()
        self._cold_s = self._warm_up_s
        heard = False
        while True:
            await asyncio.sleep_ms(_SECOND_MS)
            while self.poll():
                heard = True  # with its first frame: before, there was perhaps no power for the fan
            if heard and self._cold_s:
                self._cold_s -= 1

    def take(self, values):
        return True if self._cold_s else super().take(values)


class Scd41(Chip):
    """The chip's own heat is in its temperature and humidity: those are the BME280's to tell."""

    def __init__(self, i2c, climate):
        from drivers import scd41

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
            pascal = self._climate and self._climate.now()[2]
            if pascal:
                self.driver.set_pressure(pascal)
            self.poll()


class Bme280(Chip):
    def __init__(self, i2c):
        from drivers import bme280

        # A digit more than the chip resolves, which the mean of many samples can tell.
        series = [
            Series("temperature", "Cel", 2, -40, 85),
            Series("humidity", "%RH", 2, 0, 100),
            Series("pressure", "Pa", 0, 30_000, 110_000),
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

    def take(self, values):
        cel, pascal, humidity = values
        return super().take((cel, humidity, pascal))

    def now(self):
        """(temperature Cel, humidity %RH, pressure Pa), each None while it is not known."""
        now = ticks_ms()
        return [series.newest(now) for series in self.series]


class Air:
    def __init__(self, chips):
        self._chips = chips
        self.tasks = tuple([(chip.name, chip.run) for chip in chips])
        self.on_event = lambda readings: None

    @property
    def rejected(self):
        """How many readings of each chip were not taken since the boot, by the chip's name."""
        return {chip.name: chip.rejected() for chip in self._chips}

    def close_window(self, length_ms):
        self.sample()  # forgets newest values before their ticks wrap
        return [(each.name, each.unit, each.take(each.digits)) for chip in self._chips for each in chip.series]

    def sample(self):
        now = ticks_ms()
        found = []
        for chip in self._chips:
            for each in chip.series:
                value = each.newest(now)
                found.append((each.name, each.unit, value if value is None else round(value, each.digits)))
        return found

    def save(self):
        """There is nothing that must outlive the power."""
