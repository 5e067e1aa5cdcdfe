"""Leaks and bursts of mains, by the meter at a district's inlet: days made by hand."""

from itertools import pairwise

import numpy as np
import pytest

from gateway.detect.memory import Floats
from gateway.detect.plan import GroupPlan
from gateway.detect.water.mains import Mains
from tests.gateway.ruled import T0, frame

PLAN = GroupPlan(zones=((1,),), inlets=((0,),))
DAY = 144


def district(days: int, weekend_h: float = 0) -> Floats:
    """l/h every ten minutes from seven in the morning: 8 m³/h by night, 30 in the morning, a little uneven."""
    at = np.arange(days * DAY) / 6 + 7
    hour = at % 24 - weekend_h * (at // 24 % 7 >= 5)
    day = 8000 + 22_000 * np.exp(-0.5 * ((hour - 8) / 1.5) ** 2) + 12_000 * np.exp(-0.5 * ((hour - 19) / 1.5) ** 2)
    return day * (1 + 0.03 * np.random.default_rng(1).standard_normal(len(day)))


def run(
    flow: Floats, plan: GroupPlan = PLAN, rule: Mains | None = None, begin: int = 0
) -> list[tuple[str, str, float]]:
    """An inlet and a home: (kind, state, days from the beginning) of what is found at the inlet."""
    mains = rule or Mains()
    mains.grow(2)
    found = []
    for n, each in enumerate(flow[begin:], begin + 1):
        for one in mains.tick(frame(T0 + 600 * n, {"flow": [each, 30.0 * (n % 7 == 0)]}), plan):
            assert one.series == 0
            found.append((one.kind, one.state, n / DAY))
    return found


def test_ordinary_weeks_raise_nothing() -> None:
    """Not even when Saturdays rise three hours later."""
    assert run(district(28, 3)) == []


@pytest.mark.parametrize("hour", [0.5, 6, 13, 20])
def test_a_burst_is_told_within_the_hour_at_any_time_of_day(hour: float) -> None:
    flow = district(14)
    at = round(10 * DAY + 6 * hour)
    flow[at : at + 24] += 40_000
    found = run(flow)
    assert [each[:2] for each in found] == [("main_burst", "open"), ("main_burst", "close")]
    assert (found[0][2] * DAY - at) * 10 <= 60
    assert 0 <= (found[1][2] * DAY - at - 24) * 10 <= 60


def test_a_leak_is_told_after_two_nights_and_closes_after_repair() -> None:
    flow = district(30)
    flow[12 * DAY : 20 * DAY] += 3000
    found = run(flow)
    assert [each[:2] for each in found] == [("main_leak", "open"), ("main_leak", "close")]
    assert 1 < found[0][2] - 12 < 50 / 24
    assert found[1][2] - 20 < 1.5


def test_one_night_is_no_leak() -> None:
    """A pool is filled."""
    flow = district(20)
    flow[12 * DAY : 13 * DAY] += 3000
    assert run(flow) == []


def test_without_a_plan_an_inlet_is_known_by_never_resting() -> None:
    flow = district(24)
    flow[20 * DAY + 50 : 20 * DAY + 74] += 40_000
    found = run(flow, GroupPlan())
    assert [each[:2] for each in found] == [("main_burst", "open"), ("main_burst", "close")]


def test_it_can_be_saved_at_any_time() -> None:
    flow = district(16)
    flow[10 * DAY + 15 : 10 * DAY + 30] += 40_000
    flow[11 * DAY :] += 4000
    whole = run(flow)
    found, rule, cuts = [], Mains(), [0, 100, 1000, 10 * DAY + 20, 12 * DAY, len(flow)]
    for begin, end in pairwise(cuts):
        found += run(flow[:end], PLAN, rule, begin)
        other = Mains()
        other.load(rule.save())
        rule = other
    assert found == whole
    assert {each[0] for each in whole} == {"main_burst", "main_leak"}
