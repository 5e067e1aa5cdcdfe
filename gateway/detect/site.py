"""A site as its detectors see it: its groups, and when each of its nodes was heard."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from gateway.detect.group import Found, Group
from gateway.detect.health.silent import Silent
from gateway.detect.memory import Ints
from gateway.detect.minutes import KNOWN
from gateway.detect.neighbourhood import Neighbourhood
from gateway.detect.plan import Plan
from gateway.detect.relations import Place
from gateway.detect.rule import NodeRule, SiteRule
from gateway.records import Pack

GONE: Final = 30 * 86_400
"""Seconds after which a node that says nothing is not waited for any more: what is open of it ends. Our choice."""


class Rules(NamedTuple):
    """What judges the nodes of a kind."""

    node: tuple[Callable[[], NodeRule], ...] = ()
    site: tuple[Callable[[], SiteRule], ...] = ()


class Minute(NamedTuple):
    """A minute of a site that is over, in the order of the packs."""

    order: int
    site: str
    time: int
    nodes: int
    gone: tuple[str, ...] = ()
    """Nodes of which nothing was heard for `GONE` with it."""


class Site:
    """The groups of a site, and when it has heard of each of its nodes."""

    def __init__(self, name: str, plan: Plan, rules: Mapping[str, Rules]) -> None:
        self.name = name
        self.near = Neighbourhood(plan, name)
        self.groups: dict[str, Group] = {}
        self.minute = 0
        """The newest minute that is over, Unix seconds."""
        self.nodes: dict[str, int] = {}
        """Number of each, in the order in which they were heard first."""
        self.word: list[int] = []
        """Of each, the time of its newest word, whatever it said."""
        self.kinds: list[str] = []
        """Of each, what it measures; empty until it has told."""
        self.silent = Silent()
        self._heard: list[tuple[int, int]] = []
        """Numbers of nodes, and times of readings that `silent` has not been told of: a node may live while what it
        measures with does not."""
        self._plan = plan
        self._rules = rules

    def group(self, kind: str) -> Group:
        group = self.groups.get(kind)
        if group is None:
            rules = self._rules.get(kind, Rules())
            made = ([make() for make in rules.node], [make() for make in rules.site])
            group = self.groups[kind] = Group(self.name, kind, self._plan, *made)
        return group

    def feed(self, order: int, pack: Pack) -> Iterable[Found | Minute]:
        """A pack of one time."""
        number = self.nodes.setdefault(pack.node, len(self.word))
        if number == len(self.word):
            self.word.append(0)
            self.kinds.append("")
            self.silent.grow(number + 1)
        self.word[number] = max(self.word[number], pack.time)
        if pack.stream == "telemetry" and pack.shape.places:
            self._heard.append((number, pack.time))
            self.kinds[number] = pack.shape.measurement
        group = self.groups.get(pack.shape.measurement)
        if group is None:
            group = self.group(pack.shape.measurement)
        return self._decide(order, group) if group.feed(order, pack) else ()

    def _decide(self, order: int, group: Group) -> Iterator[Found | Minute]:
        """Minutes of a group are over: each of them is judged, however many are at once."""
        yield from group.flush()
        self._tell_silent()
        word = np.array(self.word, np.int64)
        while group.clock.due():
            found = group.decide(order)
            if found is None:
                continue
            yield from found
            before, self.minute = self.minute, max(self.minute, group.over)
            silent = self.silent.tick(self._now(), word)
            gone = np.flatnonzero((word > before - GONE) & (word <= self.minute - GONE)).tolist()
            names = list(self.nodes) if silent or gone else []
            by_name = sorted(silent, key=lambda each: (each.time, names[each.series]))
            yield from (Found(order, each, Place(self.name, names[each.series], "")) for each in by_name)
            if self.minute > before:
                yield Minute(order, self.name, self.minute, len(self.nodes), tuple(names[each] for each in gone))

    def _now(self) -> Ints:
        """[nodes] the minute that is over for each node's kind, or before any was, that in which it began. One that is
        far behind has nobody left to move it."""
        over = {kind: group.over or group.clock.begin for kind, group in self.groups.items()}
        now = {kind: self.minute if self.minute - minute > KNOWN else minute for kind, minute in over.items()}
        return np.array([now.get(kind, self.minute) for kind in self.kinds], np.int64)

    def _tell_silent(self) -> None:
        while self._heard:
            now: dict[int, int] = {}
            later = []
            for number, time in self._heard:  # of each node its next
                if number in now:
                    later.append((number, time))
                else:
                    now[number] = time
            self._heard = later
            self.silent.hear(np.array(list(now)), np.array(list(now.values()), np.int64))

    def flush(self) -> Iterator[Found]:
        self._tell_silent()
        for group in self.groups.values():
            yield from group.flush()

    def forget(self, name: str, alias: str) -> None:
        """What was learnt of a node is gone; its number goes by another name, as numbers are places in what is
        remembered."""
        for group in self.groups.values():
            group.forget(name, alias)
        if name in self.nodes:
            node = self.nodes[name]
            self.nodes = {alias if each == name else each: number for each, number in self.nodes.items()}
            self.silent.forget(node, np.zeros(0, np.int64), len(self.silent.habit))
            self.word[node] = 0

    def save(self) -> dict[str, Any]:
        return {
            "minute": self.minute,
            "nodes": list(self.nodes),
            "word": self.word,
            "kinds": self.kinds,
            "silent": self.silent.save(),
            "groups": {kind: group.save() for kind, group in self.groups.items()},
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        self.minute = saved["minute"]
        self.nodes = {name: number for number, name in enumerate(saved["nodes"])}
        self.word = list(saved["word"])
        self.kinds = list(saved["kinds"])
        self.silent.load(saved["silent"])
        for kind, group in saved["groups"].items():
            self.group(kind).load(group)
