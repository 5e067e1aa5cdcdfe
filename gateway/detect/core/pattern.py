"""How seldom the shape of the last readings was: tables of pairs of features, counted (tile coding, Albus 1975, used
as a density of projections as in LODA, Pevný 2016).

The features are the value, its change and the mean size of the last changes, all in spreads from the level and
squashed into 0..1, and the hour of the day.
"""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core.state import PAIRS, SIDE, State, Tables
from gateway.detect.memory import Floats32

SHORT = np.float32(1 / 6)
"""Of the mean size of changes, that a change is (our choice: 1/4 and 1/9 find as much)."""
UNIT = np.float32(4)
"""Spreads to the middle of the squashed scale (our choice: 3 and 6 find as much)."""
BOUND = np.float32(100)
"""Units beyond which a value's change is that of one there: a glitch would fill the mean for long."""
SHIFT = np.array([0, 0.236, 0.854, 0.472], np.float32)
"""Of each feature's edges, so that they fall apart: multiples of the golden ratio."""
FULL = np.float32(SIDE - 1)
WIDE = np.array([FULL / 2] * 2 + [FULL] * 2, np.float32)[:, None]
"""Of the features' scales, in cells: of signed ones for either sign."""
EDGE = (SHIFT + np.array([FULL / 2] * 2 + [0] * 2, np.float32))[:, None]
FULLEST = np.uint8(255)
FIRSTS = {a for a, _ in PAIRS}
CELLS = len(PAIRS) * SIDE * SIDE


def novelty(
    state: State,
    tables: Tables,
    index: NDArray[np.intp],
    day: Floats32,
    floor: Floats32,
    unit: Floats32,
    away: Floats32,
) -> Floats32:
    """0..100: the mean over the tables of 1 / (1 + how often the cell was met); and counts it."""
    features = np.empty((4, len(unit)), np.float32)
    features[0] = away
    _follow(state, unit, away, features)
    scale = state.spread * UNIT
    scale += floor
    signed = features[:3]
    signed /= scale
    size = np.abs(signed)
    size += 1
    signed /= size
    features[3] = day
    features *= WIDE
    features += EDGE
    steps = features.astype(np.int32)
    where = np.empty((len(PAIRS), len(unit)), np.int32)
    begin = (index * CELLS).astype(np.int32)  # holds six million series
    rows = {a: steps[a] * np.int32(SIDE) + begin for a in FIRSTS}
    for pair, (a, b) in enumerate(PAIRS):
        np.add(rows[a], steps[b], out=where[pair])
        where[pair] += pair * SIDE * SIDE
    place = where.astype(np.intp)
    cells = tables.cells.reshape(-1)
    count = cells.take(place)
    met = count.astype(np.float32)
    met += 1
    count += count < FULLEST
    cells[place] = count
    np.reciprocal(met, out=met)
    found: Floats32 = met.sum(0)
    found *= np.float32(100 / len(PAIRS))
    return found


def _follow(state: State, unit: Floats32, away: Floats32, features: Floats32) -> None:
    bound = unit * BOUND
    value = np.minimum(away, bound)
    np.negative(bound, out=bound)
    np.maximum(value, bound, out=value)
    value += state.level
    change = features[1]
    np.subtract(value, state.last, out=change)
    state.last[...] = value
    size = np.abs(change)
    size -= state.stir
    size *= SHORT
    state.stir += size
    features[2] = state.stir
