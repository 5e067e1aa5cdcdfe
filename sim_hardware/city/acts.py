"""How an incident acts on the city: on which cells, pipes, districts or nodes, and which nodes may see it."""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from sim_hardware.city.cells import Cells
from sim_hardware.city.incidents import CROWD_MIN, KINDS, Event, IncidentKind, Target
from sim_hardware.city.layout import Layout
from sim_hardware.city.records import Effect, Ints

_NOWHERE: Final[Ints] = np.zeros(0, int)
Mask = NDArray[np.bool_]

_CUTS: Final = ("crash", "roadworks")


class Act(Struct, frozen=True):
    """What one event does from one minute to another."""

    event: Event
    begin: int
    """Minutes after the city's start."""
    end: int
    domain: str
    """Of `incidents.Kind`."""
    effect: str
    """Kind of effect, as the domain knows it."""
    where: Ints
    heads: Ints
    """Cells at which it holds traffic up."""

    def effect_at(self, minute: int) -> Effect:
        return Effect(self.effect, self.where, self.event.size, self.event.strength(minute))


def acts(event: Event, layout: Layout, cells: Cells) -> list[Act]:
    """One, or two for a crowd that comes and goes; none for an event at a node that this fleet lacks."""
    line = KINDS[event.kind]
    if event.at and event.at not in layout.names:
        return []
    if line.domain == "streets":
        return _on_street(event, _cell(event, layout, cells), cells)
    sort, index = layout.names[event.at] if event.at else ("city", 0)
    where = np.array([index])
    if line.domain == "nodes":
        where = np.flatnonzero(layout.district_of() == index) if sort == "district" else where
    elif line.domain == "air":
        where = np.arange(len(layout.districts)) if sort == "city" else where
    elif sort == "water":
        where = np.flatnonzero(layout.slots["water"] == index)
    return [Act(event, event.begin, event.end, line.domain, event.kind, where, _NOWHERE)]


def _cell(event: Event, layout: Layout, cells: Cells) -> int:
    sort, index = layout.names[event.at]
    if sort == "street":
        metres = event.along * layout.roads[index].length_m
        return int(cells.at(np.array([index]), np.array([metres]))[0])
    counter = np.flatnonzero(layout.slots["traffic"] == index)
    return int(cells.at(layout.street[counter], layout.metres[counter])[0])


def _on_street(event: Event, cell: int, cells: Cells) -> list[Act]:
    here = np.array([cell])
    if event.kind in _CUTS:
        return [Act(event, event.begin, event.end, "streets", "cut", here, here)]
    first, last = int(cells.first[cells.street[cell]]), int(cells.last[cells.street[cell]])
    # It comes by the street's beginning and drives off beside the cell; its queue is in all of the street that it uses,
    # and in the cell above, whose traffic it lets in one by one.
    goes = min(max(cell, first + 1), last)
    after = max(event.begin, event.end - CROWD_MIN)
    comes = (event.begin, min(event.begin + CROWD_MIN, after))
    return [
        Act(event, *comes, "streets", "crowd", np.array([first]), np.arange(first, last + 1)),
        Act(event, after, event.end, "streets", "crowd", np.array([goes]), np.arange(max(goes - 1, first), last + 1)),
    ]


def shows_at(kind: IncidentKind, at: str, layout: Layout) -> Ints:
    """Slots of the nodes that may see it; for traffic those in whose street it is, and in those that lead there.

    Which counters a queue really reaches the streets themselves tell.
    """
    domain = KINDS[kind].domain
    sort, index = layout.names[at] if at else ("city", 0)
    if domain == "nodes":
        return np.flatnonzero(layout.district_of() == index) if sort == "district" else np.array([index])
    measures, near = _NEAR[domain](kind, sort, index, layout)
    slots: Ints = layout.slots[measures][near]
    return slots


def _stations(_kind: str, sort: Target, index: int, layout: Layout) -> tuple[str, Mask]:
    return "air", np.full(len(layout.stations), sort == "city") | (layout.stations == index)


def _counters(_kind: str, sort: Target, index: int, layout: Layout) -> tuple[str, Mask]:
    reached: set[int] = set()
    more = {index if sort == "street" else int(layout.street[layout.slots["traffic"] == index][0])}
    while more:
        reached |= more
        more = {number for number, road in enumerate(layout.roads) if road.into in more}
    return "traffic", np.isin(layout.street, list(reached))


def _meters(kind: str, sort: Target, index: int, layout: Layout) -> tuple[str, Mask]:
    """The one that it is at, and that of the district; but what runs back is lost in what the district draws."""
    own = np.zeros(len(layout.meters), bool) if sort == "district" else layout.slots["water"] == index
    district = index if sort == "district" else int(layout.meters[own][0])
    return "water", own | ((kind != "backflow") & layout.inlet & (layout.meters == district))


_NEAR: Final = {"air": _stations, "streets": _counters, "pipes": _meters}
