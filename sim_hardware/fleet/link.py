"""The street's network between nodes and broker: a TCP relay in which the way of each node can fail."""

import asyncio
import contextlib
import random
import resource
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Final, Literal

from gateway.errors import GanglionError

_CHUNK: Final = 16_384
_UNDER_WAY: Final = 64
"""Chunks that are delayed at once in one direction; with more the sender waits, as at a full buffer."""
_JITTER: Final = 0.25
"""A chunk is delayed by so much more or less than was said, as a share."""

Trouble = Literal["link_loss", "link_dead", "latency"]


class _Way:
    """All connections of one node, those of now and those to come."""

    def __init__(self) -> None:
        self.troubles: dict[Trouble, list[float]] = {"link_loss": [], "link_dead": [], "latency": []}
        self.connections: set[_Connection] = set()
        self.passes = asyncio.Event()
        self.passes.set()

    def cut(self) -> None:
        for connection in list(self.connections):
            connection.cut()


class _Connection:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writers = [writer]

    def joins(self, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)

    def cut(self) -> None:
        """Both ends see it break."""
        for writer in self._writers:
            writer.transport.abort()


class Link:
    """Relays to the broker. Use as `async with Link(port).up(nodes):`.

    Nodes are told apart by where they connect to, a port of each one's own (`ports`): what they say is not looked at,
    and over TLS could not be.
    """

    def __init__(self, broker_port: int, broker_host: str = "127.0.0.1", seed: int = 0) -> None:
        self._broker = broker_host, broker_port
        self._dice = random.Random(seed)
        self._ways: defaultdict[str, _Way] = defaultdict(_Way)
        self._relays: set[asyncio.Task[None]] = set()
        self.ports: dict[str, int] = {}
        """By node."""

    @contextlib.asynccontextmanager
    async def up(self, nodes: Iterable[str]) -> AsyncIterator["Link"]:
        """Relay for these until the block ends. Raises GanglionError where the system has no more descriptors."""
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a node takes three: its port, and both ends
        servers = []
        try:
            for node in nodes:
                try:
                    server = await asyncio.start_server(partial(self._accept, self._ways[node]), "127.0.0.1", 0)
                except OSError as error:
                    raise GanglionError(
                        f"no port for the link of {node}: {error.strerror}; raise `ulimit -Hn`"
                    ) from error
                servers.append(server)
                self.ports[node] = server.sockets[0].getsockname()[1]
            yield self
        finally:
            for server in servers:
                server.close()
            for task in self._relays:
                task.cancel()
            await asyncio.gather(*self._relays, return_exceptions=True)

    def begin(self, trouble: Trouble, nodes: Iterable[str], size: float = 0.0) -> None:
        """Until `end` is called with the same: their connections are cut and refused (`link_loss`), nothing passes, as
        when a router hangs (`link_dead`), or all passes `size` ms later (`latency`)."""
        for node in nodes:
            way = self._ways[node]
            way.troubles[trouble].append(size)
            if trouble == "link_loss":
                way.cut()
            elif trouble == "link_dead":
                way.passes.clear()

    def end(self, trouble: Trouble, nodes: Iterable[str], size: float = 0.0) -> None:
        """It is over. What hung is broken then: a router that was restarted knows nothing of it."""
        for node in nodes:
            way = self._ways[node]
            way.troubles[trouble].remove(size)
            if trouble == "link_dead" and not way.troubles[trouble]:
                way.cut()
                way.passes.set()

    async def _accept(self, way: _Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._relays.add(task)
        connection = _Connection(writer)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):  # cancelled only at the end, by `up`
                await self._relay(way, connection, reader, writer)
        finally:
            connection.cut()
            self._relays.discard(task)

    async def _relay(
        self, way: _Way, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if way.troubles["link_loss"]:
            return
        way.connections.add(connection)
        try:
            # A broker that is not there: the node's connection is taken and ends, as at a port that nobody holds.
            there, back = await asyncio.open_connection(*self._broker)
            connection.joins(back)
            pumps = [
                asyncio.create_task(self._pump(way, reader, back)),
                asyncio.create_task(self._pump(way, there, writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            way.connections.discard(connection)

    async def _pump(self, way: _Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction. What is delayed waits in a queue, so that it may follow closely upon what went before."""
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDER_WAY)

        async def read() -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(_CHUNK):
                    delay = sum(way.troubles["latency"]) / 1000 * self._dice.uniform(1 - _JITTER, 1 + _JITTER)
                    await chunks.put((loop.time() + delay, data))
            await chunks.put((loop.time(), b""))

        reading = asyncio.create_task(read())
        try:
            while True:
                due, data = await chunks.get()
                if (wait := due - loop.time()) > 0:
                    await asyncio.sleep(wait)
                await way.passes.wait()
                if not data:
                    return
                writer.write(data)
                await writer.drain()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
