"""The same packs give the same incidents in whatever order the nodes of a site are heard, up to `LATE` apart."""

from collections.abc import Iterable, Sequence
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.detectors import Detectors, Settings
from gateway.detect.health.silent import LEAST_S
from gateway.detect.minutes import LATE, STRAGGLE
from gateway.detect.plan import Plan
from gateway.records import Incident, Pack
from sim_hardware.city.city import layout_of
from sim_hardware.city.plan import plan_of
from sim_hardware.city.scenario import load, places
from tests.gateway.streets import START, city, detect, minutes, pack

pytestmark = pytest.mark.soak

NODES = 15
QUIET = {
    "traffic-0002": [(20, 29), (40, 51)],
    "water-0001": [(30, 45)],
    "air-0003": [(25, 34), (60, 90)],
    "water-0004": [(70, 999)],
}
"""Minutes in which nodes say nothing: some for too long, some not quite, one for good."""


@cache
def eventful() -> list[Pack]:
    """A morning with each kind of incident, where packs were lost and nodes said nothing for a while."""
    dice = Random(7)
    return [
        each
        for each in city(1.6 / 24, NODES, scenario=load(None))
        if dice.random() > 0.03
        and not any(begin <= (each.time - START) / 60 < end for begin, end in QUIET.get(each.node, []))
    ]


@cache
def judged(plan: Plan) -> dict[str, Incident]:
    return detect(eventful(), Detectors(Settings(plan)))


@cache
def drawn() -> Plan:
    return plan_of(layout_of(load(None), places(NODES), 1))


def apart(packs: Sequence[Pack], seed: int, most: int) -> list[Pack]:
    """As they may be heard of nodes that are late by up to `most` seconds, now more and now less, each node's own in
    their order."""
    dice = Random(seed)
    most += 59  # windows end on whole minutes: it makes up for what rounding takes
    lag: dict[str, float] = {}
    heard: dict[str, float] = {}
    for each in packs:
        if each.node not in lag:
            lag[each.node] = dice.uniform(0, most)
    keys = []
    for each in packs:
        lag[each.node] = min(max(lag[each.node] + dice.choice([-300, -90, -20, 0, 0, 20, 90, 300]), 0), most)
        heard[each.node] = max(heard.get(each.node, 0), each.time + lag[each.node])
        keys.append((heard[each.node], each.time))
    order = sorted(range(len(packs)), key=keys.__getitem__)
    return [packs[each] for each in order]


def most_apart(packs: Iterable[Pack]) -> int:
    """Seconds that a pack was at most behind the newest that had come before it."""
    newest = behind = 0
    for each in packs:
        behind, newest = max(behind, newest - each.time), max(newest, each.time)
    return behind


def test_the_morning_has_what_could_go_wrong() -> None:
    """Else the test below would prove nothing: also silences, and nodes that are as late as they may be."""
    found = judged(Plan())
    assert {each.kind for each in found.values()} >= {"burst", "jam", "air_episode", "stuck", "silent"}
    silent = [row[1:] for row in minutes(found) if row[0] == "silent"]
    assert silent == [
        ("air-0003", 34, 36),
        ("water-0001", 39, 45),
        ("traffic-0002", 49, 51),
        ("air-0003", 69, 90),
        ("water-0004", 79, None),
    ]
    assert most_apart(apart(eventful(), 1, LATE)) == LATE


@pytest.mark.parametrize("planned", [False, True])
@settings(max_examples=8, derandomize=True, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_order_in_which_nodes_are_heard_changes_nothing(planned: bool, seed: int) -> None:
    """Not a word of any incident: neither which there are, nor when, nor why."""
    plan = drawn() if planned else Plan()
    assert detect(apart(eventful(), seed, LATE), Detectors(Settings(plan))) == judged(plan)


def spoken(node: str, spans: Sequence[tuple[int, int]]) -> list[Pack]:
    return [pack(node, minute, {"flow": 5.0}) for begin, end in spans for minute in range(begin, end)]


def site(spans: Sequence[tuple[int, int]], late: int, nodes: int = 4) -> list[Pack]:
    """Meters that speak each minute for an hour and more, and the last, which speaks in these, so many seconds late."""
    others = [each for node in range(1, nodes) for each in spoken(f"water-{node:04d}", [(1, 90)])]
    keyed = [(each.time, each) for each in others] + [(each.time + late, each) for each in spoken("water-0009", spans)]
    return [each for _, each in sorted(keyed, key=lambda pair: pair[0])]


@pytest.mark.parametrize("late", [0, 60, LATE])
def test_a_silence_is_told_of_a_late_node_as_of_a_punctual_one(late: int) -> None:
    """From its own times: the last word in minute 19 is ten minutes old in minute 29, whenever it came."""
    assert minutes(detect(site([(1, 20), (50, 90)], late))) == [("silent", "water-0009", 29, 50)]
    assert minutes(detect(site([(1, 20), (31, 90)], late))) == [("silent", "water-0009", 29, 31)]
    assert minutes(detect(site([(1, 20), (29, 90)], late))) == []
    assert minutes(detect(site([(1, 90)], late))) == []


@pytest.mark.parametrize("early", [60, LATE])
def test_a_silence_that_is_over_before_the_site_has_come_to_it_is_told(early: int) -> None:
    """Of a node that is ahead of all others."""
    assert minutes(detect(site([(1, 20), (31, 90)], -early))) == [("silent", "water-0009", 29, 31)]


def test_a_kind_that_begins_late_is_not_silent() -> None:
    """Its nodes have been heard some times, but no minute of theirs is over when others are half an hour on."""
    first = [*spoken("water-0001", [(1, 4)]), *spoken("water-0002", [(1, 3)])]
    others = [pack(f"air-{node:04d}", minute, {"co2": 500.0 + minute}) for minute in range(1, 40) for node in (1, 2)]
    rest = [each for minute in range(3, 60) for each in spoken("water-0001", [(minute + 1, minute + 2)])]
    rest += spoken("water-0002", [(3, 60)])
    rest.sort(key=lambda each: each.time)
    assert minutes(detect([*first, *others, *rest])) == []


def test_a_silent_node_is_told_of_within_minutes_of_the_bound() -> None:
    """Nobody waits longer for it than for any straggler."""
    detectors, told = Detectors(), 0
    for each in site([(1, 20)], 0):
        if detectors.feed([each]):
            told = told or each.time
    last = START + 19 * 60
    assert last + LEAST_S < told <= last + LEAST_S + STRAGGLE
