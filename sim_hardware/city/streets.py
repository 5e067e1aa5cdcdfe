"""The streets: who wants to go where at which hour, what the counters see, what comes out of the exhausts."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

import numpy as np

from sim_hardware.city.cells import Cells, Road
from sim_hardware.city.queues import Queues
from sim_hardware.city.records import Effect, Floats, Ints

LANES: Final = 2
"""That a counter measures: the first two of its street."""
FIELDS: Final = 6
_CREEP_KMH: Final = 1.0
"""Slower than that is not measured: who stands, inches on."""
_STRAY: Final = 10.0
"""veh/h on an empty lane."""

# Bells over the day: (hour, width in hours, height). Demand is 1 at the height of a working day.
_NIGHT: Final = 0.06
_WORKING: Final = {
    "both": ((8.0, 1.2, 0.85), (17.5, 1.8, 0.85), (13.0, 3.0, 0.4)),
    "in": ((8.0, 1.2, 0.92), (17.5, 1.8, 0.4), (13.0, 3.0, 0.4)),
    "out": ((8.0, 1.2, 0.4), (17.5, 1.8, 0.9), (13.0, 3.0, 0.4)),
}
_WEEKEND: Final = ((13.5, 4.0, 0.5),)
HEADS: Final = tuple(_WORKING)

# A vehicle's exhaust per km is 0.6 + 20 / speed of that at 50 km/h: three times as much at 8 km/h, the shape of the
# curves of COPERT (EMEP/EEA air pollutant emission inventory guidebook, 1.A.3.b.i-iv) at speeds in town.
_PER_KM: Final = 0.6
_PER_HOUR: Final = 20.0


@cache
def demand(weekend: bool) -> Floats:
    """How many want to go in each minute of a day, as a share of the height of a working day: a row each of HEADS."""
    hour = np.arange(24 * 60) / 60
    bells = [_WEEKEND if weekend else _WORKING[heads] for heads in HEADS]
    found = np.array([_NIGHT + sum(peak(hour, *bell) for bell in row) for row in bells])
    found.setflags(write=False)
    return found


def peak(hour: Floats, at: float, width: float, height: float) -> Floats:
    """A bell around an hour of the day, over midnight too."""
    distance = (hour - at + 12) % 24 - 12
    return height * np.exp(-0.5 * (distance / width) ** 2)


class Streets:
    """All streets and their counters: `step()` minute by minute."""

    def __init__(
        self, seed: np.random.SeedSequence, roads: Sequence[Road], districts: int, street: Ints, metres: Floats
    ) -> None:
        """`street` and `metres` (from the street's beginning) are where the counters stand."""
        ways, eyes = seed.spawn(2)  # so that another number of counters changes no traffic
        self._dice, self._noise = np.random.default_rng(ways), np.random.default_rng(eyes)
        self.cells = Cells(roads)
        self.counters = self.cells.at(street, metres)
        self.queues = Queues(self.cells, self.counters)
        self._districts = districts
        self._district = np.array([road.district for road in roads], int)[self.cells.street]
        self._peak = np.array([road.peak for road in roads], float)
        self._heads = np.array([HEADS.index(road.heads) for road in roads], int)
        self._late = self._dice.integers(-10, 11, len(roads))
        """Minutes by which a street's day is later than others'."""
        self._mood = self._dice.normal(0, 0.04, len(roads))
        self._bias = self._noise.normal(0, 0.06, len(street))
        """How much more of the traffic keeps to the first lane of each counter."""
        self._lanes, self._free = self.cells.lanes[self.counters], self.cells.free_kmh[self.counters]
        self._one_lane = self._lanes < LANES
        self._emission: Floats = np.zeros(districts)
        self._settled = False
        self._cut = False

    def step(self, second: int, effects: Sequence[Effect], held: Mapping[int, Ints]) -> Floats:
        """The next minute at every counter, shape (counters, FIELDS): flow (veh/h) and speed (km/h) of lane 1 and 2,
        share of medium and of long vehicles. A lane that the street lacks has no flow.

        Effects with `where` in cells: `cut` (size: the share of its capacity that leaves the cell) and `crowd` (size:
        veh/h that come out of car parks beside the cell). `held` has the cells of each incident's heads of queues.
        """
        weekend = (second // 86_400 + 3) % 7 >= 5  # 1970-01-01 was a Thursday
        wanted = self._demand(second % 86_400 // 60, weekend)
        if not self._settled:
            self.cells.settle(wanted)
            self._settled = True
        self._apply(effects)
        minute = self.cells.minute(wanted)
        self.queues.follow(second, minute.congested, held)
        travelled, spent = minute.flow * self.cells.km / 60, minute.density * self.cells.km / 60
        exhaust = _PER_KM * travelled + _PER_HOUR * spent
        self._emission = np.asarray(np.bincount(self._district, exhaust, self._districts), np.float64)
        return self._seen(minute.flow, minute.density, weekend)

    def emission(self) -> Floats:
        """Of the last minute, per district: vehicle-km at 50 km/h that would have given the same exhaust."""
        return self._emission

    def _demand(self, minute: int, weekend: bool) -> Floats:
        """veh/h that come to each street's beginning."""
        self._mood = 0.9 * self._mood + 0.017 * self._dice.standard_normal(len(self._mood))
        wanted: Floats = demand(weekend)[self._heads, (minute - self._late) % (24 * 60)]
        return self._peak * wanted * np.maximum(1 + self._mood, 0)

    def _apply(self, effects: Sequence[Effect]) -> None:
        cuts = [each for each in effects if each.kind == "cut"]
        if cuts or self._cut:
            where = np.concatenate([np.zeros(0, int), *(each.where for each in cuts)])
            left = [np.full(len(each.where), 1 - each.strength * (1 - each.size)) for each in cuts]
            self.cells.cut(where, np.concatenate([np.zeros(0), *left]))
            self._cut = bool(cuts)
        for each in effects:
            if each.kind == "crowd":
                self.cells.come(each.where, each.size * each.strength / 60)

    def _seen(self, flow: Floats, density: Floats, weekend: bool) -> Floats:
        """What the counters see: lanes that differ, each with flow = speed x density, and in sum the street's."""
        n = len(self.counters)
        noise = self._noise.standard_normal((2, n))
        each = density[self.counters] / self._lanes
        speed = np.divide(flow[self.counters] / self._lanes, each, out=self._free.copy(), where=each > 1e-6)
        np.minimum(np.maximum(speed, _CREEP_KMH, out=speed), self._free, out=speed)
        more = np.minimum(np.maximum(self._bias + 0.05 * noise[0], -0.4), 0.4)
        slower = np.minimum(np.maximum(0.05 + 0.015 * noise[1], 0), 0.3)
        more[self._one_lane] = slower[self._one_lane] = 0
        out = np.zeros((n, FIELDS))
        out[:, 1] = speed * (1 - slower)
        out[:, 3] = speed * (1 + slower * (1 + more) / (1 - more))
        out[:, 0] = np.maximum(each * (1 + more) * out[:, 1], _STRAY)
        out[:, 2] = np.where(self._one_lane, 0, np.maximum(each * (1 - more) * out[:, 3], _STRAY))
        out[:, 4], out[:, 5] = (0.04, 0.015) if weekend else (0.06, 0.04)
        return out
