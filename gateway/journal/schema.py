"""How the journal's file is opened: locked, durable, and of the present version."""

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError
from gateway.files import make_private, shut_folder
from gateway.journal.migration import STEPS

FILE_NAME: Final = "journal.sqlite3"


def connect(folder: Path) -> tuple[sqlite3.Connection, int]:
    """Open for writing, creating or migrating as needed. Returns the connection and the descriptor of its lock.

    Raises ConfigError when the folder cannot be used, another gateway holds it, or a newer version wrote it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        shut_folder(folder)
        make_private(folder / FILE_NAME)
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


def connect_beside(folder: Path) -> sqlite3.Connection:
    """A second connection of the process that has the lock. It keeps what it syncs as the first does."""
    connection = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def empty_log(connection: sqlite3.Connection) -> int:
    """Bring what is in SQLite's log into the database, as far as nobody else does. Returns the pages in the log.

    0 where the disk is full: then the log stays, which holds all that the database lacks, until there is room.
    """
    try:
        (_, pages, _) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        return 0
    return int(pages)


def connect_read_only(folder: Path) -> sqlite3.Connection:
    """Open for looking only, beside a running gateway or without one. Raises ConfigError when there is no journal."""
    path = folder / FILE_NAME
    if not path.exists():
        raise ConfigError(f"there is no journal in {folder}: check data_dir, or start the gateway once")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        cure = "" if os.access(folder, os.W_OK) else "; run this as the gateway's user"
        raise ConfigError(f"the journal in {folder} cannot be read: {error}{cure}") from error
    if version != len(STEPS):
        cure = "start this gateway once, which takes it over" if version < len(STEPS) else "use the newer program"
        raise ConfigError(f"the journal in {folder} has version {version}, this program reads {len(STEPS)}: {cure}")
    return connection


def _migrate(connection: sqlite3.Connection, folder: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(STEPS):
        raise ConfigError(
            f"the journal in {folder} has version {version}, this program knows up to {len(STEPS)}: "
            "it was written by a newer one; use that, or another data_dir"
        )
    if version == len(STEPS):
        return
    # All of it or nothing: a migration that is killed, or finds no room, leaves the journal as it was.
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in STEPS[version:]:
            step(connection)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
