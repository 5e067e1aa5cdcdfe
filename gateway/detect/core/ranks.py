"""How rare an evidence is within its own series' past: what makes one threshold fit every series."""

import numpy as np
from numpy.typing import NDArray

from gateway.detect.core.state import LEAST, OCTAVES, RANKED, State, Tables
from gateway.detect.memory import Floats32

WARM = 100
"""Readings before which nothing counts as rare (our choice: two decades of rarity can be told from then on)."""
SHARE = 0.04
"""Above the gate (our choice: only such rows need exact counting, which is what costs time)."""
PACE = 0.03
"""By which the gate follows a reading."""
AT_GATE = 1.4
"""-log10 of that share."""
NOVEL = 0.6
"""Decades of rarity for each octave above all that was seen: the tail of a density that falls by 4 an octave, as of
many real series (our choice; 0.3 to 2 find the same)."""
FULL = 60_000.0
"""Readings, at which all counts are halved: they are 16 bits wide."""

BINS = np.arange(OCTAVES)
AFTER = (BINS[:, None] < BINS).astype(np.float32)
"""By the bin of a reading: which bins are above it."""

PATTERN = 2
FAR_OUT = int(np.log2(4 / LEAST))
"""The octave of 4 spreads and more: what `level.FAR` is in."""
Index = NDArray[np.intp]


def rarity(state: State, tables: Tables, index: Index, evidence: Floats32) -> Floats32:
    """-log10 of the share of the series' past with as much evidence; and counts it.

    evidence: [series, RANKED], 0 where there is none.
    """
    over = evidence > state.gate
    decades = evidence / state.gate
    np.minimum(decades, 1, out=decades)
    decades *= np.float32(AT_GATE)
    flat = np.flatnonzero(over)
    if len(flat):
        row = flat // RANKED
        which = index[row] * RANKED + flat % RANKED
        decades.reshape(-1)[flat] = _exactly(tables.ranks, which, evidence.reshape(-1)[flat], state.seen[row])
    state.gate *= np.float32(1 - PACE * SHARE)
    state.gate.reshape(-1)[flat] *= np.float32(1 + PACE)
    np.maximum(state.gate, np.float32(LEAST), out=state.gate)
    return decades


def _exactly(ranks: NDArray[np.uint16], which: Index, evidence: Floats32, seen: Floats32) -> Floats32:
    place = np.log2(evidence)
    place -= np.float32(np.log2(LEAST))
    np.minimum(place, np.float32(OCTAVES - 1.001), out=place)
    octave = place.astype(np.intp)
    histograms = ranks.reshape(-1, OCTAVES)
    counts = histograms[which].astype(np.float32)
    here = which * OCTAVES + octave
    bin_ = ranks.reshape(-1)
    within = bin_[here]
    bin_[here] = within + 1
    place -= octave
    more = np.einsum("ij,ij->i", counts, AFTER[octave])
    more += within * (1 - place)
    more += np.float32(0.5)
    found: Floats32 = np.log10((seen + 1) / more)
    newest = np.flatnonzero(more <= 1.5)  # nearly a record: by how much?
    record = ((counts[newest] > 0) * BINS).max(1)
    found[newest] += np.clip(place[newest] + octave[newest] - record - 1, 0, 4) * np.float32(NOVEL)
    np.maximum(found, 0, out=found)
    found *= seen >= WARM
    return found


def halve(state: State, tables: Tables, index: Index) -> None:
    """Old counts give way, so that none overflows."""
    rows = np.flatnonzero(state.seen >= FULL)
    if len(rows):
        state.seen[rows] /= 2
        tables.ranks[index[rows]] //= 2


def take_back(tables: Tables, series: Index) -> None:
    """Of level and season what was far out: it was the beginning of what is usual now, and not a rare event."""
    tables.ranks[series, :PATTERN, FAR_OUT:] = 0
