# An air station: which of PMS5003 or SPS30 (particles), SCD41 (CO2), BME280 (climate) and SGP41 (gas indices) it has.
#
# Each is imported only where it is: the heap is small.

from machine import I2C, UART, Pin
from node.checks import merge
from node.files import ConfigError

DEFAULTS = {"particles": "pms5003", "co2": True, "climate": True, "gas": False}

_PARTICLES = ("pms5003", "sps30")


def build(board, given, scratch):
    settings = check(board, given)
    from sensors.station import Station

    chips = []
    if settings["particles"]:
        chips.append(_counter(settings["particles"], board.PARTICLES))
    bus = I2C(board.I2C["id"], scl=Pin(board.I2C["scl"]), sda=Pin(board.I2C["sda"]), freq=100_000)
    climate = None
    if settings["climate"]:
        from sensors.bme280 import Bme280

        climate = Bme280(bus)
    if settings["co2"]:
        from sensors.scd41 import Scd41

        chips.append(Scd41(bus, climate))
    if climate:
        chips.append(climate)
    if settings["gas"]:
        from sensors.sgp41 import Sgp41

        chips.append(Sgp41(bus, climate))
    return Station(chips)


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

        from sensors.pms5003 import Pms5003 as Counter
    return Counter(UART(pins["id"], BAUD, tx=pins["tx"], rx=pins["rx"]))
