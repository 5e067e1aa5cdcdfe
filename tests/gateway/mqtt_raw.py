"""MQTT byte by byte, over TLS or in the open: for who does what no library lets one do."""

import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bench.wire import hello, packet, text, trust

SECONDS = 10.0
CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xD0


def subscribe(topic: str, number: int = 1) -> bytes:
    """At QoS 1."""
    return packet(0x82, number.to_bytes(2, "big") + text(topic) + b"\x01")


def context(ca: Path, identity: Path | None = None) -> ssl.SSLContext:
    """For one with the certificate of this folder, or without any. Only TLS 1.2: a refusal comes in the handshake."""
    made = trust(ca, identity)
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    return made


class Peer:
    """A connection to a broker at 127.0.0.1. What ends it is `None` to who reads."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None) -> None:
        """Raises OSError (ssl.SSLError is one) when there is no connection."""
        self.sock = socket.create_connection(("127.0.0.1", port), SECONDS)
        if tls is not None:
            try:
                self.sock = tls.wrap_socket(self.sock, server_hostname="localhost", session=session)
            except OSError:
                self.sock.close()
                raise

    def send(self, data: bytes) -> Self:
        """Raises OSError when the broker has hung up."""
        self.sock.sendall(data)
        return self

    def read(self) -> tuple[int, bytes] | None:
        """The next packet's first byte and body. Raises TimeoutError."""
        first = self._exactly(1)
        length = shift = 0
        while first:
            (byte,) = self._exactly(1) or b"\0"
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        body = self._exactly(length)
        return None if not first or body is None else (first[0], body)

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                more = self.sock.recv(count - len(data))
            except (ConnectionError, ssl.SSLError):
                return None
            if not more:
                return None
            data += more
        return data

    def enter(self, client: str, *, clean: bool = True) -> Self:
        """CONNECT, accepted."""
        self.send(hello(client, 60, clean=clean))
        answer = self.read()
        assert answer in ((CONNACK, b"\x00\x00"), (CONNACK, b"\x01\x00")), answer
        return self

    def message(self) -> tuple[str, bytes]:
        """The next PUBLISH, acknowledged: topic and payload. Raises AssertionError when something else comes."""
        heard = self.read() or (0, b"")
        assert heard[0] & 0xF0 == PUBLISH, heard
        end = 2 + int.from_bytes(heard[1][:2], "big")
        topic = heard[1][2:end].decode()
        if not heard[0] & 6:
            return topic, heard[1][end:]
        self.send(packet(PUBACK, heard[1][end : end + 2]))
        return topic, heard[1][end + 2 :]

    def silent(self) -> bool:
        """Whether the broker answers a ping, and said nothing before: it keeps the order."""
        try:
            return self.send(b"\xc0\x00").read() == (PINGRESP, b"")
        except (ConnectionError, ssl.SSLError):
            return False

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
