# Two inductive loops in each lane -> its volume, occupancy, speed, length classes, and who drove against it.

import asyncio

from drivers.loops import LoopPair

from sensors.speed import WRONG_WAY_CM_S, Speed

_POLL_MS = 5_000  # edges are told by interrupts; this is for one that was lost
# (name, shorter than so many cm): loops see lengths, not axles
_CLASSES = (
    ("class_motorcycle", 250),
    ("class_short", 600),
    ("class_medium", 1_050),
    ("class_long", 1 << 29),
)
_QUANTITIES = ("volume", "occupancy", "speed") + tuple([name for name, _ in _CLASSES]) + ("wrong_way",)
_UNITS = ("count", "%", "km/h") + ("count",) * (len(_CLASSES) + 1)
_BETWEEN_CM = 250  # cars are longer than the asphalt between two loops, or nothing is known of the wrong way


class LoopLane:
    """`name` is the channel."""

    def __init__(self, name, pins, spacing_cm, loop_cm, unit):
        self._names = [name + "/" + quantity for quantity in _QUANTITIES]
        self._speed = Speed()
        self._classes = [0] * len(_CLASSES)
        self._wrong_way = 0 if spacing_cm - loop_cm <= _BETWEEN_CM else None
        self._loops = LoopPair(pins, spacing_cm, loop_cm, self._vehicle, unit)
        self.poll = self._loops.poll

    def _vehicle(self, cm_s, length_cm):
        if cm_s < 0:
            if -cm_s >= WRONG_WAY_CM_S and self._wrong_way is not None:
                self._wrong_way += 1
            return
        self._speed.add(cm_s)
        if length_cm is not None:
            for i, (_, limit) in enumerate(_CLASSES):
                if length_cm < limit:
                    self._classes[i] += 1
                    break

    def close_window(self, length_ms):
        volume, occupied_us = self._loops.take()
        occupancy = min(100.0, round(occupied_us / (10 * length_ms), 1))
        found = self._readings(volume, occupancy, self._speed.take())
        for i in range(len(_CLASSES)):
            self._classes[i] = 0
        if self._wrong_way:
            self._wrong_way = 0
        return found

    def sample(self):
        """What the window has so far; a loop is under a vehicle now, or not."""
        volume, over = self._loops.now()
        return self._readings(volume, 100.0 if over else 0.0, self._speed.newest())

    def _readings(self, volume, occupancy, speed):
        values = [volume, occupancy, speed] + self._classes + [self._wrong_way]
        return [(self._names[i], _UNITS[i], values[i]) for i in range(len(values))]


class Loops:
    """`counters` is how many pulse counters the chip has."""

    def __init__(self, pins, spacing_cm, loop_cm, counters):
        self._lanes = [
            LoopLane("lane%d" % (i + 1), pair, spacing_cm, loop_cm, i if i < counters else None)
            for i, pair in enumerate(pins)
        ]
        self.tasks = (("loops", self._watch),)
        self.on_event = lambda readings: None

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

    def sample(self):
        found = []
        for lane in self._lanes:
            found += lane.sample()
        return found

    def save(self):
        """There is nothing that must outlive the power."""
