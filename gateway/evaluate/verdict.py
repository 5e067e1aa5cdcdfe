"""What any detector over a file is, and what it says."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from gateway.detect.memory import Bools, Floats, Ints, Rows


class Verdict(NamedTuple):
    """Of one row of each series [n]."""

    score: Floats
    """0..1."""
    alarm: Bools
    """True in the one row that raises an alarm."""
    reason: Callable[[int], str]
    """A sentence for a row that raises an alarm, by its place in the arrays."""


class Detector(Protocol):
    """Judges rows as they come; of each series one row a call."""

    def grow(self, series: int) -> None:
        """Have room for so many series."""

    def step(self, rows: Rows, time: Ints, values: Floats) -> Verdict:
        """Take in one row of each of the series `rows`, [n]: Unix seconds, values (NaN: missing)."""
