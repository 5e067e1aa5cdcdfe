"""The records that cross the gateway's rooms: frozen, slotted, valid by construction."""

from typing import Literal

from msgspec import Struct

Stream = Literal["telemetry", "event", "health"]


# Readings and packs are arrays in the journal: a third of the bytes of objects, and they are by far the most of it.


class Reading(Struct, frozen=True, gc=False, array_like=True):
    """One value at one time."""

    time: int
    """Unix seconds, end of the window."""
    channel: str
    """Which of several (`lane1`), or empty."""
    quantity: str
    value: float


class Pack(Struct, frozen=True, array_like=True):
    """The readings of one window, checked against the table of quantities."""

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
    clock: bool | None = None
    """Whether the node knew the time; None from firmware that does not tell."""
    safe: str = ""
    """Why it is in safe mode; empty when it is not."""


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

    @property
    def place(self) -> str:
        """`site/node/channel`, as far as it concerns them."""
        return "/".join(part for part in (self.site, self.node, self.channel) if part)


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


class Committed(Struct, frozen=True):
    """What became of one batch of arrivals."""

    packs: list[Pack]
    """The new ones, in order."""
    duplicates: int
    dead_letters: int


class NodeView(Struct, frozen=True, kw_only=True):
    """What the gateway knows of one node."""

    site: str
    node: str
    kind: str = ""
    """`traffic`, `water`, `air`; empty until a birth or a pack has told."""
    online: bool | None = None
    """None until a birth or a will has told."""
    boot: int = -1
    """The highest boot heard of; -1 before any pack."""
    seq: int = -1
    """The highest sequence number of that boot."""
    packs: int = 0
    gaps: int = 0
    """Sequence numbers missing below the highest heard of each boot."""
    time: int = 0
    """Unix seconds of the newest pack, by the node's clock."""
    received: float = 0.0
    """Unix seconds at the gateway, when anything was last heard."""
    firmware: str = ""
    board: str = ""
    reset_cause: str = ""
    clock: bool | None = None
    """Whether the node knows the time; None until it has told."""
    guided: bool = False
    """True when the gateway keeps its clock right, because nothing else does."""
    safe: str = ""
    """Why the node is in safe mode; empty when it is not."""


class Figures(Struct, frozen=True):
    """The gateway's own state in numbers, for `/metrics`."""

    ledger: Ledger
    oldest_received: float | None
    """Unix seconds when the oldest waiting pack came; None when nothing waits."""
    bytes: int
    """Of the packs in the journal."""
    max_bytes: int
    nodes: int
    nodes_online: int
    incidents_open: dict[str, int]
    """By kind."""
    nodes_safe: int = 0
    """Nodes in safe mode."""
    nodes_without_time: int = 0
    """Nodes online that do not know the time."""
