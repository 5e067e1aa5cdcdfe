"""The tables of a scenario's file, as records; and the city's clock that they are written in."""

import re
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from gateway.config import NAME
from sim_hardware.city.incidents import DAY_MIN, KINDS, IncidentKind
from sim_hardware.city.weather import Climate

# No fleet has more nodes, no run lasts longer (19 years); anything below can be calculated with.
MAX_NODES: Final = 100_000
MAX_MINUTES: Final = 10_000_000

NODE: Final = r"(traffic|water|air)-(?:[0-9]{4}|[1-9][0-9]{4,5})"
"""What a node is called: its kind, and its number among these."""
Name = Annotated[str, Meta(pattern=r"^\S(.{0,58}\S)?\Z")]
Km = Annotated[float, Meta(ge=-200, le=200)]
Clock = Annotated[int, Meta(ge=0, le=MAX_MINUTES)] | str
"""Minutes after the start, "07:30" (the first after the start) or "2d 07:30" (two days after the day of the start)."""
Span = Annotated[int, Meta(ge=1, le=MAX_MINUTES)] | str
"""Minutes, or a length such as "45m", "1h 30m", "2d"."""

_TIME = re.compile(r"(?:([0-9]{1,4})d\s+)?([0-9]{1,2}):([0-9]{2})")
_SPAN = re.compile(r"(?:([0-9]{1,4})d)?\s*(?:([0-9]{1,5})h)?\s*(?:([0-9]{1,6})m)?")


def clock(text: int | str, start: int, after: int = 0) -> int:
    """Minutes after the city's start, which is at minute `start` of its day; "07:30" is the first one from `after` on.

    May be negative: "0d 06:00" in a city that starts at seven. Raises ValueError.
    """
    if isinstance(text, int):
        return text
    found = _TIME.fullmatch(text.strip())
    if not found or int(found[2]) > 23 or int(found[3]) > 59:
        raise ValueError(f'{text!r} is no time: write "07:30", "2d 07:30" or minutes after the start')
    minute = 60 * int(found[2]) + int(found[3]) - start
    return minute + int(found[1]) * DAY_MIN if found[1] else after + (minute - after) % DAY_MIN


def span(text: int | str) -> int:
    """Minutes of a length. Raises ValueError."""
    if isinstance(text, int):
        return text
    found = _SPAN.fullmatch(text.strip())
    days, hours, minutes = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = days * DAY_MIN + hours * 60 + minutes
    if not 0 < total <= MAX_MINUTES:
        raise ValueError(f'{text!r} is no length: write minutes, or "45m", "1h 30m", "2d"')
    return total


class DistrictTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[district]]`."""

    name: Name
    x_km: Km
    """Of its centre, eastward."""
    y_km: Km
    """Northward."""
    homes: Annotated[int, Meta(ge=1, le=1_000_000)]
    heating: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Share of the homes that burn something for heat."""
    height_m: Annotated[float, Meta(ge=0, le=60)] = 20.0
    """Above the floor of the waterworks."""


class StreetTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[street]]`: one direction of it."""

    name: Name
    length_m: Annotated[float, Meta(gt=0, le=50_000)]
    district: str = ""
    lanes: Annotated[int, Meta(ge=1, le=4)] = 2
    limit_kmh: Annotated[float, Meta(ge=20, le=130)] = 50.0
    capacity: Annotated[float, Meta(ge=100, le=2400)] | None = None
    """veh/h and lane; when not said, what is usual at its limit."""
    peak: Annotated[float, Meta(ge=0, le=20_000)] | None = None
    """veh/h that enter at its beginning at the height of the day; when not said, so many that nothing jams."""
    heads: Literal["in", "out", "both"] = "both"
    """Into the city (full in the morning), out of it (in the evening), or both."""
    into: str = ""
    """The street that its traffic flows on into."""
    onward: Annotated[float, Meta(ge=0, le=1)] | None = None
    """The share of it that does; when not said, as much as fits."""
    green: Annotated[float, Meta(ge=0.05, le=1)] = 1.0
    """The share of its capacity that its end lets through: a signal's green, a narrowing."""


class NodeTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[node]]`: where one node stands, for those that shall not be placed by themselves."""

    name: Annotated[str, Meta(pattern=rf"^{NODE}\Z")]
    at: str
    """A street for a counter, a district for the others."""
    at_m: Annotated[float, Meta(ge=0)] | None = None
    """From the street's beginning."""
    inlet: bool = False
    """A water meter that measures its whole district."""

    @property
    def kind(self) -> str:
        return self.name.partition("-")[0]


class Planned(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[incident]]`."""

    kind: IncidentKind
    begin: Clock
    at: str = ""
    """Name of a street, a district or a node; nothing for the whole city."""
    at_m: Annotated[float, Meta(ge=0)] | None = None
    """On a street; its middle when not said."""
    end: Clock | None = None
    lasts: Span | None = None
    """Instead of `end`; without both it lasts as is usual."""
    size: float | None = None
    """In the unit of its kind, see `incidents.KINDS`; the usual when not said."""
    daily: bool = False
    """Whether it comes again every 24 hours."""

    def times(self, start: int) -> tuple[int, int]:
        """Minutes after the city's start, which is at minute `start` of its day. Raises ValueError."""
        begin = clock(self.begin, start)
        if self.end is not None:
            return begin, clock(self.end, start, begin + 1)
        return begin, begin + (KINDS[self.kind].lasts if self.lasts is None else span(self.lasts))


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. Without districts and streets a city is laid out for as many nodes as there are."""

    site: Annotated[str, Meta(pattern=rf"^{NAME}\Z")]
    incident: tuple[Planned, ...] = ()
    start_hour: Annotated[float, Meta(ge=0, lt=24)] = 7.0
    """Hour of the day (UTC) at which the city begins."""
    district: tuple[DistrictTable, ...] = ()
    street: tuple[StreetTable, ...] = ()
    node: tuple[NodeTable, ...] = ()
    inlet_meters: bool = False
    """Whether each district's first water meter measures all of it."""
    climate: Climate = Climate()
    random: dict[IncidentKind, Annotated[float, Meta(ge=0, le=1000)]] = {}
    """Incidents by chance: so many a month (30 days) and place of their kind."""


class Place(Struct, frozen=True):
    """One node of the fleet: the number-th of its kind."""

    slot: int
    kind: str
    number: int

    @property
    def node(self) -> str:
        return f"{self.kind}-{self.number:04d}"
