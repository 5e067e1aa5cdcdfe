"""What is told of rare readings: an event once, and less when its like was told before."""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core.state import HABITS, State, Tables
from gateway.detect.memory import Bools, Floats32

LONG_PAST = np.float32(0.8)
"""Decades of rarity that a decade of readings takes off: what comes every n readings is told some times in n, not in
each thousand (0.5 to 1 find the same)."""
HABIT = np.float32(0.8)
"""Decades that a decade of like events takes off (0.6 to 1.5 find the same)."""
SLACK = np.float32(0.3)
"""Decades: events that were less by no more are alike."""
WIDTH = np.float32(0.25)
REST = np.float32(150)
"""Readings for which what was told holds back what is less: at first fully, from the half on less and less
(100 to 250 find the same)."""
FULLY = np.float32(0.5)
MARGIN = np.float32(0.3)
"""Decades that a further event must be above it in that time."""
LOW = np.float32(1)
"""Decades: what is less is told without holding anything back."""
ALARM = np.float32(2.5)
"""Decades at which an alarm is raised."""


def tell(
    state: State, tables: Tables, index: NDArray[np.intp], decades: Floats32
) -> tuple[NDArray[np.intp], Floats32, Bools]:
    """The rows where something is told, its decades, and whether an alarm is raised. Call it once a reading."""
    state.wait -= 1
    np.maximum(state.wait, 0, out=state.wait)
    state.calm -= 1
    bar = state.wait * (1 / (REST * (1 - FULLY)))
    np.minimum(bar, 1, out=bar)
    bar *= state.bar
    past = np.log10(np.maximum(state.seen, 1)) - 3
    past *= -LONG_PAST
    past += decades
    rows = np.flatnonzero((past > bar + MARGIN * (bar > 0)) & (past > 0))
    told = past[rows]
    series = index[rows]
    raw = decades[rows]
    if len(rows):
        lasting = told > LOW
        told -= HABIT * np.log10(1 + _alike(tables, series, raw))
        np.maximum(told, 0, out=told)
        held, level = rows[lasting], past[rows[lasting]]
        _count(state, tables, index, held, decades[held], level)
        state.bar[held] = level
        state.wait[held] = REST
    alarm = (told >= ALARM) & (state.calm[rows] <= 0)
    state.calm[rows[alarm]] = REST
    return rows, told, alarm


def _bin(decades: Floats32) -> NDArray[np.intp]:
    return np.clip(decades / WIDTH, 0, HABITS - 1).astype(np.intp)


def _alike(tables: Tables, series: NDArray[np.intp], decades: Floats32) -> Floats32:
    least = _bin(decades - SLACK)
    found: Floats32 = (tables.habits[series] * (np.arange(HABITS) >= least[:, None])).sum(1, dtype=np.float32)
    return found


def _count(
    state: State,
    tables: Tables,
    index: NDArray[np.intp],
    rows: NDArray[np.intp],
    decades: Floats32,
    level: Floats32,
) -> None:
    """An event counts once, by its greatest reading: that of a reading that is told on top of it gives way."""
    again = state.wait[rows] > 0
    before = state.bar[rows] + (decades - level)
    series, bins = index[rows], _bin(before)
    less = again & (tables.habits[series, bins] > 0)
    tables.habits[series[less], bins[less]] -= 1
    tables.habits[series, _bin(decades)] += 1
