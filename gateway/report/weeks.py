"""ISO weeks as they pass in a time zone: 168 hours, or one more or less where clocks are changed. Pure."""

import re
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Final, Self
from zoneinfo import ZoneInfo

from msgspec import Struct

from gateway import times
from gateway.errors import GanglionError
from gateway.query.influxql import quote_text

HOUR: Final = 3600
DAYS: Final = 7
NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

YEARS: Final = range(1971, 2262)
"""That InfluxDB can tell: it counts nanoseconds since 1970."""

HourOfWeek = tuple[int, int, int, int]
"""Day from Monday (0), hour, minute, and 1 where a clock that was put back shows it a second time."""


class ReportError(GanglionError):
    """A report that cannot be made; the message says what to change."""


class IsoWeek(Struct, frozen=True, order=True):
    """Of ISO 8601: it begins on Monday, and belongs to the year of its Thursday."""

    year: int
    week: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `2026-W47`. Raises ReportError."""
        match = re.fullmatch(r"([0-9]{4})-W([0-9]{2})", text)
        week = cls(int(match[1]), int(match[2])) if match else cls(0, 0)
        try:
            if week.year in YEARS and week.monday:
                return week
        except ValueError:
            pass
        raise ReportError(f"{text!r:.40} is no week: write the year and the number of ISO 8601, such as 2026-W47")

    @classmethod
    def of(cls, day: date) -> Self:
        year, week, _ = day.isocalendar()
        return cls(year, week)

    @classmethod
    def last_whole(cls, now: float, zone: ZoneInfo) -> Self:
        """The one before the week of `now` (Unix seconds)."""
        return cls.of(datetime.fromtimestamp(now, zone).date() - timedelta(days=DAYS))

    @property
    def monday(self) -> date:
        """Raises ValueError where the year has no such week."""
        return date.fromisocalendar(self.year, self.week, 1)

    @property
    def before(self) -> Self:
        return type(self).of(self.monday - timedelta(days=DAYS))

    def __str__(self) -> str:
        return f"{self.year:04d}-W{self.week:02d}"


class Span(Struct, frozen=True, dict=True):
    """A week in a time zone. Its hours follow each other from its beginning, whatever clocks show: hour k is what ends
    in (begin + 3600 k, begin + 3600 (k + 1)], as a window belongs where it ends."""

    week: IsoWeek
    zone: ZoneInfo

    @cached_property
    def edges(self) -> tuple[int, ...]:
        """Unix seconds: the beginning of each of its days, and its end; (8,)."""
        monday = self.week.monday
        days = [monday + timedelta(days=number) for number in range(DAYS + 1)]
        return tuple(int(datetime(d.year, d.month, d.day, tzinfo=self.zone).timestamp()) for d in days)

    @property
    def begin(self) -> int:
        return self.edges[0]

    @property
    def end(self) -> int:
        return self.edges[-1]

    @property
    def hours(self) -> int:
        """167 and 169 in the weeks in which clocks are put on and back by an hour."""
        return -(-(self.end - self.begin) // HOUR)

    @property
    def dates(self) -> tuple[date, ...]:
        return tuple(self.week.monday + timedelta(days=number) for number in range(DAYS))

    def time(self, hour: int) -> int:
        """Unix seconds: the beginning of an hour."""
        return self.begin + HOUR * hour

    def local(self, hour: int) -> datetime:
        """What clocks show at the beginning of an hour."""
        return datetime.fromtimestamp(self.time(hour), self.zone)

    @cached_property
    def keys(self) -> tuple[HourOfWeek, ...]:
        """Of each hour what clocks show at its beginning; no two are the same."""
        shown = (self.local(hour) for hour in range(self.hours))
        return tuple((each.weekday(), each.hour, each.minute, each.fold) for each in shown)

    @cached_property
    def day_of(self) -> tuple[int, ...]:
        """Of each hour the day, from Monday (0), that it begins in."""
        return tuple(key[0] for key in self.keys)

    @property
    def before(self) -> "Span":
        return Span(self.week.before, self.zone)

    @cached_property
    def counterparts(self) -> tuple[int, ...]:
        """Of each hour that of the week before at which clocks show the same; -1 where none does."""
        known = {key: number for number, key in enumerate(self.before.keys)}
        return tuple(known.get(key, -1) for key in self.keys)

    def moment(self, time: float) -> str:
        """Unix seconds as clocks show them: `Tue 17 Nov 08:00`."""
        when = datetime.fromtimestamp(time, self.zone)
        return f"{NAMES[when.weekday()]} {when.day} {when:%b %H:%M}"


def utc(time: float) -> str:
    """Unix seconds as InfluxQL writes them."""
    return quote_text(times.utc(time))
