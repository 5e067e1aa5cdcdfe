"""`citizens.sqlite3` in `data_dir`: who asked to be told, what they were told, and works that people have announced.

Of a subscriber it holds what a push needs, and the area asked for: no name, no address of a computer, no program, no
time. It is deleted with the subscription. Several processes may use it: the console and `ganglion notice`.
"""

import sqlite3
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from gateway.citizens.notices import KEPT, Works
from gateway.errors import ConfigError
from gateway.files import make_private

FILE: Final = "citizens.sqlite3"
MOST: Final = 100_000
"""Subscriptions."""
MOST_WORKS: Final = 1000
FAILING_DAYS: Final = 30
"""After which a subscription that takes nothing is deleted."""
WAIT_SECONDS: Final = 10.0
"""For another process that writes."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS subscriptions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint TEXT NOT NULL UNIQUE,
    p256dh TEXT NOT NULL,
    auth TEXT NOT NULL,
    area TEXT NOT NULL,
    failing INTEGER,
    proven INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS told (
    subscription INTEGER NOT NULL REFERENCES subscriptions (number) ON DELETE CASCADE,
    key TEXT NOT NULL,
    PRIMARY KEY (subscription, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS works (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    area TEXT NOT NULL,
    text TEXT NOT NULL,
    begin INTEGER NOT NULL,
    end INTEGER NOT NULL,
    announced INTEGER NOT NULL
);
"""


class Full(ConfigError):
    """No room for another."""


class Subscription(Struct, frozen=True):
    """Who asked to be told of an area."""

    number: int
    endpoint: str
    """Address at the browser's push service: whoever knows it is the subscriber."""
    p256dh: str
    auth: str
    area: str
    """Slug of it; empty for all."""


class Store:
    """Any thread may call."""

    def __init__(self, folder: Path) -> None:
        """Opens or makes it. Raises ConfigError."""
        self.path = folder / FILE
        self._lock = threading.Lock()
        try:
            make_private(self.path)
            self._db = sqlite3.connect(self.path, WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            # What a power cut takes of the last told is told twice; `unsubscribe` sees to the disk itself.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.executescript(_SCHEMA)
            _complete(self._db)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"{self.path} cannot be used: {error}; give the gateway's user its data_dir") from error

    def close(self) -> None:
        self._db.close()

    def subscribe(self, endpoint: str, p256dh: str, auth: str, area: str, known: Collection[str]) -> None:
        """Also in place of what the same endpoint asked for before. `known` are keys that need not be told any more.

        Where there is no room, the oldest goes whose service has never taken anything: most likely it is invented.
        Raises Full.
        """
        with self._write() as db:
            db.execute("DELETE FROM subscriptions WHERE endpoint = ?", (endpoint,))
            if db.execute("SELECT count(*) FROM subscriptions").fetchone()[0] >= MOST and not _make_room(db):
                raise Full(f"{MOST} subscriptions are kept at most: somebody must end one first")
            row = db.execute(
                "INSERT INTO subscriptions (endpoint, p256dh, auth, area) VALUES (?, ?, ?, ?)",
                (endpoint, p256dh, auth, area),
            )
            db.executemany("INSERT INTO told VALUES (?, ?)", [(row.lastrowid, key) for key in set(known)])

    def unsubscribe(self, endpoint: str) -> bool:
        """Deletes all of it at once; whether there was one."""
        with self._write() as db:
            found = db.execute("DELETE FROM subscriptions WHERE endpoint = ?", (endpoint,)).rowcount > 0
        if found:
            # What was deleted is overwritten, and must not live on in the log beside it.
            with self._lock:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return found

    def subscriptions(self) -> list[Subscription]:
        with self._lock:
            rows = self._db.execute("SELECT number, endpoint, p256dh, auth, area FROM subscriptions ORDER BY number")
            return [Subscription(*row) for row in rows]

    def newest(self) -> int:
        """Number of the subscription that came last; 0 before any."""
        with self._lock:
            row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'subscriptions'").fetchone()
        return 0 if row is None else int(row[0])

    def told(self, keys: Iterable[str]) -> set[tuple[int, str]]:
        """(number of a subscription, key), of these keys."""
        found: set[tuple[int, str]] = set()
        with self._lock:
            for key in keys:
                found |= {
                    (number, key)
                    for (number,) in self._db.execute("SELECT subscription FROM told WHERE key = ?", (key,))
                }
        return found

    def tell(self, number: int, key: str) -> None:
        """It has been told this: its service has taken it."""
        with self._write() as db:
            db.execute("INSERT OR IGNORE INTO told SELECT number, ? FROM subscriptions WHERE number = ?", (key, number))
            db.execute("UPDATE subscriptions SET failing = NULL, proven = 1 WHERE number = ?", (number,))

    def skip(self, number: int, key: str, day: int) -> None:
        """Its service refuses this for good: it is not tried again, and the whole goes after `FAILING_DAYS`. `day` is
        in days since 1970."""
        with self._write() as db:
            db.execute("INSERT OR IGNORE INTO told SELECT number, ? FROM subscriptions WHERE number = ?", (key, number))
            db.execute("UPDATE subscriptions SET failing = coalesce(failing, ?) WHERE number = ?", (day, number))
            db.execute("DELETE FROM subscriptions WHERE number = ? AND failing <= ?", (number, day - FAILING_DAYS))

    def drop(self, number: int) -> None:
        """Its service does not know it any more."""
        with self._write() as db:
            db.execute("DELETE FROM subscriptions WHERE number = ?", (number,))

    def forget(self, keys: Collection[str]) -> None:
        """What was told of anything but these."""
        with self._write() as db:
            known = [key for (key,) in db.execute("SELECT DISTINCT key FROM told")]
            db.executemany("DELETE FROM told WHERE key = ?", [(key,) for key in known if key not in keys])

    def announce(self, area: str, text: str, begin: int, end: int, now: int) -> Works:
        """Raises Full."""
        with self._write() as db:
            db.execute("DELETE FROM works WHERE end < ?", (now - KEPT,))
            if db.execute("SELECT count(*) FROM works").fetchone()[0] >= MOST_WORKS:
                raise Full(f"{MOST_WORKS} works are kept at most: end one first, by `ganglion notice end`")
            row = db.execute(
                "INSERT INTO works (area, text, begin, end, announced) VALUES (?, ?, ?, ?, ?)",
                (area, text, begin, end, now),
            )
            return Works(row.lastrowid or 0, area, text, begin, end, now)

    def changes(self) -> int:
        """Another number whenever something has been written by another connection than this one."""
        with self._lock:
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def works(self) -> list[Works]:
        """By their beginning."""
        with self._lock:
            rows = self._db.execute(
                "SELECT number, area, text, begin, end, announced FROM works ORDER BY begin, number"
            )
            return [Works(*row) for row in rows]

    def end_works(self, number: int, now: int) -> bool:
        """They are over now; those that had not begun are gone. Whether there are any of that number."""
        with self._write() as db:
            if db.execute("DELETE FROM works WHERE number = ? AND begin > ?", (number, now)).rowcount:
                return True
            return db.execute("UPDATE works SET end = min(end, ?) WHERE number = ?", (now, number)).rowcount > 0

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Cursor]:
        """A transaction, or nothing of it."""
        with self._lock, closing(self._db.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")


def _make_room(db: sqlite3.Cursor) -> bool:
    """Whether there was one that never took anything."""
    oldest = "SELECT min(number) FROM subscriptions WHERE NOT proven"
    return db.execute(f"DELETE FROM subscriptions WHERE number = ({oldest})").rowcount > 0


def _complete(db: sqlite3.Connection) -> None:
    """A file of an older version gets the columns that it lacks."""
    if "proven" not in {row[1] for row in db.execute("PRAGMA table_info(subscriptions)")}:
        db.execute("ALTER TABLE subscriptions ADD COLUMN proven INTEGER NOT NULL DEFAULT 0")
