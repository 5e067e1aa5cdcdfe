"""`jam`: a lane is full and slow; when it began to form, when it stands, when it has gone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from msgspec import structs

from gateway.detect.memory import Floats32, Ints, Memory, column
from gateway.detect.rule import Finding, NodeRule, State, Windows
from gateway.detect.spells import FIRST_WINDOW, MAX_GAP, Patience, Spells, extend, speaks
from gateway.detect.traffic.lanes import (
    FULL,
    SLOW,
    SLOW_SHARE,
    VEHICLES,
    Counters,
    Lanes,
    Usual,
    by_counter,
    learn,
    read,
)
from gateway.records import Evidence

PATIENCE: Final = Patience(opens_after=3 * 60, closes_after=5 * 60)
"""Of what is full and slow. Our choice: a red light holds traffic for a minute or two."""
DECEIVED: Final = 0.5
"""A counter whose strong signs came to nothing so often lately needs PATIENCE for them too."""
FORGET_S: Final = 30 * 86_400.0
"""Seconds in which a deception is half forgotten: a month."""
HINT: Final = 0.8
"""Of the usual speed, about that at capacity: slower in each window, a queue may be forming."""


@dataclass(slots=True)
class Cases(Memory):
    """Of each counter; a row by its node's number."""

    by = "node"

    deceived: Floats32 = column(np.float32)
    """Strong signs that came to nothing, fading."""
    time: Ints = column(np.int64)
    """Of the newest window."""
    forming: Ints = column(np.int64)
    """Since when it has been slower than HINT; 0 while it is not."""
    began: Ints = column(np.int64)
    """The open jam: its first window, as far as the rule has it."""


class Jam(NodeRule):
    """A jam of a counter opens when any of its lanes is jammed for three minutes, or in one window if all of them are.

    One window is enough where the speed has collapsed to half of the lane's own usual one, no other lane contradicts,
    and some vehicles have been counted, unless such a sign has deceived at this counter lately. It ends after five
    minutes in which no lane is jammed. `since` tells when the traffic began to slow down: the jam was forming then.
    """

    def __init__(self) -> None:
        self.usual = Usual.blank(0)
        self.spells = Spells.blank(0)
        """A row a counter, by its node's number."""
        self.cases = Cases.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        occupancy, speed, volume = (windows.get(name) for name in ("occupancy", "speed", "volume"))
        rows = np.flatnonzero(np.isfinite(occupancy) | np.isfinite(speed) | np.isfinite(volume))  # events have none
        if not len(rows):
            return []
        series, gap = windows.series[rows], windows.gap[rows]
        usual = self.usual.take(series)
        lanes = read(usual, occupancy[rows], speed[rows], volume[rows], gap)
        counters = by_counter(windows.node[rows], series)
        time = counters.max(windows.time[rows])
        spells, cases = self.spells.take(counters.node), self.cases.take(counters.node)
        _form(cases, lanes, usual, counters, time)
        opened, closed = extend(spells, PATIENCE, time, speaks(counters.any(lanes.jammed), counters.all(lanes.free)))
        strong = counters.any(lanes.collapsed) & counters.all(lanes.slow) & (counters.sum(lanes.volume) >= VEHICLES)
        cases.deceived *= (0.5 ** (np.minimum(time - cases.time, FORGET_S) / FORGET_S)).astype(np.float32)
        opened |= strong & ~spells.open & (cases.deceived < DECEIVED)
        spells.open |= opened
        cases.began[opened] = spells.since[opened]
        cases.deceived += closed & (spells.since - cases.began < PATIENCE.opens_after)
        cases.time[:] = time
        found = []
        for at in np.flatnonzero(opened | closed).tolist():
            own = counters.rows(at)
            state: State = "open" if opened[at] else "close"
            # It is of the counter, whichever of its lanes are in this window.
            finding = Finding("jam", state, int(series[own[0]]), int(time[at]), channel="")
            found.append(_told(finding, lanes, usual, own, int(cases.forming[at])) if opened[at] else finding)
        learn(usual, lanes, gap, counters.spread(spells.open))
        self.usual.put(series, usual)
        self.spells.put(counters.node, spells)
        self.cases.put(counters.node, cases)
        return found


def _form(cases: Cases, lanes: Lanes, usual: Usual, counters: Counters, time: Ints) -> None:
    """Since when each counter has been slower than it should be, lanes by their vehicles."""
    measured = np.isfinite(lanes.speed) & usual.known()
    weight = np.where(measured, np.maximum(lanes.volume, 1.0), 0.0)
    seen = counters.sum(np.where(measured, weight * lanes.speed, 0.0))
    slow = seen < HINT * counters.sum(weight * usual.speed)
    gap = time - cases.time
    new = slow & ((cases.forming == 0) | (gap > MAX_GAP))
    cases.forming[:] = np.where(slow, np.where(new, time - np.minimum(gap, FIRST_WINDOW), cases.forming), 0)


def _told(finding: Finding, lanes: Lanes, usual: Usual, own: Ints, forming: int) -> Finding:
    """With what is to be seen in the counter's lanes."""
    evidence = []
    known = usual.known()
    for number, row in enumerate(own.tolist(), 1):
        if not lanes.jammed[row]:
            continue
        occupancy, speed = float(lanes.occupancy[row]), float(lanes.speed[row])
        normal = float(usual.speed[row])
        lane = f"lane {number}" if len(own) > 1 else "the lane"
        limit = SLOW_SHARE * normal if known[row] else SLOW
        evidence.append(Evidence("occupancy", occupancy, FULL, "%", f"{lane} was occupied for {occupancy:.0f} %"))
        text = f"at {speed:.0f} km/h" + (f", usually {normal:.0f} km/h" if known[row] else "")
        evidence.append(Evidence("speed", speed, normal if known[row] else limit, "km/h", text))
    said = "; ".join(f"{full.text} {slow.text}" for full, slow in zip(evidence[::2], evidence[1::2], strict=True))
    summary = (
        f"Full and slow: {said}; expected: below {FULL:.0f} % or above {100 * SLOW_SHARE:.0f} % of the usual speed."
    )
    since = forming or None
    if forming and finding.time - forming > FIRST_WINDOW:
        minutes = (finding.time - forming) / 60
        text = f"it has been slower than usual for {minutes:.0f} min"
        evidence.append(Evidence("slowing", minutes, 0.0, "min", text))
    return structs.replace(finding, summary=summary, evidence=tuple(evidence), since=since)
