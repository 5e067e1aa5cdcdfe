"""Leaks and registers, live: what the sequential test and the registers find, told of windows as they come."""

import msgspec
import numpy as np

from gateway.detect.plan import GroupPlan
from gateway.detect.rule import Finding, NodeRule
from gateway.detect.water.leak_rule import LeakRule
from gateway.detect.water.rollback import Rollback
from tests.gateway.ruled import T0, windows


def home(days: int, seed: int = 1) -> list[float]:
    """l/h in windows of ten minutes: sixteen draws a day, none by night."""
    rng = np.random.default_rng(seed)
    flow = np.zeros((days, 144))
    for day in flow:
        np.add.at(day, rng.integers(36, 138, 16), rng.uniform(20, 300, 16))
    return [float(each) for each in flow.ravel()]


def run(rule: NodeRule, flow: list[float], register: bool, plan: GroupPlan = GroupPlan()) -> list[Finding]:  # noqa: B008
    rule.grow(1)
    found, volume = [], 0.0
    for n, each in enumerate(flow):
        volume += each / 6
        values = {"flow": [each], "volume": [float(int(volume))]} if register else {"flow": [each]}
        found += rule.feed(msgspec.structs.replace(windows(T0 + 600 * n, values, gap=600), plan=plan))
    return found


def test_a_leak_is_told_within_a_day_by_register_or_by_flow() -> None:
    """And closes when it is repaired."""
    flow = home(40)
    flow = [each + (40 if 144 * 20 < n < 144 * 24 else 0) for n, each in enumerate(flow)]
    for register in (True, False):
        found = run(LeakRule(), flow, register)
        assert [(each.kind, each.state) for each in found] == [("leak", "open"), ("leak", "close")]
        assert (found[0].time - T0) / 86_400 - 20 < 1
        assert found[0].summary.startswith("Seen: at least 40 l/h have run in every hour of ")
        assert 0 <= (found[1].time - T0) / 86_400 - 24 < 0.5


def test_a_burst_is_no_leak() -> None:
    """Four hours of a night at 1800 l/h, between draws: another rule tells them."""
    flow = home(40)
    night = 144 * 30
    flow[night : night + 24] = [1800.0] * 24
    assert run(LeakRule(), flow, True) == []


def test_inlets_do_not_leak() -> None:
    """By the plan, or by how much runs through them."""
    plan = GroupPlan(zones=((),), inlets=((0,),))
    assert run(LeakRule(), [80.0] * 144 * 10, True, plan) == []
    assert run(LeakRule(), [4000.0] * 144 * 10, True) == []


def test_leaks_are_saved_whole() -> None:
    flow = [each + (40 if n > 144 * 10 else 0) for n, each in enumerate(home(14))]
    whole = run(LeakRule(), flow, True)
    rule, found, volume = LeakRule(), [], 0.0
    rule.grow(1)
    for n, each in enumerate(flow):
        volume += each / 6
        found += rule.feed(windows(T0 + 600 * n, {"flow": [each], "volume": [float(int(volume))]}, gap=600))
        if n % 100 == 0:
            other = LeakRule()
            other.load(rule.save())
            rule = other
    assert found == whole
    assert [each.state for each in found] == ["open"]


def registers(values: list[float]) -> list[tuple[str, int]]:
    rule = Rollback()
    rule.grow(1)
    found = []
    for n, value in enumerate(values):
        found += [(each.state, n) for each in rule.feed(windows(T0 + 600 * n, {"volume": [value]}, gap=600))]
        other = Rollback()
        other.load(rule.save())
        rule = other
    return found


def test_a_register_that_goes_back() -> None:
    """It closes when it is back where it was, or a day later as another meter's."""
    assert registers([1000.0 + n for n in range(50)]) == []
    assert registers([1000.0, 1001.0, 1000.0, 1002.0]) == [], "a pulse that was taken back"
    assert registers([1000.0, 1001.0, 10.0, 1002.0, 1003.0]) == [("open", 2), ("close", 3)]
    assert registers([1000.0, 0.0] + [float(n) for n in range(200)]) == [("open", 1), ("close", 145)]
