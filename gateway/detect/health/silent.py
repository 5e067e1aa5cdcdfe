"""`silent`: a node has told no readings for much longer than it usually takes. Over all nodes of a site.

Time is the site's own, as its nodes tell it: where all of a site is cut off, nobody is silent, for nothing tells that
time has passed there. `gateway.liveness` looks at the gateway's clock instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Ints, Memory, column
from gateway.detect.rule import Finding, Remembering
from gateway.records import Evidence

LEAST_S: Final = 600
"""Ten lost windows of a minute: our choice."""
TIMES: Final = 3.0
"""As long as its usual longest gap: two in a row may be lost on the way. Our choice."""
_FADES: Final = 0.99
"""Each gap makes a longer one of the past so much less usual: a hundred are remembered."""
_LEAST_GAPS: Final = 2


@dataclass(slots=True)
class Habit(Memory):
    """By number of the node at its site."""

    last: Ints = column(np.int64)
    gap: Floats = column(np.float64)
    """Seconds between the two times before."""
    usual: Floats = column(np.float64)
    """The longest of the gaps that came twice in a row: an outage comes between short ones, sleep after sleep."""
    gaps: Ints = column(np.int64)
    open: Bools = column(np.bool_)


class Silent(Remembering):
    """In its findings, a series is the number of a node at its site."""

    def __init__(self) -> None:
        self.habit = Habit.blank(0)

    def tick(self, now: Ints, last: Ints, word: Ints) -> Sequence[Finding]:
        """What changed with this minute.

        [nodes] `now`: the minute that is over for nodes of its kind, as one kind may be heard later than another, Unix
        seconds; `last`: Unix seconds of the newest readings of each, 0 for none yet; `word`: of its newest word of any
        sort, for it may live and have nothing to tell.
        """
        rows = slice(0, len(last))
        habit = self.habit.take(rows)  # of a slice: the arrays themselves
        spoke = last > habit.last
        gap = (last - habit.last).astype(np.float64)
        counts = spoke & (habit.last > 0)
        # The first gap of a node is known once it has been heard twice, two in a row after three times.
        twice = np.where(habit.gaps > 0, np.minimum(gap, habit.gap), 0)
        np.copyto(habit.usual, np.maximum(habit.usual * _FADES, twice), where=counts)
        np.copyto(habit.gap, gap, where=counts)
        habit.gaps += counts
        habit.last[:] = np.maximum(last, habit.last)
        bound = np.maximum(LEAST_S, TIMES * habit.usual)
        silence = now - habit.last
        opened = ~habit.open & (habit.gaps >= _LEAST_GAPS) & (silence >= bound)
        closed = habit.open & spoke & (silence < bound)
        habit.open ^= opened | closed
        found = []
        for node in np.flatnonzero(opened | closed).tolist():
            time = int(now[node])
            if closed[node]:
                found.append(Finding("silent", "close", node, time))
                continue
            seen, usual = float(silence[node]), float(max(habit.usual[node], 1))
            text = f"nothing was heard of the node for {_told(seen)}"
            if 2 * (time - int(word[node])) < bound[node]:  # not just a last word
                text = f"the node speaks, but what it measures with has told nothing for {_told(seen)}"
            summary = f"Seen: {text}; expected: readings every {_told(usual)}."
            evidence = (Evidence("time since its last readings", seen, float(bound[node]), "s", text),)
            since = int(habit.last[node])
            found.append(Finding("silent", "open", node, time, summary=summary, evidence=evidence, since=since))
        return found


def _told(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
