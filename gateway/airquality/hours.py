"""Hourly means of many stations, from windows of any length. Streaming: what is remembered is the last day."""

import dataclasses
from typing import Final

import numpy as np

from gateway.detect.memory import Floats, Ints, Memory, Rows, column

HOUR: Final = 3600
KEPT: Final = 24
"""Hours: a day's mean is the longest that an index wants."""
COVERED: Final = 2700
"""Seconds of an hour that windows must cover: three quarters, as EPA wants of an hour's mean (40 CFR 50, App. N)."""


@dataclasses.dataclass(slots=True)
class Hours(Memory):
    """One pollutant at all stations. 232 bytes a station."""

    end: Ints = column(np.int64)
    """Unix seconds: of the newest window; 0 before the first."""
    gap: Ints = column(np.int64)
    """Seconds from the window before it; 0 where there was none."""
    hour: Ints = column(np.int64)
    """Hours since 1970: the one that is being filled."""
    covered: Ints = column(np.int64)
    """Seconds of it."""
    total: Floats = column(np.float64)
    """Of value times seconds in it."""
    means: Floats = column(np.float64, np.nan, (KEPT,))
    """Of the hours before it; hour h is at h % 24."""

    def feed(self, rows: Rows, time: Ints, value: Floats, seconds: Ints | None = None) -> None:
        """Take in one window of each of these stations: the mean `value` of the `seconds` that ended at `time` (Unix).

        Arrays are (rows,). Where no seconds are said, a window is as long as the shorter of the last two gaps between
        windows, so that one that was lost leaves a gap; the second window of all is taken for an hour at most, and the
        first for nothing. What is not finite is passed over, and so is what is not newer than the newest.
        """
        part = self.take(rows)
        gap = time - part.end
        fresh = np.isfinite(value) & (gap > 0)
        if seconds is None:
            usual = np.where(part.gap > 0, part.gap, HOUR)
            seconds = np.where(part.end > 0, np.minimum(gap, usual), 0)
        begin = np.maximum(time - np.minimum(seconds, KEPT * HOUR), part.end)
        begin = np.where(fresh, begin, time)
        part.gap[:] = np.where(fresh & (part.end > 0), gap, part.gap)
        part.end[:] = np.where(fresh, time, part.end)
        while (some := begin < time).any():  # once for each hour that the longest window touches
            hour = begin // HOUR
            until = np.minimum(time, (hour + 1) * HOUR)
            part._turn(np.where(some, hour, part.hour))
            lasts = np.where(some, until - begin, 0)
            part.covered += lasts
            part.total += np.where(some, value, 0) * lasts
            begin = until
        self.put(rows, part)

    def last(self, now: int) -> Floats:
        """(stations, 24) means of the whole hours before `now` (Unix seconds), the newest first; NaN where unknown."""
        wanted = now // HOUR - 1 - np.arange(KEPT)
        hour = self.hour[:, None]
        kept = np.where((wanted >= hour - KEPT) & (wanted < hour), self.means[:, wanted % KEPT], np.nan)
        return np.where(wanted == hour, self._open()[:, None], kept)

    def _open(self) -> Floats:
        """The mean of the hour that is being filled, so far."""
        return np.where(self.covered >= COVERED, self.total / np.maximum(self.covered, 1), np.nan)

    def _turn(self, hour: Ints) -> None:
        """Close the hours before `hour`, in place."""
        rows = np.flatnonzero(hour > self.hour)  # few: most windows end no hour
        if not len(rows):
            return
        was = self.hour[rows, None]
        ahead = hour[rows, None] - was
        offset = (np.arange(KEPT) - was) % KEPT
        means = np.where(offset == 0, self._open()[rows, None], self.means[rows])
        passed = (offset >= 1) & (offset < ahead)  # hours between, in which nothing was heard
        self.means[rows] = np.where(passed | (ahead > KEPT), np.nan, means)
        self.covered[rows] = 0
        self.total[rows] = 0
        self.hour[rows] = hour[rows]
