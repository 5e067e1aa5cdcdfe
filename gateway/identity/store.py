"""`identities.sqlite3` in `data_dir`: what was issued here or learnt of, one-time tokens, who is barred.

Opened for each call: the gateway, the process of enrolment and commands use it at the same time. Of a token it holds
the hash alone. What has ended for a month is forgotten, so it is bounded by the city and not by time.
"""

import contextlib
import hmac
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from gateway.errors import ConfigError
from gateway.files import make_private, stamp
from gateway.identity.issuer import Issued, Refusal
from gateway.identity.schema import SCHEMA, STATES, Barred, Certificate, How
from gateway.pki.authority import PkiError

FILE_NAME: Final = "identities.sqlite3"
TOKEN_BYTES: Final = 24
"""192 bits of chance: nobody guesses one, so one hash without salt is enough."""
MOST_TOKENS: Final = 10_000
MOST_CERTIFICATES: Final = 500_000
MOST_SAID: Final = 16
"""Certificates of one node that are known by its word alone. More are not taken note of."""
A_DAY: Final = 10
"""Certificates of one node within a day. A good one needs one in two months."""
KEPT_SECONDS: Final = 30 * 86_400
"""For which what has ended is still shown."""
_DAY: Final = 86_400

_STATE: Final = "CASE WHEN state != 'revoked' AND b.what = 'hold' THEN 'held' ELSE state END"
_SINCE: Final = "CASE WHEN state != 'revoked' AND b.what = 'hold' THEN b.since ELSE c.since END"
_KNOWN: Final = "certificates c LEFT JOIN barred b ON b.name = c.name"
_COLUMNS: Final = f"serial, c.name, ends, how, made, {_STATE}, {_SINCE} FROM {_KNOWN}"


class TokenRefused(PkiError):
    """A token that is none, or is so no more."""


class Store:
    """The file. Blocking; any thread."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the gateway's `data_dir`."""
        self.path = folder / FILE_NAME

    # Issuing.

    def token(self, name: str, seconds: float, now: float) -> str:
        """A new token by which this node may fetch one certificate; one that was not used goes. Raises PkiError."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with self._open() as db:
            db.execute("DELETE FROM tokens WHERE (name = ? AND used IS NULL) OR until <= ?", (name, now))
            if db.execute("SELECT count(*) FROM tokens").fetchone()[0] >= MOST_TOKENS:
                raise PkiError(f"{MOST_TOKENS} tokens wait to be used: let some end first")
            row = (_digest(token), name, now, now + seconds)
            db.execute("INSERT INTO tokens (digest, name, made, until) VALUES (?, ?, ?, ?)", row)
        return token

    def admit(self, name: str, token: str, now: float) -> None:
        """Raises TokenRefused when it is no token of this node, or its time is over."""
        rows = self._rows("SELECT digest, used, key FROM tokens WHERE name = ? AND until > ?", (name, now))
        _found(rows, name, token)

    def redeem(self, name: str, token: str, key: bytes, make: Callable[[], Issued], now: float) -> Issued:
        """A certificate for a token, once. `key` is the fingerprint of the key that asks: the same one is given the
        same certificate again, as a power cut may take the answer.

        Raises TokenRefused, and PkiError as `issue`, which uses up no token.
        """
        with self._open() as db:
            rows = db.execute("SELECT digest, used, key FROM tokens WHERE name = ? AND until > ?", (name, now))
            digest, used, by = _found(rows, name, token)
            if used is not None and by != key:
                raise TokenRefused("the token was used already: ask for another")
            made = _issue(db, name, key, "token", make, now)
            db.execute("UPDATE tokens SET used = coalesce(used, ?), key = ? WHERE digest = ?", (now, key, digest))
            db.execute("DELETE FROM barred WHERE name = ? AND what = 'revoked'", (name,))
        return made

    def renew(
        self, name: str, key: bytes, make: Callable[[], Issued], now: float, shown: tuple[str, int] | None = None
    ) -> Issued:
        """A certificate in place of `shown`, (serial, ends), one that holds: it is known from then on, so that it is
        taken back with the node's others. Raises PkiError for a node that is barred, or asks too often."""
        with self._open() as db:
            if row := db.execute("SELECT what FROM barred WHERE name = ?", (name,)).fetchone():
                raise PkiError(f"{name} is {'on hold' if row[0] == 'hold' else 'revoked'}: ask those who run the city")
            if shown is not None:
                _learn(db, [(shown[0], name, shown[1])], now)
            return _issue(db, name, key, "renewal", make, now)

    def learn(self, rows: Iterable[tuple[str, str, int]], now: float) -> int:
        """Take note of certificates that were not issued here: (serial, name, ends). How many were not known for
        certain: what a node has said of them before counts no more."""
        with self._open() as db:
            return _learn(db, rows, now)

    def hear(self, name: str, serial: str, ends: int, now: float) -> None:
        """Take note of what a node says of its own certificate. It may lie, so it changes nothing that is known, and
        when it ends is not believed: that would take it off the list."""
        with self._open() as db:
            db.execute(
                "INSERT OR IGNORE INTO certificates (serial, name, ends, how, made, state, since) "
                "SELECT ?, ?, ?, 'said', ?, 'active', ? "
                "WHERE (SELECT count(*) FROM certificates WHERE name = ? AND how = 'said') < ?",
                (serial, name, ends, now, now, name, MOST_SAID),
            )

    # Taking back.

    def revoke(self, who: str, now: float) -> list[Certificate]:
        """All of a name, which is barred until it has a new one, or one by its serial number; those that it was."""
        with self._open() as db:
            rows = db.execute(f"SELECT {_COLUMNS} WHERE state != 'revoked' AND ? IN (c.name, serial)", (who,))
            chosen = [Certificate(*row) for row in rows]
            db.executemany(
                "UPDATE certificates SET state = 'revoked', since = ? WHERE serial = ?",
                [(now, each.serial) for each in chosen],
            )
            if "/" in who:
                db.execute("INSERT OR REPLACE INTO barred VALUES (?, 'revoked', ?, NULL, '')", (who, now))
                db.execute("DELETE FROM tokens WHERE name = ? AND used IS NULL", (who,))
        return chosen

    def hold(self, name: str, until: float | None, why: str, now: float) -> None:
        """Bar a node until `until`, Unix seconds, or until it is released. Raises PkiError when it is revoked."""
        with self._open() as db:
            row = db.execute("SELECT what, until FROM barred WHERE name = ?", (name,)).fetchone()
            if row is not None and row[0] == "revoked":
                raise PkiError(f"{name} is revoked, which is more than a hold")
            if row is not None and (row[1] is None or (until is not None and row[1] >= until)):
                return  # it is so for longer already
            db.execute("INSERT OR REPLACE INTO barred VALUES (?, 'hold', ?, ?, ?)", (name, now, until, why))

    def release(self, name: str) -> Barred | None:
        """What it was barred by; a certificate that was revoked stays so."""
        with self._open() as db:
            row = db.execute("DELETE FROM barred WHERE name = ? RETURNING *", (name,)).fetchone()
        return None if row is None else Barred(*row)

    def end_holds(self, now: float) -> list[str]:
        """Release those whose time is over; their names."""
        with self._open() as db:
            rows = db.execute("DELETE FROM barred WHERE what = 'hold' AND until <= ? RETURNING name", (now,)).fetchall()
        return [row[0] for row in rows]

    # Looking.

    def barred(self) -> list[Barred]:
        """By name."""
        return [Barred(*row) for row in self._rows("SELECT * FROM barred ORDER BY name")]

    def certificates(self) -> list[Certificate]:
        """By name, the newest of each first."""
        return [Certificate(*row) for row in self._rows(f"SELECT {_COLUMNS} ORDER BY c.name, made DESC, serial")]

    def refusals(self, now: float) -> list[Refusal]:
        """What our list has to hold: what is revoked or on hold, and has not ended for long, as far as is known for
        certain: a clock that was ahead for a while takes nothing off it."""
        rows = self._rows(
            f"SELECT serial, {_SINCE}, state != 'revoked' FROM {_KNOWN} "
            "WHERE (ends > ? OR how = 'said') AND (state = 'revoked' OR b.what = 'hold')",
            (now - KEPT_SECONDS,),
        )
        return [Refusal(serial, since, bool(hold)) for serial, since, hold in rows]

    def names(self, serials: Iterable[str]) -> dict[str, str]:
        """Whose these serial numbers are, as far as it is known."""
        with self._open() as db:
            rows = [
                db.execute("SELECT serial, name FROM certificates WHERE serial = ?", (each,)).fetchone()
                for each in serials
            ]
        return dict(row for row in rows if row is not None)

    def is_revoked(self, serial: str) -> bool:
        return bool(self._rows("SELECT 1 FROM certificates WHERE serial = ? AND state = 'revoked'", (serial,)))

    def waiting(self, now: float) -> int:
        """Tokens that may still be used."""
        return int(self._rows("SELECT count(*) FROM tokens WHERE used IS NULL AND until > ?", (now,))[0][0])

    def states(self) -> dict[str, int]:
        """How many certificates there are in each."""
        rows = self._rows(f"SELECT {_STATE}, count(*) FROM {_KNOWN} GROUP BY 1")
        return {**dict.fromkeys(STATES, 0), **dict(rows)}

    # Counting, over processes and restarts.

    def count(self, more: Mapping[str, int]) -> None:
        with self._open() as db:
            db.executemany(
                "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                list(more.items()),
            )

    def counts(self) -> dict[str, int]:
        return dict(self._rows("SELECT name, value FROM counts"))

    def changed(self) -> object:
        """Another value whenever somebody has written."""
        return stamp(self.path)

    def _rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Looks only: makes no file."""
        if not self.path.exists():
            with contextlib.closing(sqlite3.connect(":memory:")) as db:
                return db.executescript(SCHEMA).execute(statement, values).fetchall()
        with self._open() as db:
            return db.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other process is beside, or nothing of it. Raises ConfigError."""
        try:
            make_private(self.path)
            with contextlib.closing(sqlite3.connect(self.path, timeout=10.0, isolation_level=None)) as db:
                db.executescript(SCHEMA)
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                except BaseException:
                    db.execute("ROLLBACK")
                    raise
                db.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"{self.path} cannot be used: {error}; run this as the gateway's user") from error


def _learn(db: sqlite3.Connection, rows: Iterable[tuple[str, str, int]], now: float) -> int:
    """For certain. Of a certificate that a node has called its own falsely nothing stays, its revocation neither."""
    return db.executemany(
        "INSERT INTO certificates (serial, name, ends, how, made, state, since) "
        "VALUES (?, ?, ?, 'flash', ?, 'active', ?) ON CONFLICT (serial) DO UPDATE SET how = 'flash', "
        "ends = excluded.ends, state = CASE WHEN name = excluded.name THEN state ELSE 'active' END, "
        "name = excluded.name WHERE how = 'said'",
        [(*row, now, now) for row in rows],
    ).rowcount


def _issue(db: sqlite3.Connection, name: str, key: bytes, how: How, make: Callable[[], Issued], now: float) -> Issued:
    if db.execute("SELECT 1 FROM barred WHERE name = ? AND what = 'hold'", (name,)).fetchone():
        raise PkiError(f"{name} is on hold: release it first")
    row = db.execute("SELECT serial, ends, der, name, state FROM certificates WHERE key = ?", (key,)).fetchone()
    if row is not None:
        if row[3] == name and row[4] == "active" and row[1] > now:
            return Issued(*row[:3])
        raise PkiError("that key had a certificate before: make a new key")
    issued = db.execute("SELECT count(*) FROM certificates WHERE name = ? AND made > ?", (name, now - _DAY)).fetchone()
    if issued[0] >= A_DAY:
        raise PkiError(f"{name} was given {A_DAY} certificates within a day: ask again tomorrow")
    db.execute("DELETE FROM certificates WHERE ends < ? AND how != 'said'", (now - KEPT_SECONDS,))
    if db.execute("SELECT count(*) FROM certificates").fetchone()[0] >= MOST_CERTIFICATES:
        raise PkiError(f"{MOST_CERTIFICATES} certificates are kept at most: let some end first")
    made = make()
    db.execute("UPDATE certificates SET state = 'renewed', since = ? WHERE name = ? AND state = 'active'", (now, name))
    db.execute(
        "INSERT INTO certificates VALUES (?, ?, ?, ?, ?, 'active', ?, ?, ?)",
        (made.serial, name, made.ends, how, now, now, key, made.der),
    )
    return made


def _found(rows: Iterable[Any], name: str, token: str) -> Any:
    """The row of a token, looked for in the same time whatever is wrong with it. Raises TokenRefused."""
    digest, found = _digest(token), None
    for row in rows:
        if hmac.compare_digest(row[0], digest):
            found = row
    if found is None:
        raise TokenRefused(f"the token is not {name}'s, or its time is over: ask for another")
    return found


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
