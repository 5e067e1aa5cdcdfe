"""The newest values of all nodes that may be shown, and what zones used: asked of the database, kept for a moment."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from gateway.detect.plan import Plan
from gateway.north.shown import shown, told
from gateway.privacy.sums import DaySum
from gateway.privacy.told import water_yesterday
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
USED_SECONDS: Final = 600.0
"""After which it is looked again what zones used on the day before."""

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


class World(NamedTuple):
    """What other systems may know, at one moment."""

    plan: Plan
    nodes: Sequence[NodeView] = ()
    newest: Newest = NOTHING
    incidents: Sequence[Incident] = ()
    used: Sequence[DaySum] = ()
    exercise: bool = False


class Looker:
    """Of one router; questions that come together are asked once."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._lock = asyncio.Lock()
        self._world = World(seat.plan)
        self._until = 0.0
        self._used: Sequence[DaySum] = ()
        self._until_used = 0.0
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
        used = await self._sum_up()
        own = (incident for incident in snapshot.incidents if incident.site in seat.config.sites)
        incidents = told(own, heard, nodes)
        return World(seat.plan, nodes, newest(series, nodes), incidents, used, seat.config.exercise)

    async def _sum_up(self) -> Sequence[DaySum]:
        """Of yesterday. Asked again now and then, where nothing could be told yet."""
        if self._seat.plan.zone and time.monotonic() >= self._until_used:
            self._used = await water_yesterday(self._seat, self._seat.ask)
            self._until_used = time.monotonic() + USED_SECONDS
        return self._used


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
