"""`frost`: the water in the meter, or its pit, is about to freeze."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Ints
from gateway.detect.readings import readings
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.detect.spells import Patience, Spells, speaks
from gateway.records import Evidence

FREEZES_CEL: Final = 3.0
"""As the node's own flag: a pipe in the pit's wall is colder than its middle. Our choice."""
THAWS_CEL: Final = 4.0
PATIENCE: Final = Patience(opens_after=600, closes_after=1800, least_windows=2, max_gap=7200)
"""Water cools slowly: ten minutes tell a broken thermometer's single reading from frost; half an hour is a thaw."""


class Frost(NodeRule):
    """One series a water meter: `temperature`, and the node's event `frost`, which is of a moment and is believed."""

    def __init__(self) -> None:
        self.spells = Spells.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        told = windows.values.get("frost")
        if told is not None:
            on = np.flatnonzero(told > 0.5)
            return self._opens(windows.series[on], windows.time[on], ~self.spells.open[windows.series[on]], None)
        given = readings(windows, "temperature")
        if given is None:
            return []
        warmth = given.value
        condition = speaks(warmth <= FREEZES_CEL, warmth > THAWS_CEL)
        opened, closed = self.spells.turn(given.series, PATIENCE, given.time, condition)
        found = [
            Finding("frost", "close", int(given.series[at]), int(given.time[at]))
            for at in np.flatnonzero(closed).tolist()
        ]
        return [*found, *self._opens(given.series, given.time, opened, warmth.tolist())]

    def _opens(self, series: Ints, time: Ints, opened: Bools, warmth: list[float] | None) -> list[Finding]:
        found = []
        for at in np.flatnonzero(opened).tolist():
            number, cold = int(series[at]), FREEZES_CEL if warmth is None else warmth[at]
            self.spells.open[number] = True
            text = f"the water was at {cold:.1f} °C"
            if warmth is None:
                text = f"the node told of {FREEZES_CEL:.0f} °C or less"
            evidence = Evidence("temperature", cold, THAWS_CEL, "Cel", text)
            summary = f"Seen: {text}; expected: above {THAWS_CEL:.0f} °C, or the meter may burst."
            found.append(Finding("frost", "open", number, int(time[at]), summary=summary, evidence=(evidence,)))
        return found
