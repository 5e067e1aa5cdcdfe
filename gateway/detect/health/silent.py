"""Stub."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.detect.memory import Ints, Memory, column
from gateway.detect.rule import Finding, Remembering


@dataclass(slots=True)
class _Habit(Memory):
    last: Ints = column(np.int64)


class Silent(Remembering):
    def __init__(self) -> None:
        self.habit = _Habit.blank(0)

    def tick(self, time: int, last: Ints) -> Sequence[Finding]:
        return []
