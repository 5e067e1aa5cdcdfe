"""`falling_heap`: a node's memory shrinks day by day, and will be gone within a week."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Ints, Memory, column
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.detect.spells import Patience, Spells, speaks
from gateway.records import Evidence

_FAST_S: Final = 6 * 3600
_SLOW_S: Final = 2 * 86_400
"""Two means of the past: of what falls evenly they differ by rate x (slow - fast)."""
SOON_S: Final = 7 * 86_400
"""Gone within a week, if it goes on: the fast mean is then a fifth below the slow one. Our choice."""
SETTLES_S: Final = 3600
"""After a start memory is still taken for good. Our choice."""
PATIENCE: Final = Patience(opens_after=86_400, closes_after=6 * 3600, least_windows=12, max_gap=3 * 3600)
"""A step, such as another configuration, is forgotten by then. Our choice."""
_QUANTITIES: Final = ("heap_free", "heap_largest")


@dataclass(slots=True)
class Heap(Memory):
    time: Ints = column(np.int64)
    boot: Floats = column(np.float64, -1)
    begun: Ints = column(np.int64)
    fast: Floats = column(np.float64, np.nan, (len(_QUANTITIES),))
    slow: Floats = column(np.float64, np.nan, (len(_QUANTITIES),))


class FallingHeap(NodeRule):
    """One series a node: `heap_free` and `heap_largest`, since its last start."""

    def __init__(self) -> None:
        self.heap = Heap.blank(0)
        self.spells = Spells.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        values = np.stack([windows.get(name) for name in _QUANTITIES], axis=1)
        known = np.isfinite(values).any(axis=1)
        if not known.any():
            return []
        rows, time, values = windows.series[known], windows.time[known], values[known]
        boot = windows.get("boot")[known]
        heap = self.heap.take(rows)
        anew = (boot != heap.boot) & ~(np.isnan(boot) & (heap.boot >= 0))
        np.copyto(heap.begun, time, where=anew)
        np.copyto(heap.boot, np.nan_to_num(boot), where=anew)
        settling = time - heap.begun < SETTLES_S
        gap = np.maximum(time - heap.time, 0).astype(np.float64)
        for mean, lasts in ((heap.fast, _FAST_S), (heap.slow, _SLOW_S)):
            moved = mean + (1 - np.exp(gap * (-1 / lasts)))[:, None] * (values - mean)
            fresh = settling[:, None] | np.isnan(mean)
            np.copyto(mean, np.where(fresh, values, np.where(np.isnan(values), mean, moved)))
        heap.time[:] = time
        rate = (heap.slow - heap.fast) / (_SLOW_S - _FAST_S)
        falls: Bools = rate * SOON_S > heap.fast
        still: Bools = ~(rate * (4 * SOON_S) > heap.fast)
        self.heap.put(rows, heap)
        condition = speaks(falls[:, 0] | falls[:, 1], still[:, 0] & still[:, 1])
        opened, closed = self.spells.turn(rows, PATIENCE, time, condition)
        found = []
        for at in np.flatnonzero(opened | closed).tolist():
            series, when = int(rows[at]), int(time[at])
            if closed[at]:
                found.append(Finding("falling_heap", "close", series, when))
                continue
            which = int(np.flatnonzero(falls[at])[0])
            left, was, a_day = heap.fast[at, which], heap.slow[at, which], rate[at, which] * 86_400
            name = _QUANTITIES[which]
            text = f"{name} falls by {a_day / 1000:.1f} kB a day and will be gone in {left / a_day:.0f} days"
            evidence = (Evidence(name, float(left), float(was), "B", text),)
            summary = f"Seen: {text}; expected: it stays, a collection frees what is not used."
            found.append(Finding("falling_heap", "open", series, when, summary=summary, evidence=evidence))
        return found
