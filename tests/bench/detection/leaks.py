"""How soon leaks are found that are put into real homes' meters, and how often those are told a leak untouched."""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np

from gateway.detect.memory import Floats, Ints, Memory
from gateway.detect.water.leak import Leak
from gateway.detect.water.register import Registers
from tests.bench.detection.data import DATA
from tests.bench.result import Result, result

METERS: Final = DATA / "water" / "daiad_hourly_meters_even.csv.gz"
LEAKS: Final = (1, 5, 25, 100)
"""l/h."""
LASTS: Final = 14 * 86400
HISTORY: Final = 30 * 86400
MONTH: Final = 365.25 / 12 * 86400


@dataclass(frozen=True, slots=True)
class Meters:
    """Readings of each meter, [meters, most readings]; of meter i the first `count[i]` are there."""

    time: Ints
    register: Floats
    count: Ints


@dataclass(frozen=True, slots=True)
class Found:
    alarms: list[tuple[int, int, float, float]]
    """On untouched data: (meter, time, l/h, hours)."""
    months: float
    """Of all meters together."""
    hours: dict[int, Floats]
    """By leak in l/h: hours until each injection was told, NaN when it never was."""


def load(path: Path = METERS, most: int | None = None) -> Meters:
    """The meters of the file, or the first `most` of them."""
    readings: dict[str, tuple[list[int], list[float]]] = {}
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            if row["user"] not in readings and len(readings) == most:
                break
            times, values = readings.setdefault(row["user"], ([], []))
            times.append(int(row["epoch"]))
            values.append(float(row["meter_l"]))
    count = np.array([len(times) for times, _ in readings.values()])
    time = np.zeros((len(count), count.max()), np.int64)
    register = np.full(time.shape, np.nan)
    for meter, (times, values) in enumerate(readings.values()):
        time[meter, : len(times)] = times
        register[meter, : len(values)] = values
    return Meters(time, register, count)


def measure(meters: Meters, leaks: tuple[int, ...] = LEAKS, each: int = 8, seed: int = 0) -> Found:
    """Leaks begin `each` times in each meter at random, after HISTORY, and last LASTS; no two in the same run.

    A leak adds to the register what has leaked, in whole litres. All runs go on from the untouched one.
    """
    random = np.random.default_rng(seed)
    count = len(meters.count)
    first, last = meters.time[:, 0], meters.time[np.arange(count), meters.count - 1]
    begins = random.integers((first + HISTORY)[:, None], (last - LASTS)[:, None], (count, each))
    at = np.array([np.searchsorted(meters.time[i, : meters.count[i]], begins[i], "right") for i in range(count)])
    watch = _Watch(count)
    alarms = []
    known: dict[tuple[int, int], _Watch] = {}
    for place in range(meters.time.shape[1]):
        for meter, injection in np.argwhere(at == place):
            known[int(meter), int(injection)] = watch.part(np.array([meter]))
        rows = np.flatnonzero(place < meters.count)
        time = meters.time[rows, place]
        told, level, hours = watch.step(rows, time, meters.register[rows, place])
        alarms += [(int(rows[k]), int(time[k]), float(level[k]), float(hours[k])) for k in np.flatnonzero(told)]
    keys = sorted(known)
    meter, injection = np.array(keys).T
    begin, start = begins[meter, injection], at[meter, injection]
    parts = [known[key] for key in keys]
    found = {leak: _inject(meters, meter, start, begin, leak, _joined(parts), random) for leak in leaks}
    return Found(alarms, float((last - first).sum()) / MONTH, found)


def results() -> Iterator[Result]:
    """`leak_hours_median` and `leaks_found` for each size, and false alarms; none without the data."""
    if not METERS.exists():
        return
    meters = load()
    found = measure(meters)
    rate = len(found.alarms) / found.months
    on: dict[str, str | int | float] = {"meters": len(meters.count), "alarms_per_meter_month": rate}
    for leak, hours in found.hours.items():
        told = ~np.isnan(hours)
        median = float(np.median(np.where(told, hours, np.inf)))
        yield result("detection", "leak_hours_median", median, "h", litres_per_hour=leak, injections=len(hours), **on)
        yield result("detection", "leaks_found", float(told.mean()), "1", litres_per_hour=leak, **on)
    yield result("detection", "false_alarms_per_node_month", rate, "1/month", data="daiad home meters", rule="leak")


class _Watch:
    """Registers and their leaks."""

    def __init__(self, meters: int) -> None:
        self.registers, self.leak = Registers(), Leak()
        self.registers.grow(meters)
        self.leak.grow(meters)

    def step(self, rows: Ints, time: Ints, register: Floats) -> tuple[np.ndarray, Floats, Floats]:
        drawn = self.registers.step(rows, time, register)
        verdicts = self.leak.step(rows, time, drawn.litres, drawn.seconds)
        return verdicts.alarm, verdicts.level, verdicts.hours

    def part(self, rows: Ints) -> "_Watch":
        return _joined([self], rows)


def _joined(parts: list[_Watch], rows: Ints | slice = slice(None)) -> _Watch:
    """Copies of what the parts know, one after the other."""

    def join(memories: list[Memory]) -> Memory:
        kind = type(memories[0])
        names = [field.name for field in fields(kind)]
        return kind(**{name: np.concatenate([getattr(each, name)[rows] for each in memories]) for name in names})

    joined = _Watch(0)
    joined.registers.memory = join([each.registers.memory for each in parts])
    joined.leak.memory = join([each.leak.memory for each in parts])
    joined.leak.cells = join([each.leak.cells for each in parts])
    return joined


def _inject(
    meters: Meters, meter: Ints, start: Ints, begin: Ints, leak: int, watch: _Watch, random: np.random.Generator
) -> Floats:
    """[injections] hours until it is told."""
    hours = np.full(len(meter), np.nan)
    begun = random.uniform(0, 1, len(meter))  # litres of the register's last digit that are not seen yet
    place = start.copy()
    while True:
        place_ = np.minimum(place, meters.time.shape[1] - 1)
        time = meters.time[meter, place_]
        rows = np.flatnonzero((place < meters.count[meter]) & (time <= begin + LASTS))
        if not len(rows):
            return hours
        leaked = np.floor(begun[rows] + leak * (time - begin)[rows] / 3600)
        told, _, _ = watch.step(rows, time[rows], meters.register[meter[rows], place_[rows]] + leaked)
        news = rows[told]
        news = news[np.isnan(hours[news])]
        hours[news] = (time - begin)[news] / 3600
        place += 1
