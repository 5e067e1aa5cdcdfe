"""What is measured, by zone and for the public: the air's index, and the water of a whole day. Pure, but for `ask`.

Air is the mean of a zone's stations hour by hour; a station with a fault that the detectors found is left out. Water is
a sum over homes, as `gateway.privacy.sums` allows it.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import Struct

from gateway.airquality.hours import HOUR, KEPT, Hours
from gateway.airquality.standing import standing
from gateway.airquality.tables import Region, table_for
from gateway.cap.area import Area
from gateway.privacy.sums import DaySum
from gateway.query.client import Series
from gateway.query.influxql import quote_name
from gateway.records import Incident

POLLUTANTS: Final = ("pm2_5", "pm10")
"""That our stations measure and every table has, in ug/m3 everywhere."""
FAULTS: Final = frozenset({"stuck", "zero", "offset", "gain", "drift", "noisy"})

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


def air_statement(until: int) -> str:
    """Hourly means of all stations over the day before `until` (Unix seconds, a whole hour)."""
    means = ", ".join(f"mean({quote_name(each)}) AS {quote_name(each)}" for each in POLLUTANTS)
    return (
        f'SELECT {means} FROM "air" WHERE time > {until - KEPT * HOUR}s AND time <= {until}s '
        'GROUP BY time(1h, 1s), "site", "node" fill(none)'
    )


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


def water_of(sums: Iterable[DaySum]) -> dict[str, Water]:
    """By slug. A zone of the plan that is at several sites has none: nobody could say which it is of."""
    found: dict[str, list[DaySum]] = {}
    for each in sums:
        found.setdefault(each.slug, []).append(each)
    return {slug: Water(each.day, each.litres, each.homes) for slug, (each, *others) in found.items() if not others}


def _unix(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
