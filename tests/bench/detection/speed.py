"""How many readings a second the generic detector judges, in one thread."""

from collections.abc import Iterator
from time import perf_counter

import numpy as np

from gateway.detect.core import Core
from tests.bench.result import Result, result

STEPS = 400
WARM = 200
"""Steps before the clock runs: so that evidences are ranked, and profiles known."""
EVERY_S = 900


def results() -> Iterator[Result]:
    for series in (1_000, 10_000):
        took = steps(series)
        yield result(
            "detection", "points_per_second", series / float(np.median(took)), "1/s", series=series, steps=len(took),
            at_best=series / min(took),
        )  # fmt: skip


def steps(series: int) -> list[float]:
    """Seconds that each step over all series took: skewed noise with a day's swing, at times of their own."""
    chance = np.random.default_rng(0)
    start = 1_700_000_000 + chance.integers(0, 86400, series)
    core = Core(series)
    took = []
    for number in range(WARM + STEPS):
        time = start + EVERY_S * number
        value = chance.gamma(2, 1, series) + 3 * np.sin(time / 86400 * 2 * np.pi)
        begin = perf_counter()
        core.step(slice(None), time, value)
        took.append(perf_counter() - begin)
    return took[WARM:]
