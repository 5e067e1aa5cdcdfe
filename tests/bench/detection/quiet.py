"""Alarms of the generic detector on real hourly series that nobody has touched: nearly all of them are false."""

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from gateway.detect.core import Core
from tests.bench.result import Result, result

DATA = Path(__file__).parents[3].parent / "shared" / "data"
MONTH_S = 86400 * 365.2425 / 12
Series = tuple[np.ndarray, np.ndarray]
"""Times in Unix s, values."""


def results() -> Iterator[Result]:
    for name, series in (("pm25", air("PM25")), ("no2", air("NO2")), ("bridge", bridge()), ("water", meters())):
        alarms, months = raised(series)
        yield result(
            "detection", "false_alarms_per_node_month", alarms / months, "1/month", data=f"generic {name}",
            series=len(series), alarms=alarms, months=months,
        )  # fmt: skip


def raised(series: list[Series]) -> tuple[int, float]:
    """The alarms, and the months of all series together."""
    core = Core(len(series))
    alarms = 0
    for row in range(max(len(time) for time, _ in series)):
        rows = np.array([number for number, (time, _) in enumerate(series) if row < len(time)])
        time, value = (np.array([series[number][column][row] for number in rows]) for column in (0, 1))
        alarms += int(core.step(rows, time, value).alarm.sum())
    return alarms, sum(float(np.ptp(time)) for time, _ in series) / MONTH_S


def air(quantity: str) -> list[Series]:
    return _columns(DATA / "air" / f"beijing_{quantity}_2013-2015.csv.gz", "%Y-%m-%d %H:%M:%S")


def bridge() -> list[Series]:
    return _columns(DATA / "traffic" / "fremont_bridge_hourly_2012-2015.csv.gz", "%m/%d/%Y %I:%M:%S %p")


def meters() -> list[Series]:
    """Litres an hour."""
    rows: dict[str, list[tuple[int, float]]] = {}
    for user, epoch, _, litres in _read(DATA / "water" / "daiad_hourly_meters_even.csv.gz")[1:]:
        rows.setdefault(user, []).append((int(epoch), float(litres)))
    return [(np.array([t for t, _ in each]), np.array([v for _, v in each])) for each in rows.values()]


def _columns(path: Path, form: str) -> list[Series]:
    head, *rows = _read(path)
    time = np.array([int(datetime.strptime(row[0], form).replace(tzinfo=UTC).timestamp()) for row in rows])
    return [(time, np.array([float(row[column] or "nan") for row in rows])) for column in range(1, len(head))]


def _read(path: Path) -> list[list[str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.reader(file))
