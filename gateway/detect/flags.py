"""States that any kind of node tells by itself, in events: `tamper` stays open until it is cleared, `power_fail` until
the node speaks again.

A flag is told when it changes, and once more after each start while it is on (firmware/sensors/meter.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Ints, Memory, column
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.records import Evidence, Severity

STAYS_S: Final = 300
"""A flag that is cleared for so long is: a lid that rattles is one incident. Our choice, as of other rules' ends."""


@dataclass(slots=True)
class Flags(Memory):
    """By number of the node, not of the series: an event is told of a channel, windows may be of others."""

    by = "node"

    open: Bools = column(np.bool_)
    cleared: Ints = column(np.int64)
    """When it went off, while an incident is open; 0 while it is on."""


class Flag(NodeRule):
    """Opens with the flag; closes when it is cleared and the node has then spoken for `STAYS_S` without it."""

    def __init__(self, kind: str, severity: Severity, seen: str, expected: str, *, passes: bool = False) -> None:
        """`kind` is the flag's name too; `seen` and `expected` complete the summary. With `passes` nobody clears it, as
        who tells it may be gone: it counts as cleared once it is told."""
        self.kind, self._severity, self._passes = kind, severity, passes
        self._seen, self._expected = seen, expected
        self.flags = Flags.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        told = windows.values.get(self.kind)
        if told is not None:
            return self._told(windows, told)
        flags = self.flags
        since = flags.cleared[windows.node]
        over = np.flatnonzero((since > 0) & (windows.time - since >= STAYS_S))
        found = []
        for at in over.tolist():
            node = int(windows.node[at])
            if flags.open[node]:  # the first of its lanes
                flags.open[node], flags.cleared[node] = False, 0
                found.append(Finding(self.kind, "close", int(windows.series[at]), int(windows.time[at]), channel=""))
        return found

    def _told(self, windows: Windows, told: Floats) -> list[Finding]:
        flags, found = self.flags, []
        for at in np.flatnonzero(np.isfinite(told)).tolist():  # events are rare
            node, series, time = int(windows.node[at]), int(windows.series[at]), int(windows.time[at])
            if told[at] < 0.5:
                flags.cleared[node] = time if flags.open[node] else 0
                continue
            flags.cleared[node] = time if self._passes else 0
            if flags.open[node]:
                continue
            flags.open[node] = True
            evidence = Evidence(self.kind, 1.0, 0.0, "", self._seen)
            summary = f"Seen: {self._seen}; expected: {self._expected}."
            found.append(Finding(self.kind, "open", series, time, self._severity, summary, (evidence,), channel=""))
        return found


def power_fail() -> Flag:
    """By the supervisor of the node's supply (firmware/node/supply.py)."""
    return Flag("power_fail", "warning", "the node's supply is failing", "power without a break", passes=True)


def tamper() -> Flag:
    """Sensus, Diehl and Kamstrup latch it: here it stays open until the housing is shut and stays so."""
    return Flag("tamper", "warning", "the housing is open", "shut, but for announced work")
