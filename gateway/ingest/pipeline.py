"""What arrived -> packs -> one commit -> acknowledgements, over and over.

A message may hold several packs: it is acknowledged when all of them are on disk, the good ones as packs and the bad
ones as dead letters.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, cast

from gateway.errors import Refused
from gateway.ingest.clock import Clock
from gateway.ingest.decode import Bad, decode_packs, decode_status, parse_topic
from gateway.ingest.receiver import Chunk, Receiver
from gateway.journal.access import JournalAccess
from gateway.journal.batches import Word
from gateway.journal.store import Journal
from gateway.quantities import KINDS
from gateway.records import DeadLetter, Pack, Stream

log = logging.getLogger(__name__)

Node = tuple[str, str]
"""(site, node)"""

AckObserver = Callable[[float, int], None]
"""Told of every commit: seconds from arrival to acknowledgement, and how many messages took them."""

Hearer = Callable[[Sequence[Chunk], float], None]
"""Told of the same, message by message: what was taken in, and when (`time.monotonic()`, seconds)."""

MOST_TOPICS: Final = 65_536
"""Topics remembered in parts: four of each of many nodes."""
MOST_WORDS: Final = 500
"""Characters of a dead letter's topic and detail that are kept: only its payload counts against the letters' bound."""


class Batch(NamedTuple):
    """What messages came to."""

    arrivals: list[Pack | DeadLetter]
    words: list[Word]


class Pipeline:
    """Takes batches from the receiver until it is cancelled. One batch is under way at a time: while it is written to
    disk the next one gathers, so that batches grow with the load."""

    def __init__(
        self,
        receiver: Receiver,
        journal: JournalAccess,
        observe: AckObserver,
        hear: Hearer = lambda chunks, now: None,
    ) -> None:
        self._receiver = receiver
        self._journal = journal
        self._observe = observe
        self._hear = hear
        self._clock: Clock | None = None  # known once the journal has told of the newest pack
        self._kinds: dict[Node, str] = {}
        self._under_way: asyncio.Task[None] | None = None

    async def run(self) -> None:
        views = await self._journal.call(Journal.nodes)
        self._kinds = {(view.site, view.node): view.kind for view in views}
        clock = self._clock = Clock(max((view.time for view in views), default=0))
        while True:
            chunks = await self._receiver.take()
            # Shielded: a batch that was committed is to be acknowledged too, or it comes again for nothing.
            self._under_way = asyncio.create_task(self._take_in(chunks, clock))
            await asyncio.shield(self._under_way)

    async def drain(self) -> None:
        """After `run` was cancelled: finish the batch under way and take in what else has arrived by now."""
        if self._under_way is not None:
            await self._under_way
        if self._clock is not None:
            await self._take_in(self._receiver.take_now(), self._clock)

    async def _take_in(self, chunks: Sequence[Chunk], clock: Clock) -> None:
        if not chunks:
            return
        now = clock()
        batch = self.decode(chunks, clock)
        await self._journal.call(Journal.commit, batch.arrivals, now, batch.words)
        self._receiver.acknowledge(chunks)
        acknowledged = time.monotonic()
        self._hear(chunks, acknowledged)
        for chunk in chunks:
            self._observe(acknowledged - chunk.arrived, len(chunk.messages))

    def decode(self, chunks: Sequence[Chunk], clock: Clock) -> Batch:
        """What the messages come to."""
        batch = Batch([], [])
        now = clock()
        kinds = self._kinds
        for chunk in chunks:
            for topic, payload, _, retained in chunk.messages:
                try:
                    node, level = _parts(topic)
                    if level == "status":
                        self._hear_status(node, payload, batch)
                        continue
                    found = decode_packs(*node, cast(Stream, level), payload, now=now, kind=kinds.get(node, ""))
                except Refused as refused:
                    found = [Bad(payload, refused)]
                for each in found:
                    if isinstance(each, Pack):
                        if each.time > now:
                            now = clock.hear(each.time)
                        measurement = each.shape.measurement
                        if measurement in KINDS:
                            kinds[node] = measurement
                        batch.arrivals.append(each)
                    else:
                        _bury(topic, each, retained, now, batch)
        return batch

    def _hear_status(self, node: Node, payload: bytes, batch: Batch) -> None:
        if not payload:
            return  # somebody cleared a retained status, which is how MQTT says "forget it"
        status = decode_status(payload)
        if status.kind:
            self._kinds[node] = status.kind
        batch.words.append((*node, status))


@lru_cache(MOST_TOPICS)
def _parts(topic: bytes) -> tuple[Node, str]:
    """(node, last level). Raises Refused("topic")."""
    site, node, level = parse_topic(topic.decode("utf-8", "backslashreplace"))
    return (site, node), level


def _bury(topic: bytes, bad: Bad, retained: bool, now: float, batch: Batch) -> None:
    name = topic.decode("utf-8", "backslashreplace")[:MOST_WORDS]
    if retained:
        # It comes again at each connection; one letter for each would fill the journal with copies.
        log.warning("retained message on %s refused: %s", name, bad.refused)
    else:
        batch.arrivals.append(DeadLetter(name, bad.payload, bad.refused.reason, bad.refused.detail[:MOST_WORDS], now))
