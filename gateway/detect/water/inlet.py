"""What runs through the meters at districts' inlets: hourly means of a week, and the least hour of each day. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, column
from gateway.detect.spells import Spells

HOUR_S: Final = 3600
WEEK_H: Final = 168
DAYS: Final = 28
_LEAST_OF_HOUR_S: Final = 1200
"""That must have been seen of an hour, for its mean to be one."""


@dataclass(slots=True)
class Inflow(Memory):
    """A row an inlet meter, which are few, not a row a series: its number stands in it."""

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
    """l/h above which it would be a burst."""
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
