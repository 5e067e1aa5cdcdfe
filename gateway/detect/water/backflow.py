"""`backflow`: water runs backwards through a meter: contaminated water may get into the main.

Seen by the node's flag `reverse_flow` (two turns backwards in a row), or by its register of water that ran backwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Ints, Memory, column
from gateway.detect.readings import readings
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.records import Evidence

REVERSE_L: Final = 10.0
"""Litres backwards without an hour's pause, where no flag has told of it: more than pressure waves push back and forth
through a meter. Our choice."""
PAUSE_S: Final = 3600
OVER_S: Final = 1800
"""Nothing ran backwards for so long: over. The flag alone tells no end: it stays as the last turn was."""


@dataclass(slots=True)
class Reverse(Memory):
    """What ran backwards lately."""

    known: Bools = column(np.bool_)
    register: Floats = column(np.float64)
    grew: Ints = column(np.int64)
    """When the register grew last."""
    litres: Floats = column(np.float64)
    """In the present run."""
    flag: Bools = column(np.bool_)
    turned: Ints = column(np.int64)
    """When the flag changed last."""
    open: Bools = column(np.bool_)


class Backflow(NodeRule):
    """One series a water meter: `reverse_flow`, `reverse_volume`; the end of one without that register by `flow`."""

    def __init__(self) -> None:
        self.reverse = Reverse.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        told = windows.values.get("reverse_flow")
        if told is not None:
            return self._told(windows, told)
        found = self._grown(windows)
        return [*found, *self._over(windows)]

    def _told(self, windows: Windows, told: Floats) -> list[Finding]:
        found = []
        for at in np.flatnonzero(np.isfinite(told)).tolist():  # events are rare
            series, time = int(windows.series[at]), int(windows.time[at])
            self.reverse.flag[series], self.reverse.turned[series] = told[at] > 0.5, time
            if told[at] > 0.5 and not self.reverse.open[series]:
                found.append(self._opens(series, time, "the meter turned backwards twice in a row", 1.0, 0.0, ""))
        return found

    def _grown(self, windows: Windows) -> list[Finding]:
        given = readings(windows, "reverse_volume")
        if given is None:
            return []
        reverse = self.reverse.take(given.series)
        grown = np.where(reverse.known, given.value - reverse.register, 0)
        runs = grown > 0  # a register that went back is another meter's, or a rollback: `register`
        again = runs & (given.time - reverse.grew > PAUSE_S)
        reverse.litres[:] = np.where(runs, np.where(again, 0, reverse.litres) + grown, reverse.litres)
        np.copyto(reverse.grew, given.time, where=runs)
        reverse.register[:], reverse.known[:] = given.value, True
        enough = runs & ~reverse.open & (reverse.litres >= REVERSE_L)
        self.reverse.put(given.series, reverse)
        found = []
        for at in np.flatnonzero(enough).tolist():
            litres = float(reverse.litres[at])
            text = f"{litres:.0f} l ran backwards without an hour's pause"
            found.append(self._opens(int(given.series[at]), int(given.time[at]), text, litres, 0.0, "l"))
        return found

    def _over(self, windows: Windows) -> list[Finding]:
        """Those whose register stood still for long, or, without such a register, whose flag is off."""
        reverse = self.reverse.take(windows.series)
        quiet = windows.time - np.maximum(reverse.grew, reverse.turned) >= OVER_S
        over = reverse.open & quiet & (reverse.known | ~reverse.flag)
        found = []
        for at in np.flatnonzero(over).tolist():
            series = int(windows.series[at])
            self.reverse.open[series], self.reverse.litres[series] = False, 0
            found.append(Finding("backflow", "close", series, int(windows.time[at]), "critical"))
        return found

    def _opens(self, series: int, time: int, text: str, seen: float, expected: float, unit: str) -> Finding:
        self.reverse.open[series] = True
        what = "reverse_volume" if unit else "reverse_flow"
        summary = f"Seen: {text}; expected: water runs into a home only, a check valve holds it."
        evidence = (Evidence(what, seen, expected, unit, text),)
        return Finding("backflow", "open", series, time, "critical", summary, evidence)
