"""What targets have still to be told, on disk: one SQLite database beside the journal.

A file of its own, and not tables of the journal: a commit that packs wait for is not to wait for messages, a full
outbox is not a full journal, and the journal needs no new version. Between the two a change may be read twice; what a
target was told is kept in the same transaction as the message, so it does not become two.

All calls come from one thread. What a call changes is on disk together, or not at all, when it returns.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec import Struct, structs

from gateway.errors import ConfigError
from gateway.files import make_private
from gateway.notify.rules import Decision, Only, Rules, holds, plan, put_off, wanted
from gateway.notify.state import FILE_NAME, SCHEMA, VERSION, Standing, stand
from gateway.notify.told import Told, first_key, is_exercise, key_of, link_of, next_key
from gateway.records import SEVERITIES, Incident

log = logging.getLogger(__name__)

MOST_WAITING: Final = 1000
"""Messages that wait for one target, and incidents that wait to be told later. Beyond it the least severe goes, of
those the oldest."""
MOST_KNOWN: Final = 2000
"""Closed incidents of which it is remembered how a target was told; as many more as are open."""
MOST_ASIDE: Final = 100
"""Messages of a target that it refused for good, the newest."""

_encode = msgspec.json.Encoder().encode
_told = msgspec.json.Decoder(Told).decode
_incident = msgspec.json.Decoder(Incident).decode


class Waiting(Struct, frozen=True):
    """The next message of a target."""

    number: int
    told: Told


class Outbox:
    """See `open`."""

    def __init__(self, db: sqlite3.Connection, rules: Sequence[Rules], exercise: bool, console: str) -> None:
        self._db = db
        self._rules = {each.target: each for each in rules}
        self._exercise = exercise
        self._console = console

    @classmethod
    def open(
        cls, folder: Path, rules: Sequence[Rules], ways: Sequence[str], *, exercise: bool = False, console: str = ""
    ) -> Self:
        """Open, creating as needed, for these targets; `ways` is by what each is told. What waits for others goes.

        Raises ConfigError for a file of a newer program, sqlite3.Error for one that cannot be used.
        """
        path = folder / FILE_NAME
        make_private(path)
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise ConfigError(f"{path} has version {version}, this program knows {VERSION}: use the newer program")
            outbox = cls(db, rules, exercise, console)
            with outbox._transaction():
                if version == 0:
                    for statement in SCHEMA:
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {VERSION}")
                outbox._targets(dict(zip(outbox._rules, ways, strict=True)))
        except BaseException:
            db.close()
            raise
        return outbox

    def close(self) -> None:
        self._db.close()

    def _targets(self, ways: dict[str, str]) -> None:
        gone = {name for (name,) in self._db.execute("SELECT name FROM targets")} - ways.keys()
        for name in gone:
            waiting = self._count("outgoing", name) + self._count("later", name)
            if waiting:
                log.warning("%s is no target any more: %d messages that waited for it are gone", name, waiting)
            for table in ("outgoing", "later", "known", "aside"):
                self._db.execute(f"DELETE FROM {table} WHERE target = ?", (name,))
            self._db.execute("DELETE FROM targets WHERE name = ?", (name,))
        for name, via in ways.items():
            self._db.execute(
                "INSERT INTO targets (name, via) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET via = excluded.via",
                (name, via),
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # What comes in.

    def take(self, incidents: Iterable[Incident], now: float) -> None:
        """Incidents have changed. `now` in Unix seconds. The same again changes nothing."""
        with self._transaction():
            for incident in incidents:
                for rules in self._rules.values():
                    self._consider(rules, incident, now)

    def _consider(self, rules: Rules, incident: Incident, now: float) -> None:
        place = (rules.target, incident.id)
        before = self._known(*place)
        row = self._db.execute("SELECT due, only_if FROM later WHERE target = ? AND id = ?", place).fetchone()
        decision = plan(rules, before, incident, now)
        if decision is None:
            if row is not None and holds(row[1], incident) and not incident.held:
                self._keep(rules, incident, row[0], row[1])
            elif row is not None:
                self._db.execute("DELETE FROM later WHERE target = ? AND id = ?", place)
        elif decision.due <= now:
            self._tell_one(rules, before, incident, decision, now)
        else:
            # What waits already does not wait longer with each change.
            due = row[0] if row is not None and row[1] == decision.only else decision.due
            self._keep(rules, incident, due, decision.only)

    def _keep(self, rules: Rules, incident: Incident, due: float, only: Only) -> None:
        self._make_room("later", rules.target, incident.id)
        severity = SEVERITIES.index(incident.severity)
        row = (rules.target, incident.id, due, only, severity, _encode(incident))
        self._db.execute("INSERT OR REPLACE INTO later VALUES (?, ?, ?, ?, ?, ?)", row)

    def _tell_one(
        self, rules: Rules, before: Incident | None, incident: Incident, decision: Decision, now: float
    ) -> None:
        target, event = rules.target, decision.event
        first = first_key(target, incident)
        told = Told(
            key=first if before is None else next_key(target, incident, event),
            target=target,
            event=event,
            incidents=(incident,),
            time=round(now),
            exercise=is_exercise((incident,), city=self._exercise),
            link=link_of(self._console, incident),
            thread="" if before is None else first,
        )
        self._send(told)
        self._remember(target, [incident])

    def _send(self, told: Told) -> None:
        self._make_room("outgoing", told.target)
        row = (told.target, SEVERITIES.index(told.severity), _encode(told))
        self._db.execute("INSERT INTO outgoing (target, severity, told) VALUES (?, ?, ?)", row)

    def _make_room(self, table: str, target: str, name: str = "") -> None:
        """For one more message, or for the incident `name`, unless it has its place already."""
        (there,) = self._db.execute("SELECT count(*) FROM later WHERE target = ? AND id = ?", (target, name)).fetchone()
        if there or self._count(table, target) < MOST_WAITING:
            return
        log.error("too much waits for %s: the oldest of its least severe messages is dropped", target)
        # But for the first, which is perhaps just being sent.
        self._db.execute(
            f"DELETE FROM {table} WHERE rowid = (SELECT rowid FROM {table} WHERE target = ? "
            f"ORDER BY rowid = (SELECT min(rowid) FROM {table} WHERE target = ?), severity, rowid LIMIT 1)",
            (target, target),
        )
        self._db.execute("UPDATE targets SET dropped = dropped + 1 WHERE name = ?", (target,))

    def _remember(self, target: str, incidents: Sequence[Incident]) -> None:
        """How a target was told of them last; nothing of them waits for it any more."""
        for incident in incidents:
            brief = structs.replace(incident, summary="", evidence=(), nodes=())
            row = (target, incident.id, incident.closed or 0, _encode(brief))
            self._db.execute("INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?)", row)
            self._db.execute("DELETE FROM later WHERE target = ? AND id = ?", (target, incident.id))
        if any(incident.closed is not None for incident in incidents):
            self._db.execute(
                "DELETE FROM known WHERE target = ?1 AND closed > 0 AND rowid NOT IN "
                "(SELECT rowid FROM known WHERE target = ?1 AND closed > 0 ORDER BY rowid DESC LIMIT ?2)",
                (target, MOST_KNOWN),
            )

    def _known(self, target: str, name: str) -> Incident | None:
        row = self._db.execute("SELECT incident FROM known WHERE target = ? AND id = ?", (target, name)).fetchone()
        return None if row is None else _incident(row[0])

    # What goes out.

    def next(self, target: str, now: float) -> tuple[Waiting | None, float | None]:
        """The target's next message, of what is due too; else when something will be due, if anything waits.

        It stays until `sent` or `set_aside`.
        """
        self._ripen(self._rules[target], now)
        row = self._db.execute(
            "SELECT number, told FROM outgoing WHERE target = ? ORDER BY number LIMIT 1", (target,)
        ).fetchone()
        if row is not None:
            return Waiting(row[0], _told(row[1])), None
        (due,) = self._db.execute("SELECT min(due) FROM later WHERE target = ?", (target,)).fetchone()
        return None, due

    def _ripen(self, rules: Rules, now: float) -> None:
        """Make one message of all that is due."""
        target = rules.target
        rows = self._db.execute(
            "SELECT only_if, incident FROM later WHERE target = ? AND due <= ? ORDER BY rowid", (target, now)
        ).fetchall()
        if not rows:
            return
        with self._transaction():
            self._db.execute("DELETE FROM later WHERE target = ? AND due <= ?", (target, now))
            found = []
            for only, coded in rows:
                incident = _incident(coded)
                before = self._known(target, incident.id)
                event = wanted(rules, before, incident)
                if event is None or not holds(only, incident):
                    continue
                if (due := put_off(rules, incident, now)) > now:
                    self._keep(rules, incident, due, only)
                else:
                    found.append((before, incident, Decision(event, now)))
            if len(found) == 1:
                self._tell_one(rules, *found[0], now)
            elif found:
                self._tell_all(rules, [incident for _, incident, _ in found], now)

    def _tell_all(self, rules: Rules, incidents: list[Incident], now: float) -> None:
        incidents.sort(key=lambda each: (-SEVERITIES.index(each.severity), each.opened))
        told = Told(
            key=key_of(rules.target, "digest", *(each.id for each in incidents), str(round(now))),
            target=rules.target,
            event="digest",
            incidents=tuple(incidents),
            time=round(now),
            exercise=is_exercise(tuple(incidents), city=self._exercise),
            link=link_of(self._console, None),
        )
        self._send(told)
        self._remember(rules.target, incidents)

    def sent(self, waiting: Waiting, now: float) -> None:
        """The target has taken it."""
        with self._transaction():
            self._db.execute("DELETE FROM outgoing WHERE number = ?", (waiting.number,))
            self._db.execute(
                "UPDATE targets SET sent = sent + 1, success = ?, failing = 0 WHERE name = ?",
                (now, waiting.told.target),
            )

    def set_aside(self, waiting: Waiting, reason: str, now: float) -> None:
        """The target will never take it: the next one's turn."""
        target = waiting.told.target
        with self._transaction():
            self._db.execute("DELETE FROM outgoing WHERE number = ?", (waiting.number,))
            self._db.execute(
                "INSERT INTO aside (target, time, reason, told) VALUES (?, ?, ?, ?)",
                (target, now, reason, _encode(waiting.told)),
            )
            self._db.execute(
                "DELETE FROM aside WHERE target = ?1 AND number NOT IN "
                "(SELECT number FROM aside WHERE target = ?1 ORDER BY number DESC LIMIT ?2)",
                (target, MOST_ASIDE),
            )
            self._db.execute(
                "UPDATE targets SET refused = refused + 1, failure = ?, trouble = ?, failing = 1 WHERE name = ?",
                (now, reason, target),
            )

    def failed(self, target: str, trouble: str, now: float) -> None:
        """It did not take a message; it is tried again."""
        with self._transaction():
            self._db.execute(
                "UPDATE targets SET failure = ?, trouble = ?, failing = 1 WHERE name = ?", (now, trouble, target)
            )

    def standing(self) -> list[Standing]:
        """By name."""
        return stand(self._db)

    def _count(self, table: str, target: str) -> int:
        (number,) = self._db.execute(f"SELECT count(*) FROM {table} WHERE target = ?", (target,)).fetchone()
        return int(number)
