"""How seldom the shape of the last readings was: tables of pairs of features, counted (tile coding, Albus 1975, used
as a density of projections as in LODA, Pevný 2016).

The features are the value, its means over some 6 and 36 readings, its change and the mean size of changes, all in
spreads from the level and squashed into 0..1.
"""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core.state import PAIRS, SIDE, State, Tables
from gateway.detect.memory import Floats32

SHORT, MIDDLE = np.float32(6), np.float32(36)
"""Readings (our choice: 4 and 24, 8 and 64 find as much)."""
UNIT = np.float32(4)
"""Spreads to the middle of the squashed scale."""
HALF = np.float32(0.5)
SHIFT = tuple((t * 0.6180339887 % 1.0, (t * 0.7548776662 + 0.3) % 1.0) for t in range(len(PAIRS)))
"""Of each table's edges, so that they fall apart: the golden and the plastic ratio."""


def follow(state: State, value: Floats32) -> Floats32:
    """Learn the means, and give the change."""
    change: Floats32 = value - state.last
    change *= state.seen > 0
    fresh = 1 / (state.seen + 1)
    gain = np.maximum(fresh, 1 / SHORT)
    state.short += (value - state.short) * gain
    state.stir += (np.abs(change) - state.stir) * gain
    np.maximum(fresh, 1 / MIDDLE, out=gain)
    state.middle += (value - state.middle) * gain
    return change


def novelty(
    state: State, tables: Tables, index: NDArray[np.intp], floor: Floats32, away: Floats32, change: Floats32
) -> Floats32:
    """0..100: the mean over the tables of 1 / (1 + how often the cell was met), and counts it."""
    unit = state.spread * UNIT
    unit += floor
    np.reciprocal(unit, out=unit)
    features = np.empty((5, len(unit)), np.float32)
    np.multiply(away, unit, out=features[0])
    np.multiply(state.short - state.level, unit, out=features[1])
    np.multiply(state.middle - state.level, unit, out=features[2])
    np.multiply(change, unit, out=features[3])
    np.multiply(state.stir, unit, out=features[4])
    features /= np.abs(features) + 1
    features[:4] *= HALF
    features[:4] += HALF
    features *= np.float32(SIDE - 1)
    cells = tables.cells.reshape(-1)
    first = index * (len(PAIRS) * SIDE * SIDE)
    found = np.zeros(len(unit), np.float32)
    for t, (a, b) in enumerate(PAIRS):
        where = (features[a] + np.float32(SHIFT[t][0])).astype(np.int32) * SIDE
        where += (features[b] + np.float32(SHIFT[t][1])).astype(np.int32)
        where = where + (first + t * SIDE * SIDE)
        count = cells[where]
        cells[where] = count + (count < 255)
        found += 1 / (count + np.float32(1))
    found *= np.float32(100 / len(PAIRS))
    return found
