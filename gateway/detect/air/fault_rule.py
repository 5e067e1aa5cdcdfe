"""Stations of a site against each other, live: what `Fault` finds hour by hour in the minutes of a site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gateway.detect.air.fault import Fault
from gateway.detect.air.humidity import humid_evidence
from gateway.detect.air.means import median
from gateway.detect.air.neighbours import MOST
from gateway.detect.air.station import Kind, StationMemory, Verdicts
from gateway.detect.memory import Ints, Memory, column
from gateway.detect.plan import GroupPlan
from gateway.detect.rule import Finding, Frame, SiteRule
from gateway.quantities import units
from gateway.records import Evidence

LAYERS: Final[Mapping[str, str]] = {"pm2_5": "particles", "co2": "co2"}
"""What is compared, and the chip that it is of, as `stuck` calls it. PM1 and PM10 are of the same chip as PM2.5."""
NAMES: Final[Mapping[Kind, str]] = {
    Kind.STUCK: "stuck",
    Kind.ZERO: "zero",
    Kind.OFFSET: "offset",
    Kind.GAIN: "gain",
    Kind.DRIFT: "drift",
    Kind.NOISY: "noisy",
}
_WORDS: Final[Mapping[Kind, str]] = {
    Kind.STUCK: "repeats itself while its neighbours move",
    Kind.ZERO: "shows nothing while its neighbours do",
    Kind.OFFSET: "is off by as much in clean air as in bad air",
    Kind.GAIN: "is off by a factor",
    Kind.DRIFT: "has drifted away from its neighbours over days",
    Kind.NOISY: "is far above and far below its neighbours in turn",
}
_UNITS: Final = units("air")


@dataclass(slots=True)
class Faulty(Memory):
    """Of each series, the fault that was told of each layer: a `Kind`."""

    kind: Ints = column(np.int64, 0, (len(LAYERS),))


class AirFault(SiteRule):
    """Stations are compared in cells of `MOST`, in the order in which they were heard first."""

    def __init__(self) -> None:
        self.faulty = Faulty.blank(0)
        self.cells: list[Fault] = []

    def tick(self, frame: Frame, plan: GroupPlan) -> Sequence[Finding]:
        """Faults that begin, end or become others with the first minute of an hour; nothing in all others."""
        count = len(frame.node)
        while len(self.cells) * MOST < count:
            self.cells.append(Fault(MOST, len(LAYERS)))
        values = np.full((len(LAYERS), len(self.cells) * MOST), np.nan)
        for layer, name in enumerate(LAYERS):
            values[layer, :count] = frame.get(name)
        found: list[Finding] = []
        for number, cell in enumerate(self.cells):
            first = number * MOST
            # A minute is known by its end: that of the full hour is the last of the hour before.
            verdicts = cell.step(frame.time - 1, values[:, first : first + MOST])
            if verdicts.alarm.any() or verdicts.over.any():
                found += self._turns(frame, verdicts, first)
        return found

    def _turns(self, frame: Frame, verdicts: Verdicts, first: int) -> list[Finding]:
        found = []
        for layer, place in np.argwhere(verdicts.alarm | verdicts.over).tolist():
            series, quantity = first + place, list(LAYERS)[layer]
            told = self.faulty.kind[series]
            if told[layer]:  # it is over, or has become another kind of fault
                name = NAMES[Kind(int(told[layer]))]
                found.append(Finding(name, "close", series, frame.time, channel=LAYERS[quantity]))
            told[layer] = Kind.NONE
            if verdicts.alarm[layer, place]:
                told[layer] = verdicts.kind[layer, place]
                found.append(_open(frame, verdicts, layer, place, series))
        return found

    def save(self) -> dict[str, Any]:
        return super().save() | {"cells": [cell.memory.save() for cell in self.cells]}

    def load(self, saved: Mapping[str, Any]) -> None:
        super().load(saved)
        self.cells = [Fault(MOST, len(LAYERS)) for _ in saved["cells"]]
        for cell, each in zip(self.cells, saved["cells"], strict=True):
            cell.memory = StationMemory.load(each)


def _open(frame: Frame, verdicts: Verdicts, layer: int, place: int, series: int) -> Finding:
    quantity, kind = list(LAYERS)[layer], Kind(int(verdicts.kind[layer, place]))
    seen, expected = float(verdicts.seen[layer, place]), float(verdicts.expected[layer, place])
    unit, since = _UNITS[quantity], int(verdicts.since[layer, place])
    beside = f"{expected:.0f} {unit} by its neighbours" if np.isfinite(expected) else "values that move"
    evidence = [
        Evidence(
            f"{quantity} against its neighbours",
            seen,
            expected if np.isfinite(expected) else seen,
            unit,
            f"the mean of the last hour was {seen:.0f} {unit}, expected {beside}",
        )
    ]
    if quantity == "pm2_5" and np.isfinite(seen):
        humidity = frame.get("humidity")
        evidence += humid_evidence(seen, float(humidity[series]), median(humidity))
    summary = f"{quantity} {_WORDS[kind]}: {seen:.0f} {unit} in the last hour; expected: {beside}."
    return Finding(
        NAMES[kind], "open", series, frame.time, "warning", summary, tuple(evidence), LAYERS[quantity], since or None
    )
