"""The street's network between nodes and broker: a TCP relay in which the way of each node can fail."""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from typing import Final, Literal

_CHUNK: Final = 16_384
_UNDER_WAY: Final = 64
"""Chunks that are delayed at once in one direction; with more the sender waits, as at a full buffer."""
_JITTER: Final = 0.25
"""A chunk is delayed by so much more or less than was said, as a share."""
_CONNECT: Final = 0x10
_LONGEST_CONNECT: Final = 4096
"""Bytes; what is not a whole CONNECT by then is none of a node's."""

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
    """Relays from a port of its own (`port`) to the broker's. Use as `async with Link(port).up():`.

    Nodes are told apart by the client id of their CONNECT, `site/node`.
    """

    def __init__(self, broker_port: int, broker_host: str = "127.0.0.1", seed: int = 0) -> None:
        self._broker = broker_host, broker_port
        self._dice = random.Random(seed)
        self._ways: defaultdict[str, _Way] = defaultdict(_Way)
        self._relays: set[asyncio.Task[None]] = set()
        self.port = 0

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator["Link"]:
        """Relay until the block ends."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
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

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._relays.add(task)
        connection = _Connection(writer)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):  # cancelled only at the end, by `up`
                await self._relay(connection, reader, writer)
        finally:
            connection.cut()
            self._relays.discard(task)

    async def _relay(self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = b""
        while (client := client_id(first)) is None and len(first) < _LONGEST_CONNECT:
            data = await reader.read(_CHUNK)
            if not data:
                return
            first += data
        way = self._ways[(client or "").rpartition("/")[2]]
        if way.troubles["link_loss"]:
            return
        way.connections.add(connection)
        try:
            # A broker that is not there: the node's connection is taken and ends, as at a port that nobody holds.
            there, back = await asyncio.open_connection(*self._broker)
            connection.joins(back)
            pumps = [
                asyncio.create_task(self._pump(way, reader, back, first)),
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

    async def _pump(
        self, way: _Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes = b""
    ) -> None:
        """One direction. What is delayed waits in a queue, so that it may follow closely upon what went before."""
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDER_WAY)

        async def read() -> None:
            with contextlib.suppress(OSError):
                data = first or await reader.read(_CHUNK)
                while data:
                    delay = sum(way.troubles["latency"]) / 1000 * self._dice.uniform(1 - _JITTER, 1 + _JITTER)
                    await chunks.put((loop.time() + delay, data))
                    data = await reader.read(_CHUNK)
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


def client_id(data: bytes) -> str | None:
    """The client id in a connection's first bytes, which are an MQTT CONNECT (MQTT 3.1.1, 3.1; MQTT 5, 3.1).

    None: more bytes are needed. Empty: it is no CONNECT, or has no id.
    """
    if data and data[0] != _CONNECT:
        return ""
    at = 1
    while at < len(data) and data[at] & 0x80:  # the remaining length: seven bits a byte, four bytes at most
        at += 1
        if at > 4:
            return ""
    at += 1
    name = _string(data, at)
    if name is None:
        return None
    at += 2 + len(name) + 4  # level, flags, keepalive
    if at > len(data):
        return None
    if data[at - 4] >= 5:  # properties, whose length comes first
        length = 0
        for shift in (0, 7, 14, 21):
            if at >= len(data):
                return None
            length |= (data[at] & 0x7F) << shift
            at += 1
            if not data[at - 1] & 0x80:
                break
        at += length
    found = _string(data, at)
    return None if found is None else found.decode(errors="replace")


def _string(data: bytes, at: int) -> bytes | None:
    """Behind two bytes of its length."""
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    return data[at + 2 : end] if at + 2 <= len(data) and end <= len(data) else None
