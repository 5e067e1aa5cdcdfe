"""Areas by name: streets, zones and sites. What an operator is told of, and what of it the public is."""

import re
from collections.abc import Collection, Sequence
from typing import Final, Literal

from msgspec import Struct, structs

from gateway.cap.kinds import kind_of
from gateway.detect.plan import LEAST_HOMES, Plan, Point
from gateway.records import Incident

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
    """Of its own among all areas: for addresses and identifiers."""
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


class Places:
    """The areas of a plan, and which of them a node is in."""

    def __init__(self, plan: Plan) -> None:
        """Zones, then streets, in the plan's order."""
        self._taken: dict[str, int] = {}
        zones = [
            Area(
                named(zone.name, "zone"),
                self._slug(zone.name, "zone"),
                "zone",
                zone.site,
                frozenset(zone.nodes),
                frozenset(zone.inlet),
                zone.at,
                zone.radius_m,
            )
            for zone in plan.zone
        ]
        streets = [
            Area(
                named(street.name, "street"),
                self._slug(street.name, "street"),
                "street",
                street.site,
                frozenset(street.counters),
            )
            for street in plan.street
        ]
        self.areas: tuple[Area, ...] = (*zones, *streets)
        self._of: dict[str, list[Area]] = {}
        for area in self.areas:
            for node in area.nodes | area.inlet:
                self._of.setdefault(node, []).append(area)
        self._spots = {_coarse(spot.at) for spot in plan.node}

    def of(self, incident: Incident, kind: str = "") -> tuple[Area, ...]:
        """Streets of what is of traffic, else zones, else the whole site. Each once, that of its own node first.

        `kind` is what it is taken for, if not for what it is.
        """
        sort = "street" if kind_of(kind or incident.kind).category in ("Transport", "Safety") else "zone"
        found: dict[str, Area] = {}
        for node in (incident.node, *incident.nodes) if incident.node else ():
            holding = [area for area in self._of.get(node, ()) if area.holds(incident.site, node)]
            for area in [area for area in holding if area.sort == sort][:1] or holding[:1]:
                found[area.slug] = area
        return tuple(found.values()) or (site_area(incident.site),)

    def public(self, incident: Incident, kinds: Sequence[str], meters: Collection[str]) -> Area | None:
        """The one area by which the public is told of an incident as these kinds; None where that would point to a
        home.

        `meters` are names of all water meters of the site. The circle is left out where it is small, or its middle is
        a node's place.
        """
        public = [kind_of(kind).public for kind in kinds]
        area = self.of(incident, kinds[0])[0]
        if None in public:
            return None
        of_homes = any(each is not None and each.of_homes for each in public)
        if of_homes and (area.sort != "zone" or homes_of(area, meters) < LEAST_HOMES):
            return None
        if area.at is None or area.radius_m < LEAST_RADIUS_M or _coarse(area.at) in self._spots:
            return structs.replace(area, at=None, radius_m=0.0)
        return area

    def _slug(self, name: str, sort: str) -> str:
        # With the sort before it, what one sort is called changes nothing for another.
        whole = f"{sort}-{_NO_WORD.sub('-', name.casefold()).strip('-')}"
        self._taken[whole] = number = self._taken.get(whole, 0) + 1
        return whole if number == 1 else self._slug(f"{name}-{number}", sort)


def site_area(site: str) -> Area:
    """The whole of a site."""
    return Area(site, f"site-{site}", "site", site)


def homes_of(area: Area, meters: Collection[str]) -> int:
    """How many of the water meters `meters` are homes of an area: without its inlets."""
    return len((area.nodes - area.inlet) & set(meters))


def _coarse(at: Point) -> tuple[float, float]:
    """To some 10 m."""
    return round(at[0], 4), round(at[1], 4)
