"""The air stations of modelled nodes: see `models`. Sample by sample of each chip."""

from collections.abc import Callable
from math import exp
from typing import Final, NamedTuple

import numpy as np

from sim_hardware.city.city import DRIFT, Floats
from sim_hardware.city.incidents import DEAD, STUCK
from sim_hardware.fleet.models import Column, Dice, Event, Mask, around, faulty, rounded, samples

_PMS_US: Final = (1.2, 50)
"""µg/m³ and part of the value that a reading of the PMS5003 is off at most (chips/pms5003.py)."""
_PASCAL_STEP: Final = 2.62
"""Of the BME280's 16 bits of pressure with one sample (its datasheet's 8.1, at the calibration of chips/bme280.py)."""


def _particles(dice: Dice, air: Floats, drift: Floats) -> Floats:
    shown = np.floor(around(dice, air, _PMS_US[0] + air / _PMS_US[1]) * drift + 0.5)
    np.maximum(shown, 0, out=shown)
    return np.maximum.accumulate(shown, axis=2, out=shown)


def _co2(dice: Dice, air: Floats, drift: Floats) -> Floats:
    return np.minimum(np.maximum(np.floor(around(dice, air, 4.0) * drift + 0.5), 0), 40_000)


def _climate(dice: Dice, air: Floats, drift: Floats) -> Floats:
    """°C, Pa, %RH, with the noise of one sample each and the digits that the driver's integers leave."""
    shown = around(dice, air, np.array([0.012, 8.0, 0.17])) * drift
    shown[..., 0] = rounded(shown[..., 0], 2)
    shown[..., 1] = np.rint(np.rint(shown[..., 1] / _PASCAL_STEP) * _PASCAL_STEP)
    shown[..., 2] = np.floor(np.minimum(np.maximum(shown[..., 2], 0), 100) * 1024) / 1024
    return shown


class _Chip(NamedTuple):
    """One chip of a station, and what its sensor file makes of it."""

    measure: Callable[[Dice, Floats, Floats], Floats]
    """(dice, what is in it, drift): shape (nodes, samples, its quantities)."""
    fields: tuple[int, ...]
    """Of the city, its quantities."""
    period_s: int
    """Between two readings (firmware/sensors). The BME280's is 10 ms more: one reading of 1000 more."""
    left: float
    """Of a step in the air after a period, as the chip reckons. The BME280's humidity has nothing left of it."""
    warm_up_s: int
    """Seconds after power-on of which nothing is believed: 30, and what was in the buffer at the end of them."""
    low: tuple[float, ...]
    high: tuple[float, ...]
    """A reading with a value outside is refused whole."""
    digits: tuple[int, ...]


_CHIPS: Final = (
    _Chip(_particles, (0, 1, 2), 1, int(exp(-1 / 4.3) * 1024) / 1024, 35, (0,) * 3, (10_000,) * 3, (1, 1, 1)),
    _Chip(_co2, (3,), 10, int(exp(-10 / 60) * 1024) / 1024, 0, (1,), (40_000,), (1,)),
    _Chip(_climate, (4, 6, 5), 10, 0.0, 0, (-40, 30_000, 0), (85, 110_000, 100), (2, 0, 2)),
)


class _Series:
    """One chip in every node: what is in it, what it has shown last, and its sums of the window."""

    def __init__(self, chip: _Chip, nodes: int, dice: Dice) -> None:
        self._chip = chip
        self._dice = dice
        self._inside = np.full((nodes, len(chip.fields)), np.nan)
        self._shown = self._inside.copy()
        self._age = np.zeros(nodes)
        self._sums = np.zeros(self._inside.shape)
        self._count = np.zeros(nodes)

    def begin(self, which: Mask) -> None:
        self._inside[which] = self._shown[which] = np.nan
        self._age[which] = self._count[which] = 0
        self._sums[which] = 0

    def step(self, second: int, seconds: int, fields: Floats) -> None:
        chip, n = self._chip, samples(second, seconds, self._chip.period_s)
        age, self._age = self._age, self._age + seconds
        if not n:
            return
        air = fields[:, chip.fields]
        inside = np.where(np.isnan(self._inside), air, self._inside)
        left = chip.left ** np.arange(1, n + 1)
        drawn = air[:, None, :] + (inside - air)[:, None, :] * left[:, None]
        self._inside = drawn[:, -1]
        shown = chip.measure(self._dice, drawn, fields[:, DRIFT, None, None])
        if (stuck := faulty(fields, STUCK)).any():  # it repeats what it showed last, if it has shown anything yet
            last = np.where(np.isnan(self._shown), shown[:, 0], self._shown)
            shown[stuck] = last[stuck, None]
        self._shown = shown[:, -1]
        good = ((shown >= chip.low) & (shown <= chip.high)).all(axis=2)
        good &= age[:, None] + np.arange(1, n + 1) * chip.period_s > chip.warm_up_s
        good[faulty(fields, DEAD)] = False
        self._sums += np.einsum("nsq,ns->nq", shown, good)
        self._count += good.sum(axis=1)

    def close(self) -> Floats:
        with np.errstate(invalid="ignore"):
            means = self._sums / self._count[:, None]
        self._sums[:] = self._count[:] = 0
        return np.stack([rounded(means[:, i], digits) for i, digits in enumerate(self._chip.digits)], axis=1)


class Air:
    """Stations with a PMS5003, an SCD41 and a BME280."""

    columns = (
        *(Column(name, "ug/m3", "%.7g") for name in ("pm1_0", "pm2_5", "pm10")),
        Column("co2", "ppm", "%.7g"),
        Column("temperature", "Cel", "%.7g"),
        Column("pressure", "Pa", "%.7g"),
        Column("humidity", "%RH", "%.7g"),
    )

    def __init__(self, nodes: int, dice: Dice) -> None:
        self._series = [_Series(chip, nodes, dice) for chip in _CHIPS]

    def begin(self, which: Mask, second: int) -> None:
        for each in self._series:
            each.begin(which)

    def step(self, second: int, seconds: int, fields: Floats, on: Mask) -> None:
        for each in self._series:
            each.step(second, seconds, fields)

    def close(self, lasted: Floats) -> Floats:
        return np.concatenate([each.close() for each in self._series], axis=1)

    def events(self) -> list[Event]:
        """A station has none."""
        return []
