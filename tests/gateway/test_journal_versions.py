"""A journal of an earlier version becomes one of this: all of it, or it stays as it was."""

import json
import sqlite3
from pathlib import Path

import msgspec
import pytest

from gateway.errors import ConfigError
from gateway.journal import migration, schema
from gateway.journal.registry import Heard, NodeRecord
from gateway.journal.store import DATABASE, DETECT, Journal
from gateway.records import Ledger
from tests.gateway.conftest import NOW, make_letter, make_pack

PACKS = [make_pack(seq, value=0.1 * seq) for seq in range(3000)]


@pytest.fixture
def first_version(tmp_path: Path) -> Path:
    """As version 1 left it: 3000 packs after one that is gone, written up to 1000, judged up to 2000; two letters,
    the first of which had to make room."""
    with sqlite3.connect(tmp_path / schema.FILE_NAME, isolation_level=None) as db:
        db.execute("BEGIN")
        migration.STEPS[0](db)
        db.execute("PRAGMA user_version = 1")
        for place, pack in enumerate(PACKS, start=2):
            old = [pack.site, pack.node, pack.stream, pack.measurement, pack.boot, pack.seq, pack.time]
            readings = [[each.time, each.channel, each.quantity, each.value] for each in pack.readings]
            db.execute("INSERT INTO packs VALUES (?, ?, ?)", (place, NOW + place // 700, json.dumps([*old, readings])))
        counters = {"received": 3005, "written": 1000, "duplicates": 2, "dead_letters": 2, "gaps": 1, "last": 3001}
        places = {"forward": 1000, "detect": 2000, "bytes": 1, "dead_bytes": 4, "changes": 3, "influx": 2, "mqtt": 3}
        db.executemany("INSERT INTO counters VALUES (?, ?)", [*counters.items(), *places.items()])
        letter = make_letter(b"1234")
        row = (letter.received, letter.topic, letter.reason, letter.detail, letter.payload)
        db.execute("INSERT INTO dead_letters VALUES (2, ?, ?, ?, ?, ?)", row)
        heard = {1: Heard(PACKS[-1].time, [1, 3001])}
        node = NodeRecord("riverside", "air-0007", boot=1, seq=3000, packs=3000, gaps=1, boots=heard)
        db.execute("INSERT INTO nodes VALUES ('riverside', 'air-0007', ?)", (msgspec.json.encode(node),))
        db.execute("COMMIT")
    db.close()
    return tmp_path


def test_what_the_first_version_kept_is_all_there(first_version: Path) -> None:
    """Packs bit by bit, each consumer's place, every count, and what was heard."""
    journal = Journal.open(first_version, 2**30)
    ledger = Ledger(received=3005, written=1000, waiting=2001, dead_letters=2, duplicates=2, gaps=1)
    assert (journal.ledger(), ledger.balanced) == (ledger, True)
    assert journal.read(DATABASE, 5000) == (3001, PACKS[999:], True)
    assert journal.read(DETECT, 5000) == (3001, PACKS[1999:], True)
    assert [journal._outlets[name] for name in ("influx", "mqtt")] == [2, 3]
    assert journal.commit([PACKS[0], PACKS[-1], make_letter()], NOW).duplicates == 1, "the first of them was a gap"
    assert journal.dead_letters(9) == [(3, make_letter()), (2, make_letter(b"1234"))]
    journal.close()
    journal = Journal.open(first_version, 2**30)
    journal.detected(3002, b"")
    journal.forwarded(DATABASE, 3002, 2002)
    assert journal.figures().bytes == 0
    journal.close()


@pytest.mark.parametrize("statement", range(1, 12))
def test_a_migration_that_fails_changes_nothing(first_version: Path, statement: int) -> None:
    """Whatever it was about to do: a journal of the first version is left, and the next try succeeds."""
    path = first_version / schema.FILE_NAME
    before = _dump(path)
    db = sqlite3.connect(path, isolation_level=None)
    asked = 0

    def deny(action: int, *rest: object) -> int:
        nonlocal asked
        asked += action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_DELETE)
        return sqlite3.SQLITE_DENY if asked > statement else sqlite3.SQLITE_OK

    db.set_authorizer(deny)
    with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
        schema._migrate(db, first_version)
    db.set_authorizer(None)
    db.close()
    assert _dump(path) == before
    journal = Journal.open(first_version, 2**30)
    assert journal.ledger().balanced
    journal.close()


def test_a_migration_without_room_is_told(first_version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's 'full' is a sentence, and the journal is as before."""
    before = _dump(first_version / schema.FILE_NAME)
    usual = schema._migrate

    def cramped(connection: sqlite3.Connection, folder: Path) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        usual(connection, folder)

    monkeypatch.setattr(schema, "_migrate", cramped)
    with pytest.raises(ConfigError, match="full"):
        Journal.open(first_version, 2**30)
    assert _dump(first_version / schema.FILE_NAME) == before


def test_what_the_detectors_before_had_open_is_ended(tmp_path: Path) -> None:
    """Those of version 3 begin anew and would never end it; what the gateway itself has open stays."""
    incidents = [
        {"id": name, "kind": kind, "site": "a", "node": "", "channel": "", "severity": "warning", "opened": NOW,
         "closed": None, "summary": "Much."}
        for name, kind in (("a", "burst"), ("b", "journal"))
    ]  # fmt: skip
    with sqlite3.connect(tmp_path / schema.FILE_NAME, isolation_level=None) as db:
        for step in migration.STEPS[:2]:
            step(db)
        for number, each in enumerate(incidents, 1):
            db.execute("INSERT INTO incidents VALUES (?, ?, 1, ?)", (each["id"], number, json.dumps(each)))
        db.execute("INSERT OR REPLACE INTO counters VALUES ('changes', 2)")
        db.execute("INSERT INTO state VALUES ('detectors', x'00')")
        db.execute("PRAGMA user_version = 2")
    db.close()
    journal = Journal.open(tmp_path, 2**30)
    assert journal.detector_state() == (None, 0, 0)
    (own,) = journal.incidents(open_only=True)
    (ended,) = [each for each in journal.incidents() if each.closed is not None]
    assert (own.kind, ended.kind) == ("journal", "burst")
    assert "newer" in ended.summary
    assert journal.incidents_for("mqtt", 9)[-1] == (3, ended)
    journal.close()


def _dump(path: Path) -> list[str]:
    db = sqlite3.connect(path)
    lines = [*db.iterdump(), str(db.execute("PRAGMA user_version").fetchone())]
    db.close()
    return lines
