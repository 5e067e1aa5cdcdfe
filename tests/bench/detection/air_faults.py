"""How soon faults put into one station of a real city are found, and how often a sound station is blamed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from gateway.detect.air.fault import HOUR, Fault
from gateway.detect.memory import Floats
from gateway.evaluate import inject
from gateway.evaluate.series import read_series
from gateway.evaluate.table import Columns
from tests.bench.detection.data import DATA
from tests.bench.result import Result, result

AIR: Final = DATA / "air"
QUANTITIES: Final = ("PM25", "NO2", "PM10", "O3", "SO2", "CO")
MONTH: Final = 730.5
"""Hours."""
FIRST: Final = 120 * 24
"""Hours before the first fault: the stations are known by then."""
LASTS: Final = 40 * 24
"""Hours that a fault is watched for."""
STARTS: Final = 6
SEED: Final = 6
FAULTS: Final[dict[str, inject.Fault]] = {
    "offset 40 ug/m3": "offset",
    "gain 2": "gain",
    "zero": "zero",
    "drift to 2 in 30 days": "drift",
}


def results(folder: Path = AIR) -> Iterator[Result]:
    """False alarms of each quantity; time to find and share found of each fault in PM2.5. Needs the folder's files."""
    for quantity in QUANTITIES:
        values = _read(folder / f"beijing_{quantity}_2013-2015.csv.gz")
        months = values.size / MONTH
        rate = _alarms(values) / months
        yield result("detection", "false_alarms_per_node_month", rate, "1/month", data=f"stations {quantity}")
    values = _read(folder / "beijing_PM25_2013-2015.csv.gz")
    for name, hours in zip(FAULTS, _injected(values).reshape(len(FAULTS), -1), strict=True):
        found = np.isfinite(hours)
        where = {"fault": name, "runs": hours.size, "seed": SEED}
        yield result("detection", "air_fault_hours_median", float(np.median(hours)), "h", **where)
        yield result("detection", "air_fault_found", float(found.mean()), "share", **where)


def _read(path: Path) -> Floats:
    """(hours, stations)."""
    return np.stack([each.values for each in read_series(path, Columns(wide=True)).series], axis=1)


def _alarms(values: Floats) -> int:
    rule = Fault(values.shape[1])
    return sum(int(rule.step(hour * HOUR, frame).alarm.sum()) for hour, frame in enumerate(values))


def _injected(values: Floats) -> Floats:
    """Hours to the first alarm, (faults, starts * stations); infinite where there is none, or one stood already."""
    hours, stations = values.shape
    starts = np.sort(np.random.default_rng(SEED).integers(FIRST, hours - LASTS, STARTS))
    rule, at, times = Fault(stations), 0, []
    for start in starts:
        for hour in range(at, start):
            rule.step(hour * HOUR, values[hour])
        at = int(start)
        times.append(_one_start(rule, values[at : at + LASTS], at))
    return np.concatenate(times, axis=1)


def _one_start(rule: Fault, values: Floats, start: int) -> Floats:
    """Every fault in every station, each in a layer that remembers what `rule` does, side by side."""
    stations = values.shape[1]
    layers = len(FAULTS) * stations
    frames = np.repeat(values[:, None], layers, axis=1)
    time = np.arange(len(values)) * HOUR
    for number, kind in enumerate(FAULTS.values()):
        for station in range(stations):
            faulty = inject.inject_fault(values[:, station], time, kind, 0)
            frames[:, number * stations + station, station] = faulty
    fork = Fault(stations, layers)
    fork.memory = rule.memory.take(np.tile(np.arange(stations), layers))
    own = np.arange(layers), np.arange(layers) % stations
    first = np.full(layers, np.inf)
    for hour, frame in enumerate(frames):
        alarm = fork.step((start + hour) * HOUR, frame).alarm[own]
        # what alarms with the fault's first frame was judged without it
        first = np.where(alarm & np.isinf(first) & (hour > 0), hour, first)
    return first.reshape(len(FAULTS), stations)
