"""How well a rule finds crashes between counters: California algorithm #8 held against the fixed threshold. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from gateway.detect.memory import Bools, Floats
from gateway.detect.traffic.california import Pairs

AFTERMATH: Final = 5
"""Minutes after a crash in which it may still be found. Our choice."""

Rule = Callable[[Pairs, Floats, Floats], Bools]


class Crash(Struct, frozen=True):
    """What happened between a counter and the next: minutes of the record, the end not included."""

    pair: int
    begin: int
    end: int


class Score(Struct, frozen=True):
    crashes: int
    found: int
    detection_rate: float | None
    """None without a crash."""
    mean_delay_min: float | None
    alarms: int
    false_share: float | None
    """Of the alarms, those at no crash; None without an alarm."""


def alarms(rule: Rule, upstream: Floats, downstream: Floats) -> Bools:
    """[minutes, pairs] where the rule sees an incident, from occupancies (%, NaN for unknown) of the same shape."""
    pairs = Pairs.blank(upstream.shape[1])
    return np.array([rule(pairs, up, down) for up, down in zip(upstream, downstream, strict=True)], np.bool_)


def score(seen: Bools, crashes: Sequence[Crash]) -> Score:
    """Each beginning in `seen` [minutes, pairs] is an alarm. The end of a minute is when it is known."""
    before = np.vstack([np.zeros((1, seen.shape[1]), np.bool_), seen[:-1]])
    begins = [(int(minute), int(pair)) for minute, pair in np.argwhere(seen & ~before)]
    right = set()
    delays = []
    for crash in crashes:
        own = [each for each in begins if each[1] == crash.pair and crash.begin <= each[0] < crash.end + AFTERMATH]
        right.update(own)
        if own:
            delays.append(own[0][0] + 1 - crash.begin)
    return Score(
        crashes=len(crashes),
        found=len(delays),
        detection_rate=len(delays) / len(crashes) if crashes else None,
        mean_delay_min=float(np.mean(delays)) if delays else None,
        alarms=len(begins),
        false_share=1 - len(right) / len(begins) if begins else None,
    )
