"""Packs whose every value is known beforehand, and the nodes that send them: to count what a gateway made of them."""

import asyncio
import contextlib
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Final

import msgspec
from msgspec import Struct

from sim_hardware.fleet.fleet import Broker
from sim_hardware.fleet.line import UNDER_WAY, Line, Message, topic
from tests.bench.relay import Relay

SITE: Final = "riverside"
KINDS: Final = ("air", "traffic", "water")
BOOT_PACKS: Final = 400
"""After which a node boots anew."""
STEP_S: Final = 60

Values = dict[str, float]
"""By the names in a pack: `pm2_5`, `lane1/speed`."""

UNITS: Final = {
    "pm2_5": "ug/m3", "co2": "ppm", "lane1/volume": "count", "lane1/occupancy": "%", "lane1/speed": "km/h",
    "volume": "l", "flow": "l/h",
}  # fmt: skip


class KnownNode(Struct, frozen=True):
    """One node. Its packs are numbered 0, 1, 2 ... over all boots."""

    number: int
    begin: int
    """Unix seconds of its first pack."""

    @property
    def kind(self) -> str:
        return KINDS[self.number % len(KINDS)]

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.number:04}"

    def time(self, number: int) -> int:
        return self.begin + STEP_S * number

    def values(self, number: int) -> Values:
        """Noise, in which some nodes have their incidents; all in quarters, so that nothing is rounded anywhere."""
        noise = zlib.crc32(f"{self.name} {number}".encode())
        odd = number + 17 * self.number if self.number % 4 < 2 else 0  # where it is within its own days
        match self.kind:
            case "air":
                bad = number % 240 >= 200
                return {
                    "pm2_5": (90 if bad else 4) + noise % 64 / 4,
                    "co2": 600.0 if odd % 150 >= 110 else 400 + (noise >> 8) % 1000 / 4,
                }
            case "traffic":
                jam = odd % 130 >= 118
                return {
                    "lane1/volume": float(noise % 30),
                    "lane1/occupancy": 45.0 + noise % 40 / 4 if jam else noise % 60 / 4,
                    "lane1/speed": 8 + noise % 32 / 4 if jam else 40 + noise % 80 / 4,
                }
            case _:
                return {
                    "volume": 10.0 * number + noise % 10,
                    "flow": 600 + noise % 400 / 4 if odd % 200 >= 160 else noise % 1200 / 4,
                }

    def payload(self, number: int) -> bytes:
        boot, seq = divmod(number, BOOT_PACKS)
        head = {"bn": f"{SITE}/{self.name}/", "bt": self.time(number), "n": "boot", "v": boot + 1}
        readings = [{"n": name, "u": UNITS[name], "v": value} for name, value in self.values(number).items()]
        return msgspec.json.encode([head, {"n": "seq", "v": seq}, *readings])

    def points(self, count: int) -> Iterator[tuple[int, Values]]:
        """(time, fields) of the points of its first packs, as a database has them."""
        for number in range(count):
            yield self.time(number), {name.rpartition("/")[2]: v for name, v in self.values(number).items()}


class Load(threading.Thread):
    """Sends the packs of all nodes on a thread of its own, round by round: one connection for each kind.

    What the broker has not acknowledged, or only just, goes again when the connection breaks, as with our firmware
    (`sim_hardware.fleet.line`). With `per_second` rounds a second until `finish`, or `rounds` as quickly as the broker
    takes them. `relay` lives on the same thread, from the start; packs are sent from `begin` on.
    """

    def __init__(
        self,
        nodes: Sequence[KnownNode],
        broker_port: int,
        *,
        per_second: float = 0,
        rounds: Sequence[int] = (0, 0, 0),
        relay: Relay | None = None,
    ) -> None:
        super().__init__(name="load", daemon=True)
        self._broker = Broker("127.0.0.1", broker_port)
        self._fleets = [[node for node in nodes if node.kind == kind] for kind in KINDS]
        self._per_second = per_second
        self._wanted = rounds
        self._relay = relay
        self._loop = asyncio.new_event_loop()
        self._begin, self._finish, self._quit = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.rounds = [0] * len(KINDS)
        """How many have been sent, by kind."""
        self.acked = [0] * len(KINDS)
        self.sent = threading.Event()
        """After `finish`, or the last of the rounds: all that was sent has been acknowledged."""
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            self._loop.run_until_complete(self._run())
        except Exception as error:  # noqa: BLE001 - told to the one who waits
            self.failed = error
            self.sent.set()
        finally:
            self._loop.run_until_complete(_wind_up())
            self._loop.close()

    def begin(self) -> None:
        """Send packs: somebody has subscribed to them, else a broker takes them for nobody."""
        self._loop.call_soon_threadsafe(self._begin.set)

    def finish(self) -> None:
        """Send no more packs."""
        self._loop.call_soon_threadsafe(self._finish.set)

    def end(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has ended by itself, and its loop is closed
            self._loop.call_soon_threadsafe(self._quit.set)
        self.join(30)

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            if self._relay is not None:
                await stack.enter_async_context(self._relay.up())
            lines = [Line(self._broker, f"known-{kind}", SITE, self.acked) for kind in KINDS]
            running = [asyncio.create_task(line.run()) for line in lines]
            feeding = asyncio.gather(*(self._feed(index, line) for index, line in enumerate(lines)))
            quitting = asyncio.create_task(self._quit.wait())
            done, _ = await asyncio.wait({*running, quitting, feeding}, return_when=asyncio.FIRST_COMPLETED)
            if feeding in done:
                feeding.result()
                self.sent.set()
                await asyncio.wait({*running, quitting}, return_when=asyncio.FIRST_COMPLETED)
            for line in lines:
                line.leave()
            for task in (*running, quitting, feeding):
                task.cancel()
            for told in await asyncio.gather(*running, return_exceptions=True):
                if isinstance(told, Exception):
                    raise told

    async def _feed(self, index: int, line: Line) -> None:
        fleet = self._fleets[index]
        names = [topic(f"ganglion/v1/{SITE}/{node.name}/telemetry") for node in fleet]
        await self._begin.wait()
        begin = self._loop.time()
        while not self._finish.is_set() if self._per_second else self.rounds[index] < self._wanted[index]:
            number = self.rounds[index]
            await line.room(UNDER_WAY - len(fleet))
            messages: list[Message] = [
                (index, name, node.payload(number)) for name, node in zip(names, fleet, strict=True)
            ]
            line.publish(messages)
            self.rounds[index] += 1
            if self._per_second:
                await asyncio.sleep(max(0.0, begin + number / self._per_second - self._loop.time()))
            if number % 8 == 0:
                await asyncio.sleep(0)  # others on this thread
        await line.room(0)


async def _wind_up() -> None:
    """End what still runs on this loop, and let connections that were cut tell their owners."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    for _ in range(4):
        await asyncio.sleep(0)


def found(row: dict[str, object]) -> tuple[int, Values]:
    """(time, fields) of a row that a database gave for one of these nodes."""
    fields = {name: value for name, value in row.items() if name not in ("time", "site", "node", "channel")}
    return int(str(row["time"])), {name: float(str(value)) for name, value in fields.items()}
