"""Who the node's MQTT client talks with: a broker's other client, and a peer that says what a test wants it to say."""

import queue
import socket
import textwrap
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.firmware.board import SECONDS

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ, DISCONNECT = 0x10, 0x30, 0x40, 0x80, 0xC0, 0xE0
CONNACK_NEW, CONNACK_RESUMED = b"\x20\x02\x00\x00", b"\x20\x02\x01\x00"

_PROGRAM = """
import asyncio
from node import mqtt
client = mqtt.Client("127.0.0.1", {port}, "riverside/air-1"{options})
acked = []
def on_ack(number):
    acked.append(number)
def on_message(topic, payload):
    print("message", topic, len(payload), str(payload[:20], "utf-8"))
client.on_ack, client.on_message = on_ack, on_message
async def until(condition):
    while not condition():
        await asyncio.sleep_ms(2)
def exists(path):
    import os
    try:
        return bool(os.stat(path))
    except OSError:
        return False
async def main():
{body}
asyncio.run(main())
"""


def client_program(port: int, *parts: str, options: str = "") -> str:
    """A program for a board that has a `client` of this port, and runs the parts one after another as a coroutine."""
    body = textwrap.indent("\n".join(textwrap.dedent(part) for part in parts), "    ")
    return _PROGRAM.format(port=port, options=f", {options}" if options else "", body=body)


class Heard(NamedTuple):
    """A message as a broker's other client received it."""

    topic: str
    payload: bytes
    retain: bool


class Subscriber:
    """Another client of a broker, which keeps what it hears."""

    def __init__(self, port: int, topic: str = "#", tls: tuple[str, str, str] | None = None) -> None:
        """`tls` are the files of the authority, and of its own certificate and key."""
        self._heard: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        granted: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._client = Client(CallbackAPIVersion.VERSION2)
        if tls is not None:
            self._client.tls_set(*tls)
        self._client.on_message = self._take
        self._client.on_subscribe = lambda *arguments: granted.put(arguments)
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(topic, 1)
        self._client.loop_start()
        granted.get(timeout=SECONDS)

    def _take(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self._heard.put(Heard(message.topic, bytes(message.payload), message.retain))

    def next(self) -> Heard:
        return self._heard.get(timeout=SECONDS)

    def payloads(self, number: int) -> list[bytes]:
        """Of the next so many messages."""
        return [self.next().payload for _ in range(number)]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """At QoS 1; returns when the broker has it."""
        self._client.publish(topic, payload, 1, retain).wait_for_publish(SECONDS)

    def nothing_more(self) -> bool:
        """Whether nothing was heard but a message that is sent now: the broker keeps the order."""
        self.publish("test/marker", b"")
        return self.next().topic == "test/marker"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Packet(NamedTuple):
    """An MQTT control packet: its first byte, and all that follows the length."""

    first: int
    body: bytes

    @property
    def kind(self) -> int:
        return self.first & 0xF0

    @property
    def dup(self) -> bool:
        return bool(self.first & 8)

    @property
    def topic(self) -> str:
        return self.body[2 : 2 + int.from_bytes(self.body[:2], "big")].decode()

    @property
    def packet_id(self) -> int:
        """Of a PUBLISH at QoS 1."""
        at = 2 + len(self.topic)
        return int.from_bytes(self.body[at : at + 2], "big")

    @property
    def payload(self) -> bytes:
        """Of a PUBLISH at QoS 1."""
        return self.body[4 + len(self.topic) :]


class Link:
    """The far end of a connection that the node has opened."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(SECONDS)

    def packet(self) -> Packet:
        """The next packet of the node. Raises EOFError when it hangs up."""
        first = self._exactly(1)[0]
        size = shift = 0
        while True:
            byte = self._exactly(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return Packet(first, self._exactly(size))

    def _exactly(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def session(self, connack: bytes = CONNACK_NEW) -> Packet:
        """Take the CONNECT, answer it; the CONNECT."""
        connect = self.packet()
        assert connect.kind == CONNECT
        self.sock.sendall(connack)
        return connect

    def publish(self) -> Packet:
        """The next PUBLISH; what the node says else is passed over."""
        while (packet := self.packet()).kind != PUBLISH:
            pass
        return packet

    def acknowledge(self, packet: Packet) -> None:
        self.sock.sendall(b"\x40\x02" + packet.packet_id.to_bytes(2, "big"))


class Listener:
    """A port that the node takes for its broker's."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(SECONDS)
        self.port: int = self._socket.getsockname()[1]
        self._links: list[socket.socket] = []

    def accept(self) -> Link:
        sock, _ = self._socket.accept()
        self._links.append(sock)
        return Link(sock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in [self._socket, *self._links]:
            each.close()


def tell(folder: Path, name: str) -> None:
    """What a program waits for with `exists(name)`."""
    (folder / name).touch()
