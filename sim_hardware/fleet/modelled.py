"""Modelled nodes: what the real firmware would have sent, calculated for all nodes of a kind at once.

Emulated boards run the real firmware and cost some 20 to 60 µs of a processor for each second of their life; a month of
300 of them is 778 million seconds. Modelled nodes are for months: the same city, topics, packs, births and counts at a
small part of that. What they are *not*: there is no outbox that fills while a broker is away or the site is held (the
city's time stands still instead, so nothing is dropped, and nothing is late when it goes on), no reset but by loss of
power, no answer to a command, a configuration or an update; a broker tells of their end only what they tell it
themselves. Figures of a board's memory in `health` are constants. `firmware` and `board` of a birth, and `firmware` of
a report, say `modelled`.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from math import gcd
from pathlib import Path
from typing import Any, Final

import numpy as np

from gateway.errors import ConfigError, ungrouped
from gateway.quantities import KINDS
from sim_hardware.city import truth
from sim_hardware.city.city import FAULTS, City
from sim_hardware.city.scenario import Scenario, places
from sim_hardware.fleet import identities
from sim_hardware.fleet.counters import Traffic
from sim_hardware.fleet.fitted import fitted
from sim_hardware.fleet.fleet import Settings
from sim_hardware.fleet.kind import NAME, Kind
from sim_hardware.fleet.line import UNDER_WAY, Line, Message
from sim_hardware.fleet.meters import Water
from sim_hardware.fleet.models import Dice, Model
from sim_hardware.fleet.pace import Pace
from sim_hardware.fleet.slots import Counts
from sim_hardware.fleet.stations import Air
from sim_hardware.fleet.supply import Mains, Outage

LINES: Final = 4
"""Connections; each carries the nodes of every so many slots."""
_LEAVE_S: Final = 5.0
_WITHIN: Final = UNDER_WAY * LINES
"""Messages that are handed to the connections at once."""
_AHEAD: Final = 50_000
"""Packs that the broker may hold for one who is to keep up: its queue is written to disk whole, again and again, and
with millions in it there is no time for anything else."""
_CONFIG: Final = {"window_s": 60, "health_s": 600}
"""What of a node's configuration can be asked for, as firmware/node/config.py has it."""


class Power:
    """How many nodes have been switched on, and how many the city leaves without power now."""

    def __init__(self) -> None:
        self.begun = self.dark = 0

    def switch(self, minute: int, off: Iterable[int], on: Iterable[int]) -> None:
        """Some lose their power, others have it back."""
        self.dark += len(list(off)) - len(list(on))


class Modelled:
    """As `fleet.Fleet`, of modelled nodes."""

    firmware = NAME

    def __init__(
        self, folder: Path, settings: Settings, scenario: Scenario, heard: Callable[[], int] | None = None
    ) -> None:
        """`heard` tells how many packs one has heard who is to keep up: the city waits for him as for the broker.

        Raises ConfigError for what modelled nodes cannot be configured to be, PkiError when they get no identity.
        """
        self.folder = folder.resolve()
        self.settings = settings
        self.scenario = scenario
        self._heard = heard
        self.places = places(settings.nodes)
        self.city = City(scenario, self.places, settings.seed, settings.start)
        config = _checked(settings)
        window_s = config["window_s"]
        self._step_s = gcd(60, window_s)
        self._until = settings.start
        """What has been lived through, Unix seconds."""
        # Not the dice of the city, which has the seed's own.
        dice = [np.random.default_rng(each) for each in np.random.SeedSequence(settings.seed, spawn_key=(7,)).spawn(3)]
        fit = fitted(scenario)
        sensors: tuple[Callable[[int, Dice], Model], ...] = (Traffic, lambda n, dice: Water(n, dice, fit), Air)
        self._kinds = []
        for i, kind in enumerate(KINDS):
            where = self.places[i :: len(KINDS)]
            model = sensors[i](len(where), dice[i])
            every = max(1, config["health_s"] // window_s)
            self._kinds.append(Kind(scenario.site, kind, where, model, window_s, every))
        self.supply = Power()
        self._mains = Mains(settings.nodes, self.supply)
        self._made, self._acked = ([0] * settings.nodes for _ in range(2))
        name = f"ganglion-{NAME}-{scenario.site}-{settings.seed}"
        broker = settings.broker
        trust = identities.context(broker.tls) if broker.tls else None
        self._lines = [Line(broker, f"{name}-{n}", scenario.site, self._acked, trust) for n in range(LINES)]

    @contextlib.asynccontextmanager
    async def running(self, *others: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator["Modelled"]:
        """Connect, and keep the city going until the block ends; then all nodes are switched off.

        So long `others` run too; what one of them raises ends the block.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "pace").unlink(missing_ok=True)
        s = self.settings
        self.pace = Pace(self.folder / "pace", s.start, s.speed, s.nodes)
        self._reach()
        with ungrouped():
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each()) for each in (*[line.run for line in self._lines], *others)]
                life = group.create_task(self._live())
                try:
                    yield self
                    life.cancel()
                    await self._leave()
                finally:
                    for task in (life, *tasks):
                        task.cancel()

    async def _leave(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_S if all(line.connected for line in self._lines) else 0):
                for nodes in self._kinds:
                    await self._send(nodes.wills(), retain=True)
                for line in self._lines:
                    await line.room(0)
                    line.leave()

    def counts(self) -> Counts:
        return self._counts(range(self.settings.nodes))

    def counts_by_kind(self) -> dict[str, Counts]:
        return {kind: self._counts(range(i, self.settings.nodes, len(KINDS))) for i, kind in enumerate(KINDS)}

    def _counts(self, slots: range) -> Counts:
        made, acked = (sum(of[slots.start :: slots.step]) for of in (self._made, self._acked))
        up = [line.connected for line in self._lines]
        on = [slot for nodes in self._kinds for slot in nodes.powered() if slot in slots and up[slot % LINES]]
        return Counts(len(slots), made, acked, made - acked, 0, len(on))

    def waiting(self) -> list[int]:
        """Packs of each node that are not acknowledged."""
        return [made - acked for made, acked in zip(self._made, self._acked, strict=True)]

    @property
    def crashes(self) -> int:
        """There is nothing in them that could."""
        return 0

    def alive(self) -> int:
        """Nodes that have power."""
        return sum(len(nodes.powered()) for nodes in self._kinds)

    def started(self) -> bool:
        """Whether all nodes have been given power for the first time."""
        return self.supply.begun == self.settings.nodes

    def restless(self) -> bool:
        """Whether there is a node that has fallen: none does."""
        return False

    def late(self) -> int:
        """Nodes that are well behind the city's clock: it waits for them."""
        return 0

    def outages(self) -> list[Outage]:
        """The city's power cuts that have begun."""
        return self._mains.outages(self.pace.now_us() // 1_000_000)

    def truth(self) -> list[truth.Truth]:
        """What has happened in the city up to now."""
        return self.city.truth(self.pace.now_us() // 1_000_000)

    def pss_kib_per_node(self) -> float | None:
        """A modelled node has no memory of its own."""
        return None

    def lived_s(self) -> int:
        return self._until - self.settings.start

    def behind(self) -> bool:
        """Whether something is yet to be calculated up to the city's present second, and nobody is waited for."""
        return self._due() and not self._ahead() and not any(line.waiting or line.held for line in self._lines)

    def _ahead(self) -> bool:
        """Whether he who is to keep up is to be waited for."""
        return self._heard is not None and sum(self._acked) - self._heard() > _AHEAD

    def _due(self) -> bool:
        return self._until + self._step_s <= self.pace.now_us() // 1_000_000

    async def drain(
        self, done: Callable[[], Awaitable[bool]], seconds: float, stopped: Callable[[], bool] = lambda: False
    ) -> bool:
        """Stop the city's time; wait until all nodes have come so far, all packs are acknowledged, and `done()`.

        False if that took more than `seconds`, or if `stopped()` before.
        """
        self.pace.freeze()
        deadline = time.monotonic() + seconds
        while not self.pace.stands or self._due() or self.counts().waiting or not await done():
            if stopped() or time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def _reach(self) -> None:
        # Time comes as far as the end of the step that is due next, and waits there for it.
        self.pace.reach(self._until + self._step_s + 1)

    async def _live(self) -> None:
        """Step by step: the end of each is waited for, and room for what comes out of it."""
        minute = self.city.minute()
        while True:
            second, seconds = self._until, self._step_s
            await self._come(second + seconds)
            while self._ahead():  # noqa: ASYNC110 - he counts in another process
                await asyncio.sleep(0.01)
            if second >= self.city.next_minute:
                minute = self.city.minute()
            whole = second % 60 == 0
            if whole:
                self._mains.tell(second, minute[:, FAULTS])
                self.supply.begun = self.settings.nodes
            said, made = [], []
            for i, nodes in enumerate(self._kinds):
                own = minute[i :: len(KINDS)]
                said += nodes.power(second, own) if whole else []
                made += nodes.step(second, seconds, own)
            await self._send(said, retain=True)
            for slot, _, _ in made:
                self._made[slot] += 1
            await self._send(made)
            self._until += seconds
            self._reach()
            await asyncio.sleep(0)

    async def _come(self, second: int) -> None:
        """Wait until the city's time is there."""
        while True:
            left = second - self.pace.now_us() / 1e6
            if left <= 0:
                return
            await asyncio.sleep(min(0.2, max(0.001, left / self.settings.speed)))

    async def _send(self, messages: Sequence[Message], retain: bool = False) -> None:
        """In order for each node; waits while there is no room, or the site is held."""
        for begin in range(0, len(messages), _WITHIN):
            shares: list[list[Message]] = [[] for _ in self._lines]
            for message in messages[begin : begin + _WITHIN]:
                shares[message[0] % LINES].append(message)
            for line, share in zip(self._lines, shares, strict=True):
                await line.room()
                if not retain:
                    await line.released()
                line.publish(share, retain)


def _checked(settings: Settings) -> dict[str, int]:
    """The configuration of all nodes. Raises ConfigError."""
    if others := sorted({*settings.config, *settings.files} - {*_CONFIG}):
        raise ConfigError(f"modelled nodes have no {others[0]}: take it back, or run real ones")
    config = {**_CONFIG, **settings.config}
    for key, most in (("window_s", 3600), ("health_s", 86_400)):
        if not isinstance(config[key], int) or not 1 <= config[key] <= most:
            raise ConfigError(f"{key} {config[key]!r}: give a whole number from 1 to {most}")
    return config
