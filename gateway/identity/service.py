"""The room's parts, put together for one configuration, and what a flood leads to."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.audit.witness import witness
from gateway.config import Config, Http
from gateway.errors import ConfigError
from gateway.identity.counted import Counted
from gateway.identity.floods import Floods
from gateway.identity.issuer import Issuer
from gateway.identity.renewal import Renewals
from gateway.identity.revoker import Revoker, copied
from gateway.identity.settings import IdentityTable
from gateway.identity.store import Store
from gateway.identity.watch import BrokerWatch
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.part import Part
from gateway.pki.authority import PkiError
from gateway.records import NodeView
from gateway.tls import Identity as Tls

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0


class Identities:
    """Hears what arrives (`floods`); `parts` are to be run by the gateway."""

    def __init__(self, config: Config, journal: JournalAccess, counted: Counted) -> None:
        """Raises ConfigError when a file of `[identity]` cannot be used."""
        table, data_dir = config.identity, Path(config.data_dir)
        limits = table or IdentityTable()
        self.floods = Floods(limits.messages_per_s, limits.burst)
        self._table = table
        self._data_dir = data_dir
        self._store = Store(data_dir)
        self._journal = journal
        self._counted = counted
        self._revoker: Revoker | None = None
        self.parts: list[Part] = [self]
        if config.mqtt.ca:
            watch = BrokerWatch(config.mqtt, config.sites[0], data_dir, counted)
            self.parts.append(watch)
            if table is not None:
                issuer = check_files(config, table)
                crl, ca_crl = Path(table.crl), Path(table.ca_crl)
                revoker = self._revoker = Revoker(config.mqtt, data_dir, crl, ca_crl, issuer, journal, counted)
                watch.on_connect = revoker.connected
                self.parts += [revoker, Renewals(config.mqtt, config.sites, data_dir, issuer, revoker.refuses)]

    async def run(self) -> None:
        """Look for floods, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for name, rate in self.floods.look(time.monotonic()).items():
                self._counted.floods += 1
                await self._flooded(name, rate)

    async def trouble(self) -> str | None:
        """Why the broker may not know what holds no more, in words; None while it does."""
        return self._revoker.trouble if self._revoker is not None else None

    async def figures(self) -> None:
        """Bring what is counted up to date."""
        try:
            await asyncio.to_thread(self._counted.look, self._store, time.time())
        except ConfigError as error:
            log.error("%s", error)

    async def _flooded(self, name: str, rate: float) -> None:
        seen = f"{rate:.0f} messages a second"
        if self._table is None:
            log.info("%s sends %s", name, seen)
            return
        views = await self._journal.call(Journal.nodes)
        minutes = self._table.hold_minutes
        try:
            await asyncio.to_thread(hold, self._store, views, name, minutes * 60, f"flood: {seen}")
        except (ConfigError, PkiError) as error:
            log.error("%s sends %s, and could not be put on hold: %s", name, seen, error)
            return
        log.warning("%s sends %s and is on hold for %g min", name, seen, minutes)
        await witness(self._data_dir, "identity.hold", of=name, detail={"why": "flood", "per_s": round(rate)})


def check_files(config: Config, table: IdentityTable) -> Issuer:
    """Its issuer. Raises ConfigError for any file that cannot be used, those of the process of enrolment too."""
    issuer = Issuer(Path(table.issuer), Path(config.mqtt.ca), table.days)
    copied(issuer, Path(table.ca_crl))
    if table.listen:
        Tls(Http(listen=table.listen, cert=table.cert, key=table.key), "identity")
    return issuer


def hold(store: Store, views: Sequence[NodeView], name: str, seconds: float | None, why: str) -> None:
    """Put a node on hold, with the certificate that it says it has; None: until it is released. Blocking.

    Raises PkiError and ConfigError.
    """
    now = time.time()
    if name in (claimed := claims(views)):
        store.hear(name, *claimed[name], now)
    store.hold(name, None if seconds is None else now + seconds, why, now)


def claims(views: Sequence[NodeView]) -> dict[str, tuple[str, int]]:
    """(serial number, end) of the certificates that nodes say they have, by `site/node`.

    What two say they have is nobody's: a node could name another's, to have it taken back together with its own.
    """
    said = Counter(view.certificate for view in views)
    return {
        f"{view.site}/{view.node}": (view.certificate, view.certificate_ends)
        for view in views
        if view.certificate and said[view.certificate] == 1
    }
