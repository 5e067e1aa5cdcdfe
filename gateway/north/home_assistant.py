"""Announces nodes to Home Assistant at the broker, and takes back what is not wanted any more.

It has a connection of its own, and learns from the nodes' own topics what each measures. What was announced is at the
broker, retained: from there it is known again after a restart. `data_dir` remembers that something was, so that a
gateway which is told to stop announcing takes it back once, and then stays away from the broker.
"""

import asyncio
import logging
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import aiomqtt
from msgspec import Struct

from gateway import files
from gateway.config import NAME, Config
from gateway.detect.plan import Plan
from gateway.errors import Refused
from gateway.ingest.decode import decode_packs, decode_status
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.north import discovery
from gateway.north.discovery import Place
from gateway.north.shown import shown
from gateway.privacy.sums import Key
from gateway.records import NodeView, Pack, Stream
from gateway.steer.link import connect, end_if_cancelled, listen, retained, stay_connected, until_one_ends

log = logging.getLogger(__name__)

MOST_PLACES: Final = 128
"""Of one node; what else it says it measures is not announced."""
FORGOTTEN: Final = b"?"
"""In place of what was announced, where Home Assistant has forgotten it."""
MEMORY: Final = "home-assistant"
"""The file in `data_dir` that holds the prefix below which something was announced."""
TOPIC: Final = re.compile(rf"ganglion/v1/({NAME})/({NAME})/(telemetry|health|status)")
CONFIG: Final = re.compile(rf".*/device/ganglion_({NAME})(?:_({NAME}))?/config")


class _Known(Struct):
    kind: str = ""
    firmware: str = ""
    board: str = ""
    places: set[Place] = set()


class HomeAssistant:
    """Run by the gateway."""

    def __init__(self, config: Config, plan: Plan, journal: JournalAccess) -> None:
        self._config = config
        self._plan = plan
        self._journal = journal
        self._sites = frozenset(config.sites)
        self._name = f"ganglion-north-{config.sites[0]}"
        self._memory = Path(config.data_dir) / MEMORY
        self._known: dict[Key, _Known] = {}
        self._announced: dict[Key, bytes] = {}
        self._changed: set[Key] = set()
        self._news = asyncio.Event()
        self._done = asyncio.Event()
        self._trouble: str | None = None

    async def run(self) -> None:
        """Announce, over every loss of the connection; or take back what was announced, and then do nothing."""
        if self._config.north.home_assistant or self._memory.exists():
            await until_one_ends(
                stay_connected(lambda: connect(self._config.mqtt, self._name), self._work, self._say),
                self._until_done(),
            )
        await asyncio.Event().wait()

    async def _until_done(self) -> None:
        await self._done.wait()

    def _say(self, trouble: str | None) -> None:
        if trouble not in (None, self._trouble):
            log.warning("nodes cannot be announced to Home Assistant: %s", trouble)
        self._trouble = trouble

    async def _work(self, client: aiomqtt.Client) -> None:
        north = self._config.north
        prefix = north.home_assistant_prefix if north.home_assistant else None
        before = self._memory.read_text() if self._memory.exists() else prefix
        if before is not None and before != prefix:
            for key, (topic, payload) in (await self._own(client, before)).items():
                self._relearn(key, payload)
                await client.publish(topic, b"", qos=1, retain=True)
                end_if_cancelled()
        if prefix is None:
            self._memory.unlink(missing_ok=True)
            log.warning("what was announced to Home Assistant is taken back")
            self._done.set()
            await asyncio.Event().wait()
            return
        files.replace(self._memory, prefix.encode())
        await self._recall(client, prefix)
        streams = ("status", "telemetry", "health")
        await listen(client, [f"ganglion/v1/{site}/+/{stream}" for site in self._sites for stream in streams])
        await listen(client, [f"{prefix}/status"])
        end_if_cancelled()
        await until_one_ends(self._listen(client, prefix), self._tell(client, prefix))

    async def _own(self, client: aiomqtt.Client, prefix: str) -> dict[Key, tuple[str, bytes]]:
        """What this gateway has announced below `prefix`: topic and payload."""
        topics = f"{prefix}/device/+/config"
        kept = await retained(client, [topics])
        await client.unsubscribe(topics)
        end_if_cancelled()
        name = discovery.origin(self._config.sites[0])["name"]
        return {
            (match[1], match[2] or ""): (topic, payload)
            for topic, payload in kept.items()
            if (match := CONFIG.fullmatch(topic)) and discovery.heard(payload)[0].get("name") == name
        }

    async def _recall(self, client: aiomqtt.Client, prefix: str) -> None:
        """What is known of nodes from the journal, and from what was announced before."""
        for view in await self._journal.call(Journal.nodes):
            if view.site in self._sites:
                self._learn((view.site, view.node), view.kind, view.firmware, view.board)
        self._announced = {key: payload for key, (_, payload) in (await self._own(client, prefix)).items()}
        for key, payload in self._announced.items():
            self._relearn(key, payload)
        self._changed |= {*self._announced, *self._known, *((site, "") for site in self._sites)}
        self._news.set()

    def _relearn(self, key: Key, payload: bytes) -> None:
        if key[0] in self._sites and key[1]:
            _, kind, places = discovery.heard(payload)
            self._learn(key, kind, places=places)

    def _learn(
        self, key: Key, kind: str = "", firmware: str = "", board: str = "", places: Iterable[Place] = ()
    ) -> None:
        known = self._known.setdefault(key, _Known())
        before = (known.kind, known.firmware, known.board, len(known.places))
        known.kind, known.firmware, known.board = kind or known.kind, firmware or known.firmware, board or known.board
        for place in places:
            if len(known.places) < MOST_PLACES:
                known.places.add(place)
        if (known.kind, known.firmware, known.board, len(known.places)) != before:
            self._changed.add(key)
            self._news.set()

    async def _listen(self, client: aiomqtt.Client, prefix: str) -> None:
        async for message in client.messages:
            topic, payload = str(message.topic), bytes(message.payload)
            if topic == f"{prefix}/status":
                if payload == b"online":  # it has started anew
                    self._changed |= self._announced.keys()
                    self._announced = dict.fromkeys(self._announced, FORGOTTEN)
                    self._news.set()
            elif match := TOPIC.fullmatch(topic):
                site, node, level = match.groups()
                self._hear((site, node), level, payload)

    def _hear(self, key: Key, level: str, payload: bytes) -> None:
        if level == "status":
            try:
                status = decode_status(payload) if payload else None
            except Refused:
                return  # the pipeline makes a dead letter of it
            if status is not None:
                self._learn(key, status.kind, status.firmware, status.board)
            elif self._known.pop(key, None):  # it was taken out of service
                self._changed.add(key)
                self._news.set()
            return
        stream: Stream = "health" if level == "health" else "telemetry"
        kind = self._known[key].kind if key in self._known else ""
        for pack in decode_packs(*key, stream, payload, now=time.time(), kind=kind):
            if isinstance(pack, Pack):
                measured = "" if stream == "health" else pack.measurement
                self._learn(key, measured, places=((pack.measurement, *place) for place in pack.shape.places))

    async def _tell(self, client: aiomqtt.Client, prefix: str) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            changed, self._changed = self._changed, set()
            wanted = self._wanted()
            # Sites first: nodes name them as what they are reached through. And what of it is not wanted any more.
            for key in sorted(
                changed | {key for key in self._announced if key not in wanted}, key=lambda key: key[::-1]
            ):
                payload = self._payload(key) if key in wanted else b""
                if payload == self._announced.get(key, b""):
                    continue
                await client.publish(discovery.topic(prefix, *key), payload, qos=1, retain=True)
                end_if_cancelled()
                if payload:
                    self._announced[key] = payload
                else:
                    self._announced.pop(key, None)

    def _wanted(self) -> set[Key]:
        """The sites, and those nodes of which enough is known and that may be shown."""
        views = [NodeView(site=site, node=node, kind=known.kind) for (site, node), known in self._known.items()]
        if not self._config.north.home_assistant_meters:
            views = list(shown(self._plan, views))
        nodes = {(view.site, view.node) for view in views if view.kind and self._measures(view)}
        return nodes | {(site, "") for site in self._sites}

    def _measures(self, view: NodeView) -> bool:
        return any(place[0] == view.kind for place in self._known[view.site, view.node].places)

    def _payload(self, key: Key) -> bytes:
        config = self._config
        link = config.console.link if config.console is not None else ""
        gateway = config.sites[0]
        if not key[1]:
            homes = config.north.home_assistant_meters
            return discovery.site_announcement(key[0], gateway, link=link, exercise=config.exercise, homes=homes)
        known = self._known[key]
        node = discovery.Node(*key, known.kind, frozenset(known.places), known.firmware, known.board)
        return discovery.announcement(node, gateway, link=link, exercise=config.exercise)
