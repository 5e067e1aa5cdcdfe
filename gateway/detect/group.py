"""The nodes of one kind at one site: their series by number, and the rules that judge them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from gateway.detect.memory import Bools, Floats, Ints
from gateway.detect.minutes import Clock, Pending
from gateway.detect.plan import GroupPlan, Plan
from gateway.detect.relations import Place
from gateway.detect.rule import SITE, Finding, Frame, NodeRule, SiteRule, Windows
from gateway.records import Pack, Shape
from gateway.shapes import lanes

EVENT: Final = "event"


class Found(NamedTuple):
    """A finding in the order of the packs, whatever the packs were taken together with."""

    order: int
    """Number of the pack that it came with."""
    finding: Finding
    place: Place


class Block(NamedTuple):
    """Windows of many series, each there once."""

    series: Ints
    time: Ints
    order: Ints
    """Of each, the number of its pack."""
    values: dict[str, Floats]

    def rows(self, which: Bools) -> "Block":
        values = {name: each[which] for name, each in self.values.items()}
        return Block(self.series[which], self.time[which], self.order[which], values)


class Group:
    """Fed packs of its nodes in order; `flush` lets the rules see what was fed."""

    def __init__(
        self, site: str, kind: str, plan: Plan, node_rules: Sequence[NodeRule], site_rules: Sequence[SiteRule]
    ) -> None:
        self.site = site
        self.kind = kind
        self.nodes: list[str] = []
        """Names by number."""
        self.series: list[tuple[int, str]] = []
        """(number of its node, channel) by number."""
        self.clock = Clock()
        self.over = 0
        """The newest minute that is over and in which somebody said something, Unix seconds."""
        self._plan = plan
        self._node_rules = node_rules
        self._site_rules = site_rules
        self._number: dict[str, int] = {}
        self._last = np.zeros(0, np.int64)
        self._last_event = np.zeros(0, np.int64)
        self._pending = Pending()
        self._fed: list[tuple[int, Pack]] = []
        self._placed: GroupPlan | None = None
        self._lanes: dict[Shape, list[tuple[str, list[tuple[str, int]]]]] = {}
        """Of each shape, its channels with where their quantities are among the values."""
        self._met: list[set[Shape]] = []
        """Shapes of each node."""
        self._channel: dict[str, Ints] = {}
        """Of each channel, the number of each node's series."""
        self._owners = np.zeros(0, np.int64)

    def feed(self, order: int, pack: Pack) -> bool:
        """A pack of one time. True when minutes are to be decided before the next."""
        node = self._number.get(pack.node)
        if node is None:
            node = self._join(pack.node)
        if pack.shape not in self._met[node]:
            self._met[node].add(pack.shape)
            for channel, _ in self._lanes_of(pack.shape):
                self._enter(node, channel)  # in the order of packs, so that numbers are the same however packs are cut
        self._fed.append((order, pack))
        return self.clock.take(node, pack.time)

    def _join(self, name: str) -> int:
        number = self._number[name] = len(self.nodes)
        self.nodes.append(name)
        self._met.append(set())
        self._placed = None
        return number

    def _plan_of_group(self) -> GroupPlan:
        if self._placed is None:
            self._placed = GroupPlan.of(self._plan, self.site, self._number)
        return self._placed

    def flush(self) -> Iterator[Found]:
        """What the node rules find in what was fed."""
        while self._fed:
            now: dict[str, tuple[int, Pack]] = {}
            later = []
            for each in self._fed:  # of each node its next pack: rules see a series once at a time
                if each[1].node in now:
                    later.append(each)
                else:
                    now[each[1].node] = each
            self._fed = later
            yield from self._judge(list(now.values()))

    def _judge(self, fed: Sequence[tuple[int, Pack]]) -> Iterator[Found]:
        for event in (False, True):
            shapes: dict[Shape, list[tuple[int, Pack]]] = {}
            for each in fed:
                if (each[1].stream == EVENT) is event:
                    shapes.setdefault(each[1].shape, []).append(each)
            # A sensor that is dead leaves packs without readings.
            blocks = [self._block(shape, packs) for shape, packs in shapes.items() if shape.places]
            if blocks:
                yield from self._let_judge(_joined(blocks), event)

    def _let_judge(self, block: Block, event: bool) -> Iterator[Found]:
        last = self._last_event if event else self._last
        newer = block.time > last[block.series]
        if not newer.all():
            block = block.rows(newer)
            if not len(block.series):
                return
        before = last[block.series]
        last[block.series] = block.time
        gap = np.where(before > 0, block.time - before, 0)
        owners = self._owners[block.series]
        windows = Windows(block.series, owners, block.time, gap, block.values, self._plan_of_group())
        found = [finding for rule in self._node_rules for finding in rule.feed(windows)]
        if found:
            order = dict(zip(block.series.tolist(), block.order.tolist(), strict=True))
            yield from (Found(order[each.series], each, self._place(each)) for each in found)
        if not event:
            self._pending.add(block.time, block.series, block.values, self.clock.next)

    def decide(self, order: int) -> list[Found] | None:
        """Let the site rules judge the next minute, which is over: to be called when `clock.due()`, after `flush`.

        None where nobody said anything in it: no time has passed there.
        """
        minute = self.clock.next
        values = self._pending.take(minute, len(self.series))
        found = None
        if values is not None:
            self.over = minute
            owners = self._owners[: len(self.series)]
            frame = Frame(minute, owners, values, np.minimum(self._last[: len(self.series)], minute))
            plan = self._plan_of_group()
            found = [
                Found(order, each, self._place(each)) for rule in self._site_rules for each in rule.tick(frame, plan)
            ]
        self.clock.advance(self._pending.first())
        return found

    def _place(self, finding: Finding) -> Place:
        """Where a finding is, in names."""
        nodes = dict.fromkeys(self.nodes[self.series[each][0]] for each in finding.nodes)
        if finding.series == SITE:
            return Place(self.site, "", finding.channel or "", tuple(nodes))
        node, channel = self.series[finding.series]
        name = self.nodes[node]
        nodes.pop(name, None)
        return Place(self.site, name, channel if finding.channel is None else finding.channel, tuple(nodes))

    def _block(self, shape: Shape, fed: Sequence[tuple[int, Pack]]) -> Block:
        """The windows of packs of one shape: a series for each channel of each."""
        channels = self._lanes_of(shape)
        numbers = np.array([self._number[pack.node] for _, pack in fed], np.int64)
        time = np.array([pack.time for _, pack in fed], np.int64)
        order = np.array([each for each, _ in fed], np.int64)
        matrix = np.array([pack.values for _, pack in fed], np.float64)
        blocks = []
        for channel, places in channels:
            series = self._channel[channel][numbers]
            values = {name: matrix[:, at] for name, at in places}
            if self.kind == "health":
                values["boot"] = np.array([pack.boot for _, pack in fed], np.float64)
            blocks.append(Block(series, time, order, values))
        return _joined(blocks)

    def _lanes_of(self, shape: Shape) -> list[tuple[str, list[tuple[str, int]]]]:
        channels = self._lanes.get(shape)
        if channels is None:
            channels = self._lanes[shape] = [
                (channel, [(shape.places[at][1], at) for at in places]) for channel, places in lanes(shape).items()
            ]
        return channels

    def _enter(self, node: int, channel: str) -> None:
        """A series gets its number, if it has none yet."""
        numbers = self._channel.get(channel)
        if numbers is not None and node < len(numbers) and numbers[node] >= 0:
            return
        series = len(self.series)
        self.series.append((node, channel))
        self._number_of(channel, node, series)
        if series >= len(self._last):
            self._grow(series + 1)
        self._owners[series] = node

    def _number_of(self, channel: str, node: int, series: int) -> None:
        """Note a series' number."""
        numbers = self._channel.get(channel)
        if numbers is None or node >= len(numbers):
            old = np.zeros(0, np.int64) if numbers is None else numbers
            numbers = np.concatenate((old, np.full(node + 1 + node // 4 - len(old), -1)))
            self._channel[channel] = numbers
        numbers[node] = series

    def _grow(self, series: int) -> None:
        size = max(series, len(self._last) + len(self._last) // 4 + 16)
        for name in ("_last", "_last_event", "_owners"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate((old, np.zeros(size - len(old), np.int64))))
        for rule in (*self._node_rules, *self._site_rules):
            rule.grow(size)

    def forget(self, name: str, alias: str) -> None:
        """What was learnt of a node is gone, and its place goes by another name. To be called after `flush`."""
        node = self._number.pop(name, None)
        if node is None:
            return
        self.nodes[node] = alias
        self._number[alias] = node
        self._placed = None
        rows = np.array([number for number, (owner, _) in enumerate(self.series) if owner == node], np.int64)
        self._pending.forget(rows)
        for rule in (*self._node_rules, *self._site_rules):
            rule.forget(node, rows, len(self._last))

    def save(self) -> dict[str, Any]:
        return {
            "nodes": self.nodes,
            "series": self.series,
            "clock": self.clock,
            "over": self.over,
            "last": self._last.tobytes(),
            "last_event": self._last_event.tobytes(),
            "pending": self._pending.save(),
            "rules": {name: rule.save() for name, rule in self._rules().items()},
        }

    def _rules(self) -> dict[str, NodeRule | SiteRule]:
        """By name, so that what each has learnt stays where the table gets another."""
        found: dict[str, NodeRule | SiteRule] = {}
        rules: tuple[NodeRule | SiteRule, ...] = (*self._node_rules, *self._site_rules)
        for rule in rules:
            name = type(rule).__name__
            found[name if name not in found else f"{name}.{len(found)}"] = rule
        return found

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `save` gave; a rule that is new since then begins to learn.

        Raises KeyError, ValueError or TypeError for what another layout has saved, and where a rule is gone: nobody
        would end what it had open.
        """
        self.nodes = list(saved["nodes"])
        self.series = [(int(node), str(channel)) for node, channel in saved["series"]]
        self.clock = msgspec.convert(saved["clock"], Clock)
        self.over = int(saved["over"])
        self._number = {name: number for number, name in enumerate(self.nodes)}
        self._met = [set() for _ in self.nodes]
        for number, (node, channel) in enumerate(self.series):
            self._number_of(channel, node, number)
        self._last, self._last_event = (np.frombuffer(saved[name], np.int64).copy() for name in ("last", "last_event"))
        self._owners = np.zeros(len(self._last), np.int64)
        self._owners[: len(self.series)] = [node for node, _ in self.series]
        self._pending.load(saved["pending"])
        rules = self._rules()
        if gone := saved["rules"].keys() - rules.keys():
            raise ValueError(f"there is no rule {min(gone)} any more")
        for name, rule in rules.items():
            if name in saved["rules"]:
                rule.load(saved["rules"][name])
            rule.grow(len(self._last))


def _joined(blocks: Sequence[Block]) -> Block:
    """One after the other; NaN for quantities that a block has not."""
    if len(blocks) == 1:
        return blocks[0]
    names = dict.fromkeys(name for block in blocks for name in block.values)
    series = np.concatenate([block.series for block in blocks])
    values = {}
    for name in names:
        values[name], at = np.full(len(series), np.nan), 0
        for block in blocks:
            if name in block.values:
                values[name][at : at + len(block.series)] = block.values[name]
            at += len(block.series)
    time, order = (np.concatenate([getattr(block, each) for block in blocks]) for each in ("time", "order"))
    return Block(series, time, order, values)
