"""Deletes what the gateway has kept for as long as it may, a little at a time and beside everything else."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.config import Config
from gateway.errors import ConfigError, JournalFull
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.notify.erase import expire

log = logging.getLogger(__name__)

DAY: Final = 86_400
ROUND_SECONDS: Final = 3600.0
"""Between two looks."""
STEP: Final = 200
"""Of each sort at once: acknowledgements wait so long."""
REST_SECONDS: Final = 0.2
"""Between two steps."""

Forget = Callable[[Sequence[tuple[str, str]]], Awaitable[None]]


class Keeper:
    """A part of the gateway. Nothing that happens here ends it."""

    def __init__(self, journal: JournalAccess, config: Config, forget: Forget) -> None:
        """`forget` has the detectors forget nodes."""
        self._journal = journal
        self._folder = Path(config.data_dir)
        self._keep = DAY * config.privacy.keep_days
        self._letters = DAY * config.privacy.letters_days
        self._forget = forget

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.round(time.time())
            except (ConfigError, JournalFull) as error:
                log.warning("what is too old stays for another hour: %s", error)
            await asyncio.sleep(ROUND_SECONDS)

    async def round(self, now: float) -> None:
        """Delete all that is too old at `now` (Unix seconds). Raises ConfigError and JournalFull."""
        while True:
            gone = await self._journal.attempt(Journal.expire, now - self._letters, now - self._keep, STEP)
            if gone.nodes:
                await self._forget(gone.nodes)
            messages = await asyncio.to_thread(expire, self._folder, now - self._letters, now - self._keep, STEP)
            if gone.letters or gone.incidents or gone.nodes or messages.total():
                log.info(
                    "too old, and deleted: %d dead letters, %d incidents, %d nodes, %d messages",
                    gone.letters,
                    gone.incidents,
                    len(gone.nodes),
                    messages.total(),
                )
            if STEP not in (gone.letters, gone.incidents, len(gone.nodes), *messages.values()):
                return
            await asyncio.sleep(REST_SECONDS)
