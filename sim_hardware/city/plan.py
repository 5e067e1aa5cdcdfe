"""The plan of a city, as its gateway is to know it: which counters follow each other, which nodes share a district."""

import json
import textwrap
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gateway.detect.plan import Plan, Street, Zone
from gateway.errors import ConfigError
from sim_hardware.city.layout import Layout

_WIDTH = 110


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
            zones.append(Zone(district.name, nodes, inlet, full))
    return Plan(tuple(streets), tuple(zones))


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
        parts.append(_array("nodes", map(_text, zone.nodes)))
        parts += [_array("inlet", map(_text, zone.inlet)), ""] if zone.inlet else [""]
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
