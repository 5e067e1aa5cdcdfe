"""Means of the last ten minutes, minute by minute, of what a group's nodes say."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Floats, Floats32, Memory, column

MEAN: Final = 10
"""Minutes that a mean covers."""
OLD: Final = 5
"""Minutes that its oldest reading lies back, at least: half of the mean, so that it is not one gust."""


@dataclass(slots=True)
class Minutes(Memory):
    """Of each series, the last ten minutes of one quantity; 40 bytes."""

    value: Floats32 = column(np.float32, np.nan, (MEAN,))
    """[series, minute % 10]; NaN where nothing was said."""


def forget(minutes: Minutes, before: int, time: int) -> None:
    """`time` (Unix seconds, a whole minute) follows `before`: what was said of minutes between, nothing, is noted."""
    gap = min((time - before) // 60, MEAN + 1)
    for back in range(1, gap):
        minutes.value[:, (time // 60 - back) % MEAN] = np.nan


def mean(minutes: Minutes, time: int, value: Floats) -> Floats:
    """[n] over the ten minutes up to `time`, which has `value` [n]; NaN where less than half of them is known.

    `minutes` is the part of these series. That a mean is of a node whose minutes are few, as of one that reports every
    five, is no matter: its oldest reading has to lie back by half of the mean.
    """
    now = time // 60
    minutes.value[:, now % MEAN] = value
    known = ~np.isnan(minutes.value)
    ages = (now - np.arange(MEAN)) % MEAN
    whole = np.logical_or.reduce(known[:, ages >= OLD], axis=1)
    total = np.where(known, minutes.value, 0).sum(axis=1, dtype=np.float64)
    return np.where(whole, total / np.maximum(known.sum(axis=1), 1), np.nan)
