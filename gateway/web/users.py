"""Who may act: accounts with hashed passwords, and the sessions of those who have logged in.

One SQLite file in `data_dir`, for its owner alone. There is no account to begin with, and no default password.
"""

import contextlib
import functools
import hashlib
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec import Meta, Struct

from gateway.errors import ConfigError
from gateway.files import make_private
from gateway.near import hint

FILE_NAME: Final = "users.sqlite3"
SHORTEST: Final = 12
"""Characters of a password (NIST SP 800-63B-4 asks for 15 where it stands alone, 8 at the very least); no other rule:
length is what counts."""
LONGEST: Final = 200
SESSION_SECONDS: Final = 12 * 3600
"""A shift. Then who acts logs in again."""
MOST_SESSIONS: Final = 1000
"""Beyond them the oldest end."""

# Argon2id with the parameters of RFC 9106 for little memory (64 MiB, 3 passes), which are the library's own.
_hasher = PasswordHasher()
_Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, hash TEXT NOT NULL, made REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (
    token BLOB PRIMARY KEY, name TEXT NOT NULL, until REAL NOT NULL
) WITHOUT ROWID;
"""


class User(Struct, frozen=True):
    name: str
    made: float
    """Unix seconds."""


class Users:
    """The file, opened for each call: commands and the console use it at the same time. Blocking."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the gateway's `data_dir`."""
        self._path = folder / FILE_NAME

    def add(self, name: str, password: str, now: float) -> None:
        """A new account. Raises ConfigError for a name or password that cannot be one, or a name that is taken."""
        try:
            msgspec.convert(name, _Name)
        except msgspec.ValidationError as error:
            raise ConfigError(
                f"{name!r} is no user's name: that is 1 to 64 letters, digits and ._@-, the first a letter or digit"
            ) from error
        hashed = _hashed(password)
        with self._open() as db:
            taken = db.execute("INSERT OR IGNORE INTO users VALUES (?, ?, ?)", (name, hashed, now)).rowcount == 0
        if taken:
            raise ConfigError(f"there is a user {name} already: change the password with `ganglion users password`")

    def change(self, name: str, password: str) -> None:
        """Another password; who was logged in by the old one is so no more. Raises ConfigError."""
        hashed = _hashed(password)
        with self._open() as db:
            self._known(db, name)
            db.execute("UPDATE users SET hash = ? WHERE name = ?", (hashed, name))
            db.execute("DELETE FROM sessions WHERE name = ?", (name,))

    def remove(self, name: str) -> None:
        """And end what sessions there are. Raises ConfigError when there is no such user."""
        with self._open() as db:
            self._known(db, name)
            db.execute("DELETE FROM users WHERE name = ?", (name,))
            db.execute("DELETE FROM sessions WHERE name = ?", (name,))

    def all(self) -> list[User]:
        """By name. Looks only: makes no file."""
        if not self._path.exists():
            return []
        with self._open() as db:
            return [User(*row) for row in db.execute("SELECT name, made FROM users ORDER BY name")]

    def log_in(self, name: str, password: str, now: float) -> str | None:
        """A new session's token; None when name and password do not belong together. Takes about 0.1 s either way."""
        with self._open() as db:
            row = db.execute("SELECT hash FROM users WHERE name = ?", (name,)).fetchone()
        try:
            # A name that is not there takes as long as one that is, so that nobody finds out names by the clock.
            _hasher.verify(row[0] if row else _nobody(), password[:LONGEST])
        except (VerificationError, InvalidHashError):
            return None
        if row is None:
            return None
        token = secrets.token_urlsafe(32)
        with self._open() as db:
            db.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_digest(token), name, now + SESSION_SECONDS))
            db.execute(
                "DELETE FROM sessions WHERE token NOT IN (SELECT token FROM sessions ORDER BY until DESC LIMIT ?)",
                (MOST_SESSIONS,),
            )
        return token

    def ended(self, now: float) -> list[tuple[str, float]]:
        """(name, until in Unix seconds) of sessions that ended by their time; they are forgotten with it."""
        with self._open() as db:
            rows = db.execute("DELETE FROM sessions WHERE until <= ? RETURNING name, until", (now,)).fetchall()
        return [(name, until) for name, until in rows]

    def who(self, token: str, now: float) -> str | None:
        """Whose session a token is; None when it is nobody's, or no more."""
        if not token or not self._path.exists():
            return None
        with self._open() as db:
            row = db.execute(
                "SELECT name FROM sessions WHERE token = ? AND until > ?", (_digest(token), now)
            ).fetchone()
        return None if row is None else row[0]

    def log_out(self, token: str) -> None:
        with self._open() as db:
            db.execute("DELETE FROM sessions WHERE token = ?", (_digest(token),))

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            make_private(self._path)
            with contextlib.closing(sqlite3.connect(self._path, timeout=10.0)) as db, db:
                db.executescript(_SCHEMA)
                yield db
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"{self._path} cannot be used: {error}; run this as the gateway's user") from error

    def _known(self, db: sqlite3.Connection, name: str) -> None:
        names = [row[0] for row in db.execute("SELECT name FROM users")]
        if name not in names:
            raise ConfigError(f"there is no user {name}{hint(name, names)}")


def _hashed(password: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        raise ConfigError(f"a password has {SHORTEST} to {LONGEST} characters, this one has {len(password)}")
    return _hasher.hash(password)


@functools.cache
def _nobody() -> str:
    """The hash of a password that nobody has."""
    return _hasher.hash(secrets.token_urlsafe(32))


def _digest(token: str) -> bytes:
    """What the file has of a token: whoever reads the file cannot act with it."""
    return hashlib.sha256(token.encode()).digest()
