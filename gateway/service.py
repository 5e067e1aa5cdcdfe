"""The gateway as a whole: puts the parts together, keeps them running, ends them cleanly."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Coroutine
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from gateway.audit.asker import at_shell
from gateway.audit.heads import Heads
from gateway.audit.service import Audit
from gateway.audit.witness import witness
from gateway.config import Config
from gateway.configfile import ConfigFile
from gateway.control import token as tokens
from gateway.control.api import make_routes
from gateway.control.door import Door
from gateway.control.telling import telling_routes
from gateway.detect.detectors import Settings as DetectSettings
from gateway.detect.plan import planned
from gateway.detect.runner import Runner
from gateway.errors import ConfigError, JournalFull, ungrouped
from gateway.forward.forwarder import Forwarder
from gateway.forward.target import make_target
from gateway.hold import Hold
from gateway.http import HttpServer, Metrics, journal_trouble, make_app
from gateway.identity.service import Identities, check_files
from gateway.ingest.pipeline import Pipeline
from gateway.ingest.receiver import Receiver
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.north.home_assistant import HomeAssistant
from gateway.notify.drill import Drills
from gateway.notify.service import Notify
from gateway.outlet import IncidentOutlet
from gateway.part import Part
from gateway.privacy.api import privacy_routes
from gateway.privacy.keeping import Keeper
from gateway.signing.signer import signer_of
from gateway.steer.service import Steer
from gateway.systemd import Notifier, Watchdog
from gateway.update.service import Updates
from gateway.web.child import PagesProcess, environment
from gateway.web.server import Pages

log = logging.getLogger(__name__)

GARBAGE: Final = (10_000, 10, 50)
SWITCH_SECONDS: Final = 0.0005
CANCEL_SECONDS: Final = 3.0
"""After which a part is told again to end; longer than any of them takes to end in order."""
DRAIN_SECONDS: Final = 5.0
"""How long the end may take to write what has arrived; the broker still has what is not written by then."""


async def serve(path: Path) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigError when the configuration cannot be used to begin with."""
    # The search for garbage in rings stops all threads, 50 ms for all that is loaded, and finds hardly any here.
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    # To acknowledge takes many steps in two threads. Beside one that computes each would wait for Python's usual 5 ms.
    sys.setswitchinterval(SWITCH_SECONDS)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    async def told(act: str) -> None:
        digest = await asyncio.to_thread(_digest, path)
        await witness(Path(config.data_dir), act, who="?", of=path.name, detail={"sha256": digest})

    file = ConfigFile(path, lambda: told("file.refused"), _check_files)
    config = file.load()
    notifier = Notifier()

    async def until() -> Config | None:
        changed = await file.next(config, stop)
        if changed is None:
            notifier.tell("STOPPING=1")
        else:
            notifier.reloading()
        return changed

    journal = await JournalAccess.open(Path(config.data_dir), config.journal.max_bytes)
    try:
        metrics = Metrics()
        token = tokens.issue(Path(config.data_dir))
        gateway = await Gateway.build(path, config, journal, metrics, token)
        started = at_shell(Path(config.data_dir))
        await witness(started.data_dir, "gateway.start", who=started.who, came=started.came)
        await told("file.taken")
        while (changed := await gateway.run(until())) is not None:
            try:
                gateway = await Gateway.build(path, changed, journal, metrics, token)
            except (ConfigError, JournalFull) as error:
                log.error("the changed configuration is refused, the one before goes on: %s", error)
                await told("file.refused")
                gateway = await Gateway.build(path, config, journal, metrics, token)
            else:
                log.warning("the changed configuration of %s is taken", path)
                config = changed
                await told("file.taken")
        await witness(started.data_dir, "gateway.stop", who=started.who)
    finally:
        await journal.close()


def _digest(path: Path) -> str:
    """Of the configuration's file as it is, for the audit log: it may hold secrets, its hash does not."""
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return str(error.strerror)


def _check_files(config: Config) -> None:
    if config.identity is not None:
        check_files(config, config.identity)


class Gateway:
    """The parts for one configuration. Built, then run once."""

    def __init__(
        self, path: Path, config: Config, journal: JournalAccess, metrics: Metrics, token: str, retired_sites: set[str]
    ) -> None:
        """Raises ConfigError, holding nothing, when a part cannot work with the configuration."""
        self._journal = journal
        self._receiver = Receiver(config.mqtt, config.sites, sorted(retired_sites))
        self._identities = Identities(config, journal, metrics.identities)
        self._pipeline = Pipeline(self._receiver, journal, metrics.acknowledged, self._identities.floods.hear)
        self._forwarder = Forwarder(journal, make_target(config.influx), config.influx)
        self._mirrors = [
            Forwarder(journal, make_target(mirror), mirror, consumer=mirror.consumer) for mirror in config.mirror
        ]
        plan = planned(config)
        self._detector = Runner(journal, DetectSettings(plan, config.detect.budget))
        signer = signer_of(config)
        self._outlet = IncidentOutlet(journal, config.mqtt, config.sites[0], signer)
        self._keeper = Keeper(journal, config, self._detector.forget)
        self._notify = Notify(journal, config, plan)
        self._drills = Drills(journal)
        self._hold = Hold(config.mqtt, config.sites, journal, signer=signer)
        self._audit = Audit(config.mqtt, config.sites, Path(config.data_dir), signer)
        self._heads = Heads(config.influx, config.sites[0], Path(config.data_dir))
        self._steer = Steer(config.mqtt, config.sites, journal, self._audit.expect)
        self._updates = Updates(config.mqtt, config.sites, Path(config.data_dir))
        self._home_assistant = HomeAssistant(config, plan, journal)
        checks = {
            "broker": self._broker_trouble,
            "journal": lambda: journal_trouble(journal),
            "database": self._database_trouble,
        }
        if config.identity is not None:
            checks["identities"] = self._identities.trouble
        self._watchdog = Watchdog(Notifier(), journal, checks)
        tables: dict[Pages, object] = {
            "console": config.console,
            "citizens": config.citizens,
            "enrolment": config.identity and config.identity.listen,
        }
        names = [name for name, table in tables.items() if table]
        self._pages = [PagesProcess(name, path, environment(config, name)) for name in names]
        door = Door(token, Path(config.data_dir))
        routes = [*make_routes(journal, door), *telling_routes(journal, door, config.sites, self._notify.test)]
        routes += privacy_routes(journal, door, self._detector.forget)
        self._http = HttpServer(
            config.http, make_app(journal, metrics, checks, routes, self._notify.figures, self._identities.figures)
        )

    @classmethod
    async def build(cls, path: Path, config: Config, journal: JournalAccess, metrics: Metrics, token: str) -> "Gateway":
        """Raises ConfigError like the constructor, and JournalFull when the disk has no room for another mirror."""
        await journal.call(Journal.bound, config.journal.max_bytes)
        heard = {view.site for view in await journal.call(Journal.nodes)}
        gateway = cls(path, config, journal, metrics, token, heard - set(config.sites))
        # Last, as a mirror that goes loses its place: not for a configuration that cannot be used.
        try:
            await journal.attempt(Journal.mirrors, [mirror.consumer for mirror in config.mirror])
        except BaseException:
            gateway._http.close()
            raise
        return gateway

    async def run(self, until: Coroutine[Any, Any, Config | None]) -> Config | None:
        """Run all parts until `until` ends; what it returned. Any part's failure ends all and is raised."""
        try:
            with ungrouped():
                changed = await self._run_parts(until)
            try:
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._pipeline.drain()
            except TimeoutError:
                log.warning("the journal did not take what had arrived last; it will come again")
        finally:
            await self._receiver.stop()
        return changed

    async def _run_parts(self, until: Coroutine[Any, Any, Config | None]) -> Config | None:
        parts: tuple[Part, ...] = (
            self._receiver,
            self._pipeline,
            self._journal,
            self._forwarder,
            *self._mirrors,
            self._detector,
            self._keeper,
            self._outlet,
            self._notify,
            self._drills,
            self._hold,
            self._audit,
            self._heads,
            self._steer,
            self._updates,
            self._home_assistant,
            *self._identities.parts,
            *self._pages,
            self._http,
            self._watchdog,
        )
        watching = asyncio.create_task(until)
        tasks = [watching, *(asyncio.create_task(part.run(), name=type(part).__name__) for part in parts)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in tasks if task.done()]
        finally:
            # Again and again: before Python 3.12 `asyncio.wait_for` may lose a cancellation, and libraries use it.
            while running := [task for task in tasks if not task.done()]:
                for task in running:
                    task.cancel()
                await asyncio.wait(running, timeout=CANCEL_SECONDS)
        for task in ended:
            task.result()
        return watching.result()

    async def _broker_trouble(self) -> str | None:
        return self._receiver.trouble

    async def _database_trouble(self) -> str | None:
        return self._forwarder.trouble
