"""A scenario: a city, which nodes stand in it, and what is going to happen, from a TOML file."""

import importlib.resources
import tomllib
from pathlib import Path

import msgspec
import numpy as np

from gateway.errors import ConfigError
from gateway.quantities import KINDS
from sim_hardware.city.acts import shows_at
from sim_hardware.city.checks import check, check_keys, lines_told
from sim_hardware.city.layout import lay_out
from sim_hardware.city.tables import Place, Scenario

__all__ = ["DAY_S", "Place", "Scenario", "beginning", "load", "out_of_reach", "places"]

DAY_S = 86_400


def load(path: Path | None) -> Scenario:
    """Read a scenario; None is the one that ships with the project.

    Raises ConfigError naming file, line, key, reason and cure.
    """
    name = str(path) if path else "the built-in scenario"
    try:
        text = (path or importlib.resources.files(__package__).joinpath("first.toml")).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: {error}") from error
    return parse(text, name)


def parse(text: str, name: str) -> Scenario:
    """A scenario's text; `name` is that of its file, for messages. Raises ConfigError as `load` does."""
    with lines_told(text, name):
        given = tomllib.loads(text)
        check_keys(given)
        scenario = msgspec.convert(given, Scenario)
        check(scenario)
    return scenario


def beginning(scenario: Scenario, now: int, city_s: int) -> int:
    """Unix seconds of the latest working day's `start_hour` after which `city_s` seconds have passed by `now`."""
    latest = now - city_s
    begin = latest - latest % DAY_S + round(scenario.start_hour * 60) * 60
    while begin > latest or (begin // DAY_S + 3) % 7 >= 5:  # 1970-01-01 was a Thursday
        begin -= DAY_S
    return begin


def places(nodes: int) -> list[Place]:
    """`nodes` nodes, kinds in turn, so that any number gives a city with some of each."""
    return [Place(slot, KINDS[slot % 3], slot // 3 + 1) for slot in range(nodes)]


def out_of_reach(scenario: Scenario, nodes: int) -> list[str]:
    """A sentence for each node and each incident of the scenario that a fleet of so few will not have or see."""
    layout = lay_out(scenario, places(nodes), np.random.SeedSequence(0))
    found = [
        f"{table.name} is to stand at {table.at}, and a fleet of {nodes} has "
        f"{len(layout.slots[table.kind])} {table.kind} nodes"
        for table in scenario.node
        if table.name not in layout.names
    ]
    for number, each in enumerate(scenario.incident, 1):
        place = each.at or "the whole city"
        if each.at and each.at not in layout.names:
            kind = each.at.partition("-")[0]
            have = len(layout.slots[kind])
            found.append(
                f"incident {number} ({each.kind}) will not show: its place is {place}, "
                f"and a fleet of {nodes} has {have} {kind} nodes"
            )
        elif not len(shows_at(each.kind, each.at, layout)):
            found.append(
                f"incident {number} ({each.kind}) will not show: no node of a fleet of {nodes} would see it at {place}"
            )
    return found
