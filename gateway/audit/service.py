"""The gateway's ear and mouth for the log: it hears what is said to nodes, whoever says it, and tells the log's head.

A message to a node that nobody asked for here is written down as `command.unasked`, `config.unasked` or
`update.unasked`; one that the broker had kept from a time when nobody heard, as `config.found` or `update.found`.
"""

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiomqtt
import msgspec

from gateway.audit.asked import Asked
from gateway.audit.entry import JSON, digest
from gateway.audit.log import EMPTY, Place, place
from gateway.audit.reading import Follower
from gateway.audit.witness import Sparing
from gateway.config import NAME, Mqtt
from gateway.signing.signer import Signer, with_signature
from gateway.steer.link import connect, end_if_cancelled, listen, stay_connected, until_one_ends

log = logging.getLogger(__name__)

LEVELS: Final = ("command", "config", "update")
TOPIC: Final = re.compile(rf"ganglion/v1/({NAME})/({NAME})/({'|'.join(LEVELS)})")
HEAD_SECONDS: Final = 60.0
"""How often the head leaves the machine, where it has changed: what is younger can still be cut off unseen."""
MOST_OWN: Final = 20_000
"""Messages of the gateway's own that are remembered until they are heard."""


class Audit:
    """Run by the gateway."""

    def __init__(self, settings: Mqtt, sites: Sequence[str], data_dir: Path, signer: Signer | None) -> None:
        self._settings = settings
        self._sites = sites
        self._topics = [f"ganglion/v1/{site}/+/{level}" for site in sites for level in LEVELS]
        self._name = f"ganglion-audit-{sites[0]}"
        self._folder = data_dir
        self._signer = signer
        self._trouble: str | None = None
        self._sparing = Sparing(data_dir)
        self._follower = Follower(data_dir)
        self._asked = Asked()
        self._own: deque[str] = deque(maxlen=MOST_OWN)

    def expect(self, payload: bytes) -> None:
        """The gateway itself says this to a node in a moment, as it does all day: it tells nodes the time."""
        self._own.append(digest(payload))

    async def run(self) -> None:
        """Hear and tell, over every loss of the connection."""
        await self._catch_up()
        await stay_connected(lambda: connect(self._settings, self._name), self._work, self._say)

    def _say(self, trouble: str | None) -> None:
        if trouble not in (None, self._trouble):
            log.warning("what others say to nodes is not heard, and the audit log's head not told: %s", trouble)
        self._trouble = trouble

    async def _work(self, client: aiomqtt.Client) -> None:
        await listen(client, self._topics)
        end_if_cancelled()
        await until_one_ends(self._hear(client), self._tell(client))

    async def _catch_up(self) -> None:
        try:
            await asyncio.to_thread(self._read_on)
        except OSError as error:
            log.error("the audit log cannot be read: %s: what is said to nodes looks as if nobody had asked", error)

    def _read_on(self) -> None:
        for entry in self._follower.new():
            self._asked.enter(entry)

    async def _hear(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            match = TOPIC.fullmatch(str(message.topic))
            if match is None:
                continue
            # An empty command is none: `ganglion doctor` asks by one whether it may give others.
            if match[3] == "command" and not message.payload:
                continue
            payload, (site, node, level) = bytes(message.payload), match.groups()
            sha256 = digest(payload)
            if level == "command" and sha256 in self._own:
                self._own.remove(sha256)
                continue
            await self._catch_up()
            if self._asked.is_asked(site, node, level, sha256, time.time(), kept=message.retain):
                continue
            act = f"{level}.{'found' if message.retain else 'unasked'}"
            log.warning("%s/%s is told what nobody here has asked for: %s", site, node, act)
            detail: dict[str, JSON] = {"op": _op(payload), "bytes": len(payload), "messages": [sha256]}
            await self._sparing.witness(act, who="?", of=f"{site}/{node}", detail=detail)
            end_if_cancelled()

    async def _tell(self, client: aiomqtt.Client) -> None:
        told = EMPTY
        while True:
            now = await asyncio.to_thread(self._place)
            if now not in (told, None):
                told = now or EMPTY
                for site in self._sites:
                    payload = message(site, told, time.time())
                    properties = await asyncio.to_thread(with_signature, self._signer, payload)
                    await client.publish(
                        f"ganglion/v1/{site}/audit", payload, qos=1, retain=True, properties=properties
                    )
                    end_if_cancelled()
            await asyncio.sleep(HEAD_SECONDS)

    def _place(self) -> Place | None:
        try:
            return place(self._folder)
        except OSError as error:
            log.error("the audit log cannot be read: %s", error)
            return None


def message(site: str, place: Place, now: float) -> bytes:
    """What is published of a head."""
    return msgspec.json.encode({"site": site, "time": round(now), "entries": place.entries, "head": place.head})


class _Command(msgspec.Struct):
    op: str = ""


def _op(payload: bytes) -> str:
    """Of a command, for the log; empty for anything else."""
    try:
        return msgspec.json.decode(payload, type=_Command).op
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
