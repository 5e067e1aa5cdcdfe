"""What a zone loses, by its inlet and its meters: days made by hand."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gateway.detect.memory import Floats
from gateway.detect.plan import GroupPlan, Plan, Zone, load
from gateway.detect.rule import Finding, Frame
from gateway.detect.water.balance import Balance
from gateway.errors import ConfigError
from tests.gateway.ruled import T0

HOMES = 20
PLAN = GroupPlan(zones=(tuple(range(1, HOMES + 1)),), inlets=((0,),), full=(True,))
DAY = 48
"""Windows of half an hour."""


def zone(days: int, lost: float = 150, litres: float = 1) -> Floats:
    """[windows, 1 + HOMES] l/h from seven in the morning: homes draw by day, some rests; so much is always lost.

    Meters count whole pulses of so many litres.
    """
    dice = np.random.default_rng(1)
    hour = (np.arange(days * DAY) / 2 + 7) % 24
    busy = 0.1 + np.exp(-0.5 * ((hour - 8) / 1.5) ** 2) + 0.6 * np.exp(-0.5 * ((hour - 19) / 2) ** 2)
    drawn = 60 * busy[:, None] * dice.gamma(0.3, 1 / 0.3, (days * DAY, HOMES)) * dice.uniform(0.5, 1.5, HOMES)
    flow = np.column_stack((drawn.sum(axis=1) + lost * (1 + 0.3 * np.cos(2 * np.pi * (hour - 3) / 24)), drawn))
    register = np.floor(np.cumsum(flow, axis=0) / 2 / litres) * litres
    return np.diff(register, axis=0, prepend=0) * 2


def judge(flow: Floats, plan: GroupPlan = PLAN, rule: Balance | None = None, begin: int = 0) -> list[Finding]:
    balance = rule or Balance()
    balance.grow(flow.shape[1])
    node = np.arange(flow.shape[1])
    found: list[Finding] = []
    for n, each in enumerate(flow[begin:], begin + 1):
        time = T0 + 1800 * n
        found += balance.tick(Frame(time, node, {"flow": each}, np.where(np.isfinite(each), time, 0)), plan)
    return found


def turns(found: list[Finding]) -> list[tuple[str, str]]:
    assert all(each.kind == "balance" and each.series == 0 for each in found)
    return [(each.state, each.severity) for each in found]


def days(finding: Finding) -> float:
    return (finding.time - T0) / 86_400


@pytest.mark.parametrize("litres", [1, 10])
def test_ordinary_weeks_raise_nothing(litres: float) -> None:
    assert judge(zone(35, litres=litres)) == []


def test_a_loss_is_told_within_two_days_with_its_figures_and_closes_after_repair() -> None:
    flow = zone(30)
    flow[14 * DAY : 20 * DAY, 0] += 150
    found = judge(flow)
    assert turns(found) == [("open", "warning"), ("close", "warning")]
    opened = found[0]
    assert 0.3 < days(opened) - 14 < 1.5
    assert 0.3 < days(found[1]) - 20 < 1.5
    assert opened.since is not None
    assert abs((opened.since - T0) / 86_400 - 14) < 0.3
    told = {each.what: each for each in opened.evidence}
    assert told["loss"].seen - told["loss"].expected == pytest.approx(150, abs=25)
    assert told["inflow"].seen - told["sum of meters"].seen == pytest.approx(told["loss"].seen)
    assert told["share lost"].seen == pytest.approx(100 * told["loss"].seen / told["inflow"].seen)
    assert (told["meters heard"].seen, told["meters heard"].expected) == (HOMES, HOMES)
    assert "a meter counts too little; 20 of 20 meters were heard." in opened.summary


def test_a_large_loss_is_told_in_hours_and_critical() -> None:
    flow = zone(16)
    flow[14 * DAY :, 0] += 8000
    found = judge(flow)
    assert turns(found) == [("open", "critical")]
    assert 3 <= 24 * (days(found[0]) - 14) <= 5.25


def test_what_grows_large_is_told_again() -> None:
    flow = zone(18)
    flow[14 * DAY :, 0] += 400
    flow[16 * DAY :, 0] += 8000
    assert turns(judge(flow)) == [("open", "warning"), ("update", "critical")]


def test_three_hours_of_a_hydrant_are_no_loss() -> None:
    flow = zone(18)
    flow[14 * DAY : 14 * DAY + 6, 0] += 8000
    assert judge(flow) == []


def test_what_everybody_draws_more_or_less_is_none() -> None:
    """A holiday, a heat wave."""
    flow = zone(40)
    for begin, factor in ((15, 0.3), (27, 1.8)):
        part = flow[begin * DAY : (begin + 7) * DAY]
        part[:, 0] += (factor - 1) * part[:, 1:].sum(axis=1)
        part[:, 1:] *= factor
    assert judge(flow) == []


def test_a_dead_meter_is_estimated_and_a_loss_is_still_told() -> None:
    """The one that draws most, for a week."""
    flow = zone(30)
    most = 1 + int(np.argmax(flow[:, 1:].mean(axis=0)))
    flow[14 * DAY :, most] = np.nan
    assert judge(flow) == []
    flow[20 * DAY :, 0] += 200
    found = judge(flow)
    assert turns(found) == [("open", "warning")]
    assert "19 of 20 meters were heard, the others estimated" in found[0].summary


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_dead_or_stopped_inlet_says_nothing_and_teaches_nothing(value: float) -> None:
    flow = zone(50)
    flow[14 * DAY : 40 * DAY, 0] = value
    assert judge(flow) == []


def test_hours_in_which_too_few_meters_are_heard_say_nothing() -> None:
    flow = zone(20)
    flow[14 * DAY :, 1:4] = np.nan
    flow[14 * DAY :, 0] += 500
    assert judge(flow) == []


def test_lost_packs_change_nothing() -> None:
    flow = zone(30)
    flow[np.random.default_rng(2).random(flow.shape) < 0.1] = np.nan
    assert judge(flow) == []
    flow[20 * DAY :, 0] += 400
    assert turns(judge(flow)) == [("open", "warning")]


def test_a_meter_that_stands_still_is_a_loss_if_it_is_large() -> None:
    """The balance cannot tell it from a leak; nor see that of a home."""
    flow = zone(24)
    flow[14 * DAY :, 1] = 0
    assert judge(flow) == []
    flow = zone(24)
    flow[:, [0, 1]] += 400
    flow[14 * DAY :, 1] = 0
    assert turns(judge(flow)) == [("open", "warning")]


@pytest.mark.parametrize("full", [(), (False,)])
def test_zones_that_are_not_metered_whole_are_not_judged(full: tuple[bool, ...]) -> None:
    flow = zone(17)
    flow[14 * DAY :, 0] += 2000
    assert judge(flow, GroupPlan(PLAN.streets, zones=PLAN.zones, inlets=PLAN.inlets, full=full)) == []


def test_zones_are_judged_each_by_itself_and_two_inlets_add_up() -> None:
    leaking, quiet = zone(18), zone(18)
    leaking[14 * DAY :, 0] += 500
    split = np.column_stack((0.5 * leaking[:, 0], 0.5 * leaking[:, 0], leaking[:, 1:], quiet))
    second = 2 + HOMES
    plan = GroupPlan(
        zones=(tuple(range(second + 1, second + 1 + HOMES)), tuple(range(2, second))),
        inlets=((second,), (0, 1)),
        full=(True, True),
    )
    assert [(each.time, each.state) for each in judge(split, plan)] == [
        (each.time, each.state) for each in judge(leaking)
    ]


def test_it_can_be_saved_at_any_time() -> None:
    flow = zone(24)
    flow[12 * DAY : 16 * DAY, 0] += 300
    whole = judge(flow)
    found: list[Finding] = []
    rule = Balance()
    for begin, end in pairwise([0, 3, 1000, 12 * DAY + 15, 13 * DAY, len(flow)]):
        found += judge(flow[:end], PLAN, rule, begin)
        other = Balance()
        other.load(rule.save())
        rule = other
    assert found == whole
    assert turns(whole) == [("open", "warning"), ("close", "warning")]


def test_a_plan_is_full_only_where_its_inlets_are_heard() -> None:
    plan = Plan(zone=(Zone("a", ("m1",), ("i1", "i2"), full=True), Zone("b", ("m2",), ("i3",))))
    number = {"m1": 0, "i1": 1, "m2": 2, "i3": 3}
    assert GroupPlan.of(plan, "here", number).full == (False, False)
    assert GroupPlan.of(plan, "here", number | {"i2": 4}).full == (True, False)


def test_a_full_zone_needs_an_inlet(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text('[[zone]]\nname = "old town"\nnodes = ["water-1"]\nfull = true\n')
    with pytest.raises(
        ConfigError, match=r"'old town' is full, but has no inlet .* name its inlets, or leave out full"
    ):
        load(file)
    file.write_text('[[zone]]\nname = "old town"\nnodes = ["water-1"]\ninlet = ["water-2"]\nfull = true\n')
    assert load(file).zone[0].full
