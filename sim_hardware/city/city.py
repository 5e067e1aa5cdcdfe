"""The city itself: the state of every place, minute by minute, vectorised over all places of a kind.

Deterministic: the same scenario, seed and number of nodes give the same city to the bit, because minutes are stepped
in order and every draw comes from one seeded generator.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim_hardware.city.scenario import MEASURES, Place, Planned, Scenario
from sim_hardware.city.truth import Truth

Floats = NDArray[np.float64]

FIELDS = 12
"""Numbers per place and minute: see `traffic`, `water` and `air` for their order."""

STUCK = 1.0

DAY_MIN = 24 * 60
_SMOKE_MIN = 10
"""Minutes in which smoke drifts over a city."""


class City:
    """`minute()` gives the next minute of the city, beginning at `start` (Unix seconds, a whole minute)."""

    def __init__(self, scenario: Scenario, places: Sequence[Place], seed: int, start: int) -> None:
        self._scenario = scenario
        self._places = places
        self._start = start
        self._elapsed = 0
        self._of_kind = {
            kind: np.array([p.slot for p in places if p.kind == kind], int) for kind in ("traffic", "water", "air")
        }
        # A generator per kind: another number of water meters does not change the air.
        seeds = np.random.SeedSequence(seed).spawn(3)
        self._traffic, self._water, self._air = (np.random.default_rng(s) for s in seeds)
        self._capacity = self._traffic.uniform(0.75, 1.15, (len(self._of_kind["traffic"]), 2))
        self._people = self._water.integers(1, 6, len(self._of_kind["water"]))
        self._draw_left = np.zeros(len(self._people))
        self._draw_flow = np.zeros(len(self._people))
        self._regional = 0.0
        self._local = np.zeros(len(self._of_kind["air"]))
        self._pressure = 101_300.0

    @property
    def next_minute(self) -> int:
        """Unix seconds of the beginning of the minute that `minute()` gives next."""
        return self._start + 60 * self._elapsed

    def minute(self) -> Floats:
        """The next minute: an array of shape (places, FIELDS)."""
        hour = (self.next_minute % 86_400) / 3600
        weekend = (self.next_minute // 86_400 + 3) % 7 >= 5  # 1970-01-01 was a Thursday
        out = np.zeros((len(self._places), FIELDS))
        for kind, state in (("traffic", self._streets), ("water", self._homes), ("air", self._sky)):
            slots = self._of_kind[kind]
            if len(slots):
                out[slots] = state(hour, weekend)
        self._elapsed += 1
        return out

    def truth(self, until: int) -> list[Truth]:
        """Every incident that begins before `until` (Unix seconds)."""
        found = []
        for planned in self._scenario.incident:
            nodes = [self._places[int(slot)].node for slot in self._reached(planned)]
            day = 0
            while nodes and (begin := self._start + 60 * (planned.begin + day * DAY_MIN)) < until:
                end = self._start + 60 * (planned.end + day * DAY_MIN)
                found.append(Truth(planned.kind, self._scenario.site, tuple(nodes), begin, end, planned.size))
                if not planned.daily:
                    break
                day += 1
        return sorted(found, key=lambda each: each.begin)

    def _reached(self, planned: Planned) -> NDArray[np.int_]:
        """Slots of the places that an incident reaches."""
        slots = self._of_kind[MEASURES[planned.kind]]
        numbers = np.arange(1, len(slots) + 1)
        return slots[np.abs(numbers - planned.place) <= planned.reach]

    def _strength(self, kind: str, ramp: int) -> tuple[Floats, Floats]:
        """(strength 0..1, size) of an incident kind at each place of its measurement, growing over `ramp` minutes."""
        slots = self._of_kind[MEASURES[kind]]  # type: ignore[index]
        strength, size = np.zeros(len(slots)), np.zeros(len(slots))
        for planned in self._scenario.incident:
            if planned.kind != kind:
                continue
            since = self._elapsed - planned.begin
            if planned.daily and since >= 0:
                since %= DAY_MIN
            if 0 <= since < planned.end - planned.begin:
                distance = np.abs(np.arange(1, len(slots) + 1) - planned.place)
                # It reaches the neighbours a minute later each, and dissolves at its end everywhere at once. Smoke
                # comes with the wind: it is over the whole city in minutes, however many stations there are.
                later = distance * min(1.0, _SMOKE_MIN / len(slots)) if kind == "air_episode" else distance
                grown = np.clip((since + 1 - later) / ramp, 0, 1)
                grown *= distance <= planned.reach
                strength, size = np.maximum(strength, grown), np.where(grown > 0, planned.size, size)
        return strength, size

    def _streets(self, hour: float, weekend: bool) -> Floats:
        """Per lane: flow (veh/h), speed (km/h); then the share of medium and of long vehicles."""
        rng, n = self._traffic, len(self._capacity)
        demand = (
            _peak(hour, 13, 4.5, 0.5)
            if weekend
            else _peak(hour, 8, 1.2, 0.9) + _peak(hour, 17.5, 1.8, 0.95) + _peak(hour, 13, 3, 0.45)
        )
        flow = (60 + 700 * demand) * self._capacity * rng.normal(1, 0.06, (n, 2))
        speed = 52 - 9 * (flow / 900) ** 2 + rng.normal(0, 1.2, (n, 2))
        strength, left = self._strength("jam", 2)
        jam = strength[:, None]
        speed = speed * (1 - jam) + jam * (left[:, None] + rng.normal(0, 0.5, (n, 2)))
        # A jam is full of slow vehicles: at 9 km/h and 750 an hour one every 12 m.
        flow = flow * (1 - jam) + jam * rng.normal(750, 20, (n, 2))
        out = np.zeros((n, FIELDS))
        out[:, 0], out[:, 2] = np.maximum(flow, 10).T
        out[:, 1], out[:, 3] = np.clip(speed, 4, 90).T
        out[:, 4], out[:, 5] = 0.06, 0.04
        return out

    def _homes(self, hour: float, weekend: bool) -> Floats:
        """Flow (l/h), temperature (°C) of the water in the meter.

        Draws of the sizes of a home (tap, toilet, shower, machine), each a few minutes long, most in morning and
        evening; about 120 l a person and day.
        """
        rng, n = self._water, len(self._people)
        wake = _peak(hour, 9 if weekend else 7.2, 1.5, 1) + _peak(hour, 19.5, 2.5, 0.9) + _peak(hour, 13, 2, 0.4) + 0.03
        kind = rng.choice(4, n, p=[0.55, 0.3, 0.1, 0.05])
        begins = (rng.random(n) < 0.0145 * self._people * wake) & (self._draw_left <= 0)
        self._draw_left = np.where(begins, np.array([1.0, 1, 6, 3])[kind] + rng.integers(0, 2, n), self._draw_left - 1)
        self._draw_flow = np.where(
            begins, np.array([240.0, 360, 600, 480])[kind] * rng.uniform(0.7, 1.1, n), self._draw_flow
        )
        flow = np.where(self._draw_left > 0, self._draw_flow, 0)
        strength, size = self._strength("burst", 1)
        out = np.zeros((n, FIELDS))
        out[:, 0] = flow + strength * size
        out[:, 1] = 12 + 2 * np.sin(2 * np.pi * (hour - 10) / 24)
        return out

    def _sky(self, hour: float, weekend: bool) -> Floats:
        """PM1, PM2.5, PM10 (µg/m³), CO2 (ppm), temperature (°C), humidity (%RH), pressure (Pa); last, faults.

        Emissions follow the traffic, a lid of cold air keeps them down in the morning, and neighbours share a region.
        """
        rng, n = self._air, len(self._local)
        self._regional = 0.995 * self._regional + rng.normal(0, 0.12)
        self._local = 0.97 * self._local + rng.normal(0, 0.15, n)
        self._pressure += rng.normal(0, 2) + 0.001 * (101_300 - self._pressure)
        work = 0.5 if weekend else 1.0
        emission = work * (_peak(hour, 8.2, 1.4, 12) + _peak(hour, 18.2, 2.2, 9)) + _peak(hour, 22, 3, 4)
        strength, size = self._strength("air_episode", 5)
        pm2_5 = np.maximum(9 + emission + self._regional + self._local, 2.5) + strength * size
        warmth = np.sin(2 * np.pi * (hour - 9) / 24)
        out = np.zeros((n, FIELDS))
        out[:, 0], out[:, 1], out[:, 2] = 0.65 * pm2_5, pm2_5, 1.45 * pm2_5 + 3
        out[:, 3] = 425 + 3.2 * emission + 2 * self._local
        out[:, 4] = 11 + 5 * warmth + 0.2 * self._local
        out[:, 5] = np.clip(66 - 14 * warmth + self._local, 15, 98)
        out[:, 6] = self._pressure
        stuck, _ = self._strength("stuck", 1)
        out[:, FIELDS - 1] = np.where(stuck > 0, STUCK, 0)
        return out


def _peak(hour: float, at: float, width: float, height: float) -> float:
    """A bell around an hour of the day, over midnight too."""
    distance = (hour - at + 12) % 24 - 12
    return float(height * np.exp(-0.5 * (distance / width) ** 2))
