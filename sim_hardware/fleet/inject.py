"""Carries faults out on a fleet that runs, at their seconds of the city, and keeps a record of them."""

import asyncio
import contextlib
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec
from msgspec import Struct

from gateway.errors import ConfigError
from sim_hardware.fleet.faults import KINDS, FaultKind, Happening
from sim_hardware.fleet.fleet import Fleet
from sim_hardware.fleet.link import Link
from sim_hardware.fleet.nodes import Nodes

_LOOK_S: Final = 0.05
FOREVER: Final = 1 << 40
"""The end of what has none yet, in Unix seconds."""
_RECENT: Final = 4
"""Faults that are shown."""


class Switch(Protocol):
    """A broker of one's own."""

    def stop(self) -> None: ...

    def start(self) -> object: ...


class Record(Struct, frozen=True):
    """A line of `faults.jsonl`: one fault as it happened."""

    kind: FaultKind
    nodes: tuple[str, ...]
    """None for the broker's."""
    begin: int
    """Unix seconds of the city."""
    end: int
    size: float = 0.0
    cause: Literal["faults", "city"] = "faults"
    """`city`: it is the city's own, and in its truth too."""


class Source(Protocol):
    """Where faults come from: a `Calendar`, or a test's own."""

    def reachable(self) -> Iterable[int]: ...

    def due(self, now: int) -> list[Happening]: ...


class Injector:
    """Use as `async with Injector(fleet, calendar, broker).running():`; it runs the fleet too.

    Without faults it costs nothing: nodes report straight to the broker, but for those whose link may fail.
    """

    def __init__(self, fleet: Nodes, faults: Source | None = None, broker: Switch | None = None) -> None:
        """Only real boards can have faults: raises ConfigError for modelled nodes that are to have some."""
        self.fleet, self._faults, self._broker = fleet, faults, broker
        self._boards = fleet if isinstance(fleet, Fleet) else None
        if faults and not self._boards:
            raise ConfigError(f"{fleet.firmware} nodes have no faults: take them back, or run real ones")
        self._link: Link | None = None
        self._under_way: list[tuple[int, int, Happening]] = []
        """A heap by their ends."""
        self._happened: list[Happening] = []
        """All that have begun."""
        self._full: Counter[int] = Counter()
        self._broker_off = 0
        self._healed = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Nodes]:
        """The fleet with its faults, until the block ends."""
        async with contextlib.AsyncExitStack() as stack:
            slots = tuple(self._faults.reachable()) if self._faults else ()
            if slots:
                where = self.fleet.settings.broker
                link = Link(where.port, where.host, self.fleet.settings.seed)
                self._link = await stack.enter_async_context(link.up(self._nodes(slots)))
                assert self._boards
                self._boards.relays = {slot: where.relayed(link.ports[self.fleet.places[slot].node]) for slot in slots}
            others = (self._go_on,) if self._faults else ()
            yield await stack.enter_async_context(self.fleet.running(*others))

    async def _go_on(self) -> None:
        while not self._healed:
            self.step(self.fleet.pace.now_us() // 1_000_000)
            await asyncio.sleep(_LOOK_S)

    def step(self, now: int) -> None:
        """Begin and end all that is due by `now` (Unix seconds), in order, however many have come due at once."""
        for each in self._faults.due(now) if self._faults else ():
            self._end_until(each.begin)
            self._begin(each)
        self._end_until(now)

    def heal(self) -> bool:
        """The run is over: what is under way ends now, and nothing begins any more.

        Whether there has been a fault after which a node may wait before it tries its link again.
        """
        self._healed = True
        self._end_until(None)
        return any(KINDS[each.kind].at != "board" for each in self._happened)

    def recent(self) -> list[Record]:
        """The last few, the newest first. One that is under way has its end in the future."""
        faults = [self._record(each) for each in self._happened[-_RECENT:]]
        return sorted(faults + self._outages()[-_RECENT:], key=lambda each: -each.begin)[:_RECENT]

    def records(self) -> list[Record]:
        """All up to now, in order of time: the city's power cuts too. What is under way ends now."""
        now = self.fleet.pace.now_us() // 1_000_000
        found = [self._record(each) for each in self._happened] + self._outages()
        ended = [msgspec.structs.replace(each, end=max(each.begin, min(each.end, now))) for each in found]
        return sorted(ended, key=lambda each: each.begin)

    def _outages(self) -> list[Record]:
        return [
            Record("power_cut", self._nodes(each.slots), each.begin, each.end or FOREVER, cause="city")
            for each in self.fleet.outages()
        ]

    def _record(self, each: Happening) -> Record:
        return Record(each.kind, self._nodes(each.slots), each.begin, each.end, each.size)

    def _nodes(self, slots: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.fleet.places[slot].node for slot in slots)

    def _begin(self, each: Happening) -> None:
        self._happened.append(each)
        _ACTS[each.kind][0](self, each)
        heapq.heappush(self._under_way, (each.end, len(self._happened), each))

    def _end_until(self, now: int | None) -> None:
        while self._under_way and (now is None or self._under_way[0][0] <= now):
            each = heapq.heappop(self._under_way)[2]
            _ACTS[each.kind][1](self, each)

    def _cut(self, each: Happening) -> None:
        assert self._boards
        self._boards.supply.plan(each.slots, each.begin, each.end)

    def _break(self, each: Happening) -> None:
        assert self._link
        self._link.begin(each.kind, self._nodes(each.slots), each.size)  # type: ignore[arg-type] # one of a link

    def _mend(self, each: Happening) -> None:
        assert self._link
        self._link.end(each.kind, self._nodes(each.slots), each.size)  # type: ignore[arg-type]

    def _stop_broker(self, _each: Happening) -> None:
        assert self._broker
        self._broker_off += 1
        if self._broker_off == 1:
            self._broker.stop()

    def _start_broker(self, _each: Happening) -> None:
        assert self._broker
        self._broker_off -= 1
        if not self._broker_off:
            self._broker.start()  # on this thread: the kernel ends it with the one that started it

    def _jump(self, each: Happening) -> None:
        assert self._boards
        for slot in each.slots:
            self._boards.jump(slot, each.size)

    def _fill(self, each: Happening) -> None:
        assert self._boards
        self._full.update(each.slots)
        for slot in each.slots:
            self._boards.fill(slot, True)

    def _empty(self, each: Happening) -> None:
        assert self._boards
        self._full.subtract(each.slots)
        for slot in each.slots:
            self._boards.fill(slot, self._full[slot] > 0)

    def _pass(self, each: Happening) -> None:
        """It ends by itself."""


_Act = Callable[[Injector, Happening], None]
_ACTS: Final[dict[FaultKind, tuple[_Act, _Act]]] = {
    "kill": (Injector._cut, Injector._pass),
    "power_cut": (Injector._cut, Injector._pass),
    "link_loss": (Injector._break, Injector._mend),
    "link_dead": (Injector._break, Injector._mend),
    "latency": (Injector._break, Injector._mend),
    "broker_restart": (Injector._stop_broker, Injector._start_broker),
    "clock_jump": (Injector._jump, Injector._pass),
    "flash_full": (Injector._fill, Injector._empty),
}
assert tuple(_ACTS) == tuple(KINDS)


def write(path: Path, records: Iterable[Record]) -> None:
    """One JSON object a line."""
    path.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in records))
