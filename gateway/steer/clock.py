"""The time for nodes that nobody else tells it. Pure: both clocks and what was heard are handed in.

A node is asked what its clock says. The middle between question and answer is when it said so, give or take half of
the way there and back; the difference is what it is told to correct. Few questions are under way at a time, so that a
city that gets its power back neither drowns the broker nor makes the ways long, which would make the answers vague.

`now` is `time.monotonic()` and `wall_ms` the gateway's Unix time in milliseconds.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterable
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct

Key = tuple[str, str]
"""(site, node)."""

OUTSTANDING: Final = 50
"""Questions and corrections under way at a time."""
PER_SECOND: Final = 200
TIMEOUT_SECONDS: Final = 10.0
LONGEST_SECONDS: Final = 2.0
"""There and back. An answer that took longer says too little."""
LEAST_MS: Final = 100
"""A smaller correction is not worth a step of the clock."""
REPEAT_SECONDS: Final = 6 * 3600.0
"""A crystal of 20 ppm is off by less than half a second after it."""
RETRY_SECONDS: Final = (30.0, 3600.0)
"""The first wait after a failure, doubled up to the longest."""
PATIENCE_SECONDS: Final = 600.0
"""A clock that its node believes in, and that was never ours, is left alone when it is off by more: it may live in
another time on purpose, as an emulated city does."""
OWN_STEP_MS: Final = 1000
BELIEVABLE_MS: Final = 1_735_689_600_000
"""2025-01-01. Before it the gateway's own clock was not set."""
MOST_NODES: Final = 50_000


class Order(NamedTuple):
    """A command to publish now."""

    key: Key
    payload: bytes


class Reply(Struct, frozen=True):
    """What a node answers to `time`."""

    id: str
    ok: bool
    unix_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    known: bool | None = None
    error: str = ""


class _Node(Struct):
    online: bool = False
    unknown: bool = False
    """Its birth said that it does not know the time."""
    bare: bool = False
    """Its configuration names no time server."""
    guided: bool = False
    """We have set its clock, so nothing else does."""
    due: float | None = None
    busy: bool = False
    """A question or a correction is under way: a second one beside it would correct twice."""
    failures: int = 0

    @property
    def wanted(self) -> bool:
        return self.online and (self.unknown or self.bare or self.guided)


class _Asked(NamedTuple):
    key: Key
    sent: float
    offset_ms: int | None
    """What was corrected; None for a question."""


class Clocks:
    """Whom to ask or to correct when. `changed` are nodes whose `guided` is to be remembered: take what is there."""

    def __init__(self, guided: Iterable[Key] = (), prefix: str = "time") -> None:
        """`prefix` tells our commands from those of others; it differs from process to process."""
        self._nodes = {key: _Node(guided=True) for key in guided}
        self._prefix = prefix
        self._number = 0
        self._due: list[tuple[float, Key]] = []  # a heap; entries that no longer hold are passed over
        self._corrections: deque[tuple[Key, int]] = deque()
        self._asked: dict[str, _Asked] = {}  # oldest first
        self._free_at = 0.0
        self._began_ms: float | None = None  # `wall_ms` when `now` was 0
        self.changed: dict[Key, bool] = {}

    @property
    def outstanding(self) -> int:
        """Questions and corrections under way, or decided on."""
        return len(self._asked) + len(self._corrections)

    def born(self, key: Key, clock: bool | None, now: float) -> None:
        """A birth; `clock` is what it says of the node's clock, None for firmware that says nothing."""
        node = self._node(key)
        if node is None:
            return
        node.online, node.unknown, node.failures = True, clock is False, 0
        if node.busy:  # over a connection that is no more
            self._asked = {name: asked for name, asked in self._asked.items() if asked.key != key}
            self._corrections = deque(each for each in self._corrections if each[0] != key)
            node.busy = False
        if node.wanted and (node.unknown or node.due is None):
            self._schedule(key, node, now)

    def gone(self, key: Key) -> None:
        """A will, or a status taken back."""
        node = self._nodes.get(key)
        if node is not None:
            node.online, node.due = False, None

    def reported(self, key: Key, ntp: bool, now: float) -> None:
        """The node's configuration, as it has it, names a time server or none."""
        node = self._node(key)
        if node is None:
            return
        node.bare = not ntp
        if ntp:
            self._guide(key, node, False)
        if not node.wanted:
            node.due = None
        elif node.due is None and not node.busy:
            self._schedule(key, node, now)

    def next(self, now: float, wall_ms: int) -> tuple[Order | None, float]:
        """A command to publish at this moment, or None and for how many seconds there will be none by itself."""
        self._expire(now)
        self._look_at_own(now, wall_ms)
        if wall_ms < BELIEVABLE_MS:
            return None, 10.0
        if now < self._free_at:
            return None, self._free_at - now
        if self._corrections:
            key, offset_ms = self._corrections.popleft()
            return self._order(key, now, offset_ms), 0.0
        wait = min((asked.sent + TIMEOUT_SECONDS - now for asked in self._asked.values()), default=math.inf)
        while self._due and len(self._asked) < OUTSTANDING:
            due, key = self._due[0]
            node = self._nodes.get(key)
            if node is not None and node.due == due and due > now:
                wait = min(wait, due - now)
                break
            heapq.heappop(self._due)
            if node is not None and node.due == due:
                node.due, node.busy = None, True
                return self._order(key, now, None), 0.0
        return None, wait

    def answered(self, key: Key, reply: Reply, now: float, wall_ms: int) -> str | None:
        """A reply of a node. A sentence for the log when it is worth one."""
        asked = self._asked.get(reply.id)
        node = self._nodes.get(key)
        if asked is None or asked.key != key or node is None:
            return None  # somebody else's command, or too late
        del self._asked[reply.id]
        way = now - asked.sent
        if not reply.ok or reply.unix_ms is None:
            self._again(key, node, now)
            return f"does not tell or take the time: {reply.error or 'its answer says neither'}"
        if way > LONGEST_SECONDS:
            self._again(key, node, now)
            return f"took {way:.1f} s to tell the time, which is too long to correct it by"
        offset_ms = wall_ms - round(way * 500) - reply.unix_ms
        close = abs(offset_ms) <= max(LEAST_MS, way * 500)
        if asked.offset_ms is not None:
            return self._corrected(key, node, asked.offset_ms, close, now)
        if reply.known and not node.guided and not node.bare:
            node.unknown = node.busy = False  # it has learnt the time meanwhile, from a server of its own
            return None
        return self._judge(key, node, bool(reply.known), offset_ms, close, now)

    def _judge(self, key: Key, node: _Node, known: bool, offset_ms: int, close: bool, now: float) -> str | None:
        """What to do about the clock of a node that has none but us."""
        if known and not node.guided and abs(offset_ms) > PATIENCE_SECONDS * 1000:
            self._settle(key, node, now)
            return f"believes in a clock that is off by {offset_ms // 1000} s, and is left alone with it"
        if known and close:
            self._settle(key, node, now)
        else:
            self._guide(key, node, True)  # now: the answer to the correction may be lost, with a clock that is right
            self._corrections.append((key, offset_ms))
        return None

    def disconnected(self, now: float) -> None:
        """Nothing that is under way will be answered."""
        for key in [*(asked.key for asked in self._asked.values()), *(key for key, _ in self._corrections)]:
            node = self._nodes.get(key)
            if node is not None:
                self._schedule(key, node, now)
        self._asked.clear()
        self._corrections.clear()

    def _node(self, key: Key) -> _Node | None:
        node = self._nodes.get(key)
        if node is None and len(self._nodes) < MOST_NODES:
            node = self._nodes[key] = _Node()
        return node

    def _order(self, key: Key, now: float, offset_ms: int | None) -> Order:
        self._free_at = now + 1 / PER_SECOND
        self._number += 1
        name = f"{self._prefix}-{self._number}"
        self._asked[name] = _Asked(key, now, offset_ms)
        command: dict[str, str | int] = {"id": name, "op": "time"}
        if offset_ms is not None:
            command["offset_ms"] = offset_ms
        return Order(key, msgspec.json.encode(command))

    def _expire(self, now: float) -> None:
        while self._asked:
            name, asked = next(iter(self._asked.items()))
            if now - asked.sent < TIMEOUT_SECONDS:
                return
            del self._asked[name]
            if asked.key in self._nodes:
                self._again(asked.key, self._nodes[asked.key], now)

    def _look_at_own(self, now: float, wall_ms: int) -> None:
        """When the gateway's own clock was set, those that follow it are off by as much."""
        began_ms = wall_ms - now * 1000
        if self._began_ms is not None and abs(began_ms - self._began_ms) > OWN_STEP_MS:
            for key, node in self._nodes.items():
                if node.guided and node.due is not None:
                    self._schedule(key, node, now)
            self._began_ms = None
        if self._began_ms is None:
            self._began_ms = began_ms

    def _corrected(self, key: Key, node: _Node, offset_ms: int, right: bool, now: float) -> str:
        node.unknown = False
        if right:
            self._settle(key, node, now)
        else:
            # A clock that was ahead may stand still until it is right: looked at too early it would be set back twice.
            self._again(key, node, now + max(0, -offset_ms) / 1000)
        return f"was corrected by {offset_ms} ms"

    def _guide(self, key: Key, node: _Node, guided: bool) -> None:
        if node.guided != guided:
            node.guided = self.changed[key] = guided

    def _settle(self, key: Key, node: _Node, now: float) -> None:
        node.failures = 0
        self._schedule(key, node, now + REPEAT_SECONDS)

    def _again(self, key: Key, node: _Node, now: float) -> None:
        first, longest = RETRY_SECONDS
        self._schedule(key, node, now + min(first * 2 ** min(node.failures, 20), longest))
        node.failures += 1

    def _schedule(self, key: Key, node: _Node, due: float) -> None:
        node.busy = False
        if not node.wanted:
            return
        node.due = due
        heapq.heappush(self._due, (due, key))
        if len(self._due) > 2 * len(self._nodes) + 100:  # nodes that come and go leave entries behind
            self._due = [(each.due, key) for key, each in self._nodes.items() if each.due is not None]
            heapq.heapify(self._due)
