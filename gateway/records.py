"""The records that cross the gateway's rooms: frozen, slotted, valid by construction."""

from typing import Literal

from msgspec import Struct

Stream = Literal["telemetry", "event", "health"]


class Reading(Struct, frozen=True, gc=False):
    """One value at one time."""

    time: int
    """Unix seconds, end of the window."""
    channel: str
    """Which of several (`lane1`), or empty."""
    quantity: str
    value: float


class Pack(Struct, frozen=True):
    """One message of readings, checked against the table of quantities."""

    site: str
    node: str
    stream: Stream
    measurement: str
    """`traffic`, `water`, `air` or `health`: where its readings belong."""
    boot: int
    seq: int
    time: int
    """Unix seconds of the pack (`bt`)."""
    readings: tuple[Reading, ...]


class DeadLetter(Struct, frozen=True):
    """A message that was refused, kept whole with its reason."""

    topic: str
    payload: bytes
    reason: str
    detail: str
    received: float
    """Unix seconds at the gateway."""


class Status(Struct, frozen=True):
    """A node's retained birth, or its will (`online` false and nothing else)."""

    online: bool
    kind: str = ""
    boot: int = 0
    firmware: str = ""
    board: str = ""
    reset_cause: str = ""


class Incident(Struct, frozen=True):
    """Something an operator should know, with a beginning and an end, in the packs' own time.

    The id is made of kind, place and beginning alone, so the same packs give the same id, however often they are read.
    """

    id: str
    kind: str
    """`burst`, `jam`, `air_episode`, `stuck`."""
    site: str
    node: str
    """Empty when it concerns the whole site."""
    channel: str
    severity: Literal["info", "warning", "critical"]
    opened: int
    """Unix seconds of the pack that raised it."""
    closed: int | None
    """Unix seconds of the pack that ended it; None while open."""
    summary: str
    """One sentence for a person: what was seen, what was expected."""


class Ledger(Struct, frozen=True):
    """The count that must balance: received = written + waiting + dead_letters + duplicates."""

    received: int
    written: int
    waiting: int
    dead_letters: int
    duplicates: int
    gaps: int
    """Sequence numbers missing below the highest heard of each boot, over all nodes."""

    @property
    def balanced(self) -> bool:
        return self.received == self.written + self.waiting + self.dead_letters + self.duplicates
