"""Where nodes are: which counters follow each other, which meters belong together, and what a map shows."""

import tomllib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from gateway.config import Config
from gateway.errors import ConfigError
from gateway.keys import refuse_unknown

Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]
Point = tuple[Latitude, Longitude]
"""Degrees, WGS 84."""


LEAST_HOMES: Final = 10
"""Of fewer homes nobody but operators is told a sum of their water: a sum of few points to one of them."""


class Street(Struct, frozen=True):
    """`[[street]]`: counters along one direction of travel."""

    name: str
    counters: tuple[str, ...]
    """Names of nodes, in the direction of travel."""
    site: str = ""
    """May be left out where there is one only. So in all tables."""
    metres: tuple[float, ...] = ()
    """Where each counter stands, m from the street's beginning; empty where it is not known."""


class Zone(Struct, frozen=True):
    """`[[zone]]`: a district, by its nodes of any kind."""

    name: str
    nodes: tuple[str, ...] = ()
    inlet: tuple[str, ...] = ()
    """Names of the water meters through which all of the zone's water comes; they are no home's."""
    full: bool = False
    """Every home of it has a meter among its nodes: what its inlets bring can be held against their sum."""
    site: str = ""
    at: Point | None = None
    """Its middle."""
    radius_m: Annotated[float, Meta(ge=0)] = 0.0
    """Of the circle around it that holds the zone; 0 where it is not known."""


class Spot(Struct, frozen=True):
    """`[[node]]`: where a node stands, for the eyes of operators alone."""

    name: str
    at: Point
    label: str = ""
    """What people call the place: `Mill Lane 3, basement`."""
    site: str = ""


class Plan(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A whole file: `plan.toml`."""

    street: tuple[Street, ...] = ()
    zone: tuple[Zone, ...] = ()
    node: tuple[Spot, ...] = ()

    def of(self, site: str) -> "Plan":
        """What of it is of one site."""
        here = ("", site)
        return Plan(
            tuple(each for each in self.street if each.site in here),
            tuple(each for each in self.zone if each.site in here),
            tuple(each for each in self.node if each.site in here),
        )

    def spot(self, site: str, node: str) -> Spot | None:
        """Where a node stands; None where the plan does not say it."""
        return self._spots.get((site, node)) or self._spots.get(("", node))

    def zones_of(self, site: str, *nodes: str) -> list[str]:
        """Names of the zones that hold one of these nodes, in the plan's order."""
        return [
            each.name
            for each in self.zone
            if each.site in ("", site) and not {*each.nodes, *each.inlet}.isdisjoint(nodes)
        ]

    @cached_property
    def _spots(self) -> dict[tuple[str, str], Spot]:
        return {(each.site, each.name): each for each in reversed(self.node)}  # the first counts


class GroupPlan(Struct, frozen=True):
    """What of a plan concerns the nodes of one group, by their numbers (`Windows.node`, `Frame.node`).

    Nodes that the plan does not name, and those that were never heard of, are in none of these.
    """

    streets: tuple[tuple[int, ...], ...] = ()
    """Of each street, its counters in the direction of travel."""
    metres: tuple[tuple[float, ...], ...] = ()
    """Of each street, where they are; empty where it is not known."""
    street_names: tuple[str, ...] = ()
    zones: tuple[tuple[int, ...], ...] = ()
    """Of each zone, its nodes without the inlets."""
    inlets: tuple[tuple[int, ...], ...] = ()
    """Of each zone, its inlets."""
    full: tuple[bool, ...] = ()
    """Of each zone, whether it is metered whole and each of its inlets has been heard of."""

    @classmethod
    def of(cls, plan: Plan, site: str, number: Mapping[str, int]) -> "GroupPlan":
        """`number` tells the number of each node of the group by name."""

        def known(names: Sequence[str]) -> tuple[int, ...]:
            return tuple(number[name] for name in names if name in number)

        own = plan.of(site)
        streets, zones = own.street, own.zone
        return cls(
            streets=tuple(known(each.counters) for each in streets),
            metres=tuple(
                tuple(m for name, m in zip(each.counters, each.metres, strict=True) if name in number)
                if each.metres
                else ()
                for each in streets
            ),
            street_names=tuple(each.name for each in streets),
            zones=tuple(known([name for name in each.nodes if name not in each.inlet]) for each in zones),
            inlets=tuple(known(each.inlet) for each in zones),
            full=tuple(each.full and all(name in number for name in each.inlet) for each in zones),
        )


def planned(config: Config) -> Plan:
    """The plan that a configuration names; an empty one where it names none. Raises ConfigError like `load`."""
    return load(Path(config.detect.plan)) if config.detect.plan else Plan()


def load(path: Path) -> Plan:
    """Read and check a plan. Raises ConfigError that names file, key and cure."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        refuse_unknown(table, Plan)
        plan = msgspec.convert(table, Plan)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; detect.plan names it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except (msgspec.ValidationError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from error
    for street in plan.street:
        if street.metres and len(street.metres) != len(street.counters):
            raise ConfigError(
                f"{path}: street {street.name!r} has {len(street.counters)} counters, but metres of "
                f"{len(street.metres)}: give each one, or none"
            )
        if list(street.metres) != sorted(street.metres):
            raise ConfigError(f"{path}: street {street.name!r}: metres must grow in the direction of travel")
    for zone in plan.zone:
        if zone.full and not zone.inlet:
            raise ConfigError(
                f"{path}: zone {zone.name!r} is full, but has no inlet to hold its meters against: "
                "name its inlets, or leave out full"
            )
    return plan
