"""Tells subscribers of notices of their area by Web Push, at least once each.

What was told is kept in the store once the push service has taken it; a crash before that tells it twice, and the
browser shows it once, as both have one tag. News that is over before a service takes it is not sent at all. Each push
service is served by itself: one that is dead costs the others nothing.
"""

import asyncio
import hashlib
import logging
import random
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from gateway.backoff import backoff
from gateway.cap.alert import sender_of
from gateway.cap.area import Places
from gateway.citizens.notices import WORKS, Board, Notice
from gateway.citizens.push import LANES, Identity, Sender, Sent
from gateway.citizens.store import Store, Subscription
from gateway.web.seat import Seat, Snapshot

log = logging.getLogger(__name__)

OVER: Final = "/over"
MOST_SERVICES: Final = 1000
"""Remembered, of which have never taken a push."""
PAUSE: Final = (2.0, 300.0)
"""First and longest wait for a push service, in seconds."""
DEAD: Final = 3
"""Subscribers in a row whose pushes fail by which a service is taken for dead: then one push at a time tries it."""
STRANGERS: Final = 16
"""Pushes at once to services that have never taken one: anybody may name any host."""
TEXT_MOST: Final = 500
"""Characters: a push service takes 4 KiB at least (RFC 8030, 7.2), of which encryption wants some."""

T = TypeVar("T")


class Word(Struct, frozen=True):
    """Something to tell."""

    key: str
    notice: Notice
    over: bool

    @property
    def payload(self) -> bytes:
        """JSON for the service worker: `title`, `body`, `tag`."""
        newest = self.notice.newest
        return msgspec.json.encode(
            {"title": newest.headline[:TEXT_MOST], "body": newest.description[:TEXT_MOST], "tag": self.topic}
        )

    @property
    def topic(self) -> str:
        """Of the notice, in 32 characters that a push service allows."""
        return hashlib.sha256(self.notice.id.encode()).hexdigest()[:32]


class Job(Struct, frozen=True):
    """One push."""

    to: Subscription
    word: Word


class Service(Struct):
    """What is known of a push service."""

    failing: set[int] = set()
    """Subscriptions that failed since one succeeded: one alone may be to blame itself, several are not."""
    silences: int = 0
    """How often in a row it did not answer at all."""
    after: float = 0.0
    """Before that (monotonic seconds) nothing is sent to it."""
    proven: bool = False
    """It has taken a push."""

    @property
    def dead(self) -> bool:
        return self.silences > 0 or len(self.failing) >= DEAD


def words(told: Sequence[Notice]) -> list[Word]:
    """What is to be told of notices: that they are there, and that they are over. Works end as it was said."""
    found = []
    for notice in told:
        if not notice.over:
            found.append(Word(f"{notice.id}/{notice.version}", notice, False))
        elif notice.topic != WORKS:
            found.append(Word(f"{notice.id}/{notice.version}{OVER}", notice, True))
    return found


def due(
    spoken: Sequence[Word], subscriptions: Sequence[Subscription], told: set[tuple[int, str]]
) -> dict[str, list[Job]]:
    """Pushes by push service. The end of something is told to those alone who were told of it."""
    by_area: dict[str, list[Word]] = {}
    for word in spoken:
        by_area.setdefault(word.notice.area.slug, []).append(word)
    found: dict[str, list[Job]] = {}
    for each in subscriptions:
        host = each.endpoint.split("/", 3)[2]
        for word in spoken if each.area == "" else by_area.get(each.area, ()):
            begun = (each.number, word.key.removesuffix(OVER)) in told
            if (each.number, word.key) not in told and (begun or not word.over):
                found.setdefault(host, []).append(Job(each, word))
    return found


class Pump:
    """See `run`."""

    def __init__(self, seat: Seat, *, private: bool = False, pause: tuple[float, float] = PAUSE) -> None:
        """Raises ConfigError. `private` allows push services on this machine: for tests."""
        self._seat = seat
        self._private = private
        self._pause = pause
        config = seat.config
        self._contact = config.citizens.contact if config.citizens else ""
        self._store = Store(Path(config.data_dir))
        link = config.citizens.link if config.citizens else ""
        self._board = Board(Places(seat.plan), sender_of(config), link, exercise=config.exercise)
        self._services: dict[str, Service] = {}
        self._waits: dict[tuple[int, str], tuple[int, float]] = {}
        """Failures of one push, and when it is tried again (monotonic seconds)."""
        self._unsaved: set[tuple[int, str]] = set()
        """Told, but not in the store yet, as it could not be written."""
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._mark: tuple[frozenset[str], int] | None = None
        """What there was to tell and the newest subscription, when it was last looked for pushes."""
        self._next = 0.0
        """When (monotonic seconds) the next wait is over."""
        self._strangers = asyncio.Semaphore(STRANGERS)
        self._disk = ThreadPoolExecutor(1, "citizens")
        self._dice = random.Random()

    async def run(self) -> None:
        """Until cancelled. Without a contact nobody can subscribe, and nothing is done."""
        try:
            if not self._contact:
                await asyncio.Event().wait()
            identity = await self._on_disk(lambda: Identity(Path(self._seat.config.data_dir), self._contact))
            async with Sender(identity, private=self._private) as sender, asyncio.TaskGroup() as group:
                seen = Snapshot(0.0)
                while True:
                    seen = await self._seat.newer(seen)
                    if not seen.time:  # nobody has looked yet: nothing is known, which is not to know of nothing
                        continue
                    try:
                        await self._look(seen, sender, group)
                    except sqlite3.Error as error:
                        log.warning("%s cannot be used, nobody is told of anything: %s", self._store.path, error)
        finally:
            self._disk.shutdown()
            self._store.close()

    async def _look(self, seen: Snapshot, sender: Sender, group: asyncio.TaskGroup) -> None:
        """Start what is to be sent, if something has changed since the last time or a wait is over."""
        works = await self._on_disk(self._store.works)
        spoken = words(self._board.notices(seen.incidents, works, seen.nodes, seen.time))
        ended = [host for host, task in self._busy.items() if task.done()]
        for host in ended:
            del self._busy[host]
        mark = (frozenset(word.key for word in spoken), await self._on_disk(self._store.newest))
        now = time.monotonic()
        if mark == self._mark and not ended and now < self._next:
            return
        if self._mark is None or mark[0] != self._mark[0]:
            await self._forget({word.key.removesuffix(OVER) for word in spoken} | mark[0])
        jobs = await self._on_disk(lambda: self._due(spoken))
        self._mark, self._next = mark, float("inf")
        for host, waiting in jobs.items():
            if host not in self._busy:
                ready, after = self._ready(host, waiting, now)
                self._next = min(self._next, after)
                if ready:
                    self._busy[host] = group.create_task(self._serve(host, ready, sender))

    def _due(self, spoken: Sequence[Word]) -> dict[str, list[Job]]:
        for number, key in tuple(self._unsaved):
            self._store.tell(number, key)
            self._unsaved.discard((number, key))
        told = self._store.told({word.key for word in spoken} | {word.key.removesuffix(OVER) for word in spoken})
        return due(spoken, self._store.subscriptions() if spoken else (), told)

    async def _forget(self, keys: set[str]) -> None:
        """What is known of anything but these."""
        await self._on_disk(lambda: self._store.forget(keys))
        self._waits = {place: wait for place, wait in self._waits.items() if place[1] in keys}
        if len(self._services) > MOST_SERVICES:
            self._services = {host: each for host, each in self._services.items() if host in self._busy or each.proven}

    def _ready(self, host: str, jobs: Sequence[Job], now: float) -> tuple[list[Job], float]:
        """What may be sent now, those first that have failed least; and when (monotonic seconds) more may be."""
        service = self._services.get(host, Service())
        if now < service.after:
            return [], service.after
        waits = [(self._waits.get((job.to.number, job.word.key), (0, 0.0)), job) for job in jobs]
        ready = sorted((failures, at) for at, ((failures, after), _) in enumerate(waits) if now >= after)
        later = min((after for (_, after), _ in waits if now < after), default=float("inf"))
        return [jobs[at] for _, at in (ready[:1] if service.dead else ready)], later

    async def _serve(self, host: str, jobs: Sequence[Job], sender: Sender) -> None:
        """Send to one push service until all is sent or it seems dead."""
        service = self._services.setdefault(host, Service())
        queue = iter(jobs)

        async def lane(*, until_proven: bool = False) -> None:
            for job in queue:
                if service.proven:
                    sent = await self._send(job, sender)
                else:
                    async with self._strangers:
                        sent = await self._send(job, sender)
                await self._took(job, sent, host, service)
                if time.monotonic() < service.after or (until_proven and service.proven):
                    return

        await lane(until_proven=True)
        if service.proven:
            async with asyncio.TaskGroup() as group:
                for _ in range(LANES):
                    group.create_task(lane())

    @staticmethod
    async def _send(job: Job, sender: Sender) -> Sent:
        return await sender.send(job.to, job.word.payload, job.word.topic, urgent=job.word.notice.serious)

    async def _took(self, job: Job, sent: Sent, host: str, service: Service) -> None:
        """Keep what became of a push."""
        number, key = job.to.number, job.word.key
        if sent.state == "later":
            self._failed(number, key, sent, host, service)
            return
        service.failing.clear()
        service.silences = 0
        service.proven |= sent.state == "taken"
        self._waits.pop((number, key), None)
        try:
            if sent.state == "taken":
                self._unsaved.add((number, key))
                await self._on_disk(lambda: self._store.tell(number, key))
                self._unsaved.discard((number, key))
            elif sent.state == "gone":
                await self._on_disk(lambda: self._store.drop(number))
            else:
                log.warning("the push service %s refuses a push for good: %s", host, sent.why)
                await self._on_disk(lambda: self._store.skip(number, key, int(time.time()) // 86_400))
        except sqlite3.Error as error:
            log.warning("%s cannot be written: %s", self._store.path, error)
            self._waits[number, key] = (1, time.monotonic() + self._pause[1])

    def _failed(self, number: int, key: str, sent: Sent, host: str, service: Service) -> None:
        """It is tried again later; and so is all for a service that is dead or asks for it."""
        now, dead = time.monotonic(), service.dead
        failures = self._waits.get((number, key), (0, 0.0))[0] + 1
        own = max(backoff(failures, *self._pause, self._dice), sent.after or 0.0)
        self._waits[number, key] = (failures, now + own)
        service.failing.add(number)
        service.silences += not sent.reached
        if service.dead or sent.after:
            times = max(1, service.silences, len(service.failing) - DEAD)
            service.after = now + max(backoff(times, *self._pause, self._dice), sent.after or 0.0)
        if service.dead and not dead:
            log.warning("the push service %s takes nothing: %s; it is tried again", host, sent.why)

    async def _on_disk(self, what: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, what)


def known_keys(told: Sequence[Notice]) -> Mapping[str, None]:
    """What a new subscriber sees on the page, and need not be told."""
    return dict.fromkeys(word.key for word in words(told))
