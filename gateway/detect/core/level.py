"""The level of a series and how much it varies."""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core.state import State
from gateway.detect.memory import Floats32

RANGE = np.float32(1e18)
"""From the origin, beyond which a value is taken for it; TINY is the least spread. No sensor's unit needs more."""
TINY = np.float32(1e-18)
MEMORY = np.float32(3000)
"""Readings (our choice: a month of 15 min; 1,500 and 6,000 find as much)."""
FAR = np.float32(5)
"""Spreads from the level, beyond which a value is learnt as if it were there: of a Gaussian 4.0 standard deviations."""
ACCEPTED = 100
"""Readings in a row that far on one side are a new level, or another sensor: it begins anew."""
FLOOR = np.float32(0.01)
"""Of the swing: added to spreads (a series that is nearly constant but for spikes). Half finds 1 point less of the
benchmark, twice 2 points."""
GAP_S = 30 * 86400
"""A gap, after which the last readings say nothing (our choice)."""


def scale(state: State) -> tuple[Floats32, Floats32]:
    """The least that is called a deviation, and with the spread what deviations of the value are measured in."""
    floor = state.swing * FLOOR
    floor += TINY
    return floor, state.spread + floor


def learn(state: State, away: Floats32, unit: Floats32) -> NDArray[np.intp]:
    """away: of the value from the level; unit: of `scale`. Gives the rows whose level is no longer what it was."""
    size = np.abs(away)
    limit = unit * FAR
    far = np.flatnonzero(size > limit)
    anew = _accepted(state, far, away) if len(far) else far
    np.maximum(state.last_size, limit, out=state.last_size)
    np.minimum(state.last_size, size, out=state.last_size)  # a deviation of a single reading is cut off
    state.last_size -= state.swing
    gain = state.age.astype(np.float32)
    gain += 1
    np.minimum(gain, MEMORY, out=gain)
    np.reciprocal(gain, out=gain)
    state.last_size *= gain
    state.swing += state.last_size
    np.minimum(size, limit, out=limit)
    held = np.maximum(away, -limit)
    np.minimum(held, limit, out=held)
    held *= gain
    state.level += held
    limit -= state.spread
    limit *= gain
    state.spread += limit
    state.last_size[...] = size
    state.age += 1
    state.age[anew] = 0
    return anew


def _accepted(state: State, far: NDArray[np.intp], away: Floats32) -> NDArray[np.intp]:
    side = np.where(away[far] > 0, 1, -1)
    run = state.far_run[far]
    run *= (state.far_at[far] == state.age[far]) & (run * side > 0)
    run += side
    state.far_run[far] = run
    state.far_at[far] = state.age[far] + 1
    return far[np.abs(run) >= ACCEPTED]
