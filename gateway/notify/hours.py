"""Hours as people live by them: spans of the day, days of the week, in a time zone with its changes. Pure.

Times are looked for minute by minute: slow beside arithmetic, but right over every change of the clocks by
construction. Whether a minute is allowed is the same in all of its seconds.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK: Final = r"(?:[01]\d|2[0-3]):[0-5]\d"
SPAN: Final = re.compile(rf"({_CLOCK})-({_CLOCK})")
DURATION: Final = re.compile(r"([1-9]\d{0,4})([mhd])")
DIGEST: Final = re.compile(rf"{_CLOCK}|[1-9]\d{{0,4}}[mhd]")
MINUTE: Final = 60
DAY_MINUTES: Final = 1440
LOOK_DAYS: Final = 9
"""Within so many days each minute of the week comes."""


class Span(Struct, frozen=True):
    """Of the day, in minutes since midnight; may pass it. One that ends where it begins is the whole day."""

    begin: int
    end: int

    def __contains__(self, minute: int) -> bool:
        return (minute - self.begin) % DAY_MINUTES < ((self.end - self.begin) % DAY_MINUTES or DAY_MINUTES)


class Week(Struct, frozen=True):
    """When somebody may be told of what."""

    zone: str
    """IANA name."""
    hours: Span | None = None
    days: frozenset[int] = frozenset()
    """On which `hours` begin, 0 is Monday; empty: all."""
    quiet: Span | None = None

    def on_duty(self, moment: float) -> bool:
        """Whether it is within hours and days; the night that began on Friday is Friday's."""
        local = datetime.fromtimestamp(moment, ZoneInfo(self.zone))
        minute = _minute(local)
        if self.hours is not None and minute not in self.hours:
            return False
        # Past midnight in a span that began on the day before; a whole day from 06:00 on is one as well.
        yesterday = self.hours is not None and minute < self.hours.begin
        return not self.days or (local.weekday() - yesterday) % 7 in self.days

    def is_quiet(self, moment: float) -> bool:
        return self.quiet is not None and _minute(datetime.fromtimestamp(moment, ZoneInfo(self.zone))) in self.quiet


def next_allowed(week: Week, moment: float, *, at_night: bool) -> float:
    """The first moment from `moment` on, Unix seconds, that is on duty and, unless `at_night`, not quiet.

    `moment` itself where it is one, else the beginning of a minute.
    """
    allowed = _next_allowed(week, int(moment // MINUTE), at_night)
    return max(moment, allowed * MINUTE)


@lru_cache(1024)
def _next_allowed(week: Week, minute: int, at_night: bool) -> int:
    def allowed(at: int) -> bool:
        return week.on_duty(at * MINUTE) and (at_night or not week.is_quiet(at * MINUTE))

    return _first(minute, allowed)


def next_digest(digest: str, zone: str, moment: float) -> float:
    """The first moment after `moment`, Unix seconds, at which a digest leaves: `07:30` local, or each full `15m`."""
    if seconds := seconds_of(digest):
        return (moment // seconds + 1) * seconds
    return float(_next_clock(minute_of(digest), zone, int(moment // MINUTE)) * MINUTE)


@lru_cache(1024)
def _next_clock(clock: int, zone: str, minute: int) -> int:
    """The first minute after one at which a clock on the wall comes to, or jumps over, `clock`."""
    of = ZoneInfo(zone)

    def since(at: int) -> int:
        return (_minute(datetime.fromtimestamp(at * MINUTE, of)) - clock) % DAY_MINUTES

    # By a clock that is put back an hour it does not become a day later.
    return _first(minute + 1, lambda at: since(at - 1) - since(at) > DAY_MINUTES / 2)


def _first(minute: int, allowed: Callable[[int], bool]) -> int:
    ahead = range(minute, minute + LOOK_DAYS * DAY_MINUTES)
    return next((at for at in ahead if allowed(at)), minute)


def seconds_of(duration: str) -> int:
    """Of `15m`, `6h`, `1d`; 0 for anything else."""
    found = DURATION.fullmatch(duration)
    return int(found[1]) * {"m": 60, "h": 3600, "d": 86_400}[found[2]] if found else 0


def minute_of(clock: str) -> int:
    """Of `07:30`, since midnight."""
    hour, _, minute = clock.partition(":")
    return int(hour) * 60 + int(minute)


def span_of(text: str) -> Span | None:
    """Of `22:00-06:00`; None for what is none."""
    found = SPAN.fullmatch(text)
    return Span(minute_of(found[1]), minute_of(found[2])) if found else None


def minutes_of(span: Span) -> Iterator[int]:
    """Each minute of the day in it."""
    return (minute for minute in range(DAY_MINUTES) if minute in span)


def _minute(local: datetime) -> int:
    return local.hour * 60 + local.minute
