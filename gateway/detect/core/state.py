"""What the core remembers of a series: under 1 KiB, however long it is."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from gateway.detect.memory import Floats, Floats32, Ints, Memory, column

FIRST = 9
"""Readings from whose median a level begins (our choice: four of them may be anything)."""
HOURS = 24
"""Bins of the profile of a day: 24, 48 and 96 find the same (measured)."""
PAIRS = ((0, 1), (0, 2), (0, 3), (1, 3))
"""Of the features of `pattern`, of which each has a table: the value with each other, the change with the hour.
Means of the last readings with the value find nothing more."""
SIDE = 10
"""Of a table: so many steps of each feature (our choice; with 8 a point of the benchmark less, 12 as much)."""
EVIDENCES = 3
"""Value, season and pattern, in this order."""
BINS = 48
"""Of each evidence's histogram."""
LEAST = 2.0**-4
"""An evidence's first bin, and the least that its gate falls to."""
HEIGHTS = 40
"""Of events, by tenths of a decade of rarity: the last is open."""


@dataclasses.dataclass(slots=True)
class State(Memory):
    """What each reading changes. Values are from `origin` on: float32 then does for any sensor's resolution."""

    newest: Ints = column(np.int64, -(2**62))
    """Unix s."""
    origin: Floats = column(np.float64)
    """The level, when it began last."""
    seen: Floats32 = column(np.float32)
    """Readings."""
    age: NDArray[np.int32] = column(np.int32)
    """Readings since the level began."""
    far_at: NDArray[np.int32] = column(np.int32, -1)
    """The `age` at which a run far from the level goes on."""
    far_run: NDArray[np.int32] = column(np.int32)
    """Readings in that run: above the level, or negative below it."""
    last: Floats32 = column(np.float32)
    level: Floats32 = column(np.float32)
    spread: Floats32 = column(np.float32)
    """Mean absolute deviation from the level, of what is not far out."""
    swing: Floats32 = column(np.float32)
    """The same with what is far out for more than one reading."""
    last_size: Floats32 = column(np.float32)
    """Of the last deviation."""
    stir: Floats32 = column(np.float32)
    """Mean absolute change of the last 6 readings or so."""
    season_seen: Floats32 = column(np.float32)
    """Readings at an hour of the day that was known."""
    season_spread: Floats32 = column(np.float32)
    gate_above: Floats32 = column(np.float32, 1)
    """Spreads above the level, that 2 % of the readings pass: only those need a rank."""
    gate_below: Floats32 = column(np.float32, -1)
    """Negative."""
    gate_season: Floats32 = column(np.float32, 1)
    """Season's spreads, that 4 % of the readings pass."""
    gate_pattern: Floats32 = column(np.float32, 16)
    """Where it begins: in a short past much is novel, and would all be counted."""
    low: Floats32 = column(np.float32)
    """Lower edge of the histogram of values."""
    width: Floats32 = column(np.float32)
    """Of its bins; 0 before the first."""
    bar: Floats32 = column(np.float32)
    """What was told last, in decades of rarity."""
    bar_until: Floats32 = column(np.float32)
    """The number of readings `seen` up to which it holds back what is less."""
    calm_until: Floats32 = column(np.float32)
    """The number of readings `seen` up to which no further alarm is raised."""


@dataclasses.dataclass(slots=True)
class Tables(Memory):
    """What each reading changes in one place only."""

    first: Floats = column(np.float64, 0, (FIRST,))
    day: Floats32 = column(np.float32, np.nan, (HOURS,))
    cells: NDArray[np.uint8] = column(np.uint8, 0, (len(PAIRS), SIDE * SIDE))
    ranks: NDArray[np.uint16] = column(np.uint16, 0, (EVIDENCES, BINS))
    events: NDArray[np.uint8] = column(np.uint8, 0, (HEIGHTS,))
