"""A TCP proxy that makes connections ill: the tests' own, between a client and a real server. And a parrot."""

import contextlib
import re
import selectors
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from types import TracebackType
from typing import Self

PIECE = 16_384


@dataclass(frozen=True)
class Ill:
    """What one connection suffers. `asked` flows to the server, `answered` back. The default is health."""

    silent: bool = False
    """Taken, and never a word: as when the other end has lost its power."""
    latency: float = 0.0
    """Seconds before each piece, either way."""
    asked_piece: int = PIECE
    """Bytes at a time: with `latency`, a narrow band."""
    answered_piece: int = PIECE
    """Likewise: with `latency`, an answer that trickles."""
    asked_end: int | None = None
    """The connection ends after so many bytes; None for never."""
    answered_end: int | None = None
    """Likewise. 0 is an answer that gets lost after the server has done what it was asked."""
    reset: bool = False
    """It ends by RST instead of FIN."""


HEALTHY = Ill()


class Toxic:
    """Forwards to a port of 127.0.0.1. Each connection takes the next illness; when there is none left it is healthy.

    Threads of its own, so that it serves blocking clients and asyncio alike; all have ended when the block ends.
    """

    def __init__(self, server: int, ills: Iterable[Ill] = ()) -> None:
        self._server = server
        self._ills: Iterator[Ill] = chain(ills, repeat(HEALTHY))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        self.ended_ill = 0
        """Connections that an illness has ended."""
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._carry, args=(client, next(self._ills)))
            self._threads.append(thread)
            thread.start()

    def _carry(self, client: socket.socket, ill: Ill) -> None:
        with client:
            if ill.silent:
                self._stop.wait()
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                return
            with server:
                with contextlib.suppress(OSError):
                    self._exchange(client, server, ill)
                if ill.reset:
                    # Lingering for no time: the kernel sends RST instead of FIN.
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _exchange(self, client: socket.socket, server: socket.socket, ill: Ill) -> None:
        """Until either end closes, or the illness ends it."""
        left = {client: ill.asked_end, server: ill.answered_end}
        piece = {client: ill.asked_piece, server: ill.answered_piece}
        other = {client: server, server: client}
        with selectors.DefaultSelector() as ready:
            for end in other:
                ready.register(end, selectors.EVENT_READ)
            while not self._stop.is_set():
                for key, _ in ready.select(0.1):
                    end: socket.socket = key.fileobj  # type: ignore[assignment]
                    data = end.recv(piece[end])
                    if not data:
                        return
                    if ill.latency and self._stop.wait(ill.latency):
                        return
                    rest = left[end]
                    other[end].sendall(data if rest is None else data[:rest])
                    if rest is not None:
                        left[end] = rest - len(data)
                        if rest <= len(data):
                            self.ended_ill += 1
                            return


class Parrot:
    """Reads a request's head and what comes with it, says always the same, and closes: no server at all."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                heard = b""
                while _lacks(heard) and (more := client.recv(PIECE)):
                    heard += more
                client.sendall(self._answer)


def _lacks(heard: bytes) -> bool:
    """Whether more of a request is to come."""
    head, end, body = heard.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return not end or len(body) < int(length[1] if length else 0)
