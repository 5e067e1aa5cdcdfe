"""Air quality indices: every bound of every table, held against the tables typed in again and exact fractions."""

import math
import re
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.airquality.correction import correct, corrected, humid
from gateway.airquality.index import air_index
from gateway.airquality.nowcast import nowcast
from gateway.airquality.tables import CHINA_2012, CHINA_2026, EUROPE, TABLES, US_2024, AirError, table_for

TODAY = date(2026, 11, 29)
PAGE = Path(__file__).resolve().parents[2] / "docs/air.md"
QUICK = settings(max_examples=60, derandomize=True, deadline=None)

# What an upper bound gives, and what the next step above it gives (US: 50 and 51).
US = {
    ("pm2_5", "0.1"): ["9.0", "35.4", "55.4", "125.4", "225.4", "325.4"],
    ("pm10", "1"): ["54", "154", "254", "354", "424", "604"],
    ("o3_8h", ".001"): [".054", ".070", ".085", ".105", ".200"],
    ("o3_1h", ".001"): [None, None, ".164", ".204", ".404", ".604"],
    ("co", "0.1"): ["4.4", "9.4", "12.4", "15.4", "30.4", "50.4"],
    ("so2_1h", "1"): ["35", "75", "185", "304"],
    ("so2_24h", "1"): [None, None, None, None, "604", "1004"],
    ("no2", "1"): ["53", "100", "360", "649", "1249", "2049"],
}
US_LEVELS = [50, 100, 150, 200, 300, 500]
GASES = {
    "so2_24h": [50, 150, 475, 800, 1600, 2100, 2620],
    "no2_24h": [40, 80, 180, 280, 565, 750, 940],
    "no2_1h": [100, 200, 700, 1200, 2340, 3090, 3840],
    "co_24h": [2, 4, 14, 24, 36, 48, 60],
    "o3_8h": [100, 160, 215, 265, 800],
    "o3_1h": [160, 200, 300, 400, 800, 1000, 1200],
}
CHINA = {
    date(2026, 3, 1): GASES | {"pm2_5": [35, 60, 115, 150, 250, 350, 500], "pm10": [50, 120, 250, 350, 420, 500, 600]},
    date(2026, 2, 28): GASES | {"pm2_5": [35, 75, 115, 150, 250, 350, 500], "pm10": [50, 150, 250, 350, 420, 500, 600]},
}
CHINA_LEVELS = [50, 100, 150, 200, 300, 400, 500]
EUROPE_BOUNDS = {
    "pm2_5": [5, 15, 50, 90, 140],
    "pm10": [15, 45, 120, 195, 270],
    "no2": [10, 25, 60, 100, 150],
    "o3": [60, 100, 120, 160, 180],
    "so2": [20, 40, 125, 190, 275],
}


def one(region: str, name: str, value: float, day: date = TODAY) -> int | None:
    return air_index(region, day, {name: value}).index  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "step"), US, ids=str)
def test_every_bound_of_the_us(name: str, step: str) -> None:
    """A bound gives its level, so does what is cut to it; a step more gives the next class's first index."""
    for level, bound in zip(US_LEVELS, US[name, step], strict=False):
        if bound is None:
            continue
        one_more = Decimal(bound) + Decimal(step)
        almost = one_more - Decimal(step) / 1000
        assert one("us", name, float(Decimal(bound))) == level
        assert one("us", name, float(almost)) == level
        last = bound == US[name, step][-1]
        if not last:
            assert one("us", name, float(one_more)) == level + 1
        elif level < 500:
            assert one("us", name, float(one_more)) == level


@pytest.mark.parametrize(
    ("name", "value", "index"),
    [
        ("pm2_5", 35.9, 102),
        ("o3", 0.078, 126),  # 125.5 exactly: half goes up
        ("o3_1h", 0.125, 101),
        ("o3_1h", 0.1249, None),
        ("so2_24h", 305, 201),
        ("so2_24h", 304.9, None),
        ("so2_1h", 5000, 200),
        ("o3_8h", 0.3, 300),
        ("pm2_5", 0, 0),
        ("pm2_5", 9.05, 50),
        ("pm2_5", 425.4, 699),  # 301 + 199 / 99.9 * 199.9 = 699.2
    ],
)
def test_the_us_by_hand(name: str, value: float, index: int | None) -> None:
    assert one("us", name, value) == index


def test_above_the_table_of_the_us_is_told() -> None:
    assert air_index("us", TODAY, {"pm2_5": 325.4}).above is False
    found = air_index("us", TODAY, {"pm2_5": 325.5})
    assert (found.index, found.category, found.above) == (500, "Hazardous", True)  # 500.2


@given(st.integers(0, 6000), st.sampled_from(["pm2_5", "co"]))
@QUICK
def test_the_us_against_fractions(tenths: int, name: str) -> None:
    """Interpolated exactly, half up, in every tenth, however a float writes it."""
    bounds = [Fraction(bound) for bound in US[name, "0.1"] if bound]
    value = Fraction(tenths, 10)
    at = next((i for i, bound in enumerate(bounds) if value <= bound), len(bounds) - 1)
    low, low_index = (bounds[at - 1] + Fraction(1, 10), US_LEVELS[at - 1] + 1) if at else (Fraction(0), 0)
    exact = low_index + (US_LEVELS[at] - low_index) * (value - low) / (bounds[at] - low)
    wanted = math.floor(exact + Fraction(1, 2))
    for written in (tenths / 10, tenths * 0.1, sum([0.1] * (tenths % 10), float(tenths // 10))):
        assert one("us", name, written) == wanted


@given(st.decimals(0, 700, places=4), st.sampled_from([each[0] for each in US]))
@QUICK
def test_the_us_is_of_the_concentration_cut(value: Decimal, name: str) -> None:
    """Not rounded."""
    step = dict(US.keys())[name]
    value = value / 1000 if step == ".001" else value
    cut = (value / Decimal(step)).to_integral_value(ROUND_FLOOR) * Decimal(step)
    assert one("us", name, float(value)) == one("us", name, float(cut))


@pytest.mark.parametrize("day", CHINA, ids=str)
def test_every_bound_of_china(day: date) -> None:
    """It gives its level; anything more, the next; beyond the last it stays, and that is told."""
    for name, bounds in CHINA[day].items():
        for level, bound in zip(CHINA_LEVELS, bounds, strict=False):
            assert one("china", name, bound, day) == level, name
            more = air_index("china", day, {name: bound + 0.001})
            last = bound == bounds[-1]
            assert (more.index, more.above) == ((level, True) if last else (level + 1, False)), name


@given(st.integers(0, 700_000), st.sampled_from(list(CHINA)), st.sampled_from(["pm2_5", "pm10", "no2_24h", "so2_24h"]))
@QUICK
def test_china_against_fractions(thousandths: int, day: date, name: str) -> None:
    """Rounded up, and only for what is there: a float's noise lifts nothing."""
    value = min(Fraction(thousandths, 1000), Fraction(CHINA[day][name][-1]))
    bounds = [Fraction(0), *map(Fraction, CHINA[day][name])]
    levels = [0, *CHINA_LEVELS]
    at = next(i for i in range(1, len(bounds)) if value <= bounds[i])
    share = (value - bounds[at - 1]) / (bounds[at] - bounds[at - 1])
    wanted = math.ceil(levels[at - 1] + (levels[at] - levels[at - 1]) * share)
    assert one("china", name, float(value), day) == wanted
    assert one("china", name, float(value) * (1 + 1e-15), day) == wanted


def test_china_by_its_dates() -> None:
    """75 was the end of "good" until February 2026."""
    old, new = (air_index("china", date(2026, *day), {"pm2_5": 75}) for day in ((2, 28), (3, 1)))
    assert (old.standard, old.index, old.category) == ("HJ 633-2012", 100, "Good")
    assert (new.standard, new.index, new.category) == ("HJ 633-2026", 114, "Lightly Polluted")  # 100 + 50*15/55
    assert table_for("china", date(2013, 3, 1)) is CHINA_2012
    assert table_for("china", TODAY) is CHINA_2026


def test_china_names_no_primary_pollutant_up_to_50() -> None:
    assert air_index("china", TODAY, {"pm2_5": 35, "pm10": 10}).responsible == ()
    assert air_index("china", TODAY, {"pm2_5": 35.1, "pm10": 10}).responsible == ("pm2_5",)


def test_every_bound_of_europe() -> None:
    for name, bounds in EUROPE_BOUNDS.items():
        for band, bound in enumerate(bounds, 1):
            assert one("europe", name, bound) == band, name
            assert one("europe", name, bound + 0.01) == band + 1, name
        assert one("europe", name, 0) == 1
        assert one("europe", name, 1e6) == 6
    names = [air_index("europe", TODAY, {"o3": value}).category for value in (1, 61, 101, 121, 161, 181)]
    assert names == ["Good", "Fair", "Moderate", "Poor", "Very poor", "Extremely poor"]


def test_the_worst_pollutant_counts() -> None:
    found = air_index("europe", TODAY, {"pm2_5": 4, "no2": 30, "so2": 125, "o3": 10})
    assert (found.index, found.category, found.responsible) == (3, "Moderate", ("no2", "so2"))
    found = air_index("us", TODAY, {"pm2_5": 35.9, "o3_1h": 0.1, "o3_8h": 0.078})
    assert (found.index, found.responsible) == (126, ("o3",))
    assert [part.index for part in found.parts] == [102, None, 126]
    assert air_index("us", TODAY, {"o3_1h": 0.1}).index is None


@pytest.mark.parametrize(
    ("index", "category"),
    [
        (9.0, "Good"),
        (35.4, "Moderate"),
        (55.4, "Unhealthy for Sensitive Groups"),
        (125.4, "Unhealthy"),
        (225.4, "Very Unhealthy"),
        (325.4, "Hazardous"),
    ],
)
def test_classes_of_the_us(index: float, category: str) -> None:
    assert air_index("us", TODAY, {"pm2_5": index}).category == category


@pytest.mark.parametrize(
    ("region", "given_", "words"),
    [
        ("us", {"pm25": 1}, "pm25 is no pollutant of US EPA AQI 2024; the nearest is pm2_5"),
        ("europe", {"co": 1}, "co is no pollutant of European Air Quality Index; the nearest is "),
        ("us", {"no2_8h": 1}, "nearest is no2_1h"),
        ("us", {"pm2_5": -0.1}, "pm2_5 is -0.1: it must be a number from 0"),
        ("us", {"pm2_5": math.nan}, "must be a number"),
        ("us", {"pm2_5": math.inf}, "must be a number"),
        ("us", {"o3": 0.1, "o3_8h": 0.1}, "o3_8h is given twice: o3 stands for o3_8h"),
        ("us", {}, "needs one pollutant"),
    ],
)
def test_what_has_no_index(region: str, given_: dict[str, float], words: str) -> None:
    with pytest.raises(AirError, match=words):
        air_index(region, TODAY, given_)  # type: ignore[arg-type]


def test_the_us_before_its_table() -> None:
    assert table_for("us", date(2024, 5, 6)) is US_2024
    with pytest.raises(AirError, match="2024-05-05: the oldest table of us is US EPA AQI 2024, of 2024-05-06"):
        table_for("us", date(2024, 5, 5))
    assert table_for("europe", date(2015, 1, 1)) is EUROPE


def test_the_page_has_every_row() -> None:
    """In its own chapter, with a dash where a row has no bound."""
    parts = re.split(r"^## (?:United States|China|Europe|In the gateway)$", PAGE.read_text(), flags=re.MULTILINE)
    chapters = dict(zip(("us", "china", "europe"), parts[1:4], strict=True))
    for table in TABLES:
        levels = sorted({level for row in table.rows for level in row.levels})
        for row in table.rows:
            at = dict(zip(row.levels, row.bounds, strict=True))
            cells = " | ".join(f"{at[level]:g}" if level in at else "–" for level in levels)
            assert f"| `{row.name}` | {row.unit} | {cells} |" in chapters[table.region]


@given(st.sampled_from(TABLES), st.data())
@QUICK
def test_more_is_never_better(table: object, data: st.DataObject) -> None:
    """Monotone; and whole numbers within the table's bounds, a step of 0.1 % of a class never more than one index."""
    assert table in TABLES
    row = data.draw(st.sampled_from(table.rows))  # type: ignore[attr-defined]
    low = data.draw(st.floats(row.floor[0], row.bounds[-1] * 1.2))
    high = data.draw(st.floats(low, row.bounds[-1] * 1.2))
    day = max(table.since, date(2013, 1, 1))  # type: ignore[attr-defined]
    first, second = (air_index(table.region, day, {row.name: value}).index for value in (low, high))  # type: ignore[attr-defined]
    assert first is not None
    assert second is not None
    assert 0 <= first <= second <= row.levels[-1] + (1 if row.levels[-1] == 5 else 250)
    if high <= row.bounds[-1]:
        assert second <= row.levels[-1]


# -- NowCast


def nowcast_by_hand(hours: list[float | None]) -> float | None:
    known = [value for value in hours[:12] if value is not None]
    if sum(value is not None for value in hours[:3]) < 2:
        return None
    weight = max(0.5, 1 - (max(known) - min(known)) / max(known)) if max(known) > 0 else 1
    pairs = [(weight**i, value) for i, value in enumerate(hours[:12]) if value is not None]
    return sum(w * value for w, value in pairs) / sum(w for w, _ in pairs)


def matrix(*hours: list[float | None]) -> np.ndarray:
    return np.array([[math.nan if value is None else value for value in each] for each in hours])


def test_nowcast_by_hand() -> None:
    """Weights 1, 1/2, 1/4 ... for air that halves; equal ones for air that stays."""
    falling = [10.0, *[20.0] * 11]
    weights = [0.5**i for i in range(12)]
    steady: list[float | None] = [7.0] * 12
    found = nowcast(matrix(falling, steady, [0.0] * 12))
    assert found == pytest.approx([(10 + 20 * sum(weights[1:])) / sum(weights), 7, 0])
    # w = 0.8: the least over the most
    assert nowcast(matrix([8.0, 10.0, 10.0]))[0] == pytest.approx((8 + 0.8 * 10 + 0.64 * 10) / (1 + 0.8 + 0.64))


def test_nowcast_needs_two_of_the_last_three_hours() -> None:
    rest: list[float | None] = [5.0] * 9
    two = [[None, 5.0, 5.0], [5.0, None, 5.0], [5.0, 5.0, None]]
    few: list[list[float | None]] = [[None, None, 5.0], [5.0, None, None], [None, None, None]]
    found = nowcast(matrix(*[each + rest for each in two + few], [None] * 12))
    assert found[:3] == pytest.approx([5, 5, 5])
    assert np.isnan(found[3:]).all()


@given(st.lists(st.lists(st.none() | st.floats(0, 900), min_size=24, max_size=24), min_size=1, max_size=5))
@QUICK
def test_nowcast_of_many_is_that_of_each(hours: list[list[float | None]]) -> None:
    found = nowcast(matrix(*hours))
    for each, value in zip(hours, found, strict=True):
        wanted = nowcast_by_hand(each)
        assert np.isnan(value) if wanted is None else value == pytest.approx(wanted)
        assert np.isnan(value) or value <= max(v for v in each[:12] if v is not None) * (1 + 1e-12)


# -- correction of low-cost sensors


@pytest.mark.parametrize(
    ("raw", "humidity", "wanted"),
    [
        (0, 0, 5.75),
        (20, 50, 0.524 * 20 - 0.0862 * 50 + 5.75),
        (40, 50, 0.655 * 40 - 0.0862 * 50 + 5.75),  # half of each
        (100, 60, 0.786 * 100 - 0.0862 * 60 + 5.75),
        (235, 40, ((0.786 * 235 - 0.0862 * 40 + 5.75) + (2.966 + 0.69 * 235 + 8.84e-4 * 235**2)) / 2),
        (300, 40, 2.966 + 0.69 * 300 + 8.84e-4 * 300**2),
        (0, 100, 0),
    ],
)
def test_correction_by_hand(raw: float, humidity: float, wanted: float) -> None:
    assert correct(raw, humidity).pm2_5 == pytest.approx(wanted)


@given(st.sampled_from([30.0, 50.0, 210.0, 260.0]), st.floats(0, 100))
@QUICK
def test_correction_has_no_steps(at: float, humidity: float) -> None:
    around = np.array([at - 1e-9, at, at + 1e-9])
    found = corrected(around, np.full(3, humidity))
    assert np.ptp(found) < 1e-7


@given(st.floats(0, 1000), st.floats(0, 100), st.floats(0, 100))
@QUICK
def test_correction_grows_with_particles_and_falls_with_humidity(raw: float, more: float, humidity: float) -> None:
    first, second = corrected(np.array([raw, raw + more]), np.full(2, humidity))
    assert 0 <= first <= second + 1e-9
    assert corrected(np.array([raw]), np.array([100.0]))[0] <= first


def test_correction_of_humid_or_unknown_air() -> None:
    assert correct(10, 75).humidity_bias is False
    assert correct(10, 75.1).humidity_bias is True
    assert humid(np.array([75.0, 76.0, math.nan])).tolist() == [False, True, False]
    assert np.isnan(corrected(np.array([math.nan, 10, 300]), np.array([50, math.nan, math.nan]))).all()
    for raw, humidity in ((-1, 50), (math.nan, 50), (10, 101), (10, -1), (10, math.nan)):
        with pytest.raises(AirError, match="must be"):
            correct(raw, humidity)


def test_a_sensors_particles_are_corrected_before_they_are_indexed() -> None:
    """What the page says: 60.1 raw at 80 % is 46.1 and not 60.1, which changes the class."""
    value = correct(60.1, 80).pm2_5
    assert one("us", "pm2_5", value) == 127
    assert one("us", "pm2_5", 60.1) == 154
