"""Whole series of a file, and detectors run over many of them at once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gateway.detect.memory import Bools, Floats, Ints
from gateway.evaluate.table import Columns, Table
from gateway.evaluate.verdict import Detector


class Series(NamedTuple):
    name: str
    stamps: list[str]
    """[n] times as they are written."""
    time: Ints
    """[n] Unix seconds."""
    values: Floats
    """[n], NaN: missing."""


class Run(NamedTuple):
    """What a detector says of a series."""

    score: Floats
    """[n] 0..1, 0 where the value is missing."""
    alarm: Bools
    """[n]"""


class Contents(NamedTuple):
    series: list[Series]
    remarks: list[str]
    """See `Table.remarks`."""


def read_series(path: Path, columns: Columns) -> Contents:
    """All series of a file, in order of appearance. Raises FileError; a file without rows is one too few to judge."""
    stamps: dict[str, list[str]] = {}
    times: dict[str, list[int]] = {}
    values: dict[str, list[list[float]]] = {}
    with Table.opened(path, columns) as (table, _):
        for row in table:
            stamps.setdefault(row.series, []).append(row.stamp)
            times.setdefault(row.series, []).append(row.time)
            values.setdefault(row.series, []).append(row.values)
        names = table.layout.names
    found = []
    for key, stamp in stamps.items():
        time, array = np.array(times[key], np.int64), np.array(values[key])
        found += [Series(key or name, stamp, time, array[:, at].copy()) for at, name in enumerate(names)]
    return Contents(found, table.remarks())


def run_each(series: Sequence[Series], detector: Detector, tick: Callable[[], None] = lambda: None) -> list[Run]:
    """Each series by itself: the first rows of all, the second ones ... `tick` is called now and then."""
    lengths = np.array([len(each.time) for each in series])
    order = np.argsort(-lengths, kind="stable")  # the longest first: those that go on are a slice
    longest = int(lengths.max(initial=0))
    time = np.zeros((longest, len(series)), np.int64)
    values = np.full((longest, len(series)), np.nan)
    for column, at in enumerate(order):
        time[: lengths[at], column] = series[at].time
        values[: lengths[at], column] = series[at].values
    going = np.count_nonzero(lengths[None, :] > np.arange(longest)[:, None], axis=1) if longest else []
    score, alarm = np.zeros(time.shape), np.zeros(time.shape, np.bool_)
    for row, count in enumerate(going):
        rows = slice(0, int(count))
        found = detector.step(rows if count < len(series) else slice(None), time[row, rows], values[row, rows])
        score[row, rows], alarm[row, rows] = found.score, found.alarm
        if row % 200 == 0:
            tick()
    score[np.isnan(values)] = 0
    place = np.argsort(order)
    return [Run(score[: lengths[at], place[at]], alarm[: lengths[at], place[at]]) for at in range(len(series))]


def run_together(time: Ints, values: Floats, detector: Detector, tick: Callable[[], None] = lambda: None) -> Run:
    """The columns of one site. `time` [n], `values` [n, series]: gives arrays [n, series]."""
    score, alarm = np.zeros(values.shape), np.zeros(values.shape, np.bool_)
    for row in range(len(time)):
        found = detector.step(slice(None), np.full(values.shape[1], time[row]), values[row])
        score[row], alarm[row] = found.score, found.alarm
        if row % 200 == 0:
            tick()
    score[np.isnan(values)] = 0
    return Run(score, alarm)
