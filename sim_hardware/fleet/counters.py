"""The traffic counters of modelled nodes: see `models`. Vehicle by vehicle."""

from math import ceil, sqrt
from typing import Final

import numpy as np

from sim_hardware.city.city import DRIFT, Floats
from sim_hardware.city.incidents import DEAD, STUCK
from sim_hardware.city.records import Ints
from sim_hardware.fleet.models import Column, Dice, Event, Mask, around, faulty, rounded

_LANES: Final = 2
_SPACING_M, _LOOP_M = 4.0, 2.0
_CLEAR_S: Final = 0.3
"""From one vehicle's leaving a loop to the next one's coming, at least (chips/loop.py)."""
_KEPT: Final = 4
"""Vehicles of before that may still be on the loops, or be held back before them."""
_SLOWEST: Final = 0.8
_MEASURED: Final = 1.39
"""m/s: slower ones have no length (firmware/drivers/loops.py)."""
_CLASS_ENDS: Final = (2.5, 6.0, 10.5)
"""m (firmware/sensors/loops.py)."""
_CLASSES: Final = ("class_motorcycle", "class_short", "class_medium", "class_long")
_MOTORCYCLES: Final = 0.03
_LENGTHS: Final = np.array([(11.5, 7.0), (6.5, 3.5), (1.9, 0.4), (3.5, 1.5)])
"""(least, range) in m of long and medium vehicles, motorcycles, all others (hal/street.py)."""


class Traffic:
    """Counters with two lanes. Every vehicle is drawn as in hal/street.py and kept apart as in chips/loop.py."""

    columns = tuple(
        Column(f"lane{lane}/{name}", unit, form)
        for lane in range(1, _LANES + 1)
        for name, unit, form in (
            ("volume", "count", "%d"),
            ("occupancy", "%", "%.7g"),
            ("speed", "km/h", "%.7g"),
            *((name, "count", "%d") for name in _CLASSES),
            ("wrong_way", "count", "%d"),
        )
    )

    def __init__(self, nodes: int, dice: Dice) -> None:
        self._dice = dice
        self._nodes, self._count = nodes, _LANES * nodes
        # The last vehicles of each lane: seconds from now of their coming, m/s, m.
        self._at = np.full((self._count, _KEPT), -np.inf)
        self._speed = np.ones((self._count, _KEPT))
        self._length = np.ones((self._count, _KEPT))
        # Vehicles, seconds over the first loop, sum of cm/s, vehicles with a speed, the four classes.
        self._sums = np.zeros((self._count, 4 + len(_CLASSES)))

    def begin(self, which: Mask, second: int) -> None:
        lanes = np.repeat(which, _LANES)
        self._at[lanes] = -np.inf
        self._sums[lanes] = 0

    def step(self, second: int, seconds: int, fields: Floats, on: Mask) -> None:
        flow, kmh = ((fields[:, i : 2 * _LANES : 2]).ravel() for i in (0, 1))
        flow = flow * np.repeat(fields[:, DRIFT], _LANES)
        share = np.repeat(np.cumsum(fields[:, 5:3:-1], axis=1), _LANES, axis=0)
        came = self._come(seconds, flow, kmh, share)
        at, speed, length = self._at, self._speed, self._length
        over, travel = (length + _LOOP_M) / speed, _SPACING_M / speed
        left, seen = at + over, at + travel + over
        gone, told = (left >= 0) & (left < seconds), (seen >= 0) & (seen < seconds)
        occupied = np.maximum(np.minimum(left, seconds) - np.maximum(at, 0), 0)
        classes = np.where(told & (speed >= _MEASURED), np.searchsorted(_CLASS_ENDS, length, "right"), -1)
        found = [gone.sum(axis=1), occupied.sum(axis=1), (np.floor(100 * speed) * told).sum(axis=1), told.sum(axis=1)]
        found += [(classes == i).sum(axis=1) for i in range(len(_CLASSES))]
        # A detector that is dead, or stuck as it is most of the time, shows an empty loop.
        blind = np.repeat(faulty(fields, DEAD | STUCK), _LANES)
        self._sums += np.where(blind[:, None], 0, np.stack(found, axis=1))
        last = came[:, None] - np.arange(_KEPT - 1, -1, -1)
        self._at = np.take_along_axis(at, last, 1) - seconds
        self._speed, self._length = (np.take_along_axis(each, last, 1) for each in (speed, length))

    def _come(self, seconds: int, flow: Floats, kmh: Floats, share: Floats) -> Ints:
        """Draw the vehicles of the next seconds behind those that are kept; the place of the last, lane by lane.

        Headways are exponential; who would drive into the one before is held back until there is room.
        """
        mean = float(flow.max(initial=0)) * seconds / 3600
        with np.errstate(divide="ignore"):
            headway_s = (3600 / flow)[:, None]
        while True:
            n = ceil(mean + 5 * sqrt(mean)) + 2
            shape = self._count, n
            headway = self._dice.exponential(size=shape) * headway_s
            at_kmh = np.broadcast_to(kmh[:, None], shape)
            speed = np.maximum(np.floor(around(self._dice, at_kmh, at_kmh / 4) / 0.0036) / 1000, _SLOWEST)
            length = self._lengths(share, shape)
            before = np.concatenate((self._speed[:, -1:], speed[:, :-1]), axis=1)
            over = (np.concatenate((self._length[:, -1:], length[:, :-1]), axis=1) + _LOOP_M) / before
            room = over + _CLEAR_S + np.maximum(_SPACING_M / before - _SPACING_M / speed, 0)
            free = self._at[:, -1] + room[:, 0]
            first = np.maximum(np.maximum(self._at[:, -1], 0) + headway[:, 0], free)
            gap = np.maximum(headway, room)
            gap[:, 0] = 0
            at = first[:, None] + np.cumsum(gap, axis=1)
            came = np.concatenate((np.maximum(self._at[:, -1:], 0), at[:, :-1]), axis=1) + headway
            if (came[:, -1] >= seconds).all():
                break
            mean += 1 + mean / 4
        self._at = np.concatenate((self._at, at), axis=1)
        self._speed = np.concatenate((self._speed, speed), axis=1)
        self._length = np.concatenate((self._length, length), axis=1)
        # Arrivals have no memory: whoever would come later is drawn anew then.
        some = (came < seconds).sum(axis=1)
        self._at[np.arange(self._at.shape[1]) >= _KEPT + some[:, None]] = np.inf
        place: Ints = _KEPT - 1 + some
        return place

    def _lengths(self, share: Floats, shape: tuple[int, int]) -> Floats:
        """m. `share`: of long vehicles, of long and medium ones."""
        dice = self._dice.random(shape)
        sort = (dice >= share[:, :1]).astype(np.int64)
        sort += dice >= share[:, 1:]
        sort += dice >= share[:, 1:] + _MOTORCYCLES
        least = _LENGTHS[sort]
        found: Floats = least[..., 0] + least[..., 1] * self._dice.random(shape)
        return found

    def close(self, lasted: Floats) -> Floats:
        volume, occupied, speeds, told, *classes = self._sums.T
        occupancy = np.minimum(rounded(100 * occupied / np.repeat(lasted, _LANES), 1), 100)
        with np.errstate(invalid="ignore"):
            speed = rounded(speeds / told * 0.036, 1)
        nobody = np.zeros(self._count)  # in the city nobody drives against the traffic, and loops know it
        found = np.stack([volume, occupancy, speed, *classes, nobody], axis=1).reshape(self._nodes, -1)
        self._sums = np.zeros(self._sums.shape)
        return found

    def events(self) -> list[Event]:
        """A counter has none."""
        return []
