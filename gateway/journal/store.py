"""The journal: accepted packs until every consumer has passed them, and every count that describes them.

One SQLite database (WAL, `synchronous=FULL`). What a call changes is on disk together, or not at all, when it returns.
All calls come from one thread; `gateway.journal.access` sees to that.
"""

import contextlib
import logging
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from msgspec import Struct, structs

from gateway.errors import JournalFull
from gateway.journal import cases, forget, letters, schema
from gateway.journal.batches import Word
from gateway.journal.registry import Registry
from gateway.journal.spool import Held, Span, Spoilt, Spool
from gateway.liveness import silent
from gateway.records import (
    Acknowledged,
    Committed,
    DeadLetter,
    Figures,
    Gap,
    Incident,
    Ledger,
    Mirrored,
    NodeView,
    Pack,
)

log = logging.getLogger(__name__)

DATABASE: Final = "influx"
"""The consumer that the ledger is about; also an outlet of incidents. Mirrors are named `mirror.{name}`."""
DETECT: Final = "detect"
MQTT: Final = "mqtt"
"""The other outlet of incidents."""
NOTIFY: Final = "notify"
"""One more, while there is anybody to tell: see `notifying`."""

COUNTERS: Final = (
    "received", "written", "waiting", "dead_letters", "duplicates",  # the ledger
    "last", "batch", "registry", "bytes",  # the newest pack and batch; the registry's batch; bytes of the batches kept
    "letter", "letters_kept", "dead_bytes", "changes",  # the newest dead letter, those kept; changes of incidents
    "told",  # the place up to which what the detectors found is kept
    "letters_expired", "incidents_expired", "nodes_expired",  # what was deleted because it was too old
)  # fmt: skip


class _Consumer(Struct):
    place: int = 0
    refused: int = 0
    skipped: int = 0


class Journal:
    """See `open`. Places are those of `gateway.journal.spool`."""

    def __init__(self, folder: Path, db: sqlite3.Connection, lock: int | None, max_bytes: int) -> None:
        self._folder = folder
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
            return cls(folder, schema.connect_read_only(folder), None, max_bytes)
        return cls(folder, *schema.connect(folder), max_bytes)

    def bound(self, max_bytes: int) -> None:
        """Set a new bound; what is there stays."""
        self.max_bytes = max_bytes

    def close(self) -> None:
        """Raises nothing for a full disk: what the registry lacks there is heard again."""
        if self._lock is not None and not self._torn:
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
        self._spool = Spool(db, self._count)
        self._registry = Registry(db.execute("SELECT batch, record FROM nodes"))
        for number, received, packs, words in self._spool.since(self._count["registry"]):
            self._registry.recall(number, packs, words, received)
        self._torn = False

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._torn:
            raise sqlite3.OperationalError(
                "the journal could not be read again after a failed write: restart the gateway"
            )
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            changed = [(name, value) for name, value in self._count.items() if value != self._saved[name]]
            self._db.executemany("INSERT OR REPLACE INTO counters VALUES (?, ?)", changed)
            self._db.execute("COMMIT")
        except BaseException as error:
            self._torn = True  # memory is ahead of the disk, until it is taken from there
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
            fresh = self._registry.take(self._count["batch"] + 1, packs, words, received)  # type: ignore[arg-type]  # no letters in it
            duplicates = len(packs) - len(fresh)
            self._count["received"] += len(arrivals)
            self._count["duplicates"] += duplicates
            self._count["dead_letters"] += len(refused)
            held = self._append(fresh, words, received)
            letters.bury(self._db, self._count, refused)
        self._spool.hold(held)
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
        self._spool.hold(held)

    def revive(self, reborn: Sequence[tuple[int, Sequence[Pack | DeadLetter]]], received: float) -> int:
        """Dead letters, by their numbers, have become these: they are taken back, and these come in.

        Packs that only the database had refused were heard when they came, so they are no duplicates now.
        Returns how many letters there still were. Raises JournalFull like `commit`.
        """
        self._make_room()
        count, revived, fresh, again = self._count, 0, [], []
        batch = count["batch"] + 1
        with self._transaction():
            for number, arrivals in reborn:
                letter = letters.take(self._db, count, number)
                if letter is None:
                    continue
                revived += 1
                packs = [each for each in arrivals if isinstance(each, Pack)]
                again += [each for each in arrivals if isinstance(each, DeadLetter)]
                new = packs if letter.reason == "influx" else self._registry.take(batch, packs, (), received)
                fresh += new
                count["received"] += len(arrivals) - 1
                count["duplicates"] += len(packs) - len(new)
            count["dead_letters"] += len(again) - revived
            held = self._append(fresh, (), received)
            letters.bury(self._db, count, again)
        self._spool.hold(held)
        return revived

    def _append(self, packs: Sequence[Pack], words: Sequence[Word], received: float) -> Held | None:
        held = self._spool.append(packs, words, received)
        self._count["waiting"] += len(packs)
        return held

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
                self._save(self._registry.changed())
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

    def notifying(self, wanted: bool) -> None:
        """Whether somebody is told of incidents. A new outlet begins with the next change."""
        if wanted == (NOTIFY in self._outlets):
            return
        with self._transaction():
            if wanted:
                self._deliver(NOTIFY, self._count["changes"])
            else:
                del self._outlets[NOTIFY]
                self._db.execute("DELETE FROM outlets WHERE name = ?", (NOTIFY,))

    def read(self, consumer: str, limit: int, after: int | None = None) -> Span:
        """What comes after the consumer's place, or one beyond it, in order; none when there is no more yet.

        At most `limit` packs.
        """
        place = self._consumers[consumer].place
        while True:
            try:
                return self._spool.read(consumer, place if after is None else max(place, after), limit)
            except Spoilt as spoilt:
                self._set_aside(spoilt)

    def _set_aside(self, spoilt: Spoilt) -> None:
        """What the disk has spoilt becomes one dead letter, which stands for all of its packs not yet written."""
        log.error("%s; they are dead letters", spoilt)
        lost = max(0, spoilt.last - max(spoilt.first - 1, self._consumers[DATABASE].place))
        with self._transaction():
            self._spool.set_aside(spoilt)
            self._count["waiting"] -= lost
            self._count["dead_letters"] += lost
            letters.bury(self._db, self._count, [DeadLetter("", spoilt.body, "damaged", str(spoilt), time.time())])

    def forwarded(self, consumer: str, place: int, written: int, refused: Sequence[DeadLetter] = ()) -> bool:
        """A database has answered for every pack up to `place`: so many written, these refused for good.

        False, with nothing changed, when fewer packs are passed: since they were read some were skipped (a mirror, for
        a full journal) or set aside (by who found them spoilt). Read again. Raises ValueError when more are passed than
        were answered for: the ledger would lie.
        """
        target = self._consumers[consumer]
        passed = self._spool.number(target.place, place)
        if passed < written + len(refused) and place <= self._count["last"]:
            log.warning("%s answered for packs that were skipped meanwhile: it reads again", consumer)
            return False
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
        return True

    def detected(self, place: int, state: bytes) -> None:
        """The detectors have seen every pack up to `place`, and are in this state. Raises ValueError beyond the end."""
        if not self._consumers[DETECT].place <= place <= self._count["last"]:
            raise ValueError(f"place {place} is not between {self._consumers[DETECT].place} and {self._count['last']}")
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO state VALUES ('detectors', ?)", (state,))
            self._pass(DETECT, place)
            self._forget()

    def found(self, place: int, changed: Sequence[Incident]) -> None:
        """What the detectors found in the packs up to `place`: their state may come later, as it can be found again."""
        with self._transaction():
            self._keep(changed)
            self._count["told"] = max(self._count["told"], place)

    def forget_detectors(self) -> None:
        """Their state is of no use any more: new ones begin at its place. None of these would end what is open."""
        with self._transaction():
            self._db.execute("DELETE FROM state WHERE name = 'detectors'")
            self._count["told"] = self._consumers[DETECT].place
            found = (each for each in self.incidents(open_only=True) if each.kind != cases.OWN)
            self._keep([cases.ended(each) for each in found])

    def acknowledge(self, name: str, who: Acknowledged) -> Incident | None:
        """Somebody has taken note of an incident; it in its newest form, None when there is none of that id."""
        with self._transaction():
            incident = self.incident(name)
            if incident is not None:
                incident = structs.replace(incident, acknowledged=who)
                self._keep([incident])
        return incident

    def report(self, changed: Sequence[Incident]) -> None:
        """Incidents that no detector has found: the gateway's own."""
        with self._transaction():
            self._keep(changed)

    def _keep(self, changed: Sequence[Incident]) -> None:
        """Mirrors are not waited for: one may be away for ever."""
        cases.keep(self._db, self._count, changed, self._delivered())

    def _delivered(self) -> int:
        return int(min(self._outlets[name] for name in (DATABASE, MQTT, NOTIFY) if name in self._outlets))

    def _pass(self, consumer: str, place: int) -> None:
        each = self._consumers[consumer]
        each.place = place
        self._db.execute(
            "INSERT OR REPLACE INTO consumers VALUES (?, ?, ?, ?)", (consumer, place, each.refused, each.skipped)
        )

    def _forget(self) -> None:
        """Delete the batches that all have passed. The registry is one of them, as its memory is saved now and then."""
        self._spool.forget(min(each.place for each in self._consumers.values()), self._count["registry"])

    def checkpoint(self, limit: int | None = None) -> None:
        """Save what is known of nodes, so that it need not be heard again: of all, or of so many, longest ago first.

        Raises JournalFull.
        """
        if self._count["registry"] == self._count["batch"]:
            return
        with self._transaction():
            self._save(self._registry.changed(limit))
            self._forget()

    def _save(self, nodes: Iterable[tuple[str, str]]) -> None:
        count = self._count
        rows = self._registry.save(count["batch"], nodes)
        self._db.executemany("INSERT OR REPLACE INTO nodes (site, node, batch, record) VALUES (?, ?, ?, ?)", rows)
        count["registry"] = self._registry.place(count["batch"])

    # What goes.

    def expire(self, letters_before: float, others_before: float, limit: int) -> forget.Expired:
        """Delete dead letters that came before a time, and incidents that ended, and nodes that were last heard, before
        another, Unix seconds; of each at most so many, longest ago first. Raises JournalFull."""
        self.checkpoint()
        nodes = self._registry.heard_last(others_before, limit)
        with forget.overwriting(self._db), self._transaction():
            dead = forget.expire_letters(self._db, self._count, letters_before, limit)
            over = forget.expire_incidents(self._db, self._count, others_before, self._delivered(), limit)
            for site, node in nodes:
                self._registry.forget(site, node)
                self._db.execute("DELETE FROM nodes WHERE site = ? AND node = ?", (site, node))
            self._count["nodes_expired"] += len(nodes)
        return forget.Expired(dead, over, tuple(nodes))

    def about(self, site: str, node: str) -> forget.About:
        """What there is of a node."""
        own, others = forget.sorted_out(self._db, site, node)
        return forget.About(
            forget.waiting(self._db, site, node, self._count["bytes"]),
            self._registry.knows(site, node),
            forget.letters_of(self._db, site, node),
            tuple(each.id for each in own),
            tuple(each.id for each in others),
        )

    def erase(self, site: str, node: str) -> forget.About:
        """Delete all there is of a node; what that was. Nothing is changed where packs of it are on their way
        (`waiting`). The detectors have to forget it by themselves. Raises JournalFull."""
        self.checkpoint()
        there = self.about(site, node)
        if there.waiting:
            return there
        with forget.overwriting(self._db), self._transaction():
            forget.erase(self._db, self._count, site, node, self._delivered())
            self._registry.forget(site, node)
        self.backfill()
        self.rewind()
        return there

    def leave_log(self, leave: bool) -> None:
        """Whether SQLite leaves its log to `backfill` and `rewind`, instead of emptying it in a commit now and then."""
        self._db.execute(f"PRAGMA wal_autocheckpoint = {0 if leave else 1000}")

    def backfill(self) -> int:
        """Bring SQLite's log into the database. The one method for another thread: it has a connection of its own, and
        hinders nobody. Returns the pages in the log."""
        with contextlib.closing(schema.connect_beside(self._folder)) as db:
            return schema.empty_log(db)

    def rewind(self) -> None:
        """Do the same for the little that has come meanwhile: SQLite's log then begins anew with the next commit."""
        schema.empty_log(self._db)

    def guide(self, changed: Sequence[tuple[str, str, bool]]) -> None:
        """Remember (site, node, whether the gateway keeps its clock right)."""
        with self._transaction():
            for site, node, guided in changed:
                self._registry.guide(site, node, guided, self._count["batch"])
            self._save(dict.fromkeys((site, node) for site, node, _ in changed))

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

    def detector_state(self) -> tuple[bytes | None, int, int]:
        """What `detected` last saved, or None before the first time; its place, and that of the last `found`."""
        row = self._db.execute("SELECT value FROM state WHERE name = 'detectors'").fetchone()
        return None if row is None else row[0], self._consumers[DETECT].place, self._count["told"]

    def incidents(self, *, open_only: bool = False) -> list[Incident]:
        """In the order of their last change; closed ones up to `cases.MOST_CLOSED`."""
        return cases.known(self._db, open_only=open_only)

    def incidents_numbered(self, seen: Mapping[int, Incident]) -> dict[int, Incident]:
        """The same by the numbers of their last changes; `seen` is an earlier answer, so that only what is new is
        read."""
        return cases.numbered(self._db, seen)

    def incident(self, name: str) -> Incident | None:
        """The one of an id."""
        return cases.find(self._db, name)

    def ledger(self) -> Ledger:
        names = ("received", "written", "waiting", "dead_letters", "duplicates")
        return Ledger(**{name: self._count[name] for name in names}, gaps=self._registry.gaps)

    def settled(self) -> bool:
        """Every consumer has passed every pack, and every outlet has delivered every change of an incident."""
        return {each.place for each in self._consumers.values()} == {self._count["last"]} and set(
            self._outlets.values()
        ) == {self._count["changes"]}

    def figures(self, now: float | None = None) -> Figures:
        """Everything `/metrics` shows, cheap enough to be asked every second. `now` in Unix seconds: the machine's."""
        now = time.time() if now is None else now
        nodes = self._registry
        return Figures(
            ledger=self.ledger(),
            oldest_received=self._spool.oldest_received(self._consumers[DATABASE].place),
            bytes=self._count["bytes"],
            max_bytes=self.max_bytes,
            nodes=len(nodes),
            nodes_online=nodes.count(lambda node: node.online is True),
            nodes_safe=nodes.count(lambda node: node.safe != ""),
            nodes_without_time=nodes.count(lambda node: node.online is True and node.clock is False),
            nodes_silent=nodes.count(lambda node: silent(node, now) is not None),
            incidents_open=dict(Counter(incident.kind for incident in self.incidents(open_only=True))),
            expired={name: self._count[f"{name}_expired"] for name in ("letters", "incidents", "nodes")},
            mirrors={
                name: Mirrored(self._count["last"] - each.place, each.refused, each.skipped)
                for name, each in self._consumers.items()
                if name not in (DATABASE, DETECT)
            },
        )

    def nodes(self) -> list[NodeView]:
        """Every node heard of, by site and name."""
        return self._registry.views()

    def kinds(self) -> dict[tuple[str, str], str]:
        """The kind of each node by (site, node); empty until a birth or a pack has told."""
        return self._registry.kinds()

    def gaps(self, site: str, node: str) -> list[Gap]:
        """The packs of a node that never came, of the boots that are still known."""
        return self._registry.gaps_of(site, node)

    def dead_letters(self, limit: int) -> letters.Letters:
        """The newest, newest first, each with its number."""
        return letters.newest(self._db, limit)

    def dead_letters_after(self, number: int, limit: int, reason: str = "") -> letters.Letters:
        """Those after a number, oldest first; of one reason, or of all."""
        return letters.after(self._db, number, limit, reason)

    def dead_letters_of(self, begin: float, end: float) -> dict[str, int]:
        """How many are kept of those that came in [begin, end), Unix seconds at the gateway, by reason."""
        return letters.tally(self._db, begin, end)

    def letters_with(self, numbers: tuple[int, ...]) -> list[DeadLetter]:
        """Those of these numbers that are still there."""
        return forget.letters_with(self._db, numbers)

    def prove_writable(self) -> None:
        """Write and sync something. Raises JournalFull or sqlite3.Error when that fails."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO counters VALUES ('received', ?)", (self._count["received"],))
