# A traffic counter -> volume and speed of each lane. Two inductive loops in each lane tell its occupancy and length
# classes too; a radar beside the road sees both directions without a cut in the asphalt, but no lengths.

import asyncio
from time import ticks_diff, ticks_ms

from node.config import ConfigError, merge, whole

from sensors.mean import Mean

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
}

_POLL_MS = 1_000
# (name, shorter than so many cm): loops see lengths, not axles
_CLASSES = (
    ("class_motorcycle", 250),
    ("class_short", 600),
    ("class_medium", 1_050),
    ("class_long", 1 << 29),
)

_DIRECTIONS = ("receding", "approaching", "both")  # as the chip numbers them
_RADAR_POLL_MS = 50
_BLANK_MS = 300  # without a report for so long, there is nothing to see
_ASK_MS = 3_000  # some chips say nothing while they see nothing: then it is asked whether it is there
_AGAIN_MS = 3_000
_PAUSE_MS = 4_000  # the longest time without a word of a chip that is well
_SILENT_MS = 10_000
_WATCHED = 9  # tenths of a window that must have been watched for its volume to be true


def build(board, given, scratch):
    settings = check(board, given)
    if settings["detector"] == "radar":
        return Radar(board.RADAR, settings)
    lanes = board.LOOPS[: settings["lanes"]]
    return Loops(lanes, settings["spacing_cm"], settings["loop_cm"], board.COUNTERS)


def check(board, given):
    """The complete settings. Raises ConfigError naming the key."""
    settings = merge(DEFAULTS, given, "sensors.")
    if settings["detector"] not in ("loops", "radar"):
        raise ConfigError("sensors.detector must be loops or radar")
    if settings["detector"] == "radar" and not hasattr(board, "RADAR"):
        raise ConfigError("sensors.detector: this board has no pins for a radar")
    lanes = settings["lanes"]
    if not isinstance(lanes, int) or not 1 <= lanes <= len(board.LOOPS):
        raise ConfigError("sensors.lanes must be 1 to %d on this board" % len(board.LOOPS))
    for key in ("spacing_cm", "loop_cm"):
        whole("sensors." + key, settings[key], 50, 2_000)
    whole("sensors.max_m", settings["max_m"], 30, 100)
    whole("sensors.line_m", settings["line_m"], 10, settings["max_m"] - 20)
    whole("sensors.min_kmh", settings["min_kmh"], 1, 120)
    if settings["direction"] not in _DIRECTIONS:
        raise ConfigError("sensors.direction must be one of " + ", ".join(_DIRECTIONS))
    return settings


class Speed:
    """Arithmetic mean of the vehicles' speeds where they are counted (time mean speed), and the newest of them."""

    def __init__(self):
        self._mean = Mean()
        self._newest = None

    def add(self, cm_s):
        self._mean.add(cm_s)
        self._newest = cm_s

    def take(self):
        """km/h since the last call; None without a vehicle."""
        return _kmh(self._mean.take(3))

    def newest(self):
        return _kmh(self._newest)


def _kmh(cm_s):
    return None if cm_s is None else round(cm_s * 0.036, 1)


class LoopLane:
    """`name` is the channel."""

    def __init__(self, name, pins, spacing_cm, loop_cm, unit):
        from drivers.loops import LoopPair

        self._name = name
        self._speed = Speed()
        self._classes = [0] * len(_CLASSES)
        self._loops = LoopPair(pins, spacing_cm, loop_cm, self._vehicle, unit)
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
        occupancy = min(100.0, round(occupied_us / (10 * length_ms), 1))
        found = self._readings(volume, occupancy, self._speed.take())
        for i in range(len(_CLASSES)):
            self._classes[i] = 0
        return found

    def sample(self):
        """What the window has so far; a loop is under a vehicle now, or not."""
        volume, over = self._loops.now()
        return self._readings(volume, 100.0 if over else 0.0, self._speed.newest())

    def _readings(self, volume, occupancy, speed):
        found = [
            (self._name + "/volume", "count", volume),
            (self._name + "/occupancy", "%", occupancy),
            (self._name + "/speed", "km/h", speed),
        ]
        for i, (name, _) in enumerate(_CLASSES):
            found.append((self._name + "/" + name, "count", self._classes[i]))
        return found


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


class RadarLane:
    """All vehicles of one direction."""

    def __init__(self, name):
        self._name = name
        self._speed = Speed()
        self._volume = 0

    def vehicle(self, cm_s):
        self._volume += 1
        self._speed.add(cm_s)

    def close_window(self, watched):
        volume, self._volume = self._volume, 0
        return self._readings(volume if watched else None, self._speed.take())

    def sample(self, watched):
        return self._readings(self._volume if watched else None, self._speed.newest())

    def _readings(self, volume, speed):
        return [(self._name + "/volume", "count", volume), (self._name + "/speed", "km/h", speed)]


class Radar:
    """Lane 1 approaches, lane 2 recedes.

    The volume of a window in which the radar was not heard for long is not known.
    """

    def __init__(self, pins, settings):
        from drivers import ld2451
        from machine import UART

        uart = UART(pins["id"], ld2451.BAUD, tx=pins["tx"], rx=pins["rx"], rxbuf=ld2451.RX_BYTES)
        direction = _DIRECTIONS.index(settings["direction"])
        self._chip = ld2451.LD2451(uart, settings["max_m"], direction, settings["min_kmh"])
        self._tracker = ld2451.Tracker(settings["line_m"], settings["max_m"], self._vehicle)
        self._frame_ms = ld2451.FRAME_MS
        self._lanes = {}  # by whether it approaches
        if direction != ld2451.AWAY:
            self._lanes[True] = RadarLane("lane1")
        if direction != ld2451.APPROACHING:
            self._lanes[False] = RadarLane("lane2")
        self._at = ticks_ms()  # of the newest look at the line
        self._late = 0  # ms that have passed and that the tracker has not been told of
        self._heard = False
        self._watched = 0  # ms of the window
        self.tasks = (("radar", self._watch),)
        self.on_event = lambda readings: None

    def _vehicle(self, approaching, cm_s):
        lane = self._lanes.get(approaching)
        if lane:
            lane.vehicle(cm_s)

    async def _watch(self):
        chip = self._chip
        asked = heard = fresh = ticks_ms()
        last = None
        chip.start()
        try:
            while True:
                await asyncio.sleep_ms(_RADAR_POLL_MS)
                was_configured = chip.configured
                targets = chip.read()
                now = ticks_ms()
                if chip.configured and not was_configured:
                    heard = fresh = self._hear(fresh, now)
                if targets is None:
                    self._pass(now)
                while targets is not None:
                    heard = now
                    if not targets or targets != last:
                        fresh = self._hear(fresh, now)
                    last = targets
                    self._tracker.feed(targets, self._elapsed(now, chip.more()))
                    targets = chip.read()
                silent = ticks_diff(now, heard)
                if silent > _SILENT_MS:
                    raise OSError(110, "the radar is silent, %d frames garbled so far" % chip.garbled)
                if ticks_diff(heard, fresh) > _SILENT_MS:
                    raise OSError(5, "the radar repeats itself")
                if (silent > _ASK_MS or not chip.configured) and ticks_diff(now, asked) > _AGAIN_MS:
                    asked = now
                    chip.start()
        finally:
            self._heard = False

    def _hear(self, before, now):
        """It lives; what it saw since `before` is all that there was, if that is not long ago."""
        ms = ticks_diff(now, before)
        if self._heard and ms <= _PAUSE_MS:
            self._watched += ms
        self._heard = True
        return now

    def _elapsed(self, now, more):
        """How many ms after the one before a report came. They come evenly, but are seen a little late, each time so.

        Those that waited behind a busy board, with more to follow, came each in its time.
        """
        self._late += ticks_diff(now, self._at)
        self._at = now
        ms = self._frame_ms
        if not more:
            off = self._late - ms
            ms = self._late if off > _BLANK_MS else max(1, ms + (off >> 3))
        self._late -= ms
        return ms

    def _pass(self, now):
        """Nothing has come."""
        self._late += ticks_diff(now, self._at)
        self._at = now
        if self._late > _BLANK_MS:
            self._tracker.feed((), self._late)
            self._late = 0

    def close_window(self, length_ms):
        # What a quiet chip saw last may not be told yet.
        watched = self._heard and self._watched + _PAUSE_MS >= length_ms * _WATCHED // 10
        self._watched = 0
        found = []
        for approaching in (True, False):
            if approaching in self._lanes:
                found += self._lanes[approaching].close_window(watched)
        return found

    def sample(self):
        found = []
        for approaching in (True, False):
            if approaching in self._lanes:
                found += self._lanes[approaching].sample(self._heard)
        return found

    def save(self):
        """There is nothing that must outlive the power."""
