"""`chatter` and `impossible`: counts that no traffic makes. Of loops; a radar has no occupancy to hold against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Floats, Floats32, Ints, Memory, column
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.detect.spells import Patience, Spells, speaks
from gateway.detect.traffic.found import turned
from gateway.records import Evidence

CHATTER: Final = Patience(opens_after=5 * 60, closes_after=10 * 60)
WRONG: Final = Patience(opens_after=10 * 60, closes_after=10 * 60, least_windows=5)
LENGTH: Final = Patience(opens_after=60 * 60, closes_after=60 * 60, least_windows=10)
"""Our choices."""
MOST_A_S: Final = 1.0
"""Vehicles a second of one lane: 3600 an hour. No lane carries more than 2400 for an hour (Highway Capacity Manual);
the best minutes ever measured are near 3000."""
SHORTEST_S: Final = 0.05
"""Over a loop: a motorcycle of 2 m and a loop of 2 m at 250 km/h are 0.058 s."""
ROUNDING: Final = 0.05
"""%: of occupancy, which nodes round to 0.1."""
FEW: Final = 10
"""Vehicles in a window below which nothing is said of chatter."""
PRESENT: Final = 5.0
"""%: with so much occupancy and less than OCCUPIED, and nobody counted, somebody came and did not leave, once: not
in window after window."""
OCCUPIED: Final = 99.9
CREEP_KMH: Final = 5.0
"""Slower ones stop over the loops: nothing is concluded from their time over it (firmware/drivers/loops.py)."""
LENGTHS: Final = (3.0, 27.0)
"""m: vehicles of 1 to 25 m (a road train is 25.25 m at most, Directive 96/53/EC) and a loop of 2 m."""
GROWS: Final = 1.02
"""By so much may a window be longer than the one before; an interval that was set anew is known after a while."""
MEAN_OF: Final = 100.0
"""Vehicles over which their mean length is taken."""


class Chatter(NodeRule):
    """A relay or cable that bounces: more vehicles than a lane can carry, or each too short a time over the loop."""

    def __init__(self) -> None:
        self.spells = Spells.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        volume, occupancy = windows.get("volume"), windows.get("occupancy")
        # After lost packs the gap is longer than the window: that makes less of what is counted here, not more.
        rows = np.flatnonzero(np.isfinite(volume) & (windows.gap > 0))
        series, gap, volume = windows.series[rows], windows.gap[rows], volume[rows]
        over = (occupancy[rows] + ROUNDING) / 100 * gap / np.maximum(volume, 1)
        most = np.maximum(MOST_A_S * gap, FEW)
        chatters = (volume > most) | ((volume >= FEW) & (over < SHORTEST_S))
        opened, closed = self.spells.turn(series, CHATTER, windows.time[rows], speaks(chatters, ~chatters))

        def tell(row: int) -> tuple[str, Evidence]:
            if volume[row] > most[row]:
                text = f"{volume[row]:.0f} vehicles in {gap[row]} s"
                evidence = Evidence("volume", float(volume[row]), float(most[row]), "count", text)
                return f"Counted {text}; expected: {most[row]:.0f} at most, one a second.", evidence
            text = f"each vehicle was over the loop for {over[row]:.3f} s"
            evidence = Evidence("time over the loop", float(over[row]), SHORTEST_S, "s", text)
            return f"Counts that are too short: {text}; expected: {SHORTEST_S} s or more.", evidence

        return turned("chatter", windows, rows, opened, closed, tell)


@dataclass(slots=True)
class Lengths(Memory):
    """Of each lane, its newest vehicles: sums that fade."""

    vehicles: Floats32 = column(np.float32)
    metres: Floats32 = column(np.float32)
    window: Floats32 = column(np.float32)
    """Seconds that its windows last: after lost packs the gap is longer."""


class Impossible(NodeRule):
    """Volume, occupancy and speed that contradict each other: one of them is not measured."""

    def __init__(self) -> None:
        self.spells = Spells.blank(0)
        self.by_length = Spells.blank(0)
        self.lengths = Lengths.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        volume, occupancy = windows.get("volume"), windows.get("occupancy")
        rows = np.flatnonzero(np.isfinite(volume) & np.isfinite(occupancy) & (windows.gap > 0))
        volume, occupancy, speed = volume[rows], occupancy[rows], windows.get("speed")[rows]
        return [
            *self._one(windows, rows, volume, occupancy, speed),
            *self._long(windows, rows, volume, occupancy, speed),
        ]

    def _one(self, windows: Windows, rows: Ints, volume: Floats, occupancy: Floats, speed: Floats) -> list[Finding]:
        """One of volume and occupancy without the other."""
        series, gap = windows.series[rows], windows.gap[rows]
        # Vehicles at 250 km/h would have been seen, had their time over the loop been measured: twice what rounds away.
        unseen = (occupancy == 0) & (100 * volume * SHORTEST_S / gap > 2 * ROUNDING)
        uncounted = (volume == 0) & (occupancy >= PRESENT) & (occupancy < OCCUPIED) & ~(speed < CREEP_KMH)
        wrong = unseen | uncounted
        right = (volume > 0) & (occupancy > 0)
        opened, closed = self.spells.turn(series, WRONG, windows.time[rows], speaks(wrong, right))

        def tell(row: int) -> tuple[str, Evidence]:
            if volume[row]:
                text = f"{volume[row]:.0f} vehicles, and the loop was never occupied"
                return f"Counted {text}; expected: both or none.", Evidence("occupancy", 0.0, ROUNDING, "%", text)
            text = f"occupied for {occupancy[row]:.0f} %, and no vehicle was counted"
            evidence = Evidence("volume", 0.0, 1.0, "count", text)
            return f"O{text[1:]}, for 10 minutes; expected: both or none.", evidence

        return turned("impossible", windows, rows, opened, closed, tell)

    def _long(self, windows: Windows, rows: Ints, volume: Floats, occupancy: Floats, speed: Floats) -> list[Finding]:
        """Vehicles are too long or too short: length = speed x time over the loop, in the mean of many."""
        told = (speed >= CREEP_KMH) & (volume > 0)
        rows, volume, occupancy, speed = rows[told], volume[told], occupancy[told], speed[told]
        series = windows.series[rows]
        sums = self.lengths.take(series)
        keep = np.maximum(1 - volume / MEAN_OF, 0)
        gap = windows.gap[rows]
        longest = np.where(sums.window > 0, GROWS * sums.window, gap)
        sums.window[:] = np.minimum(gap, longest)
        metres = speed / 3.6 * occupancy / 100 * sums.window
        sums.vehicles[:] = keep * sums.vehicles + volume
        sums.metres[:] = keep * sums.metres + metres
        mean = sums.metres / sums.vehicles
        low, high = LENGTHS
        wrong = (sums.vehicles >= MEAN_OF / 2) & ((mean < low) | (mean > high))
        self.lengths.put(series, sums)
        condition = speaks(wrong, (mean >= low) & (mean <= high))
        opened, closed = self.by_length.turn(series, LENGTH, windows.time[rows], condition)

        def tell(row: int) -> tuple[str, Evidence]:
            length = float(mean[row]) - 2
            text = f"speed, occupancy and volume make vehicles of {length:.1f} m"
            evidence = Evidence("length", length, low - 2 if length < low else high - 2, "m", text)
            return f"S{text[1:]}; expected: 1 to 25 m.", evidence

        return turned("impossible", windows, rows, opened, closed, tell)
