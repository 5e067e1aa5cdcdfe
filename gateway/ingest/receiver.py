"""The connection to the broker: an MQTT 5 session whose messages are acknowledged by hand.

All of it runs in the event loop. What one read of the socket brings is one chunk; the pipeline takes the chunks that
have gathered and acknowledges them after the commit. The session outlives connection and gateway, so what was not
acknowledged comes again. At most `RECEIVE_MAXIMUM` messages of a connection are unacknowledged, and reading stops when
`MOST_WAITING` were not taken yet, which bounds the memory of everything behind.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from random import Random
from typing import Final, NamedTuple

from gateway.backoff import BROKER_SECONDS, backoff
from gateway.config import Mqtt
from gateway.errors import ConfigError
from gateway.ingest.link import Link
from gateway.ingest.wire import Message, encode_connect
from gateway.secret import secret_of

log = logging.getLogger(__name__)

RECEIVE_MAXIMUM: Final = 2048
MAXIMUM_PACKET_SIZE: Final = 32_768
"""Eight times the largest pack: what is too large still becomes a dead letter, but cannot fill the memory."""
SESSION_EXPIRY_SECONDS: Final = 7 * 86_400
"""How long the broker keeps messages for a gateway that is away."""
KEEPALIVE_SECONDS: Final = 30
CONNECT_SECONDS: Final = 10.0
"""For the TCP connection and the TLS handshake."""
STOP_SECONDS: Final = 5.0
MOST_WAITING: Final = 2 * RECEIVE_MAXIMUM
"""Messages that were not taken yet: those of a connection, and as many of those before it. What one read brings may go
over it. A broker that comes back sends more than was agreed, and nothing may be dropped: so the reading stops."""
STREAMS: Final = ("telemetry", "event", "health", "status")


class Chunk(NamedTuple):
    """What came at once."""

    link: int
    """Which connection brought it: only that one may acknowledge it."""
    arrived: float
    """`time.monotonic()`, seconds."""
    messages: list[Message]


class Receiver:
    """Receives for the sites given."""

    def __init__(self, settings: Mqtt, sites: Sequence[str], retired_sites: Iterable[str] = ()) -> None:
        """`retired_sites` were subscribed to by an earlier configuration.

        Raises ConfigError on unusable TLS files, and when the password is not set.
        """
        self._settings = settings
        self._topics = [f"ganglion/v1/{site}/+/{stream}" for site in sites for stream in STREAMS]
        self._retired = [f"ganglion/v1/{site}/+/{stream}" for site in retired_sites for stream in STREAMS]
        self._tls = tls_context(settings) if settings.ca else None
        self._hello = encode_connect(
            # The session belongs to the first site: it stays the same when others join.
            f"ganglion-gateway-{sites[0]}",
            keepalive=KEEPALIVE_SECONDS,
            session_expiry=SESSION_EXPIRY_SECONDS,
            receive_maximum=RECEIVE_MAXIMUM,
            maximum_packet_size=MAXIMUM_PACKET_SIZE,
            username=settings.username,
            password=secret_of(settings, "password") if settings.username else "",
        )
        self._chunks: list[Chunk] = []
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._link: Link | None = None
        self._number = 0
        self._stopping = False
        self.trouble: str | None = "not connected to the broker yet"
        """Why nothing, or not all, is received, in words; None while all is well."""

    async def run(self) -> None:
        """Connect, and stay connected. Cancelled, it leaves the connection to `stop`: there may be more to say."""
        dice = Random()
        failures = 0
        while not self._stopping:
            began = time.monotonic()
            await self._receive_once()
            failures = 1 if time.monotonic() - began > BROKER_SECONDS[1] else failures + 1
            await asyncio.sleep(backoff(failures, *BROKER_SECONDS, dice))

    async def _receive_once(self) -> None:
        """Over one connection, until it ends."""
        self._number += 1
        link = Link(
            self._hello,
            self._topics,
            self._retired,
            keepalive=KEEPALIVE_SECONDS,
            maximum_packet_size=MAXIMUM_PACKET_SIZE,
            deliver=self._deliver,
            say=self._say,
        )
        host, port = self._settings.host, self._settings.port
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().create_connection(lambda: link, host, port, ssl=self._tls)
        except asyncio.CancelledError:
            link.leave()
            raise
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that cannot be one
            link.leave()  # what its end says comes later, and is not about the next connection
            self._say(_unreachable(error, host, port))
            return
        self._link = link
        await link.wait_ended()
        self._link = None

    async def stop(self) -> None:
        """Send the acknowledgements given so far, and disconnect. The session stays with the broker."""
        self._stopping = True
        link, self._link = self._link, None
        if link is not None and not await link.disconnect(STOP_SECONDS):
            log.warning("the broker did not let go within %g s", STOP_SECONDS)

    async def take(self) -> list[Chunk]:
        """Everything that has arrived, oldest first; waits for the first."""
        await self._arrived.wait()
        return self.take_now()

    def take_now(self) -> list[Chunk]:
        """Everything that has arrived by now."""
        self._arrived.clear()
        chunks, self._chunks = self._chunks, []
        if self._waiting >= MOST_WAITING and self._link is not None:
            self._link.hold(False)
        self._waiting = 0
        return chunks

    def acknowledge(self, chunks: Iterable[Chunk]) -> None:
        """Tell the broker that these are on disk. Those of an earlier connection will come again, and are left."""
        if self._link is not None:
            number = self._number
            self._link.acknowledge(
                [message[2] for chunk in chunks if chunk.link == number for message in chunk.messages if message[2]]
            )

    def _deliver(self, messages: list[Message], arrived: float) -> bool:
        """Take what came; whether there is room for more. The link is told later when there is again."""
        if self._stopping:
            return True  # and forgotten: it was not acknowledged
        self._chunks.append(Chunk(self._number, arrived, messages))
        self._waiting += len(messages)
        self._arrived.set()
        return self._waiting < MOST_WAITING

    def _say(self, trouble: str | None) -> None:
        if trouble != self.trouble and not self._stopping:
            if trouble is not None:
                log.warning("%s", trouble)
            self.trouble = trouble


def tls_context(settings: Mqtt) -> ssl.SSLContext:
    """What `ca`, `cert` and `key` come to. Raises ConfigError when they cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(settings.ca)
        if settings.cert:
            # An empty password: a key that needs one is refused instead of asked for at a terminal that nobody sees.
            context.load_cert_chain(settings.cert, settings.key or None, password="")
    except (OSError, ValueError) as error:
        raise ConfigError(f"mqtt.ca, mqtt.cert, mqtt.key: {error}; check that the files are PEM and fit") from error
    return context


def _unreachable(error: Exception, host: str, port: int) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"the broker at {host}:{port} is not who mqtt.ca says: {error.verify_message}"
        case ssl.SSLError():
            return f"the broker at {host}:{port} and this gateway find no common TLS: {error}"
        case socket.gaierror():
            return f"the name of the broker, {host}, is not known: {error.strerror}"
        case UnicodeError():
            return f"the name of the broker, {host}, is not known: {error}"
    return f"no broker answers at {host}:{port}"
