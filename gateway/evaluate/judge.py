"""Detectors over the rows of a file, in the file's order; what is said of a row depends on the rows up to it alone."""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from msgspec import Struct

from gateway.detect.memory import Bools, Floats, Ints
from gateway.evaluate.table import Layout, Row
from gateway.evaluate.verdict import Detector


class Judged(Struct, frozen=True):
    """One row of the output."""

    time: str
    """As it is written in the input."""
    series: str
    value: str
    """As it is written in the input; empty when there is none."""
    score: float
    """0..1."""
    alarm: int
    """1 in the one row that raises an alarm."""
    reason: str
    """A sentence where `alarm` is 1: what was seen, what was expected."""


def judge(
    rows: Iterable[Row], layout: Layout, detector: Detector, block: int, wait: Callable[[], bool] = lambda: False
) -> Iterator[list[Judged]]:
    """What is said of each row; of a wide file one for each of its columns.

    `block`: rows that are judged at a time, fewer when `wait` says that the next one is not there yet.
    """
    if layout.series >= 0:
        yield from _long(rows, detector, block, wait)
        return
    everything = slice(None)
    names = layout.names
    for row in rows:
        values = np.array(row.values)
        time = np.full(len(values), row.time, np.int64)
        score, alarm, reason = detector.step(everything, time, values)
        scores = _shown(score, values, alarm)
        yield [
            Judged(row.stamp, name, row.texts[at], scores[at], int(alarm[at]), reason(at) if alarm[at] else "")
            for at, name in enumerate(names)
        ]


def _long(rows: Iterable[Row], detector: Detector, block: int, wait: Callable[[], bool]) -> Iterator[list[Judged]]:
    """Of each series one row a call, many series at once: the first row of each in the block, then the second ..."""
    numbers: dict[str, int] = {}
    source = iter(rows)
    while part := list(_block(source, block, wait)):
        series = np.array([numbers.setdefault(row.series, len(numbers)) for row in part])
        detector.grow(len(numbers))
        time = np.array([row.time for row in part], np.int64)
        values = np.array([row.values[0] for row in part])
        score = np.zeros(len(part))
        reasons: dict[int, str] = {}
        for places in _rounds(series):
            found = detector.step(series[places], time[places], values[places])
            score[places] = found.score
            for at in np.flatnonzero(found.alarm).tolist():
                reasons[int(places[at])] = found.reason(at)
        alarms = np.isin(np.arange(len(part)), list(reasons))
        scores = _shown(score, values, alarms)
        yield [
            Judged(row.stamp, row.series, row.texts[0], scores[at], int(at in reasons), reasons.get(at, ""))
            for at, row in enumerate(part)
        ]


def _block(rows: Iterator[Row], most: int, wait: Callable[[], bool]) -> Iterator[Row]:
    for row in itertools.islice(rows, most):
        yield row
        if wait():
            return


def _rounds(series: Ints) -> Iterator[Ints]:
    """Places of the first row of each series, of the second ..."""
    order = np.argsort(series, kind="stable")
    ordered = series[order]
    begins = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    nth = np.arange(len(series)) - np.repeat(begins, np.diff(np.append(begins, len(series))))
    by_nth = np.argsort(nth, kind="stable")
    yield from np.split(order[by_nth], np.cumsum(np.bincount(nth))[:-1])


def _shown(score: Floats, values: Floats, alarm: Bools) -> list[float]:
    """Missing values say nothing, but for what they end: the hour before may be judged with them."""
    shown: list[float] = np.where(np.isnan(values) & ~alarm, 0.0, np.clip(score, 0, 1)).round(9).tolist()
    return shown
