"""One connection to the broker, from its CONNECT to its end."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, cast

from gateway.ingest import wire
from gateway.ingest.reasons import FAILURE, reason_words
from gateway.ingest.wire import Connack, Control, Disconnect, Message, Suback

log = logging.getLogger(__name__)

SUBSCRIBE_MID: Final = 1
UNSUBSCRIBE_MID: Final = 2
TICKS: Final = 8
"""Looks at the clock per keepalive."""
SILENT: Final = 1.25
"""Keepalives without a word from the broker after which the connection is given up: noticed before 1.5 are over."""


class Link(asyncio.Protocol):
    """Reports trouble by `say` in words, None when all topics are granted; hands messages to `deliver`, with the time
    of their arrival (`time.monotonic()`), which tells whether there is room for more."""

    def __init__(
        self,
        hello: bytes,
        topics: Sequence[str],
        retired: Sequence[str],
        *,
        keepalive: float,
        maximum_packet_size: int,
        deliver: Callable[[list[Message], float], bool],
        say: Callable[[str | None], None],
    ) -> None:
        """`hello` is the CONNECT; `retired` are topics to unsubscribe; `keepalive` in seconds is that of `hello`."""
        self._hello = hello
        self._wanted = list(topics)  # and not granted yet
        self._retired = retired
        self._keepalive = keepalive
        self._deliver = deliver
        self._say = say
        self._feed = wire.Parser(maximum_packet_size).feed
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._ended = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard = self._spoken = self._asked = 0.0
        self._connected = self._leaving = self._asking = False
        self._no_room = self._clogged = False
        self._why: str | None = None

    async def wait_ended(self) -> None:
        await asyncio.shield(self._ended)

    def acknowledge(self, mids: Sequence[int]) -> None:
        if mids and self._transport is not None and not self._leaving:
            self._write(wire.encode_pubacks(mids))

    def hold(self, no_room: bool) -> None:
        """Do not read on, or do again, because of those behind."""
        self._no_room = no_room
        self._read_or_not()

    def leave(self) -> None:
        """Its end is meant, and nothing to tell of."""
        self._leaving = True

    async def disconnect(self, seconds: float) -> bool:
        """Say good-bye, and wait for the broker to close; whether it did so within `seconds`.

        Until then what still comes is read: to close before would reset the connection, and the broker might never
        see the acknowledgements on their way.
        """
        if self._transport is None:
            return True
        self.leave()
        self._write(wire.DISCONNECT)
        self._no_room = self._clogged = False
        self._read_or_not()
        done, _ = await asyncio.wait({self._ended}, timeout=seconds)
        if not done:
            self._transport.abort()
        return bool(done)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._heard = self._now()
        self._write(self._hello)
        self._look()

    def data_received(self, data: bytes) -> None:
        now = self._heard = self._now()
        if self._why is not None:
            return
        try:
            messages, controls = self._feed(data)
        except wire.ProtocolError as error:
            self._give_up(f"the broker cannot be understood: {error}")
            return
        for control in controls:
            self._hear(control)
        if messages and self._why is None:
            if not self._connected:
                self._give_up("the broker cannot be understood: messages before CONNACK")
            elif not self._deliver(messages, now) and not self._leaving:
                self.hold(True)

    def pause_writing(self) -> None:
        self._clogged = True
        self._read_or_not()

    def resume_writing(self) -> None:
        self._clogged = False
        self._read_or_not()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        if not self._leaving:
            self._say(self._why or f"the connection to the broker is lost: {exc or 'the broker closed it'}")
        if not self._ended.done():
            self._ended.set_result(None)

    # The rest.

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
            self._spoken = self._now()

    def _read_or_not(self) -> None:
        if self._transport is None:
            return
        if self._no_room or self._clogged:
            self._transport.pause_reading()
        elif not self._transport.is_reading():
            self._transport.resume_reading()
            self._heard = self._now()  # who does not listen cannot tell for how long the other was silent

    def _give_up(self, why: str) -> None:
        self._why = self._why or why
        if self._transport is not None:
            self._transport.abort()

    def _look(self) -> None:
        """Every now and then: is the broker still there, and does it know that we are?"""
        now, keepalive = self._now(), self._keepalive
        reads = not (self._no_room or self._clogged)
        if reads and now - self._heard > SILENT * keepalive:
            self._give_up(f"the connection to the broker is lost: nothing was heard for {now - self._heard:.0f} s")
            return
        if self._connected and now - min(self._spoken, self._heard if reads else now) > keepalive / 2:
            self._write(wire.PINGREQ)
        if self._connected and self._wanted and not self._asking and now - self._asked > keepalive:
            self._subscribe()  # what was refused: somebody may have been given rights
        self._timer = self._loop.call_later(keepalive / TICKS, self._look)

    def _hear(self, control: Control) -> None:
        match control:
            case Connack():
                self._on_connack(control)
            case _ if not self._connected:
                self._give_up("the broker cannot be understood: it does not begin with CONNACK")
            case Suback():
                self._on_suback(control)
            case Disconnect(reason, said):
                self._why = self._why or f"the broker ended the connection: {reason_words(reason, said)}"

    def _on_connack(self, connack: Connack) -> None:
        if self._connected:
            self._give_up("the broker cannot be understood: a second CONNACK")
        elif connack.reason >= FAILURE:
            self._give_up(f"the broker refused the connection: {reason_words(connack.reason, connack.said)}")
        else:
            self._connected = True
            log.info("connected to the broker, %s", "session resumed" if connack.session_present else "new session")
            self._keepalive = connack.server_keep_alive or self._keepalive
            self._subscribe()
            if self._retired:
                self._write(wire.encode_unsubscribe(UNSUBSCRIBE_MID, self._retired))

    def _subscribe(self) -> None:
        self._asked, self._asking = self._now(), True
        self._write(wire.encode_subscribe(SUBSCRIBE_MID, self._wanted))

    def _on_suback(self, suback: Suback) -> None:
        """Of a topic that was granted at another QoS than 1, messages would be lost: so it counts as refused."""
        self._asking = False
        if len(suback.reasons) != len(self._wanted):
            self._give_up("the broker cannot be understood: it does not answer for each topic")
            return
        refused = [(topic, reason) for topic, reason in zip(self._wanted, suback.reasons, strict=True) if reason != 1]
        if refused:
            words = ", ".join(f"{topic} ({reason_words(reason, suback.said)})" for topic, reason in refused)
            self._say(f"the broker refused to subscribe {words}: allow them for this gateway")
        else:
            self._say(None)
        self._wanted = [topic for topic, _ in refused]
