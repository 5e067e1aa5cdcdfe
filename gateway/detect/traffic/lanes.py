"""What a lane's window says of its traffic, and how fast the lane usually is. For all rules about queues.

Occupancy and speed together tell a queue: full and slow. How slow is slow depends on the street, so each lane learns
its own usual speed, and does not learn from what looks like a queue.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, column

FULL: Final = 30.0
"""%: the occupancy from which California algorithm #8 takes traffic for congested, not for merely dense (Payne and
Tignor, Transportation Research Record 682, 1978). Free rush-hour traffic in town stays below about 15 %."""
SLOW: Final = 30.0
"""km/h, while a lane's usual speed is not known: our choice, 60 % of a limit of 50."""
SLOW_SHARE: Final = 0.6
"""Of the usual speed: the same for streets of other limits, and below the speed at capacity, which is 0.7 to 0.85 of
that of the empty street (Highway Capacity Manual). A street of 30 km/h is slow below 18."""
COLLAPSED: Final = 0.5
"""Of the usual speed: our choice. No dense but flowing traffic is so slow, so one window of it is strong evidence."""
VEHICLES: Final = 3
"""That a counter must have counted for one window to be strong evidence: one or two may be a bus at its stop."""
EFFECTIVE_M: Final = 6.5
"""m: a vehicle over a loop, 4.5 + 2, for `occupancy` from volume and speed where a detector has none (a radar):
occupancy = flow x length / speed (the one-loop formula, turned round)."""
FALL_S: Final = 6 * 3600.0
RISE_S: Final = 1800.0
"""Seconds of traffic in which the usual speed follows to a lower or higher one: it is that of free traffic, which is
the faster. Our choice: slower than any jam, faster than a new speed limit is forgotten."""
BUSY: Final = 10.0
"""Vehicles from which a window's mean speed counts fully: single drivers differ by a quarter of it."""
KNOWN: Final = 50.0
"""Vehicles after which the usual speed is known: its mean is then good to 4 %."""


@dataclass(slots=True)
class Usual(Memory):
    """Of each lane, its usual speed in free traffic."""

    speed: Floats32 = column(np.float32)
    """km/h."""
    vehicles: Floats32 = column(np.float32)
    """Seen so far, counted to a little more than KNOWN."""

    def known(self) -> Bools:
        return self.vehicles >= KNOWN


class Lanes(NamedTuple):
    """What windows say, lane by lane. Arrays [n]."""

    occupancy: Floats
    """%; from volume and speed where there is none; NaN for unknown."""
    speed: Floats
    volume: Floats
    """0 where unknown."""
    jammed: Bools
    """Full and slow."""
    free: Bools
    """One of both at most. A full lane without a speed is neither: nothing may have moved at all."""
    collapsed: Bools
    """Full, and the speed half of the usual or less."""
    slow: Bools
    """Slow, or not measured: does not speak against a queue."""


def read(usual: Usual, occupancy: Floats, speed: Floats, volume: Floats, gap: Ints) -> Lanes:
    """What windows of these lanes say, given what is usual. [n] each: %, km/h, vehicles, seconds since the one before.

    NaN is unknown. `gap` is taken for the window's length where the occupancy has to be made of flow and speed.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        made = np.where(gap > 0, 100 * volume * EFFECTIVE_M * 3.6 / (speed * gap), np.nan)
        made = np.where(volume == 0, 0.0, made)
        occupancy = np.where(np.isnan(occupancy), np.minimum(made, 100.0), occupancy)
        known = usual.known()
        measured = np.isfinite(speed)
        slow = speed <= np.where(known, SLOW_SHARE * usual.speed, SLOW)
        full = occupancy >= FULL
        jammed = full & slow
        free = (occupancy < FULL) | (full & measured & ~slow)
        collapsed = full & known & (speed <= COLLAPSED * usual.speed)
    counted = np.where(np.isfinite(volume), volume, 0.0)
    return Lanes(occupancy, speed, counted, jammed, free, collapsed, slow | ~measured)


def learn(usual: Usual, lanes: Lanes, gap: Ints, queue: Bools) -> None:
    """Take free windows into the usual speeds, in place; `queue` [n] is where a queue is known to stand."""
    # A radar and a loop tell speeds without volume too: then one vehicle at least.
    learns = np.isfinite(lanes.speed) & lanes.free & ~queue
    weight = np.where(learns, np.maximum(lanes.volume, 1.0), 0.0)
    off = np.where(learns, lanes.speed, 0.0) - usual.speed
    seen = usual.vehicles + weight
    slow = np.clip(gap, 60, 900) * np.minimum(weight / BUSY, 1.0) / np.where(off > 0, RISE_S, FALL_S)
    share = np.where(seen > KNOWN, np.minimum(slow, 1.0), weight / np.maximum(seen, 1.0))  # the plain mean at first
    usual.speed += np.where(learns, share * off, 0.0).astype(np.float32)
    usual.vehicles[:] = np.minimum(seen, KNOWN + 1)


class Counters(NamedTuple):
    """Rows of windows by counter."""

    order: Ints
    """[n] rows, those of a counter together, by series."""
    first: Ints
    """[counters] where in `order` each begins."""
    node: Ints
    """[counters] number of each."""

    def any(self, lanes: Bools) -> Bools:
        found: Bools = np.logical_or.reduceat(lanes[self.order], self.first)
        return found

    def all(self, lanes: Bools) -> Bools:
        found: Bools = np.logical_and.reduceat(lanes[self.order], self.first)
        return found

    def sum(self, lanes: Floats) -> Floats:
        found: Floats = np.add.reduceat(lanes[self.order], self.first)
        return found

    def max(self, lanes: Ints) -> Ints:
        found: Ints = np.maximum.reduceat(lanes[self.order], self.first)
        return found

    def spread(self, counters: Bools) -> Bools:
        """[n] of each row, that of its counter."""
        found = np.zeros(len(self.order), np.bool_)
        found[self.order] = np.repeat(counters, np.diff(np.append(self.first, len(self.order))))
        return found

    def share(self, counters: Floats) -> Floats:
        """As `spread`, of numbers."""
        found = np.zeros(len(self.order))
        found[self.order] = np.repeat(counters, np.diff(np.append(self.first, len(self.order))))
        return found

    def rows(self, counter: int) -> Ints:
        end = self.first[counter + 1] if counter + 1 < len(self.first) else len(self.order)
        return self.order[self.first[counter] : end]


def by_counter(node: Ints, series: Ints) -> Counters:
    """At least one row."""
    order = np.lexsort((series, node))
    sorted_node = node[order]
    first = np.flatnonzero(np.concatenate(([True], sorted_node[1:] != sorted_node[:-1])))
    return Counters(order, first, sorted_node[first])
