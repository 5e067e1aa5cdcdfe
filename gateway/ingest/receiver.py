"""The connection to the broker: an MQTT 5 session whose messages are acknowledged by hand.

paho's network thread receives; the event loop takes what has arrived and acknowledges it after the commit. The session
outlives connection and gateway, so what was not acknowledged comes again. At most `RECEIVE_MAXIMUM` messages of a
connection are unacknowledged, and `MOST_WAITING` are kept here, which bounds the memory of everything behind.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from paho.mqtt.client import MQTT_ERR_SUCCESS, Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.config import Mqtt, secret
from gateway.errors import ConfigError

log = logging.getLogger(__name__)

RECEIVE_MAXIMUM: Final = 2048
MAXIMUM_PACKET_SIZE: Final = 32_768
"""Eight times the largest pack: what is too large still becomes a dead letter, but cannot fill the memory."""
SESSION_EXPIRY_SECONDS: Final = 7 * 86_400
"""How long the broker keeps messages for a gateway that is away."""
KEEPALIVE_SECONDS: Final = 30
BACKOFF_SECONDS: Final = (1, 30)
STOP_SECONDS: Final = 5.0
MOST_WAITING: Final = 2 * RECEIVE_MAXIMUM
"""Messages that were not taken yet: those of a connection, and as many of those before it."""
ROOM_SECONDS: Final = 1.0
"""How often one who waits for room looks whether it is all to end."""
STREAMS: Final = ("telemetry", "event", "health", "status")


class Message(NamedTuple):
    """One message as it came."""

    topic: str
    payload: bytes
    retained: bool
    arrived: float
    """`time.monotonic()`, seconds."""
    mid: int
    link: int
    """Which connection brought it: only that one may acknowledge it. 0 when there is nothing to acknowledge."""


class Receiver:
    """Receives for the sites given; also publishes for the gateway, over the same connection."""

    def __init__(self, settings: Mqtt, sites: Sequence[str], retired_sites: Iterable[str] = ()) -> None:
        """`retired_sites` were subscribed to by an earlier configuration. Raises ConfigError on unusable TLS files."""
        self._settings = settings
        self._topics = [f"ganglion/v1/{site}/+/{stream}" for site in sites for stream in STREAMS]
        self._retired = [f"ganglion/v1/{site}/+/{stream}" for site in retired_sites for stream in STREAMS]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived = asyncio.Event()
        self._woken = False
        self._inbox: deque[Message] = deque()
        self._room = threading.Event()
        self._mutex = threading.Lock()
        self._link = 0
        self._connected = self._stopping = False
        self._published: dict[int, asyncio.Future[None]] = {}
        self.trouble: str | None = "not connected to the broker yet"
        """Why nothing is received, in words; None while all is well."""
        # The session belongs to the first site: it stays the same when others join.
        self._client = self._make_client(f"ganglion-gateway-{sites[0]}")

    def _make_client(self, client_id: str) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5, manual_ack=True, reconnect_on_failure=True
        )
        settings = self._settings
        if settings.username:
            client.username_pw_set(settings.username, secret(settings.password_env) or None)
        if settings.ca:
            try:
                client.tls_set(settings.ca, settings.cert or None, settings.key or None)
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"mqtt.ca, mqtt.cert, mqtt.key: {error}; check that the files are PEM and fit"
                ) from error
        client.reconnect_delay_set(*BACKOFF_SECONDS)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_pre_connect = self._on_pre_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    async def run(self) -> None:
        """Connect, and stay connected, on a thread of its own. Raises what that thread died of, if ever it does."""
        self._loop = asyncio.get_running_loop()
        died: asyncio.Future[None] = self._loop.create_future()

        def tell(args: threading.ExceptHookArgs) -> None:
            usual(args)
            self._post(fail, args.exc_value or RuntimeError("a thread died"))

        def fail(error: BaseException) -> None:
            if not died.done():
                died.set_exception(error)

        usual, threading.excepthook = threading.excepthook, tell
        try:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_EXPIRY_SECONDS
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
            properties.MaximumPacketSize = MAXIMUM_PACKET_SIZE
            self._client.connect_async(
                self._settings.host, self._settings.port, KEEPALIVE_SECONDS, clean_start=False, properties=properties
            )
            self._client.loop_start()
            await died
        finally:
            threading.excepthook = usual

    async def stop(self) -> None:
        """Send the acknowledgements given so far, and disconnect. The session stays with the broker."""
        self._stopping = True
        self._client.disconnect()
        stopping = asyncio.create_task(asyncio.to_thread(self._client.loop_stop))
        done, _ = await asyncio.wait({stopping}, timeout=STOP_SECONDS)
        if not done:
            log.warning("the broker did not let go within %g s", STOP_SECONDS)

    async def take(self) -> list[Message]:
        """Everything that has arrived, oldest first; waits for the first."""
        await self._arrived.wait()
        return self.take_now()

    def take_now(self) -> list[Message]:
        """Everything that has arrived by now."""
        self._arrived.clear()
        self._woken = False  # before looking: what comes after this line wakes us again
        messages = []
        while self._inbox:
            messages.append(self._inbox.popleft())
        self._room.set()
        return messages

    def acknowledge(self, messages: Iterable[Message]) -> None:
        """Tell the broker that these are on disk. Those of an earlier connection will come again, and are left."""
        with self._mutex:
            for message in messages:
                if message.link == self._link:
                    self._client.ack(message.mid, 1)

    async def publish(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Publish at QoS 1; returns once the broker has acknowledged. Raises ConnectionError when the link is lost."""
        if not self._connected:
            raise ConnectionError("no connection to the broker")
        info = self._client.publish(topic, payload, 1, retained)
        if info.rc != MQTT_ERR_SUCCESS:
            raise ConnectionError(f"the connection to the broker is lost: {info.rc}")
        done = self._published[info.mid] = asyncio.get_running_loop().create_future()
        try:
            await done
        finally:
            self._published.pop(info.mid, None)

    # What follows runs on paho's thread. An exception would end that thread, and with it the gateway: see `run`.

    def _post(self, callback: Any, *args: object) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *args)

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "(not UTF-8)"
        # A connection brings at most RECEIVE_MAXIMUM, or so it was agreed: a broker that comes back sends more. Nothing
        # may be dropped here, as a broker that died may not have it any more; so the reading stops.
        while len(self._inbox) >= MOST_WAITING and not self._stopping:
            self._room.clear()
            if len(self._inbox) >= MOST_WAITING:
                self._room.wait(ROOM_SECONDS)
        link = self._link if message.qos else 0
        self._inbox.append(Message(topic, bytes(message.payload), message.retain, time.monotonic(), message.mid, link))
        if not self._woken:
            self._woken = True
            self._post(self._arrived.set)

    def _on_connect(
        self, client: Client, userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._say(f"the broker refused the connection: {reason}")
            return
        with self._mutex:
            self._link += 1
        client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in self._topics])
        if self._retired:
            client.unsubscribe(self._retired)
        self._connected = True
        self.trouble = None
        log.info("connected to the broker, %s", "session resumed" if flags.session_present else "new session")

    def _on_subscribe(
        self, client: Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        refused = [
            f"{topic} ({reason})" for topic, reason in zip(self._topics, reasons, strict=False) if reason.is_failure
        ]
        if refused:
            self._say(f"the broker refused to subscribe {', '.join(refused)}: allow them for this gateway")

    def _on_pre_connect(self, client: Client, userdata: object) -> None:
        self._unlink()

    def _on_connect_fail(self, client: Client, userdata: object) -> None:
        self._say(f"no broker answers at {self._settings.host}:{self._settings.port}")

    def _on_disconnect(
        self,
        client: Client,
        userdata: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._connected and not self._stopping:
            self._say(f"the connection to the broker is lost: {reason}")
        self._unlink()
        self._post(self._fail_publishing)

    def _on_publish(
        self, client: Client, userdata: object, mid: int, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._post(self._finish_publishing, mid)

    def _unlink(self) -> None:
        """From here on no message in hand may be acknowledged: its identifier means nothing to the next connection."""
        with self._mutex:
            self._link += 1
            self._connected = False

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.warning("%s", trouble)
        self.trouble = trouble

    # On the event loop again.

    def _finish_publishing(self, mid: int) -> None:
        done = self._published.get(mid)
        if done is not None and not done.done():
            done.set_result(None)

    def _fail_publishing(self) -> None:
        for done in self._published.values():
            if not done.done():
                done.set_exception(ConnectionError("the connection to the broker is lost"))
