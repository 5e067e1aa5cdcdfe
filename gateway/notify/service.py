"""Tells people and machines of incidents: from the journal into the outbox, and from there to each target."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Concatenate, Final, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from gateway.cap.alert import document, sender_of
from gateway.config import Config
from gateway.detect.plan import Plan
from gateway.errors import ConfigError, Passing, Poison, TargetError
from gateway.forward.patience import Patience
from gateway.journal.access import JournalAccess
from gateway.journal.store import NOTIFY, Journal
from gateway.notify.answer import Answer
from gateway.notify.outbox import Outbox, Waiting
from gateway.notify.rules import Rules
from gateway.notify.state import FILE_NAME
from gateway.notify.targets.target import Target, make_target
from gateway.notify.targets.webhook import Document
from gateway.notify.told import Told, key_of, link_of
from gateway.notify.words import body, subject
from gateway.records import Incident, Queued
from gateway.signing.signer import Signer, signer_of
from gateway.steer.link import until_one_ends
from gateway.threads import in_thread

log = logging.getLogger(__name__)

BATCH: Final = 100
"""Incidents taken from the journal at once."""
LOOK_SECONDS: Final = 20.0
"""How often it is looked whether something is due, for the machine's clock may be set."""
MEND_SECONDS: Final = 10.0
"""After which an outbox that could not be used is opened again."""
DELIVER_SECONDS: Final = 120.0
"""After which a target that goes on answering, bit by bit, has not answered."""
TEST_SECONDS: Final = 15.0
"""A person waits for the answer, and the command that asks waits for 20 s."""
PATIENCE: Final = Patience(first=1.0, most=60.0)

P = ParamSpec("P")
T = TypeVar("T")


class Teller:
    """One target: how it is told, in which words. Used by the service and by the test button alike."""

    def __init__(self, target: Target, plan: Plan, zone: ZoneInfo, console: str) -> None:
        self._target = target
        self._plan, self._zone, self._console = plan, zone, console

    def tell(self, told: Told) -> str:
        """Blocking. What was answered; raises TargetError, also for a message that cannot even be made."""
        plan = self._plan
        try:
            return self._target.deliver(told, subject(told, plan), body(told, plan, self._zone, self._console))
        except TargetError:
            raise
        except Exception as error:  # packs go on, whatever is wrong with one message
            log.exception("message %s to %s cannot be sent", told.key, told.target)
            what = f"{type(error).__name__}: {error}"
            raise Poison(f"it cannot be sent ({what}); to do: report this, with the log", rest_written=False) from error


def tellers(config: Config, plan: Plan) -> dict[str, Teller]:
    """By the name of the target. Raises ConfigError for secrets that are not set."""
    zone, console = ZoneInfo(config.timezone), console_of(config)
    signer = signer_of(config)
    cap = documents(config, plan, signer)
    return {
        each.name: Teller(make_target(each, config.mqtt, cap, signer), plan, zone, console) for each in config.notify
    }


def documents(config: Config, plan: Plan, signer: Signer | None = None) -> Document:
    """What makes CAP documents, for those who run the place."""
    sender, zone, console = sender_of(config), ZoneInfo(config.timezone), console_of(config)

    def make(incident: Incident | None) -> bytes:
        of = incident or Incident("test", "test", config.sites[0], "", "", "info", round(time.time()), None, "A test.")
        link = link_of(console, incident)
        return document(
            of,
            sender=sender,
            plan=plan,
            zone=zone,
            exercise=config.exercise,
            link=link,
            test=incident is None,
            signer=signer,
        )

    return make


def console_of(config: Config) -> str:
    return config.console.link if config.console is not None else ""


def test_message(name: str, config: Config, now: float) -> Told:
    """What the test button sends."""
    key = key_of(name, "test", str(now))
    return Told(key, name, "test", (), round(now), config.exercise, link_of(console_of(config), None))


class Notify:
    """A part of the gateway. Nothing that happens here ends the gateway: packs do not wait for messages."""

    def __init__(self, journal: JournalAccess, config: Config, plan: Plan, patience: Patience = PATIENCE) -> None:
        """Raises ConfigError when a target cannot work with the configuration."""
        self._journal = journal
        self._config = config
        self._patience = patience
        self._rules = [Rules.of(table, plan, config.timezone) for table in config.notify]
        self._tellers = tellers(config, plan)
        self._news = {name: asyncio.Event() for name in self._tellers}
        self._thread: ThreadPoolExecutor | None = None
        self._outbox: Outbox | None = None

    async def run(self) -> None:
        """Tell, until cancelled."""
        await self._journal.call(Journal.notifying, bool(self._rules))
        if not self._rules and not (Path(self._config.data_dir) / FILE_NAME).exists():
            await _for_ever()  # where targets were before, it is opened to forget them
        while True:
            try:
                await self._work()
            except (sqlite3.Error, OSError, ConfigError, msgspec.DecodeError) as error:
                log.error("nobody is told of incidents, they wait in the journal: %s", error)
            await asyncio.sleep(MEND_SECONDS)

    async def _work(self) -> None:
        with ThreadPoolExecutor(1, "notify") as self._thread:
            await self._open()
            try:
                telling = (self._tell(name, teller) for name, teller in self._tellers.items())
                await until_one_ends(self._take() if self._rules else _for_ever(), *telling)
            finally:
                outbox, self._outbox = self._outbox, None
                if outbox is not None:
                    self._thread.submit(outbox.close)

    async def _open(self) -> None:
        config = self._config
        assert self._thread is not None

        def make() -> Outbox:
            ways = [table.via for table in config.notify]
            folder, console = Path(config.data_dir), console_of(config)
            return Outbox.open(folder, self._rules, ways, exercise=config.exercise, console=console)

        self._outbox = await asyncio.get_running_loop().run_in_executor(self._thread, make)

    async def _call(self, method: Callable[Concatenate[Outbox, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        assert self._thread is not None
        assert self._outbox is not None
        outbox = self._outbox
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: method(outbox, *args, **kwargs))

    async def _take(self) -> None:
        """From the journal into the outbox. What the outbox has is on disk before the journal forgets it."""
        news = self._journal.listen("incidents")
        while True:
            changes = await self._journal.call(Journal.incidents_for, NOTIFY, BATCH)
            if not changes:
                await news.wait()
                continue
            await self._call(Outbox.take, [incident for _, incident in changes], time.time())
            await self._journal.call(Journal.incidents_delivered, NOTIFY, changes[-1][0])
            for event in self._news.values():
                event.set()

    async def _tell(self, name: str, teller: Teller) -> None:
        """One target's queue, in order; no other waits for it."""
        dice, failures, news = Random(), 0, self._news[name]
        while True:
            news.clear()
            waiting, due = await self._call(Outbox.next, name, time.time())
            if waiting is None:
                seconds = min(LOOK_SECONDS, max(0.0, due - time.time())) if due is not None else None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await news.wait()
                continue
            try:
                await self._deliver(name, teller, waiting.told)
            except Poison as error:
                log.error("%s will never take message %s, which is set aside: %s", name, waiting.told.key, error)
                await self._call(Outbox.set_aside, waiting, str(error), time.time())
                failures = 0
            except TargetError as error:
                failures += 1
                await self._wait(name, waiting, error, failures, dice)
            else:
                if failures:
                    log.warning("%s takes messages again", name)
                failures = 0
                await self._call(Outbox.sent, waiting, time.time())

    async def _deliver(self, name: str, teller: Teller, told: Told) -> None:
        """Raises TargetError."""
        try:
            async with asyncio.timeout(DELIVER_SECONDS):
                await in_thread(lambda: teller.tell(told), f"notify-{name}")
        except TimeoutError as error:
            raise Passing(f"no answer within {DELIVER_SECONDS:g} s; to do: see what keeps it") from error

    async def _wait(self, name: str, waiting: Waiting, error: TargetError, failures: int, dice: Random) -> None:
        seconds = self._patience.wait(error, failures, dice)
        level = logging.WARNING if failures == 1 else logging.INFO
        log.log(level, "%s is not told: %s; tried again in %.1f s", name, error, seconds)
        await self._call(Outbox.failed, name, str(error), time.time())
        await asyncio.sleep(seconds)

    async def figures(self) -> dict[str, Queued]:
        """How far each target is; none while the outbox cannot be used."""
        if self._outbox is None:
            return {}
        try:
            stand = await self._call(Outbox.standing)
        except sqlite3.Error:
            return {}  # whoever works with it finds that as well, and says so
        return {
            each.name: Queued(each.waiting + each.later, each.sent, each.dropped, each.refused, each.failing)
            for each in stand
        }

    async def test(self, name: str) -> Answer | None:
        """Send a test message at once, past the queue; None where there is no such target."""
        teller = self._tellers.get(name)
        if teller is None:
            return None
        told = test_message(name, self._config, time.time())
        try:
            async with asyncio.timeout(TEST_SECONDS):
                return Answer(True, await in_thread(lambda: teller.tell(told), f"test-{name}"))
        except TimeoutError:
            return Answer(False, f"no answer within {TEST_SECONDS:g} s")
        except TargetError as error:
            return Answer(False, str(error))


async def _for_ever() -> None:
    await asyncio.Event().wait()
