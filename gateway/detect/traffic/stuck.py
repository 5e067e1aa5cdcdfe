"""`stuck`: a detector that says "occupied" for ever, or the same speed again and again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Floats, Memory, column
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.detect.spells import Patience, Spells, speaks
from gateway.detect.traffic.found import turned
from gateway.records import Evidence

LOOP: Final = Patience(opens_after=10 * 60, closes_after=5 * 60)
"""Our choice: a parked car is gone sooner, mostly."""
OCCUPIED: Final = 99.9
"""%: always, but for rounding."""
SPEED: Final = Patience(opens_after=30 * 60, closes_after=5 * 60)
"""Our choice: a mean speed of many drivers to a tenth of a km/h is never the same for long."""
STANDING: Final = 5.0
"""km/h: at and below it speeds may rest. Vehicles stop over loops, and a radar hears nothing."""
FASTEST: Final = 300.0
"""km/h: the quantity's limit, at which what is beyond it rests."""


class StuckOn(NodeRule):
    """A loop is occupied for ten minutes and nobody leaves it."""

    def __init__(self) -> None:
        self.spells = Spells.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        occupancy, volume = windows.get("occupancy"), windows.get("volume")
        rows = np.flatnonzero(np.isfinite(occupancy) & np.isfinite(volume))
        series = windows.series[rows]
        on = (occupancy[rows] >= OCCUPIED) & (volume[rows] == 0)
        opened, closed = self.spells.turn(series, LOOP, windows.time[rows], speaks(on, ~on))

        def tell(row: int) -> tuple[str, Evidence]:
            text = "always occupied, and no vehicle left for 10 minutes"
            evidence = Evidence("volume", 0.0, 1.0, "count", text)
            return "Always occupied and no vehicle leaves, for 10 minutes; expected: vehicles that pass.", evidence

        return turned("stuck", windows, rows, opened, closed, tell)


@dataclass(slots=True)
class Last(Memory):
    """Of each lane, its newest speed."""

    speed: Floats = column(np.float64, np.nan)


class StuckSpeed(NodeRule):
    """A lane's mean speed is exactly the same for half an hour. Windows without a speed say nothing."""

    def __init__(self) -> None:
        self.spells = Spells.blank(0)
        self.last = Last.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        speed = windows.get("speed")
        rows = np.flatnonzero(np.isfinite(speed))
        series, speed = windows.series[rows], speed[rows]
        same = speed == self.last.speed[series]
        self.last.speed[series] = speed
        rests = (speed <= STANDING) | (speed >= FASTEST)
        opened, closed = self.spells.turn(series, SPEED, windows.time[rows], speaks(same & ~rests, ~same))

        def tell(row: int) -> tuple[str, Evidence]:
            text = f"exactly {speed[row]:g} km/h in every window for 30 minutes"
            evidence = Evidence("speed", float(speed[row]), float("nan"), "km/h", text)
            return f"E{text[1:]}; expected: noise, from window to window.", evidence

        return turned("stuck", windows, rows, opened, closed, tell)
