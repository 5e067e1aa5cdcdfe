"""What is made of each connection: so many at once, so many of one address, and none that is held open for nothing.

A process has only so many files. Where there is no more room, who has said nothing for longest makes it.
"""

import asyncio
from typing import Any, Final

from msgspec import Struct
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from gateway.buckets import whose

HEAD_BYTES: Final = 2**16
"""Of a question before its body."""
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Limits(Struct, frozen=True):
    """Of one port."""

    most: int = 1000
    """Connections at once."""
    of_one: int = 200
    """The same of one address. Programs of this machine, a proxy among them, are not counted."""
    quiet_seconds: float = 15.0
    """For a question to come, head and all."""
    answer_seconds: float = 300.0
    """For its body to come, and its answer to be made and fetched. Not of web sockets."""
    body_seconds: float = 30.0
    """For its body alone."""
    body_bytes: int = 2**21
    """More than any interface takes, so that those say in their own words what is too much."""
    word_bytes: int = 2**20
    """Of one message of a web socket."""
    rate: tuple[float, float] = (50.0, 1000.0)
    """Questions of one address, a second and at once."""
    backlog: int = 1024
    """Connections that the system keeps for us: where there are more, those who come wait a second and try again."""


class Bounded(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """What uvicorn makes of a connection, within the limits of its class: see `within`."""

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._loop = asyncio.get_running_loop()
        self._begun = 0
        self._seen: tuple[object, bool] = (None, False)
        self._since = self._loop.time()
        self.whose = whose(self.client[0]) if self.client else ""
        if self._makes_room():
            self._wait()
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.quiet:
            self._begun = 0
            return
        self._begun += len(data)
        if self._begun > HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    @property
    def quiet(self) -> bool:
        """Whether no question is under way. The cycle is that of the question that came last."""
        return self.cycle is None or bool(self.cycle.response_complete)

    def _makes_room(self) -> bool:
        """Whether there is room for this one, made by others or not."""
        mine = [each for each in self.connections if self.whose and getattr(each, "whose", "") == self.whose]
        if len(mine) > self.limits.of_one:
            return self._instead_of(mine)
        return len(self.connections) <= self.limits.most or self._instead_of(list(self.connections))

    def _instead_of(self, others: list[Any]) -> bool:
        idle = [each for each in others if isinstance(each, Bounded) and each.quiet and each is not self]
        if not idle:
            return False
        oldest = min(idle, key=lambda each: each._since)
        self.connections.discard(oldest)
        oldest.transport.abort()
        return True

    def _wait(self) -> None:
        self._loop.call_later(min(self.limits.quiet_seconds, self.limits.answer_seconds) / 4, self._look)

    def _look(self) -> None:
        if self.transport.is_closing() or self not in self.connections:  # a web socket is a connection of its own
            return
        seen, now = (self.cycle, self.quiet), self._loop.time()
        if seen != self._seen:
            self._seen, self._since = seen, now
        elif now - self._since >= (self.limits.quiet_seconds if self.quiet else self.limits.answer_seconds):
            self.transport.abort()
            return
        self._wait()


def within(limits: Limits) -> type[asyncio.Protocol]:
    """Connections with these limits."""
    return type("Bounded", (Bounded,), {"limits": limits})
