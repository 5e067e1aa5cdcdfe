"""Reads the journal for the detectors: state, place and changed incidents go back in one transaction."""

import asyncio
import logging
from typing import Final

from gateway.detect.detectors import Detectors
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal

log = logging.getLogger(__name__)

BATCH: Final = 5000
"""Packs between two savings."""
PACE: Final = 0.5
"""Seconds between two savings when few packs come: the state of ten thousand nodes is a megabyte to write."""


class Runner:
    """One task."""

    def __init__(self, journal: JournalAccess) -> None:
        self._journal = journal

    async def run(self) -> None:
        """Detect until cancelled. Raises ConfigError when the journal holds the state of another version."""
        detectors = Detectors.load(await self._journal.call(Journal.detector_state))
        while True:
            batch = await self._journal.call(Journal.read, "detect", BATCH)
            if batch:
                packs = [pack for _, pack in batch]
                changed = await asyncio.to_thread(detectors.feed, packs)
                for incident in changed:
                    log.info(
                        "%s %s: %s", incident.id, "open" if incident.closed is None else "closed", incident.summary
                    )
                state = await asyncio.to_thread(detectors.save)
                await self._journal.call(Journal.detected, batch[-1][0], state, changed)
            if len(batch) < BATCH:
                await self._journal.wait_for_more("detect")
                await asyncio.sleep(PACE)
