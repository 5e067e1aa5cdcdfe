"""`rollback`: a register went back: it was reset, tampered with, or is another meter's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Memory, column
from gateway.detect.readings import readings
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.detect.water.register import RETURN, Registers
from gateway.records import Evidence

LEAST_L: Final = 10.0
"""Litres that it went back by: less is a pulse or two that were counted again, or a reading that was rounded. Our
choice."""


@dataclass(slots=True)
class Fallen(Memory):
    open: Bools = column(np.bool_)


class Rollback(NodeRule):
    """One series a water meter: `volume`. Closes when it is back where it was, or after a day as another's."""

    def __init__(self) -> None:
        self.fallen = Fallen.blank(0)
        self.registers = Registers()

    def feed(self, windows: Windows) -> Sequence[Finding]:
        given = readings(windows, "volume")
        if given is None:
            return []
        rows, time = given.series, given.time
        drawn = self.registers.step(rows, time, given.value)
        high, fell = self.registers.memory.high[rows], self.registers.memory.fell[rows]
        was = self.fallen.open[rows]
        opened = drawn.rollback & (drawn.lost >= LEAST_L) & ~was
        closed = was & (np.isnan(high) | (time - fell >= RETURN))
        turns = np.flatnonzero(opened | closed)
        self.fallen.open[rows[turns]] = opened[turns]
        found = []
        for at in turns.tolist():
            series, when = int(rows[at]), int(time[at])
            if closed[at]:
                found.append(Finding("rollback", "close", series, when))
                continue
            lost, now = float(drawn.lost[at]), float(given.value[at])
            text = f"the register went back by {lost:.0f} l, to {now:.0f} l"
            evidence = Evidence("volume", now, now + lost, "l", text)
            summary = f"Seen: {text}; expected: it only grows, until somebody swaps the meter."
            found.append(Finding("rollback", "open", series, when, summary=summary, evidence=(evidence,)))
        return found
