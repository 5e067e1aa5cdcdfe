"""Reads the journal for the detectors. What they find is kept at once; their state, which is large, now and then.

A gateway that dies in between finds the same again from the state before, and knows up to where that is old news.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from gateway.detect.detectors import Detectors, Settings, newest
from gateway.errors import ConfigError
from gateway.journal.access import JournalAccess
from gateway.journal.store import DETECT, Journal
from gateway.records import Incident, Pack

log = logging.getLogger(__name__)

BATCH: Final = 5000
"""Packs taken from the journal at once."""
PACE: Final = 0.1
"""Seconds between two batches when few packs come."""
SLICE: Final = 512
GIVE_WAY: Final = 0.003
"""Packs at once, and seconds between them while few come: Python computes in one thread at a time, and who waits for an
acknowledgement shall not wait for a detector."""

SAVE_SECONDS: Final = 30.0
"""Between two savings of the state while packs come: as much has to be read again after a crash ..."""
SAVE_PACKS: Final = 200_000
"""... and this is how many packs, at most."""
FULL_SECONDS: Final = 1.0
"""How often it is looked whether the journal is full, as long as saving would make room in it."""
REST_BYTES: Final = 1_000_000
"""State saved a second while no packs come."""


class Runner:
    """One task."""

    def __init__(self, journal: JournalAccess, settings: Settings) -> None:
        self._journal = journal
        self._settings = settings
        self._gone: list[tuple[Sequence[tuple[str, str]], asyncio.Future[None]]] = []

    async def forget(self, nodes: Sequence[tuple[str, str]]) -> None:
        """These (site, node) are as if they had never been heard of. Returns once that is on disk; not before `run`
        runs."""
        done = asyncio.get_running_loop().create_future()
        self._gone.append((nodes, done))
        self._journal.tell("space")
        await done

    async def run(self) -> None:
        """Detect until cancelled."""
        journal = self._journal
        detectors, place, told = await self._begin()
        news = journal.listen("packs", "space")
        saved, saved_at, rest = place, time.monotonic(), 0.0
        while True:
            if self._gone:
                await self._forget(detectors, place)
                saved, saved_at = place, time.monotonic()
            limit = min(BATCH, told - place) if place < told else BATCH
            last, packs, more = await journal.call(Journal.read, DETECT, limit, place)
            if more:
                changed = await self._feed(detectors, packs)
                if changed and last > told:
                    _log(changed)
                    await journal.call(Journal.found, last, changed)
                place = last
            age = time.monotonic() - saved_at
            due = age > SAVE_SECONDS or place - saved > SAVE_PACKS or journal.full is not None
            if place > saved and (due or (not more and age > rest)):
                state = await asyncio.to_thread(detectors.save)
                await journal.call(Journal.detected, place, state)
                saved, saved_at, rest = place, time.monotonic(), len(state) / REST_BYTES
            elif not more:
                # To save what there is when nothing comes, it is waited no longer than until that is due.
                # A journal that becomes full meanwhile tells nobody here, and may wait for just that.
                await _wait(news.wait(), min(FULL_SECONDS, max(PACE, rest - age)) if place > saved else None)
            if len(packs) < BATCH:
                await asyncio.sleep(PACE)

    async def _begin(self) -> tuple[Detectors, int, int]:
        """The detectors, the place up to which they know the packs, and that up to which what they found is kept.

        Of a state that these cannot take over, after an upgrade or a return, nothing can be used: they begin anew, for
        a gateway without detectors that have learnt is better than none.
        """
        state, place, told = await self._journal.call(Journal.detector_state)
        try:
            return Detectors.load(state, self._settings), place, told
        except ConfigError as error:
            log.error("%s: they begin anew and have to learn what is usual; what they had open is ended", error)
        await self._journal.call(Journal.forget_detectors)
        return Detectors(self._settings), place, place

    async def _forget(self, detectors: Detectors, place: int) -> None:
        """What was asked for. Also what was learnt from packs up to `place` is saved with it."""
        gone, self._gone = self._gone, []
        for site, node in {each for nodes, _ in gone for each in nodes}:
            detectors.forget(site, node, alias())
        await self._journal.call(Journal.detected, place, await asyncio.to_thread(detectors.save))
        for _, done in gone:
            if not done.done():
                done.set_result(None)

    async def _feed(self, detectors: Detectors, packs: list[Pack]) -> list[Incident]:
        """What changed with these packs, each incident once, in its newest form."""
        changes: list[Incident] = []
        for begin in range(0, len(packs), SLICE):
            changes += await asyncio.to_thread(detectors.feed, packs[begin : begin + SLICE])
            if len(packs) < BATCH:
                await asyncio.sleep(GIVE_WAY)
        return newest(changes)


def alias() -> str:
    """What stands for the name of a node that is to be forgotten: nobody can tell whose it was."""
    return f"gone-{secrets.token_hex(8)}"


def _log(changed: list[Incident]) -> None:
    for incident in changed:
        kind = f", now {incident.kind}" if incident.was else ""
        held = " (held)" if incident.held else ""
        log.info("%s %s%s%s: %s", incident.id, incident.state, kind, held, incident.summary)


async def _wait(news: Coroutine[Any, Any, None], seconds: float | None) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news
