"""Which queue is whose: every congested cell belongs to the incident at the head of its queue, until it dissolves."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim_hardware.city.cells import Cells
from sim_hardware.city.records import Ints

_PASSES: Final = 4
"""Cells that a queue grows in a minute, at most: waves run upstream at 20 km/h, a cell is 80 m or longer."""


class Queues:
    """Follows the queues of incidents from cell to cell, and notes which counters they reach, and when."""

    def __init__(self, cells: Cells, counters: Ints) -> None:
        self._cells = cells
        self._counters = counters
        self._owner: Ints = np.full(len(cells.street) + 1, -1)
        """Of each cell; and none of what lies behind the last."""
        self.reached: dict[int, dict[int, tuple[int, int]]] = {}
        """Of each incident, the counters its queue came to: (second of the first minute, of the last)."""
        self.seen: dict[int, tuple[int, int]] = {}
        """Of each incident that had a queue anywhere: likewise."""

    def follow(self, second: int, congested: NDArray[np.bool_], heads: Mapping[int, Ints]) -> None:
        """`heads` are the cells at which the incidents of this minute hold the traffic up."""
        owner = self._owner
        owned = owner >= 0
        if not heads and not owned.any():
            return
        owner[:-1][~congested] = -1
        for incident, cells in heads.items():
            owner[cells] = incident
        for _ in range(_PASSES):
            # From the cell below, where that is part of a queue and this one is not yet anybody's.
            free = np.flatnonzero(congested & (owner[:-1] < 0))
            owner[free] = owner[self._cells.below[free]]
        owner[:-1][~congested] = -1
        here = owner[self._counters]
        for incident in np.unique(owner[owner >= 0]).tolist():
            self.seen[incident] = (self.seen.get(incident, (second, 0))[0], second)
            reached = self.reached.setdefault(incident, {})
            for counter in np.flatnonzero(here == incident).tolist():
                reached[counter] = (reached.get(counter, (second, 0))[0], second)
