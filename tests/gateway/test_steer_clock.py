"""Whom the gateway asks for the time, whom it corrects, and that neither is ever without bound."""

import heapq
import json
import random
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.steer import clock
from gateway.steer.clock import LEAST_MS, OUTSTANDING, PER_SECOND, REPEAT_SECONDS, TIMEOUT_SECONDS, Clocks, Key, Reply

EPOCH_MS = 1_795_430_400_000
NODE = ("riverside", "air-0001")


class Node:
    """What a node does with `time`. Its clock is `off_ms` from the true time."""

    def __init__(self, off_ms: int, *, known: bool = False, ppm: float = 0.0) -> None:
        self.off_ms = float(off_ms)
        self.known = known
        self.ppm = ppm
        self.answers = True
        self.corrections: list[int] = []
        self.holds = False
        """Its time does not go back: when it is ahead it stands still until it is right."""
        self._latest = 0

    def obey(self, command: dict[str, Any], true_ms: float) -> dict[str, Any]:
        if "offset_ms" in command:
            self.corrections.append(command["offset_ms"])
            self.off_ms += command["offset_ms"]
            self.known = True
        shown = round(true_ms + self.off_ms)
        if self.holds:
            shown = self._latest = max(shown, self._latest)
        return {"id": command["id"], "ok": True, "unix_ms": shown, "known": self.known}


class City:
    """Nodes, and the ways to them and back, in a time of their own."""

    def __init__(self, clocks: Clocks | None = None, way: Callable[[], float] = lambda: 0.02) -> None:
        self.clocks = clocks or Clocks()
        self.nodes: dict[Key, Node] = {}
        self.way = way  # seconds, one way
        self.now = 1000.0
        self.own_off_ms = 0  # of the gateway's clock
        self.sent: list[float] = []
        self.most = 0
        self.said: list[str] = []
        self._drifting: list[Node] = []
        self._arrivals: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def true_ms(self) -> float:
        return EPOCH_MS + self.now * 1000

    def wall_ms(self) -> int:
        return round(self.true_ms()) + self.own_off_ms

    def birth(self, key: Key, node: Node) -> None:
        self.nodes[key] = node
        if node.ppm:
            self._drifting = [*self._drifting, node]
        self.clocks.born(key, node.known, self.now)

    def live(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while True:
            order, wait = self.clocks.next(self.now, self.wall_ms())
            if order is not None:
                self.sent.append(self.now)
                self.most = max(self.most, self.clocks.outstanding)
                self._later(lambda order=order: self._at_node(order.key, json.loads(order.payload)))
                continue
            due = self._arrivals[0][0] if self._arrivals else end
            until = min(end, due, self.now + wait)
            self._age(until - self.now)
            self.now = until
            while self._arrivals and self._arrivals[0][0] <= self.now:
                heapq.heappop(self._arrivals)[2]()
            if self.now >= end:
                return

    def _age(self, seconds: float) -> None:
        for node in self._drifting:
            node.off_ms += seconds * node.ppm / 1000

    def _later(self, what: Callable[[], None]) -> None:
        heapq.heappush(self._arrivals, (self.now + self.way(), next(self._order), what))

    def _at_node(self, key: Key, command: dict[str, Any]) -> None:
        node = self.nodes[key]
        if node.answers:
            reply = Reply(**node.obey(command, self.true_ms()))
            self._later(lambda: self._at_gateway(key, reply))

    def _at_gateway(self, key: Key, reply: Reply) -> None:
        said = self.clocks.answered(key, reply, self.now, self.wall_ms())
        if said is not None:
            self.said.append(said)


def one(node: Node, **options: Any) -> City:
    city = City(**options)
    city.birth(NODE, node)
    return city


def test_a_node_without_time_is_told_it() -> None:
    """Asked, corrected by what is missing, and remembered as one that needs it."""
    node = Node(-EPOCH_MS + 946_684_800_000)  # a board that begins in 2000
    city = one(node)
    city.live(5)
    assert abs(node.off_ms) <= 20
    assert len(node.corrections) == 1
    assert city.clocks.changed == {NODE: True}
    assert [round(time, 3) for time in city.sent] == [1000.0, 1000.04]
    assert "corrected" in city.said[0]


def test_the_middle_of_the_way_is_what_counts() -> None:
    """Ways of different length make an error of half their difference, and no more."""
    ways = iter([0.9, 0.1, 0.05, 0.05])
    node = Node(5000)
    city = one(node, way=lambda: next(ways))
    city.live(5)
    assert abs(node.off_ms) == pytest.approx(400, abs=1)


def test_an_answer_that_took_too_long_is_asked_for_again() -> None:
    """Half a minute later; nothing is corrected by it."""
    ways = iter([1.5, 0.6, 0.01, 0.01, 0.01, 0.01])
    node = Node(5000)
    city = one(node, way=lambda: next(ways))
    city.live(29)
    assert node.corrections == []
    assert "too long" in city.said[0]
    city.live(10)
    assert abs(node.off_ms) <= 10


def test_a_birth_in_the_middle_begins_anew() -> None:
    """What was asked before it is not taken for an answer any more: the clock would be set twice for one error."""
    for moment in (0.2, 0.7, 1.2, 1.7):
        node = Node(-5000)
        city = one(node, way=lambda: 0.5)
        city.live(moment)
        city.birth(NODE, node)
        city.live(60)
        assert node.corrections == [pytest.approx(5000, abs=20)], moment


def test_a_clock_that_stands_still_until_it_is_right_is_given_the_time_for_it() -> None:
    """It was ahead by more than the first wait after a failure, and is set back once."""
    node = Node(90_000)
    node.holds = True
    city = one(node)
    city.live(3600)
    assert node.corrections == [-90_000]


def test_a_small_error_is_left_alone() -> None:
    """As is one that the way there and back may have made."""
    for off_ms, way in ((LEAST_MS - 50, 0.01), (400, 0.45)):
        node = Node(off_ms, known=True)
        city = City(Clocks([NODE]), way=lambda way=way: way)
        city.birth(NODE, node)
        city.live(60)
        assert (len(city.sent), node.corrections) == (1, [])


def test_who_was_guided_is_asked_every_six_hours() -> None:
    """And kept within what its crystal loses in that time; a restarted gateway goes on with it."""
    node = Node(-7_000_000, ppm=20)
    city = one(node)
    for _ in range(50):
        city.live(3600)
        assert abs(node.off_ms) < 0.02 * REPEAT_SECONDS + LEAST_MS
    assert len(city.sent) == 2 + 2 * 8
    again = City(Clocks([NODE]))
    node.off_ms = 3000
    again.birth(NODE, node)  # says that it knows the time
    again.live(10)
    assert abs(node.off_ms) <= 20


def test_a_node_with_a_server_of_its_own_is_left_to_it() -> None:
    """It was born before the server had answered, and knew the time when it was asked."""
    node = Node(-5000, known=False)
    city = one(node)
    node.known = True
    city.live(10 * REPEAT_SECONDS)
    assert (len(city.sent), node.corrections, city.clocks.changed) == (1, [], {})


def test_who_knows_the_time_or_does_not_say_is_never_asked() -> None:
    """As firmware did before it said so."""
    city = City()
    for clock_said in (True, None):
        city.clocks.born(NODE, clock_said, city.now)
        city.live(10 * REPEAT_SECONDS)
    assert city.sent == []


def test_the_configuration_tells_who_has_no_server() -> None:
    """It is asked although it believes in its clock; one that gets a server is left to that."""
    node = Node(2000, known=True)
    city = one(node)
    city.clocks.reported(NODE, False, city.now)
    city.live(5)
    assert abs(node.off_ms) <= 20
    city.clocks.reported(NODE, True, city.now)
    node.off_ms = 2000
    city.live(3 * REPEAT_SECONDS)
    assert node.off_ms == 2000
    assert city.clocks.changed == {NODE: False}


def test_a_clock_in_another_time_is_left_alone() -> None:
    """An emulated city may live in the past: its nodes know their time, and nobody of us has set it."""
    node = Node(-86_400_000, known=True)
    city = one(node)
    city.clocks.reported(NODE, False, city.now)
    city.live(60)
    assert (node.corrections, len(city.sent)) == ([], 1)
    assert "left alone" in city.said[0]


def test_a_silent_node_is_asked_less_and_less() -> None:
    """The waits double up to an hour, and no question stays open."""
    node = Node(5000)
    node.answers = False
    city = one(node)
    city.live(86_400)
    gaps = [round(b - a - TIMEOUT_SECONDS) for a, b in zip(city.sent, city.sent[1:], strict=False)]
    assert gaps[:8] == [30, 60, 120, 240, 480, 960, 1920, 3600]
    assert set(gaps[8:]) == {3600}
    assert city.clocks.outstanding <= 1


def test_a_node_that_is_gone_is_not_asked() -> None:
    """Until it is born again."""
    node = Node(5000)
    node.answers = False
    city = one(node)
    city.live(5)
    city.clocks.gone(NODE)
    city.live(3 * REPEAT_SECONDS)
    assert len(city.sent) == 1
    node.answers = True
    city.birth(NODE, node)
    city.live(5)
    assert abs(node.off_ms) <= 20


def test_an_error_of_the_node_is_told() -> None:
    """And tried again later."""
    city = City()
    city.clocks.born(NODE, False, city.now)
    order, _ = city.clocks.next(city.now, city.wall_ms())
    assert order is not None
    name = json.loads(order.payload)["id"]
    assert len(name) <= 32
    stranger = Reply("somebody-else", True, 5, True)
    assert city.clocks.answered(NODE, stranger, city.now, city.wall_ms()) is None
    assert city.clocks.answered(("riverside", "x"), Reply(name, True, 5), city.now, city.wall_ms()) is None
    said = city.clocks.answered(NODE, Reply(name, False, error="no such op"), city.now, city.wall_ms())
    assert "no such op" in (said or "")
    assert city.clocks.outstanding == 0


def test_a_gateway_that_does_not_know_the_time_tells_nobody() -> None:
    """It begins when it does."""
    node = Node(5000)
    city = one(node)
    city.own_off_ms = -EPOCH_MS
    city.live(60)
    assert city.sent == []
    city.own_off_ms = 0
    city.live(60)
    assert abs(node.off_ms) <= 20


def test_who_follows_the_gateway_follows_it_when_its_clock_is_set() -> None:
    """A gateway that began with an old time set its nodes wrong; they are not left so for six hours."""
    node = Node(-5000)
    city = one(node)
    city.own_off_ms = -40 * 86_400_000
    city.live(60)
    assert node.off_ms == pytest.approx(-40 * 86_400_000, abs=20)
    city.own_off_ms = 0
    city.live(60)
    assert abs(node.off_ms) <= 20


def test_ten_thousand_nodes_at_once() -> None:
    """After a power cut: all are told, at a bounded rate, with a bounded number under way."""
    dice = random.Random(1)
    city = City(way=lambda: dice.uniform(0.005, 0.4))
    names = [("riverside", f"air-{n:05}") for n in range(10_000)]
    for key in names:
        city.birth(key, Node(dice.randrange(-(10**12), 10**9)))
    began = city.now
    city.live(600)
    assert max(abs(node.off_ms) for node in city.nodes.values()) <= 210
    assert city.most <= OUTSTANDING
    assert max(Counter(int(time) for time in city.sent).values()) <= PER_SECOND + 1
    asked_and_told = 20_000
    assert city.sent[asked_and_told - 1] - began < 200
    assert len(city.sent) < 1.5 * asked_and_told  # some are looked at again: the ways are long and uneven
    assert len(city.clocks.changed) == 10_000


def test_there_is_a_bound_to_the_rate() -> None:
    """However fast the answers come."""
    city = City(way=lambda: 0.0001)
    for number in range(1000):
        city.birth(("riverside", f"air-{number}"), Node(-5000))
    city.live(60)
    assert len(city.sent) == 2000
    assert city.sent[-1] - city.sent[0] == pytest.approx(2000 / PER_SECOND, abs=0.5)


def test_nothing_grows_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither with names that somebody makes up, nor with a node that comes and goes."""
    monkeypatch.setattr(clock, "MOST_NODES", 100)
    clocks = Clocks()
    for number in range(1000):
        clocks.born(("riverside", f"air-{number}"), False, 0.0)
        clocks.reported(("riverside", f"air-{number}"), False, 0.0)
    for _ in range(1000):
        clocks.gone(("riverside", "air-1"))
        clocks.born(("riverside", "air-1"), False, 0.0)
        clocks.disconnected(0.0)
    assert len(clocks._nodes) == 100
    assert len(clocks._due) <= 2 * 100 + 101


_deeds = st.lists(
    st.tuples(st.sampled_from(["birth", "crash", "will", "mute", "cut", "config", "own"]), st.integers(0, 5)),
    max_size=25,
)


@given(_deeds, st.integers(0, 2**32))
def test_whatever_happens_in_the_end_all_clocks_are_right(deeds: list[tuple[str, int]], seed: int) -> None:
    """Nodes that crash, fall silent and come back, lost connections, answers that are late: no clock is set twice for
    one error, and once there is quiet every node that needs the time has it."""
    dice = random.Random(seed)
    city = City(way=lambda: dice.choice([0.001, 0.02, 0.3, 1.5]))
    keys = [("riverside", f"air-{n}") for n in range(6)]
    for deed, which in deeds:
        key = keys[which]
        node = city.nodes.get(key)
        if deed == "birth":
            city.birth(key, node or Node(dice.randrange(-(10**12), -(10**6))))
        elif deed == "crash":
            city.birth(key, Node(dice.randrange(-(10**12), -(10**6))))
        elif deed == "will":
            city.clocks.gone(key)
        elif deed == "mute" and node is not None:
            node.answers = not node.answers
        elif deed == "cut":
            city.clocks.disconnected(city.now)
        elif deed == "config":
            city.clocks.reported(key, False, city.now)
        elif deed == "own":
            city.own_off_ms = dice.choice([0, 50_000])
        city.live(dice.choice([0.0, 0.01, 0.5, 40.0]))
    city.own_off_ms = 0
    city.live(5)
    city.way = lambda: 0.01
    for key, node in city.nodes.items():
        node.answers = True
        city.clocks.gone(key)
        city.birth(key, node)
    city.live(20_000)
    for node in city.nodes.values():
        assert abs(node.off_ms) <= LEAST_MS + 10, node.corrections
    assert city.most <= OUTSTANDING
    assert city.clocks.outstanding == 0
