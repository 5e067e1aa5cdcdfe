"""What runs through the meters at districts' inlets: hourly means of a week, and the least hour of each day. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, column
from gateway.detect.spells import Spells

LEAST_LH: Final = 6000.0
"""l/h: what a burst main loses before anybody calls (BABE: 6 m³/h unreported, 12 reported, at 50 m of head; Lambert et
al. 1999)."""
STEEPER: Final = 2.0
"""Times the largest step within twenty minutes of all days of the week but one, which may have had a burst that nobody
told of. Our choice."""
BLOCK_S: Final = 600
HOUR_S: Final = 3600
WEEK_H: Final = 168
DAYS: Final = 28
_LEAST_OF_HOUR_S: Final = 1200
"""That must have been seen of an hour, for its mean to be one."""


@dataclass(slots=True)
class Inflow(Memory):
    """A row an inlet meter, which are few, not a row a series: its number stands in it."""

    by = "other"

    series: Ints = column(np.int64, -1)
    time: Ints = column(np.int64)
    """Of the newest window."""
    hour: Ints = column(np.int64)
    """The present hour of Unix time, of which ..."""
    litres: Floats = column(np.float64)
    seconds: Floats = column(np.float64)
    """... so much is known."""
    burst: Bools = column(np.bool_)
    """A burst was open in it."""
    hours: Ints = column(np.int64)
    """That are known of it."""
    week: Floats32 = column(np.float32, np.nan, (WEEK_H,))
    """l/h, by hour of Unix time modulo a week; without those of a burst."""
    lows: Floats32 = column(np.float32, np.nan, (DAYS,))
    """l/h: the least hour of the last ordinary days, by day modulo `DAYS`."""
    bound: Floats = column(np.float64, np.inf)
    """l/h, more than ever: above it would be a burst."""
    block: Ints = column(np.int64)
    """The present ten minutes of Unix time, of which ..."""
    sum: Floats = column(np.float64)
    count: Ints = column(np.int64)
    """... so many windows have this sum of flows."""
    before: Floats = column(np.float64, np.nan, (2,))
    """l/h: the means of the two blocks before, the newer first."""
    steps: Floats = column(np.float64, 0, (7,))
    """l/h: the largest ordinary step from one block to the next but one, of each day of the week."""
    day: Ints = column(np.int64)
    jumped: Ints = column(np.int64)
    """When it rose by more than that; 0 when it did not, or when that is over."""
    base: Floats = column(np.float64)
    """l/h before, and ..."""
    jump: Floats = column(np.float64)
    """... l/h by which it rose."""
    low: Floats = column(np.float64, np.nan)
    """l/h: the least of the last 24 hours."""

    def add(self, time: Ints, flow: Floats) -> Bools:
        """Take in a window: True where it is the first of another hour, whose predecessor is then in `litres`."""
        lasted = np.clip(time - self.time, 0, HOUR_S)
        np.copyto(lasted, 60, where=self.time == 0)
        hour = (time - 1) // HOUR_S
        over: Bools = hour != self.hour
        self.time[:] = time
        np.copyto(self.litres, self.litres + flow * lasted / 3600, where=~over)
        np.copyto(self.seconds, self.seconds + lasted, where=~over)
        return over

    def begin(self, over: Bools, time: Ints, flow: Floats) -> None:
        """Another hour, with this window."""
        # A window that reaches into the hour before is counted where it ends.
        np.copyto(self.hour, (time - 1) // HOUR_S, where=over)
        lasted = np.minimum((time - 1) % HOUR_S + 1, HOUR_S)
        np.copyto(self.litres, flow * lasted / 3600, where=over)
        np.copyto(self.seconds, lasted, where=over)

    def step(self, time: Ints, flow: Floats, learns: Bools, known: Bools) -> None:
        """Watch for jumps from block to block."""
        block = (time - 1) // BLOCK_S
        over = (block != self.block) & (self.count > 0)
        mean = self.sum / np.maximum(self.count, 1)
        rise = mean - self.before.min(axis=1)  # NaN where one of them is not known
        usual = np.sort(self.steps, axis=1)[:, -2]
        jumps = over & known & learns & (rise > np.maximum(LEAST_LH, STEEPER * usual))
        for values, new in ((self.jumped, time), (self.base, self.before.min(axis=1)), (self.jump, rise)):
            np.copyto(values, new, where=jumps, casting="same_kind")
        # It falls as it rose: the day may have risen meanwhile to where the burst began.
        falls = over & (self.jumped > 0) & (self.before.max(axis=1) - mean > self.jump / 2)
        np.copyto(self.base, mean, where=falls)
        # What passed by itself was ordinary.
        passed = (self.jumped > 0) & (time - self.jumped > HOUR_S) & learns
        largest = np.fmax(np.where(passed, self.jump, 0), np.where(jumps | ~learns, 0, rise))
        day = (time - 1) // 86_400
        each, today = np.arange(len(day)), day % 7
        old = np.where(day != self.day, 0, self.steps[each, today])
        self.steps[each, today] = np.where(over | passed, np.fmax(old, largest), old)
        self.day[:] = day
        self.jumped[passed] = 0
        gone = block - self.block > 6
        np.copyto(self.before[:, 1], np.where(gone, np.nan, self.before[:, 0]), where=over)
        np.copyto(self.before[:, 0], np.where(gone, np.nan, mean), where=over)
        for total, more in ((self.sum, flow), (self.count, np.ones(len(flow), np.int64))):
            total[:] = np.where(over, 0, total) + more
        self.block[:] = block

    def limits(self) -> tuple[Floats, Floats]:
        """l/h: above the first it is a burst, below the second it is none any more."""
        jumped = self.jumped > 0
        begins = np.fmin(self.bound, np.where(jumped, self.base + 0.6 * self.jump, np.inf))
        ends = np.where(jumped, self.base + self.jump / 3, self.bound - LEAST_LH / 2)
        return begins, np.minimum(ends, begins)

    def mean(self) -> Floats:
        """l/h in the hour that is over; NaN where too little was seen of it."""
        seen = np.where(self.seconds >= _LEAST_OF_HOUR_S, self.seconds, np.nan)
        return self.litres * 3600 / seen


@dataclass(slots=True)
class Bursting(Spells):
    """Whether a main has burst."""


@dataclass(slots=True)
class Leaking(Spells):
    """Whether a main leaks."""
