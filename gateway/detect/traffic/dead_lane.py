"""`dead_lane`: nobody is counted where the lane's own past, and the lanes beside it, say that many should have been.

`silent`: the same of all lanes of a counter, which is what a counter says whose inputs or power supply are dead.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, column
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.detect.spells import Patience, Spells, extend, speaks
from gateway.detect.traffic.found import turned
from gateway.detect.traffic.lanes import Counters, by_counter
from gateway.records import Evidence

HOURS: Final = 48
"""Of a working day, and of a day of the weekend (UTC)."""
VISITS: Final = 2.0
"""Days on which an hour must have been seen to be known: a weekend has two."""
REMEMBER: Final = 10.0
"""Days of which an hour's mean is: two working weeks."""
MISSING: Final = 100.0
"""Vehicles that should have passed since the last one, when the lanes beside saw theirs. By chance (Poisson) that is
e^-100; it leaves room for a lane that is closed for a while, and for holidays with a tenth of the usual traffic."""
ALONE: Final = 500.0
"""The same of all lanes of a counter, where none beside tells: half an hour of a busy street. It may be closed too."""
PATIENCE: Final = Patience(opens_after=5 * 60, closes_after=5 * 60)
"""After so much is missed, so that no single window decides. Our choice."""
LANES: Final = "lanes"
"""The part of a counter that is silent then: the node itself may be so too, for reasons of its own."""
LONGEST_GAP: Final = 3600
"""Seconds: of what lies behind a longer silence nothing is concluded."""


@dataclass(slots=True)
class Profile(Memory):
    """Of each lane, its traffic by the hour of the day, and what it owes."""

    rate: Floats32 = column(np.float32, shape=(HOURS,))
    """Vehicles a second."""
    seconds: Floats32 = column(np.float32, shape=(HOURS,))
    """Seen of each hour, counted up to REMEMBER hours."""
    owed: Floats32 = column(np.float32)
    """Vehicles that should have passed since the last one,"""
    beside: Floats32 = column(np.float32)
    """and those that the other lanes of the counter counted meanwhile."""


class DeadLane(NodeRule):
    """By night little is expected, so little is missed."""

    def __init__(self) -> None:
        self.profile = Profile.blank(0)
        self.spells = Spells.blank(0)
        self.whole = Spells.blank(0)
        """A row a counter, by its node's number."""

    def feed(self, windows: Windows) -> Sequence[Finding]:
        volume = windows.get("volume")
        rows = np.flatnonzero(np.isfinite(volume) & (windows.gap > 0) & (windows.gap <= LONGEST_GAP))
        if not len(rows):
            return []
        series, gap, time, volume = windows.series[rows], windows.gap[rows], windows.time[rows], volume[rows]
        profile, spells = self.profile.take(series), self.spells.take(series)
        counters = by_counter(windows.node[rows], series)
        others = counters.share(counters.sum(volume)) - volume
        expected = _expected(profile, time) * gap
        # A lane that is under a vehicle is not dead: a queue stands.
        nobody = (volume == 0) & ~(windows.get("occupancy")[rows] > 0)
        profile.owed[:] = np.where(nobody, profile.owed + expected, 0)
        profile.beside[:] = np.where(nobody, profile.beside + others, 0)
        # Of two lanes the other has to have seen a fair share of its own traffic: here, half of what is missed.
        missed = (profile.owed >= MISSING) & (profile.beside >= MISSING / 2)
        dead = nobody & (missed | spells.open)
        opened, closed = extend(spells, PATIENCE, time, speaks(dead, ~nobody))
        _learn(profile, time, gap, volume, ~(nobody & (profile.owed > MISSING / 4)))
        self.profile.put(series, profile)
        self.spells.put(series, spells)
        whole = self._whole(counters, time, series, nobody, profile.owed)

        def tell(row: int) -> tuple[str, Evidence]:
            owed, beside = float(profile.owed[row]), float(profile.beside[row])
            text = f"no vehicle since {owed:.0f} should have passed at this hour, and {beside:.0f} passed beside"
            evidence = Evidence("volume", 0.0, owed, "count", text)
            return f"N{text[1:]}; expected: traffic as in the weeks before.", evidence

        return [*whole, *turned("dead_lane", windows, rows, opened, closed, tell)]

    def _whole(self, counters: Counters, time: Ints, series: Ints, nobody: Bools, owed: Floats32) -> Iterator[Finding]:
        """Counters of which no lane counts anybody, or one does again."""
        spells = self.whole.take(counters.node)
        nothing, missed = counters.all(nobody), counters.sum(owed.astype(np.float64))
        when = counters.max(time)
        dead = nothing & ((missed >= ALONE) | spells.open)
        opened, closed = extend(spells, PATIENCE, when, speaks(dead, ~nothing))
        self.whole.put(counters.node, spells)
        for at in np.flatnonzero(opened | closed).tolist():
            lead, now = int(series[counters.rows(at)[0]]), int(when[at])
            if closed[at]:
                yield Finding("silent", "close", lead, now, channel=LANES)
                continue
            text = f"no vehicle in any lane since {missed[at]:.0f} should have passed at this hour"
            summary = (
                f"N{text[1:]}; expected: traffic as in the weeks before, unless the street is closed. "
                "The counter speaks, but what it counts with seems dead."
            )
            evidence = (Evidence("volume", 0.0, float(missed[at]), "count", text),)
            yield Finding("silent", "open", lead, now, "warning", summary, evidence, LANES)


def _slots(time: Ints) -> Ints:
    time = time - 1  # what ends with the hour belongs to it
    weekend = (time // 86_400 + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    hour: Ints = time % 86_400 // 3600 + 24 * weekend
    return hour


def _expected(profile: Profile, time: Ints) -> Floats32:
    """[n] vehicles a second: the least of this hour's, the one's before and after, for summer time; 0 while unknown."""
    lane, slot = np.arange(len(time)), _slots(time)
    day, hour = slot // 24 * 24, slot % 24
    near = np.stack([day + (hour + step) % 24 for step in (-1, 0, 1)])
    known = profile.seconds[lane, near] >= VISITS * 3600 * 0.9
    least: Floats32 = np.where(known, profile.rate[lane, near], 0).min(axis=0)
    return least


def _learn(profile: Profile, time: Ints, gap: Ints, volume: Floats, which: Bools) -> None:
    lane, slot = np.arange(len(time)), _slots(time)
    seconds = profile.seconds[lane, slot] + gap * which
    share = np.where(which, gap / np.maximum(seconds, 1), 0)
    profile.rate[lane, slot] += share * (volume / gap - profile.rate[lane, slot])
    profile.seconds[lane, slot] = np.minimum(seconds, REMEMBER * 3600)
