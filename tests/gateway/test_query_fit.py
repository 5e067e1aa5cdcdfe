"""Questions that fit, are compared, and get an expected band: without a database."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.quantities import QUANTITIES
from gateway.query.band import DAY, WEEK, Band, NoBand, band, band_statement
from gateway.query.compare import align, pair
from gateway.query.curves import Curve
from gateway.query.fit import (
    MOST_CHOSEN,
    MOST_POINTS,
    MOST_TOTAL,
    ROUND,
    Fitted,
    fit,
    round_length,
    span,
    spoken,
    suited,
)
from gateway.query.influxql import Aggregate, By, QueryError, Question, Rollup, seconds, statement
from gateway.query.names import edge_statements, missing, names_statement, nothing
from gateway.query.terminal import plot

NOW = 1_795_417_200.0
"""2026-11-23, a Monday, 07:00 UTC."""
YEAR = 365 * DAY


def fitted(quantity: str, last: str, **given: object) -> Fitted:
    asking = {name: value for name, value in given.items() if name in Question.__struct_fields__}
    rest = {name: value for name, value in given.items() if name not in asking}
    return fit(Question(quantity=quantity, last=last, **asking), now=NOW, **rest)  # type: ignore[arg-type]


def test_what_fits_is_left_alone() -> None:
    """A day of minutes, a week of minutes, a year of health; one value over a year."""
    for question in (
        Question(quantity="pm2_5"),
        Question(quantity="pm2_5", last="7d"),
        Question(quantity="rssi", last="60d"),
        Question(quantity="pm2_5", last="365d", aggregate=Aggregate.MAX),
        Question(quantity="pm2_5", last="60d", every="1m"),
        Question(quantity="pm2_5", begin=str(int(NOW) + 60)),
    ):
        assert fit(question, now=NOW) == Fitted(question)


def test_a_month_of_minutes_is_thinned_and_says_so() -> None:
    """By what suits the quantity, series kept apart as the readings would be."""
    found = fitted("pm2_5", "30d", most=5000)
    assert found.note == (
        "thinned: means of 10 minutes, as about 43,200 points would come; ask for less time, or choose with every"
    )
    assert found.question == Question(
        quantity="pm2_5", kind="air", last="30d", every="10m", aggregate=Aggregate.MEAN, by=By.CHANNEL
    )
    assert fitted("volume", "30d", kind="traffic").question.aggregate is Aggregate.SUM
    assert fitted("volume", "30d", kind="water").question.aggregate is Aggregate.LAST
    assert fitted("flow_min", "30d").question.aggregate is Aggregate.MIN
    assert fitted("pm2_5", "30d", by=By.SITE).question.by is By.SITE


def test_a_year_of_seconds_is_thinned_and_says_so() -> None:
    """Whether seconds were counted, or asked for."""
    counted = fitted("pm2_5", "365d", pace=1.0)
    assert counted.question.every == "1h"
    assert "as about 31,536,000 points would come" in counted.note
    chosen = fitted("pm2_5", "365d", every="1s", pace=1.0)
    assert YEAR / seconds(chosen.question.every) <= MOST_CHOSEN
    assert "thinned" in chosen.note
    assert chosen.question.by is By.NODE, "as a mean by node was asked for"


def test_many_series_share_the_total() -> None:
    """A thousand nodes get a tenth of a week of minutes each."""
    found = fitted("pm2_5", "7d", series=1000)
    assert (found.question.every, "in each of 1,000 series" in found.note) == ("15m", True)


def test_a_roll_up_is_asked_where_it_says_the_same() -> None:
    """It must be there since the beginning, hold this aggregate, and divide the interval."""
    since = dict.fromkeys(Rollup, NOW - 2 * YEAR)
    assert fitted("pm2_5", "90d", rollups=since).question.rollup is Rollup.QUARTER
    year = fitted("pm2_5", "365d", most=400, rollups=since)
    assert (year.question.every, year.question.rollup) == ("1d", Rollup.HOUR)
    assert "means of a day from the roll-up of an hour" in year.note
    assert fitted("pm2_5", "30d", rollups=since).question.rollup is None, "5 minutes are no quarters of an hour"
    assert fitted("pm2_5", "90d", rollups={Rollup.QUARTER: NOW - 80 * DAY}).question.rollup is None
    assert fitted("pm2_5", "900d", every="1m", aggregate=Aggregate.MAX, rollups=since).question.rollup is None
    again = fitted("pm2_5", "365d", most=400, rollup=Rollup.QUARTER)
    assert (again.question.every, again.question.rollup) == ("1d", Rollup.QUARTER)


@given(
    length=st.integers(1, 3 * YEAR),
    pace=st.floats(0.1, 7200),
    most=st.integers(1, 20_000),
    series=st.integers(1, 5000),
    every=st.sampled_from(["", "1s", "1m", "1d"]),
)
def test_what_is_fitted_fits(length: int, pace: float, most: int, series: int, every: str) -> None:
    """Whatever comes how often: never more than was allowed, each series at least one value; and what fitted stays."""
    question = Question(quantity="pm2_5", begin=str(int(NOW) - length), end=str(int(NOW)), every=every)
    found = fit(question, now=NOW, most=most, pace=pace, series=series)
    step = max(pace, seconds(found.question.every)) if found.question.every else pace
    allowed = min(max(most, MOST_CHOSEN) if every else most, MOST_TOTAL // series)
    assert length / step < max(1, allowed) + 1
    assert (found.note == "") == (found.question == question)


def test_what_there_is_counts() -> None:
    """A year is asked for, but there are three days of it."""
    assert fitted("pm2_5", "365d", since=NOW - 3 * DAY).note == ""
    assert fitted("pm2_5", "365d", since=NOW - 30 * DAY).question.every == "5m"


def test_round_lengths() -> None:
    """The next one up, in words that people use; whole weeks above."""
    assert [round_length(each) for each in (1, 59, 60, 61, 299, 7000, 90_000, 5_000_000)] == [
        "10s", "1m", "1m", "5m", "5m", "2h", "1w", "9w",
    ]  # fmt: skip
    assert [spoken(each) for each in ("90s", "1m", "60m", "36h", "2w")] == [
        "90 seconds", "a minute", "an hour", "36 hours", "2 weeks",
    ]  # fmt: skip
    for shorter, longer in pairwise(ROUND):
        assert seconds(shorter) < seconds(longer)


def test_every_quantity_has_an_aggregate_that_suits() -> None:
    """And a thinned question of each makes a statement."""
    for each in QUANTITIES:
        kind = "air" if each.measurement == "*" else each.measurement
        found = fitted(each.name, "900d", kind=kind)
        assert f"{suited(each)}({chr(34)}{each.name}{chr(34)})" in statement(found.question)


def test_percentiles_and_shifted_intervals() -> None:
    """As InfluxQL writes them."""
    text = statement(Question(quantity="pm2_5", every="1h", offset="20m", aggregate=Aggregate.P95))
    assert 'SELECT percentile("pm2_5", 95) AS p95 FROM "air"' in text
    assert 'GROUP BY time(3600s, 1200s), "site", "node" fill(none)' in text


def test_a_period_before() -> None:
    """Both with fixed times, intervals that lie upon each other, and the same aggregate."""
    asked, earlier = pair(Question(quantity="pm2_5", last="24h", every="1h"), "1w", NOW)
    assert span(asked, 0) == (NOW - DAY, NOW)
    assert span(earlier, 0) == (NOW - DAY - WEEK, NOW - WEEK)
    assert (asked.every, earlier.every, earlier.offset) == ("1h", "1h", "")
    _, odd = pair(Question(quantity="pm2_5", last="24h", every="1h"), "90m", NOW)
    assert odd.offset == "1800s"
    bare, _ = pair(Question(quantity="volume", kind="traffic"), "1d", NOW)
    assert (bare.every, bare.aggregate) == ("5m", Aggregate.SUM)
    assert align(np.array([NOW - WEEK]), "1w") == [NOW]
    with pytest.raises(QueryError, match="1970"):
        pair(Question(quantity="pm2_5", end="2020-01-01"), "1w", NOW)


def rush(times: np.ndarray, zone: ZoneInfo) -> np.ndarray:
    """Busy on weekdays from seven to nine by the wall clock."""
    clocks = [datetime.fromtimestamp(each, UTC).astimezone(zone) for each in times]
    return np.array([100.0 if each.weekday() < 5 and 7 <= each.hour < 9 else 10.0 for each in clocks])


def test_the_band_follows_the_week() -> None:
    """A Monday's rush hour is expected on a Monday; an odd week widens the band, the middle stays."""
    zone = ZoneInfo("UTC")
    times = np.arange(NOW - 4 * WEEK - 3600, NOW + DAY, 600.0)
    values = rush(times, zone)
    at = np.arange(NOW, NOW + DAY, 600.0)
    found = band(times, values, at, 600.0, zone)
    assert isinstance(found, Band)
    assert found.basis == "week"
    assert found.low.shape == found.middle.shape == found.high.shape == at.shape
    inside = slice(1, 11)
    assert (found.middle[inside] == 100).all()
    assert (found.high[24:-1] == 10).all()
    odd = values.copy()
    odd[(times >= NOW - 2 * WEEK) & (times < NOW - WEEK)] = 500.0
    wider = band(times, odd, at, 600.0, zone)
    assert isinstance(wider, Band)
    assert (wider.middle[inside] == 100).all()
    assert (wider.high[inside] == 500).all()


def test_the_band_keeps_to_the_wall_clock() -> None:
    """Berlin's clocks went back on 25 October 2026: the rush hour of the week before was an hour earlier in UTC."""
    zone = ZoneInfo("Europe/Berlin")
    monday = datetime(2026, 10, 26, tzinfo=zone).timestamp()
    times = np.arange(monday - 5 * WEEK, monday + DAY, 1800.0)
    found = band(times, rush(times, zone), np.arange(monday, monday + DAY, 1800.0), 1800.0, zone)
    assert isinstance(found, Band)
    assert (found.middle[14:18] == 100).all()
    assert (found.middle[:14] == 10).all()
    assert (found.middle[18:] == 10).all()


def test_a_short_history_gives_days_and_a_shorter_one_none() -> None:
    """With the reason; a series does not explain itself."""
    zone = ZoneInfo("UTC")
    at = np.arange(NOW, NOW + 3600, 600.0)
    days = np.arange(NOW - 5 * DAY, NOW + 3600, 600.0)
    found = band(days, np.full(days.size, 7.0), at, 600.0, zone)
    assert isinstance(found, Band)
    assert (found.basis, found.low[0], found.high[0]) == ("day", 7, 7)
    short = band(days[-300:], np.full(300, 7.0), at, 600.0, zone)
    assert isinstance(short, NoBand)
    assert "2.1 days" in short.reason
    assert isinstance(band(np.array([]), np.array([]), at, 600.0, zone), NoBand)
    holes = np.concatenate([days[(days - NOW) % DAY >= 3600], at])
    assert isinstance(band(holes, np.full(holes.size, 7.0), at, 600.0, zone), NoBand), "never at this hour"


@pytest.mark.parametrize("every", [DAY / 2, DAY, WEEK])
def test_a_series_of_long_intervals_does_not_explain_itself(every: float) -> None:
    """What is odd now is not expected, whatever the interval; a Sunday is not expected to be as a Monday."""
    times = np.arange(0, NOW, every)[-60:]
    values = np.where(times // DAY % 7 == 4, 100.0, 10.0) if every == DAY else np.full(times.size, 10.0)
    odd = values.copy()
    odd[-1] = 1000.0
    found = band(times, odd, times[-8:], every, ZoneInfo("UTC"))
    assert isinstance(found, Band)
    assert (found.high == values[-8:]).all()


def test_the_bands_statement_reaches_back_four_weeks() -> None:
    """And needs intervals."""
    text = band_statement(Question(quantity="pm2_5", node="air-0001", last="24h", every="1h"), NOW)
    assert "time >= '2026-10-25T06:00:00Z' AND time < '2026-11-23T07:00:00Z'" in text
    with pytest.raises(QueryError, match="intervals"):
        band_statement(Question(quantity="pm2_5"), NOW)


def test_near_names() -> None:
    """Of what the database has, within the site that was named."""
    question = Question(quantity="pm2_5", site="riverside", node="air-001")
    assert names_statement(question, "node") == (
        'SHOW TAG VALUES FROM "air" WITH KEY = "node" WHERE "site" = \'riverside\''
    )
    assert edge_statements(question)[0].endswith('FROM "air" WHERE "site" = \'riverside\' AND "node" = \'air-001\'')
    assert missing("node", "air-0001", ["air-0001"]) is None
    unknown = missing("node", "air-001", ["air-0001", "air-0002", "square"])
    assert unknown is not None
    assert str(unknown) == "there is no node 'air-001'; the nearest: air-0001, air-0002"
    assert str(missing("site", "x", [])) == "there is no site 'x'; nor any other that measures this"
    assert str(missing("site", "x", "abcdefg")).endswith("known: a, b, c, d, e and 2 more")
    assert "from 2026 to 2027" in nothing(question, "2026", "2027")
    assert "at all" in nothing(question, "", "")


def test_the_default_is_a_week_of_minutes() -> None:
    assert WEEK / 60 == MOST_POINTS


def test_a_terminal_without_unicode_gets_ascii() -> None:
    """Curves of different marks in a frame of + - and |."""
    times = np.array([0.0, 3600.0, 7200.0])
    found = [Curve(name, {}, "mean", times, values) for name, values in (("a", times), ("ä", times[::-1]))]
    text = plot(found, "l/h", "flow", ZoneInfo("UTC"), size=None, unicode=False)
    assert text.isascii()
    assert {"*", "+", "|", "-"} <= set(text)
