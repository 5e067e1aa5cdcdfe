"""How a journal of each version becomes one of the next. Each step runs in the transaction of the whole migration."""

import sqlite3
from collections.abc import Callable
from itertools import groupby
from typing import Final

import msgspec
from msgspec import Struct

from gateway.journal import batches
from gateway.records import Pack, Reading, Stream

BATCH: Final = 1000


def _run(db: sqlite3.Connection, script: str) -> None:
    """Statement by statement: `executescript` would commit what is open."""
    for statement in script.split(";"):
        db.execute(statement)


def _begin(db: sqlite3.Connection) -> None:
    _run(
        db,
        """
        CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE packs (place INTEGER PRIMARY KEY, received REAL NOT NULL, pack BLOB NOT NULL);
        CREATE TABLE nodes (site TEXT, node TEXT, record BLOB NOT NULL, PRIMARY KEY (site, node)) WITHOUT ROWID;
        CREATE TABLE dead_letters (
            number INTEGER PRIMARY KEY, received REAL NOT NULL, topic TEXT NOT NULL,
            reason TEXT NOT NULL, detail TEXT NOT NULL, payload BLOB NOT NULL
        );
        CREATE TABLE incidents (
            id TEXT PRIMARY KEY, changed INTEGER NOT NULL UNIQUE, open INTEGER NOT NULL, incident BLOB NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX open_incidents ON incidents (changed) WHERE open;
        CREATE TABLE state (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID
        """,
    )


class _PackOfV1(Struct, array_like=True):
    site: str
    node: str
    stream: Stream
    measurement: str
    boot: int
    seq: int
    time: int
    readings: list[tuple[int, str, str, float]]


def _packs_to_batches(db: sqlite3.Connection) -> None:
    """Packs lay one in a row, as JSON; each consumer's place was a counter."""
    _run(
        db,
        """
        CREATE TABLE batches (
            number INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, received REAL NOT NULL,
            checksum INTEGER NOT NULL, body BLOB NOT NULL, damaged INTEGER NOT NULL DEFAULT 0
        );
        CREATE INDEX batches_by_place ON batches (last);
        CREATE TABLE consumers (
            name TEXT PRIMARY KEY, place INTEGER NOT NULL,
            refused INTEGER NOT NULL DEFAULT 0, skipped INTEGER NOT NULL DEFAULT 0
        ) WITHOUT ROWID;
        CREATE TABLE outlets (name TEXT PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID;
        ALTER TABLE nodes ADD COLUMN batch INTEGER NOT NULL DEFAULT 0
        """,
    )
    decode = msgspec.json.Decoder(_PackOfV1).decode
    rows = db.execute("SELECT place, received, pack FROM packs ORDER BY place")
    # By the time of arrival, as a commit has one, but not without bound.
    for (received, _), group in groupby(rows, lambda row: (row[1], row[0] // BATCH)):
        held = list(group)
        packs = [_of_v1(decode(row[2])) for row in held]
        db.execute(
            "INSERT INTO batches (first, last, received, checksum, body) VALUES (?, ?, ?, ?, ?)",
            (held[0][0], held[-1][0], received, *batches.encode(packs)),
        )
    count = dict(db.execute("SELECT name, value FROM counters"))
    old = {name: count.get(name, 0) for name in ("forward", "detect", "last", "influx", "mqtt", "dead_letters")}
    db.executemany(
        "INSERT INTO consumers (name, place) VALUES (?, ?)", [("influx", old["forward"]), ("detect", old["detect"])]
    )
    db.executemany("INSERT INTO outlets VALUES (?, ?)", [(name, old[name]) for name in ("influx", "mqtt")])
    (letters,) = db.execute("SELECT count(*) FROM dead_letters").fetchone()
    (size, kept) = db.execute("SELECT total(length(body)), count(*) FROM batches").fetchone()
    (newest,) = db.execute("SELECT coalesce(max(number), 0) FROM batches").fetchone()
    db.execute("UPDATE nodes SET batch = ?", (newest,))
    db.executemany(
        "INSERT OR REPLACE INTO counters VALUES (?, ?)",
        [
            ("waiting", old["last"] - old["forward"]),
            ("letter", old["dead_letters"]),
            ("letters_kept", letters),
            ("bytes", int(size) + kept * batches.ROW_BYTES),
            ("batch", newest),
            ("registry", newest),
        ],
    )
    db.execute("DELETE FROM counters WHERE name IN ('forward', 'detect', 'influx', 'mqtt', 'gaps')")
    db.execute("DROP TABLE packs")


def _of_v1(old: _PackOfV1) -> Pack:
    readings = [Reading(*each) for each in old.readings]
    return Pack.of(old.site, old.node, old.stream, old.measurement, old.boot, old.seq, old.time, readings)


def _new_detectors(db: sqlite3.Connection) -> None:
    """The detectors begin anew: what theirs before had open is ended, as none of these would end it."""
    db.execute("DELETE FROM state WHERE name = 'detectors'")
    rows = db.execute("SELECT id, incident FROM incidents WHERE open ORDER BY changed").fetchall()
    (changes,) = db.execute("SELECT coalesce(max(value), 0) FROM counters WHERE name = 'changes'").fetchone()
    for name, incident in rows:
        table = msgspec.json.decode(incident)
        if table["kind"] == "journal":
            continue
        table["closed"] = table["opened"]
        table["summary"] += " The gateway was replaced by a newer one before it saw the end."
        changes += 1
        db.execute(
            "UPDATE incidents SET changed = ?, open = 0, incident = ? WHERE id = ?",
            (changes, msgspec.json.encode(table), name),
        )
    db.execute("INSERT OR REPLACE INTO counters VALUES ('changes', ?)", (changes,))


STEPS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (_begin, _packs_to_batches, _new_detectors)
"""`user_version` n means that the first n have run. Append, never change."""
