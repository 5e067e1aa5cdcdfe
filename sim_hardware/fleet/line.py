"""A connection that carries many modelled nodes: MQTT 3.1.1 as far as one needs it who publishes at QoS 1, and hears
whether the site is held (docs/protocol.md).

Written by hand, because a client for everything spends some 25 µs on a message, ten times as long as it takes to write
one; in months of a city that would be most of the time. Sections are those of the OASIS standard MQTT 3.1.1.
"""

import asyncio
import contextlib
import json
import struct
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from ssl import SSLCertVerificationError, SSLContext, SSLEOFError, SSLError

from gateway.errors import GanglionError
from sim_hardware.fleet.fleet import Broker

UNDER_WAY = 1_000
"""Messages without an acknowledgement, from which on there is no room for more."""
_LINGER_S = 10.0
"""So long a message is kept once it is acknowledged (firmware/node/outbox.py): a broker that ends may have lost it."""
_LINGERING = 16_000
"""But so many at most."""
_KEEPALIVE_S = 30
_ANSWER_S = 10.0
_WAIT_S = (0.2, 5.0)
_IDS = 65_535
_PUBLISH, _RETAIN, _DUP = 0x32, 0x01, 0x08
_CONNACK, _PUBACK, _PINGRESP = 0x20, 0x40, 0xD0
_HELD = 0x30
"""The first byte of what is heard, less the flag of a retained message: the subscription is at QoS 0."""
_SUBSCRIBE = 0x82
_PINGREQ, _DISCONNECT = b"\xc0\x00", b"\xe0\x00"

Message = tuple[int, bytes, bytes]
"""(who is told that it has arrived, `topic(...)`, payload)"""


class Refused(GanglionError):
    """The broker does not want us."""


def topic(name: str) -> bytes:
    """As a message needs it."""
    return struct.pack(">H", len(name)) + name.encode()


def _length(n: int) -> bytes:
    """Remaining length (2.2.3)."""
    found = bytearray()
    while n > 127:
        found.append(n & 127 | 128)
        n >>= 7
    return bytes(found) + bytes([n])


_LENGTHS = [_length(n) for n in range(8192)]
_ID = [struct.pack(">H", n) for n in range(_IDS + 1)]


def _head(data: bytes, at: int) -> tuple[int, int] | None:
    """(where the rest of the packet at `at` begins, its length), or None when not all of its length has come."""
    size = 0
    for i, byte in enumerate(data[at + 1 : at + 5]):
        size |= (byte & 127) << 7 * i
        if byte < 128:
            return at + 2 + i, size
    return None


def holds(payload: bytes) -> bool:
    """Whether a message says that the site is held; what is not understood does not."""
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("hold") is True


class _Stream(asyncio.Protocol):
    """What arrives, packet by packet."""

    def __init__(self, line: "Line") -> None:
        self._line = line
        self._rest = b""
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The code of CONNACK (3.2.2.3)."""
        self.pinged = asyncio.Event()
        self.closed = asyncio.Event()
        self.heard = False
        self.held = False

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self._line.arriving()
        data = self._rest + data
        at, end = 0, len(data)
        while end - at >= 2:
            begin, size = at + 2, data[at + 1]
            if size > 127:  # only what is told of a hold may be so long
                head = _head(data, at)
                if head is None:
                    break
                begin, size = head
            if end - begin < size:
                break
            first = data[at]
            if first == _PUBACK:
                self._line.acknowledged(data[begin] << 8 | data[begin + 1])
            elif first == _CONNACK and not self.answer.done():
                self.answer.set_result(data[begin + 1])
            elif first == _PINGRESP:
                self.pinged.set()
            elif first & 0xF0 == _HELD:
                self.held = holds(data[begin + 2 + (data[begin] << 8 | data[begin + 1]) : begin + size])
                self._line.told(self)
            at = begin + size
        self._rest = data[at:]
        self._line.arrived()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.pinged.set()
        if not self.answer.done():
            # With TLS 1.3 a client has shaken hands before the broker has looked at its certificate.
            self.answer.set_exception(exc) if isinstance(exc, SSLError) else self.answer.cancel()


def _unbelieved(where: Broker, error: SSLError) -> Exception:
    """What to raise: a broker that has only just ended is none that refuses us."""
    at = f"the broker at {where.host}:{where.port}"
    if isinstance(error, SSLCertVerificationError):
        return Refused(f"the certificate of {at} does not hold: {error.verify_message}; see --pki and --server-name")
    if isinstance(error, SSLEOFError):
        return error
    return Refused(f"no TLS with {at}: {error.reason}; is this its port for gateways, and --pki what it believes?")


class Line:
    """`run` is its task. What was not acknowledged when a connection breaks, or only just, goes again over the next.

    While the site is held only what is retained goes, and not before what waits already.
    """

    def __init__(
        self, broker: Broker, client_id: str, site: str, acked: list[int], ssl: SSLContext | None = None
    ) -> None:
        """`acked` counts what has arrived and is not retained, by the number that its messages have."""
        self._broker = broker
        self._ssl = ssl
        self._hold = topic(f"ganglion/v1/{site}/hold")
        self._client_id = client_id
        self._acked = acked
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._unsent = 0
        """Of them so many, the last, that this connection has not been given."""
        self._lingering: deque[tuple[float, int, bytes]] = deque()
        """Those that are: (when, and as above), the oldest first."""
        self._oldest = self._next = 1
        """Ids of the oldest message that waits, and of the next one: they are given in turn, and come back so (4.6)."""
        self._transport: asyncio.Transport | None = None
        self._moved = asyncio.Event()
        self._stream: _Stream | None = None
        """Set once it is known whether the site is held."""
        self._now = 0.0

    @property
    def held(self) -> bool:
        """Whether the site is, as far as is known."""
        return self._stream is not None and self._stream.held

    @property
    def connected(self) -> bool:
        return self._transport is not None

    @property
    def waiting(self) -> int:
        """Messages that are not acknowledged."""
        return len(self._waiting)

    async def room(self, most: int = UNDER_WAY) -> None:
        """Wait until at most so many messages are not acknowledged."""
        while len(self._waiting) > most:
            self._moved.clear()
            await self._moved.wait()

    async def released(self) -> None:
        """Wait until the site is not held."""
        while self.held:
            self._moved.clear()
            await self._moved.wait()

    def told(self, stream: _Stream) -> None:
        """There is news of the hold."""
        if stream is self._stream:
            self._flush()

    def publish(self, messages: Sequence[Message], retain: bool = False) -> None:
        """Send them, or keep them until they may go. There must be room: ids are 65 535."""
        first = bytes([_PUBLISH | (_RETAIN if retain else 0)])
        number, frames = self._next, []
        for owner, name, payload in messages:
            frame = b"".join((first, _LENGTHS[len(name) + 2 + len(payload)], name, _ID[number], payload))
            self._waiting.append((owner, frame))
            frames.append(frame)
            number = number + 1 if number < _IDS else 1
        self._next = number
        if self._transport and not self._unsent and (retain or not self.held):
            self._transport.write(b"".join(frames))
        else:
            self._unsent += len(frames)

    def _flush(self) -> None:
        """Send what may go of what has not been sent."""
        if not self._transport:
            return
        frames = []
        for _, frame in islice(self._waiting, len(self._waiting) - self._unsent, None):
            if self.held and not frame[0] & _RETAIN:
                break
            frames.append(frame)
        self._unsent -= len(frames)
        self._transport.write(b"".join(frames))

    def acknowledged(self, number: int) -> None:
        if number != self._oldest or not self._waiting:
            if self._transport:
                self._transport.abort()  # a broker that answers out of order: all goes again
            return
        self._oldest = number + 1 if number < _IDS else 1
        owner, frame = self._waiting.popleft()
        if not frame[0] & _RETAIN:
            self._acked[owner] += 1
        self._lingering.append((self._now, owner, frame))

    def arriving(self) -> None:
        self._now = time.monotonic()

    def arrived(self) -> None:
        lingering = self._lingering
        while lingering and (len(lingering) > _LINGERING or lingering[0][0] < self._now - _LINGER_S):
            lingering.popleft()
        self._moved.set()

    def _again(self) -> None:
        """What was sent over the last connection, and may be lost, is to be sent over a new one before all else."""
        for _, owner, frame in reversed(self._lingering):
            self._waiting.appendleft((owner, frame))
            self._oldest = self._oldest - 1 if self._oldest > 1 else _IDS
            if not frame[0] & _RETAIN:
                self._acked[owner] -= 1
        self._lingering.clear()
        sent = len(self._waiting) - self._unsent
        self._waiting = deque(
            (owner, bytes([frame[0] | (_DUP if i < sent else 0)]) + frame[1:])
            for i, (owner, frame) in enumerate(self._waiting)
        )
        self._unsent = len(self._waiting)

    async def run(self) -> None:
        """Connect, and again whenever the connection breaks.

        Raises Refused when the broker refuses the login, or one of the two does not believe the other's certificate.
        """
        wait = _WAIT_S[0]
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                if await self._connect():
                    wait = _WAIT_S[0]
            await asyncio.sleep(wait)
            wait = min(2 * wait, _WAIT_S[1])

    async def _connect(self) -> bool:
        """One connection, until it breaks; whether there was one."""
        loop, where = asyncio.get_running_loop(), self._broker
        name = where.tls.name if where.tls else None
        try:
            async with asyncio.timeout(_ANSWER_S):
                transport, stream = await loop.create_connection(
                    lambda: _Stream(self), where.host, where.port, ssl=self._ssl, server_hostname=name
                )
        except SSLError as error:
            raise _unbelieved(where, error) from error
        try:
            transport.write(self._hello())
            done, _ = await asyncio.wait({stream.answer}, timeout=_ANSWER_S)
            if not done or stream.answer.cancelled():
                return False
            try:
                code = stream.answer.result()
            except SSLError as error:
                raise _unbelieved(where, error) from error
            if code:
                raise Refused(
                    f"the broker at {where.host}:{where.port} refuses modelled nodes (MQTT code {code}): "
                    "give --broker a user and a password that may publish for all of them"
                )
            # A broker answers in order: what is retained of a hold comes before the answer to the ping.
            body = b"\x00\x01" + self._hold + b"\x00"
            transport.write(bytes([_SUBSCRIBE]) + _length(len(body)) + body + _PINGREQ)
            async with asyncio.timeout(_ANSWER_S):
                await stream.pinged.wait()
            self._again()
            self._transport, self._stream = transport, stream
            self._flush()
            while not stream.closed.is_set():
                stream.heard = False
                transport.write(_PINGREQ)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_KEEPALIVE_S / 2):
                        await stream.closed.wait()
                if not stream.heard:
                    break  # nobody answers
            return True
        finally:
            self._transport = None
            transport.abort()

    def leave(self) -> None:
        """Say goodbye, once nothing waits any more."""
        if self._transport:
            self._transport.write(_DISCONNECT)
            self._transport.close()

    def _hello(self) -> bytes:
        """CONNECT (3.1) of a clean session without a will."""
        where, flags = self._broker, 0x02
        texts = [self._client_id]
        if where.user is not None:
            flags |= 0xC0
            texts += [where.user, where.password or ""]
        said = [text.encode() for text in texts]
        body = b"\x00\x04MQTT\x04" + struct.pack(">BH", flags, _KEEPALIVE_S)
        body += b"".join(struct.pack(">H", len(text)) + text for text in said)
        return b"\x10" + _length(len(body)) + body
