"""What is held against each other: places that were measured, and the city in their stead, in the same shape."""

import csv
import gzip
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from sim_hardware.city.air import Air, fields
from sim_hardware.city.boxes import Boxes
from sim_hardware.city.city import City
from sim_hardware.city.records import District, Floats, Ints
from sim_hardware.city.scenario import Scenario, places
from sim_hardware.city.streets import HEADS, demand
from sim_hardware.city.weather import Climate, Weather

BEIJING: Final = Climate(
    mean_temperature=13.6,
    yearly_swing=29,
    daily_swing=9,
    latitude=40,
    mean_wind=1.8,
    wind_from=200,
    humidity=50,
    cloud=0.45,
    yearly_rain=455,
    front_days=3.5,
    pm2_5=50,
    dirty_from=130,
    dirty_by=60,
    emissions=0.5,
)
"""Temperature, wind speed, humidity and rain about as measured; clouds, directions and fronts guessed; level of PM2.5,
the dirty side and emissions set to fit the data that they are compared with."""

STATIONS: Final = {
    "Aotizhongxin": (0, 9),
    "Changping": (-14, 36),
    "Dingling": (-15, 43),
    "Dongsi": (2, 3),
    "Guanyuan": (-5, 3),
    "Gucheng": (-19, 1),
    "Huairou": (20, 48),
    "Nongzhanguan": (5, 4),
    "Shunyi": (22, 26),
    "Tiantan": (1, -1),
    "Wanliu": (-9, 10),
    "Wanshouxigong": (-4, -2),
}
"""km east and north of the centre, about."""

_TOWN_NODES: Final = 240
_TOWN_DAYS: Final = 91
_TOWN_FROM: Final = 1_456_790_400
"""2016-03-01, as the water meters' data begin."""
_AIR_FROM: Final = 1_362_096_000
"""2013-03-01, as the air's data begin."""
_HOUR: Final = 3600


def stations(homes_km2: float = 1000.0, thinner_km: float = 30.0) -> list[District]:
    """A district around each station of Beijing, so many homes per km² in the centre and fewer outwards."""
    bare = [District(name, x, y, homes=1) for name, (x, y) in STATIONS.items()]
    areas = Boxes(bare).areas / 1e6
    return [
        District(d.name, d.x_km, d.y_km, int(homes_km2 * area * np.exp(-np.hypot(d.x_km, d.y_km) / thinner_km)))
        for d, area in zip(bare, areas.tolist(), strict=True)
    ]


def live_air(
    climate: Climate, districts: Sequence[District], begin: int, days: int, seed: int = 1
) -> tuple[Floats, Floats]:
    """Hourly means at one station a district, shape (hours, stations, fields), and the wind (m/s), shape (hours,)."""
    weather_seed, air_seed = np.random.SeedSequence(seed).spawn(2)
    weather = Weather(weather_seed, climate)
    air = Air(air_seed, districts, np.arange(len(districts)), climate)
    # Vehicle-km a minute: 30 for each thousand homes at the height of a working day.
    height = np.array([0.03 * d.homes for d in districts])
    profile = [demand(free)[HEADS.index("both")] for free in (False, True)]
    hours, winds = np.zeros((days * 24, len(districts), len(fields))), np.zeros(days * 24)
    for minute in range(days * 1440):
        second = begin + 60 * minute
        sky = weather.step(second)
        emission = height * profile[weekend(second)][minute % 1440]
        hours[minute // 60] += air.step(second, sky, emission, ()) / 60
        winds[minute // 60] += sky.wind / 60
    return hours, winds


def weekend(second: int) -> bool:
    return (second // 86_400 + 3) % 7 >= 5  # 1970-01-01 was a Thursday


def beats(values: Floats, lag: int) -> float:
    """Autocorrelation at a lag of one series, where both are known."""
    before, after = values[:-lag], values[lag:]
    known = np.isfinite(before + after)
    return float(np.corrcoef(before[known], after[known])[0, 1])


def pairs(values: Floats) -> tuple[Floats, Floats]:
    """(km apart, correlation) of each pair of stations."""
    at = np.array(list(STATIONS.values()), float)
    found = []
    for one in range(len(at)):
        for other in range(one):
            known = np.isfinite(values[:, one] + values[:, other])
            correlated = np.corrcoef(values[known, one], values[known, other])[0, 1]
            found.append((np.hypot(*(at[one] - at[other])), correlated))
    away, correlation = np.array(sorted(found)).T
    return away, correlation


class Real:
    """What was measured, read from `folder` when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _table(self, name: str) -> list[list[str]]:
        with gzip.open(self._folder / name, "rt", newline="") as lines:
            return list(csv.reader(lines))[1:]

    @cached_property
    def pm2_5(self) -> Floats:
        """(hours, stations), NaN where unknown."""
        return _numbers(self._table("air/beijing_PM25_2013-2015.csv.gz"))

    @cached_property
    def wind(self) -> Floats:
        return _numbers(self._table("air/beijing_meteo_2013-2015.csv.gz"))[:, -1]

    @cached_property
    def bridge(self) -> tuple[Floats, Ints]:
        """(bicycles of each hour, hours since 1970), of whole days."""
        table = self._table("traffic/fremont_bridge_hourly_2012-2015.csv.gz")
        at = [datetime.strptime(row[0] + " +0000", "%m/%d/%Y %I:%M:%S %p %z") for row in table]
        return _numbers(table).sum(axis=1), np.array([int(each.timestamp()) // _HOUR for each in at])

    @cached_property
    def meters(self) -> list[tuple[Floats, int]]:
        """Of each home (litres by day and hour, NaN where unknown; first day since 1970).

        Without homes of less than 60 whole days, and without those that stand empty or hardly ever rest: they leak.
        """
        table = _numbers([["", *row] for row in self._table("water/daiad_hourly_meters_even.csv.gz")])
        found = []
        for user in np.unique(table[:, 0]):
            of = table[table[:, 0] == user]
            second, register = of[np.argsort(of[:, 1], kind="stable"), 1:3].T
            apart, litres = np.diff(second), np.diff(register)
            good = (apart > 3000) & (apart < 4200) & (litres >= 0) & (litres < 1500)
            first = int(second[0]) // 86_400
            hours = np.full((int(second[-1]) // 86_400 - first + 1, 24), np.nan)
            hours.ravel()[((second[1:][good] - 1800) // _HOUR).astype(int) - first * 24] = litres[good]
            full = hours[np.isfinite(hours).all(axis=1)]
            if len(full) >= 60 and full.sum(axis=1).mean() > 20 and (full.min(axis=1) > 0).mean() < 0.05:
                found.append((hours, first))
        return found


class Lived:
    """The city, lived for as long as is worth comparing when somebody asks."""

    @cached_property
    def _beijing(self) -> tuple[Floats, Floats]:
        return live_air(BEIJING, stations(), _AIR_FROM, 730)

    @property
    def pm2_5(self) -> Floats:
        return self._beijing[0][:, :, fields.index("pm2_5")]

    @property
    def wind(self) -> Floats:
        return self._beijing[1]

    @cached_property
    def _town(self) -> tuple[Floats, Floats]:
        """(vehicles at each counter, litres at each meter) by hour."""
        town = City(Scenario("compare"), places(_TOWN_NODES), seed=1, start=_TOWN_FROM)
        slots = {kind: [p.slot for p in places(_TOWN_NODES) if p.kind == kind] for kind in ("traffic", "water")}
        counted, used = np.zeros((2, _TOWN_DAYS * 24, _TOWN_NODES))
        for minute in range(_TOWN_DAYS * 1440):
            seen = town.minute()
            counted[minute // 60] += (seen[:, 0] + seen[:, 2]) / 60
            used[minute // 60] += seen[:, 0] / 60
        return counted[:, slots["traffic"]], used[:, slots["water"]]

    @property
    def bridge(self) -> tuple[Floats, Ints]:
        counted = self._town[0]
        return counted.sum(axis=1), _TOWN_FROM // _HOUR + np.arange(len(counted))

    @property
    def meters(self) -> list[tuple[Floats, int]]:
        # A register shows whole litres, as those of the data.
        litres = np.diff(np.floor(np.cumsum(self._town[1], axis=0)), axis=0, prepend=0)
        return [(home.reshape(-1, 24), _TOWN_FROM // 86_400) for home in litres.T]


def _numbers(table: list[list[str]]) -> Floats:
    """All but the first column, NaN where nothing is written."""
    return np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in table])
