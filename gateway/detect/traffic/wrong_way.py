"""`wrong_way`: somebody drives against the traffic. `miswired`: a lane tells that so often that it is none.

Of lanes that can know it: two loops, or a radar's direction that is forbidden (firmware/sensors). All others send no
`wrong_way`, and nothing is concluded of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, column
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.detect.traffic.found import turned
from gateway.detect.traffic.lanes import FULL, by_counter
from gateway.records import Evidence

ENDS: Final = 10 * 60
"""Seconds without another one, as the lane itself says. Our choice: at 50 km/h who goes on is 8 km away."""
DAY: Final = 86_400.0
"""Seconds in which what a lane told of the wrong way fades to 1/e."""
OFTEN: Final = 5.0
"""So many of about a day are no drivers: loops in the wrong order, or traffic that is led or allowed that way. Our
choice: a road that has two a day has long been rebuilt."""
MOST: Final = 2 * OFTEN
"""No more are counted, so that `miswired` ends two days after its cause has."""
OVER: Final = 1.0
"""Of a day, below which `miswired` has ended: 1.6 to 2.3 days after the last one."""
RIGHT: Final = 10
"""Vehicles in the right direction that make it known which one that is. Our choice."""


@dataclass(slots=True)
class Ways(Memory):
    """Of each lane, who drove which way."""

    time: Ints = column(np.int64)
    """Unix seconds, of its newest window."""
    wrong: Floats32 = column(np.float32)
    """Of about a day, MOST at most."""
    right: Floats32 = column(np.float32)
    """RIGHT at most."""
    miswired: Bools = column(np.bool_)
    open: Bools = column(np.bool_)
    last: Ints = column(np.int64)
    """Unix seconds, of the newest window with one, while it is open;"""
    seen: Floats32 = column(np.float32)
    """how many there were since it opened."""


class WrongWay(NodeRule):
    """One vehicle opens it, the second confirms it. Nothing is told before right ones have shown the direction."""

    def __init__(self) -> None:
        self.ways = Ways.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        rows = np.flatnonzero(np.isfinite(windows.get("wrong_way")))
        if not len(rows):
            return []
        series, time, wrong = windows.series[rows], windows.time[rows], windows.get("wrong_way")[rows]
        ways = self.ways.take(series)
        ways.wrong[:] = np.minimum(ways.wrong * np.exp((ways.time - time) / DAY) + wrong, MOST)
        ways.right[:] = np.minimum(ways.right + _right(windows)[rows], RIGHT)
        ways.time[:] = time
        often = ~ways.miswired & (ways.wrong >= OFTEN)
        mended = ways.miswired & (ways.wrong < OVER)
        ways.miswired ^= often | mended
        ways.right[often] = 0  # which direction is right must be shown anew
        # A full lane has no room for a driver against it, but cars that change lanes over the loops, which look so.
        full = windows.get("occupancy")[rows] >= FULL
        told = (wrong > 0) & (ways.right >= RIGHT) & ~ways.miswired & ~full
        opened, more = told & ~ways.open, told & ways.open
        closed = ways.open & (often | ~told & (time - ways.last >= ENDS))
        ways.open ^= opened | closed
        ways.last[:] = np.where(told, time, ways.last)
        ways.seen[:] = np.where(told, np.where(more, ways.seen, 0) + wrong, ways.seen)
        self.ways.put(series, ways)

        def tell(row: int) -> tuple[str, Evidence]:
            text = f"at least {ways.wrong[row]:.0f} vehicles in a day drove from the second loop to the first"
            if np.isnan(windows.get("occupancy")[rows[row]]):
                text = f"at least {ways.wrong[row]:.0f} vehicles in a day drove in the forbidden direction"
            evidence = Evidence("wrong_way a day", float(ways.wrong[row]), 0.0, "count", text)
            cause = "the lane is wired or set the wrong way round, or traffic is led that way"
            return f"A{text[1:]}; expected: none, so {cause}.", evidence

        found = [
            Finding("wrong_way", "close", int(series[at]), int(time[at])) for at in np.flatnonzero(closed).tolist()
        ]
        found += [
            _driver(bool(opened[at]), int(series[at]), int(time[at]), float(ways.seen[at]))
            for at in np.flatnonzero(opened | more).tolist()
        ]
        return found + turned("miswired", windows, rows, often, mended, tell)


def _right(windows: Windows) -> Floats:
    """[n] vehicles of the lane in the right direction; of all lanes of a radar, whose lanes are its directions."""
    right: Floats = np.nan_to_num(windows.get("volume")) - np.nan_to_num(windows.get("wrong_way"))
    radar = np.isnan(windows.get("occupancy"))
    if radar.any():
        counters = by_counter(windows.node, windows.series)
        right = np.where(radar, counters.share(counters.sum(right)), right)
    return np.maximum(right, 0)


def _driver(first: bool, series: int, time: int, seen: float) -> Finding:
    text = f"{seen:.0f} {'vehicle' if seen == 1 else 'vehicles'} drove against the traffic"
    return Finding(
        "wrong_way",
        "open" if first else "update",
        series,
        time,
        "critical",
        f"Seen: {text}; expected: none.",
        (Evidence("wrong_way", seen, 0.0, "count", text),),
        confirmed=seen >= 2,
    )
