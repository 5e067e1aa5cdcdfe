"""Days by the band of an air quality index, station by station and zone by zone. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from gateway.airquality.correction import corrected
from gateway.airquality.index import part_of, whole
from gateway.airquality.tables import AirError, Region, Table, table_for
from gateway.detect.plan import Plan
from gateway.report.hourly import Floats, Hourly
from gateway.report.weeks import DAYS, Span

COLUMNS_BEFORE: Final = {"pm2_5": 'mean("pm2_5")', "pm10": 'mean("pm10")', "humidity": 'mean("humidity")'}
COLUMNS: Final = {**COLUMNS_BEFORE, "windows": 'count("pm2_5")'}
POLLUTANTS: Final = ("pm2_5", "pm10")
_OF_24: Final = 24


class AirDay(Struct, frozen=True):
    index: int | None
    """None where too few hours are known."""
    category: str | None
    level: int | None
    """Which of the table's classes it is, from 0 for the best."""
    hours: int
    """Known; of a zone, of its median station."""


class Strip(Struct, frozen=True):
    """A week of one place."""

    name: str
    stations: int
    days: tuple[AirDay, ...]


class Air(Struct, frozen=True, kw_only=True):
    region: Region
    standard: str
    classes: tuple[str, ...]
    """Of the table, the best first."""
    least_hours: int
    """Of a day, for an index."""
    zones: tuple[Strip, ...]
    stations: tuple[Strip, ...]
    """All of them, by name."""
    station_days: tuple[int, ...]
    """How many had each of `classes`."""
    unknown: int
    """Station-days with too little data."""
    before: tuple[int, ...]
    """`station_days` of the week before."""
    corrected: int
    """Stations whose PM2.5 could be corrected by their humidity. That of others is taken as it was said."""
    nothing: str = ""
    """Why there is no index, a sentence."""


def air_of(measured: Hourly, plan: Plan, site: str, span: Span, region: Region) -> Air | None:
    """None where no station was heard in the week."""
    now = measured.counts()[0]
    heard = [number for number in range(len(measured.nodes)) if now[number].any()]
    if not heard:
        return None
    try:
        tables = [table_for(region, day) for day in (*span.dates, *span.before.dates)]
    except AirError as error:
        return _nothing(region, f"No index: {error}.")
    dry = {
        number for number in heard if "humidity" in measured.now and np.isfinite(measured.now["humidity"][number]).any()
    }
    known, known_before = measured.known()
    columns, before = _hours(measured.now, known), _hours(measured.before, known_before)
    stations = {measured.nodes[number]: tuple(_station(columns, number, span, tables[:DAYS])) for number in heard}
    days = [day for each in stations.values() for day in each]
    ago = [day for number in heard for day in _station(before, number, span.before, tables[DAYS:])]
    classes = tuple(name for _, name in tables[0].classes)
    return Air(
        region=region,
        standard=tables[0].standard,
        classes=classes,
        least_hours=tables[0].least_of_24,
        zones=tuple(_zones(stations, plan, site)),
        stations=tuple(Strip(name, 1, each) for name, each in sorted(stations.items())),
        station_days=_tally(days, len(classes)),
        unknown=sum(day.index is None for day in days),
        before=_tally(ago, len(classes)),
        corrected=len(dry),
    )


def _nothing(region: Region, why: str) -> Air:
    return Air(
        region=region, standard="", classes=(), least_hours=0, zones=(), stations=(), station_days=(), unknown=0,
        before=(), corrected=0, nothing=why,
    )  # fmt: skip


def _tally(days: Sequence[AirDay], classes: int) -> tuple[int, ...]:
    return tuple(sum(day.level == level for day in days) for level in range(classes))


def _hours(columns: Mapping[str, Floats], known: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> dict[str, Floats]:
    """(stations, hours) by pollutant, what is known of them."""
    found = {name: np.where(known, columns[name], np.nan) for name in POLLUTANTS if name in columns}
    if "pm2_5" in found and "humidity" in columns:
        humidity = columns["humidity"]
        found["pm2_5"] = np.where(np.isfinite(humidity), corrected(found["pm2_5"], humidity), found["pm2_5"])
    return found


def _station(columns: Mapping[str, Floats], number: int, span: Span, tables: Sequence[Table]) -> list[AirDay]:
    day_of = np.array(span.day_of)
    return [
        _day({name: each[number, day_of == day] for name, each in columns.items()}, tables[day]) for day in range(DAYS)
    ]


def _day(hours: Mapping[str, Floats], table: Table) -> AirDay:
    """Of the means of a day's hours, midnight to midnight. A table of hourly bands: its worst hour."""
    parts = []
    most = 0
    for pollutant, values in hours.items():
        row = table.row(pollutant)
        of = values[np.isfinite(values)]
        most = max(most, len(of))
        if len(of) >= table.least_of_24:
            parts.append(part_of(table, row, float(of.mean() if row.hours == _OF_24 else of.max())))
    index = whole(table, parts).index if parts else None
    if index is None:
        return AirDay(None, None, None, most)
    return AirDay(index, table.category(index), _level(index, table), most)


def _level(index: int, table: Table) -> int:
    return next((n for n, (most, _) in enumerate(table.classes) if index <= most), len(table.classes) - 1)


def _zones(stations: Mapping[str, tuple[AirDay, ...]], plan: Plan, site: str) -> list[Strip]:
    found = []
    for zone in plan.of(site).zone:
        own = [stations[name] for name in zone.nodes if name in stations]
        if own:
            found.append(Strip(zone.name, len(own), tuple(_median([each[day] for each in own]) for day in range(DAYS))))
    return found


def _median(days: Sequence[AirDay]) -> AirDay:
    """Of the stations of a zone, the higher of two; None unless at least half of them have one. One that is broken does
    not decide."""
    known = [day for day in days if day.index is not None]
    if 2 * len(known) < len(days):
        return AirDay(None, None, None, statistics.median_high(day.hours for day in days))
    middle = statistics.median_high(day.index for day in known if day.index is not None)
    return next(day for day in known if day.index == middle)
