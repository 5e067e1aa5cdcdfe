"""What is told of rare readings: an event once."""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core.state import State
from gateway.detect.memory import Bools, Floats32

LONG_PAST = np.float32(0.8)
"""Decades of rarity that a decade of readings takes off: what comes every n readings is told some times in n, not in
each thousand (0.5 to 1 find the same)."""
REST = np.float32(150)
"""Readings for which what was told holds back what is less: at first fully, in the last third less and less
(with 200 and 250 fewer windows of the benchmark are found)."""
FULLY = np.float32(0.7)
MARGIN = np.float32(0.3)
"""Decades that a further event must be above it in that time."""
LONG = np.float32(3)
"""Decades of readings, from which on it counts against."""
LOW = np.float32(1)
"""Decades: what is less is told without holding anything back."""
ALARM = np.float32(2.5)
"""Decades at which an alarm is raised."""


def tell(state: State, decades: Floats32) -> tuple[NDArray[np.intp], Floats32, Bools]:
    """The rows where something is told, its decades, and whether an alarm is raised. Call it once a reading."""
    state.wait -= 1
    np.maximum(state.wait, 0, out=state.wait)
    state.calm -= 1
    np.maximum(state.calm, 0, out=state.calm)
    bar = state.wait * (1 / (REST * (1 - FULLY)))
    np.minimum(bar, 1, out=bar)
    bar *= state.bar
    bar += MARGIN * (bar > 0)
    past = np.log10(np.maximum(state.seen, 1))
    past -= LONG
    past *= -LONG_PAST
    past += decades
    rows = np.flatnonzero(past > bar)
    told: Floats32 = past[rows]
    young = np.maximum(told - decades[rows], 0)  # a short past is no reason to raise
    alarm = (told - young >= ALARM) & (state.calm[rows] == 0)
    lasting = told > LOW
    held = rows[lasting]
    state.bar[held] = told[lasting]
    state.wait[held] = REST
    state.calm[rows[alarm]] = REST
    return rows, told, alarm
