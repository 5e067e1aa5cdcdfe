"""`unusual`: an hour that a series' own past knows nothing like, of whatever cause. The generic core, live.

Of interest rather than an alarm: rules that know what they look at come first, and explain it where they agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gateway.detect.core import WHY, Core
from gateway.detect.memory import Bools, Floats, Ints, Memory, column
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.quantities import measured_in
from gateway.records import Evidence

HOUR_S: Final = 3600
WATCHED: Final[Mapping[str, tuple[str, ...]]] = {
    "traffic": ("volume", "speed"),
    "water": ("flow",),
    "air": ("pm2_5", "co2"),
}
"""What a node is for. Weather is left to the weather service, indices to their own day."""
LEAST_S: Final = 1800
"""That windows must have told of an hour, for its mean to be one."""
ORDINARY: Final = 3.0
"""Spreads from what is expected within which an hour is ordinary again: our choice."""
LASTS: Final = 6
"""Hours after which it is no news in any case: then it has become what is usual, or a rule has told of it."""


@dataclass(slots=True)
class Hours(Memory):
    """Of each series and quantity, the present hour so far, and whether an unusual one has been told."""

    hour: Ints = column(np.int64)
    """Number of the hour of Unix time; 0 before any."""
    total: Floats = column(np.float64)
    """Values times seconds."""
    seconds: Ints = column(np.int64)
    since: Ints = column(np.int64)
    """End of the hour that was told, Unix seconds; 0 while none is."""


class Unusual(NodeRule):
    """A row a series and quantity: series s, quantity q at s * quantities + q."""

    def __init__(self, measurement: str) -> None:
        self._watched = WATCHED[measurement]
        self._units = {each.name: each.unit for each in measured_in(measurement)}
        self.hours = Hours.blank(0)
        self.core = Core()

    def grow(self, series: int) -> None:
        rows = series * len(self._watched)
        self.hours.grow(rows)
        self.core.grow(len(self.hours))

    def save(self) -> dict[str, Any]:
        return super().save() | {"core": self.core.save()}

    def load(self, saved: Mapping[str, Any]) -> None:
        super().load(saved)
        self.core = Core.load(saved["core"])

    def feed(self, windows: Windows) -> Sequence[Finding]:
        found: list[Finding] = []
        for number, name in enumerate(self._watched):
            value = windows.values.get(name)
            if value is None:
                continue
            known = np.flatnonzero(np.isfinite(value))
            if len(known):
                found += self._judge(number, name, windows, known, value[known])
        return found

    def _judge(self, number: int, name: str, windows: Windows, known: Ints, value: Floats) -> list[Finding]:
        series = windows.series[known]
        rows = series * len(self._watched) + number
        part = self.hours.take(rows)
        hour = (windows.time[known] - 1) // HOUR_S  # a window that ends on the hour belongs to the one before
        new = hour != part.hour
        over: Bools = new & (part.seconds >= LEAST_S)
        mean = part.total / np.maximum(part.seconds, 1)
        end = (part.hour + 1) * HOUR_S
        lasted = np.minimum(windows.gap[known], HOUR_S)
        part.hour[:] = hour
        part.total[:] = np.where(new, 0.0, part.total) + value * lasted
        part.seconds[:] = np.where(new, 0, part.seconds) + lasted
        found: list[Finding] = []
        at = np.flatnonzero(over)
        if len(at):
            verdict = self.core.step(rows[at], end[at], mean[at])
            was = part.since[at]
            away = np.abs(mean[at] - verdict.expected) > ORDINARY * verdict.spread
            ends = (was > 0) & (~away | (end[at] - was >= LASTS * HOUR_S))
            for n in np.flatnonzero(ends).tolist():
                found.append(
                    Finding("unusual", "close", int(series[at[n]]), int(windows.time[known[at[n]]]), channel=name)
                )
            part.since[at] = np.where(ends, 0, was)
            for n in np.flatnonzero(verdict.alarm & ((was == 0) | ends)).tolist():
                i = int(at[n])
                part.since[i] = end[i]
                seen, expected, spread = float(mean[i]), float(verdict.expected[n]), float(verdict.spread[n])
                why = WHY[int(verdict.evidence[n])]
                found.append(
                    self._finding(int(series[i]), int(windows.time[known[i]]), name, why, seen, expected, spread)
                )
        self.hours.put(rows, part)
        return found

    def _finding(
        self, series: int, time: int, name: str, why: str, seen: float, expected: float, spread: float
    ) -> Finding:
        unit = self._units[name]
        evidence = Evidence(
            f"{name} ({why})", seen, expected, unit, f"{name} was {seen:.4g} {unit} in the mean of an hour"
        )
        summary = (
            f"{name} was {seen:.4g} {unit} in the mean of an hour, by its {why} unlike anything in this series' past; "
            f"expected: {expected:.4g}, give or take {spread:.2g}."
        )
        return Finding("unusual", "open", series, time, "info", summary, (evidence,), channel=name)
