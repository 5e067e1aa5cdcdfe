"""How the level of a series begins: with the median of some readings, so that no glitch among them sets its measure."""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core.level import RANGE
from gateway.detect.core.state import FIRST, State, Tables
from gateway.detect.memory import Floats, Ints

OF_MEDIAN = 1.18
"""Mean absolute deviation of a Gaussian, in medians of it: 0.798 / 0.674."""


def collect(state: State, tables: Tables, series: NDArray[np.intp], time: Ints, value: Floats) -> None:
    """Take a reading of each of the `series`, of less than `FIRST` readings at this level; the last begins it."""
    at = state.age[series]
    tables.first[series, at] = value
    state.newest[series] = time
    state.age[series] += 1
    state.seen[series] += 1
    if len(full := series[at == FIRST - 1]):
        _begin(state, tables, full)


def _begin(state: State, tables: Tables, series: NDArray[np.intp]) -> None:
    first = tables.first[series]
    origin = np.median(first, axis=1)
    with np.errstate(over="ignore"):
        size = np.median(np.abs(first - origin[:, None]), axis=1)
        moved = state.origin[series] - origin
    state.origin[series] = origin
    state.low[series] += np.clip(moved, -RANGE, RANGE).astype(np.float32)
    state.spread[series] = state.swing[series] = state.stir[series] = np.minimum(size, RANGE) * OF_MEDIAN
    for each in (state.level, state.last, state.last_size, state.season_seen, state.season_spread):
        each[series] = 0
    state.far_run[series] = 0
    tables.day[series] = np.nan
