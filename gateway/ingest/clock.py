"""The gateway's idea of the time, against which a pack from the future is told."""

import time
from collections.abc import Callable


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
        self._begun = max(wall(), newest) - monotonic()

    def __call__(self) -> float:
        return max(self._wall(), self._begun + self._monotonic())
