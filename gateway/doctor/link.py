"""A short connection to the broker with the gateway's identity and a client id of its own."""

import queue
import secrets
import time
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.config import Config
from gateway.errors import GanglionError
from gateway.ingest.receiver import MAXIMUM_PACKET_SIZE, SESSION_EXPIRY_SECONDS
from gateway.secret import secret_of

ANSWER_SECONDS: Final = 2.0
MOST_MESSAGES: Final = 50_000
"""Kept of one connection; what comes beyond is dropped: nothing here is acknowledged for anybody else."""


class LinkError(GanglionError):
    """No connection, or the broker has ended it."""

    def __init__(self, message: str, reason: int | None = None) -> None:
        """`reason` is the broker's reason code of MQTT 5, if it gave one."""
        super().__init__(message)
        self.reason = reason


class Answer(NamedTuple):
    """One of the broker's packets."""

    kind: str
    """`connack`, `suback`, `puback`, `gone`."""
    mid: int
    reasons: list[Any]


class Link:
    """Entered with `with`, which waits for the broker's word. Raises LinkError, OSError and ConfigError."""

    def __init__(self, config: Config, *, keeps_session: bool = False) -> None:
        """With `keeps_session` a session that the broker has under this client id is found and left as it is."""
        self._settings = config.mqtt
        self._keeps = keeps_session
        self._answers: queue.Queue[Answer] = queue.Queue()
        self.messages: list[tuple[str, bytes, bool]] = []
        """(topic, payload, retained) in the order of arrival."""
        self.session_present = False
        self.limits: dict[str, Any] = {}
        """The properties of its CONNACK by name."""
        # Not acknowledged by itself: should this be somebody's session, its messages must stay there.
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            f"ganglion-doctor-{secrets.token_hex(6)}",
            protocol=MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        mqtt = self._settings
        if mqtt.username:
            self.client.username_pw_set(mqtt.username, secret_of(mqtt, "password") or None)
        if mqtt.ca:
            self.client.tls_set(mqtt.ca, mqtt.cert or None, mqtt.key or None)
        self.client.connect_timeout = ANSWER_SECONDS
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = lambda *a: self._answers.put(Answer("gone", 0, [a[3]]))
        self.client.on_subscribe = lambda *a: self._answers.put(Answer("suback", a[2], list(a[3])))
        self.client.on_publish = lambda *a: self._answers.put(Answer("puback", a[2], [a[3]]))
        self.client.on_message = self._on_message

    def __enter__(self) -> Self:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = MAXIMUM_PACKET_SIZE
        if self._keeps:
            properties.SessionExpiryInterval = SESSION_EXPIRY_SECONDS
            properties.ReceiveMaximum = 1
        try:
            self.client.connect(
                self._settings.host, self._settings.port, clean_start=not self._keeps, properties=properties
            )
            self.client.loop_start()
            answer = self.wait("connack", 0)
            if answer.reasons[0].is_failure:
                raise LinkError(f"the broker refused the connection: {answer.reasons[0]}", answer.reasons[0].value)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
        if self._keeps:
            properties.SessionExpiryInterval = SESSION_EXPIRY_SECONDS if self.session_present else 0
        self.client.disconnect(properties=properties)
        self._end()

    def _end(self) -> None:
        self.client.loop_stop()
        # The client closes its own sockets when nobody knows it any more: what it calls knows it.
        self.client.on_connect = self.client.on_disconnect = self.client.on_message = None
        self.client.on_subscribe = self.client.on_publish = None

    def wait(self, kind: str, mid: int, seconds: float = ANSWER_SECONDS) -> Answer:
        """The broker's answer of this kind to this packet. Raises LinkError when it does not come in time."""
        deadline = time.monotonic() + seconds
        put_back: list[Answer] = []
        try:
            while True:
                answer = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
                if (answer.kind, answer.mid) == (kind, mid):
                    return answer
                if answer.kind == "gone":
                    raise LinkError(f"the broker ended the connection: {answer.reasons[0]}")
                put_back.append(answer)
        except queue.Empty:
            raise LinkError(f"the broker gave no {kind.upper()} within {seconds:g} s") from None
        finally:
            for each in put_back:
                self._answers.put(each)

    def _on_connect(self, client: Client, userdata: object, flags: Any, reason: Any, properties: Any) -> None:
        self.session_present = flags.session_present
        self.limits = {} if properties is None else properties.json()
        self._answers.put(Answer("connack", 0, [reason]))

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        if len(self.messages) < MOST_MESSAGES:
            self.messages.append((message.topic, bytes(message.payload), message.retain))
