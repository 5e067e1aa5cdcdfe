"""The journal: accepted packs until both consumers have passed them, and every count that describes them.

One SQLite database (WAL, `synchronous=FULL`). What a call changes is on disk together, or not at all, when it returns.
All calls come from one thread; `gateway.journal.access` sees to that.
"""

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, Self

import msgspec

from gateway.errors import JournalFull
from gateway.journal import schema
from gateway.journal.registry import NodeRecord
from gateway.records import Committed, DeadLetter, Figures, Incident, Ledger, NodeView, Pack, Status

Consumer = Literal["forward", "detect"]
Outlet = Literal["influx", "mqtt"]

ROW_BYTES = 32
"""What a pack's row takes beside its JSON: place, time, header, its share of the page."""
TAIL_PACKS = 16_384
"""Packs kept decoded in memory for consumers that keep up; the others read them from the disk."""
MAX_DEAD_LETTERS = 100_000
MAX_DEAD_BYTES = 256 * 2**20
"""Dead letters kept: beyond either, the oldest go. They stay counted."""
MAX_CLOSED_INCIDENTS = 10_000

COUNTERS: Final = (
    "received", "written", "duplicates", "dead_letters", "gaps",  # the ledger
    "last", "forward", "detect", "bytes",  # places of the newest pack and of the consumers; bytes of the packs kept
    "dead_bytes", "changes", "influx", "mqtt",  # changes of incidents, and how many each outlet has delivered
)  # fmt: skip

_json = msgspec.json.Encoder()
_pack = msgspec.json.Decoder(Pack)
_node = msgspec.json.Decoder(NodeRecord)
_incident = msgspec.json.Decoder(Incident)


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
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _load(self) -> None:
        """Take memory from the disk: at the start, and when a transaction failed half-way."""
        self._saved = dict.fromkeys(COUNTERS, 0) | dict(self._db.execute("SELECT name, value FROM counters"))
        self._count = dict(self._saved)
        rows = self._db.execute("SELECT record FROM nodes")
        self._nodes = {(r.site, r.node): r for r in (_node.decode(row[0]) for row in rows)}
        self._tail: list[tuple[int, Pack]] = []  # ends with the newest pack

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

    def commit(
        self,
        arrivals: Sequence[Pack | DeadLetter],
        received: float,
        statuses: Sequence[tuple[str, str, Status]] = (),
    ) -> Committed:
        """Take in one batch: packs and dead letters in order, and births and wills as (site, node, status).

        `received` is in Unix seconds. Raises JournalFull, with nothing changed, while the packs kept fill `max_bytes`.
        """
        count = self._count
        if count["bytes"] >= self.max_bytes:
            raise JournalFull(
                f"the journal holds {count['bytes']} bytes of packs, its max_bytes is {self.max_bytes}: "
                "packs wait at the broker until the database has taken some"
            )
        fresh: list[Pack] = []
        letters: list[DeadLetter] = []
        touched: dict[tuple[str, str], NodeRecord] = {}
        with self._transaction():
            for site, node, status in statuses:
                self._touch(site, node, touched).note(status, received)
            for arrival in arrivals:
                if isinstance(arrival, DeadLetter):
                    letters.append(arrival)
                    continue
                change = self._touch(arrival.site, arrival.node, touched).hear(arrival, received)
                if change is not None:
                    count["gaps"] += change
                    fresh.append(arrival)
            duplicates = len(arrivals) - len(fresh) - len(letters)
            count["received"] += len(arrivals)
            count["duplicates"] += duplicates
            added = list(enumerate(fresh, start=count["last"] + 1))
            rows = [(place, received, _json.encode(pack)) for place, pack in added]
            count["last"] += len(fresh)
            count["bytes"] += sum(len(row[2]) for row in rows) + ROW_BYTES * len(rows)
            self._db.executemany("INSERT INTO packs VALUES (?, ?, ?)", rows)
            self._keep(touched)
            self._bury(letters)
        self._tail += added
        del self._tail[:-TAIL_PACKS]
        return Committed(fresh, duplicates, len(letters))

    def guide(self, changed: Sequence[tuple[str, str, bool]]) -> None:
        """Remember (site, node, whether the gateway keeps its clock right)."""
        touched: dict[tuple[str, str], NodeRecord] = {}
        with self._transaction():
            for site, node, guided in changed:
                self._touch(site, node, touched).guided = guided
            self._keep(touched)

    def _touch(self, site: str, node: str, touched: dict[tuple[str, str], NodeRecord]) -> NodeRecord:
        record = self._nodes.get((site, node))
        if record is None:
            record = self._nodes[site, node] = NodeRecord(site, node)
        touched[site, node] = record
        return record

    def _keep(self, touched: dict[tuple[str, str], NodeRecord]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)",
            [(site, node, _json.encode(record)) for (site, node), record in touched.items()],
        )

    def _bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep and count dead letters. Their numbers are 1, 2, 3 ...; the oldest make room."""
        count = self._count
        numbered = enumerate(letters, start=count["dead_letters"] + 1)
        self._db.executemany(
            "INSERT INTO dead_letters VALUES (?, ?, ?, ?, ?, ?)",
            [(n, d.received, d.topic, d.reason, d.detail, d.payload) for n, d in numbered],
        )
        count["dead_letters"] += len(letters)
        count["dead_bytes"] += sum(len(letter.payload) for letter in letters)
        newest_to_go = count["dead_letters"] - MAX_DEAD_LETTERS
        if letters and (newest_to_go > 0 or count["dead_bytes"] > MAX_DEAD_BYTES):
            oldest = self._db.execute("SELECT number, length(payload) FROM dead_letters ORDER BY number")
            for number, size in oldest:
                if number > newest_to_go and count["dead_bytes"] <= MAX_DEAD_BYTES:
                    break
                newest_to_go = max(newest_to_go, number)
                count["dead_bytes"] -= size
            self._db.execute("DELETE FROM dead_letters WHERE number <= ?", (newest_to_go,))

    def read(self, consumer: Consumer, limit: int) -> list[tuple[int, Pack]]:
        """The packs after the consumer's place, in order, each with its own place; at most `limit`."""
        after = self._count[consumer]
        skipped = after - (self._count["last"] - len(self._tail))
        if skipped >= 0:
            return self._tail[skipped : skipped + limit]
        rows = self._db.execute("SELECT place, pack FROM packs WHERE place > ? ORDER BY place LIMIT ?", (after, limit))
        return [(place, _pack.decode(pack)) for place, pack in rows]

    def forwarded(self, place: int, written: int, refused: Sequence[DeadLetter] = ()) -> None:
        """The database has answered for every pack up to `place`: so many written, these refused for good.

        Raises ValueError when the two do not add up to the packs passed: the ledger would lie.
        """
        passed = place - self._count["forward"]
        if passed != written + len(refused) or place > self._count["last"]:
            raise ValueError(
                f"{passed} packs passed to place {place}, but {written} written and {len(refused)} refused"
            )
        with self._transaction():
            self._count["written"] += written
            self._bury(refused)
            self._move("forward", place)

    def detected(self, place: int, state: bytes, changed: Sequence[Incident] = ()) -> None:
        """The detectors have seen every pack up to `place`, and are in this state. Raises ValueError beyond the end."""
        if not self._count["detect"] <= place <= self._count["last"]:
            raise ValueError(f"place {place} is not between {self._count['detect']} and {self._count['last']}")
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO state VALUES ('detectors', ?)", (state,))
            for incident in changed:
                self._count["changes"] += 1
                self._db.execute(
                    "INSERT OR REPLACE INTO incidents VALUES (?, ?, ?, ?)",
                    (incident.id, self._count["changes"], incident.closed is None, _json.encode(incident)),
                )
            if changed:
                delivered = min(self._count["influx"], self._count["mqtt"])
                self._db.execute(
                    "DELETE FROM incidents WHERE NOT open AND changed <= ? AND changed NOT IN "
                    "(SELECT changed FROM incidents WHERE NOT open ORDER BY changed DESC LIMIT ?)",
                    (delivered, MAX_CLOSED_INCIDENTS),
                )
            self._move("detect", place)

    def _move(self, consumer: Consumer, place: int) -> None:
        """Set a consumer's place and forget the packs that both have passed."""
        count = self._count
        count[consumer] = place
        passed = min(count["forward"], count["detect"])
        freed = self._db.execute(
            "SELECT count(*), total(length(pack)) FROM packs WHERE place <= ?", (passed,)
        ).fetchone()
        count["bytes"] -= ROW_BYTES * freed[0] + int(freed[1])
        self._db.execute("DELETE FROM packs WHERE place <= ?", (passed,))
        keep = count["last"] - passed
        del self._tail[: max(0, len(self._tail) - keep)]

    def detector_state(self) -> bytes | None:
        """What `detected` last saved, or None before the first time."""
        row = self._db.execute("SELECT value FROM state WHERE name = 'detectors'").fetchone()
        return None if row is None else row[0]

    def incidents(self, *, open_only: bool = False) -> list[Incident]:
        """In the order of their last change; closed ones up to `MAX_CLOSED_INCIDENTS`."""
        rows = self._db.execute(f"SELECT incident FROM incidents {'WHERE open' if open_only else ''} ORDER BY changed")
        return [_incident.decode(row[0]) for row in rows]

    def incidents_for(self, outlet: Outlet, limit: int) -> list[tuple[int, Incident]]:
        """Incidents changed since the outlet's place, in order of change, each in its newest form with its place."""
        rows = self._db.execute(
            "SELECT changed, incident FROM incidents WHERE changed > ? ORDER BY changed LIMIT ?",
            (self._count[outlet], limit),
        )
        return [(changed, _incident.decode(incident)) for changed, incident in rows]

    def incidents_delivered(self, outlet: Outlet, place: int) -> None:
        """The outlet has answered for every change up to `place`."""
        with self._transaction():
            self._count[outlet] = max(place, self._count[outlet])

    def ledger(self) -> Ledger:
        count = self._count
        return Ledger(
            received=count["received"],
            written=count["written"],
            waiting=count["last"] - count["forward"],
            dead_letters=count["dead_letters"],
            duplicates=count["duplicates"],
            gaps=count["gaps"],
        )

    def settled(self) -> bool:
        """Both consumers have passed every pack, and both outlets have delivered every change of an incident."""
        count = self._count
        return (count["forward"], count["detect"]) == (count["last"],) * 2 and (count["influx"], count["mqtt"]) == (
            count["changes"],
        ) * 2

    def figures(self) -> Figures:
        """Everything `/metrics` shows, cheap enough to be asked every second."""
        after = (self._count["forward"],)
        oldest = self._db.execute("SELECT received FROM packs WHERE place > ? ORDER BY place LIMIT 1", after).fetchone()
        return Figures(
            ledger=self.ledger(),
            oldest_received=oldest[0] if oldest else None,
            bytes=self._count["bytes"],
            max_bytes=self.max_bytes,
            nodes=len(self._nodes),
            nodes_online=sum(record.online is True for record in self._nodes.values()),
            nodes_safe=sum(record.safe != "" for record in self._nodes.values()),
            nodes_without_time=sum(record.online is True and record.clock is False for record in self._nodes.values()),
            incidents_open=dict(Counter(incident.kind for incident in self.incidents(open_only=True))),
        )

    def nodes(self) -> list[NodeView]:
        """Every node heard of, by site and name."""
        return [self._nodes[key].view() for key in sorted(self._nodes)]

    def dead_letters(self, limit: int) -> list[tuple[int, DeadLetter]]:
        """The newest, newest first, each with its number."""
        rows = self._db.execute(
            "SELECT number, topic, payload, reason, detail, received FROM dead_letters ORDER BY number DESC LIMIT ?",
            (limit,),
        )
        return [(row[0], DeadLetter(*row[1:])) for row in rows]

    def prove_writable(self) -> None:
        """Write and sync something. Raises JournalFull or sqlite3.Error when that fails."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO counters VALUES ('received', ?)", (self._count["received"],))
