"""Scores by the published rules of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015, arXiv:1510.03336; numenta/NAB
1.1): early detections in labelled windows count, detections elsewhere cost the more the farther they are from a window.
Pure.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from gateway.detect.memory import Bools, Floats, Ints

PROBATION: Final = 0.15
"""Part of a file that is not scored, of at most `PROBATION_ROWS` rows."""
PROBATION_ROWS: Final = 5000


class Profile(Struct, frozen=True):
    """What detections are worth: the application's."""

    hit: float
    missed: float
    false: float


PROFILES: Final[dict[str, Profile]] = {
    "standard": Profile(1.0, 1.0, 0.11),
    "low-FP": Profile(1.0, 1.0, 0.22),
    "low-FN": Profile(1.0, 2.0, 0.11),
}


class Labelled(Struct, frozen=True):
    """A file: how many rows, and the rows that begin and end each window."""

    rows: int
    windows: list[tuple[int, int]]


class Score(Struct, frozen=True):
    score: float
    """0 of a detector that says nothing, 100 of a perfect one; below 0 for worse than nothing."""
    threshold: float
    """Detections are the scores at or above it."""
    windows: int
    hit: int
    false: int
    """Detected rows outside of windows."""


def worth(distance: Floats | float) -> Floats:
    """The scaled sigmoid: 1 far before the end of a window, 0 at its end, -1 far behind it.

    `distance` from the window's end, in its widths. More than 3 widths behind is far.
    """
    distance = np.asarray(distance, np.float64)
    return np.where(distance > 3, -1.0, 2 / (1 + np.exp(5 * np.minimum(distance, 3))) - 1)


class _Rows(Struct, frozen=True):
    """Of all files, behind probation."""

    score: Floats
    worth: Floats
    window: Ints
    """Number of the window; -1 outside."""


def score(
    files: Mapping[str, Labelled], scores: Mapping[str, Floats], profile: Profile, threshold: float | None = None
) -> Score:
    """`scores`: of each file [rows], the higher the more anomalous. One `threshold` for all of them: that with the best
    total where none is given. Scores that are no numbers are no detections. KeyError for a file without scores.
    """
    rows = _gather(files, scores)
    windows = sum(len(each.windows) for each in files.values())
    if threshold is None:
        threshold = _best(rows, profile)
    detected = rows.score >= threshold
    best = _best_of_windows(rows, detected)
    outside = detected & (rows.window < 0)
    live = len(np.unique(rows.window[rows.window >= 0]))
    total = profile.false * rows.worth[outside].sum()
    total += sum(max(-profile.missed, profile.hit * each) for each in best) - profile.missed * (live - len(best))
    nothing, perfect = -profile.missed * windows, profile.hit * windows
    # Without windows there is nothing to find: what false detections cost is told as it is.
    normal = 100 * (total - nothing) / (perfect - nothing) if windows else 100 * total
    return Score(float(normal), float(threshold), windows, len(best), int(outside.sum()))


def _gather(files: Mapping[str, Labelled], scores: Mapping[str, Floats]) -> _Rows:
    parts = []
    before = 0
    for name, each in files.items():
        given = np.asarray(scores[name], np.float64)
        if len(given) != each.rows:
            raise ValueError(f"{name} has {each.rows} rows, but {len(given)} scores")
        value, window = _worths(each)
        live = math.floor(min(PROBATION * each.rows, PROBATION * PROBATION_ROWS))
        window = np.where(window >= 0, window + before, -1)
        parts.append((np.where(np.isfinite(given), given, -np.inf)[live:], value[live:], window[live:]))
        before += len(each.windows)
    return _Rows(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _worths(file: Labelled) -> tuple[Floats, Ints]:
    """What a detection in each row is worth, unweighted, and the window it is in."""
    value = np.full(file.rows, -1.0)
    window = np.full(file.rows, -1)
    row = np.arange(file.rows)
    ends = [*(first for first, _ in file.windows), file.rows][1:]
    for number, ((first, last), end) in enumerate(zip(file.windows, ends, strict=True)):
        width = last - first + 1
        inside = row[first : last + 1]
        value[inside] = worth(-(last - inside + 1) / width) / worth(-1.0)
        window[inside] = number
        behind = row[last + 1 : end]
        value[behind] = worth((behind - last) / max(width - 1, 1e-9))
    return value, window


def _best_of_windows(rows: _Rows, detected: Bools) -> list[float]:
    """The worth of the best detection in each window that has one."""
    hits = detected & (rows.window >= 0)
    order = np.argsort(rows.window[hits], kind="stable")
    windows, values = rows.window[hits][order], rows.worth[hits][order]
    if not len(windows):
        return []
    begins = np.flatnonzero(np.concatenate(([True], windows[1:] != windows[:-1])))
    best: list[float] = np.maximum.reduceat(values, begins).tolist()
    return best


def _best(rows: _Rows, profile: Profile) -> float:
    """The threshold with the best total: as it falls, each row adds what it changes. Of equals the highest."""
    order = np.argsort(-rows.score, kind="stable")
    window, value = rows.window[order], rows.worth[order]
    adds = np.where(window < 0, profile.false * value, 0.0)
    inside = np.flatnonzero(window >= 0)
    inside = inside[np.argsort(window[inside], kind="stable")]
    cuts = np.flatnonzero(np.diff(window[inside])) + 1
    for places in np.split(inside, cuts) if len(inside) else ():
        reached = np.maximum(np.maximum.accumulate(profile.hit * value[places]), -profile.missed)
        adds[places] = np.diff(reached, prepend=-profile.missed)
    total = np.cumsum(adds)
    falling = rows.score[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    best = int(last[np.argmax(total[last])]) if len(last) else -1
    return float(falling[best]) if best >= 0 and total[best] > 0 else math.inf


def rows_of(stamps: Sequence[str], windows: Sequence[tuple[str, str]]) -> Labelled:
    """Windows given by timestamps, as they are in the labels: to the second, the first row of each counts.

    Raises KeyError for a stamp that is in no row.
    """
    first: dict[str, int] = {}
    for row, stamp in enumerate(stamps):
        first.setdefault(stamp[:19], row)
    return Labelled(len(stamps), [(first[begin[:19]], first[end[:19]]) for begin, end in windows])


def halves(names: Sequence[str], times: int) -> list[tuple[list[str], list[str]]]:
    """Ways to part files for cross-validation, each with the two parts the other way round: the threshold of one half
    is used on the other. Drawn anew from the same seed each time.
    """
    random = np.random.default_rng(0)
    parted = []
    for _ in range(times):
        order = random.permutation(len(names))
        left = sorted(names[at] for at in order[: len(names) // 2])
        right = sorted(names[at] for at in order[len(names) // 2 :])
        parted.append((left, right))
    return list(itertools.chain.from_iterable(((left, right), (right, left)) for left, right in parted))
