"""How rare an evidence is within its own series' past: what makes one threshold fit every series."""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core.state import LEAST, OCTAVES, State, Tables
from gateway.detect.memory import Bools, Floats32

WARM = 100
"""Readings before which nothing counts as rare (our choice: two decades of rarity can be told from then on)."""
SHARE = 0.06
"""Above the gate (our choice: only such rows need exact counting, which is what costs time)."""
PACE = 0.03
"""By which the gate follows a reading."""
AT_GATE = 1.2
"""-log10 of that share."""
NOVEL = 0.6
"""Decades of rarity for each octave above all that was seen: the tail of a density that falls by 4 an octave, as of
many real series (our choice; 0.3 to 2 find the same)."""
FULL = 60_000.0
"""Readings, at which all counts are halved: they are 16 bits wide."""

Index = NDArray[np.intp]


def rarity(
    state: State, tables: Tables, index: Index, which: int, gate: Floats32, evidence: Floats32, known: Bools | None
) -> Floats32:
    """-log10 of the share of the series' past with as much evidence, and counts it. Both arrays in the state's order.

    known: where there is such evidence at all. `gate` is changed in place.
    """
    over = evidence > gate
    if known is not None:
        over &= known
    decades = evidence / gate
    np.minimum(decades, 1, out=decades)
    decades *= np.float32(AT_GATE)
    if known is not None:
        decades *= known
    rows = np.flatnonzero(over)
    if len(rows):
        decades[rows] = _exactly(tables.ranks, index[rows], which, evidence[rows], state.seen[rows])
    step = over * np.float32(PACE)
    step += np.float32(1 - PACE * SHARE)
    if known is None:
        gate *= step
    else:
        np.multiply(gate, step, out=gate, where=known)
    np.maximum(gate, np.float32(LEAST), out=gate)
    return decades


def _exactly(ranks: NDArray[np.uint16], series: Index, which: int, evidence: Floats32, seen: Floats32) -> Floats32:
    place = np.clip(np.log2(evidence) - np.float32(np.log2(LEAST)), 0, np.float32(OCTAVES - 1.001))
    octave = place.astype(np.intp)
    counts = ranks[series, which].astype(np.float32)
    bins = np.arange(OCTAVES)
    here = counts[np.arange(len(series)), octave]
    more = (counts * (bins > octave[:, None])).sum(1, dtype=np.float32) + here * (1 - (place - octave))
    record = ((counts > 0) * bins).max(1)
    beyond = np.clip(place - record - 1, 0, 4)
    ranks[series, which, octave] += 1
    found = -np.log10((more + np.float32(0.5)) / (seen + 1)) + beyond * np.float32(NOVEL)
    return np.where(seen < WARM, 0, np.maximum(found, 0)).astype(np.float32)


def halve(state: State, tables: Tables, index: Index) -> None:
    """Old counts give way, so that none overflows."""
    rows = np.flatnonzero(state.seen >= FULL)
    if len(rows):
        state.seen[rows] /= 2
        tables.ranks[index[rows]] //= 2
        tables.habits[index[rows]] //= 2
