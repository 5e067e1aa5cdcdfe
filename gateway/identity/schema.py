"""What `identities.sqlite3` holds: its tables, and its rows as records."""

from typing import Final, Literal, get_args

from msgspec import Struct

How = Literal["flash", "token", "renewal", "said"]
State = Literal["active", "renewed", "held", "revoked"]
STATES: Final[tuple[State, ...]] = get_args(State)
Bar = Literal["hold", "revoked"]

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS certificates (
    serial TEXT PRIMARY KEY, name TEXT NOT NULL, ends INTEGER NOT NULL, how TEXT NOT NULL, made REAL NOT NULL,
    state TEXT NOT NULL, since REAL NOT NULL, key BLOB, der BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_name ON certificates (name);
CREATE INDEX IF NOT EXISTS by_key ON certificates (key);
CREATE TABLE IF NOT EXISTS tokens (
    digest BLOB PRIMARY KEY, name TEXT NOT NULL, made REAL NOT NULL, until REAL NOT NULL, used REAL, key BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS token_by_name ON tokens (name);
CREATE TABLE IF NOT EXISTS barred (
    name TEXT PRIMARY KEY, what TEXT NOT NULL, since REAL NOT NULL, until REAL, why TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


class Certificate(Struct, frozen=True):
    """One that is known here. Times are Unix seconds."""

    serial: str
    """Hexadecimal."""
    name: str
    """`site/node`."""
    ends: int
    how: How
    """`flash`: not issued here; `said`: neither, and known by the node's own word alone."""
    made: float
    """When it was issued, or first heard of."""
    state: State
    """`renewed`: it holds still, and another has taken its place."""
    since: float


class Barred(Struct, frozen=True):
    """A node whose connections are ended."""

    name: str
    what: Bar
    """`revoked` until it has a new certificate."""
    since: float
    until: float | None
    why: str
