"""Getting lines over to a server, whatever its dialect: packed, once more over a fresh connection, in halves."""

import zlib
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import urllib3

from gateway.config import is_loopback
from gateway.errors import Poison
from gateway.forward.answers import TooLarge

GZIP: Final = 31
"""zlib's `wbits` for the gzip format with the largest window."""

T = TypeVar("T")


def is_near(url: str) -> bool:
    """Whether a server is on this machine, where bytes cost less than packing them."""
    host = urllib3.util.parse_url(url).host or ""
    return is_loopback(host.strip("[]"))


def packed(lines: Sequence[bytes], *, near: bool) -> tuple[bytes, str]:
    """A body, and its Content-Encoding: empty when it is sent as it is.

    Measured with lines of eight fields, in us a line of the gateway's time with the sending: as it is 0.18, level 1
    0.85, level 9 8.2. Level 1 makes a fifth of the bytes, level 9 an eighth; InfluxDB 1.6.7 takes 10 us for either.
    """
    body = b"\n".join(lines)
    return (body, "") if near else (zlib.compress(body, 1, GZIP), "gzip")


def once_more(ask: Callable[[], T]) -> T:
    """Ask again, at once and over a fresh connection, when a connection ends before there is an answer.

    A server closes connections that were idle, and may do so while we write: that is no outage. It may also have taken
    the lines before; writing them again changes nothing.
    """
    try:
        return ask()
    except urllib3.exceptions.ProtocolError as error:
        if not any(isinstance(each, ConnectionError) for each in error.args):
            raise
    return ask()


def in_halves(send: Callable[[Sequence[bytes]], None], lines: Sequence[bytes]) -> None:
    """Send lines; what the server calls too large, in halves. Raises what `send` raises."""
    if not lines:
        return
    try:
        send(lines)
    except TooLarge as error:
        if len(lines) == 1:
            raise Poison(str(error), rest_written=False) from error
        half = len(lines) // 2
        in_halves(send, lines[:half])
        in_halves(send, lines[half:])
