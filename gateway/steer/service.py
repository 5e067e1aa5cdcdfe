"""The part of the gateway that steers nodes; so far it tells the time to those that nobody else tells it.

It has a connection of its own, with a session that ends with it: a question that went astray is asked again, so it must
neither wait behind packs nor be kept for later; and while a full journal acknowledges nothing, nodes still learn the
time. Commands go out at QoS 0: a correction that comes late, or twice, is worse than none.
"""

import asyncio
import contextlib
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import aiomqtt
import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.config import NAME, Mqtt
from gateway.errors import JournalFull, Refused
from gateway.ingest.decode import decode_status
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.steer.clock import Clocks, Key, Reply
from gateway.steer.link import connect, end_if_cancelled, listen, stay_connected, until_one_ends

log = logging.getLogger(__name__)

LEVELS: Final = ("status", "reply", "config/reported")
TOPIC: Final = re.compile(rf"ganglion/v1/({NAME})/({NAME})/({'|'.join(LEVELS)})")
SAVE_SECONDS: Final = 1.0
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Taken(Struct):
    ntp: str | UnsetType | None = UNSET
    """Left out where the node goes by what it came with, which nobody here knows."""


class _Reported(Struct):
    taken: _Taken


class Steer:
    """Run by the gateway."""

    def __init__(
        self,
        settings: Mqtt,
        sites: Sequence[str],
        journal: JournalAccess,
        expect: Callable[[bytes], None] = lambda payload: None,
    ) -> None:
        """`expect` is told each command just before it is given."""
        self._expect = expect
        self._settings = settings
        self._sites = frozenset(sites)
        self._topics = [f"ganglion/v1/{site}/+/{level}" for site in sites for level in LEVELS]
        self._name = f"ganglion-steer-{sites[0]}"
        self._journal = journal
        self._news = asyncio.Event()
        self._trouble: str | None = None
        self._clocks = Clocks()
        self._hear = {"status": self._status, "reply": self._reply, "config/reported": self._reported}

    async def run(self) -> None:
        """Steer, over every loss of the connection."""
        known = await self._journal.call(Journal.nodes)
        guided = [(view.site, view.node) for view in known if view.guided and view.site in self._sites]
        self._clocks = Clocks(guided, f"time-{secrets.token_hex(4)}")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._stay_connected())
                group.create_task(self._save())
        finally:
            with contextlib.suppress(JournalFull):  # by `call` it would hold the end for ever
                await self._save_now(self._journal.attempt)

    async def _stay_connected(self) -> None:
        await stay_connected(lambda: connect(self._settings, self._name), self._work, self._say)

    async def _work(self, client: aiomqtt.Client) -> None:
        try:
            await listen(client, self._topics)
            end_if_cancelled()
            await until_one_ends(self._listen(client), self._ask(client))
        finally:
            self._clocks.disconnected(time.monotonic())

    def _say(self, trouble: str | None) -> None:
        if trouble not in (None, self._trouble):
            log.warning("nodes cannot be told the time: %s", trouble)
        self._trouble = trouble

    async def _ask(self, client: aiomqtt.Client) -> None:
        while True:
            self._news.clear()
            order, wait = self._clocks.next(time.monotonic(), _wall_ms())
            if order is not None:
                site, node = order.key
                self._expect(order.payload)
                await client.publish(f"ganglion/v1/{site}/{node}/command", order.payload, qos=0)
                end_if_cancelled()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(wait, 3600.0)):
                    await self._news.wait()

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            match = TOPIC.fullmatch(str(message.topic))
            if match is not None:
                site, node, level = match.groups()
                self._hear[level]((site, node), bytes(message.payload))
                self._news.set()

    def _status(self, key: Key, payload: bytes) -> None:
        try:
            status = decode_status(payload) if payload else None
        except Refused:
            return  # the pipeline makes a dead letter of it
        if status is not None and status.online:
            self._clocks.born(key, status.clock, time.monotonic())
        else:
            self._clocks.gone(key)

    def _reply(self, key: Key, payload: bytes) -> None:
        with contextlib.suppress(*UNREADABLE):
            reply = msgspec.json.decode(payload, type=Reply)
            said = self._clocks.answered(key, reply, time.monotonic(), _wall_ms())
            if said is not None:
                log.info("the clock of %s: it %s", "/".join(key), said)

    def _reported(self, key: Key, payload: bytes) -> None:
        with contextlib.suppress(*UNREADABLE):
            reported = msgspec.json.decode(payload, type=_Reported)
            if reported.taken.ntp is not UNSET:
                self._clocks.reported(key, bool(reported.taken.ntp), time.monotonic())

    async def _save(self) -> None:
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await self._save_now(self._journal.call)

    async def _save_now(self, call: Callable[..., Awaitable[None]]) -> None:
        """A gateway that starts anew must go on with those whose clocks it keeps: they know the time by then."""
        changed, self._clocks.changed = self._clocks.changed, {}
        if not changed:
            return
        try:
            await call(Journal.guide, [(*key, guided) for key, guided in changed.items()])
        except asyncio.CancelledError:  # while the journal was full
            self._clocks.changed = changed | self._clocks.changed
            raise


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
