# A traffic counter -> volume and speed of each lane. Two inductive loops in each lane tell its occupancy and length
# classes too; a radar beside the road sees both directions without a cut in the asphalt, but no lengths.

from node.checks import merge, whole
from node.files import ConfigError

DEFAULTS = {
    "detector": "loops",
    # loops
    "lanes": 2,
    "spacing_cm": 400,
    "loop_cm": 200,
    # radar
    "line_m": 25,
    "max_m": 100,
    "min_kmh": 5,
    "direction": "both",
    "forbidden": None,
}

_DIRECTIONS = ("receding", "approaching", "both")  # as the chip numbers them


def build(board, given, scratch):
    settings = check(board, given)
    # Only the detector that is used is loaded.
    if settings["detector"] == "radar":
        from sensors.radar import Radar

        forbidden = settings["forbidden"] and _DIRECTIONS.index(settings["forbidden"])
        return Radar(board.RADAR, settings, _DIRECTIONS.index(settings["direction"]), forbidden)
    from sensors.loops import Loops

    lanes = board.LOOPS[: settings["lanes"]]
    return Loops(lanes, settings["spacing_cm"], settings["loop_cm"], board.COUNTERS)


def check(board, given):
    """The complete settings. Raises ConfigError naming the key."""
    settings = merge(DEFAULTS, given, "sensors.")
    if settings["detector"] not in ("loops", "radar"):
        raise ConfigError("sensors.detector must be loops or radar")
    if settings["detector"] == "radar" and not hasattr(board, "RADAR"):
        raise ConfigError("sensors.detector: this board has no pins for a radar")
    whole("sensors.lanes", settings["lanes"], 1, len(board.LOOPS))
    for key in ("spacing_cm", "loop_cm"):
        whole("sensors." + key, settings[key], 50, 2_000)
    whole("sensors.max_m", settings["max_m"], 30, 100)
    whole("sensors.line_m", settings["line_m"], 10, settings["max_m"] - 20)
    whole("sensors.min_kmh", settings["min_kmh"], 1, 120)
    if settings["direction"] not in _DIRECTIONS:
        raise ConfigError("sensors.direction must be one of " + ", ".join(_DIRECTIONS))
    if settings["forbidden"] is not None:
        if settings["forbidden"] not in _DIRECTIONS[:2]:
            raise ConfigError("sensors.forbidden must be receding, approaching or null")
        if settings["direction"] != "both":
            raise ConfigError("sensors.forbidden: sensors.direction must be both")
    return settings
