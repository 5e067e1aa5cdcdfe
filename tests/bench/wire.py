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


def text(data: bytes) -> bytes:
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


def publish(topic: bytes, payload: bytes, number: int, *, retained: bool = False) -> bytes:
    """At QoS 1; `number` is from 1 to 65535."""
    return packet(0x33 if retained else 0x32, text(topic) + number.to_bytes(2, "big") + payload)


def connect(
    port: int, client: str, will: tuple[bytes, bytes] | None = None, trust: ssl.SSLContext | None = None
) -> socket.socket:
    """A clean session without keepalive at a broker of this machine; `will` is (topic, payload), retained, at QoS 1.

    With `trust` over TLS. Raises OSError, also when the broker does not accept it.
    """
    flags, more = 0x02, b""
    if will is not None:
        flags, more = flags | 0x2C, text(will[0]) + text(will[1])
    link = socket.create_connection((HOST, port), timeout=TURN_S)
    try:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if trust is not None:
            link = trust.wrap_socket(link, server_hostname=HOST)
        link.sendall(packet(0x10, text(b"MQTT") + bytes((4, flags, 0, 0)) + text(client.encode()) + more))
        if (said := take(link, len(ACCEPTED))) != ACCEPTED:
            raise ConnectionError(f"the broker at port {port} answered {said.hex()} to {client}")
    except BaseException:
        link.close()
        raise
    return link


def trust(ca: Path, own: Path) -> ssl.SSLContext:
    """Of a client that believes this authority, and is who the folder `own` says (cert.pem, key.pem)."""
    made = ssl.create_default_context(cafile=ca)
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
