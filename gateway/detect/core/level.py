"""The level of a series and how much it varies."""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core.state import State
from gateway.detect.memory import Bools, Floats32

MEMORY = np.float32(3000)
"""Readings (our choice: a month of 15 min; 1,000 and 8,000 find as much)."""
SWING_MEMORY = np.float32(4000)
FAR = np.float32(5)
"""Spreads from the level, beyond which a value is learnt as if it were there: of a Gaussian 4.0 standard deviations."""
ACCEPTED = np.float32(100)
"""Readings in a row that far on one side are a new level, or another sensor: it is learnt anew."""
YOUNG = np.float32(10)
FLOOR = np.float32(0.02)
"""Of the swing: spreads below are taken for it (a series that is nearly constant but for spikes)."""
TINY = np.float32(1e-30)
GAP_S = 30 * 86400
"""A gap, after which neither the last value nor the last means say anything (our choice)."""


def scale(state: State) -> Floats32:
    """The least that is called a deviation."""
    floor: Floats32 = state.swing * FLOOR
    floor += TINY
    return floor


def learn(state: State, value: Floats32, away: Floats32) -> NDArray[np.intp]:
    """away: of the value from the level. Gives the rows whose level begins anew."""
    size = np.abs(away)
    limit = state.spread * FAR
    limit += TINY
    anew = _accepted(state, away, size > limit)
    np.copyto(limit, np.float32(np.inf), where=state.age <= YOUNG)
    fresh = 1 / (state.age + 1)
    gain = np.maximum(fresh, 1 / MEMORY)
    held = np.clip(away, -limit, limit)
    state.level += gain * held
    np.abs(held, out=held)
    held -= state.spread
    held *= gain
    state.spread += held
    size -= state.swing
    size *= np.maximum(fresh, 1 / SWING_MEMORY)
    state.swing += size
    state.age += 1
    if len(anew):
        state.level[anew] = value[anew]
        state.spread[anew] = state.swing[anew] = 0
        state.age[anew] = 1
    return anew


def _accepted(state: State, away: Floats32, far: Bools) -> NDArray[np.intp]:
    far &= state.age > YOUNG
    side = np.copysign(far, away)
    state.beyond *= state.beyond * side > 0
    state.beyond += side
    long = np.flatnonzero(np.abs(state.beyond) >= ACCEPTED)
    state.beyond[long] = 0
    return long
