"""Alarms of the generic detector on real hourly series that nobody has touched: nearly all of them are false."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from gateway.evaluate.adapters import detector
from gateway.evaluate.series import read_series, run_each
from gateway.evaluate.table import Columns
from gateway.evaluate.windows import MONTH_S
from tests.bench.detection.data import DATA
from tests.bench.result import Result, result

SETS: Final[dict[str, tuple[Path, Columns]]] = {
    "pm25": (DATA / "air" / "beijing_PM25_2013-2015.csv.gz", Columns(wide=True)),
    "no2": (DATA / "air" / "beijing_NO2_2013-2015.csv.gz", Columns(wide=True)),
    "bridge": (DATA / "traffic" / "fremont_bridge_hourly_2012-2015.csv.gz", Columns(wide=True)),
    "water": (DATA / "water" / "daiad_hourly_meters_even.csv.gz", Columns(series="user", value="diff_l")),
}


def results() -> Iterator[Result]:
    for name, (path, columns) in SETS.items():
        series = read_series(path, columns).series
        runs = run_each(series, detector("generic", len(series), together=False))
        alarms = sum(int(run.alarm.sum()) for run in runs)
        months = sum(float(np.ptp(each.time)) for each in series) / MONTH_S
        yield result(
            "detection", "false_alarms_per_node_month", alarms / months, "1/month", data=f"generic {name}",
            series=len(series), alarms=alarms, months=months,
        )  # fmt: skip
