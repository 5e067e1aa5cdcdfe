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
SHIFT = (np.arange(5) * 0.6180339887 % 1).astype(np.float32)[:, None]
"""Of each feature's edges, so that they fall apart: the golden ratio."""
BEGIN = (np.arange(len(PAIRS)) * (SIDE * SIDE)).astype(np.int32)[:, None]


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
    features[0] = away
    np.subtract(state.short, state.level, out=features[1])
    np.subtract(state.middle, state.level, out=features[2])
    features[3] = change
    features[4] = state.stir
    features *= unit
    size = np.abs(features)
    size += 1
    features /= size
    features[:4] *= HALF
    features[:4] += HALF
    features *= np.float32(SIDE - 1)
    features += SHIFT
    step = features.astype(np.int32)
    rough = np.empty((len(PAIRS), len(unit)), np.int32)
    eight = step[:2] * np.int32(SIDE)
    for pair, (a, b) in enumerate(PAIRS):
        np.add(eight[a], step[b], out=rough[pair])
    rough += BEGIN
    where = rough.astype(np.intp)
    where += index * (len(PAIRS) * SIDE * SIDE)
    cells = tables.cells.reshape(-1)
    count = cells.take(where)
    cells[where] = np.minimum(count, 254) + np.uint8(1)
    met = count.astype(np.float32)
    met += 1
    np.reciprocal(met, out=met)
    found: Floats32 = met.sum(0)
    found *= np.float32(100 / len(PAIRS))
    return found
