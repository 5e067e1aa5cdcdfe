"""What leaves the outbox because it is too old, or of a node of which everything is deleted.

A connection of its own, beside the gateway's: SQLite lets one after the other write.
"""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import structs

from gateway.detect.unnamed import names, without
from gateway.errors import ConfigError
from gateway.notify.state import FILE_NAME, standing
from gateway.notify.told import Told
from gateway.records import Incident

WAIT_SECONDS: Final = 10.0
"""For the gateway, which writes too."""

_told = msgspec.json.Decoder(Told).decode
_incident = msgspec.json.Decoder(Incident).decode
_encode = msgspec.json.encode

Cut = Callable[[bytes], bytes | None]
"""What is left of a row; None for nothing."""


def about(folder: Path, site: str, node: str) -> dict[str, list[bytes]]:
    """What there is of a node, by table: the JSON of messages and incidents. `folder` is `data_dir`. Raises
    ConfigError."""
    with _open(folder) as db:
        return {} if db is None else {table: rows for table in _TABLES if (rows := _affected(db, table, site, node))}


def erase(folder: Path, site: str, node: str) -> int:
    """Its incidents are in no message any more, and no other message names it. How many rows that were. Raises
    ConfigError."""
    changed = 0
    with _open(folder) as db:
        for table, cut_of in _TABLES.items() if db is not None else ():
            assert db is not None
            cut, column = cut_of(site, node), _COLUMN[table]
            for row, coded in db.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
                left = cut(coded)
                if left is None:
                    db.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))
                elif left != coded:
                    db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (left, row))
                changed += left != coded
    return changed


def expire(folder: Path, messages_before: float, known_before: float, limit: int) -> Counter[str]:
    """Delete messages that were made, and refused, before a time, and what is remembered of incidents that ended before
    another (Unix seconds), at most so many of each. How many, by table. Raises ConfigError."""
    found: Counter[str] = Counter()
    with _open(folder) as db:
        if db is None:
            return found
        old = [
            row
            for row, coded in db.execute("SELECT rowid, told FROM outgoing ORDER BY rowid").fetchall()
            if _told(coded).time < messages_before
        ][:limit]
        for row in old:
            db.execute(
                "UPDATE targets SET dropped = dropped + 1 WHERE name = (SELECT target FROM outgoing WHERE rowid = ?)",
                (row,),
            )
            db.execute("DELETE FROM outgoing WHERE rowid = ?", (row,))
        found["outgoing"] = len(old)
        for table, condition, bound in (
            ("aside", "time < ?", messages_before),
            ("known", "closed > 0 AND closed < ?", known_before),
        ):
            found[table] = db.execute(
                f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {condition} LIMIT ?)",
                (bound, limit),
            ).rowcount
    return found


@contextlib.contextmanager
def _open(folder: Path) -> Iterator[sqlite3.Connection | None]:
    """In one transaction; None before there is an outbox."""
    standing(folder)  # says what is wrong with it
    path = folder / FILE_NAME
    if not path.exists():
        yield None
        return
    try:
        with contextlib.closing(sqlite3.connect(path, WAIT_SECONDS, isolation_level=None)) as db:
            db.execute("PRAGMA secure_delete = ON")
            db.execute("BEGIN IMMEDIATE")
            (made,) = db.execute("PRAGMA user_version").fetchone()  # 0 while the gateway is just about to make it
            yield db if made else None
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise ConfigError(f"{path} cannot be written: {error}; run this as the gateway's user") from error


def _affected(db: sqlite3.Connection, table: str, site: str, node: str) -> list[bytes]:
    cut = _TABLES[table](site, node)
    return [coded for (coded,) in db.execute(f"SELECT {_COLUMN[table]} FROM {table}") if cut(coded) != coded]


def _message(site: str, node: str) -> Cut:
    def cut(coded: bytes) -> bytes | None:
        told = _told(coded)
        left = tuple(each for each in told.incidents if (each.site, each.node) != (site, node))
        left = tuple(without(each, node) if each.site == site else each for each in left)
        if left == told.incidents:
            return coded
        return _encode(structs.replace(told, incidents=left)) if left else None

    return cut


def _one(site: str, node: str) -> Cut:
    def cut(coded: bytes) -> bytes | None:
        incident = _incident(coded)
        if incident.site != site:
            return coded
        if incident.node == node:
            return None
        return _encode(without(incident, node)) if names(incident, node) else coded

    return cut


_TABLES: Final[dict[str, Callable[[str, str], Cut]]] = {
    "outgoing": _message,
    "later": _one,
    "known": _one,
    "aside": _message,
}
_COLUMN: Final = {"outgoing": "told", "later": "incident", "known": "incident", "aside": "told"}
