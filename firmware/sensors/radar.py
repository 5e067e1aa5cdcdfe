# A radar beside the road -> volume and speed of each direction, and who drives in one that is forbidden.

import asyncio
from time import ticks_diff, ticks_ms

from drivers import ld2451
from machine import UART

from sensors.speed import WRONG_WAY_CM_S, Speed

_POLL_MS = 50
_BLANK_MS = 300  # without a report for so long, there is nothing to see
_ASK_MS = 3_000  # some chips say nothing while they see nothing: then it is asked whether it is there
_AGAIN_MS = 3_000
_PAUSE_MS = 4_000  # the longest time without a word of a chip that is well
_SILENT_MS = 10_000
_WATCHED = 9  # tenths of a window that must have been watched for its volume to be true


class RadarLane:
    """All vehicles of one direction, which may be forbidden."""

    def __init__(self, name, forbidden):
        self._name = name
        self._forbidden = forbidden
        self._speed = Speed()
        self._volume = self._wrong_way = 0

    def vehicle(self, cm_s):
        self._volume += 1
        self._speed.add(cm_s)
        if cm_s >= WRONG_WAY_CM_S:
            self._wrong_way += 1

    def close_window(self, watched):
        found = self._readings(watched, self._speed.take())
        self._volume = self._wrong_way = 0
        return found

    def sample(self, watched):
        return self._readings(watched, self._speed.newest())

    def _readings(self, watched, speed):
        volume = self._volume if watched else None
        found = [(self._name + "/volume", "count", volume), (self._name + "/speed", "km/h", speed)]
        if self._forbidden:
            # Who was seen was there, though others may have been missed; that nobody was is not known.
            wrong_way = self._wrong_way or (0 if watched else None)
            found.append((self._name + "/wrong_way", "count", wrong_way))
        return found


class Radar:
    """Lane 1 approaches, lane 2 recedes. `direction` is which of them is wanted, as the chip numbers it.

    `forbidden` is that in which nobody may drive, or None.

    The volume of a window in which the radar was not heard for long is not known.
    """

    def __init__(self, pins, settings, direction, forbidden):
        uart = UART(pins["id"], ld2451.BAUD, tx=pins["tx"], rx=pins["rx"], rxbuf=ld2451.RX_BYTES)
        self._chip = ld2451.LD2451(uart, settings["max_m"], direction, settings["min_kmh"])
        self._tracker = ld2451.Tracker(settings["line_m"], settings["max_m"], self._vehicle)
        self._frame_ms = ld2451.FRAME_MS
        self._lanes = {}  # by whether it approaches
        if direction != ld2451.AWAY:
            self._lanes[True] = RadarLane("lane1", forbidden == ld2451.APPROACHING)
        if direction != ld2451.APPROACHING:
            self._lanes[False] = RadarLane("lane2", forbidden == ld2451.AWAY)
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
                await asyncio.sleep_ms(_POLL_MS)
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
