"""The way from the event loop to the journal: one thread does all of its work, in order."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, Final, Literal, ParamSpec, Self, TypeVar

from gateway.errors import JournalFull
from gateway.journal.store import Journal

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

Waiter = Literal["forward", "detect", "mqtt", "space"]

# What each change is news for. Incidents leave by the forwarder (points) and by the broker (messages).
WAKES: Final[dict[Callable[..., Any], tuple[Waiter, ...]]] = {
    Journal.commit: ("forward", "detect"),
    Journal.detected: ("forward", "mqtt", "space"),
    Journal.forwarded: ("space",),
}

FULL_RETRY_SECONDS = 1.0
"""A disk is freed by somebody else, who tells nobody: look again."""


class JournalAccess:
    """Calls the journal's methods on its own thread and tells consumers when there is more to read."""

    def __init__(self, journal: Journal, executor: ThreadPoolExecutor) -> None:
        self._journal = journal
        self._executor = executor
        self._news: dict[Waiter, asyncio.Event] = {name: asyncio.Event() for name in ("forward", "detect", "mqtt")}
        self._space = asyncio.Event()
        self.full: str | None = None
        """Why a call waits for room, in words; None while there is room."""

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

    async def call(self, method: Callable[Concatenate[Journal, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`await access.call(Journal.read, "forward", 5000)`; what the method returns or raises.

        While the journal is full the call waits here, for as long as it takes: whoever acknowledges after it
        acknowledges nothing meanwhile.
        """
        loop = asyncio.get_running_loop()
        waited = False
        try:
            while True:
                self._space.clear()
                try:
                    result = await loop.run_in_executor(self._executor, lambda: method(self._journal, *args, **kwargs))
                except JournalFull as full:
                    if self.full is None:
                        log.warning("%s", full)
                    self.full = str(full)
                    waited = True
                else:
                    break
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FULL_RETRY_SECONDS):
                        await self._space.wait()
            if waited:
                log.warning("the journal has room again")
        finally:
            if waited:  # also when cancelled: who waits still says so again at its next try
                self.full = None
        for waiter in WAKES.get(method, ()):
            (self._space if waiter == "space" else self._news[waiter]).set()
        return result

    async def wait_for_more(self, consumer: Literal["forward", "detect", "mqtt"]) -> None:
        """Return once something was committed for this consumer since it last waited.

        Read until nothing comes, then wait: what is committed between the two is not missed. One task per consumer.
        """
        await self._news[consumer].wait()
        self._news[consumer].clear()

    async def close(self) -> None:
        """Let the call under way finish, then close the database."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._journal.close)
        self._executor.shutdown()
