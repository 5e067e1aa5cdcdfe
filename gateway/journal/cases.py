"""The incidents' table: all that are open, and the last of those that have ended."""

import sqlite3
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Final

import msgspec
from msgspec import structs

from gateway.records import Incident

MOST_CLOSED: Final = 10_000
OWN: Final = "journal"
"""The kind of those that the gateway tells of itself; detectors find the others."""

_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Incident).decode


def keep(db: sqlite3.Connection, count: MutableMapping[str, int], changed: Iterable[Incident], delivered: int) -> None:
    """Enter incidents in their newest form; ended ones up to the place `delivered` go, but for the last.

    Who finds them does not know who has acknowledged them: that stays.
    """
    before = count["changes"]
    for each in changed:
        incident = each
        if incident.acknowledged is None and (known := find(db, incident.id)) is not None:
            incident = structs.replace(incident, acknowledged=known.acknowledged)
        count["changes"] += 1
        db.execute(
            "INSERT OR REPLACE INTO incidents VALUES (?, ?, ?, ?)",
            (incident.id, count["changes"], incident.closed is None, _encode(incident)),
        )
    if count["changes"] > before:
        db.execute(
            "DELETE FROM incidents WHERE NOT open AND changed <= ? AND changed NOT IN "
            "(SELECT changed FROM incidents WHERE NOT open ORDER BY changed DESC LIMIT ?)",
            (delivered, MOST_CLOSED),
        )


def ended(incident: Incident) -> Incident:
    """One whose detectors are no more: when it was heard of last is all that is known of its end."""
    last = max(incident.opened, incident.updated, incident.confirmed or 0)
    summary = f"{incident.summary} The detectors began anew before its end was seen."
    return structs.replace(incident, closed=last, summary=summary)


def find(db: sqlite3.Connection, name: str) -> Incident | None:
    """The incident of an id."""
    row = db.execute("SELECT incident FROM incidents WHERE id = ?", (name,)).fetchone()
    return None if row is None else decode(row[0])


def known(db: sqlite3.Connection, *, open_only: bool = False) -> list[Incident]:
    """In the order of their last change."""
    rows = db.execute(f"SELECT incident FROM incidents {'WHERE open' if open_only else ''} ORDER BY changed")
    return [decode(row[0]) for row in rows]


def numbered(db: sqlite3.Connection, seen: Mapping[int, Incident]) -> dict[int, Incident]:
    """All, by the number of their last change and in its order; those that an earlier answer `seen` has are not read
    again, as what changes gets another number. Not within a transaction."""
    newest = max(seen, default=0)
    db.execute("BEGIN")  # both statements see the same moment
    try:
        numbers = [number for (number,) in db.execute("SELECT changed FROM incidents ORDER BY changed")]
        rows = db.execute("SELECT changed, incident FROM incidents WHERE changed > ? ORDER BY changed", (newest,))
        fresh = {number: decode(incident) for number, incident in rows}
    finally:
        db.execute("ROLLBACK")
    if any(number not in seen for number in numbers if number <= newest):
        return numbered(db, {})  # another journal has taken its place
    return {number: fresh[number] if number > newest else seen[number] for number in numbers}


def after(db: sqlite3.Connection, place: int, limit: int) -> list[tuple[int, Incident]]:
    """Those that changed after a place, in order of change, each in its newest form with its place."""
    rows = db.execute(
        "SELECT changed, incident FROM incidents WHERE changed > ? ORDER BY changed LIMIT ?", (place, limit)
    )
    return [(changed, decode(incident)) for changed, incident in rows]
