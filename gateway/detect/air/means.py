"""Means of the last ten minutes, minute by minute, of what a group's nodes say."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, column

MEAN: Final = 10
"""Minutes that a mean covers."""
OLD: Final = 5
"""Minutes that its oldest reading lies back, at least: half of the mean, so that it is not one gust."""


@dataclass(slots=True)
class Minutes(Memory):
    """Of each series, the last ten minutes of one quantity; 57 bytes."""

    value: Floats32 = column(np.float32, np.nan, (MEAN,))
    """[series, minute % 10]; NaN where nothing was said."""
    last: Ints = column(np.int64)
    """Unix seconds of the newest minute in which something was said."""
    gap: Ints = column(np.int64)
    """Seconds between it and the one before."""
    slow: Bools = column(np.bool_)
    """Whether that and the gap before are of `OLD` minutes or more: each of its windows is half a mean by itself."""


def forget(minutes: Minutes, before: int, time: int) -> None:
    """`time` (Unix seconds, a whole minute) follows `before`: nothing was said in the minutes between."""
    gap = min((time - before) // 60, MEAN + 1)
    for back in range(1, gap):
        minutes.value[:, (time // 60 - back) % MEAN] = np.nan


def mean(minutes: Minutes, time: int, value: Floats) -> Floats:
    """[n] over the ten minutes up to `time`, which has `value` [n]; NaN where less than half of them is known.

    `minutes` is the part of these series. Half is known where the oldest reading lies back by that much, be there many
    or two between, or where one window is as long.
    """
    now = time // 60
    minutes.value[:, now % MEAN] = value
    said = ~np.isnan(value)
    gap = np.where(minutes.last > 0, time - minutes.last, 0)
    minutes.slow[:] = np.where(said, np.minimum(gap, minutes.gap) >= 60 * OLD, minutes.slow)
    minutes.gap[:] = np.where(said, gap, minutes.gap)
    minutes.last[:] = np.where(said, time, minutes.last)
    known = ~np.isnan(minutes.value)
    count = known.sum(axis=1)
    ages = (now - np.arange(MEAN)) % MEAN
    half = np.logical_or.reduce(known[:, ages >= OLD], axis=1) | (minutes.slow & (count > 0))
    total = np.where(known, minutes.value, 0).sum(axis=1, dtype=np.float64)
    return np.where(half, total / np.maximum(count, 1), np.nan)


def median(value: Floats) -> float:
    """Of what is known; NaN where nothing is."""
    ordered = np.sort(value)  # NaN last
    known = len(value) - int(np.count_nonzero(np.isnan(value)))
    return float((ordered[(known - 1) // 2] + ordered[known // 2]) / 2) if known else np.nan


def moves(minutes: Minutes) -> Bools:
    """[n] where what was said in the last ten minutes was not the same three times or more, and nothing else."""
    known = ~np.isnan(minutes.value)
    least = np.where(known, minutes.value, np.inf).min(axis=1)
    most = np.where(known, minutes.value, -np.inf).max(axis=1)
    found: Bools = (most > least) | (known.sum(axis=1) < 3)
    return found
