"""A station that its neighbours do not confirm: `gateway.detect.air.fault`."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect.air.fault import HOUR, Fault
from gateway.detect.air.station import Kind, StationMemory

pytestmark = pytest.mark.soak

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "air" / "beijing_PM25_2013-2015.csv.gz"
SO2 = REAL.with_name("beijing_SO2_2013-2015.csv.gz")
LEARNT = 40 * 24
"""Hours before a fault is put in."""


def city(hours: int, stations: int = 6, seed: int = 1) -> np.ndarray:
    """Readings (hours, stations): weather that goes up and down by the day, and each station's own share and noise."""
    rng = np.random.default_rng(seed)

    def wander(columns: int, spread: float, persistence: float) -> np.ndarray:
        steps = rng.normal(0, spread * np.sqrt(1 - persistence**2), (hours, columns))
        for i in range(1, hours):
            steps[i] += persistence * steps[i - 1]
        return steps

    share = rng.normal(0, 0.2, stations)
    return 50 * np.exp(wander(1, 0.8, 0.98) + share + wander(stations, 0.15, 0.6))


def watch(values: np.ndarray, rule: Fault | None = None, start: int = 0) -> list[tuple[int, int, Kind]]:
    """(hour, station, kind) of all alarms."""
    rule = rule or Fault(values.shape[1])
    alarms = []
    for hour, frame in enumerate(values, start):
        verdict = rule.step(hour * HOUR, frame)
        alarms += [(hour, int(each), Kind(int(verdict.kind[each]))) for each in np.flatnonzero(verdict.alarm)]
    return alarms


FAULTS = {
    "offset": (lambda x, k: x + 40, {Kind.OFFSET, Kind.GAIN}, 48),
    "gain": (lambda x, k: x * 2, {Kind.GAIN, Kind.OFFSET}, 60),
    "zero": (lambda x, k: x * 0, {Kind.ZERO}, 14),
    "stuck": (lambda x, k: x * 0 + x[0], {Kind.STUCK, Kind.GAIN, Kind.OFFSET}, 72),
    "drift": (lambda x, k: x * (1 + k / 720), {Kind.DRIFT, Kind.GAIN, Kind.OFFSET}, 25 * 24),
    "noisy": (lambda x, k: x * np.where(k % 2, 4.0, 0.25), {Kind.NOISY}, 48),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_once_in_its_station_alone(name: str) -> None:
    change, kinds, within = FAULTS[name]
    values = city(LEARNT + within)
    values[LEARNT:, 2] = change(values[LEARNT:, 2], np.arange(within))
    alarms = watch(values)
    assert [station for _, station, _ in alarms] == [2]
    assert alarms[0][0] > LEARNT
    assert alarms[0][2] in kinds


def test_it_says_what_it_saw_and_expected_and_since_when_and_that_it_is_over() -> None:
    values = city(LEARNT + 240)
    true = values[:, 2].copy()
    values[LEARNT : LEARNT + 72, 2] *= 2.5
    rule, told, ended = Fault(6), None, []
    for hour, frame in enumerate(values):
        verdict = rule.step(hour * HOUR, frame)
        if verdict.alarm[2]:
            told = (hour, verdict)
        ended += [hour] * int(verdict.over[2])
    assert told is not None
    hour, verdict = told
    assert verdict.score[2] == 1
    assert verdict.seen[2] == values[hour - 1, 2]
    assert 0.5 < verdict.expected[2] / true[hour - 1] < 2
    assert LEARNT * HOUR <= verdict.since[2] < hour * HOUR
    assert len(ended) == 1
    assert ended[0] > LEARNT + 72 + 24


def test_smoke_over_the_city_and_a_fire_in_one_district_for_two_hours_are_no_faults() -> None:
    values = city(LEARNT + 240)
    values[LEARNT : LEARNT + 100] *= 6
    values[LEARNT + 110 : LEARNT + 122] += 300
    values[LEARNT + 150 : LEARNT + 152, 2] += 800
    assert watch(values) == []


@pytest.mark.parametrize("change", [lambda x: x * 0, lambda x: x * 2, lambda x: x + 40])
def test_two_of_three_that_fail_alike_do_not_blame_the_third(change) -> None:
    values = city(LEARNT + 200, stations=3)
    values[LEARNT:, :2] = change(values[LEARNT:, :2])
    assert 2 not in {station for _, station, _ in watch(values)}


def test_one_dead_of_three_is_found() -> None:
    values = city(LEARNT + 100, stations=3)
    values[LEARNT:, 1] = 0
    assert [(station, kind) for _, station, kind in watch(values)] == [(1, Kind.ZERO)]


@pytest.mark.parametrize("stations", [1, 2])
def test_without_neighbours_only_a_long_stuck_station_is_a_fault(stations: int) -> None:
    values = city(LEARNT + 200, stations=stations)
    values[LEARNT : LEARNT + 60, 0] *= 5
    values[LEARNT + 120 :, 0] = 0
    alarms = watch(values)
    assert [(station, kind) for _, station, kind in alarms] == [(0, Kind.ZERO)]
    assert alarms[0][0] >= LEARNT + 120 + 48


def test_all_stations_dead_are_found_each_by_itself() -> None:
    values = city(LEARNT + 80)
    values[LEARNT:] = 0
    assert sorted(station for _, station, _ in watch(values)) == [0, 1, 2, 3, 4, 5]


def test_what_nobody_mends_for_a_month_is_the_places_own() -> None:
    values = city(LEARNT + 60 * 24)
    values[LEARNT:, 2] *= 3
    rule = Fault(6)
    assert [station for _, station, _ in watch(values, rule)] == [2]
    assert not rule.memory.kind.any()


def test_finer_readings_are_averaged_and_late_ones_left_out() -> None:
    hourly, finer = Fault(3), Fault(3)
    for hour, frame in enumerate(city(100, stations=3)):
        a = hourly.step(hour * HOUR, frame)
        finer.step(hour * HOUR, frame - 2)
        b = finer.step(hour * HOUR + 1800, frame + 2)
        finer.step(hour * HOUR - 7200, frame * 9)
        np.testing.assert_allclose(a.seen, b.seen, rtol=1e-12)
    np.testing.assert_allclose(hourly.memory.mean, finer.memory.mean)


def test_layers_do_not_touch_one_another() -> None:
    a, b = city(500, seed=2), city(500, seed=3)
    both, alone = Fault(6, layers=2), Fault(6)
    for hour in range(500):
        together = both.step(hour * HOUR, np.stack([a[hour], b[hour]]))
        single = alone.step(hour * HOUR, b[hour])
        np.testing.assert_allclose(together.score[1], single.score, rtol=1e-9, atol=1e-12)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.integers(-3, 9000),
            st.lists(
                st.one_of(st.just(float("nan")), st.just(0.0), st.floats(-10, 1e6), st.just(float("inf"))),
                min_size=4,
                max_size=4,
            ),
        ),
        max_size=60,
    ),
    st.integers(0, 60),
)
def test_any_stream_gives_sound_verdicts_and_a_saved_rule_goes_on_alike(stream, cut) -> None:
    """Gaps, repeats, time going back, missing and wild values; saving between any two frames changes nothing."""
    whole, parts = Fault(4), Fault(4)
    for at, (time, frame) in enumerate(stream):
        if at == cut:
            saved = parts.memory.save()
            parts = Fault(4)
            parts.memory = StationMemory.load(saved)
        a, b = (each.step(time * 600, np.array(frame)) for each in (whole, parts))
        assert ((a.score >= 0) & (a.score <= 1)).all()
        for name in ("score", "alarm", "over", "kind", "seen", "expected", "since"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_missing_stations_and_a_years_gap() -> None:
    values = city(LEARNT + 400)
    values[np.random.default_rng(5).random(values.shape) < 0.3] = np.nan
    rule = Fault(6)
    assert watch(values[:LEARNT], rule) == []
    values[LEARNT:, 4] = np.nan
    assert watch(values[LEARNT:], rule, start=LEARNT + 365 * 24) == []


def test_more_stations_than_are_compared_and_frames_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="33 stations"):
        Fault(33)
    with pytest.raises(ValueError, match="shape"):
        Fault(3).step(0, np.zeros(4))


def test_a_series_takes_a_kilobyte_at_most() -> None:
    assert StationMemory.bytes_per_series() <= 1024


def measured(path: Path, hours: int) -> np.ndarray:
    """The first of a real city: [hours - 1, stations], NaN where there is none."""
    with gzip.open(path, "rt") as lines:
        rows = list(csv.reader(lines))[1:hours]
    return np.array([[float(each) if each else np.nan for each in row[1:]] for row in rows])


@pytest.mark.soak
@pytest.mark.skipif(not REAL.exists(), reason=f"no data at {REAL}")
def test_a_dead_station_of_a_real_city_is_found_in_a_day() -> None:
    values = measured(REAL, 121 * 24)
    begin = 119 * 24
    values[begin:, 4] *= 0
    alarms = watch(values)
    assert any(begin < hour and station == 4 and kind == Kind.ZERO for hour, station, kind in alarms)
    assert len([hour for hour, _, _ in alarms if hour < begin]) <= 12 * 4 * 0.3


def test_a_station_that_is_off_by_a_factor_and_then_dies_is_told_again() -> None:
    values = city(LEARNT + 120)
    values[LEARNT : LEARNT + 60, 2] *= 3
    values[LEARNT + 60 :, 2] = 0
    alarms = watch(values)
    assert alarms[0][1:] in ((2, Kind.GAIN), (2, Kind.OFFSET))
    assert [(station, kind) for _, station, kind in alarms][1:] == [(2, Kind.ZERO)]
    assert LEARNT + 60 < alarms[1][0] <= LEARNT + 60 + 14


def test_what_all_stations_share_blames_none() -> None:
    for seed in (2, 3):
        values = city(LEARNT + 130, seed=seed)
        values[LEARNT : LEARNT + 100] += 1000
        assert [alarm for alarm in watch(values) if alarm[0] >= LEARNT] == []


@pytest.mark.soak
@pytest.mark.skipif(not SO2.exists(), reason=f"no data at {SO2}")
def test_coarse_readings_of_clean_air_are_not_stuck() -> None:
    """The second summer of a gas that rests at 2 µg/m³ for days."""
    values = measured(SO2, 560 * 24)
    stuck = [hour for hour, _, kind in watch(values) if kind == Kind.STUCK]
    assert len(stuck) <= values.size / 730.5 * 0.1
