"""A node that sends more than it may: counted where messages arrive, looked at once a second.

Each node has a bucket of `burst` messages, which fills at `rate` a second. What counts is when messages arrive at the
gateway, and that says little of the node while the broker hands over what it had kept: after a connection, after we
could not take any, or when it sends as much as it may. Then nobody's bucket is touched. So each node has a deep one
beside it, which always is: who empties that has sent more than a node can have waiting there, and several who send as
much as only a queue does hide none of them.
"""

import time
from collections import Counter
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from gateway.errors import Refused
from gateway.ingest.decode import parse_topic
from gateway.ingest.receiver import RECEIVE_MAXIMUM, Chunk

BEHIND: Final = RECEIVE_MAXIMUM // 2
"""Messages at once that only a broker with a queue has."""
OLD_SECONDS: Final = 2.0
"""What has waited longer for us says that we stood still."""
CALM_SECONDS: Final = 5.0
"""For which the broker's queue is waited for then."""
BUCKETS: Final = 10
"""So many bursts are in the deep bucket. They are no backlog: nodes keep their packs back themselves when nobody takes
them (docs/protocol.md, the hold), so that of one some dozens wait at the broker."""

_topic = itemgetter(0)


class Floods:
    """Fed by the pipeline; `look` is to be called about once a second."""

    def __init__(self, rate: float, burst: int) -> None:
        """Messages a second; 0 judges nobody."""
        self._rate = rate
        self._burst = burst
        self._heard: Counter[bytes] = Counter()
        self._levels: dict[str, float] = {}
        """Of buckets that are not full."""
        self._deep: dict[str, float] = {}
        """Of the deep ones, likewise."""
        self._told: dict[str, float] = {}
        """When those went over who are not looked at again yet: what they sent before is still on its way."""
        self._looked = time.monotonic()
        self._link = -1
        self._calm = 0.0
        """From when on buckets are touched."""

    def hear(self, chunks: Sequence[Chunk], now: float) -> None:
        """What has just been taken in; `now` is `time.monotonic()`, seconds."""
        if not self._rate or not chunks:
            return
        for chunk in chunks:
            self._heard.update(map(_topic, chunk.messages))
        if chunks[-1].link != self._link or now - chunks[0].arrived > OLD_SECONDS:
            self._link, self._calm = chunks[-1].link, now + CALM_SECONDS
        elif sum(len(chunk.messages) for chunk in chunks) >= BEHIND:
            self._calm = max(self._calm, now + 1.0)

    def look(self, now: float) -> dict[str, float]:
        """Nodes that went over since the last look, and how many messages a second they sent meanwhile."""
        passed, self._looked = now - self._looked, now
        heard, self._heard = self._heard, Counter()
        if not self._rate or passed <= 0:
            return {}
        levels = _filled(self._levels, passed * self._rate, self._burst)
        deep = _filled(self._deep, passed * self._rate, BUCKETS * self._burst)
        over = {}
        judged = now >= self._calm
        self._told = {name: when for name, when in self._told.items() if now - when < CALM_SECONDS}
        for name, number in _by_node(heard).items():
            if name in self._told:
                continue
            deep[name] = deep.get(name, float(BUCKETS * self._burst)) - number
            if judged:
                levels[name] = levels.get(name, float(self._burst)) - number
            if min(deep[name], levels.get(name, 0.0)) < 0:
                over[name] = number / passed
                self._told[name] = now
                for each in (levels, deep):
                    each.pop(name, None)  # it begins anew, when it may send again
        self._levels, self._deep = levels, deep
        return over


def _filled(levels: dict[str, float], more: float, full: int) -> dict[str, float]:
    return {name: level + more for name, level in levels.items() if level + more < full}


def _by_node(topics: Counter[bytes]) -> Counter[str]:
    found: Counter[str] = Counter()
    for topic, number in topics.items():
        try:
            site, node, _ = parse_topic(topic.decode("utf-8", "backslashreplace"))
        except Refused:
            continue
        found[f"{site}/{node}"] += number
    return found
