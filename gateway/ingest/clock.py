"""The gateway's idea of the time, against which a pack from the future is told."""

import time
from collections.abc import Callable
from typing import Final

from gateway.ingest.decode import MAX_AHEAD

BEHIND: Final = MAX_AHEAD
"""Seconds that the machine's clock may be behind the newest pack: as many as a pack may be ahead of it. Where it is
further behind, it is known to be wrong."""


class Clock:
    """Unix seconds that never run behind what was known: a machine's clock may jump back, or begin in 1970.

    A jump forward is followed only as long as it lasts. Packs would otherwise be refused for the fault of the gateway.
    """

    def __init__(
        self,
        newest: float,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`newest` is the time of the newest pack that was accepted before this start; 0 before the first."""
        self._wall = wall
        self._monotonic = monotonic
        self._newest = newest
        self._begun = max(wall(), newest) - monotonic()

    def __call__(self) -> float:
        wall, steady = self._wall(), self._begun + self._monotonic()
        # While the machine's clock is known to be wrong the packs are the better one. Otherwise they are not: a node
        # whose clock runs too fast would take it along.
        return max(steady, self._newest if wall + BEHIND < self._newest else wall)

    def hear(self, time: float) -> float:
        """Take in the time of a pack that was accepted. Returns the time."""
        self._newest = max(self._newest, time)
        return self()
