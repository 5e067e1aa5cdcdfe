"""What is remembered of a station and one quantity, and what is said about it."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from gateway.detect.air.neighbours import MOST
from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, column

HORIZONS: Final[Floats] = np.array([16.0, 72.0, 120.0])
"""Hours over which the surprise is averaged: our choice, for faults that show at once up to slow drift."""


class Kind(IntEnum):
    NONE = 0
    STUCK = 1
    ZERO = 2
    OFFSET = 3
    GAIN = 4
    DRIFT = 5
    NOISY = 6


@dataclass(slots=True)
class Verdicts:
    """Of the newest closed hour, arrays of the shape that `step` was given."""

    score: Floats
    """0..1; from 0.5 on the station is suspect, at 1 it is in alarm."""
    alarm: Bools
    """The fault begins: true once, however long it lasts."""
    over: Bools
    kind: Ints
    """A `Kind`, while the fault lasts."""
    seen: Floats
    """The hour's mean, in the quantity's unit."""
    expected: Floats
    """From the neighbours; NaN where they do not tell."""
    since: Ints
    """Unix seconds at which the station became suspect; 0 where it is not."""


@dataclass(slots=True)
class StationMemory(Memory):
    """Averages are exponential. The number of stations in `covariance` is the site's; the rest of the row is unused."""

    hour: Ints = column(np.int64, -1)
    """The open hour, since 1970; -1 before the first."""
    total: Floats = column(np.float64)
    count: Ints = column(np.int64)
    learnt: Floats = column(np.float64)
    """Hours that were learned from."""
    hours: Floats = column(np.float64)
    """Hours in which anything of the site was seen."""
    level: Floats = column(np.float64)
    """Log of the site's usual median."""
    mean: Floats = column(np.float64)
    profile: Floats = column(np.float64, 0, (24,))
    """Mean surprise by hour of the day: UTC."""
    covariance: Floats = column(np.float64, 1.0, (MOST,))
    variance: Floats = column(np.float64, 0.06)
    """Of the surprise."""
    weighted: Floats = column(np.float64, 0, (2, len(HORIZONS)))
    """Mean of filter times surprise, by filter (gain, offset) and horizon."""
    energy: Floats = column(np.float64, 0, (2, len(HORIZONS)))
    """Mean of the filter squared."""
    judged: Floats = column(np.float64)
    spread: Floats = column(np.float64, 0.03, (2, len(HORIZONS)))
    """Mean square of each statistic: its own past."""
    shift: Floats = column(np.float64)
    """Mean surprise over three days, no hour cut short."""
    day: Floats32 = column(np.float32, shape=(24,))
    """Surprise of the last 24 hours in standard deviations, clipped; by hour of the day."""
    wild: Floats = column(np.float64, 0, (2,))
    """Share of far surprises over a day: above, below."""
    expected: Floats = column(np.float64, np.nan)
    last: Floats = column(np.float64, np.nan)
    run: Ints = column(np.int64)
    """Equal hours in row after the first."""
    run_low: Floats = column(np.float64)
    run_high: Floats = column(np.float64)
    """Range of what was expected in the run."""
    repeats: Floats = column(np.float64, 0.1, (2,))
    """Usual share of hours that equal the one before: above zero in clean air, else."""
    score: Floats = column(np.float64)
    kind: Ints = column(np.int64)
    since: Ints = column(np.int64)
    quiet: Floats = column(np.float64)
    stood: Floats = column(np.float64)
