"""A real SNTP server (RFC 4330) over UDP, which answers when a test wants it to."""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.firmware.board import SECONDS

_NTP_EPOCH = 2_208_988_800
OFFSET_S = 7 * 86_400
"""The server lives a week later than this machine: a clock that is right was set by it."""


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A UDP socket that waits for questions."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(SECONDS)
        yield sock


def address(server: socket.socket) -> str:
    """Where the board finds the server."""
    return f"127.0.0.1:{server.getsockname()[1]}"


def answer(question: bytes, moment: float) -> bytes:
    """What a server says that took no time itself."""
    assert len(question) == 48
    assert question[0] == 0x23, "version 4, client"
    seconds = int(moment)
    at = struct.pack(">II", (seconds + _NTP_EPOCH) % 2**32, int((moment - seconds) * 2**32))
    return bytes((0x24, 2, 6, 0xEC)) + bytes(12) + at + question[40:48] + at + at


class Served(NamedTuple):
    """One question and its answer, in Unix seconds."""

    asked: float
    """By the board's clock, as the question says."""
    at: float
    """By this machine's."""


def serve(server: socket.socket, make: Callable[[bytes], bytes]) -> None:
    """Answer one question."""
    question, client = server.recvfrom(100)
    server.sendto(make(question), client)


def serve_time(server: socket.socket, ahead_s: float = 0.0) -> Served:
    """Answer one question with this machine's time, and so much.

    A board halves the way there and back, so what it makes of the answer is off by up to half of what either took.
    """
    question, client = server.recvfrom(100)
    at = time.time()
    server.sendto(answer(question, at + ahead_s), client)
    seconds, ms = struct.unpack(">II", question[40:48])
    return Served(seconds + ms / 1000, at)
