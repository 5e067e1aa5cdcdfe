"""The journal's tables, their versions, and how the file is opened. Values are JSON, so `sqlite3` shows them."""

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError

FILE_NAME: Final = "journal.sqlite3"

# One script per version: `user_version` n means that the first n have run. Append, never change.
VERSIONS: Final = (
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
    CREATE TABLE state (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    """,
)


def connect(folder: Path) -> tuple[sqlite3.Connection, int]:
    """Open for writing, creating or migrating as needed. Returns the connection and the descriptor of its lock.

    Raises ConfigError when the folder cannot be used, another gateway holds it, or a newer version wrote it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "journal.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"data_dir {folder} cannot be used: {error.strerror}; give the gateway a folder it may write"
        ) from error
    try:
        # Its memory of what was heard would be wrong if a second one wrote; the kernel frees the lock when we die.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ConfigError(
            f"data_dir {folder} is in use by another gateway: stop it, or give this one its own"
        ) from None
    try:
        # All calls come from one executor thread, but not always the one that opened.
        connection = sqlite3.connect(folder / FILE_NAME, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, folder)
    except sqlite3.DatabaseError as error:
        os.close(lock)
        raise ConfigError(f"the journal in {folder} cannot be opened: {error}; restore it or move it away") from error
    except ConfigError:
        os.close(lock)
        raise
    return connection, lock


def connect_read_only(folder: Path) -> sqlite3.Connection:
    """Open for looking only, beside a running gateway or without one. Raises ConfigError when there is no journal."""
    path = folder / FILE_NAME
    if not path.exists():
        raise ConfigError(f"there is no journal in {folder}: check data_dir, or start the gateway once")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise ConfigError(f"the journal in {folder} cannot be read: {error}") from error
    if version != len(VERSIONS):
        raise ConfigError(f"the journal in {folder} has version {version}, this program reads {len(VERSIONS)}")
    return connection


def _migrate(connection: sqlite3.Connection, folder: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(VERSIONS):
        raise ConfigError(
            f"the journal in {folder} has version {version}, this program knows up to {len(VERSIONS)}: "
            "it was written by a newer one; use that, or another data_dir"
        )
    for number, script in enumerate(VERSIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
