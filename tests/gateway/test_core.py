"""The generic detector: what must hold for any series, and what it must and must not find."""

import csv
import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.core import NONE, WHY, Core, Verdict

DATA = Path(__file__).parents[2].parent / "shared" / "data"
EVERY = slice(None)
START = 1_700_000_000
PATIENCE = 0.3 / 730.5
"""Alarms a reading that are borne: 0.3 a month, hourly."""
few = settings(max_examples=3, deadline=None, derandomize=True)
odd = st.one_of(
    st.floats(-50, 50),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e300, -1e308, 5e-324, 1e39]),
)
steps = st.sampled_from([0, -3600, 1, 60, 900, 3600, 86400, 370 * 86400])
streams = st.integers(0, 2**32 - 1)


def hours(count: int, every_s: int = 3600) -> np.ndarray:
    return START + every_s * np.arange(count)


def run(core: Core, time: np.ndarray, values: np.ndarray, rows=EVERY) -> Verdict:
    """values: [readings, series]; the fields are then of that shape, too."""
    found = [core.step(rows, np.broadcast_to(t, v.shape), v) for t, v in zip(time, values, strict=True)]
    return Verdict(*(np.array([getattr(each, f.name) for each in found]) for f in dataclasses.fields(Verdict)))


def noisy(seed: int, count: int = 300, series: int = 3) -> np.ndarray:
    """A day's swing, noise, and now and then something strange."""
    chance = np.random.default_rng(seed)
    day = 3 * np.sin(np.arange(count) / 24 * 2 * np.pi)[:, None]
    values = 20 + day + chance.normal(0, 1, (count, series)) * chance.uniform(0.1, 3, series)
    values[chance.random((count, series)) < 0.01] *= 5
    values[chance.random((count, series)) < 0.03] = np.nan
    return values


def same(one: Verdict, other: Verdict) -> None:
    for each in dataclasses.fields(Verdict):
        np.testing.assert_array_equal(getattr(one, each.name), getattr(other, each.name))


def test_is_under_a_kibibyte_a_series():
    assert Core.bytes_per_series() <= 1024


@few
@given(streams, st.integers(1, 299))
def test_a_prefix_gives_the_prefix(seed, cut):
    values = noisy(seed)
    whole, part = run(Core(3), hours(300), values), run(Core(3), hours(cut), values[:cut])
    same(Verdict(*(getattr(whole, f.name)[:cut] for f in dataclasses.fields(Verdict))), part)


@few
@given(streams)
def test_each_series_is_judged_by_itself(seed):
    values, time = noisy(seed), hours(300)
    together = run(Core(3), time, values)
    core = Core(5)
    for number in (2, 0, 1):  # one after the other, at other places, by index and not by slice
        alone = run(core, time, values[:, [number]], np.array([number + 2]))
        same(Verdict(*(getattr(together, f.name)[:, [number]] for f in dataclasses.fields(Verdict))), alone)


@few
@given(streams, st.integers(1, 299))
def test_goes_on_from_what_was_saved_and_grown(seed, cut):
    values, time = noisy(seed), hours(300)
    whole = run(Core(3), time, values)
    core = Core(3)
    run(core, time[:cut], values[:cut])
    core = Core.load(core.save())
    core.grow(40)
    assert len(core) >= 40
    rest = run(core, time[cut:], values[cut:], np.arange(3))
    same(Verdict(*(getattr(whole, f.name)[cut:] for f in dataclasses.fields(Verdict))), rest)


def test_no_reading_is_no_verdict():
    nothing = np.array([], np.int64)
    assert len(Core(3).step(nothing, nothing, nothing.astype(float)).score) == 0


def test_counts_are_halved_before_they_overflow():
    core = Core(2)
    run(core, hours(300), noisy(12, 300, 2))
    counts = core.tables.ranks.sum()
    core.state.seen[:] = 60_000  # what a minute's readings are after six weeks
    verdict = core.step(EVERY, core.state.newest + 3600, np.full(2, 20.0))
    assert (core.state.seen == 30_001).all()
    assert core.tables.ranks.sum() <= counts / 2 + 6
    assert not verdict.alarm.any()


def test_another_layout_is_not_loaded():
    saved = Core(3).save()
    with pytest.raises(ValueError, match="lengths"):
        Core.load(saved | {"level": saved["level"][:-4]})
    with pytest.raises(KeyError):
        Core.load({})


@few
@given(st.lists(st.tuples(steps, odd), min_size=1, max_size=400), streams)
def test_anything_may_come(readings, seed):
    core = Core(1)
    run(core, hours(200), noisy(seed, 200, 1))
    time = START + 200 * 3600
    for step, value in readings:
        time += step
        verdict = core.step(EVERY, np.array([time]), np.array([value]))
        assert 0 <= verdict.score[0] <= 1
        assert verdict.alarm[0] <= (verdict.score[0] > 0)
        assert (verdict.evidence[0] == NONE) == (verdict.score[0] == 0)
    state = core.state
    kept = [getattr(state, f.name) for f in dataclasses.fields(state) if f.name != "newest"]
    assert all(np.isfinite(each).all() for each in kept)


@few
@given(streams, st.sampled_from(["nan", "repeat", "back"]))
def test_what_says_nothing_changes_nothing(seed, kind):
    core = Core(2)
    run(core, hours(300), noisy(seed, 300, 2))
    before, newest = core.save(), core.state.newest.copy()
    shift = {"nan": 3600, "repeat": 0, "back": -7200}[kind]
    verdict = core.step(EVERY, newest + shift, np.full(2, np.nan if kind == "nan" else 1e6))
    assert not verdict.score.any()
    assert not verdict.alarm.any()
    assert core.save() == before


@pytest.mark.parametrize("every_s", [1, 900, 86400])
def test_a_constant_never_alarms(every_s):
    values = np.tile([0.0, -273.15, 1e-30, 1e30, 5e-324, -1e308], (1500, 1))
    verdict = run(Core(6), hours(1500, every_s), values)
    assert not verdict.alarm.any()


@pytest.mark.parametrize("every_s", [1, 3600, 86400])
def test_a_lasting_shift_is_one_alarm(every_s):
    values = np.random.default_rng(4).normal(20, 1, (1500, 24))
    values[1000:] += 15
    units = np.repeat([1e-12, 1.0, 1e12], 8)
    alarm = run(Core(24), hours(1500, every_s), values * units).alarm
    assert (alarm[1000:1012].sum(0) == 1).mean() > 0.9  # one or the other may have raised just before
    assert alarm[1012:].sum() <= 24 * 488 * PATIENCE
    assert alarm[:1000].sum() <= 24 * 1000 * PATIENCE


@pytest.mark.parametrize("glitch", [-9999.0, 1e30, -1e300])
def test_a_glitch_does_not_blind(glitch):
    values = np.random.default_rng(8).normal(20, 1, (1000, 12))
    for series, at in enumerate((0, 1, 2, 4, 7, 8, 9, 10, 20, 50, 150, 700)):
        values[at, series] = glitch
    values[800:803] += 12
    verdict = run(Core(12), hours(1000), values)
    assert verdict.alarm[800:803].any(0).mean() > 0.8
    expected = verdict.expected[790:800]
    assert (abs(expected - 20) < 2).all()
    assert (verdict.spread[790:800] < 2).all()


def test_a_series_that_stood_still_at_first_is_learnt():
    values = np.random.default_rng(9).normal(20, 1, (2000, 4))
    values[:40] = 20
    values[41] = 1e6
    values[1500:1503] += 12
    verdict = run(Core(4), hours(2000), values)
    assert (verdict.score[1500:1503].max(0) > 0.6).all()
    assert (abs(verdict.expected[1490:1500] - 20) < 2).all()
    assert (abs(verdict.spread[1490:1500] - 0.8) < 0.2).all()  # of a Gaussian: 0.8 standard deviations


def test_what_comes_again_and_again_is_told_less():
    values = np.random.default_rng(10).normal(0, 1, (3000, 4))
    values[400::200] += 30
    score = run(Core(4), hours(3000), values).score
    decades = score / (1 - score)
    assert (decades[400] > 3).all()
    assert (decades[2300:].max(0) < decades[400] * 0.6).all()


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_unit_does_not_matter(factor):
    values = noisy(11, 600)
    values[500] += 30
    one, other = run(Core(3), hours(600), values), run(Core(3), hours(600), values * factor)
    np.testing.assert_array_equal(one.alarm, other.alarm)
    np.testing.assert_allclose(one.score, other.score, atol=0.05)


def test_what_is_usual_at_noon_is_told_at_midnight():
    chance = np.random.default_rng(5)
    hour = np.arange(24 * 60) % 24
    values = (np.where((hour >= 8) & (hour < 20), 100.0, 10.0) + chance.normal(0, 1, len(hour)))[:, None]
    at = 24 * 50 + 2
    values[at] = 100
    verdict = run(Core(1), hours(len(values)) - START % 86400, values)
    assert verdict.alarm[at, 0]
    assert WHY[verdict.evidence[at, 0]] in ("season", "pattern")  # the value itself is a usual one
    assert abs(verdict.expected[at, 0] - 10) < 3


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_sensor_of_another_range_is_learnt_anew(factor):
    values = np.random.default_rng(6).normal(20, 1, (1500, 4))
    values[1000:] *= factor
    values[1400:1403] += 40 * factor
    alarm = run(Core(4), hours(1500), values).alarm
    assert alarm[1000:1012].any(0).all()
    assert alarm[1012:1400].sum() <= 4 * 388 * PATIENCE + 1
    assert alarm[1400:1403].any(0).all()


def test_a_gap_of_a_year_is_no_event():
    values = np.random.default_rng(7).normal(20, 1, (1500, 40))
    time = hours(1500)
    time[1000:] += 370 * 86400
    alarm = run(Core(40), time, values).alarm
    assert alarm[1000:1048].sum() == 0
    assert alarm[1000:].sum() <= 40 * 500 * PATIENCE


@pytest.mark.skipif(not DATA.exists(), reason="the real data are not beside the project")
def test_a_real_station_is_quiet_and_its_fault_found():
    with gzip.open(DATA / "air" / "beijing_PM25_2013-2015.csv.gz", "rt") as file:
        rows = list(csv.reader(file))[1:3000]
    values = np.array([[float(each or "nan") for each in row[1:]] for row in rows])
    time = hours(len(values))
    core = Core(12)
    before = run(core, time[:2500], values[:2500]).alarm.sum()
    twin = Core.load(core.save())
    assert before + run(core, time[2500:], values[2500:]).alarm.sum() <= 12 * len(values) * PATIENCE
    assert run(twin, time[2500:2512], values[2500:2512] + 2000).alarm.any(0).mean() > 0.8
