"""Air that was measured, for tests that hold the city against it: hourly PM2.5 of 12 stations in Beijing."""

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DATA = Path(os.environ.get("GANGLION_DATA", Path(__file__).parents[3] / "shared" / "data")) / "air"
HOURS_FROM = 1_362_096_000
"""2013-03-01, Unix seconds."""


class Shape(Struct, frozen=True):
    """What hours of air at several stations look like, whatever their level."""

    kept_1h: float
    """Autocorrelation of the logarithm, mean of the stations."""
    kept_24h: float
    day: float
    """Highest over lowest hour of the day, of medians over days and stations."""
    night_over_afternoon: float
    """Median from 20 to 6 over that from 12 to 17."""
    together: float
    """Mean correlation of two stations."""
    calm: float
    """Median below 1 m/s of wind, over that of all hours."""
    windy: float
    """From 4 m/s."""
    skewness: float
    skewness_of_log: float
    spread_of_log: float


def column(name: str) -> Floats:
    """(hours, stations), NaN where unknown."""
    path = DATA / f"beijing_{name}_2013-2015.csv.gz"
    if not path.exists():
        pytest.skip(f"no real air to hold the city against: {path} is absent; set GANGLION_DATA to the data's folder")
    with gzip.open(path, "rt", newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    return np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])


def shape(pm2_5: Floats, wind: Floats) -> Shape:
    """Of (hours, stations) from midnight on, and the wind of each hour."""
    logs = np.log(np.maximum(pm2_5, 1))
    known = np.isfinite(pm2_5)
    flat, flat_log = pm2_5[known], logs[known]
    days = pm2_5.reshape(-1, 24, pm2_5.shape[1])
    by_hour = np.nanmedian(days, axis=(0, 2))
    there = known.any(axis=1) & np.isfinite(wind)
    level, wind = np.nanmedian(pm2_5[there], axis=1), wind[there]
    stations = range(pm2_5.shape[1])
    return Shape(
        kept_1h=float(np.mean([kept(logs[:, each], 1) for each in stations])),
        kept_24h=float(np.mean([kept(logs[:, each], 24) for each in stations])),
        day=by_hour.max() / by_hour.min(),
        night_over_afternoon=np.nanmedian(days[:, [*range(20, 24), *range(6)]]) / np.nanmedian(days[:, 12:17]),
        together=float(np.mean([alike(pm2_5[:, a], pm2_5[:, b]) for a in stations for b in range(a)])),
        calm=np.median(level[wind < 1]) / np.median(level),
        windy=np.median(level[wind >= 4]) / np.median(level),
        skewness=skewness(flat),
        skewness_of_log=skewness(flat_log),
        spread_of_log=flat_log.std(),
    )


def alike(one: Floats, other: Floats) -> float:
    known = np.isfinite(one + other)
    return float(np.corrcoef(one[known], other[known])[0, 1])


def kept(values: Floats, lag: int) -> float:
    return alike(values[:-lag], values[lag:])


def skewness(values: Floats) -> float:
    return float(((values - values.mean()) ** 3).mean() / values.std() ** 3)
