"""What arrived -> packs -> one commit -> acknowledgements, over and over.

A message may hold several packs: it is acknowledged when all of them are on disk, the good ones as packs and the bad
ones as dead letters.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import cast

from prometheus_client import Histogram

from gateway.decode import Bad, decode_packs, decode_status, parse_topic
from gateway.errors import Refused
from gateway.ingest.receiver import Message, Receiver
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
            messages = await self._receiver.take()
            # Shielded: a batch that was committed is to be acknowledged too, or it comes again for nothing.
            self._batch = asyncio.create_task(self._take_in(messages))
            await asyncio.shield(self._batch)

    async def drain(self) -> None:
        """After `run` was cancelled: finish the batch under way and take in what else has arrived by now."""
        if self._batch is not None:
            await self._batch
        await self._take_in(self._receiver.take_now())

    async def _take_in(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        now = self._clock()
        arrivals: list[Pack | DeadLetter] = []
        statuses: list[tuple[str, str, Status]] = []
        for message in messages:
            try:
                site, node, level = parse_topic(message.topic)
                if level == "status":
                    if not message.payload:
                        continue  # somebody cleared a retained status, which is how MQTT says "forget it"
                    status = decode_status(message.payload)
                    if status.kind:
                        self._kinds[site, node] = status.kind
                    statuses.append((site, node, status))
                    continue
                found = decode_packs(
                    site, node, cast(Stream, level), message.payload, now=now, kind=self._kinds.get((site, node), "")
                )
            except Refused as refused:
                found = [Bad(message.payload, refused)]
            for each in found:
                if isinstance(each, Pack):
                    if each.measurement in KINDS:
                        self._kinds[each.site, each.node] = each.measurement
                    arrivals.append(each)
                elif message.retained:
                    # It comes again at each connection; one letter for each would fill the journal with copies.
                    log.warning("retained message on %s refused: %s", message.topic, each.refused)
                else:
                    arrivals.append(
                        DeadLetter(message.topic, each.payload, each.refused.reason, each.refused.detail, now)
                    )
        await self._journal.call(Journal.commit, arrivals, now, statuses)
        self._receiver.acknowledge(messages)
        acknowledged = time.monotonic()
        for message in messages:
            self._ack_seconds.observe(acknowledged - message.arrived)
