"""Back-pressure to the nodes: while the gateway cannot store packs, nodes keep theirs.

A broker answers a node's PUBLISH at once and queues without an end, or drops without a word. So the gateway says on
`ganglion/v1/{site}/hold`, retained, that packs shall stay where they are, in stores that are bounded and counted; and
for a gateway that is away, its will says so. It is an incident too: of kind `journal`, told by the broker at once and
kept in the journal as soon as that has room.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Final

import aiomqtt
import msgspec
from msgspec import structs

from gateway.config import Mqtt
from gateway.errors import JournalFull
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.outlet import publish
from gateway.records import Incident
from gateway.signing.signer import Signer
from gateway.steer.link import Will, connect, end_if_cancelled, listen, stay_connected, until_one_ends

log = logging.getLogger(__name__)

KIND: Final = "journal"
FULL_SECONDS: Final = 5.0
"""How long the journal has been full before nodes hear of it: a moment's wait is what brokers are for."""
ROOM_SECONDS: Final = 10.0
"""How long it has had room before they may send again: not for the room that one written batch leaves."""
AWAY_SECONDS: Final = 300
"""How long a gateway is away before its will is published: longer than its machine takes to start anew."""
LOOK_SECONDS: Final = 0.5


class Pressure:
    """Whether nodes are to hold, from whether the journal is full: a state that does not flutter. Pure."""

    def __init__(self) -> None:
        self.reason: str | None = None
        """Why they are to hold, in words; None while they may send."""
        self._since: float | None = None

    def look(self, full: str | None, now: float) -> bool:
        """Take in what is so at `now` (seconds that only grow). True when the state has changed."""
        if (full is None) == (self.reason is None):
            self._since = None
            return False
        self._since = now if self._since is None else self._since
        if now - self._since < (FULL_SECONDS if full else ROOM_SECONDS):
            return False
        self.reason, self._since = full, None
        return True


class Hold:
    """Run by the gateway: one connection for each site, as each has a will of its own."""

    def __init__(
        self,
        settings: Mqtt,
        sites: Sequence[str],
        journal: JournalAccess,
        signer: Signer | None = None,
    ) -> None:
        self._signer = signer
        self._settings = settings
        self._journal = journal
        self._pressure = Pressure()
        self._changed = {site: asyncio.Event() for site in sites}
        self._open: dict[str, Incident] = {}
        self._own: set[str] = set()
        self._ended: list[Incident] = []  # and not in the journal yet
        self._trouble: str | None = None

    async def run(self) -> None:
        """Until cancelled."""
        await until_one_ends(self._look(), *(self._stay(site) for site in self._changed))

    async def _look(self) -> None:
        while True:
            if self._pressure.look(self._journal.full, time.monotonic()):
                self._turn(self._pressure.reason)
            if self._ended:
                with contextlib.suppress(JournalFull):  # at a later look: a disk that is full again is to be seen now
                    await self._journal.attempt(Journal.report, self._ended)
                    self._ended = []
            await asyncio.sleep(LOOK_SECONDS)

    def _turn(self, reason: str | None) -> None:
        now = round(time.time())
        self._ended += [structs.replace(each, closed=now) for each in self._open.values()]
        if reason is None:
            log.warning("nodes may send again")
            self._open = {}
        else:
            log.warning("nodes are told to hold their packs: %s", reason)
            self._open = {site: _incident(site, now, reason) for site in self._changed}
            self._own = {each.id for each in self._open.values()}
        for event in self._changed.values():
            event.set()

    async def _stay(self, site: str) -> None:
        will = Will(topic(site), encode("the gateway is away"), AWAY_SECONDS)
        name = f"ganglion-hold-{site}"
        await stay_connected(
            lambda: connect(self._settings, name, will), lambda client: self._work(client, site), self._say
        )

    def _say(self, trouble: str | None) -> None:
        if trouble not in (None, self._trouble):
            log.warning("nodes cannot be told whether to hold their packs: %s", trouble)
        self._trouble = trouble

    async def _work(self, client: aiomqtt.Client, site: str) -> None:
        await listen(client, [f"ganglion/v1/{site}/incident/+"])
        end_if_cancelled()
        await until_one_ends(self._tell(client, site), self._end_forgotten(client, site))

    async def _tell(self, client: aiomqtt.Client, site: str) -> None:
        event = self._changed[site]
        while True:
            event.clear()
            incident = self._open.get(site)
            await client.publish(topic(site), encode(self._pressure.reason), qos=1, retain=True)
            end_if_cancelled()
            if incident is not None:
                await publish(client, incident, self._signer)
                end_if_cancelled()
            await event.wait()

    async def _end_forgotten(self, client: aiomqtt.Client, site: str) -> None:
        """An incident that an earlier run has told, and died before it could keep it, is found at the broker alone."""
        async for message in client.messages:
            name = str(message.topic).rpartition("/")[2]
            if not message.retain or not name.startswith(f"{KIND}.") or name in self._own:
                continue
            try:
                incident = msgspec.json.decode(bytes(message.payload), type=Incident)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                log.warning("%s is no incident: %s", message.topic, error)
                continue
            ours = _incident(site, incident.opened, "")
            if name != ours.id or incident != structs.replace(ours, closed=incident.closed, summary=incident.summary):
                log.warning("%s is no incident of this gateway's: it is left alone", message.topic)
                continue
            closed = max(incident.opened, round(time.time()))
            await self._journal.call(Journal.report, [structs.replace(incident, closed=closed)])


def _incident(site: str, now: int, reason: str) -> Incident:
    return Incident(f"{KIND}.{site}.{now}", KIND, site, "", "", "critical", now, None, f"The gateway waits: {reason}.")


def topic(site: str) -> str:
    return f"ganglion/v1/{site}/hold"


def encode(reason: str | None) -> bytes:
    """What is said on the topic: empty, which takes back what was retained, while nodes may send."""
    return b"" if reason is None else msgspec.json.encode({"hold": True, "reason": reason})
