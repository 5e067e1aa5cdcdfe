"""What is measured, by zone and for the public: the air's index, and the water of a whole day. Pure, but for `ask`.

Air is the mean of a zone's stations hour by hour; a station with a fault that the detectors found is left out. Water is
a sum over homes, and there only where it tells nothing of one: at least `LEAST_HOMES` homes have reported, none used
more than half, and none is in a zone that was shown before (two sums of almost the same homes tell the difference).
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import Struct

from gateway.airquality.hours import HOUR, KEPT, Hours
from gateway.airquality.standing import standing
from gateway.airquality.tables import Region, table_for
from gateway.cap.area import Area
from gateway.detect.plan import LEAST_HOMES
from gateway.query.client import Series
from gateway.query.influxql import quote_name
from gateway.records import Incident

POLLUTANTS: Final = ("pm2_5", "pm10")
"""That our stations measure and every table has, in ug/m3 everywhere."""
FAULTS: Final = frozenset({"stuck", "zero", "offset", "gain", "drift", "noisy"})
MOST_SHARE: Final = 0.5
"""Of a zone's water that one home may have used."""
COARSE: Final = 10
"""Litres to which a sum is rounded."""
LATE_SECONDS: Final = 3600
"""How long packs of a day that is over are waited for before it is summed up."""

Ask = Callable[[str], Awaitable[list[Series]]]


class AirBand(Struct, frozen=True):
    """The index of a zone."""

    standard: str
    index: int
    category: str
    step: int
    """Which of the table's classes it is: 1 is the best."""
    steps: int
    until: int
    """Unix seconds: the end of the newest hour in it."""
    stations: int


class Water(Struct, frozen=True):
    """What a zone used in a day."""

    day: date
    litres: int
    homes: int


class Figures(Struct, frozen=True):
    """By slug of the zone; those of which nothing is known are not there."""

    air: dict[str, AirBand] = {}
    water: dict[str, Water] = {}


async def air_now(
    ask: Ask, zones: Sequence[Area], incidents: Iterable[Incident], now: float, region: Region, zone: ZoneInfo
) -> dict[str, AirBand]:
    """By slug, of the whole hours before `now` (Unix seconds). Raises GanglionError as `ask` does."""
    faulty = {(each.site, each.node) for each in incidents if each.kind in FAULTS and each.closed is None}
    until = int(now) // HOUR * HOUR
    return air_bands(await ask(air_statement(until)), zones, faulty, until, region, zone)


async def water_yesterday(ask: Ask, zones: Sequence[Area], now: float, zone: ZoneInfo) -> dict[str, Water]:
    """By slug, of the newest day that was over `LATE_SECONDS` before `now` (Unix seconds), from midnight to midnight by
    the clock of `zone`.

    Raises GanglionError as `ask` does.
    """
    today = datetime.fromtimestamp(now - LATE_SECONDS, zone).date()
    day = today - timedelta(days=1)
    begin, end = (int(datetime.combine(each, time.min, zone).timestamp()) for each in (day, today))
    return water_sums(await ask(water_statement(begin, end)), zones, day)


def air_statement(until: int) -> str:
    """Hourly means of all stations over the day before `until` (Unix seconds, a whole hour)."""
    means = ", ".join(f"mean({quote_name(each)}) AS {quote_name(each)}" for each in POLLUTANTS)
    return (
        f'SELECT {means} FROM "air" WHERE time > {until - KEPT * HOUR}s AND time <= {until}s '
        'GROUP BY time(1h, 1s), "site", "node" fill(none)'
    )


def water_statement(begin: int, end: int) -> str:
    """Of each meter, its register from `begin` to `end` (Unix seconds)."""
    values = ", ".join(f'{each}("volume") AS "{each}"' for each in ("first", "last", "min", "max", "count"))
    return f'SELECT {values} FROM "water" WHERE time >= {begin}s AND time <= {end}s GROUP BY "site", "node"'


def air_bands(
    series: Iterable[Series],
    zones: Sequence[Area],
    faulty: set[tuple[str, str]],
    until: int,
    region: Region,
    zone: ZoneInfo,
) -> dict[str, AirBand]:
    """Of each zone the index of the mean of its stations, hour by hour."""
    table = table_for(region, datetime.fromtimestamp(until, zone).date())
    sums = {name: np.zeros((len(zones), KEPT)) for name in POLLUTANTS}
    counts = {name: np.zeros((len(zones), KEPT)) for name in POLLUTANTS}
    stations: list[set[str]] = [set() for _ in zones]
    first = until - KEPT * HOUR
    for each in series:
        site, node = each.tags.get("site", ""), each.tags.get("node", "")
        within = [at for at, area in enumerate(zones) if area.holds(site, node)]
        if (site, node) in faulty or not within:
            continue
        for values in each.values:
            row = dict(zip(each.columns, values, strict=True))
            at_hour = (_unix(row["time"]) - first) // HOUR
            for name in POLLUTANTS:
                if row.get(name) is not None and 0 <= at_hour < KEPT:
                    sums[name][within, at_hour] += row[name]
                    counts[name][within, at_hour] += 1
                    for at in within:
                        stations[at].add(f"{site}/{node}")
    measured: dict[str, Hours] = {}
    for name in POLLUTANTS:
        hours = Hours.blank(len(zones))
        for at_hour in range(KEPT):
            count = counts[name][:, at_hour]
            mean = np.where(count > 0, sums[name][:, at_hour] / np.maximum(count, 1), np.nan)
            ends = np.full(len(zones), first + (at_hour + 1) * HOUR)
            hours.feed(slice(0, len(zones)), ends, mean, np.full(len(zones), HOUR))
        measured[name] = hours
    now = standing(table, measured, until)
    names = [name for _, name in table.classes]
    found = {}
    for at, area in enumerate(zones):
        if np.isfinite(now.index[at]):
            category = table.category(now.index[at])
            found[area.slug] = AirBand(
                table.standard,
                int(now.index[at]),
                category,
                names.index(category) + 1,
                len(names),
                until,
                len(stations[at]),
            )
    return found


def water_sums(series: Iterable[Series], zones: Sequence[Area], day: date) -> dict[str, Water]:
    """Of each zone the sum over its homes, where it may be told."""
    used: dict[tuple[str, str], float] = {}
    for each in series:
        for values in each.values:
            row = dict(zip(each.columns, values, strict=True))
            # One whose register fell was exchanged, or is wrong: what its home used is not known.
            if row["count"] >= 2 and row["first"] == row["min"] and row["last"] == row["max"]:
                used[each.tags.get("site", ""), each.tags.get("node", "")] = row["last"] - row["first"]
    found: dict[str, Water] = {}
    shown: set[tuple[str, str]] = set()
    for area in zones:
        homes = {place: litres for place, litres in used.items() if area.holds(*place) and place[1] not in area.inlet}
        total = sum(homes.values())
        if len(homes) < LEAST_HOMES or max(homes.values()) > MOST_SHARE * total or not shown.isdisjoint(homes):
            continue
        shown |= homes.keys()
        found[area.slug] = Water(day, round(total / COARSE) * COARSE, len(homes))
    return found


def as_first_told(told: dict[str, Water], found: dict[str, Water]) -> dict[str, Water]:
    """What is told of a zone's day stays: a second sum, after packs that came late, would tell what their home used."""
    return {slug: old if (old := told.get(slug, each)).day == each.day else each for slug, each in found.items()}


def _unix(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
