"""The street's network between nodes and broker: a TCP relay whose connections can be cut or go dead."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

_CHUNK = 16_384


class _Connection:
    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.writers: list[asyncio.StreamWriter] = []

    def cut(self) -> None:
        """Both ends see it break."""
        for writer in self.writers:
            writer.transport.abort()


class Link:
    """Relays from a port of its own (`port`) to the broker's. Use as `async with Link(port).up():`."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator["Link"]:
        """Relay until the block ends."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for connection in list(self._connections):
                connection.cut()
            for task in list(self._tasks):
                task.cancel()

    def cut(self, dice: random.Random, share: float) -> None:
        """Break a share of the connections."""
        for connection in self._some(dice, share):
            connection.cut()

    def dead(self, dice: random.Random, share: float, seconds: float) -> None:
        """Let nothing through a share of the connections for a while, as when a router hangs; then they break."""
        for connection in self._some(dice, share):
            connection.open.clear()
            task = asyncio.create_task(self._end(connection, seconds))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _some(self, dice: random.Random, share: float) -> list[_Connection]:
        return [connection for connection in self._connections if dice.random() < share]

    async def _end(self, connection: _Connection, seconds: float) -> None:
        await asyncio.sleep(seconds)
        connection.cut()
        connection.open.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection()
        connection.writers.append(writer)
        self._connections.add(connection)
        try:
            # A broker that is not there: the node's connection is taken and ends, as at a port that nobody holds.
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", self._broker_port)
                connection.writers.append(back)
                pumps = [
                    asyncio.create_task(self._pump(connection, *ends)) for ends in ((reader, back), (there, writer))
                ]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._connections.discard(connection)
            connection.cut()

    async def _pump(self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await connection.open.wait()
                writer.write(data)
                await writer.drain()
