# MQTT 3.1.1 client for asyncio: QoS 0 and 1, one connection, session kept by the broker.
#
# The client keeps no messages: whoever publishes at QoS 1 holds the message until `on_ack(packet_id)` says that the
# broker has it, and publishes it again, with the same packet id and `dup`, on the next connection.

import asyncio
import errno
import struct

from micropython import const

from node.net import wire_ms, wire_sleep_ms

_CONNECT = const(0x10)
_CONNACK = const(0x20)
_PUBLISH = const(0x30)
_PUBACK = const(0x40)
_SUBSCRIBE = const(0x82)
_SUBACK = const(0x90)
_PINGREQ = const(b"\xc0\x00")
_DISCONNECT = const(b"\xe0\x00")

REPLY_MS = 10_000  # longest wait for a connection or an answer
INBOUND_MAX = 4096  # a longer message from the broker is read past, and acknowledged, but not taken

# Why, by the return code of CONNACK from 1 on (MQTT 3.1.1, table 3.1).
_REFUSALS = ("protocol version", "client id", "server unavailable", "user name or password", "not authorised")


class Rejected(OSError):
    """The broker answered CONNECT with a refusal."""


def _string(text):
    data = text if isinstance(text, (bytes, bytearray)) else text.encode()
    return struct.pack(">H", len(data)) + data


def _packet(kind, *parts):
    n = sum(len(part) for part in parts)
    head = bytearray((kind,))
    while True:
        head.append((n & 0x7F) | (0x80 if n > 0x7F else 0))
        n >>= 7
        if not n:
            break
    return bytes(head) + b"".join(parts)


class Client:
    """One connection at a time: `connect`, publish while `broken` is not set, `close`, and again.

    `on_ack(packet_id)` and `on_message(topic, payload)` are plain functions, called from the reading task; they must
    not raise. A payload may be empty at QoS 0 only.
    `will` is (topic, payload), published retained at QoS 1 when the link dies.
    """

    def __init__(
        self, host, port, client_id, user=None, password=None, keepalive=60, will=None, ssl=None, server_name=None
    ):
        self._host, self._port, self.ssl, self._server_name = host, port, ssl, server_name or host
        self._client_id, self._user, self._password = client_id, user, password
        self._keepalive = keepalive
        self._will = will
        self.on_ack = lambda packet_id: None
        self.on_message = lambda topic, payload: None
        self.on_refused = lambda: None  # the broker did not grant a subscription
        self.broken = asyncio.Event()
        self.error = None  # what broke the last connection
        self.reached = False  # whether somebody was there at the last attempt
        self._reader = self._writer = None
        self._tasks = ()
        self._heard = self._spoke = False
        self._lock = asyncio.Lock()

    async def connect(self):
        """Open the link and the session. True if the broker still had the session.

        Raises OSError when it cannot be reached, Rejected when it refuses, asyncio.TimeoutError when it is silent.
        """
        self.broken.clear()
        self.error = None
        self.reached = False
        self._lock = asyncio.Lock()  # the old one may be held by a task that died with its connection
        limit = wire_ms(REPLY_MS)
        self._reader, self._writer = await asyncio.wait_for_ms(self._open(), limit)
        self.reached = True
        try:
            try:
                # Over TLS the first write is the handshake, which waits for the other side.
                await asyncio.wait_for_ms(self._send(self._hello()), limit)
                kind, body = await asyncio.wait_for_ms(self._receive(), limit)
            except EOFError:
                raise OSError(errno.ECONNRESET, "the broker hung up") from None
            except ValueError as error:
                raise OSError(errno.EACCES, "the broker's certificate: " + " ".join(str(error).split())) from None
            if kind != _CONNACK or len(body) != 2:
                raise OSError(errno.EINVAL, "no CONNACK from the broker")
            if body[1]:
                why = _REFUSALS[body[1] - 1] if body[1] <= len(_REFUSALS) else str(body[1])
                raise Rejected(errno.EACCES, "broker refused: " + why)
        except BaseException:
            await self._hang_up()
            raise
        self._tasks = (asyncio.create_task(self.guard(self._listen())), asyncio.create_task(self.guard(self._watch())))
        return bool(body[0] & 1)

    async def _open(self):
        if self.ssl is None:
            return await asyncio.open_connection(self._host, self._port)
        from node import tls  # a node without TLS has no memory to spare for it

        return await tls.open_connection(self._host, self._port, self.ssl, self._server_name)

    def _hello(self):
        flags = 0  # clean session off: the broker keeps subscriptions and what it owes us
        parts = [_string(self._client_id)]
        if self._will:
            flags |= 0x04 | 1 << 3 | 0x20
            parts += [_string(self._will[0]), _string(self._will[1])]
        if self._user is not None:
            flags |= 0x80
            parts.append(_string(self._user))
        if self._password is not None:
            flags |= 0x40
            parts.append(_string(self._password))
        return _packet(_CONNECT, b"\x00\x04MQTT\x04", struct.pack(">BH", flags, self._keepalive), *parts)

    async def publish(self, topic, payload, packet_id=0, retain=False, dup=False):
        """Send one message, at QoS 1 if it has a packet id. Raises OSError when the link is broken."""
        kind = _PUBLISH | (1 if retain else 0)
        parts = [_string(topic), payload]
        if packet_id:
            kind |= 2 | (8 if dup else 0)
            parts.insert(1, struct.pack(">H", packet_id))
        await self._send(_packet(kind, *parts))

    async def subscribe(self, topics, packet_id):
        """Ask for (topic, QoS) pairs; `on_ack(packet_id)` follows when the broker has granted them."""
        parts = [struct.pack(">H", packet_id)]
        for topic, qos in topics:
            parts.append(_string(topic) + bytes((qos,)))
        await self._send(_packet(_SUBSCRIBE, *parts))

    async def close(self):
        """End the connection in an orderly way: the broker then does not publish the will."""
        if self._writer and not self.broken.is_set():
            try:
                await self._send(_DISCONNECT)
            except OSError:
                pass  # it was broken already, which is what closing is for
        await self._hang_up()

    async def _hang_up(self):
        for task in self._tasks:
            task.cancel()
        self._tasks = ()
        if self._writer:
            writer, self._writer, self._reader = self._writer, None, None
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass

    def give_up(self, error):
        """This connection is of no use any more."""
        if not self.broken.is_set():
            self.error = error
            self.broken.set()

    async def _send(self, packet):
        async with self._lock:
            writer = self._writer
            if writer is None or self.broken.is_set():
                raise OSError(errno.ENOTCONN, "no connection")
            try:
                writer.write(packet)
                await writer.drain()
            except OSError as error:
                if writer is self._writer:
                    self.give_up(error)
                raise
            except asyncio.CancelledError:
                # Half a packet may be out: what came after it would be taken for its other half. The connection may
                # be another by now, of which that is not true.
                if writer is self._writer:
                    self.give_up(OSError(errno.ECONNABORTED, "a message was cut off"))
                raise
            self._spoke = True

    async def _receive(self):
        """One packet: (first byte, body). The body of a packet that is too long is empty but for a packet id."""
        reader = self._reader
        kind = (await reader.readexactly(1))[0]
        size = shift = 0
        while True:
            byte = (await reader.readexactly(1))[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
            if shift > 21:
                raise OSError(errno.EINVAL, "malformed length from the broker")
        if size > INBOUND_MAX:
            return kind, await self._read_past(kind, size)
        body = await reader.readexactly(size) if size else b""
        self._heard = True
        return kind, body

    async def _read_past(self, kind, size):
        # Keep topic and packet id only, so that the message can be acknowledged: unread it would come again for ever.
        head = await self._reader.readexactly(2)
        length = struct.unpack(">H", head)[0] + (2 if kind & 0x06 else 0)
        if length + 2 > min(size, INBOUND_MAX):
            raise OSError(errno.EINVAL, "malformed message from the broker")
        head += await self._reader.readexactly(length)
        left = size - len(head)
        while left:
            left -= len(await self._reader.readexactly(min(left, 512)))
        self._heard = True
        return head if kind & 0x06 else b""

    async def guard(self, work):
        """Run a coroutine that the connection needs: whatever ends it breaks the link, so that all begins anew.

        A task that died unnoticed, of a full heap or of anything else, would leave a node that is silent for ever.
        """
        try:
            await work
        except Exception as error:  # noqa: BLE001 - told as what broke the link
            self.give_up(error)

    async def _listen(self):
        while True:
            await self._take(*(await self._receive()))

    async def _take(self, kind, body):
        if kind in (_PUBACK, _SUBACK):
            if len(body) < 2:
                raise OSError(errno.EINVAL, "short acknowledgement from the broker")
            if kind == _SUBACK and 0x80 in body[2:]:
                self.on_refused()
            self.on_ack(body[0] << 8 | body[1])
        elif kind & 0xF0 == _PUBLISH and body:
            end = 2 + (body[0] << 8 | body[1])
            packet_id = body[end : end + 2] if kind & 0x06 else b""
            if len(body) < end + len(packet_id) or (kind & 0x06 and len(packet_id) < 2):
                raise OSError(errno.EINVAL, "malformed message from the broker")
            # An empty one takes back what was retained; but at QoS 1 it may also be one that was read past.
            if len(body) > end + len(packet_id) or not packet_id:
                self.on_message(str(body[2:end], "utf-8"), body[end + len(packet_id) :])
            if packet_id:
                await self._send(_packet(_PUBACK, packet_id))

    async def _watch(self):
        """Ping when a quarter of the keepalive has passed in silence; break the link when nothing is heard in time.

        Counted in sleeps, not in ticks: they are of the wire's time, which goes on when an emulated board's stands.
        """
        quarter = self._keepalive * 250
        silent_ms = 0
        self._heard = self._spoke = False
        while True:
            await wire_sleep_ms(quarter)
            heard, self._heard = self._heard, False  # before the ping: its answer may come while it is being sent
            silent_ms = 0 if heard else silent_ms + quarter
            if silent_ms > 2 * quarter + REPLY_MS:
                raise OSError(errno.ETIMEDOUT, "the broker is silent")
            if not (heard and self._spoke):
                # Whoever else speaks may be stuck in full buffers, and hold the lock for ever: that is silence too.
                await asyncio.wait_for_ms(self._send(_PINGREQ), wire_ms(REPLY_MS))
            self._spoke = False
