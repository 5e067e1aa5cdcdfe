"""What the core remembers of a series: under 1 KiB, however long it is."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from gateway.detect.memory import Floats, Floats32, Ints, Memory, column

DAY_BINS = 24
"""Of the profile of a day: 24, 48 and 96 find the same (measured)."""
PAIRS = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 3))
"""Of the features of `pattern`, of which each has a table: the value with each other, the mean with the change.
The first of a pair is one of the first two features."""
SIDE = 8
"""Of a table: so many steps of each feature."""
RANKED = 3
"""The evidences: level, season, pattern."""
OCTAVES = 16
"""Bins of an evidence's histogram, from 2**-4 to 2**12."""
LEAST = 2.0**-4


@dataclasses.dataclass(slots=True)
class State(Memory):
    """What each reading changes. Values are in `unit`s from `origin`: float32 then does for any sensor's range."""

    newest: Ints = column(np.int64, np.iinfo(np.int64).min)
    origin: Floats = column(np.float64)
    """The first value."""
    unit: Floats = column(np.float64)
    """How far the first other value was from it; 0 as long as there is none."""
    seen: Floats32 = column(np.float32)
    """Readings."""
    age: Floats32 = column(np.float32)
    """Readings since the level was learnt anew."""
    beyond: Floats32 = column(np.float32)
    """Readings in a run far above the level, or negative far below it."""
    last: Floats32 = column(np.float32)
    level: Floats32 = column(np.float32)
    spread: Floats32 = column(np.float32)
    """Mean absolute deviation from the level, of what is not far out."""
    swing: Floats32 = column(np.float32)
    """The same with what is far out."""
    short: Floats32 = column(np.float32)
    """Mean of the last 6 readings or so."""
    middle: Floats32 = column(np.float32)
    """Mean of the last 36 readings or so."""
    stir: Floats32 = column(np.float32)
    """Mean absolute change of the last 6 readings or so."""
    season_seen: Floats32 = column(np.float32)
    """Readings at an hour of the day that was known."""
    season_spread: Floats32 = column(np.float32)
    gate: Floats32 = column(np.float32, LEAST, (RANKED,))
    """Per evidence what some 6 % of the readings are above: only those need a rank."""
    bar: Floats32 = column(np.float32)
    """What was told last, in decades of rarity."""
    wait: Floats32 = column(np.float32)
    """Readings for which it still holds back what is less."""
    calm: Floats32 = column(np.float32)
    """Readings for which no further alarm is raised."""


@dataclasses.dataclass(slots=True)
class Tables(Memory):
    """What each reading changes in one place only."""

    day: Floats32 = column(np.float32, np.nan, (DAY_BINS,))
    cells: NDArray[np.uint8] = column(np.uint8, 0, (len(PAIRS), SIDE * SIDE))
    ranks: NDArray[np.uint16] = column(np.uint16, 0, (RANKED, OCTAVES))
