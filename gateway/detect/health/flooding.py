"""`flooding`: a node sends far more windows than it used to: a loose contact, a wrong setting, a bad program."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Ints, Memory, column
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.records import Evidence

HOUR_S: Final = 3600
TIMES: Final = 5.0
MORE: Final = 60
"""An hour with so many times its usual number of windows and one a minute more. Our choice."""
_MEMORY_H: Final = 168
_LEAST_H: Final = 24
"""Hours that must be known of a node."""


@dataclass(slots=True)
class Rate(Memory):
    """By number of the node."""

    by = "node"

    hour: Ints = column(np.int64)
    count: Ints = column(np.int64)
    """Windows of the present hour."""
    usual: Floats = column(np.float64)
    hours: Ints = column(np.int64)
    open: Bools = column(np.bool_)


class Flooding(NodeRule):
    """For every kind. By the times of windows and events, so that what was kept in an outage is no flood."""

    def __init__(self) -> None:
        self.rate = Rate.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        node, first = np.unique(windows.node, return_index=True)  # lanes come together
        time, rate = windows.time[first], self.rate.take(node)
        hour = time // HOUR_S
        over = hour > rate.hour
        bound = TIMES * rate.usual + MORE
        learns = over & (rate.hour > 0) & (rate.count <= bound)
        learns |= over & (rate.hour > 0) & (rate.hours < _LEAST_H)
        weight = 1 / np.minimum(rate.hours + 1, _MEMORY_H)
        closed = rate.open & over & (rate.count <= bound / 2)
        np.copyto(rate.usual, rate.usual + weight * (rate.count - rate.usual), where=learns)
        rate.hours += learns
        rate.count[:] = np.where(over, 0, rate.count) + (hour >= rate.hour)
        rate.hour[:] = np.maximum(hour, rate.hour)
        bound = TIMES * rate.usual + MORE
        opened = ~rate.open & (rate.hours >= _LEAST_H) & (rate.count > bound)
        rate.open ^= opened | closed
        self.rate.put(node, rate)
        found = []
        for at in np.flatnonzero(opened | closed).tolist():
            series, when = int(windows.series[first[at]]), int(time[at])
            if closed[at]:
                found.append(Finding("flooding", "close", series, when, channel=""))
                continue
            count, usual = float(rate.count[at]), float(rate.usual[at])
            text = f"{count:.0f} windows and events within an hour that is not over"
            evidence = (Evidence("windows an hour", count, usual, "count", text),)
            summary = f"Seen: {text}; expected: {usual:.0f} an hour."
            found.append(Finding("flooding", "open", series, when, summary=summary, evidence=evidence, channel=""))
        return found
