# A traffic counter: two inductive loops in each lane -> volume, occupancy, speed, length classes.

import asyncio

from drivers.loops import LoopPair
from node.config import ConfigError, merge, whole

from sensors.mean import Mean

DEFAULTS = {"lanes": 2, "spacing_cm": 400, "loop_cm": 200}

_POLL_MS = 1_000
# (name, shorter than so many cm): loops see lengths, not axles
_CLASSES = (
    ("class_motorcycle", 250),
    ("class_short", 600),
    ("class_medium", 1_050),
    ("class_long", 1 << 29),
)


def build(board, given):
    settings = merge(DEFAULTS, given, "sensors.")
    lanes = settings["lanes"]
    if not isinstance(lanes, int) or not 1 <= lanes <= len(board.LOOPS):
        raise ConfigError("sensors.lanes must be 1 to %d on this board" % len(board.LOOPS))
    for key in ("spacing_cm", "loop_cm"):
        whole("sensors." + key, settings[key], 50, 2_000)
    return Traffic(board.LOOPS[:lanes], settings["spacing_cm"], settings["loop_cm"])


class Lane:
    """`name` is the channel."""

    def __init__(self, name, pins, spacing_cm, loop_cm):
        self._name = name
        self._speed = Mean()
        self._classes = [0] * len(_CLASSES)
        self._loops = LoopPair(pins, spacing_cm, loop_cm, self._vehicle)
        self.poll = self._loops.poll

    def _vehicle(self, cm_s, length_cm):
        self._speed.add(cm_s)
        if length_cm is not None:
            for i, (_, limit) in enumerate(_CLASSES):
                if length_cm < limit:
                    self._classes[i] += 1
                    break

    def close_window(self, length_ms):
        volume, occupied_us = self._loops.take()
        speed = self._speed.take(3)
        found = [
            (self._name + "/volume", "count", volume),
            (self._name + "/occupancy", "%", min(100.0, round(occupied_us / (10 * length_ms), 1))),
            (self._name + "/speed", "km/h", None if speed is None else round(speed * 0.036, 1)),
        ]
        for i, (name, _) in enumerate(_CLASSES):
            found.append((self._name + "/" + name, "count", self._classes[i]))
            self._classes[i] = 0
        return found


class Traffic:
    """`speed` is the arithmetic mean of the vehicles' speeds at the loops (time mean speed)."""

    def __init__(self, pins, spacing_cm, loop_cm):
        self._lanes = [Lane("lane%d" % (i + 1), pair, spacing_cm, loop_cm) for i, pair in enumerate(pins)]
        self.tasks = (("loops", self._watch),)

    async def _watch(self):
        while True:
            for lane in self._lanes:
                lane.poll()
            await asyncio.sleep_ms(_POLL_MS)

    def close_window(self, length_ms):
        found = []
        for lane in self._lanes:
            found += lane.close_window(length_ms)
        return found
