"""Which of the gateway's detectors judge a series of a file, in one form for all kinds."""

import itertools
from typing import Final, Literal

import numpy as np

from gateway.detect.air import neighbours
from gateway.detect.air.fault import Fault
from gateway.detect.air.station import Kind as FaultKind
from gateway.detect.core import NONE, PATTERN, SEASON, VALUE, Core
from gateway.detect.memory import Floats, Ints, Rows
from gateway.detect.standstill import Standstill
from gateway.evaluate.meters import Meters
from gateway.evaluate.verdict import Detector, Verdict

Kind = Literal["generic", "traffic", "water", "air"]
LEAST_STATIONS: Final = 3
"""From which on they are judged against each other: with two nobody can say which one is wrong."""

_KINDS: Final = {
    NONE: "unusual",
    VALUE: "unusual value",
    SEASON: "unusual for the hour",
    PATTERN: "unusual course",
}


def detector(kind: Kind, series: int, *, together: bool) -> Detector:
    """For so many series of a kind. `together`: they are the columns of one site, and each call holds all of them."""
    found: Detector
    if kind == "water":
        found = Meters()
    elif kind == "air" and together and series >= LEAST_STATIONS:
        found = Stations(series)
    elif kind in ("air", "traffic"):
        found = Both(Generic(), Still())
    else:
        found = Generic()
    found.grow(series)
    return found


class Generic:
    """The core: any series by its own past."""

    def __init__(self) -> None:
        self._core = Core()

    def grow(self, series: int) -> None:
        self._core.grow(series)

    def step(self, rows: Rows, time: Ints, values: Floats) -> Verdict:
        found = self._core.step(rows, time, values)

        def reason(at: int) -> str:
            what = f"{_KINDS[int(found.evidence[at])]}: seen {values[at]:.6g}"
            if np.isnan(found.expected[at]):
                return f"{what}; expected: nothing like it in this series' past"
            return f"{what}; expected: {found.expected[at]:.6g}, give or take {found.spread[at]:.3g}"

        return Verdict(found.score.astype(np.float64), found.alarm, reason)


class Still:
    """Stuck and dead sensors."""

    def __init__(self) -> None:
        self._still = Standstill()

    def grow(self, series: int) -> None:
        self._still.grow(series)

    def step(self, rows: Rows, time: Ints, values: Floats) -> Verdict:
        found = self._still.step(rows, time, values)

        def reason(at: int) -> str:
            return (
                f"stuck: seen {values[at]:g} without a change for {found.hours[at]:.0f} h; "
                "expected: at these hours this series has never stood still so long"
            )

        return Verdict(found.score, found.alarm, reason)


class Both:
    """Two detectors over the same series: an alarm of one is an alarm."""

    def __init__(self, first: Detector, second: Detector) -> None:
        self._first, self._second = first, second

    def grow(self, series: int) -> None:
        self._first.grow(series)
        self._second.grow(series)

    def step(self, rows: Rows, time: Ints, values: Floats) -> Verdict:
        one, two = (each.step(rows, time, values) for each in (self._first, self._second))

        def reason(at: int) -> str:
            return "; ".join(each.reason(at) for each in (one, two) if each.alarm[at])

        return Verdict(np.maximum(one.score, two.score), one.alarm | two.alarm, reason)


class Stations:
    """Air stations of one site, each against its neighbours; of a large site so many columns at a time as can be."""

    def __init__(self, stations: int) -> None:
        parts = -(-stations // neighbours.MOST)
        bounds = np.linspace(0, stations, parts + 1).round().astype(int)
        self._parts = [(slice(first, last), Fault(last - first)) for first, last in itertools.pairwise(bounds.tolist())]
        self._stations = stations

    def grow(self, series: int) -> None:
        if series != self._stations:
            raise ValueError(f"{series} stations, made for {self._stations}")

    def step(self, rows: Rows, time: Ints, values: Floats) -> Verdict:
        """All stations at one time."""
        found = [fault.step(int(time[0]), values[part]) for part, fault in self._parts]
        kind, seen, expected, since = (
            np.concatenate([getattr(each, name) for each in found]) for name in ("kind", "seen", "expected", "since")
        )

        def reason(at: int) -> str:
            hours = (time[at] - since[at]) / 3600
            told = "what its neighbours do not tell" if np.isnan(expected[at]) else f"{expected[at]:.0f}"
            name = FaultKind(int(kind[at])).name.lower()
            return f"{name}: seen {seen[at]:.0f} and the like for {hours:.0f} h; expected by its neighbours: {told}"

        score, begun = (np.concatenate([getattr(each, name) for each in found]) for name in ("score", "alarm"))
        return Verdict(score, begun, reason)
