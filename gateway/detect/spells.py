"""How long each series has been as it is: what holds in every window for a while opens, its contrary closes. Pure.

Rules are stated in time, not in numbers of packs. The time of a window is its end.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.detect.memory import Bools, Floats, Ints, Memory, Rows, column

MAX_GAP: Final = 600
"""Seconds without a window after which nothing is known about the time between: counting begins again."""
FIRST_WINDOW: Final = 60
"""Seconds that the first window of a spell is taken to have lasted, at most: what went before it was otherwise."""

FOR: Final = 1
NEITHER: Final = 0
AGAINST: Final = -1


class Patience(Struct, frozen=True):
    """How long a condition must hold. Seconds."""

    opens_after: int
    """It held in every window for so long."""
    closes_after: int
    """Its contrary did."""
    least_windows: int = 3
    """And in so many windows: where packs are lost, two of them are too little to speak of every."""
    max_gap: int = MAX_GAP
    first_window: int = FIRST_WINDOW


@dataclass(slots=True)
class Spells(Memory):
    """Of each series, its spell."""

    time: Ints = column(np.int64)
    condition: NDArray[np.int8] = column(np.int8)
    since: Ints = column(np.int64)
    windows: NDArray[np.int32] = column(np.int32)
    open: Bools = column(np.bool_)

    def turn(self, rows: Rows, patience: Patience, time: Ints, condition: NDArray[np.int8]) -> tuple[Bools, Bools]:
        """`extend` those of some rows."""
        part = self.take(rows)
        opened, closed = extend(part, patience, time, condition)
        self.put(rows, part)
        return opened, closed


def extend(spells: Spells, patience: Patience, time: Ints, condition: NDArray[np.int8]) -> tuple[Bools, Bools]:
    """Take in a window of each series of `spells` (a part that `take` gave): (opened, closed), bool each.

    `condition` is FOR where it speaks for an incident, AGAINST where against it, NEITHER for neither, which breaks a
    spell. Windows that are not newer than a series' newest are passed over.
    """
    gap = time - spells.time
    newer = gap > 0
    new = newer & ((condition != spells.condition) | (gap > patience.max_gap))
    if new.any():
        np.copyto(spells.since, time - np.minimum(gap, patience.first_window), where=new)
        spells.windows[new] = 0
        np.copyto(spells.condition, condition, where=new)
    spells.windows += newer
    np.copyto(spells.time, time, where=newer)
    speaks_for, speaks_against = condition == FOR, condition == AGAINST
    opened, closed = newer & speaks_for & ~spells.open, newer & speaks_against & spells.open
    if not (opened.any() or closed.any()):
        return opened, closed
    enough, lasted = spells.windows >= patience.least_windows, time - spells.since
    opened &= enough & (lasted >= patience.opens_after)
    closed &= enough & (lasted >= patience.closes_after)
    spells.open ^= opened | closed
    return opened, closed


def speaks(for_it: Bools, against_it: Bools) -> NDArray[np.int8]:
    """FOR, AGAINST or NEITHER by two conditions of which at most one holds."""
    return for_it.astype(np.int8) - against_it.astype(np.int8)


def above(value: Floats, high: float, low: float) -> NDArray[np.int8]:
    """FOR at `high` or more, AGAINST below `low`, NEITHER between them and where nothing is known (NaN)."""
    return speaks(value >= high, value < low)
