"""Who drives against the traffic, and lanes that tell it too often to be believed."""

from collections.abc import Iterable, Sequence
from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.neighbourhood import Neighbourhood
from gateway.detect.plan import Plan
from gateway.detect.relations import Place
from gateway.detect.rule import Finding, Windows
from gateway.detect.stories import Stories
from gateway.detect.traffic.wrong_way import WrongWay
from tests.gateway.ruled import T0

NAMES = ("volume", "wrong_way", "occupancy")
Lane = tuple[float, float, float]
"""Volume, of these against the traffic, occupancy."""
RIGHT, ONE, EMPTY, ALONE = (10.0, 0.0, 8.0), (10.0, 1.0, 8.0), (0.0, 0.0, 0.0), (1.0, 1.0, 0.5)
DAY = 1440


def feed(rule: WrongWay, counters: Iterable[Sequence[Lane] | None], begin: int = 0) -> list[Finding]:
    """Minutes of one counter; each has its lanes. None is a lost pack."""
    found: list[Finding] = []
    for number, lanes in enumerate(counters, begin + 1):
        if lanes is not None:
            found += feed_one(rule, T0 + 60 * number, [lanes])
    return found


def feed_one(rule: WrongWay, time: int, counters: Sequence[Sequence[Lane]], first: int = 0) -> Sequence[Finding]:
    lanes = [lane for counter in counters for lane in counter]
    series = np.arange(first, first + len(lanes))
    node = np.repeat(np.arange(len(counters)) + first, [len(each) for each in counters])
    rule.grow(first + len(lanes))
    values = {name: np.array([lane[at] for lane in lanes], float) for at, name in enumerate(NAMES)}
    return rule.feed(Windows(series, node, np.full(len(lanes), time), np.full(len(lanes), 60), values))


def told(found: Iterable[Finding]) -> list[tuple[str, str, int]]:
    """(kind, state, minutes)."""
    return [(each.kind, each.state, (each.time - T0) // 60) for each in found]


def test_one_vehicle_is_an_emergency_for_ten_minutes() -> None:
    """In its first window; it is confirmed by nobody yet."""
    first, last = feed(WrongWay(), [[RIGHT]] * 5 + [[ONE]] + [[RIGHT]] * 12)
    assert told([first, last]) == [("wrong_way", "open", 6), ("wrong_way", "close", 16)]
    assert (first.severity, first.confirmed) == ("critical", False)
    assert first.summary == "Seen: 1 vehicle drove against the traffic; expected: none."
    assert (first.evidence[0].what, first.evidence[0].seen, first.evidence[0].expected) == ("wrong_way", 1, 0)


def test_by_night_on_an_empty_lane() -> None:
    """The lane knows its direction by day; nobody else needs to pass."""
    found = feed(WrongWay(), [[RIGHT]] + [[EMPTY]] * 300 + [[ALONE]] + [[EMPTY]] * 9)
    assert told(found) == [("wrong_way", "open", 302)]


@pytest.mark.parametrize(
    "then", [[[ONE]] * 2, [[(10.0, 2.0, 8.0)]], [[ONE]] + [[RIGHT]] * 8 + [[ONE]]], ids=["next", "at once", "later"]
)
def test_the_second_vehicle_confirms_it(then: Sequence[Sequence[Lane]]) -> None:
    """In the same window or another, as long as it is open; it then lasts from the second."""
    found = feed(WrongWay(), [[RIGHT], *then, *[[RIGHT]] * 10])
    assert [each.state for each in found if not each.confirmed] in (["close"], ["open", "close"])
    assert found[-2].confirmed
    assert "2 vehicles drove" in found[-2].summary
    assert told(found)[-1] == ("wrong_way", "close", 1 + len(then) + 10)


def test_a_second_counter_confirms_it() -> None:
    """It is the same driver: one incident, of both; an hour later it is another."""
    place, near, stories = Place("town", "traffic-1", "lane1"), Neighbourhood(Plan(), "town"), Stories()
    (finding,) = feed(WrongWay(), [[RIGHT]] * 5 + [[ONE]])
    (incident,) = stories.take(finding, place, near, 1.0)
    assert (incident.severity, incident.confirmed) == ("critical", None)
    (other,) = feed(WrongWay(), [[RIGHT]] * 8 + [[ONE]])
    (joined,) = stories.take(other, Place("town", "traffic-2", "lane2"), near, 1.0)
    assert (joined.id, joined.nodes, joined.confirmed) == (incident.id, ("traffic-2",), other.time)
    (later,) = feed(WrongWay(), [[RIGHT]] * 70 + [[ONE]])
    (another,) = stories.take(later, Place("town", "traffic-3", "lane1"), near, 1.0)
    assert another.id != incident.id


def test_what_no_node_knows_is_nothing() -> None:
    """Neither opens nor closes: the lane's own word ends it."""
    unknown = (10.0, nan, 8.0)
    assert feed(WrongWay(), [[unknown]] * 20) == []
    found = feed(WrongWay(), [[RIGHT], [ONE], *[[unknown]] * 20, None, [RIGHT]])
    assert told(found) == [("wrong_way", "open", 2), ("wrong_way", "close", 24)]


def test_loops_in_the_wrong_order_are_a_fault_and_no_driver() -> None:
    """From the first day: all vehicles of that lane are wrong. The other lane goes on to be judged."""
    wrong = (2.0, 2.0, 2.0)
    rule = WrongWay()
    found = feed(rule, [(RIGHT, wrong)] * 200 + [(ONE, wrong)] + [(RIGHT, wrong)] * 9)
    assert told(found) == [("miswired", "open", 3), ("wrong_way", "open", 201)]
    fault = found[0]
    assert (fault.series, fault.severity) == (1, "warning")
    assert "second loop" in fault.summary
    assert "expected: none, so the lane is wired or set the wrong way round" in fault.summary
    assert found[1].series == 0


def test_the_wires_are_put_right() -> None:
    """Two days later it has ended, and the lane is believed again; its next driver is told."""
    rule = WrongWay()
    feed(rule, [[(5.0, 5.0, 4.0)]] * 600)
    (end,) = feed(rule, [[RIGHT]] * 4 * DAY, 600)
    assert (end.kind, end.state) == ("miswired", "close")
    assert 2.0 <= (end.time - T0 - 36_000) / 86_400 <= 2.5
    assert told(feed(rule, [[ONE]], 600 + 4 * DAY)) == [("wrong_way", "open", 601 + 4 * DAY)]


def test_wires_that_are_swapped_later() -> None:
    """The first look like drivers; the fifth ends that."""
    found = feed(WrongWay(), [[RIGHT]] * 60 + [[(2.0, 2.0, 2.0)]] * 30)
    assert told(found) == [
        ("wrong_way", "open", 61),
        ("wrong_way", "update", 62),
        ("wrong_way", "close", 63),
        ("miswired", "open", 63),
    ]


def test_one_a_day_is_no_fault() -> None:
    """A dangerous road: each is told."""
    found = feed(WrongWay(), ([[RIGHT]] * (DAY - 1) + [[ONE]]) * 10)
    assert [each.kind for each in found if each.state == "open"] == ["wrong_way"] * 10


def test_a_radar_knows_its_right_direction_by_the_other_lane() -> None:
    """All of the forbidden lane are wrong. Nothing is told before right ones were seen, and when all are wrong."""
    one, none, flows = (1.0, 1.0, nan), (0.0, 0.0, nan), (5.0, nan, nan)
    assert told(feed(WrongWay(), [(flows, none)] * 3 + [(flows, one)])) == [("wrong_way", "open", 4)]
    (fault,) = feed(WrongWay(), [((0.0, nan, nan), one)] * 30)
    assert told([fault]) == [("miswired", "open", 6)]
    assert "forbidden direction" in fault.summary


def test_before_the_direction_is_known_nobody_is_accused() -> None:
    """Nine right ones are too few, ten are enough."""
    nine = (9.0, 0.0, 8.0)
    assert feed(WrongWay(), [[nine], [ALONE]]) == []
    assert told(feed(WrongWay(), [[nine], [(2.0, 1.0, 1.0)]])) == [("wrong_way", "open", 2)]


def test_in_a_full_lane_there_is_no_room() -> None:
    """Who leaves a queue over the loops behind one who joins it there looks like a driver against it."""
    assert feed(WrongWay(), [[RIGHT]] * 5 + [[(12.0, 1.0, 30.0)]]) == []
    assert told(feed(WrongWay(), [[RIGHT]] * 5 + [[(12.0, 1.0, 29.9)]])) == [("wrong_way", "open", 6)]


@settings(max_examples=20, derandomize=True, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([RIGHT, ONE, EMPTY, ALONE, (9.0, nan, 3.0)]), min_size=6, max_size=6), max_size=60
    ),
    st.integers(0, 59),
)
def test_counters_alone_or_together_saved_and_loaded(minutes: list[list[Lane]], cut: int) -> None:
    """The same findings."""
    together, alone = WrongWay(), WrongWay()
    found: list[Finding] = []
    single: list[Finding] = []
    for number, lanes in enumerate(minutes):
        if number == cut:
            saved, together = together.save(), WrongWay()
            together.load(saved)
        counters = [lanes[:2], lanes[2:4], lanes[4:]]
        found += feed_one(together, T0 + 60 * number, counters)
        for at, counter in enumerate(counters):
            single += feed_one(alone, T0 + 60 * number, [counter], 2 * at)
    key = lambda each: (each.series, each.time, each.kind, each.state)  # noqa: E731
    assert sorted(found, key=key) == sorted(single, key=key)
