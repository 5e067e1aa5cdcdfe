"""When a node that should speak is silent. Pure.

A will tells of a node that is gone. Silence tells of one that is connected, as far as it and the broker know, and does
not do its work: no sensor, no clock, no room.
"""

from typing import Final, Protocol

LONGEST: Final = {"traffic": 7_800.0, "air": 7_800.0, "water": 180_000.0}
"""Seconds by kind: twice the longest window and ten minutes; of a water meter, which may sleep a day between reports,
twice that. Whoever wants to know sooner looks at the time of the last word, which is always shown."""


class Node(Protocol):
    """As much of a `NodeView` as it takes."""

    @property
    def kind(self) -> str: ...
    @property
    def online(self) -> bool | None: ...
    @property
    def received(self) -> float: ...


def silent(view: Node, now: float) -> float | None:
    """For how long (s) a node that is online has said nothing, when that is longer than its kind ever is silent."""
    silence = now - view.received
    if not view.online or silence <= LONGEST.get(view.kind, max(LONGEST.values())):
        return None
    return silence
