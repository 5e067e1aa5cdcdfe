"""ISO weeks in time zones: the arithmetic that every figure of a report stands on."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.report.weeks import HOUR, IsoWeek, ReportError, Span

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # once put its clocks on at midnight
    "Asia/Kathmandu",  # 5:45
    "Asia/Beirut",
    "Australia/Lord_Howe",  # puts them on by half an hour
    "Pacific/Apia",  # has no 30 December 2011
)
WEEKS = st.dates(date(2000, 1, 3), date(2040, 12, 31)).map(IsoWeek.of)
SPANS = st.builds(Span, WEEKS, st.sampled_from(ZONES).map(ZoneInfo))


@given(SPANS)
def test_hours_fill_the_week(span: Span) -> None:
    """No more than the last, in a week of half hours, is longer than what is left; each is in one day."""
    assert 0 <= span.begin + span.hours * HOUR - span.end < HOUR
    assert list(span.edges) == sorted(span.edges)
    assert len(span.keys) == len(set(span.keys)) == span.hours
    assert list(span.day_of) == sorted(span.day_of)
    for day, (begin, end) in enumerate(pairwise(span.edges)):
        assert all(begin <= span.time(hour) < end for hour in range(span.hours) if span.day_of[hour] == day)


@given(SPANS)
def test_weeks_follow_each_other(span: Span) -> None:
    assert span.before.end == span.begin
    assert IsoWeek.parse(str(span.week)) == span.week
    assert datetime.fromtimestamp(span.begin, span.zone).isocalendar()[:2] == (span.week.year, span.week.week)


@given(SPANS)
def test_a_counterpart_shows_the_same_on_its_clock(span: Span) -> None:
    """Seven days before by the calendar; nothing has two."""
    found = [(hour, other) for hour, other in enumerate(span.counterparts) if other >= 0]
    assert len({other for _, other in found}) == len(found)
    for hour, other in found:
        mine, its = span.local(hour), span.before.local(other)
        assert mine.replace(tzinfo=None) - its.replace(tzinfo=None) == timedelta(days=7)


@given(st.datetimes(datetime(2000, 1, 20), datetime(2040, 1, 1)), st.sampled_from(ZONES))
def test_the_last_whole_week_has_just_ended(when: datetime, name: str) -> None:
    zone, now = ZoneInfo(name), when.replace(tzinfo=UTC).timestamp()
    last = Span(IsoWeek.last_whole(now, zone), zone)
    assert last.end <= now < Span(IsoWeek.of(last.week.monday + timedelta(days=7)), zone).end


@pytest.mark.parametrize(
    ("week", "hours", "alone"),
    [
        ("2026-W12", 168, 0),
        ("2026-W13", 167, 0),  # Sunday 29 March has no 02:00
        ("2026-W14", 168, 1),  # its Sunday's 02:00 had none the week before
        ("2026-W43", 169, 1),  # Sunday 25 October has 02:00 twice: the second has no counterpart
        ("2026-W44", 168, 0),
    ],
)
def test_weeks_in_which_clocks_are_changed(week: str, hours: int, alone: int) -> None:
    span = Span(IsoWeek.parse(week), ZoneInfo("Europe/Berlin"))
    assert (span.hours, span.counterparts.count(-1)) == (hours, alone)


@pytest.mark.parametrize(
    "text", ["2026", "2026-W54", "2025-W53", "2026-47", "2026-W00", "0001-W01", "9999-W01", "W47", ""]
)
def test_what_is_no_week_is_refused(text: str) -> None:
    with pytest.raises(ReportError, match="is no week"):
        IsoWeek.parse(text)


def test_the_year_of_a_week_is_that_of_its_thursday() -> None:
    assert str(IsoWeek.of(date(2027, 1, 1))) == "2026-W53"
    assert IsoWeek.parse("2026-W53").monday == date(2026, 12, 28)
