"""Hourly means of many stations from windows of any length, and the index as of now."""

import csv
import gzip
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.airquality.hours import HOUR, KEPT, Hours
from gateway.airquality.series import Hour, hourly_indices
from gateway.airquality.standing import standing
from gateway.airquality.tables import CHINA_2012, EUROPE, US_2024

START = 1_795_000_000 // HOUR * HOUR
DATA = Path(__file__).parents[2].parent / "shared" / "data" / "air"
QUICK = settings(max_examples=40, derandomize=True, deadline=None)


def feed(ring: Hours, times: list[int], values: list[float], seconds: int | None = None) -> None:
    for time, value in zip(times, values, strict=True):
        lasts = None if seconds is None else np.array([seconds])
        ring.feed(np.array([0]), np.array([time]), np.array([value]), lasts)


def last(ring: Hours, now: int) -> list[float | None]:
    return [None if np.isnan(each) else float(each) for each in ring.last(now)[0]]


def test_minutes_make_hours() -> None:
    ring = Hours.blank(1)
    times = [START + 60 * (i + 1) for i in range(180)]
    feed(ring, times, [float(i // 60) for i in range(180)])
    assert last(ring, START + 3 * HOUR)[:4] == [2, 1, 0, None]
    assert last(ring, START + 3 * HOUR - 1)[:3] == [1, 0, None], "an hour counts when it is over"
    assert last(ring, START + 5 * HOUR)[:5] == [None, None, 2, 1, 0]
    assert Hours.bytes_per_series() == 232


def test_a_window_is_shared_by_the_hours_that_it_covers() -> None:
    """Two hours from half past to half past: a half, a whole and a half, of which two halves are not enough."""
    ring = Hours.blank(1)
    feed(ring, [START + 9000], [10.0], 7200)
    assert last(ring, START + 3 * HOUR)[:3] == [None, 10, None]
    feed(ring, [START + 10_800], [40.0], 1800)
    assert last(ring, START + 3 * HOUR)[:3] == [25, 10, None]
    feed(ring, [START + 30 * HOUR], [7.0], 30 * HOUR)
    assert last(ring, START + 30 * HOUR) == [7] * 24


def test_three_quarters_of_an_hour_are_enough() -> None:
    for minutes, wanted in ((45, 5.0), (44, None)):
        ring = Hours.blank(1)
        feed(ring, [START + 60 * (i + 1) for i in range(minutes)], [5.0] * minutes, 60)
        assert last(ring, START + HOUR)[0] == wanted


def test_lost_windows_are_not_filled_by_their_neighbours() -> None:
    """Without lengths: thirty of sixty minutes, every one of the first half hour."""
    ring = Hours.blank(1)
    minutes = [*range(-2, 31), *range(61, 122)]
    feed(ring, [START + 60 * i for i in minutes], [1.0] * len(minutes))
    assert last(ring, START + 2 * HOUR)[:2] == [1, None]


def test_a_node_that_changes_its_interval_is_followed() -> None:
    ring = Hours.blank(1)
    times = [START + 60 * i for i in range(61)] + [START + HOUR + 600 * i for i in range(1, 13)]
    feed(ring, times, [3.0] * len(times))
    assert last(ring, START + 3 * HOUR)[:3] == [3, 3, 3]


@pytest.mark.parametrize("gap", [1, 23, 24, 25, 26, 47, 48, 49, 24 * 365])
def test_after_silence_nothing_old_is_left(gap: int) -> None:
    ring = Hours.blank(1)
    times = [START + HOUR * (i + 1) for i in range(30)]
    feed(ring, times, [float(i) for i in range(30)], HOUR)
    later = times[-1] + gap * HOUR
    feed(ring, [later], [100.0], HOUR)
    wanted: list[float | None] = [100, *[None] * (gap - 1), *[float(i) for i in range(29, -1, -1)], *[None] * 24]
    assert last(ring, later) == wanted[:KEPT]
    assert last(ring, later + 2 * HOUR) == [None, None, *wanted[: KEPT - 2]]


def test_what_is_late_again_or_no_number_is_passed_over() -> None:
    ring = Hours.blank(1)
    feed(ring, [START + HOUR], [5.0], HOUR)
    kept = {name: bytes(each) for name, each in ring.save().items()}
    feed(ring, [START + HOUR, START + 10, START + 2 * HOUR, START + 2 * HOUR], [9.0, 9.0, np.nan, np.inf], HOUR)
    assert ring.save() == kept
    loaded = Hours.load(ring.save())
    assert last(loaded, START + HOUR) == last(ring, START + HOUR)


def test_windows_that_overlap_count_once() -> None:
    ring = Hours.blank(1)
    feed(ring, [START + 1800, START + HOUR], [10.0, 20.0], HOUR)
    assert last(ring, START + HOUR)[0] == 15


@given(st.data())
@QUICK
def test_a_station_depends_on_no_other_and_on_no_cut(data: st.DataObject) -> None:
    """Three stations together, in any batches, are each as alone; every mean is within what was heard."""
    streams = [sorted(data.draw(st.lists(st.integers(1, 60 * HOUR), max_size=25, unique=True))) for _ in range(3)]
    values = [data.draw(st.lists(st.floats(0, 500), min_size=len(s), max_size=len(s))) for s in streams]
    together = Hours.blank(3)
    for turn in range(25):
        rows = np.array([i for i in range(3) if turn < len(streams[i])], np.intp)
        if len(rows):
            times = np.array([START + streams[i][turn] for i in rows])
            together.feed(rows, times, np.array([values[i][turn] for i in rows]))
    now = START + 61 * HOUR
    for i in range(3):
        alone = Hours.blank(1)
        feed(alone, [START + t for t in streams[i]], values[i])
        found = alone.last(now)[0]
        np.testing.assert_array_equal(together.last(now)[i], found)
        if np.isfinite(found).any():
            assert min(values[i]) - 1e-6 <= np.nanmin(found) <= np.nanmax(found) <= max(values[i]) + 1e-6


# -- the index as of now


def rings(stations: int, **hours: list[list[float]]) -> dict[str, Hours]:
    """The means of each station, the oldest hour first, ending at START."""
    found = {}
    for name, each in hours.items():
        ring = found[name] = Hours.blank(stations)
        table = np.array(each, float)
        for at in range(table.shape[1]):
            end = np.full(stations, START - HOUR * (table.shape[1] - 1 - at))
            ring.feed(slice(None), end, table[:, at], np.full(stations, HOUR))
    return found


def test_the_index_of_several_stations() -> None:
    measured = rings(3, pm2_5=[[35.9] * 12, [5.0] * 12, [np.nan] * 12], pm10=[[10.0] * 12, [60.0] * 12, [np.nan] * 12])
    found = standing(US_2024, measured, START)
    assert [row.pollutant for row in found.rows] == ["pm2_5", "pm10"]
    assert found.index[:2].tolist() == [102, 53]
    assert np.isnan(found.index[2])
    assert found.responsible.tolist() == [[True, False], [False, True], [False, False]]
    assert not found.above.any()


def test_each_region_has_its_means() -> None:
    """Rising air: the NowCast, the mean of a day, and the newest hour."""
    rising = [float(i) for i in range(1, 25)]
    measured = rings(1, pm2_5=[rising], o3=[[100.0] * 24], co2=[rising])
    weights = (13 / 24) ** np.arange(12)
    assert standing(US_2024, {"pm2_5": measured["pm2_5"]}, START).concentrations[0, 0] == pytest.approx(
        (weights * np.arange(24, 12, -1)).sum() / weights.sum()
    )
    china = standing(CHINA_2012, measured, START)
    assert [row.name for row in china.rows] == ["pm2_5_24h", "o3_8h", "o3_1h"]
    assert china.concentrations[0].tolist() == [12.5, 100, 100]
    assert china.index.tolist() == [50]
    assert not china.responsible.any(), "in China nobody is responsible up to 50"
    assert standing(EUROPE, measured, START).concentrations[0].tolist() == [24, 100]
    assert standing(EUROPE, measured, START + HOUR).index.tolist() != [3], "the newest hour is not known any more"
    with pytest.raises(ValueError, match="has none of co2"):
        standing(EUROPE, {"co2": measured["co2"]}, START)


def test_a_mean_needs_its_hours() -> None:
    """China's day 20, eight hours 6."""
    for known, wanted in ((20, True), (19, False)):
        measured = rings(1, pm2_5=[[50.0] * known + [np.nan] * (24 - known)])
        assert np.isfinite(standing(CHINA_2012, measured, START).index[0]) == wanted
    for known, wanted in ((6, True), (5, False)):
        measured = rings(1, o3=[[0.06] * known])
        assert np.isfinite(standing(US_2024, measured, START).index[0]) == wanted


@given(st.lists(st.tuples(st.none() | st.floats(0, 800), st.none() | st.floats(0, 900)), min_size=1, max_size=40))
@QUICK
def test_one_station_in_a_file_is_as_among_many(hours: list[tuple[float | None, float | None]]) -> None:
    lines = [
        Hour(START + HOUR * i, {n: v for n, v in (("pm2_5", fine), ("pm10", coarse)) if v is not None}, False)
        for i, (fine, coarse) in enumerate(hours)
    ]
    for table in (US_2024, CHINA_2012, EUROPE):
        told = list(hourly_indices(lines, table.region, date(2025, 1, 1)))
        measured = {name: Hours.blank(2) for name in ("pm2_5", "pm10")}
        for line, each in zip(lines, told, strict=True):
            for name, value in line.means.items():
                at = np.array([1])
                measured[name].feed(at, np.array([line.time]), np.array([value]), np.array([HOUR]))
            found = standing(table, measured, line.time)
            assert np.isnan(found.index[0])
            assert each.index.index == (None if np.isnan(found.index[1]) else found.index[1])
            named = {row.pollutant for row, yes in zip(found.rows, found.responsible[1], strict=True) if yes}
            assert set(each.index.responsible) == named
            assert each.index.above == found.above[1]


@pytest.mark.skipif(not DATA.exists(), reason="the data for development are not beside the project")
def test_real_stations_against_means_made_plainly() -> None:
    """Twelve real stations, two months: the day's mean by HJ 633-2012 at every hour is that of the file's cells."""
    with gzip.open(DATA / "beijing_PM25_2013-2015.csv.gz", "rt", newline="") as file:
        rows = [row for row, _ in zip(csv.reader(file), range(1441), strict=False)][1:]
    times = np.array([int(datetime.fromisoformat(f"{row[0]}+00:00").timestamp()) for row in rows])
    values = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])
    assert np.isnan(values).any(), "gaps are what this is about"
    ring = Hours.blank(values.shape[1])
    compared = 0
    for at, time in enumerate(times):
        ring.feed(slice(None), np.full(12, time), values[at], np.full(12, HOUR))
        if at < KEPT:
            continue
        found = standing(CHINA_2012, {"pm2_5": ring}, int(time))
        day = values[at - 23 : at + 1]
        known = np.isfinite(day).sum(axis=0) >= 20
        assert (np.isfinite(found.index) == known).all()
        np.testing.assert_allclose(found.concentrations[known, 0], np.nanmean(day[:, known], axis=0))
        compared += known.sum()
    assert compared > 10_000
