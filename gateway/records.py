"""The records that cross the gateway's rooms: frozen, slotted, valid by construction."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal, Self, get_args

from msgspec import Meta, Struct

Stream = Literal["telemetry", "event", "health"]


class Reading(Struct, frozen=True, gc=False):
    """One value at one time."""

    time: int
    """Unix seconds, end of the window."""
    channel: str
    """Which of several (`lane1`), or empty."""
    quantity: str
    value: float


class Shape(Struct, frozen=True, gc=False, array_like=True, cache_hash=True):
    """What the values of a pack mean. A node sends the same shape over and over, so it is kept once for all of them."""

    measurement: str
    """`traffic`, `water`, `air` or `health`: where its readings belong."""
    places: tuple[tuple[str, str], ...]
    """(channel, quantity) of each value."""


class Pack(Struct, frozen=True, gc=False):
    """The readings of one window, checked against the table of quantities."""

    site: str
    node: str
    stream: Stream
    shape: Shape
    boot: int
    """-1, like `seq`, for a pack that no node has numbered: read from a file."""
    seq: int
    time: int
    """Unix seconds of the pack (`bt`)."""
    values: tuple[float, ...]
    """In the order of the shape's places."""
    times: tuple[int, ...] = ()
    """Unix seconds of each value; empty where all are of the pack's time."""

    @classmethod
    def of(
        cls,
        site: str,
        node: str,
        stream: Stream,
        measurement: str,
        boot: int,
        seq: int,
        time: int,
        readings: Iterable[Reading],
    ) -> Self:
        """A pack from its readings."""
        own = tuple(readings)
        shape = Shape(measurement, tuple((each.channel, each.quantity) for each in own))
        times = tuple(each.time for each in own)
        values = tuple(each.value for each in own)
        return cls(site, node, stream, shape, boot, seq, time, values, times if set(times) - {time} else ())

    @property
    def measurement(self) -> str:
        return self.shape.measurement

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The same value by value, for people and tests."""
        times = self.times or (self.time,) * len(self.values)
        return tuple(
            Reading(time, channel, quantity, value)
            for time, (channel, quantity), value in zip(times, self.shape.places, self.values, strict=True)
        )


class DeadLetter(Struct, frozen=True):
    """A message that was refused, kept whole with its reason."""

    topic: str
    payload: bytes
    reason: str
    detail: str
    received: float
    """Unix seconds at the gateway."""


class OwnCertificate(Struct, frozen=True):
    """What a node says of the certificate that it connects with."""

    serial: Annotated[str, Meta(pattern=r"^(?!0+\Z)[0-7]?[0-9a-fA-F]{1,39}\Z")]
    """Hexadecimal; positive and of 159 bits at most (RFC 5280, 4.1.2.2), as it may have to go onto a list."""
    ends: Annotated[int, Meta(ge=0, lt=253_402_300_800)]
    """Unix seconds, before the year 10000."""


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
    identity: OwnCertificate | None = None


Severity = Literal["info", "warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""The last is the gravest."""


class Evidence(Struct, frozen=True):
    """One thing that speaks for an incident: what was seen, and what was expected instead."""

    what: str
    """A quantity, or what was made of it: `flow_min`, `pm2_5 against its neighbours`."""
    seen: float
    expected: float
    """What it would be if nothing were wrong, or the bound it should keep."""
    unit: str
    text: str
    """The same in words, a part of a sentence: "flow was never below 12 l/h for 26 h"."""


class Acknowledged(Struct, frozen=True):
    """Somebody has taken note of an incident."""

    by: str
    time: int
    """Unix seconds, of the gateway's clock."""
    note: str = ""


class Earlier(Struct, frozen=True):
    """What an incident was told as before it turned out to be something else."""

    kind: str
    until: int
    """Unix seconds of the pack with which it turned."""
    summary: str
    """As it was told then."""


class Incident(Struct, frozen=True):
    """Something an operator should know, with a beginning and an end, in the packs' own time.

    The id is made of the kind it was told as first, place and beginning alone, so the same packs give the same id,
    however often they are read.
    """

    id: str
    kind: str
    """`burst`, `jam` ...: docs/detection.md has all; `journal` is of the gateway itself."""
    site: str
    node: str
    """Empty when it concerns the whole site."""
    channel: str
    severity: Severity
    opened: int
    """Unix seconds of the pack that raised it."""
    closed: int | None
    """Unix seconds of the pack that ended it; None while open."""
    summary: str
    """One sentence for a person: what was seen, what was expected."""
    updated: int = 0
    """Unix seconds of the newest evidence; 0 where nothing came after the first."""
    confirmed: int | None = None
    """Unix seconds when independent evidence agreed: a neighbour, another quantity, or that it lasted."""
    since: int | None = None
    """Unix seconds since when it seems to have been so, where that can be told: before it was found."""
    nodes: tuple[str, ...] = ()
    """Further nodes that it concerns."""
    evidence: tuple[Evidence, ...] = ()
    reopened: int = 0
    """How often it had ended and was there again."""
    held: bool = False
    """True while it is kept back, because the site's budget of alarms is spent."""
    acknowledged: Acknowledged | None = None
    was: tuple[Earlier, ...] = ()
    """What it was told as before, in order of time."""
    drill: bool = False
    """True when people have made it, to practise: whatever tells of it says so."""

    @property
    def told(self) -> tuple[tuple[str, int], ...]:
        """(kind, Unix seconds since when it was told as that), in order of time; the last is its kind now."""
        kinds = (*(each.kind for each in self.was), self.kind)
        return tuple(zip(kinds, (self.opened, *(each.until for each in self.was)), strict=True))

    @property
    def state(self) -> Literal["open", "confirmed", "closed"]:
        if self.closed is not None:
            return "closed"
        return "open" if self.confirmed is None else "confirmed"

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
    clock_error: float | None = None
    """Seconds by which the node's clock was last corrected, as its health told; None until it has told."""
    guided: bool = False
    """True when the gateway keeps its clock right, because nothing else does."""
    safe: str = ""
    """Why the node is in safe mode; empty when it is not."""
    certificate: str = ""
    """Serial number of the certificate that the node says it has, hexadecimal; empty where it says none."""
    certificate_ends: int = 0
    """Unix seconds."""


class Gap(Struct, frozen=True):
    """Packs of a node that never came: sequence numbers of one boot, both ends missing."""

    boot: int
    first: int
    last: int


class Mirrored(Struct, frozen=True):
    """How far a further database is."""

    waiting: int
    refused: int
    """Packs it refused for good."""
    skipped: int
    """Packs it never got, because the journal was full."""


class Queued(Struct, frozen=True):
    """How far a target of messages is."""

    waiting: int
    """Messages it has not taken yet, and incidents of which it will be told later."""
    sent: int
    dropped: int
    """Messages given up because too many waited."""
    refused: int
    """Messages it refused for good."""
    failing: bool
    """Whether its last answer was a failure."""


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
    nodes_silent: int = 0
    """Nodes online that have said nothing for longer than their kind ever does."""
    expired: dict[str, int] = {}
    """What was deleted because it was too old, by sort: `letters`, `incidents`, `nodes`."""
    mirrors: dict[str, Mirrored] = {}
    """By name."""
    targets: dict[str, Queued] = {}
    """By name."""
