"""Rules for the tests of what is around rules, and windows and frames made by hand for the tests of rules."""

from collections.abc import Mapping, Sequence

import numpy as np

from gateway.detect.memory import Floats
from gateway.detect.plan import GroupPlan
from gateway.detect.rule import SITE, Finding, Frame, NodeRule, SiteRule, Windows
from gateway.detect.site import Rules
from gateway.detect.spells import Patience, Spells, above, extend

T0 = 1_795_417_200
"""2026-11-23, a Monday, 07:00 UTC."""


def windows(
    time: int, values: Mapping[str, Sequence[float]], series: Sequence[int] | None = None, gap: int = 60
) -> Windows:
    """One window of each series at a time; each a node of its own."""
    arrays = {name: np.array(each, float) for name, each in values.items()}
    count = len(next(iter(arrays.values())))
    numbers = np.arange(count) if series is None else np.array(series)
    return Windows(numbers, numbers, np.full(count, time), np.full(count, gap), arrays)


def frame(time: int, values: Mapping[str, Sequence[float]]) -> Frame:
    """One minute; each series a node of its own, and just heard."""
    arrays: dict[str, Floats] = {name: np.array(each, float) for name, each in values.items()}
    count = len(next(iter(arrays.values())))
    known = np.isfinite(next(iter(arrays.values())))
    return Frame(time, np.arange(count), arrays, np.where(known, time, 0))


class High(NodeRule):
    """A quantity was 100 or more for three minutes; below 50 for three it has ended."""

    def __init__(self) -> None:
        self.spells = Spells.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        part = self.spells.take(windows.series)
        opened, closed = extend(part, Patience(180, 180), windows.time, above(windows.get("flow"), 100, 50))
        self.spells.put(windows.series, part)
        found = []
        for row in np.flatnonzero(opened | closed).tolist():
            state, series, time = "open" if opened[row] else "close", int(windows.series[row]), int(windows.time[row])
            found.append(Finding("high", state, series, time, "warning", "High; expected: low."))  # type: ignore[arg-type]
        return found


class Mean(SiteRule):
    """The mean over the site is 100 or more."""

    def __init__(self) -> None:
        self.scalars = {"open": 0.0}

    def tick(self, frame: Frame, plan: GroupPlan) -> Sequence[Finding]:
        flow = frame.get("flow")
        high = bool(np.isfinite(flow).any() and np.nanmean(flow) >= 100)
        if high == bool(self.scalars["open"]):
            return []
        self.scalars["open"] = float(high)
        return [Finding("mean", "open" if high else "close", SITE, frame.time, "critical", "All high; expected: low.")]


RULES = {"water": Rules((High,), (Mean,))}
