"""Who publishes what no library would: one connection at QoS 1, and another when the broker has ended it."""

from tests.bench import wire

WINDOW = 50
"""Messages that are not acknowledged yet, at most."""


class Sender:
    """Publishes whatever it is given, also what makes the broker end the connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._link = wire.connect(port, "fuzz")
        self._number = 0
        self._owed = 0
        self.refused = 0
        """Messages at which the broker ended the connection."""

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def send(self, topic: bytes, payload: bytes) -> None:
        """To be acknowledged some time before `flush` returns."""
        self._link.sendall(wire.publish(topic, payload, self._next()))
        self._owed += 1
        if self._owed == WINDOW:
            self.flush()

    def flush(self) -> None:
        wire.take(self._link, wire.PUBACK_BYTES * self._owed)
        self._owed = 0

    def try_alone(self, topic: bytes, payload: bytes) -> bool:
        """Whether the broker takes it. If not it ends this connection, and there is another."""
        self.flush()
        try:
            # Some it acknowledges, and then ends the connection: what is answered afterwards shows that it is alive.
            self._link.sendall(wire.publish(topic, payload, self._next()) + wire.PINGREQ)
            wire.take(self._link, wire.PUBACK_BYTES + len(wire.PINGRESP))
        except ConnectionError:
            self._link.close()
            self._link = wire.connect(self._port, "fuzz")
            self.refused += 1
            return False
        return True

    def _next(self) -> int:
        self._number = self._number % 65_535 + 1
        return self._number


def plain(topic: bytes) -> bool:
    """A topic that no broker has a reason to refuse."""
    return (
        not topic.startswith(b"$")
        and topic != b""
        and all(32 < byte < 127 and byte not in b"+#" for byte in topic)
        and topic.count(b"/") < 100
    )
