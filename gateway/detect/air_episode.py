"""`air_episode`: the air of a whole site is unhealthy, not that beside one node."""

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

from msgspec import Struct

from gateway.detect.spell import Cases, Rule, Window
from gateway.records import Incident, Pack

UNHEALTHY: Final = 55.5
"""µg/m³ of PM2.5: above AQI 150, "unhealthy" (US EPA 2024: 55.4 is the upper bound of 150, in steps of 0.1)."""
BETTER: Final = 45.0
"""µg/m³: our choice, far enough below that an episode does not flicker."""
MEAN: Final = 600
"""Seconds that a node's mean covers."""
LEAST: Final = 300
"""Seconds that the oldest reading of a mean lies back, at least: half of the mean."""
STRAGGLE: Final = 120
"""Seconds that nodes may be behind half of their site and are still waited for."""
KNOWN: Final = 3600
"""Seconds that a silent node still counts as one of its site, so that a few that are ahead do not decide alone."""
RULE: Final = Rule("air_episode", "critical", opens_after=0, closes_after=10 * 60, least_windows=1)


class Node(Struct, array_like=True):
    time: int = 0
    """Of the newest reading."""
    readings: list[tuple[int, float]] = []
    """(time, PM2.5) in order, as far back as the next mean needs."""


class Site(Struct):
    next: int
    """The minute to be decided next: Unix seconds."""
    newest: int = 0
    nodes: dict[str, Node] = {}
    reached: int = 0
    """How many nodes have come to `next`."""
    beyond: int = 0
    """And how many to `STRAGGLE` after it."""


class AirEpisode(Struct):
    """One series a site: the median of its nodes' means, minute by minute of the packs' time.

    A minute is decided once all known nodes have come to it, or half of them to two minutes later. So the order in
    which nodes are heard does not matter as long as they are less than that apart, and a dead or hurried one neither
    stops nor drives the others. Half of the known nodes must have a mean, or nothing is decided.
    """

    cases: Cases
    sites: dict[str, Site] = {}

    def feed(self, pack: Pack, windows: Sequence[Window]) -> Iterator[Incident]:
        """Incidents that open or close with this pack, which holds these windows."""
        for time, channels in windows:
            value = channels.get("", {}).get("pm2_5")
            if value is None:
                continue
            site = self.sites.get(pack.site)
            if site is None:
                site = self.sites[pack.site] = Site(next=_minute(time))
            if _take(site, pack.node, time, value):
                while site.reached >= len(site.nodes) or 2 * site.beyond >= len(site.nodes):
                    yield from self._decide(site, pack.site)

    def _decide(self, site: Site, name: str) -> Iterator[Incident]:
        """Judge the minute `next` and go on to the following one."""
        time, place = site.next, f"{name}//"
        means = [mean for node in site.nodes.values() if (mean := _mean(node, time)) is not None]
        if 2 * len(means) >= len(site.nodes):
            level = median(means)
            condition = True if level >= UNHEALTHY else False if level < BETTER else None
            if self.cases.turns(RULE, place, time, condition):
                summary = (
                    f"PM2.5 is at {level:.0f} ug/m3 over 10 minutes, the median of {len(means)} nodes; "
                    f"expected: below {UNHEALTHY:g} (AQI 150)."
                )
                yield self.cases.turn(RULE, place, time, "", summary)
        _advance(site)


def _take(site: Site, name: str, time: int, value: float) -> bool:
    """Note a reading. False when it is not newer than the node's newest: it came late or again."""
    node = site.nodes.get(name)
    if node is None:
        node = site.nodes[name] = Node()
    elif time <= node.time:
        return False
    if time > site.next - MEAN:
        node.readings.append((time, value))
    site.reached += node.time < site.next <= time
    site.beyond += node.time < site.next + STRAGGLE <= time
    node.time = time
    if _minute(time) > _minute(site.newest):
        site.newest = time
        _count(site)
    return True


def _count(site: Site) -> None:
    """Forget nodes that were silent for long, and count anew."""
    for name in [name for name, node in site.nodes.items() if node.time <= site.newest - KNOWN]:
        del site.nodes[name]
    site.reached = sum(node.time >= site.next for node in site.nodes.values())
    site.beyond = sum(node.time >= site.next + STRAGGLE for node in site.nodes.values())


def _advance(site: Site) -> None:
    """Go to the next minute that any reading bears on."""
    site.next += 60
    oldest = None
    for node in site.nodes.values():
        while node.readings and node.readings[0][0] <= site.next - MEAN:
            del node.readings[0]
        if node.readings and (oldest is None or node.readings[0][0] < oldest):
            oldest = node.readings[0][0]
    if oldest is not None:
        site.next = max(site.next, _minute(oldest))
    _count(site)


def _mean(node: Node, time: int) -> float | None:
    """Over the 10 minutes up to `time`; None where too little of them is known."""
    values = [value for at, value in node.readings if time - MEAN < at <= time]
    if not values or node.readings[0][0] > time - LEAST:
        return None
    return sum(values) / len(values)


def _minute(time: int) -> int:
    """The whole minute at or after a time."""
    return -(-time // 60) * 60
