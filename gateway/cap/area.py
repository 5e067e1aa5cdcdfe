"""Areas by name: streets, zones and sites. What an operator is told of, and what of it the public is."""

import re
from collections.abc import Collection, Iterable
from typing import Final, Literal

from msgspec import Struct

from gateway.cap.kinds import kind_of
from gateway.detect.plan import Plan, Point, Zone
from gateway.records import Incident

LEAST_HOMES: Final = 10
"""Below so many homes nothing of their water is for the public: a sum of few points to one of them."""
LEAST_RADIUS_M: Final = 100.0
"""A smaller circle would show a house. The public gets none then."""


_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no character for."""
_NO_WORD: Final = re.compile(r"[\W_]+")


def plain(text: str) -> str:
    """Without what XML has no character for: names in a plan may be anything."""
    return _NO_XML.sub("", text)


def named(name: str, sort: str) -> str:
    """The name as it can be shown; its sort where nothing is left."""
    return plain(name).strip() or f"unnamed {sort}"


class Area(Struct, frozen=True):
    """A place that has a name."""

    name: str
    slug: str
    """Of its own among all areas of a plan: for addresses and identifiers."""
    sort: Literal["zone", "street", "site"]
    site: str
    """Empty where the plan does not say it: there is one only."""
    nodes: frozenset[str] = frozenset()
    inlet: frozenset[str] = frozenset()
    """Of its nodes, the meters that are no home's."""
    at: Point | None = None
    radius_m: float = 0.0
    """0 where it is not known."""

    def holds(self, site: str, node: str) -> bool:
        return self.site in ("", site) and (node in self.nodes or node in self.inlet)


def areas(plan: Plan, sites: Iterable[str]) -> tuple[Area, ...]:
    """Zones, then streets, in the plan's order, then sites. A zone's circle is left out where it would show a node."""
    taken: dict[str, int] = {}

    def slug(name: str, sort: str) -> str:
        # With the sort before it, what one sort is called changes nothing for another.
        whole = f"{sort}-{_NO_WORD.sub('-', name.casefold()).strip('-')}"
        taken[whole] = taken.get(whole, 0) + 1
        return whole if taken[whole] == 1 else slug(f"{name}-{taken[whole]}", sort)

    found = [
        Area(
            named(zone.name, "zone"),
            slug(zone.name, "zone"),
            "zone",
            zone.site,
            frozenset(zone.nodes),
            frozenset(zone.inlet),
            zone.at,
            zone.radius_m,
        )
        for zone in plan.zone
    ]
    found += [
        Area(
            named(street.name, "street"), slug(street.name, "street"), "street", street.site, frozenset(street.counters)
        )
        for street in plan.street
    ]
    found += [Area(site, slug(site, "site"), "site", site) for site in sites]
    return tuple(found)


def areas_of(incident: Incident, plan: Plan, kind: str = "") -> tuple[Area, ...]:
    """Of an incident: streets of what is of traffic, else zones, else its site. Each once, its own first."""
    known = areas(plan, (incident.site,))
    street_first = kind_of(kind or incident.kind).category in ("Transport", "Safety")
    found: dict[str, Area] = {}
    for node in (incident.node, *incident.nodes) if incident.node else ():
        for area in _of_node(known, incident.site, node, "street" if street_first else "zone"):
            found[area.slug] = area
    return tuple(found.values()) or (known[-1],)


def public_area(incident: Incident, kind: str, plan: Plan, homes: Collection[str]) -> Area | None:
    """The one area by which the public is told of an incident as a kind; None where that would point to a home.

    `homes` are names of all water meters of the site. The circle is left out where it is small, or its middle is a
    node's place.
    """
    public = kind_of(kind).public
    if public is None:
        return None
    area = areas_of(incident, plan, kind)[0]
    if public.of_homes and (area.sort != "zone" or homes_of(area, homes) < LEAST_HOMES):
        return None
    spots = {_coarse(spot.at) for spot in plan.node}
    if area.at is None or area.radius_m < LEAST_RADIUS_M or _coarse(area.at) in spots:
        return Area(area.name, area.slug, area.sort, area.site, area.nodes, area.inlet)
    return area


def homes_of(area: Area | Zone, meters: Collection[str]) -> int:
    """How many of the water meters `meters` are homes of an area: without its inlets."""
    return len((set(area.nodes) - set(area.inlet)) & set(meters))


def _of_node(known: tuple[Area, ...], site: str, node: str, sort: str) -> list[Area]:
    """The first area of that sort that has the node, else the first of any."""
    holding = [area for area in known if area.holds(site, node)]
    return [area for area in holding if area.sort == sort][:1] or holding[:1]


def _coarse(at: Point) -> tuple[float, float]:
    """To some 10 m."""
    return round(at[0], 4), round(at[1], 4)
