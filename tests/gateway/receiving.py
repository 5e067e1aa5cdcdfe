"""A receiver under test, and what plays with it: publishers, waits, and a wire that can go dead."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

from gateway.config import Mqtt
from gateway.ingest.receiver import Chunk, Receiver

SECONDS = 60.0
T = TypeVar("T")


async def until(condition: Callable[[], Awaitable[T]]) -> T:
    """Wait for something that another thread or process does; what it came to."""
    async with asyncio.timeout(SECONDS):
        while not (found := await condition()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


async def trouble(receiver: Receiver, about: str | None) -> str:
    """Wait until the receiver has a trouble with `about` in it; None: until it has none."""

    async def as_wanted() -> str | None:
        said = receiver.trouble
        return ("fine" if said is None else None) if about is None else (said if about in (said or "") else None)

    return await until(as_wanted) or ""


@contextlib.asynccontextmanager
async def receiving(settings: Mqtt, about: str | None = None) -> AsyncIterator[Receiver]:
    """A receiver of the site riverside, ended in order; yielded once its trouble is as `trouble` says."""
    receiver = Receiver(settings, ["riverside"])
    running = asyncio.create_task(receiver.run())
    try:
        await trouble(receiver, about)
        yield receiver
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await receiver.stop()


async def take(receiver: Receiver, number: int) -> list[Chunk]:
    """Chunks until they hold `number` messages that want an acknowledgement, or more."""
    chunks: list[Chunk] = []
    async with asyncio.timeout(SECONDS):
        while len(payloads(chunks)) < number:
            chunks += await receiver.take()
    return chunks


def payloads(chunks: Iterable[Chunk]) -> list[bytes]:
    """Of the messages that want an acknowledgement."""
    return [message[1] for chunk in chunks for message in chunk.messages if message[2]]


def newest(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Those of the newest connection: over it all comes again that was not acknowledged."""
    of = list(chunks)
    return [chunk for chunk in of if chunk.link == of[-1].link]


async def flood(port: int, topic: str, payloads: Iterable[bytes], qos: int = 1) -> None:
    """Publish as fast as the broker acknowledges."""
    await asyncio.to_thread(_flood, port, topic.encode(), list(payloads), qos)


def _flood(port: int, topic: bytes, payloads: list[bytes], qos: int) -> None:
    with socket.create_connection(("127.0.0.1", port), SECONDS) as wire:
        wire.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")
        answers = wire.makefile("rb")
        assert answers.read(4) == b"\x20\x02\x00\x00"
        for start in range(0, len(payloads), 500):
            some = payloads[start : start + 500]
            wire.sendall(b"".join(_publish(topic, at + 1, payload, qos) for at, payload in enumerate(some)))
            if qos:
                assert len(answers.read(4 * len(some))) == 4 * len(some)
        wire.sendall(b"\xe0\x00")
        answers.read()  # until the broker has read all of it, and closes


def _publish(topic: bytes, mid: int, payload: bytes, qos: int) -> bytes:
    body = struct.pack(">H", len(topic)) + topic + (struct.pack(">H", mid) if qos else b"") + payload
    assert len(body) < 128 * 128
    return struct.pack("BBB", 0x30 | qos << 1, len(body) & 127 | 128, len(body) >> 7) + body


class Wire:
    """Stands between a client and the broker. Dead, it says nothing any more, and takes nothing, but stays open."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = 0
        self.upward: list[bytearray] = []
        """What clients have sent, by connection, the newest last."""
        self._alive: list[asyncio.Event] = []

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncIterator["Wire"]:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    def die(self) -> None:
        """For the connections that there are; new ones work."""
        for alive in self._alive:
            alive.clear()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        alive = asyncio.Event()
        alive.set()
        self._alive.append(alive)
        self.upward.append(upward := bytearray())
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to)
        pipes = (
            asyncio.create_task(self._pipe(reader, up_writer, alive, upward)),
            asyncio.create_task(self._pipe(up_reader, writer, alive, bytearray())),
        )
        try:
            await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pipe in pipes:
                pipe.cancel()
            await asyncio.gather(*pipes, return_exceptions=True)
            for end in (writer, up_writer):
                end.close()

    async def _pipe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, alive: asyncio.Event, heard: bytearray
    ) -> None:
        while data := await reader.read(65_536):
            await alive.wait()
            heard += data
            writer.write(data)
            await writer.drain()
