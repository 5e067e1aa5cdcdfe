"""The one state machine below all detectors: what holds in every window for a while opens, its contrary closes. Pure.

Rules are stated in time, not in numbers of packs. The time of a window is its end.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct, structs

from gateway.records import Incident, Pack, Shape
from gateway.shapes import lanes, picker

MAX_GAP: Final = 600
"""Seconds without a window after which nothing is known about the time between: counting begins again."""
FIRST_WINDOW: Final = 60
"""Seconds that the first window of a spell is taken to have lasted, at most: what went before it was otherwise."""


class Rule(Struct, frozen=True):
    """When a condition becomes an incident, and when it ends. Seconds."""

    kind: str
    severity: Literal["info", "warning", "critical"]
    opens_after: int
    """The condition held in every window for so long."""
    closes_after: int
    """Its contrary did."""
    least_windows: int = 3
    """And in so many windows: where packs are lost, two of them are too little to speak of every."""


class Spell(Struct, array_like=True):
    """How long a series has been as it is. All of a detector's memory of it."""

    time: int = 0
    """The newest window."""
    condition: bool | None = None
    """True speaks for an incident, False against it, None for neither."""
    since: int = 0
    windows: int = 0
    open: bool = False

    def extend(self, rule: Rule, time: int, condition: bool | None) -> bool:
        """Take in one window. True when the incident opens or closes with it, as `open` then tells.

        A window that is not newer than the newest came late or again, and is passed over.
        """
        gap = time - self.time
        if gap <= 0:
            return False
        if condition is not self.condition or gap > MAX_GAP:
            self.condition, self.since, self.windows = condition, time - min(gap, FIRST_WINDOW), 0
        self.time = time
        self.windows += 1
        if condition is None or condition is self.open or self.windows < rule.least_windows:
            return False
        if time - self.since < (rule.opens_after if condition else rule.closes_after):
            return False
        self.open = condition
        return True


class Cases(Struct):
    """The spells of one rule and its open incidents, by place: `site/node/series`."""

    spells: dict[str, Spell] = {}
    open: dict[str, Incident] = {}

    def turns(self, rule: Rule, place: str, time: int, condition: bool | None) -> bool:
        """Take in one window of a place. True when its incident opens or closes with it: `turn` then makes it."""
        spell = self.spells.get(place)
        if spell is None:
            spell = self.spells[place] = Spell()
        return spell.extend(rule, time, condition)

    def turn(self, rule: Rule, place: str, time: int, channel: str, summary: str) -> Incident:
        """The incident that has just opened or closed; channel and summary are for one that opens."""
        if not self.spells[place].open:
            return structs.replace(self.open.pop(place), closed=time)
        site, node, _ = place.split("/")
        # Of kind, place and beginning alone, so that it is the same whenever it is found; names have no dots.
        name = ".".join((rule.kind, *(part for part in (site, node, channel) if part), str(time)))
        self.open[place] = Incident(name, rule.kind, site, node, channel, rule.severity, time, None, summary)
        return self.open[place]


def place_of(pack: Pack, series: str = "") -> str:
    return f"{pack.site}/{pack.node}/{series}"


Window = tuple[int, dict[str, dict[str, float]]]
"""(time, {channel: {quantity: value}})"""


def windows(pack: Pack) -> list[Window]:
    """A pack's windows in order of time."""
    if not pack.times:
        values = pack.values
        channels = {channel: dict(zip(names, pick(values), strict=True)) for channel, names, pick in _lanes(pack.shape)}
        return [(pack.time, channels)] if channels else []
    found: dict[int, dict[str, dict[str, float]]] = {}
    for time, (channel, quantity), value in zip(pack.times, pack.shape.places, pack.values, strict=True):
        found.setdefault(time, {}).setdefault(channel, {})[quantity] = value
    return sorted(found.items())


@lru_cache(1024)
def _lanes(shape: Shape) -> list[tuple[str, tuple[str, ...], Callable[[Sequence[float]], tuple[float, ...]]]]:
    """Of each channel, its quantities and what picks their values."""
    return [
        (channel, tuple(shape.places[at][1] for at in places), picker(places))
        for channel, places in lanes(shape).items()
    ]
