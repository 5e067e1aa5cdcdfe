"""`jam`, along its street: where its front and its back are, and whether a crash holds it up. `crash` without a jam.

What a counter alone knows `Jam` tells; this brings new evidence to its incidents.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Ints, Memory, column
from gateway.detect.plan import GroupPlan
from gateway.detect.rule import Finding, Frame, SiteRule, State
from gateway.detect.spells import Patience, Spells, extend, speaks
from gateway.detect.traffic.california import DIFFERENCE, Pairs, minute
from gateway.detect.traffic.lanes import Usual, by_counter, learn, read
from gateway.records import Evidence

STANDS: Final = Patience(opens_after=2 * 60, closes_after=5 * 60, least_windows=2)
"""When a counter is part of a queue: our choice, so that its ends do not flicker."""
CRASH: Final = Patience(opens_after=5 * 60, closes_after=5 * 60, least_windows=5)
"""When California's incident is told of although no jam stands there: a jam would have shown by then. Our choice."""
AGAIN_S: Final = 10 * 60
"""Seconds after which a confirmed incident is another one."""
_OBSTACLE: Final[tuple[str, State]] = ("crash", "open")
_CAUSE: Final[tuple[str, State]] = ("jam", "update")


@dataclass(slots=True)
class Ends(Memory):
    """By a counter's node."""

    by = "other"

    seen: Ints = column(np.int64)
    """Of each lane, by its series: the minute of its newest window."""
    back: Ints = column(np.int64, -1)
    """Of the queue whose front this is, the counter that was last told to be its back; -1 for none."""
    crash: Ints = column(np.int64)
    """The last minute of an incident between this counter and the next."""
    told: Ints = column(np.int64)
    """And the last of one that was told of as the jam's cause."""


class Queues(SiteRule):
    """Queues along the streets of the plan; without streets it finds nothing.

    A queue is of counters that are jammed, one after the other; one between them may say nothing. When its front or
    back moves to another counter, the jam's incident is updated. Where California algorithm #8 finds an incident
    between a jammed counter and the next, that is told as the jam's cause. Where it does so for five minutes and
    nothing is jammed, that is a `crash` of its own: an obstacle that the traffic passes.
    """

    def __init__(self) -> None:
        self.usual = Usual.blank(0)
        self.stands = Spells.blank(0)
        """A row a counter, by its node's number, like the following."""
        self.pairs = Pairs.blank(0)
        self.crashes = Spells.blank(0)
        self.ends = Ends.blank(0)

    def tick(self, frame: Frame, plan: GroupPlan) -> Sequence[Finding]:
        if not plan.streets:
            return []
        occupancy, speed, volume = (frame.get(name) for name in ("occupancy", "speed", "volume"))
        rows = np.flatnonzero(np.isfinite(occupancy) | np.isfinite(speed) | np.isfinite(volume))
        if len(rows):
            self._stand(frame, rows, occupancy[rows], speed[rows], volume[rows])
        leads = _leads(frame.node)
        return [*self._move(frame, plan, leads), *self._hold_up(frame, plan, leads, occupancy)]

    def _stand(self, frame: Frame, rows: Ints, occupancy: Floats, speed: Floats, volume: Floats) -> None:
        """Which counters are part of a queue."""
        seen = self.ends.seen[rows]
        gap = np.where(seen > 0, frame.time - seen, 0)
        self.ends.seen[rows] = frame.time
        usual = self.usual.take(rows)
        lanes = read(usual, occupancy, speed, volume, gap)
        counters = by_counter(frame.node[rows], rows)
        spells = self.stands.take(counters.node)
        time = np.full(len(counters.node), frame.time)
        extend(spells, STANDS, time, speaks(counters.any(lanes.jammed), counters.all(lanes.free)))
        learn(usual, lanes, gap, counters.spread(spells.open))
        self.usual.put(rows, usual)
        self.stands.put(counters.node, spells)

    def _move(self, frame: Frame, plan: GroupPlan, leads: dict[int, int]) -> Iterator[Finding]:
        """Queues whose front or back is another counter than was told."""
        for number, street in enumerate(plan.streets):
            standing = self.stands.open[list(street)]
            if not standing.any() and not (self.ends.back[list(street)] >= 0).any():
                continue
            fronts = set()
            for back, front in _runs(standing):
                node = street[front]
                fronts.add(node)
                if self.ends.back[node] == street[back] or (back == front and self.ends.back[node] < 0):
                    continue
                self.ends.back[node] = street[back]
                yield _placed(frame, plan, number, back, front, standing, leads)
            for node in street:
                if node not in fronts:
                    self.ends.back[node] = -1

    def _hold_up(self, frame: Frame, plan: GroupPlan, leads: dict[int, int], occupancy: Floats) -> Iterator[Finding]:
        """Incidents between counters."""
        up = np.array([node for street in plan.streets for node in street[:-1]], np.int64)
        down = np.array([node for street in plan.streets for node in street[1:]], np.int64)
        if not len(up):
            return
        up, first = np.unique(up, return_index=True)  # of a counter in two streets the first
        down = down[first]
        known = np.isfinite(occupancy)
        count = np.bincount(frame.node[known], minlength=len(self.ends.crash))
        total = np.bincount(frame.node[known], occupancy[known], minlength=len(self.ends.crash))
        with np.errstate(invalid="ignore"):
            mean = total / count
        pairs = self.pairs.take(up)
        confirmed = minute(pairs, mean[up], mean[down])
        self.pairs.put(up, pairs)
        jammed = self.stands.open[up]
        anew = frame.time - self.ends.told[up] > AGAIN_S
        self.ends.told[up[confirmed & jammed]] = frame.time
        # An obstacle lets some pass: where nobody comes to the next counter, that is dead or the street is closed.
        against: Bools = jammed | self.stands.open[down] | ~confirmed | ~(mean[down] > 0)
        opened, closed = self.crashes.turn(up, CRASH, np.full(len(up), frame.time), speaks(~against, against))
        for at in np.flatnonzero((confirmed & jammed & anew) | opened | closed).tolist():
            here, next_ = int(up[at]), int(down[at])
            lead = leads[here]
            if closed[at]:
                yield Finding("crash", "close", lead, frame.time, channel="")
                continue
            difference = float(mean[here] - mean[next_])
            text = f"occupied for {mean[here]:.0f} % here, {mean[next_]:.0f} % at the next counter downstream"
            evidence = (Evidence("occupancy against downstream", difference, DIFFERENCE, "%", text),)
            summary = (
                f"Traffic is held up between here and the next counter, as by a crash: {text}; "
                f"expected: less than {DIFFERENCE:.0f} % apart."
            )
            kind, state = _OBSTACLE if opened[at] else _CAUSE
            nodes = (leads[next_],)
            yield Finding(kind, state, lead, frame.time, "warning", summary, evidence, "", None, nodes, True)


def _leads(node: Ints) -> dict[int, int]:
    """The first series of each node."""
    nodes, first = np.unique(node, return_index=True)
    return dict(zip(nodes.tolist(), first.tolist(), strict=True))


def _runs(standing: Bools) -> list[tuple[int, int]]:
    """(back, front) of each queue, as places along the street: standing counters with at most one between them."""
    found: list[tuple[int, int]] = []
    for at in np.flatnonzero(standing).tolist():
        if found and at - found[-1][1] <= 2:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def _placed(
    frame: Frame, plan: GroupPlan, number: int, back: int, front: int, standing: Bools, leads: dict[int, int]
) -> Finding:
    """Where a queue is now."""
    street, name = plan.streets[number], plan.street_names[number] if plan.street_names else "the street"
    count = int(standing[back : front + 1].sum())
    of = "counter" if count == 1 else "counters"
    metres = plan.metres[number] if plan.metres else ()
    if metres:
        length = metres[front] - metres[back]
        text = f"it stands at {count} {of} of {name}, from {metres[back]:.0f} m to {metres[front]:.0f} m"
        evidence = Evidence("queue", length, 0.0, "m", text)
    else:
        text = f"it stands at {count} {of} of {name} in a row"
        evidence = Evidence("queue", count, 0.0, "1", text)
    nodes = tuple(leads[street[at]] for at in range(back, front) if standing[at])
    lead, time = leads[street[front]], frame.time
    return Finding("jam", "update", lead, time, evidence=(evidence,), channel="", nodes=nodes, confirmed=count > 1)
