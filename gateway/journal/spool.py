"""The packs on their way: batches in the order they came, on the disk, and the newest also in memory.

Places are numbers of accepted packs: 1, 2, 3 ... without a hole, never used twice. All of it runs in a transaction of
the journal's, which also owns the counters.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Final, NamedTuple

from gateway.journal import batches
from gateway.journal.batches import Word
from gateway.records import Pack

TAIL_PACKS: Final = 32_768
"""Packs kept decoded in memory for consumers that keep up, some 15 MiB; the others read them from the disk."""


class Span(NamedTuple):
    """What comes next for a consumer."""

    last: int
    """The place to pass once these are done with."""
    packs: list[Pack]
    more: bool
    """False when the consumer is at the end. What comes next may also be places without packs."""


class Held(NamedTuple):
    """A batch in memory."""

    first: int
    last: int
    packs: list[Pack]
    """None of a spoilt one, which has places all the same."""


class Spoilt(Exception):
    """A batch that the disk does not give back as it was written."""

    def __init__(self, number: int, first: int, last: int, body: bytes, why: str) -> None:
        super().__init__(f"packs {first} to {last} of the journal cannot be read: {why}")
        self.number, self.first, self.last, self.body = number, first, last, body


class Spool:
    """Counters it keeps: `last` (newest place), `batch` (newest batch), `bytes` (of the batches on disk)."""

    def __init__(self, db: sqlite3.Connection, count: MutableMapping[str, int]) -> None:
        self._db = db
        self._count = count
        self._tail: list[Held] = []  # ends with the newest batch
        self._pages: dict[str, Held] = {}  # of each consumer that is behind, the batch it is at
        self._holes: list[tuple[int, int]] = db.execute(
            "SELECT first, last FROM batches WHERE damaged ORDER BY last"
        ).fetchall()

    def append(self, packs: Sequence[Pack], words: Sequence[Word], received: float) -> Held | None:
        """Write a batch; `hold` it once it is on disk."""
        if not packs and not words:
            return None
        count = self._count
        first = count["last"] + 1
        checksum, body = batches.encode(packs, words)
        count["batch"] += 1
        count["last"] += len(packs)
        count["bytes"] += len(body) + batches.ROW_BYTES
        self._db.execute(
            "INSERT INTO batches (number, first, last, received, checksum, body) VALUES (?, ?, ?, ?, ?, ?)",
            (count["batch"], first, count["last"], received, checksum, body),
        )
        return Held(first, count["last"], list(packs))

    def hold(self, held: Held | None) -> None:
        """Keep the newest batch in memory; the oldest make room."""
        if held is None or not held.packs:
            return
        self._tail.append(held)
        oldest = held.last - TAIL_PACKS
        if self._tail[0].last <= oldest:
            del self._tail[: bisect_right(self._tail, oldest, key=_last)]

    def read(self, consumer: str, place: int, limit: int) -> Span:
        """At most `limit` packs after a place. Raises Spoilt when the first of them cannot be read."""
        begun = place
        packs: list[Pack] = []
        for held in self._after(consumer, place):
            if not held.packs:  # passed alone: a span of packs has no hole
                place = place if packs else held.last
                break
            begin = place + 1 - held.first
            part = held.packs[begin : begin + limit - len(packs)]
            packs += part
            place += len(part)
            if len(packs) >= limit:
                break
        return Span(place, packs, place > begun)

    def _after(self, consumer: str, place: int) -> Iterator[Held]:
        """The batches that reach beyond a place."""
        while place < self._count["last"]:
            if self._tail and self._tail[0].first <= place + 1:
                yield from self._tail[bisect_right(self._tail, place, key=_last) :]
                return
            page = self._pages.get(consumer)
            if page is None or not page.first <= place + 1 <= page.last:
                page = self._pages[consumer] = self._from_disk(place)
            yield page
            place = page.last

    def _from_disk(self, place: int) -> Held:
        number, first, last, checksum, body, damaged = self._db.execute(
            "SELECT number, first, last, checksum, body, damaged FROM batches "
            "WHERE last > ? AND first <= last ORDER BY last LIMIT 1",
            (place,),
        ).fetchone()
        if damaged:
            return Held(first, last, [])
        try:
            return Held(first, last, batches.decode(checksum, body)[0])
        except batches.Damaged as error:
            raise Spoilt(number, first, last, body, str(error)) from error

    def since(self, number: int) -> Iterator[tuple[int, float, list[Pack], list[Word]]]:
        """(number, received, packs, births and wills) of the batches after one; without the spoilt, which `read` tells
        of."""
        rows = self._db.execute(
            "SELECT number, received, checksum, body FROM batches WHERE number > ? AND NOT damaged ORDER BY number",
            (number,),
        )
        for each, received, checksum, body in rows:
            try:
                yield each, received, *batches.decode(checksum, body)
            except batches.Damaged:
                continue

    def set_aside(self, spoilt: Spoilt) -> None:
        """From now on a spoilt batch is places without packs."""
        self._db.execute("UPDATE batches SET body = x'', damaged = 1 WHERE number = ?", (spoilt.number,))
        self._count["bytes"] -= len(spoilt.body)
        self._pages.clear()  # others may have read it while it was whole: what they write of it would count twice
        self._holes.append((spoilt.first, spoilt.last))

    def number(self, after: int, place: int) -> int:
        """How many packs lie after one place, up to another."""
        holes = sum(max(0, min(last, place) - max(first - 1, after)) for first, last in self._holes)
        return place - after - holes

    def oldest_received(self, place: int) -> float | None:
        """Unix seconds when the first pack after a place came."""
        row = self._db.execute(
            "SELECT received FROM batches WHERE last > ? AND first <= last ORDER BY last LIMIT 1", (place,)
        ).fetchone()
        return None if row is None else row[0]

    def forget(self, place: int, number: int) -> None:
        """Delete the batches up to a place and a number, both."""
        condition, bound = "last <= ? AND number <= ?", (place, number)
        freed, size = self._db.execute(
            f"SELECT count(*), total(length(body)) FROM batches WHERE {condition}", bound
        ).fetchone()
        if freed:
            self._db.execute(f"DELETE FROM batches WHERE {condition}", bound)
            self._count["bytes"] -= batches.ROW_BYTES * freed + int(size)
        self._holes = [(first, last) for first, last in self._holes if last > place]
        del self._tail[: bisect_right(self._tail, place, key=_last)]


def _last(held: Held) -> int:
    return held.last
