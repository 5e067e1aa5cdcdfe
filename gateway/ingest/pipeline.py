"""What arrived -> packs -> one commit -> acknowledgements, over and over.

A message may hold several packs: it is acknowledged when all of them are on disk, the good ones as packs and the bad
ones as dead letters.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import cast

from prometheus_client import Histogram

from gateway.decode import Bad, decode_packs, decode_status, parse_topic
from gateway.errors import Refused
from gateway.ingest.receiver import Chunk, Receiver
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.quantities import KINDS
from gateway.records import DeadLetter, Pack, Status, Stream

log = logging.getLogger(__name__)


class Pipeline:
    """Takes batches from the receiver until it is cancelled. One batch is under way at a time: while it is written to
    disk the next one gathers, so that batches grow with the load."""

    def __init__(
        self, receiver: Receiver, journal: JournalAccess, ack_seconds: Histogram, clock: Callable[[], float] = time.time
    ) -> None:
        self._receiver = receiver
        self._journal = journal
        self._ack_seconds = ack_seconds
        self._clock = clock
        self._kinds: dict[tuple[str, str], str] = {}
        self._batch: asyncio.Task[None] | None = None

    async def run(self) -> None:
        self._kinds = {(view.site, view.node): view.kind for view in await self._journal.call(Journal.nodes)}
        while True:
            chunks = await self._receiver.take()
            # Shielded: a batch that was committed is to be acknowledged too, or it comes again for nothing.
            self._batch = asyncio.create_task(self._take_in(chunks))
            await asyncio.shield(self._batch)

    async def drain(self) -> None:
        """After `run` was cancelled: finish the batch under way and take in what else has arrived by now."""
        if self._batch is not None:
            await self._batch
        await self._take_in(self._receiver.take_now())

    async def _take_in(self, chunks: Sequence[Chunk]) -> None:
        if not chunks:
            return
        now = self._clock()
        arrivals: list[Pack | DeadLetter] = []
        statuses: list[tuple[str, str, Status]] = []
        for name, payload, _, retained in chain.from_iterable(chunk.messages for chunk in chunks):
            topic = name.decode(errors="replace")
            try:
                site, node, level = parse_topic(topic)
                if level == "status":
                    if not payload:
                        continue  # somebody cleared a retained status, which is how MQTT says "forget it"
                    status = decode_status(payload)
                    if status.kind:
                        self._kinds[site, node] = status.kind
                    statuses.append((site, node, status))
                    continue
                found = decode_packs(
                    site, node, cast(Stream, level), payload, now=now, kind=self._kinds.get((site, node), "")
                )
            except Refused as refused:
                found = [Bad(payload, refused)]
            for each in found:
                if isinstance(each, Pack):
                    if each.measurement in KINDS:
                        self._kinds[each.site, each.node] = each.measurement
                    arrivals.append(each)
                elif retained:
                    # It comes again at each connection; one letter for each would fill the journal with copies.
                    log.warning("retained message on %s refused: %s", topic, each.refused)
                else:
                    arrivals.append(DeadLetter(topic, each.payload, each.refused.reason, each.refused.detail, now))
        await self._journal.call(Journal.commit, arrivals, now, statuses)
        self._receiver.acknowledge(chunks)
        acknowledged = time.monotonic()
        for arrived in [chunk.arrived for chunk in chunks for _ in chunk.messages]:
            self._ack_seconds.observe(acknowledged - arrived)
