"""How rare an evidence is within its own series' past: what makes one threshold fit every series."""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core.state import BINS, EVIDENCES, LEAST, State, Tables
from gateway.detect.memory import Bools, Floats32

SHARE = 0.04
"""Above the gate (our choice: only such rows need exact counting, which is what costs time)."""
PACE = 0.03
"""By which the gate follows a reading."""
SHARES = np.array([SHARE / 2, SHARE, SHARE])
"""Of values, half on either side."""
AT_GATE = -np.log10(SHARES).astype(np.float32)[:, None]
FALL = (1 - PACE * SHARES).astype(np.float32)
RISE = np.float32(1 + PACE)
PER_OCTAVE = 3
"""Bins of the evidences of season and pattern, from 2**-4 to 2**12 (our choice)."""
NOVEL = 0.6
"""Decades of rarity for each octave above all that was seen: the tail of a density that falls by 4 an octave, as of
many real series (our choice; 0.3 to 2 find the same)."""
REACH = np.float32(32)
"""Units from the level, from which on values are one to their histogram (our choice: 20 and 40 find more than 10 and
100): farther ones would make its bins too wide for the rest."""
FULL = 60_000.0
"""Readings, at which all counts are halved: they are 16 bits wide."""
HALF = np.float32(0.5)
DECADES = np.float32(1 / np.log(10))

NUMBERS = np.arange(BINS)
BEYOND = np.concatenate((NUMBERS[:, None] < NUMBERS, NUMBERS[:, None] > NUMBERS)).astype(np.float32)
"""Which bins are above the bin of a reading; and, BINS further, which are below it."""
FAR_OUT = int(np.log2(4 / LEAST)) * PER_OCTAVE
"""The bin of 4 spreads and more: what `level.FAR` is in."""
Index = NDArray[np.intp]


def rarity(
    state: State, tables: Tables, index: Index, deviation: Floats32, unit: Floats32, seasonal: Floats32, novel: Floats32
) -> Floats32:
    """Decades: -log10 of the share of the series' past with as much evidence, [EVIDENCES, series]; and counts it.

    deviation: of the value from the level, in `unit`s; seasonal and novel: the other evidences, 0 where there is none.
    Below its gate an evidence's decades are in proportion to it.
    """
    decades = np.empty((EVIDENCES, len(index)), np.float32)
    np.divide(deviation, state.gate_above, out=decades[0])
    np.maximum(decades[0], deviation / state.gate_below, out=decades[0])
    np.divide(seasonal, state.gate_season, out=decades[1])
    np.divide(novel, state.gate_pattern, out=decades[2])
    flat = np.flatnonzero(decades > 1)
    np.minimum(decades, 1, out=decades)
    decades *= AT_GATE
    count = len(index)
    first, second = np.searchsorted(flat, (count, 2 * count))
    value, season, pattern = flat[:first], flat[first:second] - count, flat[second:] - 2 * count
    below = deviation[value] < 0
    if len(flat):
        place = np.concatenate(
            (_among_values(state, tables, index, value, deviation, unit), _octave(seasonal[season], novel[pattern]))
        )
        kind = np.repeat(np.arange(EVIDENCES), (len(value), len(season), len(pattern)))
        row = np.concatenate((value, season, pattern))
        side = np.zeros(len(flat), np.intp)
        side[: len(value)] = below * BINS
        which = index[row] * EVIDENCES + kind
        decades.reshape(-1)[flat] = _exactly(tables.ranks, which, kind > 0, place, side, state.seen[row])
    _follow(state, value[~below], value[below], season, pattern)
    return decades


def _follow(state: State, above: Index, below: Index, season: Index, pattern: Index) -> None:
    gates = (state.gate_above, state.gate_below, state.gate_season, state.gate_pattern)
    for gate, over, fall in zip(gates, (above, below, season, pattern), FALL[[0, 0, 1, 2]], strict=True):
        np.multiply(gate, fall, out=gate)
        gate[over] *= RISE
    np.maximum(state.gate_above, LEAST, out=state.gate_above)
    np.minimum(state.gate_below, -LEAST, out=state.gate_below)
    np.maximum(state.gate_season, LEAST, out=state.gate_season)
    np.maximum(state.gate_pattern, LEAST, out=state.gate_pattern)


def _octave(*evidence: Floats32) -> Floats32:
    place = np.log2(np.concatenate(evidence))
    place -= np.float32(np.log2(LEAST))
    place *= PER_OCTAVE
    np.minimum(place, np.float32(BINS - 0.001), out=place)
    return place


def _among_values(
    state: State, tables: Tables, index: Index, rows: Index, deviation: Floats32, unit: Floats32
) -> Floats32:
    """Place in the histogram, whose range is doubled until it holds the value."""
    value = np.maximum(deviation[rows], -REACH)
    np.minimum(value, REACH, out=value)
    value *= unit[rows]
    value += state.level[rows]
    low, width = state.low[rows], state.width[rows]
    if (new := width == 0).any():
        width[new] = np.maximum(np.abs(value[new]), unit[rows[new]]) / 8
        low[new] = value[new] - width[new] * (BINS // 2)
    while True:
        place = (value - low) / width
        out = np.flatnonzero((place < 0) | (place >= BINS))
        if not len(out):
            break
        down = place[out] < 0
        series = index[rows[out]]
        pairs = tables.ranks[series, 0].reshape(-1, BINS // 2, 2).sum(2)
        tables.ranks[series, 0] = 0
        tables.ranks[series[down], 0, BINS // 2 :] = pairs[down]
        tables.ranks[series[~down], 0, : BINS // 2] = pairs[~down]
        low[out] -= down * BINS * width[out]
        width[out] *= 2
    state.low[rows], state.width[rows] = low, width
    return np.asarray(np.minimum(place, np.float32(BINS - 0.001)), np.float32)


def _exactly(
    ranks: NDArray[np.uint16], which: Index, graded: Bools, place: Floats32, side: Index, seen: Floats32
) -> Floats32:
    """graded: of season and pattern, where the place within a bin says something, and one above all bins."""
    bin_ = place.astype(np.intp)
    place -= bin_
    counts = ranks.reshape(-1, BINS).take(which, axis=0).astype(np.float32)
    flat = ranks.reshape(-1)
    here = which * BINS + bin_
    own = flat.take(here)
    flat[here] = own + np.uint16(1)
    more = np.einsum("ij,ij->i", counts, BEYOND.take(bin_ + side, axis=0))
    more += own * np.where(graded, 1 - place, HALF)
    more += HALF
    seen = seen + 1
    found: Floats32 = np.log(seen / more)
    found *= DECADES
    newest = np.flatnonzero(graded & (more <= 1.5))  # nearly a record: by how much?
    record = BINS - 1 - (counts[newest, ::-1] > 0).argmax(1)
    beyond = (place[newest] + bin_[newest] - record - 1) / PER_OCTAVE
    found[newest] += np.clip(beyond, 0, 4).astype(np.float32) * np.float32(NOVEL)
    return np.maximum(found, 0, out=found)


def halve(state: State, tables: Tables, index: Index) -> None:
    """Old counts give way, so that none overflows."""
    if state.seen.max(initial=0) >= FULL:
        rows = np.flatnonzero(state.seen >= FULL)
        half = np.floor(state.seen[rows] / 2)
        for each in (state.seen, state.bar_until, state.calm_until):
            each[rows] -= half
        tables.ranks[index[rows]] //= 2


def take_back(tables: Tables, series: Index) -> None:
    """Of the season what was far out: it was the beginning of what is usual now, and not a rare event."""
    tables.ranks[series, 1, FAR_OUT:] = 0
