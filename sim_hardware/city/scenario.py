"""A scenario: which nodes stand where, and what is going to happen, from a TOML file."""

import importlib.resources
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.config import NAME, refuse_unknown
from gateway.errors import ConfigError
from gateway.quantities import KINDS

DAY_S = 86_400

IncidentKind = Literal["burst", "jam", "air_episode", "stuck"]

MEASURES: dict[IncidentKind, str] = {"burst": "water", "jam": "traffic", "air_episode": "air", "stuck": "air"}
"""The kind of node that an incident shows at."""

SHOWS_AFTER_S: dict[IncidentKind, int] = {"burst": 35 * 60, "jam": 8 * 60, "air_episode": 15 * 60, "stuck": 35 * 60}
"""How long an incident must have lasted before a gateway can fairly be expected to have noticed.

A burst is 30 minutes of high flow by Kamstrup's rule, a stuck sensor 30 equal minutes; jams and bad air show
within minutes. Five minutes are for the incident to grow to its size.
"""

# No fleet has more nodes, no run lasts longer (19 years); anything below can be calculated with.
_MAX_PLACES = 100_000
_MAX_MINUTES = 10_000_000


class Planned(Struct, frozen=True, forbid_unknown_fields=True):
    """An incident that the scenario injects. Times are minutes after the city's start."""

    kind: IncidentKind
    begin: Annotated[int, Meta(ge=0, le=_MAX_MINUTES)]
    end: Annotated[int, Meta(le=_MAX_MINUTES)]
    place: Annotated[int, Meta(ge=1, le=_MAX_PLACES)]
    """Number of the node, from 1, at which it begins; for `air_episode` the middle of it."""
    size: Annotated[float, Meta(ge=0, le=1e6)]
    """burst: l/h · jam: km/h left of the traffic's speed · air_episode: µg/m³ of PM2.5 on top · stuck: unused."""
    reach: Annotated[int, Meta(ge=0, le=_MAX_PLACES)] = 0
    """How many neighbours on either side it spreads to."""
    daily: bool = True
    """Whether it comes again every 24 hours."""


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    site: Annotated[str, Meta(pattern=rf"^{NAME}\Z")]
    incident: tuple[Planned, ...] = ()
    start_hour: Annotated[float, Meta(ge=0, lt=24)] = 7.0
    """Hour of the day (UTC) at which the city begins."""


def load(path: Path | None) -> Scenario:
    """Read a scenario; None is the one that ships with the project.

    Raises ConfigError naming file, key and reason.
    """
    name = str(path) if path else "the built-in scenario"
    try:
        text = path.read_text() if path else importlib.resources.files(__package__).joinpath("first.toml").read_text()
        given = tomllib.loads(text)
        refuse_unknown(given, Scenario)
        incidents = given.get("incident")
        for number, table in enumerate(incidents if isinstance(incidents, list) else ()):
            if isinstance(table, dict):
                refuse_unknown(table, Planned, f"incident[{number}].")
        scenario = msgspec.convert(given, Scenario)
    except (OSError, ValueError, ConfigError) as error:
        raise ConfigError(f"{name}: {error}") from error
    for number, each in enumerate(scenario.incident, 1):
        if each.begin >= each.end:
            raise ConfigError(f"{name}: incident {number} ({each.kind}) must end after it begins")
        if each.daily and (each.end - each.begin) * 60 > DAY_S:
            raise ConfigError(f"{name}: incident {number} ({each.kind}) is daily but longer than a day")
    return scenario


def beginning(scenario: Scenario, now: int, city_s: int) -> int:
    """Unix seconds of the latest working day's `start_hour` after which `city_s` seconds have passed by `now`."""
    latest = now - city_s
    begin = latest - latest % DAY_S + round(scenario.start_hour * 60) * 60
    while begin > latest or (begin // DAY_S + 3) % 7 >= 5:  # 1970-01-01 was a Thursday
        begin -= DAY_S
    return begin


class Place(Struct, frozen=True):
    """One node of the fleet and where it stands: the number-th of its kind, along the one street of this city."""

    slot: int
    kind: str
    number: int

    @property
    def node(self) -> str:
        return f"{self.kind}-{self.number:04d}"


def places(nodes: int) -> list[Place]:
    """`nodes` nodes, kinds in turn, so that any number gives a city with some of each."""
    return [Place(slot, KINDS[slot % 3], slot // 3 + 1) for slot in range(nodes)]


def out_of_reach(scenario: Scenario, nodes: int) -> list[str]:
    """A sentence for each incident that none of so few nodes will see."""
    found = []
    for number, each in enumerate(scenario.incident, 1):
        kind = MEASURES[each.kind]
        have = sum(place.kind == kind for place in places(nodes))
        if have < max(1, each.place - each.reach):
            found.append(
                f"incident {number} ({each.kind}) will not show: its place is {kind} node {each.place}, "
                f"and a fleet of {nodes} has {have} of these"
            )
    return found
