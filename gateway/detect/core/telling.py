"""What is told of rare readings: an event once, and less of one that comes again and again."""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core.ranks import DECADES
from gateway.detect.core.state import HEIGHTS, State, Tables
from gateway.detect.memory import Bools, Floats32

WARM = np.float32(100)
"""Readings before which nothing counts as rare (our choice: two decades of rarity can be told from then on)."""
LONG_PAST = np.float32(0.7)
"""Decades of rarity that a decade of readings takes off: what comes every n readings is told some times in n, not in
each thousand (0.6 and 0.8 find the same)."""
LONG = np.float32(np.log(1000))
"""From which on it counts against."""
LOW = np.float32(1)
"""Decades: what is less is not told (0.5 and 0.7 find the same)."""
REST = np.float32(150)
"""Readings for which what was told holds back what is less: at first fully, in the last third less and less
(with 200 and 250 fewer windows of the benchmark are found)."""
FULLY = np.float32(0.7)
MARGIN = np.float32(0.3)
"""Decades that a further event must be above it in that time."""
HABIT = np.float32(0.5)
"""Decades that each decade of past events, at least about as rare, takes off (our choice: 0.3 and 0.8 find as much,
none 3 points less of the benchmark)."""
STEP = np.float32(10)
"""Heights of events in a decade."""
ALIKE = 3
"""Heights by which a past event may have been less rare."""
ALARM = np.float32(2.6)
"""Decades at which an alarm is raised."""
AT_LEAST = (np.arange(HEIGHTS) >= np.arange(HEIGHTS)[:, None]).astype(np.float32)
"""By a height: which are not below it."""


def tell(
    state: State, tables: Tables, index: NDArray[np.intp], decades: Floats32
) -> tuple[NDArray[np.intp], Floats32, Bools]:
    """The rows where something is told, its decades, and whether an alarm is raised. Call it once a reading."""
    past = np.log(state.seen)
    past -= LONG
    past *= -LONG_PAST * DECADES
    past += decades
    rows = np.flatnonzero(past > LOW)
    seen = state.seen[rows]
    bar = state.bar_until[rows] - seen
    bar *= 1 / (REST * (1 - FULLY))
    np.minimum(bar, 1, out=bar)
    np.maximum(bar, 0, out=bar)
    bar *= state.bar[rows]
    bar += MARGIN * (bar > 0)
    stands_out = (past[rows] > bar) & (seen >= WARM)
    rows, seen = rows[stands_out], seen[stands_out]
    told: Floats32 = past[rows]
    state.bar[rows] = told
    state.bar_until[rows] = seen + REST
    told -= _habit(tables, index[rows], decades[rows])
    young = np.maximum(past[rows] - decades[rows], 0)  # a short past is no reason to raise
    alarm = (told - young >= ALARM) & (state.calm_until[rows] <= seen)
    state.calm_until[rows[alarm]] = seen[alarm] + REST
    return rows, np.maximum(told, 0), alarm


def _habit(tables: Tables, series: NDArray[np.intp], rarity: Floats32) -> Floats32:
    """Decades to take off; and counts the events."""
    height = np.minimum(rarity * STEP, np.float32(HEIGHTS - 1)).astype(np.intp)
    alike = np.maximum(height - ALIKE, 0)
    events = tables.events.take(series, axis=0)
    found: Floats32 = np.einsum("ij,ij->i", events.astype(np.float32), AT_LEAST.take(alike, axis=0))
    tables.events[series, height] = np.minimum(events[np.arange(len(series)), height], 254) + 1
    found += 1
    np.log(found, out=found)
    found *= HABIT * DECADES
    return found
