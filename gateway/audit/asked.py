"""Which messages to nodes were asked for, as the log says. Pure.

An entry that asks names its messages by their hashes, and allows each once, to each node that it is for: the same
message heard a second time was said by somebody else.
"""

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from gateway.audit.entry import Entry

ASKED_SECONDS: Final = 120.0
"""For which an entry allows its messages: they are published right after it, unless the broker hangs."""
MOST: Final = 10_000
"""Entries remembered that allow something still."""


class _Allowed(Struct):
    until: float
    left: int


class Asked:
    """Fed with the log's entries in order."""

    def __init__(self) -> None:
        self._allowed: OrderedDict[tuple[str, str], _Allowed] = OrderedDict()
        self._newest: dict[tuple[str, str], tuple[int, frozenset[str]]] = {}

    def enter(self, entry: Entry) -> None:
        """Take note of an entry, whatever it is about."""
        level, _, rest = entry.act.partition(".")
        messages = entry.detail.get("messages")
        if level not in ("command", "config", "update") or not isinstance(messages, list):
            return
        hashes = frozenset(map(str, messages))
        if level != "command":  # those are not kept by the broker
            self._newest[level, entry.of] = entry.n, hashes
        if rest in ("unasked", "found"):
            return
        nodes = entry.detail.get("nodes", 1)
        for each in hashes:
            key = entry.of, each
            left = self._allowed[key].left if key in self._allowed else 0
            left += nodes if isinstance(nodes, int) else 1
            self._allowed[key] = _Allowed(entry.seconds + ASKED_SECONDS, left)
            self._allowed.move_to_end(key)
        while len(self._allowed) > MOST:
            self._allowed.popitem(last=False)

    def is_asked(self, site: str, node: str, level: str, sha256: str, now: float, *, kept: bool) -> bool:
        """Whether a message was asked for that is heard at `now` (Unix seconds); `kept` ones the broker had already."""
        if kept:
            known = [self._newest[key] for of in (node, "*") if (key := (level, f"{site}/{of}")) in self._newest]
            return bool(known) and sha256 in max(known, key=lambda each: each[0])[1]
        for of in (node, "*"):
            key = f"{site}/{of}", sha256
            allowed = self._allowed.get(key)
            if allowed is not None and allowed.left > 0 and now <= allowed.until:
                allowed.left -= 1
                if not allowed.left:
                    del self._allowed[key]
                return True
        return False
