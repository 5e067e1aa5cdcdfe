"""The boards' power supply: who has power, who is to have none and when, and who has fallen and gets it again."""

import asyncio
import contextlib
import os
import signal
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from sim_hardware.city.incidents import NO_POWER

POWER_ON: Final = 1
DEEP_SLEEP: Final = 4
RESET_EXIT: Final = 80
"""A board that resets itself exits with this + its cause (sim_hardware/hal/machine.py)."""
_RESTART_S: Final = 1.0
"""A crashed board's supply comes back after this, so that a board that cannot start does not spin."""


class Supply:
    """Each board runs, or is off, for as many reasons as it has been switched off for.

    `start(slot, cause)` orders a board, `ended(slot)` is told of the end of its boot, and `told_us(slot)` is the time
    that it has told of itself.
    """

    def __init__(
        self,
        boards: int,
        start: Callable[[int, int], None],
        ended: Callable[[int], None],
        told_us: Callable[[int], int],
    ) -> None:
        self._start, self._ended, self._told_us = start, ended, told_us
        self.pids: dict[int, int] = {}
        """The process that each board is now."""
        self.crashes = 0
        """Boards that ended without having been told to, and not by a reset of their own."""
        self.cuts = 0
        """Boards that have lost their power while they ran."""
        self._begun: set[int] = set()
        self._on: set[int] = set()
        """Ordered, and not known to have ended."""
        self._killed: set[int] = set()
        self._reasons = [0] * boards
        """How many keep each board off."""
        self._again: set[asyncio.Task[None]] = set()
        self._planned: deque[tuple[int, Sequence[int], bool]] = deque()
        self._due: defaultdict[int, deque[tuple[int, bool]]] = defaultdict(deque)

    @property
    def begun(self) -> int:
        """Boards that have been given power for the first time."""
        return len(self._begun)

    @property
    def dark(self) -> int:
        """Boards that are kept without power."""
        return sum(reasons > 0 for reasons in self._reasons)

    @property
    def awaited(self) -> int:
        """Boards that have been ordered and are not there yet."""
        return len(self._on) - len(self.pids)

    @property
    def restless(self) -> bool:
        """Whether a board that is to have power is off at the moment."""
        return bool(self._killed or self._again)

    def begin(self, slot: int) -> None:
        """Power for the first time."""
        self._begun.add(slot)
        self._order(slot, POWER_ON)

    def off(self, slot: int) -> None:
        """Cut its power, whatever it is doing, until `on` has been called as often."""
        self._reasons[slot] += 1
        if slot in self._on and slot not in self._killed:
            self.cuts += 1
            self._killed.add(slot)
            self._kill(slot)

    def on(self, slot: int) -> None:
        """Take one reason back. Nothing, when all have been by `restore`."""
        self._reasons[slot] = max(0, self._reasons[slot] - 1)
        if slot in self._begun:
            self._order(slot, POWER_ON)

    def cut(self, slot: int, seconds: float) -> bool:
        """Cut its power for so many seconds. False when it has none at the moment."""
        if slot not in self.pids or slot in self._killed:
            return False
        self.off(slot)
        self._later(slot, seconds, self.on)
        return True

    def plan(self, slots: Sequence[int], begin: int, end: int) -> None:
        """Cut their power from `begin` to `end` (Unix seconds of the city)."""
        self._insert(begin, slots, True)
        self._insert(end, slots, False)

    def _insert(self, second: int, slots: Sequence[int], off: bool) -> None:
        at = len(self._planned)
        while at and self._planned[at - 1][0] > second:
            at -= 1
        self._planned.insert(at, (second, slots, off))

    def switch(self, minute: int, off: Iterable[int], on: Iterable[int]) -> None:
        """Some lose their power with a minute of the city, others have it back."""
        for slots, way in ((off, True), (on, False)):
            if chosen := list(slots):
                self._insert(minute, chosen, way)

    def step(self, now: int) -> None:
        """Do what is planned up to `now`, all of it and in order, however far the city has come since the last time.

        A board that is late is cut off when it has come to that second itself: it lives through what is before.
        """
        while self._planned and self._planned[0][0] <= now:
            second, slots, off = self._planned.popleft()
            for slot in slots:
                self._due[slot].append((second, off))
        for slot, due in list(self._due.items()):
            while due:
                second, off = due[0]
                if off and slot in self._on and slot not in self._killed and self._told_us(slot) < second * 1_000_000:
                    break
                due.popleft()
                self.off(slot) if off else self.on(slot)
            else:
                del self._due[slot]

    def restore(self) -> None:
        """Nothing is planned any more, and all that have been switched on have power again."""
        self._planned.clear()
        self._due.clear()
        for slot, reasons in enumerate(self._reasons):
            if reasons:
                self._reasons[slot] = 1
                self.on(slot)

    def hear(self, news: dict[str, Any]) -> None:
        """What a nursery says of a board; what has fallen is started again."""
        slot = news["slot"]
        if "exit" not in news:
            self.pids[slot] = news["pid"]
            if slot in self._killed:
                self._kill(slot)
            return
        self.pids.pop(slot, None)
        self._on.discard(slot)
        killed, code = slot in self._killed, news["exit"]
        self._killed.discard(slot)
        if code == RESET_EXIT + DEEP_SLEEP and not killed:
            self._order(slot, DEEP_SLEEP)  # the same boot goes on, at the moment at which it woke
            return
        self._ended(slot)
        if killed:
            self._order(slot, POWER_ON)
        elif code > RESET_EXIT:
            self._order(slot, code - RESET_EXIT)
        else:
            self.crashes += 1
            self._later(slot, _RESTART_S, lambda slot: self._order(slot, POWER_ON))

    def stop(self) -> None:
        """Nobody gets power again."""
        for task in self._again:
            task.cancel()

    def _order(self, slot: int, cause: int) -> None:
        """Unless it runs, or has to be off."""
        if slot not in self._on and not self._reasons[slot]:
            self._on.add(slot)
            self._start(slot, cause)

    def _kill(self, slot: int) -> None:
        """Now, or, when its process is not known yet, as soon as it is."""
        if slot in self.pids:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(self.pids[slot], signal.SIGKILL)

    def _later(self, slot: int, seconds: float, what: Callable[[int], None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            what(slot)

        task = asyncio.create_task(wait())
        self._again.add(task)
        task.add_done_callback(self._again.discard)


class Outage(Struct, frozen=True):
    """The city leaves some boards without power."""

    slots: tuple[int, ...]
    begin: int
    """Unix seconds, a whole minute."""
    end: int | None
    """None: as far as the city is known it goes on."""


class Switched(Protocol):
    """What gets its power from the mains."""

    def switch(self, minute: int, off: Iterable[int], on: Iterable[int]) -> None: ...


class Mains:
    """Reads out of the city's minutes whose power fails and comes back."""

    def __init__(self, boards: int, supply: "Switched") -> None:
        self._supply = supply
        self._off = np.zeros(boards, bool)
        self._since = np.zeros(boards, np.int64)
        self._over: list[Outage] = []

    def tell(self, minute: int, faults: NDArray[np.float64]) -> None:
        """The next minute (Unix seconds) of the city, and the field FAULTS of all places in it."""
        off = faults.astype(int) & NO_POWER > 0
        if np.array_equal(off, self._off):
            return
        failed, back = np.flatnonzero(off & ~self._off), np.flatnonzero(self._off & ~off)
        for begin in np.unique(self._since[back]).tolist():
            slots = back[self._since[back] == begin]
            self._over.append(Outage(tuple(slots.tolist()), begin, minute))
        self._since[failed] = minute
        self._off = off
        self._supply.switch(minute, failed.tolist(), back.tolist())

    def outages(self, until: int) -> list[Outage]:
        """All that have begun before `until` (Unix seconds), in order."""
        still = np.flatnonzero(self._off)
        found = list(self._over)
        for begin in np.unique(self._since[still]).tolist():
            found.append(Outage(tuple(still[self._since[still] == begin].tolist()), begin, None))
        return sorted((each for each in found if each.begin < until), key=lambda each: each.begin)
