"""`silent`: a node has told no readings for much longer than it usually takes. Over all nodes of a site.

Time is the site's own, as its nodes tell it: where all of a site is cut off, nobody is silent, for nothing tells that
time has passed there. `gateway.liveness` looks at the gateway's clock instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Ints, Memory, column
from gateway.detect.minutes import LATE, STRAGGLE
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
    """By number of the node at its site. Times are Unix seconds."""

    by = "node"

    last: Ints = column(np.int64)
    gap: Floats = column(np.float64)
    """Seconds between the two times before."""
    usual: Floats = column(np.float64)
    """The longest of the gaps that came twice in a row: an outage comes between short ones, sleep after sleep."""
    gaps: Ints = column(np.int64)
    open: Bools = column(np.bool_)
    opened: Ints = column(np.int64)
    back: Ints = column(np.int64)
    """Of one that is open, its first readings since; 0 before any."""
    quiet: Ints = column(np.int64)
    """Its last silence that was too long and is over, though its site has not come so far: from when, until when ..."""
    until: Ints = column(np.int64)
    due: Ints = column(np.int64)
    """... from when on it was too long ..."""
    pace: Floats = column(np.float64)
    """... and what was usual then."""


class Silent(Remembering):
    """In its findings, a series is the number of a node at its site.

    What is found follows from the times of each node's own readings, and from the minutes in which others spoke. That
    the nodes of a site come late, or early, by up to `LATE` beside each other makes no difference: what a silence is
    held against has come by then, and one that is over before its site has come to it is told as well.
    """

    def __init__(self) -> None:
        self.habit = Habit.blank(0)

    def hear(self, nodes: Ints, time: Ints) -> None:
        """Readings of nodes, each there once. What is not newer than what was heard of a node before is passed over."""
        newer = time > self.habit.last[nodes]
        rows, time = nodes[newer], time[newer]
        habit = self.habit.take(rows)
        gap = (time - habit.last).astype(np.float64)
        counts = habit.last > 0
        bound = np.ceil(_bound(habit.usual)).astype(np.int64)
        over = counts & ~habit.open & (habit.gaps >= _LEAST_GAPS) & (gap >= bound)
        np.copyto(habit.quiet, habit.last, where=over)
        np.copyto(habit.due, habit.last + bound, where=over)
        np.copyto(habit.until, time, where=over)
        np.copyto(habit.pace, habit.usual, where=over)
        np.copyto(habit.back, time, where=habit.open & (habit.back == 0) & (time > habit.opened))
        # The first gap of a node is known once it has been heard twice, two in a row after three times.
        twice = np.where(habit.gaps > 0, np.minimum(gap, habit.gap), 0)
        np.copyto(habit.usual, np.maximum(habit.usual * _FADES, twice), where=counts)
        np.copyto(habit.gap, gap, where=counts)
        habit.gaps += counts
        habit.last[:] = time
        self.habit.put(rows, habit)

    def tick(self, now: Ints, word: Ints) -> Sequence[Finding]:
        """What changed with a minute in which somebody spoke.

        [nodes] `now`: the minute that is over for nodes of its kind, as one kind may be heard later than another, Unix
        seconds; `word`: of its newest word of any sort, for it may live and have nothing to tell.
        """
        habit = self.habit.take(slice(0, len(now)))  # of a slice: the arrays themselves
        silent = now - habit.last >= _bound(habit.usual)
        closed = habit.open & (habit.back > 0) & ~silent
        ended = -(-habit.back // 60) * 60  # the whole minute at or after it
        # One that makes up for an outage is back when it has caught up.
        habit.back[closed | (habit.open & silent)] = 0
        lasts = ~habit.open & silent & (habit.gaps >= _LEAST_GAPS)
        seen_past = now > habit.until - (STRAGGLE - LATE)
        was = ~habit.open & (habit.due > 0) & (habit.due <= now) & ~seen_past
        habit.due[was | seen_past] = 0
        opened = lasts | was
        np.copyto(habit.quiet, habit.last, where=lasts)
        np.copyto(habit.pace, habit.usual, where=lasts)
        np.copyto(habit.back, habit.until, where=was)
        np.copyto(habit.opened, now, where=opened)
        habit.open ^= opened | closed
        found = [Finding("silent", "close", node, int(ended[node])) for node in np.flatnonzero(closed).tolist()]
        nodes = np.flatnonzero(opened)
        for node, expected in zip(nodes.tolist(), _bound(habit.pace[nodes]).tolist(), strict=True):
            time, since = int(now[node]), int(habit.quiet[node])
            seen, usual = float(time - since), float(max(habit.pace[node], 1))
            text = f"nothing was heard of the node for {_told(seen)}"
            if lasts[node] and 2 * (time - int(word[node])) < expected:  # not just a last word
                text = f"the node speaks, but what it measures with has told nothing for {_told(seen)}"
            summary = f"Seen: {text}; expected: readings every {_told(usual)}."
            evidence = (Evidence("time since its last readings", seen, expected, "s", text),)
            found.append(Finding("silent", "open", node, time, summary=summary, evidence=evidence, since=since))
        return found


def _bound(usual: Floats) -> Floats:
    """Seconds that a node may say nothing, by the longest of its usual gaps."""
    bound: Floats = np.maximum(LEAST_S, TIMES * usual)
    return bound


def _told(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
