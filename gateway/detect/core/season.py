"""What an hour of the day is used to be."""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core.level import FAR
from gateway.detect.core.state import HOURS, State, Tables
from gateway.detect.memory import Bools, Floats32, Ints

DAY_S = 86400
LEARNT = np.float32(0.1)
"""Of a deviation, a reading (our choice; 0.2 finds as much)."""
MEMORY = np.float32(1000)
SURE = np.float32(20)
"""Readings at known hours, before which the spread is not relied on."""


def part_of_day(time: Ints) -> Floats32:
    """0..1, by UTC."""
    days = time + 0.5  # half a second: no rounding over the edge of an hour
    days *= 1 / DAY_S
    days -= np.floor(days)
    return days.astype(np.float32)


def learn(
    state: State,
    tables: Tables,
    index: NDArray[np.intp],
    day: Floats32,
    value: Floats32,
    away: Floats32,
    unit: Floats32,
) -> tuple[Floats32, Floats32, Floats32, Bools | None]:
    """What was expected, the spread of it, the size of the deviation, and where these are known (None: everywhere).

    day: the part of it; away: of the value from the level, in whose `unit` deviations are limited as long as the
    season's own spread is not known.
    """
    where = index * HOURS
    where += (day * np.float32(HOURS)).astype(np.int32)
    profile = tables.day.reshape(-1)
    expected: Floats32 = profile.take(where)
    spread = state.season_spread.copy()
    limit = spread * FAR
    rate = np.minimum(state.season_seen, MEMORY - 1)
    rate += 1
    np.reciprocal(rate, out=rate)
    deviation = value - expected
    sure = None
    if state.season_seen.min() <= SURE:
        unsure = state.season_seen <= SURE
        np.multiply(unit, FAR, out=limit, where=unsure)
        sure = ~unsure
    state.season_seen += 1
    if (unknown := np.isnan(expected)).any():
        begin = np.flatnonzero(unknown)
        bound = unit[begin] * FAR
        expected[begin] = value[begin] - away[begin] + np.clip(away[begin], -bound, bound)
        deviation[begin] = rate[begin] = 0
        state.season_seen[begin] -= 1
        sure = ~unknown if sure is None else sure & ~unknown
    size = np.abs(deviation)
    np.minimum(size, limit, out=limit)
    np.maximum(deviation, -limit, out=deviation)
    held = np.minimum(deviation, limit, out=deviation)
    held *= LEARNT
    held += expected
    profile[where] = held
    limit -= spread
    limit *= rate
    state.season_spread += limit
    return expected, spread, size, sure
