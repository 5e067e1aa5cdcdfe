"""Moves packs and incidents from the journal to the database, in order, each until the database has answered for it."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, TypeVar

from gateway.config import Influx
from gateway.errors import Poison, TargetError
from gateway.forward.lines import incident_lines, pack_lines
from gateway.forward.patience import USUAL, Patience
from gateway.forward.senml import encode_pack
from gateway.forward.target import Target
from gateway.journal.access import JournalAccess
from gateway.journal.store import DATABASE, Journal
from gateway.records import DeadLetter, Incident, Pack
from gateway.threads import in_thread

log = logging.getLogger(__name__)

INCIDENTS: Final = 500
"""Incidents written at once."""

_KEY: Final = re.compile(r"\binflux\.(url|api|database|org|token_env|token_file)\b")

T = TypeVar("T", Pack, Incident)


class Forwarder:
    """One task for each database. `trouble` says in words why nothing can be written now; None while all is well."""

    def __init__(
        self,
        journal: JournalAccess,
        target: Target,
        settings: Influx,
        patience: Patience = USUAL,
        consumer: str = DATABASE,
    ) -> None:
        """`consumer` is whose place in the journal it moves."""
        self._journal = journal
        self._target = target
        self._batch_lines = settings.batch_lines
        self._flush_seconds = settings.flush_ms / 1000
        self._patience = patience
        self._consumer = consumer
        self._dice = Random()
        self.trouble: str | None = "the database was not asked yet"

    async def run(self) -> None:
        """Forward until cancelled. What is cancelled in mid-write is written again later, which changes nothing."""
        news = self._journal.listen("packs", "incidents")
        await self._until_answered(self._target.prepare)
        while True:
            packs, full = await self._forward_packs()
            incidents, many = await self._forward_incidents()
            if not packs and not incidents:
                await news.wait()
            if not full and not many:
                await asyncio.sleep(self._flush_seconds)  # what comes meanwhile goes along

    async def _forward_packs(self) -> tuple[bool, bool]:
        """Write what waits, as much as is read at once. Whether there was any, and whether there may well be more."""
        span = await self._journal.call(Journal.read, self._consumer, self._batch_lines)
        if not span.more:
            return False, False
        more = len(span.packs) == self._batch_lines
        place = span.last - len(span.packs)
        batches = await asyncio.to_thread(self._cut, span.packs)
        if more and len(batches) > 1:
            batches.pop()  # it is not full: what comes next goes along
        for batch in batches:
            refused = await self._write(batch)
            letters = [_dead_letter(pack, words) for pack, words in refused]
            if letters:
                log.warning("%d packs refused; of %s: %s", len(letters), letters[0].topic, letters[0].detail)
            place += len(batch)
            written = len(batch) - len(letters)
            if not await self._journal.call(Journal.forwarded, self._consumer, place, written, letters):
                return True, True
        return True, more

    def _cut(self, packs: Sequence[Pack]) -> list[list[tuple[list[bytes], Pack]]]:
        """The packs with their lines, in batches: of so many lines, of which a pack has one or more."""
        batches: list[list[tuple[list[bytes], Pack]]] = [[]]
        room = self._batch_lines
        for pack in packs:
            lines = pack_lines(pack)
            room -= len(lines)
            if room < 0 and batches[-1]:
                batches.append([])
                room = self._batch_lines - len(lines)
            batches[-1].append((lines, pack))
        return batches

    async def _forward_incidents(self) -> tuple[bool, bool]:
        """The same with the incidents that changed."""
        changes = await self._journal.call(Journal.incidents_for, self._consumer, INCIDENTS)
        if changes:
            refused = await self._write([(incident_lines(incident), incident) for _, incident in changes])
            for incident, words in refused:
                # It stays in the journal and leaves by the broker all the same.
                log.error("incident %s cannot be queried: %s", incident.id, words)
            await self._journal.call(Journal.incidents_delivered, self._consumer, changes[-1][0])
        return bool(changes), len(changes) == INCIDENTS

    async def _write(self, batch: Sequence[tuple[list[bytes], T]]) -> list[tuple[T, str]]:
        """Write a batch; what of it the database will never take, found by halving, with the database's words.

        The same points may be written several times on the way, which changes nothing. What is passing or lasting is
        waited for at that very step, so that no outage in the middle of it condemns a good pack.
        """
        lines = [line for lines, _ in batch for line in lines]
        try:
            await self._until_answered(lambda: self._target.write(lines))
        except Poison as poison:
            if len(batch) == 1:
                return [(batch[0][1], str(poison))]
            half = len(batch) // 2
            return await self._write(batch[:half]) + await self._write(batch[half:])
        return []

    async def _until_answered(self, ask: Callable[[], None]) -> None:
        """Ask, in a thread, until the database has an answer. Raises Poison."""
        failures = 0
        while True:
            try:
                if failures:
                    await in_thread(self._target.prepare, "forward")  # another server, a database dropped or renamed
                await in_thread(ask, "forward")
            except Poison:
                self._recovered()
                raise
            except TargetError as error:
                failures += 1
                seconds = self._patience.wait(error, failures, self._dice)
                # The words name the keys of [influx]; a mirror's are its own.
                trouble = _KEY.sub(rf"{self._consumer}.\1", str(error))
                level = logging.WARNING if self.trouble != trouble else logging.INFO
                log.log(level, "%s; tried again in %.1f s", trouble, seconds)
                self.trouble = trouble
                await asyncio.sleep(seconds)
            else:
                self._recovered()
                return

    def _recovered(self) -> None:
        if self.trouble is not None:
            log.info("the database answers")
        self.trouble = None


def _dead_letter(pack: Pack, words: str) -> DeadLetter:
    topic = f"ganglion/v1/{pack.site}/{pack.node}/{pack.stream}"
    return DeadLetter(topic, encode_pack(pack), "influx", words, time.time())
