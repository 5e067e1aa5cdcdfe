"""The way from the event loop to the journal: one thread does all of its work, in order."""

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, Final, Literal, ParamSpec, Self, TypeVar

from gateway.errors import JournalFull
from gateway.journal.store import Journal

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

News = Literal["packs", "incidents", "space"]

# What each change is news of.
WAKES: Final[dict[Callable[..., Any], tuple[News, ...]]] = {
    Journal.commit: ("packs",),
    Journal.take: ("packs",),
    Journal.revive: ("packs",),
    Journal.detected: ("space",),
    Journal.found: ("incidents",),
    Journal.forget_detectors: ("incidents",),
    Journal.acknowledge: ("incidents",),
    Journal.report: ("incidents",),
    Journal.erase: ("incidents",),
    Journal.forwarded: ("space",),
    Journal.checkpoint: ("space",),
}

NODES: Final = 256
"""Nodes of which it is saved at once what is known: a commit may have to wait for that."""
CARE_SECONDS: Final = 0.5
"""How often some nodes are saved, and SQLite's log is brought into the database, for which no commit has the time."""
MOST_PAGES: Final = 4096
"""Of the log, 16 MiB: then it begins anew."""

FULL_RETRY_SECONDS: Final = 1.0
"""A disk is freed by somebody else, who tells nobody: look again."""


class Listener:
    """Of one task: it reads until nothing comes, then waits. What is committed between the two is not missed."""

    def __init__(self, *news: News) -> None:
        self.news = frozenset(news)
        self._event = asyncio.Event()

    def tell(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """Return once there was news since it last returned."""
        await self._event.wait()
        self._event.clear()


class JournalAccess:
    """Calls the journal's methods on its own thread and tells consumers when there is more to read."""

    def __init__(self, journal: Journal, executor: ThreadPoolExecutor) -> None:
        self._journal = journal
        self._executor = executor
        self._beside = ThreadPoolExecutor(1, "journal-log")
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()  # one whose task has ended is gone
        self._space = asyncio.Event()
        self._waiting: dict[object, str] = {}  # why, of each call that waits for room

    @classmethod
    async def open(cls, folder: Path, max_bytes: int) -> Self:
        """Raises ConfigError when the journal cannot be opened."""
        executor = ThreadPoolExecutor(1, "journal")
        try:
            journal = await asyncio.get_running_loop().run_in_executor(executor, Journal.open, folder, max_bytes)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(journal, executor)

    @property
    def full(self) -> str | None:
        """Why a call waits for room, in words; None while none does."""
        return next(iter(self._waiting.values()), None)

    async def call(self, method: Callable[Concatenate[Journal, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`await access.call(Journal.read, "influx", 5000)`; what the method returns or raises.

        While the journal is full the call waits here, for as long as it takes: whoever acknowledges after it
        acknowledges nothing meanwhile.
        """
        me = object()
        try:
            while True:
                self._space.clear()
                try:
                    result = await self.attempt(method, *args, **kwargs)
                except JournalFull as full:
                    if not self._waiting:
                        log.warning("%s", full)
                    self._waiting[me] = str(full)
                else:
                    if self._waiting.keys() == {me}:
                        log.warning("the journal has room again")
                    return result
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FULL_RETRY_SECONDS):
                        await self._space.wait()
        finally:
            self._waiting.pop(me, None)  # its own alone: a small write may find room while a large one waits

    async def attempt(self, method: Callable[Concatenate[Journal, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `call`, but raises JournalFull at once: for whoever can be told to come again."""
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._executor, lambda: method(self._journal, *args, **kwargs))
        self.tell(*WAKES.get(method, ()))
        return result

    def tell(self, *news: News) -> None:
        """Wake whoever waits for such news."""
        if "space" in news:
            self._space.set()
        for listener in self._listeners:
            if not listener.news.isdisjoint(news):
                listener.tell()

    def listen(self, *news: News) -> Listener:
        """For a consumer, which keeps it as long as it runs."""
        listener = Listener(*news)
        self._listeners.add(listener)
        return listener

    async def run(self) -> None:
        """Until cancelled: save what is known of nodes in turn, and keep SQLite's log short beside the work."""
        loop = asyncio.get_running_loop()
        await self.call(Journal.leave_log, True)
        try:
            while True:
                await asyncio.sleep(CARE_SECONDS)
                await self.call(Journal.checkpoint, NODES)
                pages = await loop.run_in_executor(self._beside, self._journal.backfill)
                if pages > MOST_PAGES:
                    await self.call(Journal.rewind)
        finally:
            await self.call(Journal.leave_log, False)

    async def close(self) -> None:
        """Let the call under way finish, then close the database."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._journal.close)
        self._executor.shutdown()
        self._beside.shutdown()
