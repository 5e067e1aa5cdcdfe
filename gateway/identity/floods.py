"""A node that sends more than it may: counted where messages arrive, looked at once a second.

Each node has a bucket of `burst` messages, which fills at `rate` a second. What counts is when messages arrive at the
gateway, and that says little of the node while the broker hands over what it had kept: after a connection, after we
could not take any, or when it sends as much as it may. Then nobody's bucket is touched, and only who has sent more than
a node can have waiting there is over.
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
"""So many buckets within a look are no backlog: nodes keep their packs back themselves when nobody takes them
(docs/protocol.md, the hold), so that of one some dozens wait at the broker."""

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
        filled = passed * self._rate
        levels = {name: level + filled for name, level in self._levels.items() if level + filled < self._burst}
        over = {}
        judged = now >= self._calm
        self._told = {name: when for name, when in self._told.items() if now - when < CALM_SECONDS}
        for name, number in _by_node(heard).items():
            if name in self._told or not (judged or number > BUCKETS * self._burst):
                continue
            level = levels.get(name, float(self._burst)) - number
            if level < 0:
                over[name] = number / passed
                self._told[name] = now
                levels.pop(name, None)  # it begins anew, when it may send again
            else:
                levels[name] = level
        self._levels = levels
        return over


def _by_node(topics: Counter[bytes]) -> Counter[str]:
    found: Counter[str] = Counter()
    for topic, number in topics.items():
        try:
            site, node, _ = parse_topic(topic.decode("utf-8", "backslashreplace"))
        except Refused:
            continue
        found[f"{site}/{node}"] += number
    return found
