"""Starts the nodes, moves the city on, starts fallen nodes again, and counts."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from statistics import mean
from typing import Any

from msgspec import Struct

from gateway.errors import ConfigError, GanglionError, ungrouped
from gateway.quantities import KINDS
from sim_hardware.city import truth
from sim_hardware.city.city import City
from sim_hardware.city.feed import RING, Feed
from sim_hardware.city.scenario import DAY_S, Place, Scenario, beginning, places
from sim_hardware.fleet import image
from sim_hardware.fleet.nurseries import Nurseries
from sim_hardware.fleet.pace import Pace
from sim_hardware.fleet.slots import Counts, Slots

POWER_ON = 1
DEEP_SLEEP = 4
RESET_EXIT = 80  # a board that resets itself exits with 80 + its cause (sim_hardware/hal/machine.py)
_RESTART_S = 1.0  # a crashed board's supply comes back after this, so that a board that cannot start does not spin
_BELIEVABLE = 1_735_689_600  # as firmware/node/clock.py has it: a board takes no earlier time for real
_LEAD_MIN = RING // 2  # minutes the city is calculated ahead of the clock


class FleetError(GanglionError):
    """The fleet cannot run; the message says what failed and where to look."""


class Broker(Struct, frozen=True):
    """Where the nodes report to."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None


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


class Fleet:
    """Use as `async with Fleet(...).running():`; leaves no process behind, however it ends."""

    def __init__(self, folder: Path, settings: Settings, scenario: Scenario) -> None:
        self.folder = folder.resolve()
        self.settings = settings
        self.scenario = scenario
        self.places = places(settings.nodes)
        self.city = City(scenario, self.places, settings.seed, settings.start)
        self.crashes = 0
        """Nodes that ended without having been told to, and not by a reset of their own."""
        self._pids: dict[int, int] = {}
        self._nurseries = Nurseries(self.folder / "nursery.log")
        self._again: set[asyncio.Task[None]] = set()
        self._cut: dict[int, float] = {}
        self._pss: float | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Fleet"]:
        """Build, start all nodes, and keep the city going until the block ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        board = await asyncio.to_thread(image.build, self.folder / "image")
        s = self.settings
        self._feed = Feed(self.folder / "feed", s.nodes)
        self._slots = Slots(self.folder / "slots", s.nodes)
        (self.folder / "pace").unlink(missing_ok=True)
        self.pace = Pace(self.folder / "pace", s.start, s.speed, s.nodes)
        self._write_ahead()
        for place in self.places:
            self._furnish(place)
        try:
            await self._nurseries.start(board, {place.kind: None for place in self.places})
            with ungrouped():
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self._nurseries.attend(self._hear)), group.create_task(self._advance())]
                    for place in self.places:
                        self._power_on(place.slot, POWER_ON)
                    try:
                        yield self
                    finally:
                        for task in (*tasks, *self._again):
                            task.cancel()
        finally:
            await self._nurseries.stop()
            self._pids.clear()

    def counts(self) -> Counts:
        return self._slots.counts()

    def waiting(self) -> list[int]:
        """Packs in the outbox of each board."""
        return self._slots.waiting()

    def counts_by_kind(self) -> dict[str, Counts]:
        return {kind: self._slots.counts(slice(first, None, len(KINDS))) for first, kind in enumerate(KINDS)}

    def alive(self) -> int:
        return len(self._pids)

    def pid(self, slot: int) -> int:
        """The process that is this board now. Raises KeyError while it is off."""
        return self._pids[slot]

    def cut(self, slot: int, seconds: float) -> bool:
        """Cut a board's power, whatever it is doing, for so many seconds. False when it has none at the moment."""
        if slot not in self._pids or slot in self._cut:
            return False
        try:
            os.kill(self._pids[slot], signal.SIGKILL)
        except ProcessLookupError:
            return False  # it has just ended by itself
        self._cut[slot] = seconds
        return True

    def fill(self, slot: int, full: bool) -> None:
        """From its next power-on, something else fills a board's flash, or does so no longer."""
        mark = self.folder / "nodes" / self.places[slot].node / "fill"
        mark.touch() if full else mark.unlink(missing_ok=True)

    def truth(self) -> list[truth.Truth]:
        """What has happened in the city up to now."""
        return self.city.truth(self.pace.now_us() // 1_000_000)

    def pss_kib_per_node(self) -> float | None:
        """Proportional memory of a node (KiB), over a hundred of them at most; None when none runs."""
        sizes = []
        for pid in list(self._pids.values())[:100]:
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
        """Whether there is a board that has not come to the city's present second."""
        return self._slots.slowest_us() // 1_000_000 < self.pace.now_us() // 1_000_000

    async def drain(
        self, done: Callable[[], Awaitable[bool]], seconds: float, stopped: Callable[[], bool] = lambda: False
    ) -> bool:
        """Stop the city's time; wait until every board has come so far, every outbox is empty, and `done()`.

        False if that took more than `seconds`, or if `stopped()` before.
        """
        self.pace.freeze()
        self.pss_kib_per_node()
        deadline = time.monotonic() + seconds
        while self.behind() or self.counts().waiting or not await done():
            if stopped() or time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def _furnish(self, place: Place) -> None:
        """The flash of one board: its configuration; and, beside it, what its emulation needs to know."""
        folder = self.folder / "nodes" / place.node
        folder.mkdir(parents=True, exist_ok=True)
        s = self.settings
        mqtt = {"host": s.broker.host, "port": s.broker.port, "keepalive_s": s.keepalive_s}
        if s.broker.user is not None:
            mqtt |= {"user": s.broker.user, "password": s.broker.password or ""}
        config = {"kind": place.kind, "site": self.scenario.site, "node": place.node, "mqtt": mqtt}
        config |= {"wifi": {"ssid": "emulated", "key": ""}, **s.config}
        emulation = {
            "slot": place.slot,
            "places": s.nodes,
            "ring": RING,
            "feed": str(self.folder / "feed"),
            "pace": str(self.folder / "pace"),
            "slots": str(self.folder / "slots"),
            # The street of each place has its own dice, so that neighbours do not see the same vehicles.
            "seed": (s.seed * 1_000_003 + place.slot * 7919) % 0x7FFF_FFFF + 1,
        }
        for path, content in ({"config.json": json.dumps(config).encode()} | s.files).items():
            (folder / "insert" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "insert" / path).write_bytes(content)
        (folder / "emulation.json").write_text(json.dumps(emulation))

    def _power_on(self, slot: int, cause: int) -> None:
        place = self.places[slot]
        if cause != DEEP_SLEEP:
            self._slots.begin(slot, self.pace.now_us())
        self._nurseries.order(place.kind, slot, self.folder / "nodes" / place.node, cause)

    def _hear(self, news: dict[str, Any]) -> None:
        """What a nursery says of a board; what has fallen is started again."""
        slot = news["slot"]
        if "exit" not in news:
            self._pids[slot] = news["pid"]
            return
        self._pids.pop(slot, None)
        code = news["exit"]
        if code == RESET_EXIT + DEEP_SLEEP and slot not in self._cut:
            self._power_on(slot, DEEP_SLEEP)  # the same boot goes on, at the moment at which it woke
            return
        self._slots.retire(slot)
        if slot in self._cut:
            self._later(slot, self._cut.pop(slot))
        elif code > RESET_EXIT:
            self._power_on(slot, code - RESET_EXIT)
        else:
            self.crashes += 1
            self._later(slot, _RESTART_S)

    def _later(self, slot: int, seconds: float) -> None:
        """Power comes back after a while."""
        task = asyncio.create_task(self._restart(slot, seconds))
        self._again.add(task)
        task.add_done_callback(self._again.discard)

    async def _restart(self, slot: int, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._power_on(slot, POWER_ON)

    async def _advance(self) -> None:
        """Calculate the city ahead of its clock, and never past what the slowest board has yet to read."""
        # A city minute lasts 60 / speed seconds; look often enough to stay far ahead of it.
        pause = min(1.0, max(0.005, _LEAD_MIN * 15 / self.settings.speed))
        while True:
            self._write_ahead()
            await asyncio.sleep(pause)

    def _write_ahead(self) -> None:
        now = self.pace.now_us() // 1_000_000
        slowest = self._slots.slowest_us() // 1_000_000 or now
        limit = min(now + 60 * _LEAD_MIN, slowest + 60 * (RING - 2))
        while self.city.next_minute <= limit:
            self._feed.write(self.city.next_minute, self.city.minute())
        self.pace.reach(self.city.next_minute)


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
