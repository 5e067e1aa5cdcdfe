"""What the journal knows of each node, in memory and as one row each: who it is, and which of its packs were heard."""

import logging

import msgspec
from msgspec import Struct

from gateway.journal import sequences
from gateway.quantities import KINDS
from gateway.records import NodeView, Pack, Status

log = logging.getLogger(__name__)

MAX_BOOTS = 16
"""Boots of a node whose sequence numbers are kept; packs of older boots are taken as new, as below `MAX_RANGES`."""


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
    guided: bool = False
    safe: str = ""
    born: int = -1
    """The boot that the newest birth told of."""
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

    def hear(self, pack: Pack, received: float) -> int | None:
        """Count a pack. Returns the change in the node's gaps, or None for a duplicate."""
        self.received = received
        change = self._place(pack)
        if change is None:
            return None
        self.boot, self.seq = max((self.boot, self.seq), (pack.boot, pack.seq))
        self.packs += 1
        self.gaps += change
        self.time = max(self.time, pack.time)
        if self.clock is False and pack.boot == self.born:
            self.clock = True  # it was born without, but packs leave a node only once it knows the time
        if pack.measurement in KINDS:
            self.kind = pack.measurement
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
            log.warning("node %s/%s began boot %d again: its count of boots was lost", self.site, self.node, pack.boot)
            heard.ranges = []
            self.boot, self.seq = pack.boot, -1
            change = sequences.add(heard.ranges, pack.seq)
        heard.time = max(heard.time, pack.time)
        return change
