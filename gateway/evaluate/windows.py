"""Alarms held against labelled windows of one series: hits, delays, false alarms. Pure."""

import numpy as np
from msgspec import Struct

from gateway.detect.memory import Bools, Floats, Ints

MONTH_S = 30.4375 * 86_400
"""A twelfth of 365.25 days."""


class Held(Struct, frozen=True):
    windows: int
    hit: int
    """Windows with an alarm."""
    delays_h: list[float]
    """Of those, from the window's beginning to its first alarm."""
    alarms: int
    false: int
    """Alarms outside of windows."""
    months: float
    """Between the first and the last row outside of windows, gaps longer than a day left out."""


def hold(time: Ints, alarm: Bools, windows: list[tuple[int, int]]) -> Held:
    """`time` [n] Unix seconds, `alarm` [n], `windows` as (first, last) seconds, both inside."""
    inside = np.zeros(len(time), np.bool_)
    delays = []
    for first, last in windows:
        within = (time >= first) & (time <= last)
        inside |= within
        found = time[within & alarm]
        if len(found):
            delays.append(float(found.min() - first) / 3600)
    return Held(
        len(windows), len(delays), delays, int(alarm.sum()), int((alarm & ~inside).sum()), months(time[~inside])
    )


def months(time: Ints) -> float:
    """How long a series was watched: the steps between its rows, each counted as a day at most."""
    return float(np.clip(np.diff(time), 0, 86_400).sum()) / MONTH_S


def median(values: list[float] | Floats) -> float:
    """NaN of nothing."""
    return float(np.median(values)) if len(values) else float("nan")
