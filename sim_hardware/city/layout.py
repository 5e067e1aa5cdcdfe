"""Where everything stands: districts, streets, and each node of a fleet of any size in one of them."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gateway.quantities import KINDS
from sim_hardware.city.cells import Road, free_capacity, from_above
from sim_hardware.city.incidents import Target
from sim_hardware.city.records import District, Floats, Ints
from sim_hardware.city.tables import DistrictTable, NodeTable, Place, Scenario, StreetTable

# A city that nobody has described.
_STREET_COUNTERS: Final = 10
_COUNTER_EVERY_M: Final = 400.0
_SHORTEST_M: Final = 1200.0
_HOMES: Final = 1500
_DISTRICT_KM: Final = 1.4  # from one to the next

_BUSY: Final = 0.55
"""Share of its capacity that a street carries at the height of the day, when nothing is said: free, but not empty."""
_OWN: Final = 0.05
"""Share of its capacity that at least comes to each street's own beginning."""


class Layout(Struct, frozen=True):
    """A city's map. Numbers of nodes are positions within their kind, `slots[kind]` gives their slots in the fleet."""

    districts: tuple[District, ...]
    roads: tuple[Road, ...]
    places: tuple[Place, ...]
    slots: dict[str, Ints]
    street: Ints
    """Of each counter."""
    metres: Floats
    """From that street's beginning."""
    meters: Ints
    """District of each water meter."""
    inlet: np.ndarray  # of bool
    """Whether a meter measures all of its district."""
    stations: Ints
    """District of each air station."""
    names: dict[str, tuple[Target, int]]
    """What and where each name is: of a street, a district (its number) or a node (its slot)."""

    def targets(self) -> Mapping[Target, Sequence[str]]:
        """The names of all places that incidents can be at, by sort. Meters are those of homes."""
        node = [place.node for place in self.places]
        of = {kind: [node[slot] for slot in self.slots[kind].tolist()] for kind in KINDS}
        homes = [name for name, inlet in zip(of["water"], self.inlet.tolist(), strict=True) if not inlet]
        return {
            "street": [road.name for road in self.roads],
            "district": [district.name for district in self.districts],
            "traffic": of["traffic"],
            "water": homes,
            "air": of["air"],
            "node": node,
            "city": [""],
        }

    def district_of(self) -> Ints:
        """The district of each slot."""
        found = np.zeros(len(self.places), int)
        found[self.slots["traffic"]] = np.array([road.district for road in self.roads], int)[self.street]
        found[self.slots["water"]] = self.meters
        found[self.slots["air"]] = self.stations
        return found


def lay_out(scenario: Scenario, places: Sequence[Place], seed: np.random.SeedSequence) -> Layout:
    """Everything that the scenario does not say is chosen: the same for the same seed and numbers of nodes."""
    slots = {kind: np.array([p.slot for p in places if p.kind == kind], int) for kind in KINDS}
    numbers = {kind: [p.node for p in places if p.kind == kind] for kind in KINDS}
    tables = scenario.district or _districts(max(map(len, slots.values())), seed)
    roads = _roads(scenario.street or _streets(len(slots["traffic"])), [table.name for table in tables])
    fixed = {table.name: table for table in scenario.node}
    street, metres = _counters(roads, numbers["traffic"], fixed)
    number = {table.name: index for index, table in enumerate(tables)}
    homes = [float(table.homes) for table in tables]
    meters = _spread(homes, numbers["water"], fixed, number)
    stations = _spread([1.0] * len(tables), numbers["air"], fixed, number)
    inlet = np.array([name in fixed and fixed[name].inlet for name in numbers["water"]], bool)
    if scenario.inlet_meters:
        placed = np.array([name in fixed for name in numbers["water"]], bool)
        chosen = np.flatnonzero(~np.isin(meters, meters[inlet]) & ~placed)
        inlet[chosen[np.unique(meters[chosen], return_index=True)[1]]] = True
    living = np.bincount(meters[~inlet], minlength=len(tables)).tolist()
    # More meters than a district was said to have homes: then it has as many.
    districts = tuple(
        District(table.name, table.x_km, table.y_km, max(table.homes, lives), table.heating, table.height_m)
        for table, lives in zip(tables, living, strict=True)
    )
    names: dict[str, tuple[Target, int]] = {road.name: ("street", index) for index, road in enumerate(roads)}
    names |= {district.name: ("district", index) for index, district in enumerate(districts)}
    names |= {p.node: (p.kind, p.slot) for p in places}  # type: ignore[misc] # a kind of node is a target
    return Layout(districts, roads, tuple(places), slots, street, metres, meters, inlet, stations, names)


def _districts(nodes: int, seed: np.random.SeedSequence) -> list[DistrictTable]:
    """Districts in a spiral around the oldest, the outer ones higher, with fewer homes and more stoves."""
    dice = np.random.default_rng(seed)
    found = []
    for index in range(max(1, round((3 * nodes) ** 0.5 / 2))):
        away, turn = _DISTRICT_KM * index**0.5, index * np.pi * (3 - 5**0.5)  # the golden angle: even spacing
        x, y = away * np.array([np.cos(turn), np.sin(turn)]) + dice.uniform(-0.2, 0.2, 2)
        outer = index / (index + 6)
        homes = round(_HOMES * (1.3 - 0.6 * outer) * dice.uniform(0.8, 1.2))
        height = min(45.0, 10 + 25 * outer + dice.uniform(0, 8))
        heating = min(1.0, 0.3 + 0.6 * outer)
        found.append(DistrictTable(f"district {index + 1}", round(x, 2), round(y, 2), homes, heating, round(height, 1)))
    return found


def _streets(counters: int) -> list[StreetTable]:
    """Of ten counters each, as even as can be; every second flows into the one before."""
    count = max(1, -(-counters // _STREET_COUNTERS))
    found = []
    for index in range(count):
        own = (index + 1) * counters // count - index * counters // count
        into = f"street {index}" if index % 2 else ""
        length = max(_SHORTEST_M, own * _COUNTER_EVERY_M)
        heads = ("both", "in", "both", "out")[index % 4]
        found.append(StreetTable(f"street {index + 1}", length, heads=heads, into=into))  # type: ignore[arg-type]
    return found


def _roads(tables: Sequence[StreetTable], districts: Sequence[str]) -> tuple[Road, ...]:
    """Streets with everything decided: so that by default no street carries more than BUSY at the height of a day."""
    number = {table.name: index for index, table in enumerate(tables)}
    into = [number[table.into] if table.into else -1 for table in tables]
    roads: dict[int, Road] = {}
    leaves: dict[int, float] = {}  # veh/h at the height of the day
    above: dict[int, list[int]] = {}
    for way, below in enumerate(into):
        above.setdefault(below, []).append(way)
    for index in from_above(into):
        table = tables[index]
        capacity = table.capacity or free_capacity(table.limit_kmh)
        most = capacity * table.lanes * table.green
        ways = above.get(index, [])
        # What was not said of the ways into it shares the room that is left.
        said = sum(leaves[way] * (tables[way].onward or 0) for way in ways)
        rest = sum(leaves[way] for way in ways if tables[way].onward is None)
        share = min(1.0, max(0.0, (_BUSY - _OWN) * most - said) / rest) if rest else 1.0
        for way in ways:
            roads[way] = replace(roads[way], onward=share if (own := tables[way].onward) is None else own)
        comes = said + share * rest
        peak = max(_OWN * most, _BUSY * most - comes) if table.peak is None else table.peak
        leaves[index] = peak + comes
        district = districts.index(table.district) if table.district else index * len(districts) // len(tables)
        shape = (table.lanes, table.length_m, table.limit_kmh, capacity, peak, table.heads, into[index])
        roads[index] = Road(table.name, district, *shape, green=table.green)
    return tuple(roads[index] for index in range(len(tables)))


def _counters(roads: Sequence[Road], names: Sequence[str], fixed: Mapping[str, NodeTable]) -> tuple[Ints, Floats]:
    """Street and metres of each counter: along the streets in order, evenly, as many as a street is long."""
    number = {road.name: index for index, road in enumerate(roads)}
    street, metres = np.zeros(len(names), int), np.zeros(len(names))
    free = np.array([index for index, name in enumerate(names) if name not in fixed], int)
    counts = _quota([road.length_m for road in roads], len(free))
    lengths = np.array([road.length_m for road in roads])
    street[free] = np.repeat(np.arange(len(roads)), counts)
    order = np.arange(len(free)) - np.repeat(np.cumsum(counts) - counts, counts)
    metres[free] = (order + 0.5) / counts[street[free]] * lengths[street[free]]
    for index, name in enumerate(names):
        if (table := fixed.get(name)) is not None:
            street[index] = number[table.at]
            metres[index] = lengths[street[index]] / 2 if table.at_m is None else table.at_m
    return street, metres


def _spread(
    weights: Sequence[float], names: Sequence[str], fixed: Mapping[str, NodeTable], number: Mapping[str, int]
) -> Ints:
    """The district of each node: as many as a district has weight, one after the other."""
    found = np.zeros(len(names), int)
    free = np.array([index for index, name in enumerate(names) if name not in fixed], int)
    found[free] = np.repeat(np.arange(len(weights)), _quota(weights, len(free)))
    for index, name in enumerate(names):
        if (table := fixed.get(name)) is not None:
            found[index] = number[table.at]
    return found


def _quota(weights: Sequence[float], count: int) -> Ints:
    """Whole numbers that add up to `count`, as near to the weights as can be (largest remainders)."""
    exact = np.array(weights) / sum(weights) * count
    found = np.floor(exact).astype(int)
    found[np.argsort(found - exact, kind="stable")[: count - int(found.sum())]] += 1
    return found
