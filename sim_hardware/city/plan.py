"""The plan of a city, as its gateway is to know it: which counters follow each other, which nodes share a district, and
where they stand."""

import json
import textwrap
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gateway.detect.plan import Plan, Point, Spot, Street, Zone
from gateway.errors import ConfigError
from sim_hardware.city.layout import Layout
from sim_hardware.city.records import Floats

_WIDTH = 110
_METRES_A_DEGREE = 111_195.0
"""On a sphere of the Earth's mean radius, 6371 km."""
_GOLDEN = np.pi * (3 - 5**0.5)
_DISTRICT_M = 600.0
"""Radius of the circle that a district's homes and stations stand in: the next is 1.4 km away."""


def positions(layout: Layout) -> Floats:
    """Metres east and north of the city's middle, of each slot, shape (nodes, 2).

    A street is a line through its district's middle, each in a direction of its own. Who lives in a district is
    spread over it evenly (Vogel's spiral).
    """
    middle: Floats = np.array([(each.x_km, each.y_km) for each in layout.districts]) * 1000.0
    found: Floats = middle[layout.district_of()]
    for index, road in enumerate(layout.roads):
        own = np.flatnonzero(layout.street == index)
        turn = index * _GOLDEN
        along = layout.metres[own, None] - road.length_m / 2
        found[layout.slots["traffic"][own]] += along * np.array([np.cos(turn), np.sin(turn)])
    for kind, districts, first in (("water", layout.meters, 0.0), ("air", layout.stations, np.pi / 3)):
        for district in range(len(layout.districts)):
            own = layout.slots[kind][districts == district]
            number = np.arange(len(own))
            away, turns = _DISTRICT_M * np.sqrt((number + 0.5) / max(1, len(own))), first + number * _GOLDEN
            found[own] += (away * np.array([np.cos(turns), np.sin(turns)])).T
    return found


def _point(metres: Floats) -> Point:
    """On the map: the simulated city lies around the point 0, 0, in the open sea, where nobody can take it for real."""
    east, north = (metres / _METRES_A_DEGREE).round(6).tolist()
    return north, east


def plan_of(layout: Layout) -> Plan:
    """Streets that have counters, districts that have nodes; both in the layout's order."""
    names = np.array([place.node for place in layout.places])
    counters, meters = names[layout.slots["traffic"]], names[layout.slots["water"]]
    streets = []
    for index, road in enumerate(layout.roads):
        own = np.flatnonzero(layout.street == index)
        own = own[np.argsort(layout.metres[own], kind="stable")]
        if len(own):
            metres = tuple(np.round(layout.metres[own], 1).tolist())
            streets.append(Street(road.name, tuple(counters[own].tolist()), metres=metres))
    zones = []
    of, inlets = layout.district_of(), set(meters[layout.inlet].tolist())
    metered = np.bincount(layout.meters[~layout.inlet], minlength=len(layout.districts)).tolist()
    for index, district in enumerate(layout.districts):
        own_names = names[of == index].tolist()
        nodes = tuple(name for name in own_names if name not in inlets)
        if own_names:
            inlet = tuple(name for name in own_names if name in inlets)
            full = bool(inlet) and metered[index] == district.homes
            at = _point(1000.0 * np.array([district.x_km, district.y_km]))
            zones.append(Zone(district.name, nodes, inlet, full, at=at, radius_m=_DISTRICT_M))
    where = positions(layout)
    spots = [Spot(name, _point(where[slot])) for slot, name in enumerate(names.tolist())]
    return Plan(tuple(streets), tuple(zones), tuple(spots))


def as_toml(plan: Plan) -> str:
    """The text of a `plan.toml`."""
    parts = []
    for street in plan.street:
        parts += ["[[street]]", f"name = {_text(street.name)}"]
        parts += [f"site = {_text(street.site)}"] if street.site else []
        parts.append(_array("counters", map(_text, street.counters)))
        parts += [_array("metres", map(str, street.metres)), ""] if street.metres else [""]
    for zone in plan.zone:
        parts += ["[[zone]]", f"name = {_text(zone.name)}"]
        parts += [f"site = {_text(zone.site)}"] if zone.site else []
        parts += ["full = true"] if zone.full else []
        parts += [_array("at", map(str, zone.at)), f"radius_m = {zone.radius_m}"] if zone.at else []
        parts.append(_array("nodes", map(_text, zone.nodes)))
        parts += [_array("inlet", map(_text, zone.inlet)), ""] if zone.inlet else [""]
    for spot in plan.node:
        parts += ["[[node]]", f"name = {_text(spot.name)}"]
        parts += [f"site = {_text(spot.site)}"] if spot.site else []
        parts += [f"label = {_text(spot.label)}"] if spot.label else []
        parts += [_array("at", map(str, spot.at)), ""]
    return "\n".join(parts)


def write_plan(path: Path, layout: Layout) -> None:
    """Write the plan of a city. Raises ConfigError when the file cannot be written."""
    text = as_toml(plan_of(layout))
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _array(key: str, items: Iterable[str]) -> str:
    whole = ", ".join(items)
    if len(key) + len(whole) < _WIDTH:
        return f"{key} = [{whole}]"
    lines = textwrap.fill(whole, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return f"{key} = [\n{textwrap.indent(lines, '    ')},\n]"


def _text(text: str) -> str:
    """A basic string of TOML: JSON's, but for the delete character, which TOML wants escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
