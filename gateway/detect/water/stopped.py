"""`stopped`: a meter that used to run every day stands still for much longer than it ever did."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Ints, Memory, column
from gateway.detect.readings import readings
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.detect.water.home import BUSY, Character, Pace, inlets
from gateway.records import Evidence

DAY_S: Final = 86_400
HOLIDAYS_S: Final = 28 * DAY_S
"""Nobody's holidays are longer, as a rule; utilities list a meter without consumption after a month's reading. Of 46
real homes one stood still so long, and that one is empty. Our choice."""
MAIN_S: Final = 6 * 3600
"""A district never sleeps: what stands still for so long there is the meter, or the valve before it. Our choice."""
TIMES: Final = 2.0
"""As long as it ever stood still: our choice."""
EVERY_DAY: Final = 0.8
"""Share of the days on which it ran, over some months: others may stand still for any time."""
_MEMORY_D: Final = 56
_LEAST_D: Final = 28
"""Days that must be known of a home; of a district's inlet a week."""
_LEAST_MAIN_D: Final = 7


@dataclass(slots=True)
class Standstill(Memory):
    """Since when it has stood still, and what is usual for it."""

    moved: Ints = column(np.int64)
    """The newest time at which it is known to have run, or at which it was not known to stand."""
    volume: Floats = column(np.float64, np.nan)
    longest: Floats = column(np.float64)
    """Seconds that it stood still at most, without the present time; incidents do not count."""
    day: Ints = column(np.int64)
    days: Ints = column(np.int64)
    """That are known of it."""
    ran_on: Bools = column(np.bool_)
    """It ran today."""
    share: Floats = column(np.float64)
    """Of the days on which it ran: the mean of `_MEMORY_D`."""
    open: Bools = column(np.bool_)


class Stopped(NodeRule):
    """One series a water meter: `flow`, and `volume` over silences."""

    def __init__(self) -> None:
        self.pace = Pace.blank(0)
        self.character = Character.blank(0)
        self.still = Standstill.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        given = readings(windows, "flow")
        if given is None:
            return []
        rows, time, flow = given.series, given.time, given.value
        pace, character, still = self.pace.take(rows), self.character.take(rows), self.still.take(rows)
        volume = windows.get("volume")[given.where]
        first = pace.time == 0
        lasted, follows = pace.step(time)
        character.step(time, lasted, flow)
        # Over a silence the register tells whether it stood still; without one nothing does.
        ran = (flow > 0) | (volume != still.volume) & ~(follows & np.isnan(volume))
        np.copyto(still.volume, volume, where=np.isfinite(volume))
        self._count(still, time, ran, first)
        rest = time - still.moved
        ended = ran & ~still.open & ~first
        np.copyto(still.longest, np.maximum(still.longest, rest), where=ended)
        np.copyto(still.moved, time, where=ran | first)
        main = (character.mean >= BUSY) | inlets(windows.plan, given.node)
        bound = np.maximum(TIMES * still.longest, np.where(main, MAIN_S, HOLIDAYS_S))
        known = (still.share >= EVERY_DAY) & (still.days >= np.where(main, _LEAST_MAIN_D, _LEAST_D))
        opened = known & ~still.open & ~ran & (rest >= bound)
        closed = still.open & ran
        still.open ^= opened | closed
        self.pace.put(rows, pace)
        self.character.put(rows, character)
        self.still.put(rows, still)
        return [
            _finding(int(rows[at]), int(time[at]), bool(opened[at]), int(rest[at]), float(still.longest[at]))
            for at in np.flatnonzero(opened | closed).tolist()
        ]

    @staticmethod
    def _count(still: Standstill, time: Ints, ran: Bools, first: Bools) -> None:
        """Days end: those on which it ran are counted, but not those of a standstill that is an incident."""
        day = time // DAY_S
        over = (day > still.day) & ~first & ~still.open
        if over.any():
            weight = 1 / np.minimum(still.days + 1, _MEMORY_D)
            share = still.share + weight * (still.ran_on - still.share)
            # The present standstill must not make itself usual.
            counts = over & (still.ran_on | (time - still.moved < 2 * DAY_S) | (still.share < EVERY_DAY))
            np.copyto(still.share, share, where=counts)
            still.days += counts
        still.ran_on[:] = np.where(day > still.day, False, still.ran_on) | ran
        still.day[:] = np.maximum(day, still.day)


def _finding(series: int, time: int, opens: bool, rest: int, longest: float) -> Finding:
    if not opens:
        return Finding("stopped", "close", series, time)

    def told(seconds: float) -> str:
        return f"{seconds / DAY_S:.0f} days" if seconds >= 2 * DAY_S else f"{seconds / 3600:.0f} h"

    text = f"the meter has stood still for {told(rest)}, before never longer than {told(longest)}"
    summary = f"Seen: {text}; expected: it runs nearly every day, or somebody knows that nobody is in."
    evidence = Evidence("time at rest", rest / DAY_S, longest / DAY_S, "d", text)
    return Finding("stopped", "open", series, time, summary=summary, evidence=(evidence,), since=time - rest)
