"""A station that repeats its hourly mean: stuck, unless it is used to that and its neighbours rest too."""

from typing import Final

import numpy as np

from gateway.detect.air import neighbours
from gateway.detect.air.station import StationMemory
from gateway.detect.memory import Bools, Floats

LEARN: Final = 60 * 24.0
"""Hours over which habits are learned: longer than a month's drift is to be seen, shorter than a season."""
STUCK: Final = 8
"""Equal hours at least, while the neighbours move."""
LOW: Final = 0.4
"""Of the usual level, below which three times as many equal hours are needed: coarse readings repeat. Our choice."""
STUCK_ALONE: Final = 48
"""Equal hours that need no neighbours: our choice."""
SURPRISING: Final = 14.0
"""-ln p of the run by the station's own habit of repeating itself: 1 in a million hours."""


def stuck(m: StationMemory, seen: Floats, expected: Floats, known: Bools, told: Bools) -> Floats:
    """Take an hour's means and what was expected (scaled), arrays [series]; from 1 on a station is stuck.

    `told`: where the neighbours say what is expected.
    """
    same = known & (seen == m.last)
    fresh = known & ~same
    m.run[:] = np.where(same, m.run + 1, np.where(fresh, 0, m.run))
    m.run_low[:] = np.where(fresh, expected, np.where(same & told, np.minimum(m.run_low, expected), m.run_low))
    m.run_high[:] = np.where(fresh, expected, np.where(same & told, np.maximum(m.run_high, expected), m.run_high))
    m.last[:] = np.where(known, seen, m.last)
    low = (m.last > 0) & (m.last < LOW * np.exp(m.level))
    habit = np.where(low, m.repeats[:, 0], m.repeats[:, 1])
    # a run that goes on is not habit: only its beginning is learned
    habit += np.where(known & (m.run < STUCK), 1 / LEARN, 0.0) * (same - habit)
    m.repeats[:] = np.stack([np.where(low, habit, m.repeats[:, 0]), np.where(low, m.repeats[:, 1], habit)], -1)
    unlikely = -m.run * np.log(np.clip(habit, 0.02, 0.98)) / SURPRISING
    # among many hours the expectation errs to both sides, and what is too little to be told may well stand still
    spread = np.maximum(neighbours.FAR * np.sqrt(m.variance), 0.3) * np.where(low, 2.0, 1.0)
    beside = np.where(told, np.minimum(m.run / np.where(low, 3 * STUCK, STUCK), (m.run_high - m.run_low) / spread), 0.0)
    alone = np.where(low & told, 0.0, m.run / STUCK_ALONE)
    return np.asarray(np.minimum(unlikely, np.maximum(beside, alone)))
