"""What a meter's register tells: litres of windows, though it stands still, goes back, jumps or is swapped."""

import dataclasses
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, Rows, column
from gateway.detect.rule import Remembering

MOST_FLOW: Final = 5000.0
"""l/h: overload flow Q4 = 1.25 Q3 of the largest home meter, Q3 = 4 m³/h (OIML R 49)."""
RETURN: Final = 24 * 3600
"""Seconds within which a register that went back may come back to where it was: a reading gone wrong. Later it is
another register, of a meter that was swapped or reset (our choice)."""
UNKNOWN: Final = 0
REGISTER: Final = 1
FLOW: Final = 2
CHANGES: Final = 8
"""Changes of a value before it is called a register or not: of a flow half go down, by chance none of 8 in 1 of 256."""
FALLS: Final = 0.2
"""Part of the changes that go down, at most, in a register: real ones have 0.03 at most, a flow about 0.5."""
COUNTED: Final = 1000
"""Changes after which the counts are halved."""


@dataclasses.dataclass(slots=True)
class RegisterMemory(Memory):
    """Per meter."""

    time: Ints = column(np.int64, np.iinfo(np.int64).min)
    """Of the newest reading."""
    value: Floats = column(np.float64, np.nan)
    """Litres of the newest reading."""
    high: Floats = column(np.float64, np.nan)
    """Where it stood before it went back; NaN when it did not, or long ago."""
    fell: Ints = column(np.int64)
    """When it went back."""


@dataclasses.dataclass(frozen=True, slots=True)
class Drawn:
    """Of each reading [n]: the window since the reading before."""

    litres: Floats
    """NaN where unknown: the first reading, one that is none or not newer, where the register went back or jumped."""
    seconds: Floats
    """Length of the window, 0 where there is none."""
    rollback: Bools
    """The register went back with this reading."""
    lost: Floats
    """Litres that it went back by; 0 otherwise."""
    swapped: Bools
    """Another register: it jumped faster than water can flow, or did not come back from where it fell to. True once."""


class Registers(Remembering):
    """Registers of many meters at once; `grow` makes room for them. `most_flow`: l/h that may pass a meter."""

    def __init__(self, most_flow: float = MOST_FLOW) -> None:
        self.memory = RegisterMemory.blank(0)
        self._most_flow = most_flow

    def step(self, rows: Rows, time: Ints, value: Floats) -> Drawn:
        """Take in one reading of each of `rows`: time (s) and register (l), each [n].

        Readings that are not finite or not newer are passed over. The litres of a gap are those of one long window.
        """
        state = self.memory.take(rows)
        valid = np.isfinite(value) & (time > state.time)
        started = valid & ~np.isnan(state.value)
        seconds = np.where(started, time.astype(np.float64) - state.time, 0)
        rise = np.where(started, value - state.value, 0)
        most = self._most_flow * np.maximum(seconds, 3600) / 3600
        fast = rise > most
        rollback = rise < 0
        # A reading gone wrong, and back: what seems a jump is what was drawn since before it.
        back = started & (value >= state.high)
        drawn = np.where(back & fast, value - state.high, rise)
        given_up = started & ~np.isnan(state.high) & ~back & (time - state.fell > RETURN)
        swapped = given_up | (drawn > most)
        litres = np.where(started & ~rollback & (drawn <= most), drawn, np.nan)
        fell = rollback & (np.isnan(state.high) | given_up)
        state.high[:] = np.where(fell, state.value, np.where(back | swapped, np.nan, state.high))
        state.fell[:] = np.where(fell, time, state.fell)
        state.value[:] = np.where(valid, value, state.value)
        state.time[:] = np.where(valid, time, state.time)
        self.memory.put(rows, state)
        return Drawn(litres, seconds, rollback, np.where(rollback, -rise, 0), swapped)


@dataclasses.dataclass(slots=True)
class KindMemory(Memory):
    """Per column."""

    value: Floats = column(np.float64, np.nan)
    rises: Floats32 = column(np.float32)
    falls: Floats32 = column(np.float32)


class Kinds(Remembering):
    """Whether columns without a unit are registers or flows: a register hardly ever falls, a flow as often as not."""

    def __init__(self) -> None:
        self.memory = KindMemory.blank(0)

    def step(self, rows: Rows, value: Floats) -> NDArray[np.int8]:
        """[n] UNKNOWN, REGISTER or FLOW, by the values so far and this one of each of `rows`."""
        state = self.memory.take(rows)
        state.rises += value > state.value
        state.falls += value < state.value
        state.value[:] = np.where(np.isfinite(value), value, state.value)
        changes = state.rises + state.falls
        kind = np.where(changes < CHANGES, UNKNOWN, np.where(state.falls <= FALLS * changes, REGISTER, FLOW))
        for counts in (state.rises, state.falls):
            counts[changes >= COUNTED] /= 2
        self.memory.put(rows, state)
        return kind.astype(np.int8)
