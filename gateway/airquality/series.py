"""A station's hours from a table of text, and the index at each of them."""

import csv
import itertools
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Final

import numpy as np
from msgspec import Struct

from gateway.airquality.correction import correct
from gateway.airquality.hours import HOUR, Hours
from gateway.airquality.index import MOST, Index, part_of, whole
from gateway.airquality.standing import by_nowcast, mean
from gateway.airquality.tables import TABLES, AirError, Region, table_for
from gateway.lines import delimiter_of
from gateway.near import hint

TIME: Final = "time"
HUMIDITY: Final = "humidity"
_ALL: Final = slice(None)


class Hour(Struct, frozen=True):
    """One line: means of the hour that ended at `time` (Unix seconds), by pollutant; without those that are missing."""

    time: int
    means: dict[str, float]
    humidity_bias: bool


class HourlyIndex(Struct, frozen=True):
    time: int
    """Unix seconds: the hour's end."""
    index: Index
    humidity_bias: bool
    """The newest hour's humidity is above what its correction holds for."""


def read_hours(lines: Iterable[str], region: Region) -> Iterator[Hour]:
    """From CSV with a header: `time` (ISO 8601, UTC where it has no zone, or Unix seconds), pollutants of the region.
    Where semicolons or tabs part the cells, 5,5 is a number.

    With a column `humidity` (%), `pm2_5` is a low-cost sensor's (CF=1) and is corrected; without either it is missing.
    Empty cells are missing. Raises AirError that names the line, or the column and the nearest.
    """
    lines = iter(lines)
    first = next(lines, "").removeprefix("\ufeff")
    delimiter = delimiter_of(first)
    reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter)
    header = [cell.strip() for cell in next(reader, [])]
    comma = delimiter != ","
    columns = _columns(header, region)
    last = 0
    for cells in reader:
        if not cells:
            continue
        at = f"line {reader.line_num}"
        if len(cells) != len(header):
            raise AirError(f"{at}: {len(cells)} cells, the header has {len(header)}")
        said = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
        time = _time(said.pop(TIME), at)
        if time <= last:
            raise AirError(f"{at}: its time is not after that of the line before")
        last = time
        yield _hour(
            time, {name: _number(text, name, at, comma) for name, text in said.items() if text}, HUMIDITY in columns, at
        )


def hourly_indices(hours: Iterable[Hour], region: Region, day: date | None = None) -> Iterator[HourlyIndex]:
    """The index as of each hour's end, out of that hour and those before it; streaming.

    The table is that of `day`, or else of the hour's own date (UTC).
    """
    rings: dict[str, Hours] = {}
    for hour in hours:
        time = np.array([hour.time])
        for name, value in hour.means.items():
            ring = rings.setdefault(name, Hours.blank(1))
            ring.feed(_ALL, time, np.array([value]), np.array([HOUR]))
        table = table_for(region, day or datetime.fromtimestamp(hour.time, UTC).date())
        last = {name: ring.last(hour.time) for name, ring in rings.items()}
        values = [(row, float(mean(row, table, last[row.pollutant])[0])) for row in table.rows if row.pollutant in last]
        parts = [
            part_of(table, row, value, nowcast=by_nowcast(row, table)) for row, value in values if not math.isnan(value)
        ]
        yield HourlyIndex(hour.time, whole(table, parts), hour.humidity_bias)


def _columns(header: list[str], region: Region) -> list[str]:
    known = [TIME, HUMIDITY, *dict.fromkeys(row.pollutant for t in TABLES if t.region == region for row in t.rows)]
    for name in header:
        if name not in known:
            raise AirError(f"the header has a column {name!r:.80}, which is none of {region}{hint(name, known)}")
        if header.count(name) > 1:
            raise AirError(f"the header has the column {name} twice")
    if TIME not in header:
        raise AirError("the header has no column time: the first line must name the columns")
    if not set(header) - {TIME, HUMIDITY}:
        raise AirError(f"the header has no pollutant; {region} knows {', '.join(known[2:])}")
    if HUMIDITY in header and "pm2_5" not in header:
        raise AirError("the header has humidity without pm2_5, which alone it corrects")
    return header


def _hour(time: int, means: dict[str, float], sensor: bool, at: str) -> Hour:
    if not sensor:
        return Hour(time, means, humidity_bias=False)
    humidity, raw = means.pop(HUMIDITY, None), means.pop("pm2_5", None)
    if humidity is None or raw is None:
        return Hour(time, means, humidity_bias=False)
    try:
        found = correct(raw, humidity)
    except AirError as error:
        raise AirError(f"{at}: {error}") from error
    return Hour(time, means | {"pm2_5": found.pm2_5}, found.humidity_bias)


def _number(text: str, name: str, at: str, comma: bool) -> float:
    try:
        value = float(text.replace(",", ".") if comma else text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MOST:
        what = f"a number from 0 to {MOST:g}, or empty where it is missing"
        raise AirError(f"{at}: {name} is {text!r:.40}: it must be {what}")
    return value


def _time(text: str, at: str) -> int:
    try:
        if text.isascii() and text.isdigit():
            found = datetime.fromtimestamp(int(text), UTC)
        else:
            found = datetime.fromisoformat(text)
            found = found if found.tzinfo else found.replace(tzinfo=UTC)
        seconds = found.timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise AirError(f"{at}: time {text!r:.40} is neither 2026-11-29T07:00:00Z nor Unix seconds") from error
    if seconds != int(seconds) or seconds <= 0:
        raise AirError(f"{at}: time {text!r:.40} is no whole second after 1970")
    return int(seconds)
