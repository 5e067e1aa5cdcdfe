"""`boot_loop`: a node begins again and again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Ints, Memory, column
from gateway.detect.readings import readings
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.records import Evidence

BOOTS: Final = 3
WITHIN_S: Final = 3600
"""So many boots in an hour: an update takes one or two, with its way back. Our choice."""
OVER_S: Final = 2 * 3600
"""Without another: over. Our choice."""


@dataclass(slots=True)
class Boots(Memory):
    known: Bools = column(np.bool_)
    boot: Ints = column(np.int64)
    """The highest number heard of."""
    times: Ints = column(np.int64, 0, (BOOTS,))
    """When the last of them were heard of, the latest first."""
    open: Bools = column(np.bool_)


class BootLoop(NodeRule):
    """One series a node: the boot number of its health packs, which come with the first window after each start."""

    def __init__(self) -> None:
        self.boots = Boots.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        given = readings(windows, "boot")
        if given is None:
            return []
        boots, boot, time = self.boots.take(given.series), given.value.astype(np.int64), given.time
        # A number that is lower is another board's, or of a node that was set up anew.
        more = np.where(boots.known, np.clip(boot - boots.boot, 0, BOOTS), 0)
        for n in range(BOOTS):
            again = more > n
            boots.times[:, 1:] = np.where(again[:, None], boots.times[:, :-1], boots.times[:, 1:])
            np.copyto(boots.times[:, 0], time, where=again)
        boots.boot[:], boots.known[:] = boot, True
        within = (boots.times[:, -1] > 0) & (time - boots.times[:, -1] <= WITHIN_S)
        opened = within & (more > 0) & ~boots.open
        closed = boots.open & (time - boots.times[:, 0] >= OVER_S)
        boots.open ^= opened | closed
        self.boots.put(given.series, boots)
        found = []
        for at in np.flatnonzero(opened | closed).tolist():
            series, when = int(given.series[at]), int(time[at])
            if closed[at]:
                found.append(Finding("boot_loop", "close", series, when))
                continue
            since = int(boots.times[at, -1])
            text = f"{BOOTS} boots or more in {max(1, (when - since) // 60)} min, now the {boot[at]}th"
            evidence = Evidence("boots", BOOTS, 0.0, "count", text)
            summary = f"Seen: {text}; expected: none, but for updates and losses of power."
            found.append(Finding("boot_loop", "open", series, when, summary=summary, evidence=(evidence,), since=since))
        return found
