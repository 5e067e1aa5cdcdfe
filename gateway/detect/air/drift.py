"""`drift` of barometers and CO2 sensors: what a site's stations share is nearly the same at all of them.

Pressure differs by what a station is higher or lower, which does not change; outdoor CO2 by little over hours. So what
their makers promise is a bound, and no weeks have to be learned as for particles (`fault`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from msgspec import Struct

from gateway.detect.air.means import median
from gateway.detect.memory import Bools, Floats, Memory, column
from gateway.detect.plan import GroupPlan
from gateway.detect.rule import Finding, Frame, SiteRule
from gateway.detect.spells import Patience, Spells, above
from gateway.quantities import units
from gateway.records import Evidence

DAY_S: Final = 86_400.0
FAST_S: Final = 6 * 3600.0
"""Seconds over which a difference is averaged: our choice, longer than smoke and stove beside a station."""
USUAL_S: Final = 30 * DAY_S
"""What stands for months is the place's own: a station that was moved, a sensor that was changed. Our choice."""
LEAST: Final = 3
"""Stations with a value, of which the median is taken."""
PATIENCE: Final = Patience(opens_after=round(3 * DAY_S), closes_after=round(DAY_S), max_gap=6 * 3600)
"""Our choice: longer than weather, smoke or a heat wave in one housing lasts."""


class Bound(Struct, frozen=True):
    quantity: str
    channel: str
    """The chip, as `stuck` calls it."""
    most: float
    """In the quantity's unit: what two sound sensors may come to differ more than they did."""


BOUNDS: Final = (
    Bound("pressure", "climate", 300.0),  # three times what a BME280 is off (1 hPa, its datasheet)
    Bound("co2", "co2", 75.0),  # what a SCD41 is off at 450 ppm (50 ppm + 5 %, its datasheet)
)
_MOST: Final = np.array([each.most for each in BOUNDS])
_UNITS: Final = units("air")


@dataclass(slots=True)
class Difference(Memory):
    """Of each series and bound, how it differs from its site's median: in the quantity's unit."""

    fast: Floats = column(np.float64, np.nan, (len(BOUNDS),))
    usual: Floats = column(np.float64, np.nan, (len(BOUNDS),))
    known_s: Floats = column(np.float64, 0, (len(BOUNDS),))
    """Seconds over which usual was learned."""


class AirDrift(SiteRule):
    """One spell a station and chip."""

    def __init__(self) -> None:
        self.difference = Difference.blank(0)
        self.spells = Spells.blank(0)
        """Of bound b of series s at s * bounds + b."""
        self.scalars = {"time": 0.0}

    def grow(self, series: int) -> None:
        self.difference.grow(series)
        self.spells.grow(len(BOUNDS) * len(self.difference))

    def tick(self, frame: Frame, plan: GroupPlan) -> Sequence[Finding]:
        """What begins or ends with this minute."""
        passed = min(frame.time - self.scalars["time"], 3600.0)
        self.scalars["time"] = float(frame.time)
        value = np.stack([frame.get(each.quantity) for each in BOUNDS], axis=1)
        known = ~np.isnan(value) & (np.count_nonzero(~np.isnan(value), axis=0) >= LEAST)
        if not known.any():
            return ()
        middle = np.array([median(of) for of in value.T])
        memory = self.difference.take(slice(0, len(value)))
        now = value - middle
        memory.known_s[:] += np.where(known, passed, 0)
        learns = known & ~self._off(memory, frame.time)
        for mean, over, which in ((memory.fast, FAST_S, known), (memory.usual, USUAL_S, learns)):
            # In the beginning the mean of all that is known.
            rate = np.maximum(passed / np.maximum(memory.known_s, passed), 1 - np.exp(-passed / over))
            mean[:] = np.where(which, np.where(np.isnan(mean), now, mean + rate * (now - mean)), mean)
        off = np.abs(memory.fast - memory.usual)
        row, bound = np.nonzero(known & (memory.known_s >= DAY_S))
        places = len(BOUNDS) * row + bound
        condition = above((off / _MOST)[row, bound], 1.0, 0.5)
        opened, closed = self.spells.turn(places, PATIENCE, np.full(len(row), frame.time), condition)
        turns = np.flatnonzero(opened | closed).tolist()
        return [self._turn(frame, memory, int(row[at]), int(bound[at]), bool(opened[at])) for at in turns]

    def _off(self, memory: Difference, time: int) -> Bools:
        """Which are off by what may be a drift: mended, they are to be as before. After `USUAL_S` it is the place's."""
        spells = self.spells.take(slice(0, memory.fast.size))
        stands = (spells.open & (time - spells.since >= USUAL_S)).reshape(memory.fast.shape)
        return (np.abs(memory.fast - memory.usual) >= _MOST) & (memory.known_s >= DAY_S) & ~stands

    def _turn(self, frame: Frame, memory: Difference, series: int, bound: int, opened: bool) -> Finding:
        its = BOUNDS[bound]
        if not opened:
            return Finding("drift", "close", series, frame.time, channel=its.channel)
        change, unit = float(memory.fast[series, bound] - memory.usual[series, bound]), _UNITS[its.quantity]
        text = f"{its.quantity} went {change:+.0f} {unit} against its site's median, and stayed off for 3 days"
        return Finding(
            "drift",
            "open",
            series,
            frame.time,
            "warning",
            f"{text[0].upper()}{text[1:]}; expected: within {its.most:g} {unit}.",
            (Evidence(f"{its.quantity} against its site", change, its.most, unit, text),),
            its.channel,
            frame.time - PATIENCE.opens_after,
        )
