"""A city that a test leads by the hand: however busy the machine is, it is where the test looks at it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sim_hardware.fleet.fleet import Fleet
from sim_hardware.fleet.pace import Pace

SECONDS = 60.0
_LOOK_S = 0.05
_FOREVER = 1 << 40


class LedPace(Pace):
    """Stands at its beginning, and wherever it was led to; between that it has its speed."""

    def __init__(self, path: Path, start: int, speed: float, nodes: int) -> None:
        self._known = self.to = start + 1
        """Unix seconds that it comes to."""
        super().__init__(path, start, speed, nodes)

    def reach(self, known: int) -> None:
        self._known = known
        super().reach(min(known, self.to))

    def lead(self, to: int) -> None:
        # From where it stands: the time that it stood is none of the city's.
        self._mono_us = time.monotonic_ns() // 1000 - int((self.now_us() - self._start_us) / self.speed)
        self.to = to
        self.reach(self._known)


@contextmanager
def led() -> Iterator[None]:
    """A fleet that begins to run in here is led."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sim_hardware.fleet.fleet.Pace", LedPace)
        yield


def _pace(fleet: Fleet) -> LedPace:
    assert isinstance(fleet.pace, LedPace)
    return fleet.pace


def lead(fleet: Fleet, seconds: int) -> None:
    """Let the city go on for so long."""
    pace = _pace(fleet)
    pace.lead(pace.to + seconds)


def stands(fleet: Fleet) -> bool:
    """Whether the city has come where it was led to, with all its boards."""
    pace = _pace(fleet)
    there = pace.now_us() >= pace.to * 1_000_000 - 1
    return there and not (fleet.restless() or fleet.behind())


async def settled(fleet: Fleet) -> None:
    """Wait until every board that is to have power is up.

    Drivers sleep when a board starts, so the city cannot stand still meanwhile: it creeps, a second with each look.
    """
    pace = _pace(fleet)
    async with asyncio.timeout(SECONDS):
        while not fleet.started() or fleet.supply.awaited or fleet.restless():
            pace.lead(pace.to + 1)
            await asyncio.sleep(_LOOK_S)


async def minute(fleet: Fleet, number: int) -> None:
    """Let the city come to a minute after its start, or a little later, and stand there with all its boards up."""
    pace = _pace(fleet)
    at = fleet.settings.start + 60 * number
    if pace.to <= at:
        pace.lead(at + 1)
    async with asyncio.timeout(SECONDS):
        while pace.now_us() < at * 1_000_000:  # noqa: ASYNC110 - of the machine's clock
            await asyncio.sleep(_LOOK_S)
    await settled(fleet)


def go_on(fleet: Fleet) -> None:
    """The city goes its own pace from here."""
    _pace(fleet).lead(_FOREVER)
