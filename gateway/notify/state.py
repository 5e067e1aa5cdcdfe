"""How the targets stand, read from the outbox beside the gateway that writes it."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from gateway.errors import ConfigError

FILE_NAME: Final = "notify.sqlite3"
VERSION: Final = 1
SCHEMA: Final = (
    """CREATE TABLE targets (
        name TEXT PRIMARY KEY, via TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0,
        refused INTEGER NOT NULL DEFAULT 0, success REAL, failure REAL, trouble TEXT NOT NULL DEFAULT '',
        failing INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID""",
    """CREATE TABLE outgoing (
        number INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, severity INTEGER NOT NULL, told BLOB NOT NULL
    )""",
    "CREATE INDEX outgoing_of ON outgoing (target, number)",
    """CREATE TABLE later (
        target TEXT, id TEXT, due REAL NOT NULL, only_if TEXT NOT NULL, severity INTEGER NOT NULL,
        incident BLOB NOT NULL, PRIMARY KEY (target, id)
    )""",
    """CREATE TABLE known (
        target TEXT, id TEXT, closed INTEGER NOT NULL, incident BLOB NOT NULL, PRIMARY KEY (target, id)
    )""",
    """CREATE TABLE aside (
        number INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, time REAL NOT NULL, reason TEXT NOT NULL,
        told BLOB NOT NULL
    )""",
)


class Standing(Struct, frozen=True):
    """Of one target. Times are Unix seconds of the gateway's clock; None: never."""

    name: str
    via: str
    """`webhook`, `email`, `mqtt` or `ntfy`."""
    waiting: int = 0
    """Messages that it has not taken yet."""
    later: int = 0
    """Incidents of which it is told later: after quiet hours, in a digest, unless somebody acknowledges."""
    sent: int = 0
    dropped: int = 0
    """Messages that were given up because too many waited."""
    refused: int = 0
    """Messages that it will never take; the newest hundred are kept."""
    success: float | None = None
    failure: float | None = None
    trouble: str = ""
    """Of the last failure, in words."""
    failing: bool = False
    """Whether its last answer was a failure."""


_QUERY = """
    SELECT name, via,
        (SELECT count(*) FROM outgoing WHERE target = name), (SELECT count(*) FROM later WHERE target = name),
        sent, dropped, refused, success, failure, trouble, failing FROM targets ORDER BY name
"""


_TOLD = "SELECT known.id, targets.via, name FROM known JOIN targets ON name = known.target ORDER BY name"


def standing(folder: Path) -> list[Standing]:
    """By name; none before a gateway with `[[notify]]` tables has run. `folder` is `data_dir`. Raises ConfigError."""
    path = folder / FILE_NAME
    if not path.exists():
        return []
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise ConfigError(f"{path} has version {version}, this program reads {VERSION}: use the newer program")
            return stand(db) if version else []
    except sqlite3.Error as error:
        raise ConfigError(f"{path} cannot be read: {error}; run this as the gateway's user") from error


def who_was_told(folder: Path) -> dict[str, tuple[str, ...]]:
    """By id of an incident, the targets that it was told to or is being told to. `folder` is `data_dir`.

    Raises ConfigError.
    """
    path = folder / FILE_NAME
    if not standing(folder):
        return {}
    told: dict[str, list[str]] = {}
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        for name, via, target in db.execute(_TOLD):
            told.setdefault(name, []).append(f"{via} to {target}")
    return {name: tuple(ways) for name, ways in told.items()}


def stand(db: sqlite3.Connection) -> list[Standing]:
    """The same over a connection that is open."""
    return [structs.replace(Standing(*row), failing=bool(row[-1])) for row in db.execute(_QUERY)]
