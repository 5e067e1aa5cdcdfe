"""What the core says of readings."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from gateway.detect.memory import Bools, Floats, Floats32

NONE, VALUE, SEASON, PATTERN = range(4)
WHY = ("", "value", "season", "pattern")
"""The names of the evidences, by their numbers."""
Codes = NDArray[np.int8]


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """One entry per reading that was given, in its order."""

    score: Floats32
    """0..1; above 0 only where something is told, which is once an event."""
    alarm: Bools
    """True in the one row that raises."""
    evidence: Codes
    """Of `WHY`: the strongest one where the score is above 0, else `NONE`."""
    expected: Floats
    """By the season if it is known, else the level; NaN where nothing is known. In the unit of the value."""
    spread: Floats
    """The mean absolute deviation from that in the past, in the unit of the value."""

    @classmethod
    def nothing(cls, expected: Floats, spread: Floats) -> "Verdict":
        """That nothing is told of any reading."""
        rows = len(expected)
        return cls(np.zeros(rows, np.float32), np.zeros(rows, np.bool_), np.zeros(rows, np.int8), expected, spread)

    @classmethod
    def blank(cls, rows: int) -> "Verdict":
        """Of readings of which nothing can be said."""
        return cls.nothing(np.full(rows, np.nan), np.full(rows, np.nan))
