"""The dead letters' table: the newest are kept, up to a number and a size."""

import sqlite3
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Final

from gateway.records import DeadLetter

MOST: Final = 100_000
MOST_BYTES: Final = 256 * 2**20
"""Kept at most: beyond either, the oldest go. They stay counted."""

_COLUMNS: Final = "number, topic, payload, reason, detail, received"

Letters = list[tuple[int, DeadLetter]]
"""Each with its number: 1, 2, 3 ... in the order they came."""


def bury(db: sqlite3.Connection, count: MutableMapping[str, int], letters: Sequence[DeadLetter]) -> None:
    """Keep letters; the oldest make room. How many packs they stand for is the ledger's to count."""
    if not letters:
        return
    numbered = enumerate(letters, start=count["letter"] + 1)
    db.executemany(
        f"INSERT INTO dead_letters ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
        [(n, d.topic, d.payload, d.reason, d.detail, d.received) for n, d in numbered],
    )
    count["letter"] += len(letters)
    count["letters_kept"] += len(letters)
    count["dead_bytes"] += sum(len(letter.payload) for letter in letters)
    if count["letters_kept"] <= MOST and count["dead_bytes"] <= MOST_BYTES:
        return
    going = []
    for number, size in db.execute("SELECT number, length(payload) FROM dead_letters ORDER BY number"):
        if count["letters_kept"] <= MOST and count["dead_bytes"] <= MOST_BYTES:
            break
        _forget(count, size)
        going.append((number,))
    db.executemany("DELETE FROM dead_letters WHERE number = ?", going)


def take(db: sqlite3.Connection, count: MutableMapping[str, int], number: int) -> DeadLetter | None:
    """Take one out; None when it has gone."""
    rows = db.execute(f"DELETE FROM dead_letters WHERE number = ? RETURNING {_COLUMNS}", (number,)).fetchall()
    if not rows:
        return None
    letter = DeadLetter(*rows[0][1:])
    _forget(count, len(letter.payload))
    return letter


def newest(db: sqlite3.Connection, limit: int) -> Letters:
    """The newest, newest first."""
    return _letters(db.execute(f"SELECT {_COLUMNS} FROM dead_letters ORDER BY number DESC LIMIT ?", (limit,)))


def after(db: sqlite3.Connection, number: int, limit: int, reason: str = "") -> Letters:
    """Those after a number, oldest first; of one reason, or of all."""
    return _letters(
        db.execute(
            f"SELECT {_COLUMNS} FROM dead_letters WHERE number > ? AND ? IN ('', reason) ORDER BY number LIMIT ?",
            (number, reason, limit),
        )
    )


def tally(db: sqlite3.Connection, begin: float, end: float) -> dict[str, int]:
    """Of those received in [begin, end), how many there are of each reason."""
    return dict(
        db.execute(
            "SELECT reason, count(*) FROM dead_letters WHERE received >= ? AND received < ? GROUP BY reason",
            (begin, end),
        )
    )


def _letters(rows: Iterable[tuple[int, str, bytes, str, str, float]]) -> Letters:
    return [(row[0], DeadLetter(*row[1:])) for row in rows]


def _forget(count: MutableMapping[str, int], size: int) -> None:
    count["letters_kept"] -= 1
    count["dead_bytes"] -= size
