"""Reads the journal for the detectors. What they find is kept at once; their state, which is large, now and then.

A gateway that dies in between finds the same again from the state before, and knows up to where that is old news.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any, Final

from gateway.detect.detectors import Detectors, Settings, newest
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
REST_BYTES: Final = 1_000_000
"""State saved a second while no packs come."""


class Runner:
    """One task."""

    def __init__(self, journal: JournalAccess, settings: Settings) -> None:
        self._journal = journal
        self._settings = settings

    async def run(self) -> None:
        """Detect until cancelled. Raises ConfigError when the journal holds the state of another version."""
        journal = self._journal
        state, place, told = await journal.call(Journal.detector_state)
        detectors = Detectors.load(state, self._settings)
        news = journal.listen("packs", "space")
        saved, saved_at, rest = place, time.monotonic(), 0.0
        while True:
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
                await _wait(news.wait(), max(PACE, rest - age) if place > saved else None)
            if len(packs) < BATCH:
                await asyncio.sleep(PACE)

    async def _feed(self, detectors: Detectors, packs: list[Pack]) -> list[Incident]:
        """What changed with these packs, each incident once, in its newest form."""
        changes: list[Incident] = []
        for begin in range(0, len(packs), SLICE):
            changes += await asyncio.to_thread(detectors.feed, packs[begin : begin + SLICE])
            if len(packs) < BATCH:
                await asyncio.sleep(GIVE_WAY)
        return newest(changes)


def _log(changed: list[Incident]) -> None:
    for incident in changed:
        log.info("%s %s%s: %s", incident.id, incident.state, " (held)" if incident.held else "", incident.summary)


async def _wait(news: Coroutine[Any, Any, None], seconds: float | None) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news
