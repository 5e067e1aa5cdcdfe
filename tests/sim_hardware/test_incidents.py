"""Incidents: what can happen, and when; what is planned, and what chance brings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.city.incidents import DAY_MIN, KINDS, Calendar, Event, IncidentKind, Plan, Target

TARGETS: dict[Target, list[str]] = {
    "street": ["quay", "mill street"],
    "district": ["old town"],
    "traffic": ["traffic-0001"],
    "water": [f"water-{n:04}" for n in range(1, 51)],
    "air": ["air-0001", "air-0002"],
    "node": [f"node {n}" for n in range(100)],
    "city": [""],
}


def calendar(*plans: Plan, seed: int = 1, **rates: float) -> Calendar:
    return Calendar(plans, rates, TARGETS, np.random.SeedSequence(seed))  # type: ignore[arg-type]


def test_the_table() -> None:
    """Every line makes sense."""
    for kind, line in KINDS.items():
        least, most, usual = line.size
        assert least <= usual <= most
        assert (most == 0) == (line.unit == "no size")
        assert (line.bit > 0) == (line.domain == "nodes" and kind != "drift")
        assert line.lasts * 60 >= line.shows_after_s, "what usually happens can be noticed"
    assert len({line.bit for line in KINDS.values() if line.bit}) == 4


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 3000), st.integers(1, 6000))
def test_strength_grows_and_ends(kind: IncidentKind, begin: int, lasts: int) -> None:
    """From its first minute to its last; nothing before and after."""
    event = Event(0, kind, "", 0.5, begin, begin + lasts, 1.0)
    strengths = [event.strength(begin + n) for n in range(lasts)]
    assert event.strength(begin - 1) == event.strength(begin + lasts) == 0
    assert 0 < strengths[0] <= strengths[-1] <= 1
    assert strengths == sorted(strengths)
    assert strengths[-1] == min(1.0, lasts / (KINDS[kind].ramp or lasts))
    for n in {0, lasts // 2, lasts - 1}:
        assert event.steady(begin + n) is (strengths[n] == 1)


def test_what_is_planned_comes_once_or_daily() -> None:
    """Also what begins on a later day, and what has begun before the first."""
    found = calendar(
        Plan("burst", "water-0001", 0.5, 30, 90, 900.0, daily=False),
        Plan("smoke", "", 0.5, 1500, 1560, 90.0, daily=True),
        Plan("tamper", "node 1", 0.5, -60, -30, 0.0, daily=True),
        Plan("tamper", "node 2", 0.5, -60, -30, 0.0, daily=False),
    ).until(4 * DAY_MIN)
    assert [(each.kind, each.begin, each.end) for each in found] == [
        ("burst", 30, 90),
        ("tamper", 1380, 1410),
        ("smoke", 1500, 1560),
        ("tamper", 2820, 2850),
        ("smoke", 2940, 3000),
        ("tamper", 4260, 4290),
        ("smoke", 4380, 4440),
        ("tamper", 5700, 5730),
    ]
    assert [each.number for each in found] == list(range(8))


@given(st.lists(st.integers(0, 20 * DAY_MIN), max_size=6))
def test_it_is_the_same_however_it_is_asked(moments: list[int]) -> None:
    """Day by day or at once."""
    plan = Plan("crash", "quay", 0.5, 700, 800, 0.3, daily=True)
    one, other = (calendar(plan, leak=2.0, crash=9.0) for _ in range(2))
    for moment in moments:
        assert all(each.begin < moment for each in one.until(moment))
    assert one.until(20 * DAY_MIN) == other.until(20 * DAY_MIN)


def test_chance() -> None:
    """As many as the rate says, over all places and hours, with sizes and lengths that are possible and differ."""
    found = calendar(leak=0.5).until(900 * DAY_MIN)
    assert 600 < len(found) < 750, "50 meters, thirty months; what leaks already does so no second time"
    assert {each.at for each in found} == set(TARGETS["water"])
    assert {each.begin % DAY_MIN // 60 for each in found} == set(range(24))
    sizes = [each.size for each in found]
    assert KINDS["leak"].size[0] <= min(sizes) < 25 < np.median(sizes) < 60 < max(sizes) <= KINDS["leak"].size[1]
    assert 0.8 < np.median([each.end - each.begin for each in found]) / KINDS["leak"].lasts < 1.25
    last: dict[str, int] = {}
    for each in found:
        assert each.begin >= last.get(each.at, 0), "one at a time at a place"
        last[each.at] = each.end
    assert found != calendar(seed=2, leak=0.5).until(900 * DAY_MIN)


def test_one_rate_changes_nothing_of_another() -> None:
    """So that detectors of two kinds can be judged over the same months."""

    def crashes(found: Calendar) -> list[tuple[str, int, int, float, float]]:
        events = found.until(90 * DAY_MIN)
        return [(each.at, each.begin, each.end, each.size, each.along) for each in events if each.kind == "crash"]

    assert crashes(calendar(crash=5.0)) == crashes(calendar(crash=5.0, leak=1.0, smoke=2.0)) != []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_come_by_chance(kind: IncidentKind) -> None:
    """At the places of its sort."""
    found = calendar(**{kind: 30.0}).until(30 * DAY_MIN)
    assert found
    assert {each.at for each in found} <= set(TARGETS[KINDS[kind].at[0]])
