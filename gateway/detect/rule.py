"""What a rule is given and what it finds. All rules are pure: they see times, values and their own memory.

Series are numbered within their group, which is the nodes of one kind at one site. What a rule finds is said of a
series' number; the group knows its name.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
from msgspec import Struct

from gateway.detect.memory import Floats, Ints, Memory
from gateway.detect.plan import GroupPlan
from gateway.records import Evidence, Severity

State = Literal["open", "update", "close"]

SITE: Final = -1
"""In place of a series: the finding is of the whole site."""


class Finding(Struct, frozen=True):
    """What a rule has to say of one series at one time."""

    kind: str
    """Of the incident: `jam`, `leak` ..."""
    state: State
    """`open` begins it, `update` brings new evidence (it has grown, moved, is confirmed), `close` ends it."""
    series: int
    time: int
    """Unix seconds, of the readings."""
    severity: Severity = "warning"
    summary: str = ""
    """One sentence: what was seen; expected: what. May be empty in `close`."""
    evidence: tuple[Evidence, ...] = ()
    channel: str | None = None
    """Which part of the node it concerns; None: that of the series."""
    since: int | None = None
    """Unix seconds since when it seems to have been so, where the rule can tell."""
    nodes: tuple[int, ...] = ()
    """Further series that it concerns: the counters along a jam, the meters of a zone."""
    confirmed: bool = False
    """True once independent evidence agrees: time, a neighbour, another quantity."""


class Windows(Struct, frozen=True):
    """Windows of a group that a node rule is given at once: of each series one at most, in each series' own order.

    Those that came late or again are not among them: times of a series only grow. Events (urgent states, with flags
    alone) have a time of their own: theirs only grow among themselves, and they never share a call with telemetry.
    """

    series: Ints
    """[n] numbers of the series; a series is a node and channel, e.g. a lane."""
    node: Ints
    """[n] number of each series' node: lanes of one counter have the same, and are here together."""
    time: Ints
    """[n] Unix seconds of the windows' ends."""
    gap: Ints
    """[n] seconds since the series' window before; 0 for its first."""
    values: Mapping[str, Floats]
    """[n] by quantity; NaN where it is not there. Only quantities that at least one window may hold."""
    plan: GroupPlan = GroupPlan()

    def __len__(self) -> int:
        return len(self.series)

    def get(self, quantity: str) -> Floats:
        """[n], all NaN when no window holds it."""
        found = self.values.get(quantity)
        return np.full(len(self.series), np.nan) if found is None else found


class Frame(Struct, frozen=True):
    """One minute of a whole group, which a site rule is given when nearly all of its nodes have come to it."""

    time: int
    """Unix seconds, the minute's end; later in each frame; minutes in which nobody said anything are left out."""
    node: Ints
    """[series] number of each series' node."""
    values: Mapping[str, Floats]
    """[series] by quantity: the mean of the windows that ended in this minute; NaN where there is none."""
    last: Ints
    """[series] Unix seconds of the newest window of each, at most `time`; 0 before any."""

    def get(self, quantity: str) -> Floats:
        return self.values[quantity] if quantity in self.values else np.full(len(self.node), np.nan)


class Remembering:
    """What has attributes of kind `Memory` (a row a series), or that remember themselves, and `scalars`, grows and
    saves itself by them."""

    scalars: dict[str, float]

    def memories(self) -> dict[str, Memory]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Memory)}

    def _parts(self) -> dict[str, "Remembering"]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Remembering)}

    def grow(self, series: int) -> None:
        """Have room for so many series."""
        for memory in self.memories().values():
            memory.grow(series)
        for part in self._parts().values():
            part.grow(series)

    def forget(self, node: int, series: Ints, room: int) -> None:
        """A node and its series begin anew; there is room for so many series. What is of others too stays: it has no
        name."""
        rows = {"series": series, "node": np.array([node]), "other": np.zeros(0, np.int64)}
        for memory in self.memories().values():
            if len(memory) == room:
                memory.put(rows[memory.by], type(memory).blank(len(rows[memory.by])))
        for part in self._parts().values():
            part.forget(node, series, room)

    def save(self) -> dict[str, Any]:
        saved: dict[str, Any] = {name: each.save() for name, each in self.memories().items()}
        saved |= {name: each.save() for name, each in self._parts().items()}
        return saved | {"scalars": dict(getattr(self, "scalars", {}))}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `save` gave. Raises KeyError or ValueError for what another layout has saved."""
        for name, memory in self.memories().items():
            setattr(self, name, type(memory).load(saved[name]))
        for name, part in self._parts().items():
            part.load(saved[name])
        if saved["scalars"]:
            self.scalars = dict(saved["scalars"])


class NodeRule(Remembering, ABC):
    """Judges each series by itself, in its own order of time; late nodes are judged as if they had been punctual."""

    @abstractmethod
    def feed(self, windows: Windows) -> Sequence[Finding]:
        """What changed with these windows."""


class SiteRule(Remembering, ABC):
    """Judges the series of a group against each other, minute by minute."""

    @abstractmethod
    def tick(self, frame: Frame, plan: GroupPlan) -> Sequence[Finding]:
        """What changed with this minute. Memory has at least as many rows as the frame has series."""
