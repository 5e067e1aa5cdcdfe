"""Starts the nodes, moves the city on, starts fallen nodes again, and counts."""

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from statistics import mean
from typing import Any, Final

from msgspec import Struct, structs

from gateway.errors import ConfigError, GanglionError, ungrouped
from gateway.quantities import KINDS
from sim_hardware.city import truth
from sim_hardware.city.city import FAULTS, City
from sim_hardware.city.feed import RING, Feed
from sim_hardware.city.scenario import DAY_S, Place, Scenario, beginning, places
from sim_hardware.fleet import identities, image
from sim_hardware.fleet.furnish import furnish
from sim_hardware.fleet.nurseries import Nurseries
from sim_hardware.fleet.pace import Pace
from sim_hardware.fleet.slots import Counts, Slots, Wounds
from sim_hardware.fleet.supply import DEEP_SLEEP, Mains, Outage, Supply

_BELIEVABLE = 1_735_689_600  # as firmware/node/clock.py has it: a board takes no earlier time for real
APART_S: Final = 180
"""Of the city that boards may be apart where the machine makes some late: a gateway counts on little more."""
_BACKLOG = 8  # packs in a board's outbox, beyond which it is late for its network (sim_hardware/hal/power.py)
_ORDERED = 64  # boards that may be ordered and not there yet: all that are ordered are started, even if the run ends
_LATE_S = 5.0  # real; and a minute of the city


class FleetError(GanglionError):
    """The fleet cannot run; the message says what failed and where to look."""


class Tls(Struct, frozen=True):
    """Nodes and broker prove who they are: see `identities`."""

    pki: Path
    """The folder of the authority that the broker believes."""
    name: str
    """In the broker's certificate: what the nodes know it by, wherever it is reached."""


class Broker(Struct, frozen=True):
    """Where the nodes report to."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    tls: Tls | None = None
    """None: in plain text."""

    def relayed(self, port: int) -> "Broker":
        """The same broker, behind a relay at a port of this machine."""
        return structs.replace(self, host="127.0.0.1", port=port)


class Settings(Struct, frozen=True):
    nodes: int
    speed: float
    seed: int
    start: int
    """Unix seconds at which the city begins."""
    broker: Broker
    keepalive_s: int = 60
    config: dict[str, Any] = {}
    """What the nodes' configuration has beside the place and the broker."""
    files: dict[str, bytes] = {}
    """What else is put on their flash, by path."""
    wounds: bool = False
    """Whether boards look for what is done to them: see `Fleet.fill` and `Fleet.jump`."""


class Fleet:
    """Use as `async with Fleet(...).running():`; leaves no process behind, however it ends."""

    firmware = "real"

    def __init__(self, folder: Path, settings: Settings, scenario: Scenario) -> None:
        self.folder = folder.resolve()
        self.settings = settings
        self.scenario = scenario
        self.places = places(settings.nodes)
        self.city = City(scenario, self.places, settings.seed, settings.start)
        self.relays: dict[int, Broker] = {}
        """Where some of the nodes, by slot, report to instead. To be set before they start."""
        self.supply = Supply(settings.nodes, self._order, self._retire, self._told_us)
        self._mains = Mains(settings.nodes, self.supply)
        self._heard = asyncio.Event()
        self._starter: asyncio.Task[None] | None = None
        self._nurseries = Nurseries(self.folder / "nursery.log")
        self._pss: float | None = None
        self._risen = False
        """Whether all boards have come up once: until then each waits for the others."""

    @contextlib.asynccontextmanager
    async def running(self, *others: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator["Fleet"]:
        """Build, start all nodes one after the other, and keep the city going until the block ends.

        So long `others` run too; what one of them raises ends the block.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        board = await asyncio.to_thread(image.build, self.folder / "image")
        s = self.settings
        nodes = [place.node for place in self.places]
        self._identities = await asyncio.to_thread(identities.boards, s.broker.tls, self.scenario.site, nodes)
        self._feed = Feed(self.folder / "feed", s.nodes)
        self._slots = Slots(self.folder / "slots", s.nodes)
        self._wounds = Wounds(self.folder / "wounds", s.nodes)
        (self.folder / "pace").unlink(missing_ok=True)
        try:
            await self._nurseries.start(board, Counter(place.kind for place in self.places))
            self.pace = Pace(self.folder / "pace", s.start, s.speed, s.nodes)
            self._write_ahead()
            with ungrouped():
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._nurseries.attend(self._hear))]
                    tasks += [group.create_task(each()) for each in (self._advance, self._supply_power, *others)]
                    self._starter = group.create_task(self._start_all())
                    try:
                        yield self
                    finally:
                        self.supply.stop()
                        for task in (*tasks, self._starter):
                            task.cancel()
        finally:
            await self._nurseries.stop()
            self.supply.pids.clear()

    def counts(self) -> Counts:
        return self._slots.counts()

    def waiting(self) -> list[int]:
        """Packs in the outbox of each board."""
        return self._slots.waiting()

    def counts_by_kind(self) -> dict[str, Counts]:
        return {kind: self._slots.counts(slice(first, None, len(KINDS))) for first, kind in enumerate(KINDS)}

    @property
    def crashes(self) -> int:
        """Nodes that ended without having been told to, and not by a reset of their own."""
        return self.supply.crashes

    def alive(self) -> int:
        return len(self.supply.pids)

    def started(self) -> bool:
        """Whether all nodes have been given power for the first time."""
        return self.supply.begun == self.settings.nodes

    def late(self) -> int:
        """Nodes that are well behind the city's clock."""
        return self._slots.late(self.pace.now_us() - round(max(60.0, _LATE_S * self.settings.speed) * 1e6))

    def outages(self) -> list[Outage]:
        """The city's power cuts that have begun."""
        return self._mains.outages(self.pace.now_us() // 1_000_000)

    def pid(self, slot: int) -> int:
        """The process that is this board now. Raises KeyError while it is off."""
        return self.supply.pids[slot]

    def cut(self, slot: int, seconds: float) -> bool:
        """Cut a board's power, whatever it is doing, for so many seconds. False when it has none at the moment."""
        return self.supply.cut(slot, seconds)

    def fill(self, slot: int, full: bool) -> None:
        """Something fills a board's flash, or does so no longer. Needs `Settings.wounds`."""
        self._wounds.fill(slot, full)

    def jump(self, slot: int, seconds: float) -> None:
        """A board's real-time clock jumps. Needs `Settings.wounds`."""
        self._wounds.jump(slot, seconds)

    def truth(self) -> list[truth.Truth]:
        """What has happened in the city up to now."""
        return self.city.truth(self.pace.now_us() // 1_000_000)

    def pss_kib_per_node(self) -> float | None:
        """Proportional memory of a node (KiB), over a hundred of them at most; None when none runs."""
        sizes = []
        for pid in list(self.supply.pids.values())[:100]:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                sizes.append(int(text.split("\nPss:")[1].split()[0]))
        if sizes:
            self._pss = mean(sizes)
        return self._pss

    def lived_s(self) -> int:
        """Seconds of the city that every board has behind it."""
        return max(0, self._slots.slowest_us() // 1_000_000 - self.settings.start)

    def behind(self) -> bool:
        """Whether there is a board that lives and has not come to the city's present."""
        return 0 < self._slots.slowest_us() < self.pace.now_us()

    async def drain(
        self, done: Callable[[], Awaitable[bool]], seconds: float, stopped: Callable[[], bool] = lambda: False
    ) -> bool:
        """Stop the city's time; wait until every board has come so far, every outbox is empty, and `done()`.

        All have power from now on, but those that have not been started yet are not. The time of those that are just
        starting goes on until they have: their drivers may have to sleep. False if all of it took more than `seconds`,
        or if `stopped()` before.
        """
        if self._starter:
            self._starter.cancel()
        self.pace.begin()
        self.supply.restore()
        self.pss_kib_per_node()
        deadline = time.monotonic() + seconds

        async def over() -> bool:
            await asyncio.sleep(0.05)
            return stopped() or time.monotonic() > deadline

        while self.restless():
            if await over():
                break
        self.pace.freeze()
        while not self.pace.stands or self.restless() or self.behind() or self.counts().waiting or not await done():
            if await over():
                return False
        return True

    def restless(self) -> bool:
        """Whether there is a board that has fallen, or that has not told of itself since it has had power."""
        return self.supply.restless or self._slots.silent() > 0

    async def _start_all(self) -> None:
        for place in self.places:
            while self.supply.awaited >= _ORDERED:
                self._heard.clear()
                await self._heard.wait()
            self._furnish(place)
            self.supply.begin(place.slot)
            await asyncio.sleep(0)

    def _furnish(self, place: Place) -> None:
        s = self.settings
        way, own = self.relays.get(place.slot, s.broker), self._identities.get(place.node)
        furnish(self.folder, place, s, self.scenario, way, own)

    def _order(self, slot: int, cause: int) -> None:
        place = self.places[slot]
        if cause != DEEP_SLEEP:
            self._slots.begin(slot, self.pace.now_us())
            self._wounds.begin(slot)
        self._nurseries.order(place.kind, slot, self.folder / "nodes" / place.node, cause)

    def _retire(self, slot: int) -> None:
        self._slots.retire(slot)

    def _told_us(self, slot: int) -> int:
        return self._slots.now_us(slot)

    def _hear(self, news: dict[str, Any]) -> None:
        self.supply.hear(news)
        self._heard.set()

    async def _supply_power(self) -> None:
        """Cut power and give it back when the city's clock says so."""
        pause = min(0.2, max(0.005, 15 / self.settings.speed))
        while True:
            self.supply.step(self.pace.now_us() // 1_000_000)
            await asyncio.sleep(pause)

    async def _advance(self) -> None:
        """Calculate the city ahead of its clock, and never past what the slowest board has yet to read."""
        # Often enough that boards seldom have to wait for us.
        pause = min(1.0, max(0.005, APART_S / 4 / self.settings.speed))
        while True:
            self._write_ahead()
            await asyncio.sleep(pause)

    def _write_ahead(self) -> None:
        now = self.pace.now_us() // 1_000_000
        slowest = self._slots.slowest_us() // 1_000_000 or now
        self._risen = self._risen or (self.started() and not self._slots.silent())
        hindmost = self._slots.hindmost_us(_BACKLOG) // 1_000_000 or now if self._risen else slowest
        limit = min(hindmost + APART_S - 60, slowest + 60 * (RING - 2))  # at which the last minute begins
        while self.city.next_minute <= limit:
            second, minute = self.city.next_minute, self.city.minute()
            self._feed.write(second, minute)
            self._mains.tell(second, minute[:, FAULTS])
        # Time begins with the boards: what they take to be started is minutes of a fast city, in which nobody would
        # measure anything. Of many the first do not wait for the last.
        if self.supply.begun - self.supply.awaited >= min(self.settings.nodes, _ORDERED):
            self.pace.begin()
        self.pace.reach(self.city.next_minute if self.pace.begun else self.settings.start + 1)


def settings(
    scenario: Scenario, broker: Broker, *, nodes: int, speed: float, duration_s: float, seed: int | None
) -> Settings:
    """Of a run that begins now. Without a seed one is drawn; it is reported, so that the city can be seen again.

    A city that runs faster than life begins so far back that it does not come up with the present in `duration_s`
    seconds (0: without end; then it begins a week ago). Raises ConfigError when that is too far back.
    """
    now = int(time.time())
    start = now - now % 60
    if speed > 1:
        city_s = int(duration_s * speed) or 7 * DAY_S
        start = beginning(scenario, now, city_s)
        if start < _BELIEVABLE:
            raise ConfigError(
                f"--duration {duration_s:g} at --speed {speed:g} is {city_s // DAY_S} days of a city that ends today: "
                f"it would begin before 2025, which no board believes; at most {(now - _BELIEVABLE) // DAY_S - 4} days"
            )
    return Settings(nodes, speed, secrets.randbelow(1 << 31) if seed is None else seed, start, broker)
