"""What is around the rules: whatever the cuts of packs, rules see each series in order, and minutes whole."""

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.detectors import Detectors, Settings
from gateway.records import Incident, Pack, Shape
from tests.gateway.ruled import RULES
from tests.gateway.streets import START, detect, pack


def packs(minutes: int = 90, nodes: int = 5, seed: int = 1) -> list[Pack]:
    """Some lost, some late, some twice, some with several times."""
    dice = Random(seed)
    found = []
    for minute in range(1, minutes + 1):
        for node in range(1, nodes + 1):
            high = 10 <= minute < 20 or (node == 2 and 25 <= minute < 32)
            found.append(pack(f"water-{node:04d}", minute, {"flow": 150.0 + node if high else 10.0}))
    found = [each for each in found if dice.random() > 0.05]
    found += dice.sample(found, 20)
    late = {id(each): dice.choice([0, 0, 0, 0, 45, 100, 500]) for each in found}
    return sorted(found, key=lambda each: each.time + late[id(each)])


def run(fed: list[Pack], cuts: list[int], *, restart: bool = False, budget: float = 1.0) -> dict[str, Incident]:
    detectors, begin, found = Detectors(Settings(budget=budget), RULES), 0, {}
    for size in [*cuts, len(fed)]:
        for each in detectors.feed(fed[begin : begin + size]):
            found[each.id] = each
        begin += size
        if restart:
            detectors = Detectors.load(detectors.save(), Settings(budget=budget), RULES)
    return found


def test_what_is_high_is_found_at_its_node_and_its_site() -> None:
    """Node by node after three minutes; the site when its mean is."""
    found = run(packs(), [])
    kinds = {(each.kind, each.node) for each in found.values()}
    assert {("high", f"water-{node:04d}") for node in range(1, 6)} | {("mean", "")} <= kinds
    assert all(each.closed is not None for each in found.values())
    (site,) = [each for each in found.values() if each.kind == "mean"]
    assert site.opened == START + 10 * 60


@settings(max_examples=40, derandomize=True, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=30), st.booleans(), st.integers(1, 5), st.sampled_from([0.0, 1.0]))
def test_cuts_and_restarts_change_nothing(cuts: list[int], restart: bool, seed: int, budget: float) -> None:
    """Nor with a budget so small that the order in which alarms come decides which are held."""
    fed = packs(seed=seed)
    assert run(fed, cuts, restart=restart, budget=budget) == run(fed, [], budget=budget)


@pytest.mark.parametrize("budget", [0.0, 10.0])
def test_a_budget_holds_back_what_is_not_critical(budget: float) -> None:
    """And says so; critical ones are told whatever it is."""
    found = run(packs(), [], budget=budget).values()
    assert {each.held for each in found if each.severity == "critical"} == {False}
    assert {each.held for each in found if each.severity == "warning"} == {budget == 0}


def test_a_node_that_speaks_without_readings_is_silent() -> None:
    """Its dead sensors are told of, and that the node itself is alive."""
    fed = []
    for minute in range(1, 60):
        fed += [pack("air-0001", minute, {"co2": 430.0 + minute}), pack("air-0002", minute, {"co2": 440.0 - minute})]
        if minute >= 30:
            fed[-1] = msgspec.structs.replace(fed[-1], shape=Shape("air", ()), values=())
    (incident,) = detect(fed).values()
    assert (incident.kind, incident.node, incident.since) == ("silent", "air-0002", fed[0].time + 28 * 60)
    assert "speaks" in incident.summary


def test_a_pack_without_readings_says_only_that_its_node_is_there() -> None:
    """As of a station whose chips are all dead."""
    bare = [Pack.of("riverside", "water-0009", "telemetry", "water", 1, n, START + 60 * n, ()) for n in range(1, 91)]
    found = run(sorted([*packs(), *bare], key=lambda each: each.time), [])
    assert found.keys() == run(sorted(packs(), key=lambda each: each.time), []).keys() != set()


def test_a_kind_that_is_heard_later_is_not_silent() -> None:
    """What waited in the outboxes of meters comes first, then that of stations."""

    def said(kind: str, begin: int, end: int) -> list[Pack]:
        quantity = {"water": "flow", "air": "pm2_5"}[kind]
        return [
            pack(f"{kind}-{node:04d}", minute, {quantity: 5.0 + (minute * node) % 7})
            for minute in range(begin, end)
            for node in range(1, 4)
        ]

    both = [each for pair in zip(said("water", 1, 30), said("air", 1, 30), strict=True) for each in pair]
    fed = [*both, *said("water", 30, 60), *said("air", 30, 60)]
    found = Detectors().feed(fed)
    assert not [each for each in found if each.kind == "silent"]
    dead = Detectors().feed([*both, *said("water", 30, 120)])
    assert {(each.kind, each.node) for each in dead if each.kind == "silent"} == {("silent", "air-0001")}
