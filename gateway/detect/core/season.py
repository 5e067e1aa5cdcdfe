"""What an hour of the day is used to be."""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core.level import FAR
from gateway.detect.core.state import DAY_BINS, State, Tables
from gateway.detect.memory import Bools, Floats32, Ints

DAY_S = 86400
LEARNT = np.float32(0.1)
"""Of a deviation, a reading (our choice; 0.2 finds as much)."""
MEMORY = np.float32(1000)
SURE = np.float32(20)
"""Readings at known hours, before which the spread is not relied on."""


def place(time: Ints, index: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of the profile's bin in the flat table."""
    days = (time + 0.5) / DAY_S  # half a second: no rounding over the edge of a bin
    days -= np.floor(days)
    days *= DAY_BINS
    return index * DAY_BINS + days.astype(np.intp)


def learn(state: State, tables: Tables, where: NDArray[np.intp], value: Floats32) -> tuple[Floats32, Floats32, Bools]:
    """What was expected, the size of the deviation (0 where nothing was known), and where something was known."""
    day = tables.day.reshape(-1)
    expected: Floats32 = day[where]
    known: Bools = ~np.isnan(expected)
    np.copyto(expected, value, where=~known)
    away = value - expected
    limit = state.season_spread * FAR
    np.copyto(limit, np.float32(np.inf), where=state.season_seen <= SURE)
    held = np.clip(away, -limit, limit)
    day[where] = expected + held * LEARNT
    return expected, np.abs(away), known


def widen(state: State, size: Floats32, known: Bools) -> None:
    """Learn the spread, after the evidence is taken."""
    limit = state.season_spread * FAR
    np.copyto(limit, np.float32(np.inf), where=state.season_seen <= SURE)
    held = np.minimum(size, limit)
    held -= state.season_spread
    held *= np.maximum(1 / (state.season_seen + 1), 1 / MEMORY)
    held *= known
    state.season_spread += held
    state.season_seen += known


def forget(state: State, tables: Tables, index: NDArray[np.intp], rows: NDArray[np.intp]) -> None:
    """What holds for another level."""
    tables.day[index[rows]] = np.nan
    state.season_seen[rows] = 0
    state.season_spread[rows] = 0
