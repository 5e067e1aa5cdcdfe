"""What has happened already, written down for those who look later. What strangers can cause does not fill the log."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from gateway.audit.entry import JSON
from gateway.audit.log import record
from gateway.buckets import Bucket

log = logging.getLogger(__name__)

MOST: Final = 20
"""Entries of one act that are written one by one, at once."""
RATE: Final = 1 / 60
"""And a second, for long: the log drops its oldest, and strangers must not be able to choose when."""
WINDOW_SECONDS: Final = 60.0
"""In which the others are counted."""
MOST_PLACES: Final = 100
"""Addresses counted in a window; the rest are one."""
TOLD_PLACES: Final = 5
REST: Final = "others"
ITSELF: Final = "gateway"
"""Who does what nobody has asked for."""


def note(
    data_dir: Path,
    act: str,
    *,
    who: str = ITSELF,
    of: str = "",
    came: str = "",
    detail: Mapping[str, JSON] | None = None,
) -> None:
    """As `record`. It is done, so a log that cannot be written hinders nothing: the gateway's own log then says it."""
    try:
        record(data_dir, act, who=who, of=of, came=came, detail=detail)
    except OSError as error:
        log.error("the audit log lacks %s of %s %s: %s; free its disk, or mend its owner", act, who, of, error)


async def witness(
    data_dir: Path,
    act: str,
    *,
    who: str = ITSELF,
    of: str = "",
    came: str = "",
    detail: Mapping[str, JSON] | None = None,
) -> None:
    """`note`, beside an event loop."""
    await asyncio.to_thread(note, data_dir, act, who=who, of=of, came=came, detail=detail)


class Sparing:
    """Of each act `MOST` at once and `RATE` for long are written one by one, of the others how many there were, and
    where the most came from, a window after the first of them. For one event loop."""

    def __init__(
        self, data_dir: Path, clock: Callable[[], float] = time.monotonic, seconds: float = WINDOW_SECONDS
    ) -> None:
        self._folder = data_dir
        self._clock = clock
        self._seconds = seconds
        self._buckets: dict[str, Bucket] = {}
        self._more: dict[str, Counter[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def witness(
        self, act: str, *, who: str, of: str = "", came: str = "", detail: Mapping[str, JSON] | None = None
    ) -> None:
        """As the function. `act` must be one of a few: each is counted by itself."""
        if act not in self._buckets:
            self._buckets[act] = Bucket(RATE, MOST, self._clock)
        if self._buckets[act].take():
            await witness(self._folder, act, who=who, of=of, came=came, detail=detail)
            return
        if act not in self._more:
            self._more[act] = Counter()
            task = asyncio.create_task(self._later(act))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        places = self._more[act]
        places[came if came in places or len(places) < MOST_PLACES else REST] += 1

    async def _later(self, act: str) -> None:
        try:
            await asyncio.sleep(self._seconds)
        finally:  # also when the program ends before
            places = self._more.pop(act)
            most: dict[str, JSON] = {place or "?": count for place, count in places.most_common(TOLD_PLACES)}
            detail: dict[str, JSON] = {"more": places.total(), "seconds": self._seconds, "from": most}
            await witness(self._folder, act, who="?", detail=detail)
