"""The newest values of all nodes that may be shown, and what zones used: asked of the database, kept for a moment."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from gateway.detect.plan import LEAST_HOMES, Plan
from gateway.north.shown import Key, homes_of, shown, told
from gateway.query.client import Series
from gateway.query.influxql import quote_name, quote_text
from gateway.records import Incident, NodeView
from gateway.web.seat import Seat

REACH_SECONDS: Final = 7 * 86_400
"""How much older than its kind's newest pack a value may be and still be a node's newest."""
POINTS: Final = 4
"""Of each series that are looked at: an event is a point of its own beside the window's."""
KEEP_SECONDS: Final = 5.0
"""How long an answer is good for whoever asks next."""
HOUR: Final = 3600
LATE_SECONDS: Final = 1200
"""How long packs of an hour that is over are waited for before it is summed up: by the newest of all clocks, which may
be 600 s ahead."""

T = TypeVar("T")


class Value(NamedTuple):
    """A reading."""

    time: str
    """RFC 3339, UTC."""
    value: float


class Place(NamedTuple):
    """Of a series."""

    measurement: str
    site: str
    node: str
    channel: str


Newest = Mapping[Place, Mapping[str, Value]]
"""By series, by quantity."""
NOTHING: Final[Newest] = {}


class Used(NamedTuple):
    """What the homes of a zone used together in an hour."""

    site: str
    zone: str
    end: int
    """Unix seconds."""
    litres: float
    homes: int


class World(NamedTuple):
    """What other systems may know, at one moment."""

    plan: Plan
    nodes: Sequence[NodeView] = ()
    newest: Newest = NOTHING
    incidents: Sequence[Incident] = ()
    used: Sequence[Used] = ()
    exercise: bool = False


class Looker:
    """Of one router; questions that come together are asked once."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._lock = asyncio.Lock()
        self._world = World(seat.plan)
        self._until = 0.0
        self._hour = 0
        self._used: Sequence[Used] = ()
        self._made: dict[Callable[[World], Any], Any] = {}

    async def look(self) -> World:
        """Raises GanglionError as `Seat.ask` does."""
        async with self._lock:
            return await self._fresh()

    async def made(self, make: Callable[[World], T]) -> T:
        """What `make`, a function of a module, makes of the world; once of each, beside the loop: of a large city it
        takes a while. Raises as `look` does."""
        async with self._lock:
            world = await self._fresh()
            if make not in self._made:
                self._made[make] = await asyncio.to_thread(make, world)
            found: T = self._made[make]
            return found

    async def _fresh(self) -> World:
        if time.monotonic() >= self._until:
            self._world, self._made = await self._ask(), {}
            self._until = time.monotonic() + KEEP_SECONDS
        return self._world

    async def _ask(self) -> World:
        seat, snapshot = self._seat, self._seat.snapshot
        heard = [view for view in snapshot.nodes if view.site in seat.config.sites]
        nodes = shown(seat.plan, heard)
        statement = newest_statement(nodes)
        series = await seat.ask(statement) if statement else []
        await self._sum_up(heard)
        own = (incident for incident in snapshot.incidents if incident.site in seat.config.sites)
        incidents = told(own, heard, nodes)
        return World(seat.plan, nodes, newest(series, nodes), incidents, self._used, seat.config.exercise)

    async def _sum_up(self, nodes: Sequence[NodeView]) -> None:
        """Once for each hour: a second answer, after a late pack, would tell what that one home has used."""
        latest = max((view.time for view in nodes if view.kind == "water"), default=0)
        hour = (latest - LATE_SECONDS) // HOUR * HOUR
        if hour > self._hour and self._seat.plan.zone:
            series = await self._seat.ask(used_statement(hour))
            self._used, self._hour = used(self._seat.plan, nodes, series, hour), hour


def newest_statement(nodes: Sequence[NodeView]) -> str:
    """One question for the newest points of each series of the nodes' kinds, and for their health; InfluxQL."""
    statements = []
    for kind in sorted({view.kind for view in nodes}):
        own = [view for view in nodes if view.kind == kind]
        # Of the meters only some may be shown; of other kinds all.
        only = f" AND ({' OR '.join(map(_is_of, own))})" if kind == "water" else ""
        statements.append(_newest("*", kind, only, max(view.time for view in own)))
    if nodes:
        statements.append(_newest('"rssi"', "health", "", max(view.time for view in nodes)))
    return "; ".join(statements)


def _newest(what: str, measurement: str, only: str, latest: int) -> str:
    return (
        f"SELECT {what} FROM {quote_name(measurement)} WHERE time >= {latest - REACH_SECONDS}s{only} "
        f'GROUP BY "site", "node", "channel" ORDER BY time DESC LIMIT {POINTS}'
    )


def _is_of(view: NodeView) -> str:
    return f'("site" = {quote_text(view.site)} AND "node" = {quote_text(view.node)})'


def newest(series: Iterable[Series], nodes: Iterable[NodeView]) -> Newest:
    """The answer, of these nodes: of each quantity the newest of its points."""
    known = {(view.site, view.node): view.kind for view in nodes}
    found: dict[Place, dict[str, Value]] = {}
    for each in series:
        place = Place(each.name, *(each.tags.get(tag, "") for tag in ("site", "node", "channel")))
        if place.measurement not in ("health", known.get(place[1:3])) or place[1:3] not in known:
            continue
        values = found.setdefault(place, {})
        for row in each.values:
            for name, value in zip(each.columns[1:], row[1:], strict=True):
                if isinstance(value, int | float):
                    values.setdefault(name, Value(row[0], float(value)))
    return found


def used_statement(hour: int) -> str:
    """What each meter counted in the hour that ends at `hour` (Unix seconds); InfluxQL."""
    return (
        'SELECT spread("volume"), count("volume") FROM "water" '
        f'WHERE time >= {hour - HOUR}s AND time <= {hour}s GROUP BY "site", "node"'
    )


def used(plan: Plan, nodes: Sequence[NodeView], series: Iterable[Series], hour: int) -> tuple[Used, ...]:
    """The sums that may be shown: of homes enough, also where one sum is taken from another."""
    counted: dict[Key, float] = {}
    for each in series:
        for _, litres, count in each.values:
            if count is not None and count >= 2:  # one reading tells nothing of an hour
                counted[each.tags.get("site", ""), each.tags.get("node", "")] = litres
    found: list[Used] = []
    sets: list[frozenset[Key]] = []
    for site in sorted({view.site for view in nodes}):
        for zone in plan.of(site).zone:
            homes = frozenset((site, name) for name in homes_of(zone, site, nodes)) & counted.keys()
            if len(homes) >= LEAST_HOMES and not betrays([*sets, homes]):
                sets.append(homes)
                found.append(Used(site, zone.name, hour, sum(counted[home] for home in homes), len(homes)))
    return tuple(found)


def betrays(sets: Sequence[frozenset[Key]]) -> bool:
    """Whether the sum over one of these sets, less those over others within it, is of few homes."""
    for whole in sets:
        rest = whole.difference(*(part for part in sets if part < whole))
        if 0 < len(rest) < LEAST_HOMES:
            return True
    return False
