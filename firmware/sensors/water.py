# A water node: what it may be configured to measure.

from node.checks import merge
from node.files import ConfigError

DEFAULTS = {"litres_per_pulse": 1, "reeds": 1, "temperature": False, "tamper": False}


def build(board, given, scratch):
    settings = check(board, given)
    from sensors.meter import Meter

    return Meter(board, settings, scratch)


def check(board, given):
    """The complete settings. Raises ConfigError naming the key."""
    settings = merge(DEFAULTS, given, "sensors.")
    if isinstance(settings["litres_per_pulse"], (bool, float)) or settings["litres_per_pulse"] not in (1, 10, 100):
        raise ConfigError("sensors.litres_per_pulse must be 1, 10 or 100, as the meter's plate says")
    if isinstance(settings["reeds"], (bool, float)) or settings["reeds"] not in (1, 2):
        raise ConfigError("sensors.reeds must be 1, or 2 for a meter that tells the direction")
    for key in ("temperature", "tamper"):
        if not isinstance(settings[key], bool):
            raise ConfigError("sensors.%s must be true or false" % key)
    for key, pin in (("temperature", "ONEWIRE"), ("tamper", "TAMPER")):
        if settings[key] and not hasattr(board, pin):
            raise ConfigError("sensors.%s: this board has no pin for it" % key)
    if settings["reeds"] == 2 and not hasattr(board, "REED_B"):
        raise ConfigError("sensors.reeds: this board has no pin for the second")
    return settings
