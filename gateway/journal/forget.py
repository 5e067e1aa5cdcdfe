"""What leaves the journal although nobody asked to have it delivered: what is too old, and all that is of one node.

Counts stay, as the ledger is of packs and not of what was in them. What goes is overwritten on the disk.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, MutableMapping
from typing import Final

from msgspec import Struct

from gateway.detect.unnamed import names, without
from gateway.journal import batches, cases, letters
from gateway.records import DeadLetter, Incident

MOST_BYTES: Final = 2**24
"""Of packs on their way through which it is looked for a node's: they are decoded while acknowledgements wait."""


class About(Struct, frozen=True):
    """What the journal has of a node."""

    waiting: int
    """Packs and births of it that are on their way; -1 where too much is to look through."""
    known: bool
    """Whether the registry has it."""
    letters: tuple[int, ...] = ()
    """Numbers of dead letters that are its or hold its name."""
    own: tuple[str, ...] = ()
    """Ids of its own incidents."""
    others: tuple[str, ...] = ()
    """Ids of incidents that name it."""


class Expired(Struct, frozen=True):
    """What was too old, of one step."""

    letters: int = 0
    incidents: int = 0
    nodes: tuple[tuple[str, str], ...] = ()
    """(site, node)."""


@contextlib.contextmanager
def overwriting(db: sqlite3.Connection) -> Iterator[None]:
    """What is deleted in the block leaves nothing readable in the file."""
    db.execute("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        db.execute("PRAGMA secure_delete = OFF")


def waiting(db: sqlite3.Connection, site: str, node: str, size: int) -> int:
    """Packs, births and wills of a node in the batches that are kept, which are `size` bytes."""
    if size > MOST_BYTES:
        return -1
    found = 0
    for checksum, body in db.execute("SELECT checksum, body FROM batches WHERE NOT damaged"):
        try:
            packs, words = batches.decode(checksum, body)
        except batches.Damaged:
            continue  # who reads it next makes it a dead letter
        found += sum((each.site, each.node) == (site, node) for each in packs)
        found += sum(each[:2] == (site, node) for each in words)
    return found


def letters_of(db: sqlite3.Connection, site: str, node: str) -> tuple[int, ...]:
    """Numbers of those of its topics, and of those whose bytes hold its name: a spoilt batch has no topic."""
    name, full = node.encode(), f"{site}/{node}/"
    rows = db.execute(
        "SELECT number FROM dead_letters WHERE instr(topic, ?) OR instr(payload, ?) "
        "OR (topic = '' AND instr(payload, ?) AND instr(payload, ?)) ORDER BY number",
        (f"/{full}", full.encode(), site.encode(), name),
    )
    return tuple(number for (number,) in rows)


def letters_with(db: sqlite3.Connection, numbers: tuple[int, ...]) -> list[DeadLetter]:
    rows = (
        db.execute("SELECT topic, payload, reason, detail, received FROM dead_letters WHERE number = ?", (each,))
        for each in numbers
    )
    return [DeadLetter(*row) for found in rows for row in found]


def sorted_out(db: sqlite3.Connection, site: str, node: str) -> tuple[list[Incident], list[Incident]]:
    """Its own incidents, and those that name it."""
    here = [each for each in cases.known(db) if each.site == site]
    own = [each for each in here if each.node == node]
    return own, [each for each in here if each.node != node and names(each, node)]


def erase(
    db: sqlite3.Connection, count: MutableMapping[str, int], site: str, node: str, delivered: int
) -> tuple[int, list[Incident], list[Incident]]:
    """Dead letters and incidents of a node go, those of others no longer name it: they are told anew. Returns how many
    letters, and the incidents of both sorts as they were."""
    own, others = sorted_out(db, site, node)
    numbers = letters_of(db, site, node)
    for number in numbers:
        letters.take(db, count, number)
    db.executemany("DELETE FROM incidents WHERE id = ?", [(each.id,) for each in own])
    db.execute("DELETE FROM nodes WHERE site = ? AND node = ?", (site, node))
    cases.keep(db, count, [without(each, node) for each in others], delivered)
    return len(numbers), own, others


def expire_letters(db: sqlite3.Connection, count: MutableMapping[str, int], before: float, limit: int) -> int:
    """Those that came before, at most so many."""
    rows = db.execute(
        "SELECT number FROM dead_letters WHERE received < ? ORDER BY number LIMIT ?", (before, limit)
    ).fetchall()
    for (number,) in rows:
        letters.take(db, count, number)
    count["letters_expired"] += len(rows)
    return len(rows)


def expire_incidents(
    db: sqlite3.Connection, count: MutableMapping[str, int], before: float, delivered: int, limit: int
) -> int:
    """Those that ended before, were told to all who are waited for, and changed longest ago; at most so many."""
    rows = db.execute(
        "SELECT id, incident FROM incidents WHERE NOT open AND changed <= ? ORDER BY changed", (delivered,)
    )
    old: list[str] = []
    for name, coded in rows:
        closed = cases.decode(coded).closed
        if closed is not None and closed < before:
            old.append(name)
        if len(old) == limit:
            break
    db.executemany("DELETE FROM incidents WHERE id = ?", [(each,) for each in old])
    count["incidents_expired"] += len(old)
    return len(old)
