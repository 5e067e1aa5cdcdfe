"""A value that stands still though it never did so long at such hours: a stuck sensor, a dead counter.

Told by the series' own past: how often a value is the one before, by hour of the day. A counter that shows 0 every
night is not dead in the night; three equal hours at noon may be enough. Any sampling interval.
"""

import dataclasses
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, Rows, column
from gateway.detect.rule import Remembering

HOURS: Final = 24
LEARNING_S: Final = 14 * 86_400
"""Two weeks are known before anything is told (our choice)."""
NEED: Final = 14.0
"""Nats that tell it: a run that comes by chance once in a million rows (our choice)."""
MARGIN: Final = 2.0
"""Times what an earlier run has reached (our choice)."""
LEAST_S: Final = 3 * 3600
"""Whatever the evidence: repeated packs of some minutes are no fault of a sensor (our choice)."""
LEAST_ROWS: Final = 5
KEEP: Final = 0.5 ** (1 / 5000)
"""A row. What earlier runs reached counts half after so many: seven months of hours (our choice)."""
COUNTED: Final = 1000
"""Rows of an hour of the day after which its counts are halved."""
LEAST_CHANCE: Final = 0.02


@dataclasses.dataclass(slots=True)
class StillMemory(Memory):
    first: Ints = column(np.int64, np.iinfo(np.int64).min)
    """Time of the first row."""
    newest: Ints = column(np.int64, np.iinfo(np.int64).min)
    value: Floats = column(np.float64, np.nan)
    since: Ints = column(np.int64)
    """When the run of this value began, ..."""
    rows: Ints = column(np.int64)
    """... the rows of it that repeat the first, ..."""
    nats: Floats = column(np.float64)
    """... and how unlikely it is."""
    most: Floats = column(np.float64)
    """Nats that earlier runs have reached, decayed."""
    told: Bools = column(np.bool_)
    seen: Floats32 = column(np.float32, shape=(HOURS,))
    same: Floats32 = column(np.float32, shape=(HOURS,))


@dataclasses.dataclass(frozen=True, slots=True)
class Stood:
    """Of each row [n]."""

    score: Floats
    """0..1: evidence over what is needed, as e / (1 + e); 0.5 tells it."""
    alarm: Bools
    """In the row that tells it."""
    hours: Floats
    """For which the value has stood."""


class Standstill(Remembering):
    """Many series at once; `grow` makes room for them."""

    def __init__(self) -> None:
        self.memory = StillMemory.blank(0)

    def step(self, rows: Rows, time: Ints, values: Floats) -> Stood:
        """Take in one row of each of `rows`: Unix seconds and values, [n]. Missing values and rows that are not newer
        are passed over."""
        state = self.memory.take(rows)
        known = np.isfinite(values) & (time > state.newest)
        new = known & (state.first == np.iinfo(np.int64).min)
        np.copyto(state.first, time, where=new)
        np.copyto(state.newest, time, where=known)
        again = known & (values == state.value)
        ends = known & ~again
        hour = np.mod(time, 86_400) // 3600
        each = np.arange(len(time))
        seen, same = state.seen[each, hour], state.same[each, hour]
        chance = np.clip((same + 1) / (seen + 2), LEAST_CHANCE, 1 - LEAST_CHANCE)
        # A run that was told was a fault, and teaches nothing.
        reached = np.where(state.told, 0, state.nats)
        state.most[:] = np.where(known, KEEP * np.where(ends, np.maximum(state.most, reached), state.most), state.most)
        state.nats[:] = np.where(again, state.nats - np.log(chance), np.where(ends, 0, state.nats))
        state.rows[:] = np.where(again, state.rows + 1, np.where(ends, 0, state.rows))
        np.copyto(state.since, time, where=ends)
        np.copyto(state.value, values, where=ends)
        stood = np.where(known, time - state.since, 0)
        ready = known & (time - state.first >= LEARNING_S) & (stood >= LEAST_S) & (state.rows >= LEAST_ROWS)
        ratio = np.where(ready, state.nats / np.maximum(NEED, MARGIN * state.most), 0)
        state.told[ends] = False
        alarm = (ratio >= 1) & ~state.told
        state.told |= alarm
        learns = known & ~state.told & ~new
        halve = np.where(seen >= COUNTED, 0.5, 1)
        state.seen[each, hour] = np.where(learns, (seen + 1) * halve, seen)
        state.same[each, hour] = np.where(learns, (same + again) * halve, same)
        self.memory.put(rows, state)
        return Stood(ratio / (1 + ratio), alarm, stood / 3600)
