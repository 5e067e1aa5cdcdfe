"""Reads the journal for the detectors: state, place and changed incidents go back in one transaction."""

import asyncio
import logging
from typing import Final

from gateway.detect.detectors import Detectors, newest
from gateway.journal.access import JournalAccess
from gateway.journal.store import DETECT, Journal
from gateway.records import Incident, Pack

log = logging.getLogger(__name__)

BATCH: Final = 5000
"""Packs between two savings."""
PACE: Final = 0.5
"""Seconds between two savings when few packs come: the state of ten thousand nodes is a megabyte to write."""

SLICE: Final = 256
GIVE_WAY: Final = 0.003
"""Packs at once, and seconds between them while few come: Python computes in one thread at a time, and who waits for an
acknowledgement shall not wait for a detector."""


class Runner:
    """One task."""

    def __init__(self, journal: JournalAccess) -> None:
        self._journal = journal

    async def run(self) -> None:
        """Detect until cancelled. Raises ConfigError when the journal holds the state of another version."""
        detectors = Detectors.load(await self._journal.call(Journal.detector_state))
        news = self._journal.listen("packs")
        while True:
            place, packs, more = await self._journal.call(Journal.read, DETECT, BATCH)
            if more:
                changed = await self._feed(detectors, packs)
                for incident in changed:
                    log.info(
                        "%s %s: %s", incident.id, "open" if incident.closed is None else "closed", incident.summary
                    )
                state = await asyncio.to_thread(detectors.save)
                await self._journal.call(Journal.detected, place, state, changed)
            if not more:
                await news.wait()
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
