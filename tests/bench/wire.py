"""MQTT 3.1.1 in bytes, as far as those need it who send more than a library can, or what no library would send."""

import socket
import ssl
from pathlib import Path

ACCEPTED = b"\x20\x02\x00\x00"
PUBACK_BYTES = 4
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
DISCONNECT = b"\xe0\x00"
TURN_S = 10.0
HOST = "127.0.0.1"
WAIT = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a socket that does not block raises when there is nothing to hear, or no room."""


def text(data: bytes | str) -> bytes:
    if isinstance(data, str):
        data = data.encode()
    return len(data).to_bytes(2, "big") + data


def packet(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + length(len(body)) + body


def length(size: int) -> bytes:
    """The field `remaining length`."""
    found = bytearray()
    while True:
        size, low = size >> 7, size & 0x7F
        found.append(low | 0x80 if size else low)
        if not size:
            return bytes(found)


def publish(topic: bytes | str, payload: bytes, number: int = 1, *, retained: bool = False) -> bytes:
    """At QoS 1; `number` is from 1 to 65535."""
    return packet(0x33 if retained else 0x32, text(topic) + number.to_bytes(2, "big") + payload)


def hello(client: str, keepalive_s: int = 0, will: tuple[bytes, bytes] | None = None, *, clean: bool = True) -> bytes:
    """CONNECT, as nodes send it; `will` is (topic, payload), retained, at QoS 1."""
    flags = (0x02 if clean else 0) | (0x2C if will else 0)
    said = text("MQTT") + bytes((4, flags)) + keepalive_s.to_bytes(2, "big") + text(client)
    return packet(0x10, said + b"".join(map(text, will or ())))


def dial(port: int, trust: ssl.SSLContext | None = None) -> socket.socket:
    """A connection to this machine before CONNECT; with `trust` after a TLS handshake. Raises OSError."""
    link = socket.create_connection((HOST, port), timeout=TURN_S)
    try:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return link if trust is None else trust.wrap_socket(link, server_hostname=HOST)
    except BaseException:
        link.close()
        raise


def connect(
    port: int,
    client: str,
    will: tuple[bytes, bytes] | None = None,
    trust: ssl.SSLContext | None = None,
    keepalive_s: int = 0,
) -> socket.socket:
    """A clean session at a broker of this machine. Raises OSError, also when the broker does not accept it."""
    link = dial(port, trust)
    try:
        link.sendall(hello(client, keepalive_s, will))
        if (said := take(link, len(ACCEPTED))) != ACCEPTED:
            raise ConnectionError(f"the broker at port {port} answered {said.hex()} to {client}")
    except BaseException:
        link.close()
        raise
    return link


def trust(ca: Path, own: Path | None = None) -> ssl.SSLContext:
    """Of a client that believes this authority, and is who the folder `own` says (cert.pem, key.pem)."""
    made = ssl.create_default_context(cafile=ca)
    if own is not None:
        made.load_cert_chain(own / "cert.pem", own / "key.pem")
    return made


def take(link: socket.socket, size: int) -> bytes:
    """So many bytes. Raises ConnectionError when the broker ends the connection before."""
    found = b""
    while len(found) < size:
        data = link.recv(size - len(found))
        if not data:
            raise ConnectionError("the broker ended the connection")
        found += data
    return found
