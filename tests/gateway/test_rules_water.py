"""Rules for single water meters, in windows made by hand; and on real hourly meters, where they must be quiet."""

import csv
import gzip
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.flags import Flag, tamper
from gateway.detect.plan import GroupPlan
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.detect.water.backflow import Backflow
from gateway.detect.water.burst import Burst
from gateway.detect.water.frost import Frost
from gateway.detect.water.stopped import Stopped
from tests.gateway.ruled import T0, windows

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "water" / "daiad_hourly_meters_even.csv.gz"
DAY = 86_400


def run(
    rule: NodeRule, quantity: str, values: Iterable[float | None], step: int = 60, begin: int = T0
) -> list[tuple[str, int]]:
    """One meter, one quantity; None is a lost pack: (state, windows from the beginning) of what was found."""
    rule.grow(1)
    found: list[Finding] = []
    for n, value in enumerate(values, 1):
        if value is not None:
            found += rule.feed(windows(begin + n * step, {quantity: [value]}))
    return [(each.state, (each.time - begin) // step) for each in found]


def event(rule: NodeRule, quantity: str, on: bool, time: int) -> list[str]:
    rule.grow(1)
    return [each.state for each in rule.feed(windows(time, {quantity: [float(on)]}))]


# burst ------------------------------------------------------------------------------------------------------------

HOME: list[float | None] = [0.0, 480.0, 300.0, 0.0]


@pytest.mark.parametrize(("flow", "minutes"), [(500, 36), (900, 20), (1800, 10), (20_000, 10)])
def test_the_faster_a_burst_the_sooner_it_is_told(flow: float, minutes: int) -> None:
    """300 l in one draw, and ten minutes at least; it ends after five minutes below."""
    assert run(Burst(), "flow", [*HOME, *[flow] * 40, *[60.0] * 9]) == [("open", 4 + minutes), ("close", 49)]


def test_what_a_burst_says() -> None:
    rule = Burst()
    rule.grow(1)
    found = [f for n in range(20) for f in rule.feed(windows(T0 + 60 * n, {"flow": [0.0 if n < 3 else 1800.0]}))]
    (burst,) = found
    assert (burst.kind, burst.severity, burst.since) == ("burst", "critical", T0 + 60 * 2)
    assert burst.summary.startswith("Seen: 300 l ran in one draw of 10 min, never below 500 l/h, now at 1800 l/h; exp")
    (evidence,) = burst.evidence
    assert (round(evidence.seen), evidence.expected, evidence.unit) == (300, 300, "l")


@pytest.mark.parametrize("flow", [[2000.0] * 9, [499.0] * 300, ([1400.0] * 12 + [100.0]) * 5])
def test_a_fast_short_a_slow_long_and_an_interrupted_draw_are_no_bursts(flow: list[float]) -> None:
    assert run(Burst(), "flow", [*HOME, *flow, 0.0]) == []


def test_a_garden_that_is_watered_every_evening_teaches_its_own_bound() -> None:
    """The first two evenings cry; then 450 l are this home's, and a burst is told after half as much again."""
    evening: list[float | None] = [0.0] * 1410 + [900.0] * 30
    found = run(Burst(), "flow", evening * 5 + [0.0] * 600 + [1800.0] * 30)
    assert [each for each in found if each[0] == "open"] == [
        ("open", 1430),
        ("open", 1440 + 1430),
        ("open", 5 * 1440 + 600 + 23),
    ]


def test_a_burst_teaches_nothing() -> None:
    """Of more than 2000 l: the third is told as soon as the first."""
    found = run(Burst(), "flow", ([0.0] * 500 + [1800.0] * 90) * 3)
    assert [at for state, at in found if state == "open"] == [510, 1100, 1690]


def test_lost_packs_do_not_hide_a_burst_and_silence_is_no_draw() -> None:
    lossy: list[float | None] = [1800.0 if n % 3 else None for n in range(40)]
    (first, *_) = run(Burst(), "flow", [*HOME, *lossy])
    assert first[0] == "open"
    assert 14 <= first[1] <= 17
    assert run(Burst(), "flow", [*HOME, *[1800.0] * 5, *[None] * 15, *[1800.0] * 5, 0.0]) == []


@pytest.mark.parametrize(("step", "windows_of"), [(30, 20), (300, 2), (600, 1), (3600, 1)])
def test_the_length_of_windows_does_not_matter(step: int, windows_of: int) -> None:
    """Once it is known; a window of an hour is one draw only where its mean is that high."""
    found = run(Burst(), "flow", [0.0] * 30 + [1800.0] * 40, step)
    assert found == [("open", 30 + windows_of)]


def test_inlets_are_no_homes() -> None:
    """By the plan, or because they never rest."""
    plan = GroupPlan(zones=((1,),), inlets=((0,),))
    rule = Burst()
    rule.grow(2)
    found = []
    for n in range(60):
        flow = 90.0 if n < 5 else 3000.0
        found += rule.feed(msgspec.structs.replace(windows(T0 + 60 * n, {"flow": [flow, flow]}), plan=plan))
    assert [each.series for each in found] == [1]
    hours = [800 + 600 * abs(12 - n % 24) for n in range(24 * 30)]
    assert run(Burst(), "flow", [float(each) for each in hours for _ in range(12)], 300) == []


def test_a_small_district_that_rests_at_night_is_soon_no_home() -> None:
    day = [50.0] * 6 + [700.0] * 18
    found = run(Burst(), "flow", [each for each in day * 30 for _ in range(12)], 300)
    assert max(at for _, at in found) < 5 * 288


# backflow, tamper, frost ------------------------------------------------------------------------------------------


def test_the_flag_of_backflow_opens_at_once_and_the_register_closes() -> None:
    rule = Backflow()
    assert event(rule, "reverse_flow", True, T0) == ["open"]
    assert event(rule, "reverse_flow", True, T0 + 5) == []
    register = [float(min(n, 20)) for n in range(90)]
    assert run(rule, "reverse_volume", register) == [("close", 21 + 30)]


def test_backflow_without_its_event_is_told_by_the_register() -> None:
    """Ten litres without an hour's pause; what trembles back and forth is none."""
    assert run(Backflow(), "reverse_volume", [100.0 + 5 * n for n in range(9)]) == [("open", 3)]
    assert run(Backflow(), "reverse_volume", [100.0 + n // 90 for n in range(3000)]) == []
    assert run(Backflow(), "reverse_volume", [500.0, 0.0, 0.0, 1.0]) == [], "another meter"


def test_without_a_register_the_flag_closes_too() -> None:
    rule = Backflow()
    assert event(rule, "reverse_flow", True, T0) == ["open"]
    assert run(rule, "flow", [0.0] * 60) == []
    assert event(rule, "reverse_flow", False, T0 + 3600) == []
    assert run(rule, "flow", [0.0] * 60, begin=T0 + 3600) == [("close", 30)]


def test_tamper_is_latched() -> None:
    """A lid that rattles is one incident; it closes when the node has spoken for five minutes without the flag."""
    rule = tamper()
    assert event(rule, "tamper", True, T0) == ["open"]
    assert run(rule, "flow", [0.0] * 60) == []
    for n in range(5):
        assert event(rule, "tamper", n % 2 == 1, T0 + 3600 + 60 * n) == []
    assert run(rule, "flow", [0.0] * 10, begin=T0 + 3840) == [("close", 5)]
    assert event(rule, "tamper", False, T0 + 9000) == []
    assert run(rule, "flow", [0.0] * 10, begin=T0 + 9000) == []


def test_a_counter_of_two_lanes_closes_tamper_once() -> None:
    """Its event is of the node, its windows are of lanes."""
    rule: Flag = tamper()
    rule.grow(3)
    one = np.array([0])
    for flag, time in ((1.0, T0), (0.0, T0 + 60)):
        rule.feed(Windows(np.array([2]), one, np.array([time]), one, {"tamper": np.array([flag])}))
    lanes = Windows(
        np.array([0, 1]), np.array([0, 0]), np.full(2, T0 + 600), np.array([60, 60]), {"volume": np.ones(2)}
    )
    (closed,) = rule.feed(lanes)
    assert (closed.state, closed.channel) == ("close", "")


def test_frost_by_thermometer_and_by_event() -> None:
    cold = [8.0, *[2.9] * 30, *[3.5] * 30, *[4.5] * 40]
    assert run(Frost(), "temperature", cold) == [("open", 11), ("close", 91)]
    rule = Frost()
    assert event(rule, "frost", True, T0) == ["open"]
    assert run(rule, "temperature", [3.0] * 60) == []
    assert run(Frost(), "temperature", [8.0, -20.0, 8.0] * 30) == [], "a bad reading is not frost"


# stopped ----------------------------------------------------------------------------------------------------------


def test_a_meter_that_ran_daily_and_stands_still_for_a_month_has_stopped() -> None:
    """Holidays of three weeks are none."""
    day: list[float | None] = [0.0] * 8 + [30.0] * 14 + [0.0] * 2
    life = day * 60 + [0.0] * 24 * 21 + day * 10
    assert run(Stopped(), "flow", life + [0.0] * 24 * 42, 3600) == []
    found = run(Stopped(), "flow", life + [0.0] * 24 * 50 + day, 3600)
    assert [state for state, _ in found] == ["open", "close"]
    assert 42 <= found[0][1] / 24 - 91 <= 43, "twice its longest holiday"


def test_a_house_that_is_seldom_lived_in_never_stops() -> None:
    weekend: list[float | None] = [0.0] * 24 * 5 + [20.0] * 48
    assert run(Stopped(), "flow", weekend * 20 + [0.0] * 24 * 100, 3600) == []


def test_a_district_that_stands_still_is_told_in_hours() -> None:
    found = run(Stopped(), "flow", [5000.0] * 24 * 10 + [0.0] * 24, 3600)
    assert found == [("open", 246)]


def test_silence_is_not_standstill_but_an_equal_register_is() -> None:
    day: list[float | None] = [0.0] * 8 + [30.0] * 16
    life = day * 60 + [None] * 24 * 40
    assert run(Stopped(), "flow", [*life, 0.0, 0.0], 3600) == []
    rule = Stopped()
    rule.grow(1)
    volume, found = 0.0, []
    for n, flow in enumerate([*life, 0.0, 0.0]):
        if flow is not None:
            volume += flow
            found += rule.feed(windows(T0 + n * 3600, {"flow": [flow], "volume": [volume]}))
    assert [each.state for each in found] == ["open"]


# all of them ------------------------------------------------------------------------------------------------------

RULES = (Burst, Backflow, Frost, Stopped, tamper)


@settings(max_examples=25, derandomize=True, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(1, 90_000),
            st.sampled_from([0.0, 50.0, 700.0, 5000.0, np.nan]),
            st.sampled_from([1.0, 9.0, np.nan]),
        ),
        max_size=60,
    )
)
def test_series_do_not_touch_each_other_and_memory_can_be_saved(given: Sequence[tuple[int, int, float, float]]) -> None:
    """All together, or each alone and saved and loaded between all windows: the same."""
    for make in RULES:
        whole, saved = make(), make()
        whole.grow(4)
        saved.grow(4)
        time = dict.fromkeys(range(4), T0)
        volume = dict.fromkeys(range(4), 0.0)
        each_found, rounds = [], []
        for series, gap, flow, warmth in given:
            time[series] += gap
            volume[series] += 0 if np.isnan(flow) else flow * min(gap, 3600) / 3600
            values = {"flow": flow, "temperature": warmth, "volume": volume[series], "reverse_volume": volume[series]}
            rounds.append((series, time[series], gap, values))
        for series, at, gap, values in rounds:
            fed = windows(at, {name: [value] for name, value in values.items()}, [series], gap)
            each_found += saved.feed(fed)
            other = make()
            other.grow(4)
            other.load(saved.save())
            saved = other
        together = []
        while rounds:
            now: dict[int, tuple[int, int, int, dict[str, float]]] = {}
            later = []
            for one in rounds:
                if one[0] in now:
                    later.append(one)
                else:
                    now[one[0]] = one
            rows = list(now.values())
            together += whole.feed(
                Windows(
                    np.array([row[0] for row in rows]),
                    np.array([row[0] for row in rows]),
                    np.array([row[1] for row in rows]),
                    np.array([row[2] for row in rows]),
                    {name: np.array([row[3][name] for row in rows]) for name in rows[0][3]},
                )
            )
            rounds = later

        def key(finding: Finding) -> tuple[int, int, str]:
            return finding.series, finding.time, finding.state

        assert sorted(together, key=key) == sorted(each_found, key=key)


@pytest.mark.soak
@pytest.mark.skipif(not REAL.exists(), reason="the real meters are not here")
def test_real_hourly_meters_raise_next_to_nothing() -> None:
    """At most 0.05 alarms a meter-month of each kind; half of the meters, to be quick."""
    with gzip.open(REAL, "rt") as file:
        rows = [(int(row["user"]), int(row["epoch"]), float(row["meter_l"])) for row in csv.DictReader(file)]
    series: dict[int, list[tuple[int, float]]] = {}
    for user, time, volume in sorted(rows):
        if user % 4 == 0:
            series.setdefault(user, []).append((time, volume))
    rules = (Burst(), Stopped())
    numbers = {user: n for n, user in enumerate(series)}
    for rule in rules:
        rule.grow(len(series))
    seconds, found = 0, Counter[str]()
    longest = max(len(each) for each in series.values())
    for n in range(1, longest):
        now = [(numbers[user], each[n - 1], each[n]) for user, each in series.items() if n < len(each)]
        now = [(number, before, this) for number, before, this in now if this[0] > before[0]]
        if not now:
            continue
        time = np.array([this[0] for _, _, this in now])
        gap = np.array([this[0] - before[0] for _, before, this in now])
        volume = np.array([this[1] for _, _, this in now])
        flow = np.maximum(volume - [before[1] for _, before, _ in now], 0) * 3600 / gap
        numbered = np.array([number for number, _, _ in now])
        seconds += int(np.minimum(gap, DAY).sum())
        for rule in rules:
            found.update(
                each.kind
                for each in rule.feed(Windows(numbered, numbered, time, gap, {"flow": flow, "volume": volume}))
                if each.state == "open"
            )
    months = seconds / (30 * DAY)
    assert months > 200
    assert {kind: count / months for kind, count in found.items() if count / months > 0.05} == {}
