"""What the journal knows of each node: who it is, and which of its packs were heard.

All of it is in memory. The disk has each node as of some batch; what came after is heard again when it is opened.
"""

import logging
from collections.abc import Callable, Iterable
from itertools import islice

import msgspec
from msgspec import Struct

from gateway.journal import sequences
from gateway.journal.batches import Word
from gateway.quantities import KINDS
from gateway.records import Gap, NodeView, Pack, Status

log = logging.getLogger(__name__)

Node = tuple[str, str]
"""(site, node)"""

MAX_BOOTS = 16
"""Boots of a node whose sequence numbers are kept; packs of older boots are taken as new, as below `MAX_RANGES`."""
CLOCK_ERROR = ("", "clock_error")


class Heard(Struct, array_like=True):
    """The packs of one boot."""

    time: int
    """Unix seconds of its newest pack."""
    ranges: list[int]


class NodeRecord(Struct):
    """One node. Field meanings as in `NodeView`."""

    site: str
    node: str
    kind: str = ""
    online: bool | None = None
    boot: int = -1
    seq: int = -1
    packs: int = 0
    gaps: int = 0
    time: int = 0
    received: float = 0.0
    firmware: str = ""
    board: str = ""
    reset_cause: str = ""
    clock: bool | None = None
    clock_error: float | None = None
    guided: bool = False
    safe: str = ""
    certificate: str = ""
    certificate_ends: int = 0
    born: int = -1
    """The boot that the newest birth told of."""
    begun_again: int = 0
    """How often its count of boots was lost."""
    boots: dict[int, Heard] = {}

    def view(self) -> NodeView:
        return msgspec.convert(self, NodeView, from_attributes=True)

    def note(self, status: Status, received: float) -> None:
        """Take in a birth, or a will, which says nothing but that the node is gone."""
        self.online = status.online
        self.received = received
        if status.online:
            self.kind = status.kind or self.kind
            self.firmware, self.board, self.reset_cause = status.firmware, status.board, status.reset_cause
            self.clock, self.safe, self.born = status.clock, status.safe, status.boot
            own = status.identity
            self.certificate = f"{int(own.serial, 16):x}" if own else ""
            self.certificate_ends = own.ends if own else 0

    def hear(self, pack: Pack, received: float) -> int | None:
        """Count a pack. Returns the change in the node's gaps, or None for a duplicate."""
        self.received = received
        boot, seq, time = pack.boot, pack.seq, pack.time
        heard = self.boots.get(boot)
        if heard is not None and heard.ranges and heard.ranges[-1] == seq:  # the next in order, as nearly all are
            heard.ranges[-1] = seq + 1
            change: int | None = 0
            heard.time = max(heard.time, time)
        else:
            change = self._place(pack)
            if change is None:
                return None
            self.gaps += change
        if boot > self.boot or (boot == self.boot and seq > self.seq):
            self.boot, self.seq = boot, seq
        self.packs += 1
        self.time = max(self.time, time)
        if self.clock is False and boot == self.born:
            self.clock = True  # it was born without, but packs leave a node only once it knows the time
        if pack.shape.measurement in KINDS:
            self.kind = pack.shape.measurement
        elif time >= self.time and CLOCK_ERROR in pack.shape.places:
            self.clock_error = pack.values[pack.shape.places.index(CLOCK_ERROR)]
        return change

    def _place(self, pack: Pack) -> int | None:
        heard = self.boots.get(pack.boot)
        if heard is None:
            if len(self.boots) >= MAX_BOOTS:
                oldest = min(self.boots)
                if pack.boot < oldest:
                    return 0
                del self.boots[oldest]
            heard = self.boots[pack.boot] = Heard(pack.time, [])
        change = sequences.add(heard.ranges, pack.seq)
        if change is None and pack.time > heard.time:
            # Whatever comes again is no newer than the newest we heard. This is newer, so the node lost its count of
            # boots (new flash, new board) and began again: dropping its packs as duplicates would lose them.
            self.begun_again += 1
            heard.ranges = []
            self.boot, self.seq = pack.boot, -1
            change = sequences.add(heard.ranges, pack.seq)
        heard.time = max(heard.time, pack.time)
        return change


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(NodeRecord).decode


class Registry:
    """All nodes, and which of them the disk does not have as they are.

    The disk has each node as of some batch, and no two need be of the same: they are saved a few at a time.
    """

    def __init__(self, rows: Iterable[tuple[int, bytes]] = ()) -> None:
        """From (batch, record) of each node, as `save` gave them."""
        self._records: dict[Node, NodeRecord] = {}
        self._known: dict[Node, int] = {}
        self._changed: dict[Node, int] = {}
        """The first batch that the disk lacks of a node, longest ago first."""
        for batch, row in rows:
            record = _decode(row)
            self._records[record.site, record.node] = record
            self._known[record.site, record.node] = batch
        self.gaps = sum(record.gaps for record in self._records.values())

    def recall(self, batch: int, packs: Iterable[Pack], words: Iterable[Word], received: float) -> None:
        """Hear a batch again, after a start: of each node only what it has not had."""
        known = self._known
        self.take(
            batch,
            [each for each in packs if each.boot >= 0 and known.get((each.site, each.node), 0) < batch],
            [each for each in words if known.get((each[0], each[1]), 0) < batch],
            received,
            tell=False,
        )

    def take(
        self, batch: int, packs: Iterable[Pack], words: Iterable[Word], received: float, *, tell: bool = True
    ) -> list[Pack]:
        """Hear births and wills, then packs; those that were not heard before, in order. They make that batch."""
        for site, node, status in words:
            self._touch(site, node, batch).note(status, received)
        fresh: list[Pack] = []
        for pack in packs:
            record = self._touch(pack.site, pack.node, batch)
            before = record.begun_again
            change = record.hear(pack, received)
            if record.begun_again > before and tell:
                log.warning(
                    "node %s/%s began boot %d again: its count of boots was lost", pack.site, pack.node, pack.boot
                )
            if change is not None:
                self.gaps += change
                fresh.append(pack)
        return fresh

    def forget(self, site: str, node: str) -> None:
        """As if it had never been heard of."""
        record = self._records.pop((site, node), None)
        if record is not None:
            self.gaps -= record.gaps
            self._known.pop((site, node), None)
            self._changed.pop((site, node), None)

    def knows(self, site: str, node: str) -> bool:
        return (site, node) in self._records

    def heard_last(self, before: float, limit: int) -> list[Node]:
        """Of those that were last heard before (Unix seconds at the gateway), the first so many, longest ago first."""
        old = sorted((each.received, key) for key, each in self._records.items() if each.received < before)
        return [key for _, key in old[:limit]]

    def guide(self, site: str, node: str, guided: bool, batch: int) -> None:
        self._touch(site, node, batch).guided = guided

    def _touch(self, site: str, node: str, batch: int) -> NodeRecord:
        key = (site, node)
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = NodeRecord(site, node)
        if key not in self._changed:
            self._changed[key] = batch
        return record

    def save(self, batch: int, nodes: Iterable[Node]) -> list[tuple[str, str, int, bytes]]:
        """(site, node, batch, record) of these, which are from now on as the disk has them, as of that batch."""
        rows = []
        for key in nodes:
            del self._changed[key]
            rows.append((*key, batch, _encode(self._records[key])))
        return rows

    def changed(self, limit: int | None = None) -> list[Node]:
        """Those that the disk does not have as they are, longest ago first."""
        return list(islice(self._changed, limit))

    def place(self, newest: int) -> int:
        """The batch up to which the disk has every node."""
        return next(iter(self._changed.values()), newest + 1) - 1

    def views(self) -> list[NodeView]:
        """By site and name."""
        return [self._records[key].view() for key in sorted(self._records)]

    def kinds(self) -> dict[Node, str]:
        """Of each node; empty where it is not known."""
        return {key: record.kind for key, record in self._records.items()}

    def gaps_of(self, site: str, node: str) -> list[Gap]:
        """What is missing of the boots that are still known, in order."""
        record = self._records.get((site, node))
        boots = sorted(record.boots.items()) if record else []
        return [Gap(boot, *each) for boot, heard in boots for each in sequences.missing(heard.ranges)]

    def __len__(self) -> int:
        return len(self._records)

    def count(self, condition: Callable[[NodeRecord], bool]) -> int:
        return sum(map(condition, self._records.values()))
