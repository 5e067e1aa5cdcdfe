"""What holds no more is told to the broker, and whoever is connected by it is thrown out.

The broker reads our list when somebody tells it to, and cuts no connection then. To connect at the gateways' listener
with the client id of a node, which is its name, throws the node out. We do so when one is barred and some times after,
for it may be back before the broker has read the list. And whenever the broker says that a barred one is connected: it
may have a certificate by a former issuer, which only the off-line authority can take back.
"""

import asyncio
import contextlib
import logging
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiomqtt

from gateway.audit.witness import note
from gateway.config import NAME, Mqtt
from gateway.errors import ConfigError
from gateway.files import PUBLIC, replace, stamp
from gateway.identity import lists
from gateway.identity.counted import Counted
from gateway.identity.issuer import Issuer
from gateway.identity.store import Store
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.pki.authority import PkiError
from gateway.pki.lists import Lists, written
from gateway.steer.link import connect, end_if_cancelled

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5
"""How often it is looked whether anything has changed."""
ANYWAY_SECONDS: Final = 30.0
"""After which all is read even if nothing seems to have."""
AGAIN_SECONDS: Final = (0.0, 2.0, 6.0, 15.0, 30.0, 50.0)
"""After a node was barred: when it is thrown out."""
FRESH_SECONDS: Final = 600.0
"""A node that was barred so long before the gateway started is thrown out too: it may have died over it."""
KICK_SECONDS: Final = 5.0
HEARD_SECONDS: Final = 60.0
"""After which a broker that still lets in a barred node has not heard of it."""
_NODE: Final = re.compile(rf"{NAME}/{NAME}")


class Revoker:
    """Run by the gateway."""

    def __init__(
        self,
        settings: Mqtt,
        data_dir: Path,
        crl: Path,
        ca_crl: Path,
        issuer: Issuer,
        journal: JournalAccess,
        counted: Counted,
    ) -> None:
        """Raises ConfigError when `ca_crl` cannot be used."""
        self._settings = settings
        self._data_dir = data_dir
        self._store = Store(data_dir)
        self._crl, self._ca_crl = crl, ca_crl
        self._issuer = issuer
        self._journal = journal
        self._counted = counted
        self._others = copied(issuer, ca_crl)
        self._stamps: object = None
        self._read = float("-inf")
        self._written: object = None
        self._refused = self._listed()
        self._barred: dict[str, float] | None = None
        """Since when, Unix seconds, by name; None before the first look."""
        self._due: dict[str, list[float]] = {}
        """When each is to be thrown out, `time.monotonic()`, seconds, in order."""
        self._let_in: set[str] = set()
        """Of whom it was told that the broker does not keep them out."""
        self._ends = float("inf")
        """When the next hold does, Unix seconds."""
        self._woken = asyncio.Event()
        self.trouble: str | None = None
        """Why the broker's list may be old, in words."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._look()
            await self._kick_those_due()
            self._woken.clear()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def refuses(self, serial: str) -> bool:
        """Whether either authority's list has it, as it was last read."""
        return serial in self._refused

    def connected(self, name: str) -> None:
        """A node has connected by its own certificate."""
        if self._barred and name in self._barred:
            self._due.setdefault(name, []).insert(0, time.monotonic())
            self._woken.set()
            if name not in self._let_in and time.time() - self._barred[name] > HEARD_SECONDS:
                self._let_in = (self._let_in & self._barred.keys()) | {name}
                log.warning(
                    "%s is revoked or on hold, and the broker lets it in all the same; it is thrown out each time. It "
                    "has not read %s since, or else a former issuer signed that certificate: see docs/broker.md",
                    name,
                    self._crl,
                )

    async def _look(self) -> None:
        try:
            found = await asyncio.to_thread(self._bring_up_to_date)
        except (ConfigError, OSError) as error:
            self._say(f"what holds no more cannot be told to the broker: {error}")
            return
        if found is None:
            return
        fresh, owners, serials = found
        names = {*fresh, *owners.values()}
        if unknown := serials - owners.keys():
            views = await self._journal.call(Journal.nodes)
            # All who say that it is theirs: nobody hides who has it by saying so too.
            names |= {f"{each.site}/{each.node}" for each in views if each.certificate in unknown}
            unknown -= {each.certificate for each in views}
        for serial in sorted(unknown):
            log.warning("revoked is %s, of whom is not known: if it may be connected, restart the broker", serial)
        now = time.monotonic()
        for name in names:
            self._due[name] = [now + each for each in AGAIN_SECONDS]

    def _bring_up_to_date(self) -> tuple[set[str], dict[str, str], set[str]] | None:
        """Write the list, if it has to change. Names that were barred since the last time; serial numbers that were
        listed since then, whose they are and which. None where nothing has changed. Blocking."""
        now = time.time()
        if self._ends <= now:
            for name in self._store.end_holds(now):
                log.warning("%s is off hold: it may connect again", name)
                note(self._data_dir, "identity.release", of=name)
        stamps = (self._store.changed(), stamp(self._ca_crl))
        if stamps == self._stamps and time.monotonic() - self._read < ANYWAY_SECONDS:
            return None
        try:
            self._others = copied(self._issuer, self._ca_crl)
            self._say(None)
        except ConfigError as error:
            self._say(f"the list that was read before goes on to hold: {error}")
        own = self._store.refusals(now)
        wanted = (
            [(each.serial, each.hold) for each in own],
            [each.tbs_certlist_bytes for each in self._others.values()],
        )
        if wanted != self._written:
            self._write(lists.compose(self._issuer, self._others, own, datetime.fromtimestamp(now, UTC)))
            self._written = wanted
        refused = lists.serials(self._others) | {each.serial for each in own}
        listed, self._refused = refused - self._refused, refused
        barred, before = self._store.barred(), self._barred
        self._barred = {each.name: each.since for each in barred}
        self._ends = min((each.until for each in barred if each.until is not None), default=float("inf"))
        fresh = {
            each.name
            for each in barred
            if (each.since > now - FRESH_SECONDS if before is None else before.get(each.name) != each.since)
        }
        self._stamps, self._read = stamps, time.monotonic()
        return fresh, self._store.names(listed) if listed else {}, listed

    def _write(self, wanted: Lists) -> None:
        """For the broker, unless it has that already: it forgets its bound of connections when it reads anew."""
        with contextlib.suppress(PkiError):
            if lists.same(self._issuer, lists.read(self._crl), wanted):
                return
        replace(self._crl, written(wanted), PUBLIC)

    def _say(self, trouble: str | None) -> None:
        if trouble is not None and trouble != self.trouble:
            log.error("%s", trouble)
        self.trouble = trouble

    def _listed(self) -> set[str]:
        """What the broker was told already, before the gateway was started."""
        try:
            return lists.serials(lists.read(self._crl))
        except PkiError:
            return set()

    async def _kick_those_due(self) -> None:
        now = time.monotonic()
        for name in [name for name, times in self._due.items() if times and times[0] <= now]:
            times = self._due[name]
            later = [each for each in times if each > time.monotonic()]
            if later:
                self._due[name] = later
            else:
                del self._due[name]
            await self._kick(name)

    async def _kick(self, name: str) -> None:
        if not _NODE.fullmatch(name):
            return  # what else was revoked has client ids of its own choice
        try:
            async with asyncio.timeout(KICK_SECONDS), connect(self._settings, name):
                end_if_cancelled()
        except (aiomqtt.MqttError, OSError) as error:  # TimeoutError is an OSError
            log.info("%s could not be thrown out: %s", name, error)
            return
        self._counted.kicked += 1


def copied(issuer: Issuer, ca_crl: Path) -> Lists:
    """What a person has copied from the authority. Raises ConfigError when it is not that."""
    try:
        found = lists.read(ca_crl)
        lists.check(issuer, found, ca_crl)
    except PkiError as error:
        raise ConfigError(f"identity.ca_crl: {error}") from error
    return found
