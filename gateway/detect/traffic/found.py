"""Findings from the turns of spells."""

from collections.abc import Callable

import numpy as np

from gateway.detect.memory import Bools, Ints
from gateway.detect.rule import Finding, Windows
from gateway.records import Evidence

Tell = Callable[[int], tuple[str, Evidence]]
"""Of a row of those that were judged: summary and evidence."""


def turned(kind: str, windows: Windows, rows: Ints, opened: Bools, closed: Bools, tell: Tell) -> list[Finding]:
    """What opened or closed; `rows` are the windows that were judged, `opened` and `closed` are of these."""
    found = []
    for at in np.flatnonzero(opened | closed).tolist():
        series, time = int(windows.series[rows[at]]), int(windows.time[rows[at]])
        if closed[at]:
            found.append(Finding(kind, "close", series, time))
        else:
            summary, evidence = tell(at)
            found.append(Finding(kind, "open", series, time, "warning", summary, (evidence,)))
    return found
