"""Traffic as a fluid that obeys flow = speed x density: the cell transmission model over all cells of all streets.

Daganzo, "The cell transmission model", Transportation Research B 28 (1994) and 29 (1995): what crosses the border
of two cells in a step is the least of what the upper can send and the lower can receive. Jams form, grow upstream and
dissolve from their head at the speeds that flow and density give, with no rule for any of it.

The fundamental diagram is Smulders' (Transportation Research B 24, 1990): speed falls linearly with density up to
capacity, and flow falls linearly from there to the standing jam. A queue lets out less than the capacity of the free
street at its head (the capacity drop: Cassidy and Bertini, Transportation Research B 33, 1999, saw 4 to 10 %).
"""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from sim_hardware.city.records import Floats, Ints

STEP_S: Final = 10
_STEPS: Final = 60 // STEP_S
JAM_DENSITY: Final = 140.0
"""Vehicles per km and lane that stand: one in 7.1 m."""
AT_CAPACITY: Final = 0.8
"""Speed at capacity over that of an empty street."""
DROP: Final = 0.08
"""Share of the capacity by which a queue sends less at its head."""

QUEUE: Final = 1.02
"""Density over that at capacity from which we speak of a queue. What drives off at its head is part of it yet."""


class Road(Struct, frozen=True):
    """One street in one direction, everything about it decided."""

    name: str
    district: int
    lanes: int
    length_m: float
    limit_kmh: float
    capacity: float
    """veh/h and lane."""
    peak: float
    """veh/h that enter at its beginning at the height of the day."""
    heads: Literal["in", "out", "both"] = "both"
    """Full in the morning, in the evening, or both."""
    into: int = -1
    """The street it flows on into; -1: none."""
    onward: float = 1.0
    """The share of its vehicles that does; the others have arrived."""
    green: float = 1.0
    """The share of its capacity that its end lets through."""


def free_capacity(limit_kmh: float) -> float:
    """veh/h and lane of a street in town: about 1700 at 50 km/h; never so many that jams outrun vehicles."""
    return min(1150 + 11 * limit_kmh, 2000, largest_capacity(limit_kmh))


def largest_capacity(limit_kmh: float) -> float:
    """veh/h and lane at which waves run upstream as fast as vehicles downstream: the diagram ends there."""
    return limit_kmh * JAM_DENSITY / (1 + 1 / AT_CAPACITY)


def shortest_m(limit_kmh: float) -> float:
    """A vehicle may not pass more than one cell in a step (Courant, Friedrichs, Lewy): so a street is no shorter."""
    return limit_kmh / 3.6 * STEP_S


def from_above(into: Sequence[int]) -> list[int]:
    """All streets, each after those that flow into it; those in a circle, and what they flow into, are left out.

    `into` is the street that each flows into, anything that is not the number of one for none.
    """
    above = [0] * len(into)
    for street in into:
        if 0 <= street < len(into):
            above[street] += 1
    found = [street for street, count in enumerate(above) if not count]
    for street in found:  # grows while it is read
        if 0 <= (below := into[street]) < len(into):
            above[below] -= 1
            if not above[below]:
                found.append(below)
    return found


class Minute(Struct, frozen=True):
    """What happened in every cell."""

    flow: Floats
    """veh/h out of it."""
    density: Floats
    """veh/km, over all lanes."""
    congested: NDArray[np.bool_]
    """Whether it was part of a queue, as a mean of the minute: see QUEUE."""


class Cells:
    """All cells of all streets, those of a street in order downstream, street after street."""

    def __init__(self, roads: Sequence[Road]) -> None:
        counts = np.array([max(1, int(road.length_m / shortest_m(road.limit_kmh) + 1e-9)) for road in roads], int)
        self.last: Ints = np.cumsum(counts) - 1
        self.first: Ints = self.last - counts + 1
        self.street: Ints = np.repeat(np.arange(len(roads)), counts)
        self.km: Floats = self._each([road.length_m / 1000 for road in roads]) / counts[self.street]
        self.lanes: Floats = self._each([road.lanes for road in roads])
        self.free_kmh: Floats = self._each([road.limit_kmh for road in roads])
        capacity = self._each([road.capacity for road in roads])
        self.critical: Floats = capacity / (AT_CAPACITY * self.free_kmh)
        """veh/km and lane at capacity."""
        slope = (1 - AT_CAPACITY) * self.free_kmh / self.critical
        hours = STEP_S / 3600
        # From here on in vehicles: what is in a cell, and what crosses its border in a step.
        self._full = capacity * self.lanes * hours
        self._jam = JAM_DENSITY * self.lanes * self.km
        self._critical = self.critical * self.lanes * self.km
        self._ahead = self.free_kmh * hours / self.km
        self._bend = slope * hours / self.km**2 / self.lanes
        self._back = self._full / (self._jam - self._critical)
        self._drop = self._full * DROP
        self._green = self._each([road.green for road in roads])
        self._green[np.setdiff1d(np.arange(len(self._green)), self.last)] = 1.0
        none = len(roads)
        self._into = np.array([road.into if road.into >= 0 else none for road in roads], int)
        self._onward = np.array([road.onward if road.into >= 0 else 0.0 for road in roads])
        self.below: Ints = np.arange(1, len(self.street) + 1)
        """The cell that each one flows into; that behind all others: none."""
        self.below[self.last] = np.append(self.first, len(self.street))[self._into]
        self.inside: Floats = np.zeros(len(self.street))
        """Vehicles in each cell."""
        self.waiting: Floats = np.zeros(len(roads))
        """Vehicles before each street that have not found room in it."""
        self.beside: Floats = np.zeros(len(self.street))
        """Vehicles beside a cell, in drives and car parks, that want to come out."""
        self.gone = 0.0
        """Vehicles that have arrived, or left the city."""
        self._exit = self._full * self._green
        self._most = self._full[self.first]
        self._joined = bool((self._into < none).any())
        self._s, self._r, self._t = (np.zeros(len(self.street)) for _ in range(3))
        self._queued = np.zeros(len(self.street), bool)

    def _each(self, of_streets: Sequence[float]) -> Floats:
        return np.array(of_streets, float)[self.street]

    def at(self, street: Ints, metres: Floats) -> Ints:
        """The cell at a distance from a street's beginning."""
        first, last = self.first[street], self.last[street]
        found: Ints = np.minimum(first + (metres / (1000 * self.km[first])).astype(int), last)
        return found

    def settle(self, demand: Floats) -> None:
        """Fill every street as with this flow (veh/h that enter at each beginning) since ever."""
        flow = np.append(demand, 0.0)
        for street in from_above(self._into.tolist()):
            flow[self._into[street]] += flow[street] * self._onward[street]
        lane = np.minimum(flow[self.street] / self.lanes, 0.98 * self._full / self.lanes * 3600 / STEP_S)
        slope = (1 - AT_CAPACITY) * self.free_kmh / self.critical
        density = (self.free_kmh - np.sqrt(self.free_kmh**2 - 4 * slope * lane)) / (2 * slope)
        self.inside[:] = density * self.lanes * self.km

    def cut(self, where: Ints, left: Floats) -> None:
        """From now on so much of its capacity leaves each of these cells; the others are whole again."""
        np.multiply(self._full, self._green, out=self._exit)
        np.minimum.at(self._exit, where, self._full[where] * left)

    def come(self, where: Ints, vehicles: float) -> None:
        """So many more want to come out beside each of these cells, or in at the beginning where it is a first one."""
        begins = np.isin(where, self.first)
        self.waiting[self.street[where[begins]]] += vehicles
        self.beside[where[~begins]] += vehicles

    def minute(self, demand: Floats) -> Minute:
        """One minute with so many vehicles (veh/h) that come to each street's beginning."""
        out, stood = np.zeros(len(self.inside)), np.zeros(len(self.inside))
        came = demand * (STEP_S / 3600)
        aside = np.flatnonzero(self.beside)
        for _ in range(_STEPS):
            self.waiting += came
            stood += self.inside  # as the step finds it, so that nobody is seen to be faster than the free street
            out += self._step(aside)
        stood *= 1 / _STEPS
        self.gone += float((out[self.last] * (1 - self._onward)).sum())
        return Minute(out * 60, stood / self.km, stood > QUEUE * self._critical)

    def _step(self, aside: Ints) -> Floats:
        """Moves everything on by STEP_S; what left each cell."""
        inside, sends, room, spare = self.inside, self._s, self._r, self._t
        np.minimum(inside, self._critical, out=sends)
        np.multiply(sends, self._bend, out=spare)
        np.subtract(self._ahead, spare, out=spare)
        np.multiply(sends, spare, out=sends)
        np.greater(inside, self._critical, out=self._queued)
        np.multiply(self._queued, self._drop, out=spare)
        np.subtract(self._full, spare, out=spare)
        np.minimum(sends, spare, out=sends)
        np.minimum(sends, self._exit, out=sends)
        np.subtract(self._jam, inside, out=room)
        np.multiply(room, self._back, out=room)
        np.minimum(room, self._full, out=room)
        if len(aside):
            self._merge(aside)
        first, last = self.first, self.last
        sent, free = sends[last], room[first]
        wish = np.minimum(self.waiting, self._most)
        np.minimum(sends[:-1], room[1:], out=sends[:-1])
        asked = np.bincount(self._into, self._onward * sent, len(first) + 1)[:-1] + wish if self._joined else wish
        tight = asked > free
        if tight.any():
            # Where several want in, each gets the same share of its wish.
            share = np.ones(len(first) + 1)
            np.divide(free, asked, out=share[:-1], where=tight)
            sent *= share[self._into]
            wish = wish * share[:-1]
            asked = asked * share[:-1]
        sends[last] = sent
        spare[1:] = sends[:-1]
        spare[first] = asked
        self.waiting -= wish
        inside += spare
        inside -= sends
        return sends

    def _merge(self, aside: Ints) -> None:
        """Who comes out beside a cell goes first, but leaves half of the room to the street: one and one in turn."""
        room = self._r[aside]
        above = self._s[np.maximum(aside - 1, 0)]
        merged = np.minimum(self.beside[aside], np.maximum(room / 2, room - above))
        self.beside[aside] -= merged
        self.inside[aside] += merged
        self._r[aside] -= merged
