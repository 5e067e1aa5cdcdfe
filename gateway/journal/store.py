"""The journal: accepted packs until every consumer has passed them, and every count that describes them.

One SQLite database (WAL, `synchronous=FULL`). What a call changes is on disk together, or not at all, when it returns.
All calls come from one thread; `gateway.journal.access` sees to that.
"""

import contextlib
import logging
import os
import sqlite3
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from msgspec import Struct

from gateway.errors import JournalFull
from gateway.journal import batches, cases, letters, schema
from gateway.journal.batches import Word
from gateway.journal.registry import Registry
from gateway.records import Committed, DeadLetter, Figures, Gap, Incident, Ledger, Mirrored, NodeView, Pack

log = logging.getLogger(__name__)

DATABASE: Final = "influx"
"""The consumer that the ledger is about; also an outlet of incidents. Mirrors are named `mirror.{name}`."""
DETECT: Final = "detect"
MQTT: Final = "mqtt"
"""The other outlet of incidents."""

TAIL_PACKS: Final = 16_384
"""Packs kept decoded in memory for consumers that keep up; the others read them from the disk."""
CHECKPOINT_PACKS: Final = 50_000
"""Packs after which the registry is saved without being asked: as many are heard again after a crash, at most."""

COUNTERS: Final = (
    "received", "written", "waiting", "dead_letters", "duplicates",  # the ledger
    "last", "batch", "registry", "bytes",  # the newest pack and batch; the registry's batch; bytes of the batches kept
    "letter", "letters_kept", "dead_bytes", "changes",  # the newest dead letter, those kept; changes of incidents
)  # fmt: skip


class Span(NamedTuple):
    """What comes next for a consumer."""

    last: int
    """The place to pass once these are done with."""
    packs: list[Pack]
    more: bool
    """False when the consumer is at the end. What comes next may also be places without packs."""


class _Held(NamedTuple):
    """A batch in memory."""

    first: int
    last: int
    packs: list[Pack]
    """Without a damaged batch's, which has places but no packs."""


class _Consumer(Struct):
    place: int = 0
    refused: int = 0
    skipped: int = 0


class Journal:
    """See `open`. Places are numbers of accepted packs: 1, 2, 3 ... without a hole, never used twice."""

    def __init__(self, db: sqlite3.Connection, lock: int | None, max_bytes: int) -> None:
        self._db = db
        self._lock = lock
        self.max_bytes = max_bytes
        self._load()

    @classmethod
    def open(cls, folder: Path, max_bytes: int, *, read_only: bool = False) -> Self:
        """Open, creating or migrating as needed; `read_only` is a snapshot beside the running gateway.

        `max_bytes` bounds the accepted packs on disk; the last batch may go over it. Raises ConfigError.
        """
        if read_only:
            return cls(schema.connect_read_only(folder), None, max_bytes)
        return cls(*schema.connect(folder), max_bytes)

    def bound(self, max_bytes: int) -> None:
        """Set a new bound; what is there stays."""
        self.max_bytes = max_bytes

    def close(self) -> None:
        """Raises nothing for a full disk: what the registry lacks there is heard again."""
        if self._lock is not None:
            with contextlib.suppress(JournalFull):
                self.checkpoint()
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _load(self) -> None:
        """Take memory from the disk: at the start, and when a transaction failed half-way."""
        db = self._db
        self._saved = dict.fromkeys(COUNTERS, 0) | dict(db.execute("SELECT name, value FROM counters"))
        self._count = dict(self._saved)
        rows = db.execute("SELECT name, place, refused, skipped FROM consumers")
        self._consumers = {DATABASE: _Consumer(), DETECT: _Consumer()} | {row[0]: _Consumer(*row[1:]) for row in rows}
        self._outlets = {DATABASE: 0, MQTT: 0} | dict(db.execute("SELECT name, place FROM outlets"))
        self._tail: list[_Held] = []  # ends with the newest batch
        self._pages: dict[str, _Held] = {}  # of each consumer that is behind, the batch it is at
        self._holes = [*db.execute("SELECT first, last FROM batches WHERE damaged ORDER BY last")]
        self._unsaved = 0
        self._registry = Registry(row[0] for row in db.execute("SELECT record FROM nodes"))
        since = db.execute(
            "SELECT received, checksum, body FROM batches WHERE number > ? AND NOT damaged ORDER BY number",
            (self._count["registry"],),
        )
        for received, checksum, body in since:
            with contextlib.suppress(batches.Damaged):  # told by the consumer that comes to it
                packs, words = batches.decode(checksum, body)
                self._registry.take([pack for pack in packs if pack.boot >= 0], words, received)
                self._unsaved += len(packs)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            changed = [(name, value) for name, value in self._count.items() if value != self._saved[name]]
            self._db.executemany("INSERT OR REPLACE INTO counters VALUES (?, ?)", changed)
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._load()
            if isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise JournalFull(
                    "the disk below the journal is full: packs wait at the broker until it has room"
                ) from error
            raise
        self._saved.update(changed)

    # What comes in.

    def commit(self, arrivals: Sequence[Pack | DeadLetter], received: float, words: Sequence[Word] = ()) -> Committed:
        """Take in one batch: packs and dead letters in order, and births and wills before them.

        `received` is in Unix seconds. Raises JournalFull, with nothing changed, while the packs kept fill `max_bytes`.
        """
        refused = [each for each in arrivals if isinstance(each, DeadLetter)]
        packs = [each for each in arrivals if isinstance(each, Pack)] if refused else arrivals
        self._make_room()
        with self._transaction():
            fresh = self._registry.take(packs, words, received)  # type: ignore[arg-type]  # no letters in it
            duplicates = len(packs) - len(fresh)
            self._count["received"] += len(arrivals)
            self._count["duplicates"] += duplicates
            self._count["dead_letters"] += len(refused)
            held = self._append(fresh, words, received)
            letters.bury(self._db, self._count, refused)
        self._hold(held)
        return Committed(fresh, duplicates, len(refused))

    def take(self, packs: Sequence[Pack], refused: Sequence[DeadLetter], received: float) -> None:
        """Take in packs that no node has numbered (`boot` is -1) and what was refused beside them.

        None is a duplicate: to write a point again changes nothing. Raises JournalFull like `commit`.
        """
        self._make_room()
        with self._transaction():
            self._count["received"] += len(packs) + len(refused)
            self._count["dead_letters"] += len(refused)
            held = self._append(packs, (), received)
            letters.bury(self._db, self._count, refused)
        self._hold(held)

    def revive(self, number: int, arrivals: Sequence[Pack | DeadLetter], received: float) -> bool:
        """A dead letter has become these: it is taken back, and they come in. False when it has gone meanwhile.

        Packs that only the database had refused were heard when they came, so they are no duplicates now.
        Raises JournalFull like `commit`.
        """
        self._make_room()
        with self._transaction():
            letter = letters.take(self._db, self._count, number)
            if letter is None:
                return False
            refused = [each for each in arrivals if isinstance(each, DeadLetter)]
            packs = [each for each in arrivals if isinstance(each, Pack)]
            fresh = packs if letter.reason == "influx" else self._registry.take(packs, (), received)
            self._count["received"] += len(arrivals) - 1
            self._count["dead_letters"] += len(refused) - 1
            self._count["duplicates"] += len(packs) - len(fresh)
            held = self._append(fresh, (), received)
            letters.bury(self._db, self._count, refused)
        self._hold(held)
        return True

    def _append(self, packs: Sequence[Pack], words: Sequence[Word], received: float) -> _Held | None:
        if not packs and not words:
            return None
        count = self._count
        first = count["last"] + 1
        checksum, body = batches.encode(packs, words)
        count["batch"] += 1
        count["last"] += len(packs)
        count["waiting"] += len(packs)
        count["bytes"] += len(body) + batches.ROW_BYTES
        self._db.execute(
            "INSERT INTO batches (number, first, last, received, checksum, body) VALUES (?, ?, ?, ?, ?, ?)",
            (count["batch"], first, count["last"], received, checksum, body),
        )
        self._unsaved += len(packs)
        if self._unsaved >= CHECKPOINT_PACKS:
            self._save_registry()
        return _Held(first, count["last"], list(packs))

    def _hold(self, held: _Held | None) -> None:
        if held is None or not held.packs:
            return
        self._tail.append(held)
        oldest = held.last - TAIL_PACKS
        if self._tail[0].last <= oldest:
            del self._tail[: bisect_right(self._tail, oldest, key=_last)]

    def _make_room(self) -> None:
        """Raises JournalFull. Mirrors that are behind must not stop the city: they are skipped first, and counted."""
        count = self._count
        if count["bytes"] < self.max_bytes:
            return
        needed = min(self._consumers[DATABASE].place, self._consumers[DETECT].place)
        behind = {name: each for name, each in self._consumers.items() if each.place < needed}
        if behind or count["registry"] < count["batch"]:
            with self._transaction():
                for name, mirror in behind.items():
                    log.error("%s is skipped %d packs ahead: the journal is full", name, needed - mirror.place)
                    mirror.skipped += needed - mirror.place
                    self._pass(name, needed)
                self._save_registry()
                self._forget()
        if count["bytes"] >= self.max_bytes:
            raise JournalFull(
                f"the journal holds {count['bytes']} bytes of packs, its max_bytes is {self.max_bytes}: "
                "packs wait at the broker until the database has taken some"
            )

    # What goes out.

    def mirrors(self, names: Collection[str]) -> None:
        """Which consumers there are beside the database and the detectors: a new one begins with the next pack."""
        gone = self._consumers.keys() - {DATABASE, DETECT, *names}
        new = [name for name in names if name not in self._consumers]
        if not gone and not new:
            return
        with self._transaction():
            for name in gone:
                del self._consumers[name]
                self._outlets.pop(name, None)
                self._db.execute("DELETE FROM consumers WHERE name = ?", (name,))
                self._db.execute("DELETE FROM outlets WHERE name = ?", (name,))
            for name in new:
                self._consumers[name] = _Consumer()
                self._pass(name, self._count["last"])
                self._deliver(name, self._count["changes"])

    def read(self, consumer: str, limit: int) -> Span:
        """What comes after the consumer's place, in order, at most `limit` packs; none when there is no more yet."""
        place = begun = self._consumers[consumer].place
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

    def _after(self, consumer: str, place: int) -> Iterator[_Held]:
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

    def _from_disk(self, place: int) -> _Held:
        number, first, last, checksum, body, damaged = self._db.execute(
            "SELECT number, first, last, checksum, body, damaged FROM batches "
            "WHERE last > ? AND first <= last ORDER BY last LIMIT 1",
            (place,),
        ).fetchone()
        if damaged:
            return _Held(first, last, [])
        try:
            return _Held(first, last, batches.decode(checksum, body)[0])
        except batches.Damaged as error:
            self._set_aside(
                number, first, last, body, f"packs {first} to {last} of the journal cannot be read: {error}"
            )
            return _Held(first, last, [])

    def _set_aside(self, number: int, first: int, last: int, body: bytes, detail: str) -> None:
        """A batch that the disk has spoilt becomes one dead letter, which stands for all packs not yet written."""
        log.error("%s; they are dead letters", detail)
        lost = last - max(first - 1, self._consumers[DATABASE].place)
        with self._transaction():
            self._db.execute("UPDATE batches SET body = x'', damaged = 1 WHERE number = ?", (number,))
            self._count["bytes"] -= len(body)
            self._count["waiting"] -= lost
            self._count["dead_letters"] += lost
            letters.bury(self._db, self._count, [DeadLetter("", body, "damaged", detail, time.time())])
        self._holes.append((first, last))

    def forwarded(self, consumer: str, place: int, written: int, refused: Sequence[DeadLetter] = ()) -> None:
        """A database has answered for every pack up to `place`: so many written, these refused for good.

        Raises ValueError when the two do not add up to the packs passed: the ledger would lie.
        """
        target = self._consumers[consumer]
        passed = place - target.place
        for first, last in self._holes:
            passed -= max(0, min(last, place) - max(first - 1, target.place))
        if passed != written + len(refused) or place > self._count["last"]:
            raise ValueError(
                f"{passed} packs passed to place {place}, but {written} written and {len(refused)} refused"
            )
        with self._transaction():
            if consumer == DATABASE:
                self._count["written"] += written
                self._count["waiting"] -= passed
                self._count["dead_letters"] += len(refused)
                letters.bury(self._db, self._count, refused)
            target.refused += len(refused)
            self._pass(consumer, place)
            self._forget()

    def detected(self, place: int, state: bytes, changed: Sequence[Incident] = ()) -> None:
        """The detectors have seen every pack up to `place`, and are in this state. Raises ValueError beyond the end."""
        if not self._consumers[DETECT].place <= place <= self._count["last"]:
            raise ValueError(f"place {place} is not between {self._consumers[DETECT].place} and {self._count['last']}")
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO state VALUES ('detectors', ?)", (state,))
            cases.keep(self._db, self._count, changed, min(self._outlets.values()))
            self._pass(DETECT, place)
            self._forget()

    def report(self, changed: Sequence[Incident]) -> None:
        """Incidents that no detector has found: the gateway's own."""
        with self._transaction():
            cases.keep(self._db, self._count, changed, min(self._outlets.values()))

    def _pass(self, consumer: str, place: int) -> None:
        each = self._consumers[consumer]
        each.place = place
        self._db.execute(
            "INSERT OR REPLACE INTO consumers VALUES (?, ?, ?, ?)", (consumer, place, each.refused, each.skipped)
        )

    def _forget(self) -> None:
        """Delete the batches that all have passed. The registry is one of them, as its memory is saved now and then."""
        passed = min(each.place for each in self._consumers.values())
        condition = "last <= ? AND number <= ?"
        bound = (passed, self._count["registry"])
        freed, size = self._db.execute(
            f"SELECT count(*), total(length(body)) FROM batches WHERE {condition}", bound
        ).fetchone()
        if freed:
            self._db.execute(f"DELETE FROM batches WHERE {condition}", bound)
            self._count["bytes"] -= batches.ROW_BYTES * freed + int(size)
        self._holes = [(first, last) for first, last in self._holes if last > passed]
        del self._tail[: bisect_right(self._tail, passed, key=_last)]

    def checkpoint(self) -> None:
        """Save what is known of the nodes, so that it need not be heard again. Raises JournalFull."""
        if self._count["registry"] == self._count["batch"]:
            return
        with self._transaction():
            self._save_registry()
            self._forget()

    def _save_registry(self) -> None:
        self._db.executemany("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", self._registry.changed())
        self._registry.saved()
        self._count["registry"] = self._count["batch"]
        self._unsaved = 0

    def guide(self, changed: Sequence[tuple[str, str, bool]]) -> None:
        """Remember (site, node, whether the gateway keeps its clock right)."""
        with self._transaction():
            for site, node, guided in changed:
                self._registry.guide(site, node, guided)
            self._save_registry()

    def incidents_for(self, outlet: str, limit: int) -> list[tuple[int, Incident]]:
        """Incidents changed since the outlet's place, in order of change, each in its newest form with its place."""
        return cases.after(self._db, self._outlets[outlet], limit)

    def incidents_delivered(self, outlet: str, place: int) -> None:
        """The outlet has answered for every change up to `place`."""
        with self._transaction():
            self._deliver(outlet, max(place, self._outlets[outlet]))

    def _deliver(self, outlet: str, place: int) -> None:
        self._outlets[outlet] = place
        self._db.execute("INSERT OR REPLACE INTO outlets VALUES (?, ?)", (outlet, place))

    # What is known.

    def detector_state(self) -> bytes | None:
        """What `detected` last saved, or None before the first time."""
        row = self._db.execute("SELECT value FROM state WHERE name = 'detectors'").fetchone()
        return None if row is None else row[0]

    def incidents(self, *, open_only: bool = False) -> list[Incident]:
        """In the order of their last change; closed ones up to `cases.MOST_CLOSED`."""
        return cases.known(self._db, open_only=open_only)

    def ledger(self) -> Ledger:
        names = ("received", "written", "waiting", "dead_letters", "duplicates")
        return Ledger(**{name: self._count[name] for name in names}, gaps=self._registry.gaps)

    def settled(self) -> bool:
        """Every consumer has passed every pack, and every outlet has delivered every change of an incident."""
        return {each.place for each in self._consumers.values()} == {self._count["last"]} and set(
            self._outlets.values()
        ) == {self._count["changes"]}

    def figures(self) -> Figures:
        """Everything `/metrics` shows, cheap enough to be asked every second."""
        after = (self._consumers[DATABASE].place,)
        oldest = self._db.execute(
            "SELECT received FROM batches WHERE last > ? AND first <= last ORDER BY last LIMIT 1", after
        ).fetchone()
        nodes = self._registry
        return Figures(
            ledger=self.ledger(),
            oldest_received=oldest[0] if oldest else None,
            bytes=self._count["bytes"],
            max_bytes=self.max_bytes,
            nodes=len(nodes),
            nodes_online=nodes.count(lambda node: node.online is True),
            nodes_safe=nodes.count(lambda node: node.safe != ""),
            nodes_without_time=nodes.count(lambda node: node.online is True and node.clock is False),
            incidents_open=dict(Counter(incident.kind for incident in self.incidents(open_only=True))),
            mirrors={
                name: Mirrored(self._count["last"] - each.place, each.refused, each.skipped)
                for name, each in self._consumers.items()
                if name not in (DATABASE, DETECT)
            },
        )

    def nodes(self) -> list[NodeView]:
        """Every node heard of, by site and name."""
        return self._registry.views()

    def gaps(self, site: str, node: str) -> list[Gap]:
        """The packs of a node that never came, of the boots that are still known."""
        return self._registry.gaps_of(site, node)

    def dead_letters(self, limit: int) -> letters.Letters:
        """The newest, newest first, each with its number."""
        return letters.newest(self._db, limit)

    def dead_letters_after(self, number: int, limit: int, reason: str = "") -> letters.Letters:
        """Those after a number, oldest first; of one reason, or of all."""
        return letters.after(self._db, number, limit, reason)

    def prove_writable(self) -> None:
        """Write and sync something. Raises JournalFull or sqlite3.Error when that fails."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO counters VALUES ('received', ?)", (self._count["received"],))


def _last(held: _Held) -> int:
    return held.last
