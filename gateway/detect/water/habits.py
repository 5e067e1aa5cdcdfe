"""How a home uses water by hour of day, as far as it tells a leak from use: chances of an hour's flow by level."""

from typing import Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Ints

LEVELS: Final = np.array([1, 2, 3, 5, 8, 12, 18, 25, 36, 50, 70, 95], np.float64)
"""l/h: the leaks looked for, each 1.3 to 2 times the one below. From the least that a register of whole litres shows in
an hour to what passes as a tap left open; above the last one counts as the last one."""
REACH: Final = 1.45
"""An hour in which nothing but a leak of the level runs is below REACH times the level: about the step of LEVELS."""
LONG: Final = 5400
"""Seconds above which a cell is not an hour: a day's litres, or the litres of a gap. They are a class of their own."""
CLASSES: Final = 7
"""Six parts of the day of four hours each, from midnight, and cells longer than LONG."""
PRIOR_WEIGHT: Final = 10.0
"""Cells that the typical home below counts for, beside the home's own: two to three days (our choice)."""
MEMORY: Final = 180.0
"""Cells of a class after which what was learnt counts half: 45 days at hourly readings (our choice)."""

# Per class and level, in a hundred: measured on 46 homes of Alicante (DAIAD, hourly, 2016-17), every home counting
# the same; for the class of long cells their gaps and their days.
_HIT: Final = np.array(
    [
        [48, 44, 41, 35, 29, 25, 18, 15, 13, 12, 7, 7],
        [50, 56, 54, 52, 52, 55, 46, 41, 36, 31, 19, 17],
        [75, 72, 70, 66, 61, 55, 49, 43, 34, 24, 14, 8],
        [78, 77, 74, 70, 64, 57, 48, 41, 30, 21, 12, 9],
        [76, 71, 68, 63, 56, 48, 40, 33, 26, 20, 12, 9],
        [79, 75, 71, 66, 59, 51, 43, 36, 26, 18, 12, 8],
        [96, 94, 92, 88, 80, 65, 42, 24, 12, 13, 5, 7],
    ]
)
"""At least the level's flow, given that the cell before had it."""
_ALONE: Final = np.array(
    [
        [11, 7, 8, 10, 11, 11, 7, 5, 5, 8, 4, 3],
        [9, 7, 7, 7, 8, 16, 11, 11, 12, 20, 9, 1],
        [9, 6, 5, 7, 10, 9, 10, 11, 13, 13, 9, 4],
        [9, 7, 6, 9, 12, 12, 12, 12, 13, 12, 7, 5],
        [10, 7, 6, 10, 13, 12, 11, 11, 10, 11, 7, 4],
        [8, 8, 7, 10, 13, 12, 11, 11, 10, 8, 7, 4],
        [3, 7, 7, 13, 25, 34, 31, 18, 5, 9, 1, 1],
    ]
)
"""No more than a leak of the level would give with nothing else open, given the same."""
_QUIET: Final = np.array([64, 64, 39, 39, 38, 32, 13])
"""No flow."""
PRIOR_HIT: Final = PRIOR_WEIGHT * _HIT / 100
PRIOR_ALONE: Final = PRIOR_WEIGHT * _ALONE / 100
PRIOR_QUIET: Final = PRIOR_WEIGHT * _QUIET / 100

MOST_EVIDENCE: Final = 4.0
"""Nats that one cell can speak for a leak: a chance of 1 in 55, which some months of a class can just tell."""
LEAST_CHANCE: Final = 0.003


def class_of(time: Ints, seconds: Floats) -> Ints:
    """The class of each cell that ends at `time` (s, the home's local time) and lasted `seconds`."""
    middle = time - (seconds / 2).astype(np.int64)
    return np.where(seconds > LONG, CLASSES - 1, middle // (4 * 3600) % 6)


def alone(rate: Floats, hit: Bools) -> Bools:
    """[n, levels]: the flow of a cell (l/h, [n]) is what a leak of the level gives with nothing else open."""
    return hit & (rate[:, None] <= REACH * LEVELS + 0.5)


def evidence(
    after: Floats, kept: Floats, single: Floats, cells: Floats, still: Floats, of: Ints, only: Bools
) -> Floats:
    """[n, levels]: nats by which a cell in which a level held speaks for a leak of that level.

    The logarithm of how much likelier the cell is with the leak than without. With it, the flow is the leak's alone
    when the home uses nothing, and above when it does. Without it, both are the home's use: how often the flow was so
    by the home's own past in this part of the day, given that it was at least the level in the cell before. Never
    below 0: a leak is refuted by a pause, not by use. The shape of a sequential probability ratio test (Wald 1945)
    restarted at each pause, as in a CUSUM (Page 1954).

    Counts of the class [n, levels]: cells after one that held the level (`after`), those of them that held it (`kept`)
    and that held it alone (`single`); [n]: all cells, those without flow (`still`). `of` [n]: the class. `only`
    [n, levels]: the level is alone in this cell.
    """
    base = after + PRIOR_WEIGHT
    hit = (kept + PRIOR_HIT[of]) / base
    one = (single + PRIOR_ALONE[of]) / base
    unused = np.clip((still + PRIOR_QUIET[of]) / (cells + PRIOR_WEIGHT), 0.02, 0.98)[:, None]
    ratio = np.where(only, unused / np.maximum(one, LEAST_CHANCE), (1 - unused) / np.maximum(hit - one, LEAST_CHANCE))
    return np.clip(np.log(ratio), 0, MOST_EVIDENCE)
