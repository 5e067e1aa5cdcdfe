"""MQTT 5 as far as a receiver speaks it: bytes to packets and packets to bytes. Pure: no socket, no clock.

After the OASIS standard "MQTT Version 5.0"; the numbers of its sections are given as §. Messages come by the ten
thousand a second, so one is a plain tuple cut out of the bytes that arrived, and all the rest may take its time.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gateway.errors import GanglionError


class ProtocolError(GanglionError):
    """The peer sent what MQTT 5 does not allow, or what was not agreed. Nothing that follows can be understood."""


Message = tuple[bytes, bytes, int, bool]
"""Topic, payload, packet identifier (0: QoS 0, nothing to acknowledge), retained."""


class Connack(NamedTuple):
    """The broker's answer to CONNECT."""

    session_present: bool
    reason: int
    said: str = ""
    """The broker's own words, if it gives any."""
    server_keep_alive: int | None = None
    """Seconds, in place of those that were asked for."""
    receive_maximum: int = 65_535
    maximum_qos: int = 2
    maximum_packet_size: int | None = None


class Suback(NamedTuple):
    """The answer to SUBSCRIBE: a reason for each topic, below 128 the QoS granted."""

    mid: int
    reasons: tuple[int, ...]
    said: str = ""


class Unsuback(NamedTuple):
    """The answer to UNSUBSCRIBE."""

    mid: int
    reasons: tuple[int, ...]
    said: str = ""


class Pingresp(NamedTuple):
    """The answer to PINGREQ."""


class Disconnect(NamedTuple):
    """The broker ends the connection."""

    reason: int
    said: str = ""


Control = Connack | Suback | Unsuback | Pingresp | Disconnect

_BYTE, _SHORT, _LONG, _VARINT, _TEXT, _PAIR = 1, 2, 4, 0, -1, -2
_PROPERTIES: Final[Mapping[int, int]] = (
    dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), _BYTE)
    | dict.fromkeys((0x13, 0x21, 0x22, 0x23), _SHORT)
    | dict.fromkeys((0x02, 0x11, 0x18, 0x27), _LONG)
    | {0x0B: _VARINT}
    | dict.fromkeys((0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F), _TEXT)
    | {0x26: _PAIR}
)
"""Of each property: how its value is written; a positive number is its bytes (§2.2.2.2)."""
_SESSION_EXPIRY, _SERVER_KEEP_ALIVE, _SAID = 0x11, 0x13, 0x1F
_RECEIVE_MAXIMUM, _TOPIC_ALIAS, _MAXIMUM_QOS, _MAXIMUM_PACKET_SIZE = 0x21, 0x23, 0x24, 0x27

PINGREQ: Final = b"\xc0\x00"
DISCONNECT: Final = b"\xe0\x00"


def encode_connect(
    client_id: str,
    *,
    keepalive: int,
    session_expiry: int,
    receive_maximum: int,
    maximum_packet_size: int,
    username: str = "",
    password: str = "",
) -> bytes:
    """CONNECT to the session that the broker has, if it has one. `keepalive` and `session_expiry` in seconds."""
    flags = bool(username) << 7 | bool(password) << 6
    properties = struct.pack(
        ">BIBHBI",
        *(_SESSION_EXPIRY, session_expiry),
        *(_RECEIVE_MAXIMUM, receive_maximum),
        *(_MAXIMUM_PACKET_SIZE, maximum_packet_size),
    )
    payload = _text(client_id) + (_text(username) if username else b"") + (_text(password) if password else b"")
    head = _text("MQTT") + struct.pack(">BBH", 5, flags, keepalive)
    return b"\x10" + _sized(head + _sized(properties) + payload)


def encode_subscribe(mid: int, topics: Iterable[str]) -> bytes:
    """SUBSCRIBE to all topics at QoS 1."""
    return b"\x82" + _sized(struct.pack(">HB", mid, 0) + b"".join(_text(topic) + b"\x01" for topic in topics))


def encode_unsubscribe(mid: int, topics: Iterable[str]) -> bytes:
    return b"\xa2" + _sized(struct.pack(">HB", mid, 0) + b"".join(map(_text, topics)))


def encode_pubacks(mids: Sequence[int]) -> bytes:
    """A PUBACK for each identifier, in order, in one piece."""
    return struct.pack(f">{len(mids)}I", *[0x4002_0000 | mid for mid in mids])


def _text(text: str) -> bytes:
    value = text.encode()
    return struct.pack(">H", len(value)) + value


def _sized(value: bytes) -> bytes:
    """Behind its length as a variable byte integer (§1.5.5)."""
    size, length = len(value), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return bytes(length) + value


class Parser:
    """Of one connection. Bytes may come in any pieces; at most one packet is kept."""

    def __init__(self, maximum_packet_size: int) -> None:
        self._most = maximum_packet_size
        self._rest = b""

    def feed(self, data: bytes) -> tuple[list[Message], list[Control]]:  # noqa: PLR0912  without calls, for speed
        """The packets that `data` completes. Raises ProtocolError; then the connection is of no more use."""
        if self._rest:
            data = self._rest + data
        messages: list[Message] = []
        controls: list[Control] = []
        most = self._most
        at, end = 0, len(data)
        try:
            while at + 2 <= end:
                head = data[at]
                body = at + 2
                size = data[at + 1]
                if size > 127:
                    if body == end:
                        break
                    more = data[body]
                    body += 1
                    size += (more << 7) - 128
                    if more > 127:
                        size, body = _long_size(data, at + 1)
                        if not body:
                            break
                stop = body + size
                if stop - at > most:
                    raise ProtocolError(f"a packet of {stop - at} bytes, at most {most} were agreed")
                if stop > end:
                    break
                if head & 0xF4 == 0x30:  # PUBLISH at QoS 0 or 1
                    cut = body + 2 + (data[body] << 8 | data[body + 1])
                    topic = data[body + 2 : cut]
                    mid = 0
                    if head & 2:
                        mid = data[cut] << 8 | data[cut + 1]
                        cut += 2
                    cut += 1
                    # A packet that ends too early was read beyond its end up to here: no matter what was found there.
                    if cut > stop:
                        raise IndexError
                    if data[cut - 1]:
                        cut += _skip_properties(data[cut - 1 : stop])
                    if not topic or (mid == 0 and head & 2):
                        raise ProtocolError("a PUBLISH without topic or packet identifier")
                    messages.append((topic, data[cut:stop], mid, head & 1 == 1))
                else:
                    controls.append(_control(head, data[body:stop]))
                at = stop
        except IndexError:
            raise ProtocolError(f"a packet of type 0x{data[at]:02X} that ends before its fields do") from None
        self._rest = data[at:]
        return messages, controls


def _long_size(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer of three or four bytes, and where it ends; there 0 while it is not all here."""
    size = 0
    for place, byte in enumerate(data[at : at + 4]):
        size |= (byte & 127) << 7 * place
        if byte < 128:
            return size, at + place + 1
    if len(data) - at >= 4:
        raise ProtocolError("a length of more than four bytes")
    return 0, 0


def _properties(packet: bytes, at: int = 0) -> tuple[dict[int, int | bytes], int]:
    """The properties that begin at `at` (§2.2.2), and where they end. Of one that comes again the last counts."""
    size, at = _varint(packet, at)
    stop = at + size
    if stop > len(packet):
        raise IndexError
    packet = packet[:stop]
    found: dict[int, int | bytes] = {}
    while at < stop:
        name = packet[at]
        at += 1
        kind = _PROPERTIES.get(name)
        if kind is None:
            raise ProtocolError(f"a property 0x{name:02X}, which MQTT 5 does not have")
        if kind == _VARINT:
            found[name], at = _varint(packet, at)
        elif kind > 0:
            if at + kind > stop:
                raise IndexError
            found[name] = int.from_bytes(packet[at : at + kind], "big")
            at += kind
        else:
            for _ in range(-kind):
                start = at + 2
                at = start + (packet[at] << 8 | packet[at + 1])
                found[name] = packet[start:at]
        if at > stop:
            raise IndexError
    return found, stop


def _varint(packet: bytes, at: int) -> tuple[int, int]:
    size, after = _long_size(packet, at)
    if not after:
        raise IndexError
    return size, after


def _skip_properties(packet: bytes) -> int:
    """How many bytes more than one the properties take that a PUBLISH's rest begins with."""
    found, end = _properties(packet)
    if _TOPIC_ALIAS in found:
        raise ProtocolError("a topic alias, though none were agreed")
    return end - 1


def _said(found: Mapping[int, int | bytes]) -> str:
    text = found.get(_SAID, b"")
    return text.decode(errors="replace") if isinstance(text, bytes) else ""


def _number(found: Mapping[int, int | bytes], name: int) -> int | None:
    value = found.get(name)
    return value if isinstance(value, int) else None


def _connack(packet: bytes) -> Connack:
    flags, reason = packet[0], packet[1]
    found, _ = _properties(packet, 2)
    maximum_qos = _number(found, _MAXIMUM_QOS)
    return Connack(
        flags & 1 == 1,
        reason,
        _said(found),
        _number(found, _SERVER_KEEP_ALIVE),
        _number(found, _RECEIVE_MAXIMUM) or 65_535,
        2 if maximum_qos is None else maximum_qos,
        _number(found, _MAXIMUM_PACKET_SIZE),
    )


def _acks(packet: bytes) -> tuple[int, tuple[int, ...], str]:
    mid = packet[0] << 8 | packet[1]
    found, end = _properties(packet, 2)
    return mid, tuple(packet[end:]), _said(found)


def _disconnect(packet: bytes) -> Disconnect:
    found = _properties(packet, 1)[0] if len(packet) > 1 else {}
    return Disconnect(packet[0] if packet else 0, _said(found))


_CONTROLS: Final[Mapping[int, Callable[[bytes], Control]]] = {
    0x20: _connack,
    0x90: lambda packet: Suback(*_acks(packet)),
    0xB0: lambda packet: Unsuback(*_acks(packet)),
    0xD0: lambda packet: Pingresp(),
    0xE0: _disconnect,
}


def _control(head: int, packet: bytes) -> Control:
    parse = _CONTROLS.get(head)
    if parse is None:
        raise ProtocolError(f"a packet of type 0x{head:02X}, which no broker sends to a receiver")
    return parse(packet)
