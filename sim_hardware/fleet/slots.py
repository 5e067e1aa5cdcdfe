"""What every emulated board tells of itself: one record a board in a shared file, for the fleet to count.

The board's side is in `sim_hardware/hal/power.py`. None of it goes through the firmware's own reports: the fleet's
count must not depend on what it is meant to check.
"""

from pathlib import Path

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from sim_hardware.shared import array

RECORD = np.dtype(
    [
        ("now_us", "<u8"),
        ("boot", "<u4"),
        ("made", "<u4"),
        ("acked", "<u4"),
        ("waiting", "<u4"),
        ("dropped", "<u4"),
        ("connections", "<u4"),
    ]
)

WOUND = np.dtype([("clock_us", "<i8"), ("clock_done_us", "<i8"), ("full", "<u4")])
"""What is done to a board: by how much its real-time clock has jumped since the run began; how much of that the board
has taken, which it writes itself; and whether its flash is full."""

_NEVER = 1 << 62  # us
_SUMMED = ("made", "acked", "dropped")
"""What is counted over all boots."""


class Counts(Struct, frozen=True):
    """Sums over some boards and all their boots."""

    nodes: int
    made: int
    acked: int
    waiting: int
    dropped: int
    connected: int
    """Boards that have had a connection in their present life."""


class Slots:
    """The reading end. A board that starts again counts from zero, so what it had is put aside first."""

    def __init__(self, path: Path, nodes: int) -> None:
        self._records = array(path, RECORD, (nodes,))
        self._before = np.zeros(nodes, RECORD)

    def begin(self, slot: int, now_us: int) -> None:
        """The board is being switched on: the city must not leave it behind before it tells its own time."""
        self._records["now_us"][slot] = now_us

    def retire(self, slot: int) -> None:
        """The board has ended: keep its counts, clear its record."""
        for name in _SUMMED:
            self._before[name][slot] += self._records[name][slot]
        self._records[slot] = np.zeros((), RECORD)

    def counts(self, which: slice = slice(None)) -> Counts:
        """Of all boards, or of some slots."""
        records, before = self._records[which], self._before[which]
        sums = {name: int(records[name].sum()) + int(before[name].sum()) for name in _SUMMED}
        return Counts(
            len(records),
            **sums,
            waiting=int(records["waiting"].sum()),
            connected=int(np.count_nonzero(records["connections"])),
        )

    def waiting(self) -> list[int]:
        """Packs that wait, board by board."""
        return [int(each) for each in self._records["waiting"]]

    def slowest_us(self) -> int:
        """The time of the board that is furthest behind, of those that live; 0 when none does."""
        return self._slowest()

    def hindmost_us(self, backlog: int) -> int:
        """The same of those alone that the machine makes late. Those that have not told of themselves since they were
        switched on may hang, and those with more packs than `backlog` in their outbox wait for a network."""
        return self._slowest((self._records["boot"] > 0) & (self._records["waiting"] <= backlog))

    def _slowest(self, which: NDArray[np.bool_] | slice = slice(None)) -> int:
        told = self._records["now_us"][which]
        return int(told[told > 0].min(initial=_NEVER)) % _NEVER

    def now_us(self, slot: int) -> int:
        """The time that a board has told of itself; 0 while it is off."""
        return int(self._records["now_us"][slot])

    def late(self, us: int) -> int:
        """How many of those that live have not come to a time."""
        told = self._records["now_us"]
        return int(np.count_nonzero((told > 0) & (told < us)))

    def silent(self) -> int:
        """How many have been switched on, and have not told of themselves since."""
        return int(np.count_nonzero((self._records["now_us"] > 0) & (self._records["boot"] == 0)))


class Wounds:
    """What is done to boards while they run: one record a board in a shared file, which it reads with the pace."""

    def __init__(self, path: Path, nodes: int) -> None:
        self._records = array(path, WOUND, (nodes,))

    def begin(self, slot: int) -> None:
        """The board is being switched on, and its clock is right."""
        self._records["clock_done_us"][slot] = self._records["clock_us"][slot]

    def jump(self, slot: int, seconds: float) -> None:
        """Its clock jumps."""
        self._records["clock_us"][slot] += round(seconds * 1e6)

    def fill(self, slot: int, full: bool) -> None:
        """Something fills its flash, or does so no longer."""
        self._records["full"][slot] = full
