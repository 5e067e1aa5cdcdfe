"""What a series is expected to be: from the same times of the weeks before, or of the days. Pure.

Weeks and days are those of the wall clock where the nodes are, so a change of the clocks moves no rush hour. A value
is held against those of the same time of week in each of up to `WEEKS` weeks before, with one interval to either side
where intervals are short; the band is between two of their quantiles. Where there are fewer than `LEAST_WEEKS` such
weeks, the same time of day over up to `DAYS` days takes their place. One odd week widens the band, it does not move
the middle.
"""

from datetime import UTC, datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from gateway.query.compare import fixed
from gateway.query.influxql import QueryError, Question, seconds, statement

WEEKS: Final = 4
LEAST_WEEKS: Final = 2
DAYS: Final = 7
LEAST_DAYS: Final = 3
LOW: Final = 0.1
HIGH: Final = 0.9
"""The quantiles that bound the band."""
BESIDE: Final = 1
"""Intervals to either side that count as the same time, where they are of an hour at most."""
HOUR: Final = 3600
ENOUGH: Final = 0.5
"""Share of the times that must have a band for there to be one."""
DAY: Final = 86_400
WEEK: Final = 7 * DAY

Floats = NDArray[np.float64]


class Band(Struct, frozen=True, eq=False):
    """Arrays of one length, one element for each time asked for; NaN where there is no band at that time."""

    low: Floats
    middle: Floats
    """The median."""
    high: Floats
    basis: Literal["week", "day"]
    """Whether it is of the same times of week, or of day."""


class NoBand(Struct, frozen=True):
    """Why there is none, for people."""

    reason: str


def history(question: Question, now: float) -> Question:
    """The question over the weeks before, too. Raises QueryError where it has no intervals: `fit` gives it some."""
    if not question.every:
        raise QueryError("an expected band needs intervals: give every")
    asked = fixed(question, now)
    return structs.replace(asked, begin=str(max(0, int(asked.begin) - WEEKS * WEEK - BESIDE * seconds(question.every))))


def band_statement(question: Question, now: float) -> str:
    """The SELECT of what `band` needs: the series itself and the four weeks before it. Raises QueryError."""
    return statement(history(question, now))


def band(times: Floats, values: Floats, at: Floats, every: float, zone: ZoneInfo) -> Band | NoBand:
    """The band at the times `at` (shape (m,)) from a series (`times` and `values`, shape (n,), any order).

    All times are Unix seconds, the beginnings of intervals of `every` seconds. Only what is earlier by a day or more
    counts for a time, so a series does not explain itself.
    """
    if not times.size or not at.size:
        return NoBand("there is no history")
    order = np.argsort(times)
    times, values = times[order], values[order]
    for basis, step, most, least in (("week", WEEK, WEEKS, LEAST_WEEKS), ("day", DAY, DAYS, LEAST_DAYS)):
        if every > step:
            continue  # an interval of a week has no day before that is not itself
        seen = _earlier(times, values, at, every, zone, step, most)  # (m, most, 1 or 2 * BESIDE + 1)
        periods = np.isfinite(seen).any(axis=2).sum(axis=1)
        enough = periods >= least
        if enough.mean() >= ENOUGH:
            low, middle, high = np.full((3, at.size), np.nan)
            flat = seen[enough].reshape(int(enough.sum()), -1)
            low[enough], middle[enough], high[enough] = np.nanquantile(flat, (LOW, 0.5, HIGH), axis=1)
            return Band(low, middle, high, "week" if basis == "week" else "day")
    days = (at.max() - times[0]) / DAY
    return NoBand(
        f"there is too little history: {days:.1f} days; a band needs {LEAST_WEEKS} weeks, "
        f"or the same time of {LEAST_DAYS} days"
    )


def _earlier(times: Floats, values: Floats, at: Floats, every: float, zone: ZoneInfo, step: int, most: int) -> Floats:
    """What the series was at the same wall clock 1 ... `most` steps before each time, and beside: (m, most, ...)."""
    beside = range(-BESIDE, BESIDE + 1) if every <= HOUR else range(1)
    offset_at = offsets(at, zone)
    found = np.full((at.size, most, len(beside)), np.nan)
    for number in range(most):
        then = at - (number + 1) * step
        then += offset_at - offsets(then, zone)
        for place, away in enumerate(beside):
            wanted = then + away * every
            near = np.clip(np.searchsorted(times, wanted - every / 2), 0, times.size - 1)
            hit = np.abs(times[near] - wanted) <= every / 2
            found[hit, number, place] = values[near[hit]]
    return found


def offsets(times: Floats, zone: ZoneInfo) -> Floats:
    """Seconds that the wall clock is ahead of UTC, each hour looked up once."""
    hours, back = np.unique(times // 3600, return_inverse=True)
    ahead = [_ahead(float(hour) * 3600, zone) for hour in hours]
    return np.array(ahead)[back]


def _ahead(second: float, zone: ZoneInfo) -> float:
    offset = datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
    return offset.total_seconds() if offset else 0.0
