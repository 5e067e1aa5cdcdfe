"""Windows of any length summed to cells of about an hour, by their own times."""

import dataclasses
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, Rows, column

HOUR: Final = 3600.0
LOST: Final = 3600
"""Seconds of unknown time after which a cell that is not full is given up: its parts would be of different times."""
FORGET: Final = 24 * 3600
"""Seconds of unknown time in which any pause may have been: what comes after it has nothing to do with before."""


@dataclasses.dataclass(slots=True)
class CellMemory(Memory):
    """Per series."""

    time: Ints = column(np.int64, np.iinfo(np.int64).min)
    """End of the newest window."""
    known: Ints = column(np.int64, np.iinfo(np.int64).min)
    """End of the newest window whose litres are known."""
    litres: Floats = column(np.float64)
    """Of the cell that is being filled."""
    seconds: Floats32 = column(np.float32)
    broken: Bools = column(np.bool_)
    """FORGET has passed before this cell."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cells:
    """Cells that are full: of the windows at `at` [n], at most one each."""

    at: Ints
    time: Ints
    """Their end, s."""
    litres: Floats
    seconds: Floats
    broken: Bools


def fill(memory: CellMemory, rows: Rows, time: Ints, litres: Floats, seconds: Floats) -> Cells:
    """Take in one window of each of `rows`: its end (s), litres and length (s), each [n].

    NaN, infinite or negative litres: unknown, as if there were no such window. One that does not end after the newest
    is passed over. A cell is full at the end of the window that is nearest to an hour; a longer window is a cell.
    """
    known = (time > memory.time[rows]) & (litres >= 0) & np.isfinite(litres) & (seconds > 0)
    memory.time[rows] = np.maximum(memory.time[rows], time)
    before = memory.known[rows]
    first = before == np.iinfo(np.int64).min
    # As floats: a difference of times may not fit into an integer when there was no window before.
    gap = np.where(known & ~first, time.astype(np.float64) - before - np.where(known, seconds, 0), 0)
    lost = gap > LOST
    memory.known[rows] = np.where(known, time, before)
    sum_litres = np.where(lost, 0, memory.litres[rows]) + np.where(known, litres, 0)
    sum_seconds = np.where(lost, 0, memory.seconds[rows]) + np.where(known, seconds, 0)
    broken = memory.broken[rows] | (gap > FORGET)
    full = known & (sum_seconds + np.where(known, seconds, 0) / 2 >= HOUR)
    memory.litres[rows] = np.where(full, 0, sum_litres)
    memory.seconds[rows] = np.where(full, 0, sum_seconds)
    memory.broken[rows] = broken & ~full
    at = np.flatnonzero(full)
    return Cells(at, time[at], sum_litres[at], sum_seconds[at], broken[at])
