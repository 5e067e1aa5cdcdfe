"""Rules for the health of nodes: what each takes to open, and that healthy nodes raise nothing for weeks."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pytest

from gateway.detect.health.boot_loop import BootLoop
from gateway.detect.health.falling_heap import FallingHeap
from gateway.detect.health.flooding import Flooding
from gateway.detect.health.lasting import ClockDrift, WeakRadio
from gateway.detect.health.silent import Silent
from gateway.detect.rule import NodeRule, Windows
from tests.gateway.ruled import T0, windows

HEALTHY: Mapping[str, float] = {
    "boot": 3,
    "heap_free": 73_000,
    "heap_largest": 40_000,
    "rssi": -61,
    "clock_error": 0.2,
    "clock_drift": 12,
}


def run(rule: NodeRule, packs: Iterable[Mapping[str, float]], step: int = 600) -> list[tuple[str, int]]:
    """Health packs of one node, every ten minutes: (state, packs from the beginning)."""
    rule.grow(1)
    found = []
    for n, values in enumerate(packs):
        fed = windows(T0 + n * step, {name: [value] for name, value in {**HEALTHY, **values}.items()})
        found += [(each.state, n) for each in rule.feed(fed)]
    return found


def silence(minutes: Sequence[int | None], until: int) -> list[tuple[str, int, int]]:
    """One node that speaks every minute and one that speaks at these: (state, node, minute)."""
    silent, found = Silent(), []
    silent.grow(2)
    for minute in range(1, until):
        now = np.full(2, T0 + 60 * minute)
        heard = np.array([0, 1] if minute in minutes else [0])
        silent.hear(heard, now[heard])
        found += [(each.state, each.series, (each.time - T0) // 60) for each in silent.tick(now, now - 3600)]
    return found


def test_a_node_is_silent_after_ten_minutes_and_speaks_again() -> None:
    assert silence([*range(1, 30), *range(60, 90)], 80) == [("open", 1, 39), ("close", 1, 60)]


def test_a_node_that_sleeps_is_silent_after_three_of_its_own_gaps() -> None:
    assert silence(range(0, 3000, 60), 3300) == [("open", 1, 2940 + 180)]


def test_a_node_whose_packs_get_lost_is_given_time() -> None:
    lossy = sorted({n for n in range(1, 2000) if n % 12 in (0, 5)})
    assert silence(lossy, 2000) == []
    assert len(silence(lossy, 2100)) == 1


def test_an_outage_teaches_nothing() -> None:
    once = [*range(1, 100), *range(400, 500)]
    assert [each for each in silence(once, 600) if each[0] == "open"] == [("open", 1, 109), ("open", 1, 509)]


def test_nobody_is_known_by_one_word() -> None:
    assert silence([5], 3000) == []


def test_many_are_found_silent_together() -> None:
    silent, found = Silent(), []
    silent.grow(50)
    for minute in range(1, 40):
        now = np.full(50, T0 + 60 * minute)
        heard = np.arange(50 if minute < 20 else 10)
        silent.hear(heard, now[heard])
        found.append(len(silent.tick(now, now)))
    assert sorted(found)[-2:] == [0, 40]


def test_three_boots_in_an_hour_are_a_loop() -> None:
    assert run(BootLoop(), [{"boot": 3}] * 3 + [{"boot": 4}, {"boot": 5}, {"boot": 6}] + [{"boot": 6}] * 20) == [
        ("open", 5),
        ("close", 17),
    ]
    assert run(BootLoop(), [{"boot": 3}, {"boot": 9}]) == [("open", 1)], "most of a loop's boots tell nothing"
    assert run(BootLoop(), [{"boot": 3 + n // 4} for n in range(200)]) == []
    assert run(BootLoop(), [{"boot": 90}, {"boot": 1}, {"boot": 1}]) == [], "another board"


def test_a_radio_is_weak_when_it_stays_so() -> None:
    assert run(WeakRadio(), [{}] * 5 + [{"rssi": -88}] * 30 + [{}] * 10) == [("open", 23), ("close", 41)]
    assert run(WeakRadio(), [{"rssi": -88 if n % 10 else -75} for n in range(300)]) == []


@pytest.mark.parametrize("wrong", [{"clock_error": -9.0}, {"clock_drift": 800.0}])
def test_a_clock_that_goes_wrong_for_a_day(wrong: dict[str, float]) -> None:
    found = run(ClockDrift(), [{}] * 5 + [wrong] * 200 + [{}] * 100)
    assert [state for state, _ in found] == ["open", "close"]
    assert 148 <= found[0][1] <= 150


def test_a_heap_that_leaks_is_told_days_before_its_end() -> None:
    """8 kB a day of 73: nine days."""
    leak = [{"heap_free": 73_000 - 8000 * n / 144} for n in range(144 * 9)]
    ((state, at),) = run(FallingHeap(), leak)
    assert state == "open"
    assert 3 <= at / 144 <= 7


def test_a_start_and_a_step_are_no_leak() -> None:
    rng = np.random.default_rng(1)
    steady = [{"heap_free": 73_000 + 4000 * float(each)} for each in rng.standard_normal(144 * 25)]
    assert run(FallingHeap(), steady) == []
    assert run(FallingHeap(), [{}] * 500 + [{"heap_free": 52_000}] * 800) == []
    boots = [{"boot": n // 700, "heap_free": 110_000 if n % 700 < 4 else 70_000} for n in range(2800)]
    assert run(FallingHeap(), boots) == []


def test_a_node_that_floods() -> None:
    """A window a minute for two days, then one a second."""
    rule = Flooding()
    rule.grow(2)
    found = []
    times = [60 * n for n in range(2880)] + [172_800 + n for n in range(7200)] + [180_000 + 60 * n for n in range(200)]
    for time in times:
        lanes = Windows(
            np.array([0, 1]), np.array([0, 0]), np.full(2, T0 + time), np.full(2, 60), {"volume": np.ones(2)}
        )
        found += [(each.state, time) for each in rule.feed(lanes)]
    assert [state for state, _ in found] == ["open", "close"]
    assert found[0][1] - 172_800 <= 400


def test_what_was_kept_in_an_outage_and_a_new_setting_within_reason_are_no_floods() -> None:
    rule = Flooding()
    assert run(rule, [{}] * 3000, 60) == []
    rule = Flooding()
    rule.grow(1)
    times = [60 * n for n in range(3000)] + [180_000 + 15 * n for n in range(9000)]
    assert not [each for time in times for each in rule.feed(windows(T0 + time, {"flow": [1.0]}))]


def test_a_healthy_node_raises_nothing_in_three_weeks() -> None:
    for rule in (BootLoop(), WeakRadio(), ClockDrift(), FallingHeap(), Flooding()):
        assert run(rule, [{}] * (144 * 21)) == []
