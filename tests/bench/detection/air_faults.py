"""How soon faults put into one station of a real city are found, and how often a sound station is blamed."""

import csv
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from gateway.detect.air.fault import HOUR, Fault
from gateway.detect.memory import Floats
from tests.bench.result import Result, result

DATA: Final = Path(__file__).parents[3].parent / "shared" / "data" / "air"
QUANTITIES: Final = ("PM25", "NO2", "PM10", "O3", "SO2", "CO")
MONTH: Final = 730.5
"""Hours."""
FIRST: Final = 120 * 24
"""Hours before the first fault: the stations are known by then."""
LASTS: Final = 40 * 24
"""Hours that a fault is watched for."""
STARTS: Final = 6
SEED: Final = 6
FAULTS: Final[dict[str, Callable[[Floats, Floats], Floats]]] = {
    "offset 40 ug/m3": lambda x, hours: x + 40,
    "gain 2": lambda x, hours: x * 2,
    "zero": lambda x, hours: x * 0,
    "drift to 2 in 30 days": lambda x, hours: x * (1 + np.minimum(hours / 720, 1)),
}


def results(folder: Path = DATA) -> Iterator[Result]:
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
    with gzip.open(path, "rt") as lines:
        rows = list(csv.reader(lines))[1:]
    return np.array([[float(each) if each else np.nan for each in row[1:]] for row in rows])


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
    passed = np.arange(len(values), dtype=np.float64)
    for number, change in enumerate(FAULTS.values()):
        for station in range(stations):
            frames[:, number * stations + station, station] = change(values[:, station], passed)
    fork = Fault(stations, layers)
    fork.memory = rule.memory.take(np.tile(np.arange(stations), layers))
    own = np.arange(layers), np.arange(layers) % stations
    first = np.full(layers, np.inf)
    for hour, frame in enumerate(frames):
        alarm = fork.step((start + hour) * HOUR, frame).alarm[own]
        # what alarms with the fault's first frame was judged without it
        first = np.where(alarm & np.isinf(first) & (hour > 0), hour, first)
    return first.reshape(len(FAULTS), stations)
