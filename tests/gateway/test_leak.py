"""Leaks in homes: told once, soon, by what a home's own past makes unlikely; not for irrigation; by any sampling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.water.cells import CellMemory
from gateway.detect.water.habits import LEVELS
from gateway.detect.water.leak import MOST, NEED, WEEK, Leak, LeakMemory, Verdicts
from gateway.detect.water.register import RegisterMemory
from tests.bench.detection import leaks

HOUR = 3600
DAY = 24 * HOUR
START = 1_699_920_000  # a midnight, UTC
ALL = slice(None)
READINGS = 2400
"""Of each real meter: a hundred days or more, so that the test is fast; `make bench` takes them all."""


def use(homes: int, days: int, seed: int = 0) -> np.ndarray:
    """[homes, hours] litres: seldom at night, every second hour by day."""
    random = np.random.default_rng(seed)
    chance = np.tile(np.array([0.3] + [0.03] * 5 + [0.2] + [0.55] * 17), days)
    return np.where(random.random((homes, 24 * days)) < chance, random.gamma(1.0, 18.0, (homes, 24 * days)), 0).round()


def watch(litres: np.ndarray, seconds: int = HOUR, leak: Leak | None = None, start: int = START) -> list[Verdicts]:
    """Verdicts on [homes, windows]."""
    homes, count = litres.shape
    if leak is None:
        leak = Leak()
        leak.grow(homes)
    length = np.full(homes, float(seconds))
    return [leak.step(ALL, np.full(homes, start + (k + 1) * seconds), litres[:, k], length) for k in range(count)]


def alarms(verdicts: list[Verdicts]) -> np.ndarray:
    """[homes, windows]"""
    return np.array([each.alarm for each in verdicts]).T


def test_memory_of_a_home_is_within_a_kibibyte() -> None:
    kinds = (LeakMemory, CellMemory, RegisterMemory)
    assert sum(kind.bytes_per_series() for kind in kinds) <= 1024


@pytest.mark.parametrize(("leak", "median"), [(1, 48), (5, 24), (25, 12), (100, 8)])
def test_a_leak_is_told_once_and_soon_and_is_over_when_it_is_repaired(leak: int, median: int) -> None:
    litres = use(48, 50)
    begin = 40 * 24 + np.arange(48) % 24
    hour = np.arange(litres.shape[1])
    litres += np.where((hour >= begin[:, None]) & (hour < 47 * 24), leak, 0)
    verdicts = watch(litres)
    told = alarms(verdicts)
    after = told[:, 40 * 24 : 47 * 24]
    assert after.any(axis=1).mean() >= 0.95
    delay = told[:, 40 * 24 :].argmax(axis=1) + 40 * 24 - begin + 1
    assert np.median(delay) <= median
    assert after.sum() <= 1.1 * len(begin)  # once, but for those whose first guess was a fourth of it
    assert not np.array([each.lasts for each in verdicts[-24:]])[-1].any()
    over = np.array([each.over for each in verdicts]).T
    assert over[:, 47 * 24 :].sum() >= 0.95 * len(begin)
    home = int(np.argmax(after.any(axis=1)))
    at = 40 * 24 + int(after[home].argmax())
    assert verdicts[at].level[home] == pytest.approx(leak, rel=0.5)
    assert verdicts[at].score[home] >= 0.5
    assert verdicts[at].nats[home] >= verdicts[at].need[home]


def test_homes_without_a_leak_are_left_alone() -> None:
    told = alarms(watch(use(100, 90, seed=3)))
    assert told.sum() / (100 * 90 / 30.4) <= 0.05


def test_irrigation_is_learnt_as_a_habit() -> None:
    litres = use(20, 120, seed=1)
    for hour in range(5):  # from one to six in the night, every second day
        litres[:, 1 + hour :: 48] += 300
    told = alarms(watch(litres))
    assert told[:, 30 * 24 :].sum() <= 1
    leaking = litres.copy()
    leaking[:, 100 * 24 :] += 25
    assert alarms(watch(leaking))[:, 100 * 24 : 103 * 24].any(axis=1).all()


def test_a_leak_from_the_first_day_is_told_and_nothing_is_learnt_from_it() -> None:
    litres = use(10, 30) + 3
    leak = Leak()
    leak.grow(10)
    told = alarms(watch(litres, leak=leak))
    assert told[:, :48].any(axis=1).all()
    assert told.sum() == 10
    counts = leak.memory.cells.astype(float).sum(axis=1)
    assert counts == pytest.approx(told.argmax(axis=1), rel=0.02)  # hours before the one that told it, decayed


def test_flow_without_a_pause_is_told_after_a_week_whatever_the_past() -> None:
    leak = Leak()
    leak.grow(1)
    leak.memory.most[:] = MOST
    leak.memory.longest[:] = 30 * DAY
    leak.memory.after[:] = leak.memory.kept[:] = leak.memory.single[:] = 200  # a home that always lets so much through
    leak.memory.cells[:] = 200
    told = alarms(watch(np.ones((1, 200)), leak=leak))
    assert told.sum() == 1
    assert told.argmax() + 1 == WEEK / HOUR


@pytest.mark.parametrize("seconds", [60, 300, 900])
def test_finer_windows_give_what_their_hours_give(seconds: int) -> None:
    parts = HOUR // seconds
    litres = use(8, 12)
    litres[:, 9 * 24 :] += 12
    fine = np.repeat(litres / parts, parts, axis=1)
    hourly, finely = watch(litres), watch(fine, seconds)
    assert alarms(hourly).any()
    ends = alarms(finely)[:, parts - 1 :: parts]
    assert (ends == alarms(hourly)).all()
    assert alarms(finely).sum() == ends.sum()
    np.testing.assert_allclose(finely[-1].score, hourly[-1].score, rtol=1e-4)


def test_days_of_litres_tell_a_great_leak() -> None:
    litres = use(20, 200).reshape(20, 200, 24).sum(axis=2)
    assert alarms(watch(litres, DAY)).sum() <= 2
    litres[:, 150:] += 100 * 24
    assert alarms(watch(litres, DAY))[:, 150:170].any(axis=1).mean() >= 0.9


def test_litres_of_unknown_windows_are_no_pause_but_an_unknown_day_is() -> None:
    litres = use(1, 40)
    litres[:, 30 * 24 :] += 1
    some, day = litres.copy(), litres.copy()
    some[:, 30 * 24 + 3 :: 5] = np.nan
    day[:, 30 * 24 + 8 : 30 * 24 + 33] = np.nan
    told = [alarms(watch(each))[0, 30 * 24 :].argmax() for each in (litres, some, day)]
    assert 8 < told[0] <= told[1] <= told[0] * 2
    assert told[2] >= told[0] + 25


def test_the_needed_evidence_is_more_for_small_leaks() -> None:
    assert (np.diff(NEED) < 0).all()
    assert NEED[0] < MOST
    assert len(NEED) == len(LEVELS)


def state(leak: Leak, rows: np.ndarray) -> dict[str, bytes]:
    return leak.memory.take(rows).save() | leak.cells.take(rows).save()


window = st.tuples(
    st.sampled_from([-HOUR, 0, 1, 60, 900, HOUR, HOUR, HOUR, 5 * HOUR, DAY, 400 * DAY]),
    st.one_of(st.sampled_from([0.0, 1.0, 5.0, np.nan, np.inf, -3.0, 1e9]), st.floats(0, 500)),
    st.sampled_from([0.0, 1.0, 60.0, 900.0, 3600.0, 3600.0, 86400.0, -1.0, np.nan]),
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.tuples(window, window, window), min_size=1, max_size=40), st.permutations([0, 1, 2]))
def test_a_home_is_judged_alone_whatever_comes(stream: list[tuple[tuple[float, ...], ...]], order: list[int]) -> None:
    together, apart = Leak(), Leak()
    together.grow(3)
    apart.grow(3)
    time = np.full(3, START)
    for windows in stream:
        step, litres, seconds = (np.array(column) for column in zip(*windows, strict=True))
        time = time + step.astype(np.int64)
        found = together.step(ALL, time, litres, seconds)
        for home in order:
            one = np.array([home])
            alone = apart.step(one, time[one], litres[one], seconds[one])
            for name in ("score", "alarm", "over", "lasts", "level", "hours", "expected", "nats", "need"):
                np.testing.assert_array_equal(getattr(alone, name), getattr(found, name)[one])
        assert ((found.score >= 0) & (found.score <= 1)).all()
    assert state(together, np.arange(3)) == state(apart, np.arange(3))
    again = Leak()
    again.load(together.save())
    assert state(again, np.arange(3)) == state(together, np.arange(3))


@pytest.mark.skipif(not leaks.METERS.exists(), reason="the real meters are not beside the repository")
def test_leaks_put_into_real_meters() -> None:
    whole = leaks.load(most=24)
    meters = leaks.Meters(whole.time[:, :READINGS], whole.register[:, :READINGS], np.minimum(whole.count, READINGS))
    found = leaks.measure(meters, each=4)
    assert len(found.alarms) / found.months <= 0.10
    for leak, median in {1: 48, 5: 24, 25: 12, 100: 8}.items():
        hours = found.hours[leak]
        assert (~np.isnan(hours)).mean() >= 0.95
        assert np.median(np.where(np.isnan(hours), np.inf, hours)) <= median
