"""Which of the gateway's detectors judge a series of a file, in one form for all kinds."""

import math
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
from gateway.quantities import QUANTITIES

Kind = Literal["generic", "traffic", "water", "air"]
LEAST_STATIONS: Final = 3
"""From which on they are judged against each other: with two nobody can say which one is wrong."""

_KINDS: Final = {
    NONE: "unusual",
    VALUE: "unusual value",
    SEASON: "unusual for the hour",
    PATTERN: "unusual course",
}


def limits(kind: Kind) -> tuple[float, float]:
    """Beyond which a value of a file cannot be, and is missing: a file does not say which quantity of the kind it has,
    so the widest of `quantities`. Litres of an interval may be negative, where a register went back; what a count of an
    interval of any length may be, nobody knows.
    """
    if kind not in ("water", "air"):
        return -math.inf, math.inf
    own = [each for each in QUANTITIES if each.measurement == kind]
    high = max(each.high for each in own)
    return (-high if kind == "water" else min(each.low for each in own)), high


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
        size, larger = divmod(stations, parts)
        # Parts of the same size are one detector's layers: a city's thousand stations are judged at once.
        self._split = larger * (size + 1)
        self._faults = [Fault(each, count) for each, count in ((size + 1, larger), (size, parts - larger)) if count]
        self._stations = stations

    def grow(self, series: int) -> None:
        if series != self._stations:
            raise ValueError(f"{series} stations, made for {self._stations}")

    def step(self, rows: Rows, time: Ints, values: Floats) -> Verdict:
        """All stations at one time."""
        parts = (each for each in np.split(values, [self._split]) if len(each))
        found = [
            fault.step(int(time[0]), part.reshape(fault.layers, fault.stations))
            for fault, part in zip(self._faults, parts, strict=True)
        ]
        kind, seen, expected, since, score, begun = (
            np.concatenate([getattr(each, name).ravel() for each in found])
            for name in ("kind", "seen", "expected", "since", "score", "alarm")
        )

        def reason(at: int) -> str:
            hours = (time[at] - since[at]) / 3600
            told = "what its neighbours do not tell" if np.isnan(expected[at]) else f"{expected[at]:.0f}"
            name = FaultKind(int(kind[at])).name.lower()
            return f"{name}: seen {seen[at]:.0f} and the like for {hours:.0f} h; expected by its neighbours: {told}"

        return Verdict(score, begun, reason)
