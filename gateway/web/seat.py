"""What all pages and interfaces read from: the gateway's journal and the database, looked at from outside.

A process of its own: it holds nothing that must not be lost, and a thousand people who look do not hold up a pack.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct

from gateway.config import Config
from gateway.detect.plan import planned
from gateway.errors import ConfigError, Passing
from gateway.journal.store import Journal
from gateway.query.client import Series, ask
from gateway.records import Figures, Incident, NodeView
from gateway.signing.signer import signer_of

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How often the journal is looked at."""
SHARE: Final = 0.05
"""Of this process's time that may go into looking: a large journal is looked at less often."""
QUESTIONS: Final = 4
"""At the database at once. Others wait."""
ASK_SECONDS: Final = 30.0
"""How long somebody who looks waits for the database."""
THREAD_SECONDS: Final = 120.0
"""The same for a thread, its turn behind others included."""
ASK_BYTES: Final = 2**25
"""Of one answer."""

T = TypeVar("T")


class Snapshot(Struct, frozen=True):
    """What the journal said at one moment."""

    time: float
    """Unix seconds."""
    nodes: tuple[NodeView, ...] = ()
    """By site and name."""
    incidents: tuple[Incident, ...] = ()
    """In the order of their last change."""
    figures: Figures | None = None
    """None before the first look."""

    def node(self, site: str, node: str) -> NodeView | None:
        """None where it was never heard of."""
        return next((view for view in self.nodes if (view.site, view.node) == (site, node)), None)


class Seat:
    """See `run`."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError when the plan, or the identity that signs, cannot be used."""
        self.config = config
        self.signer = signer_of(config)
        self.plan = planned(config)
        self.zone = ZoneInfo(config.timezone)
        self.snapshot = Snapshot(0.0)
        self.trouble: str | None = None
        """Why the snapshot is old, in words; None while it is not."""
        self._turned = asyncio.Event()
        self._incidents: dict[int, Incident] = {}
        """Of the last look, by the numbers of their last changes."""
        self._used = 0.0
        """Seconds of the processor that the last look took: not of the clock, as under load it waits."""
        self._lookers = ThreadPoolExecutor(1, "look")
        self._askers = ThreadPoolExecutor(QUESTIONS, "ask")

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            began = time.monotonic()
            try:
                self._turn(await self.look(self._snapshot))
                self.trouble = None
            except ConfigError as error:
                if self.trouble is None:
                    log.warning("the journal cannot be read: %s", error)
                self.trouble = str(error)
            await asyncio.sleep(max(LOOK_SECONDS - (time.monotonic() - began), self._used / SHARE))

    def close(self) -> None:
        """Wait for nobody any more."""
        for pool in (self._lookers, self._askers):
            pool.shutdown(wait=False, cancel_futures=True)

    async def look(self, what: Callable[[Journal], T]) -> T:
        """What `what` finds in the journal as it is now. Raises ConfigError when there is none."""

        def read() -> T:
            began = time.thread_time()
            journal = Journal.open(Path(self.config.data_dir), self.config.journal.max_bytes, read_only=True)
            try:
                return what(journal)
            finally:
                journal.close()
                self._used = time.thread_time() - began

        return await asyncio.get_running_loop().run_in_executor(self._lookers, read)

    def newest(self) -> float:
        """The time that the sites' newest packs are of, Unix seconds; in the future is none."""
        snapshot = self.snapshot
        return min(max((view.time for view in snapshot.nodes), default=snapshot.time), snapshot.time)

    def present(self) -> float:
        """The time that is now in the city, Unix seconds: a simulated one runs faster than the clock."""
        return self.newest() if self.config.exercise else self.snapshot.time

    async def newer(self, seen: Snapshot) -> Snapshot:
        """The next snapshot after one that was seen."""
        while self.snapshot is seen:
            await self._turned.wait()
        return self.snapshot

    async def ask(self, statement: str) -> list[Series]:
        """The database's answer to InfluxQL. Raises GanglionError as `query.client.ask` does."""
        loop = asyncio.get_running_loop()
        asking = partial(ask, self.config.influx, statement, ASK_SECONDS, most_bytes=ASK_BYTES)
        return await loop.run_in_executor(self._askers, asking)

    def asker(self) -> Callable[[str], list[Series]]:
        """`ask`, for a thread beside the loop. What it gives also raises Passing after `THREAD_SECONDS`."""
        loop = asyncio.get_running_loop()

        def ask_from_thread(statement: str) -> list[Series]:
            future = asyncio.run_coroutine_threadsafe(self.ask(statement), loop)
            try:
                return future.result(THREAD_SECONDS)
            except TimeoutError as error:
                future.cancel()
                raise Passing(f"the database did not answer within {THREAD_SECONDS:.0f} s: ask again later") from error

        return ask_from_thread

    def _snapshot(self, journal: Journal) -> Snapshot:
        now = time.time()
        self._incidents = journal.incidents_numbered(self._incidents)
        return Snapshot(now, tuple(journal.nodes()), tuple(self._incidents.values()), journal.figures(now))

    def _turn(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        before, self._turned = self._turned, asyncio.Event()
        before.set()
