"""When a minute of a site is over: its nodes' readings of one minute come in any order, some late, some never."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from msgspec import Struct

from gateway.detect.memory import Floats, Ints

STRAGGLE: Final = 300
"""Seconds that nodes may be behind half of their group and are still waited for: our choice."""
LATE: Final = STRAGGLE - 60
"""Seconds that nodes may be behind each other without any of it making a difference to what is found."""
KNOWN: Final = 70 * 60
"""Seconds that a silent node still counts as one of its group, so that a few that are ahead do not decide alone: the
longest window, an hour, and ten minutes to be late."""
AHEAD: Final = 180
"""Minutes that a node may be ahead of its group; what it says of later ones is left out of the frames."""


class Clock(Struct):
    """The minute that is to be decided next, of one group.

    It is decided once all known nodes have come to it, or half of them to `STRAGGLE` later. So the order in which
    nodes are heard does not matter as long as they are no more than `LATE` apart, and a dead or hurried one neither
    stops nor drives the others.
    """

    next: int = 0
    """Unix seconds; 0 before the first reading."""
    begin: int = 0
    """The first reading that was heard: others may have measured before, and for `STRAGGLE` are waited for."""
    newest: int = 0
    times: list[int] = []
    """Of each node by number, its newest reading."""
    known: int = 0
    """Nodes that are not silent for long,"""
    reached: int = 0
    """how many of them have come to `next`,"""
    beyond: int = 0
    """and how many to `STRAGGLE` after it."""

    def take(self, node: int, time: int) -> bool:
        """A node has come to a time. True when `next` is to be decided now."""
        if node == len(self.times):
            self.times.append(0)
        before = self.times[node]
        if time <= before:
            return False
        if not self.next:
            self.begin, self.next = time, minute_of(time)
        elif time < self.next and self.newest < self.begin + STRAGGLE:
            self.next = minute_of(time)
            self._count()
        self.times[node] = time
        self.known += before <= self.newest - KNOWN < time  # it is there, or there again
        self.reached += before < self.next <= time
        self.beyond += before < self.next + STRAGGLE <= time
        if time > minute_of(self.newest):
            self.newest = time
            self._count()
        return self.due()

    def due(self) -> bool:
        if self.newest < self.begin + STRAGGLE:
            return False
        return self.known > 0 and (self.reached >= self.known or 2 * self.beyond >= self.known)

    def advance(self, pending: int | None) -> None:
        """`next` has been decided; `pending` is the earliest minute of which there are readings.

        Those without any are passed over, up to the first that is not due: its readings may yet come, and there may be
        years between what was imported and what is measured.
        """
        self.next += 60
        if pending is None or pending > self.next:
            known = sorted(self._known())
            last = max(known[0], known[len(known) // 2] - STRAGGLE)  # half of them, or one more, are at or after it
            wait = last // 60 * 60 + 60
            self.next = max(self.next, wait if pending is None else min(wait, pending))
        self._count()

    def _known(self) -> list[int]:
        old = max(self.newest - KNOWN, 0)
        return [time for time in self.times if time > old]

    def _count(self) -> None:
        known, next_, beyond = self._known(), self.next, self.next + STRAGGLE
        self.known = len(known)
        self.reached = len([time for time in known if time >= next_])
        self.beyond = len([time for time in known if time >= beyond])


class Part(NamedTuple):
    """Readings of one minute that were taken in together."""

    series: Ints
    values: dict[str, Floats]


class Means(Mapping[str, Floats]):
    """Of a minute, by quantity; computed when asked for: most rules look at one of many."""

    def __init__(self, parts: Sequence[Part], series: int) -> None:
        self._parts = parts
        self._count = series
        self._found: dict[str, Floats] = {}
        self._names = dict.fromkeys(name for part in parts for name in part.values)
        windows = np.zeros(series, np.int64)
        for part in parts:
            windows[part.series] += 1  # a series is in a part once
        self._once = bool((windows <= 1).all())

    def __getitem__(self, name: str) -> Floats:
        found = self._found.get(name)
        if found is None:
            if name not in self._names:
                raise KeyError(name)
            found = self._found[name] = self._mean(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _mean(self, name: str) -> Floats:
        having = [(part.series, part.values[name]) for part in self._parts if name in part.values]
        found = np.full(self._count, np.nan)
        if self._once:
            for series, values in having:
                found[series] = values
            return found
        total, count = np.zeros(self._count), np.zeros(self._count)
        for series, values in having:
            known = ~np.isnan(values)
            total[series[known]] += values[known]
            count[series[known]] += 1
        np.divide(total, count, out=found, where=count > 0)
        return found


class Pending:
    """The readings of the minutes that are not decided yet."""

    def __init__(self) -> None:
        self._parts: dict[int, list[Part]] = {}

    def add(self, time: Ints, series: Ints, values: dict[str, Floats], next_minute: int) -> None:
        """Windows by their ends; those of minutes that were decided, or are too far ahead, are left out."""
        minutes = -(-time // 60) * 60
        minutes[(minutes < next_minute) | (minutes >= next_minute + 60 * AHEAD)] = 0
        first = int(minutes[0])
        if (minutes == first).all():
            if first:
                self._parts.setdefault(first, []).append(Part(series, values))
            return
        for minute in np.unique(minutes[minutes > 0]).tolist():
            rows = minutes == minute
            part = Part(series[rows], {name: each[rows] for name, each in values.items()})
            self._parts.setdefault(minute, []).append(part)

    def first(self) -> int | None:
        """The earliest minute of which there are readings."""
        return min(self._parts, default=None)

    def take(self, minute: int, series: int) -> "Means | None":
        """[series] of each quantity: the mean of the minute's windows, NaN where there is none; None for no windows."""
        parts = self._parts.pop(minute, None)
        return None if parts is None else Means(parts, series)

    def forget(self, series: Ints) -> None:
        """The windows of these are as if they had not been."""
        for minute, parts in self._parts.items():
            kept = [(part, ~np.isin(part.series, series)) for part in parts]
            self._parts[minute] = [
                Part(part.series[rows], {name: each[rows] for name, each in part.values.items()}) for part, rows in kept
            ]

    def save(self) -> list[Any]:
        return [
            (minute, part.series.tobytes(), {name: each.tobytes() for name, each in part.values.items()})
            for minute, parts in self._parts.items()
            for part in parts
        ]

    def load(self, saved: Sequence[Any]) -> None:
        self._parts = {}
        for minute, series, values in saved:
            part = Part(np.frombuffer(series, np.int64), {name: np.frombuffer(each) for name, each in values.items()})
            self._parts.setdefault(minute, []).append(part)


def minute_of(time: int) -> int:
    """The whole minute at or after a time."""
    return -(-time // 60) * 60
