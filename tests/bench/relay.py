"""The cable between gateway and broker, where it can go dead without that either end is told."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

from sim_hardware.servers import free_port

_CHUNK = 65_536


class _Pair:
    """One connection with both of its ends."""

    def __init__(self, ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self.ends = ends
        self.dead = False
        self.gone = 0
        """Ends that have gone while it was dead; the other end hears nothing of it, and gives up by itself."""
        self.over = asyncio.Event()

    def cut(self) -> None:
        for writer in self.ends:
            writer.transport.abort()


class Relay:
    """Relays from `port` to the broker's. `up` runs it; the rest may be called from any thread."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self.port = free_port()
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._all = False
        self._is_up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator["Relay"]:
        """Relay until the block ends."""
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self._is_up.set()
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    def wait_up(self) -> None:
        """Raises TimeoutError when it is not up within seconds: whoever runs it has failed."""
        if not self._is_up.wait(10):
            raise TimeoutError("the cable between gateway and broker was not there within 10 s")

    def hang(self, new_too: bool) -> None:
        """Nothing passes any more over the connections there are, for ever, and no end hears of it.

        A new connection passes, or with `new_too` hangs as well.
        """
        self._call(self._hang, new_too)

    def heal(self) -> None:
        """New connections pass; those that hang go on hanging until an end gives them up."""
        self._call(self._heal)

    def cut(self) -> None:
        """All connections break, and both ends hear of it."""
        self._call(self._cut)

    def _call(self, what: object, *args: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(what, *args)  # type: ignore[arg-type]

    def _hang(self, new_too: bool) -> None:
        self._all = new_too
        for pair in self._pairs:
            pair.dead = True

    def _heal(self) -> None:
        self._all = False

    def _cut(self) -> None:
        for pair in list(self._pairs):
            pair.cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):  # cancelled only at the end, by `up`
                there, back = await asyncio.open_connection("127.0.0.1", self._broker_port)
                await self._relay(_Pair((writer, back)), ((reader, back), (there, writer)))
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._tasks.discard(task)

    async def _relay(self, pair: _Pair, ways: tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], ...]) -> None:
        pair.dead = self._all
        self._pairs.add(pair)
        pumps = [asyncio.create_task(_pump(pair, reader, writer)) for reader, writer in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pair.cut()  # first: one who is cancelled while he waits here comes no further
            self._pairs.discard(pair)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for writer in pair.ends:
                with contextlib.suppress(OSError):
                    await writer.wait_closed()


async def _pump(pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, until its end has gone. What is read from a dead cable is lost."""
    while True:
        try:
            data = await reader.read(_CHUNK)
        except OSError:
            data = b""
        if pair.dead:
            if data:
                continue
            pair.gone += 1
            if pair.gone == len(pair.ends):
                pair.over.set()
            await pair.over.wait()
        if not data or writer.is_closing():
            return
        writer.write(data)
        with contextlib.suppress(OSError):
            await writer.drain()
