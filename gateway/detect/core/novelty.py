"""How new is what a series does: three evidences of rarity against its own past, and which of them are worth telling.

Each evidence is -log10 of how often the series' own past was as unusual:

- the value itself, two-sided, in a histogram whose range grows by doubling;
- its distance from what the hour of the day used to bring;
- the familiarity of what it does: pairs of features (value, mean, change, churn, hour of day), each pair in a coarse
  grid of its own, after tile coding (CMAC, Albus 1975) and the sparse projections of LODA (Pevny 2016). A cell seen c
  times counts 1 / (1 + c).

The mean of the three says more than the greatest of them: what is rare in one view alone is mostly chance.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, column

PAIRS = np.array([(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3)])
"""Pairs of features, each with a grid: 0 value, 1 short mean, 2 change, 3 churn, 4 hour of the day. Our choice."""

SIDE = 8
"""Cells along each side of a grid (our choice; 6 to 11 did as well)."""

OFFSETS = np.stack((np.arange(6) * 0.618 % 1, (np.arange(6) * 0.755 + 0.3) % 1))
"""Of the grids against each other, so that no two have their edges in the same place (steps of the golden ratio)."""

SHORT = 6
"""Rows of the short mean and of the churn (our choice; 3 to 24 did as well)."""

LONG = 3000
"""Rows over which centre and spread are learnt (our choice: ten days of 5-minute rows)."""

BINS = 48
LEVELS = 48
"""Bins of the value's histogram; levels of the exceedance counters, four an octave from 1/16 on."""

HUGE = 1e30
"""No sensor tells more, and single precision holds it."""

WARM = 100
"""Rows before anything is told: nothing is rarer than once in a hundred before."""

PAST = 0.7
"""Rarity counts against the length of the past: the score loses this times log10(rows / 1000), so that the alarms of a
series grow slower than its rows (our choice; 0.5 to 1 did about as well)."""

HABIT = 0.8
"""The score loses this times log10(1 + events at least as great told before): what comes again is no news (our choice;
0.4 to 1.2 did about as well)."""

LEAST, MARGIN, QUIET, QUIET_SHARE, HOLD = 0.3, 0.3, 150, 0.05, 0.6
"""After an event only one greater by MARGIN than a bar is told: for HOLD of the quiet time the bar is the event's
height, then it falls to nothing at the time's end. The time is QUIET rows or QUIET_SHARE of all rows, the longer.
Below LEAST nothing is an event. Our choice."""


@dataclasses.dataclass(slots=True)
class NoveltyMemory(Memory):
    """Per series, below 1 KiB."""

    rows: Ints = column(np.int64)
    time: Floats = column(np.float64, -np.inf)
    last: Floats = column(np.float64)
    centre: Floats = column(np.float64)
    spread: Floats = column(np.float64)
    mean: Floats = column(np.float64)
    churn: Floats = column(np.float64)
    low: Floats = column(np.float64)
    width: Floats = column(np.float64)
    below: NDArray[np.uint16] = column(np.uint16, shape=(BINS + 1,))
    day: Floats32 = column(np.float32, np.nan, (24,))
    miss: Floats32 = column(np.float32)
    misses: NDArray[np.int32] = column(np.int32)
    day_over: NDArray[np.uint16] = column(np.uint16, shape=(LEVELS + 1,))
    day_record: Floats32 = column(np.float32, -1)
    seen: NDArray[np.uint8] = column(np.uint8, shape=(len(PAIRS), SIDE * SIDE))
    seen_over: NDArray[np.uint16] = column(np.uint16, shape=(LEVELS + 1,))
    seen_record: Floats32 = column(np.float32, -1)
    told: Floats32 = column(np.float32)
    told_rarity: Floats32 = column(np.float32)
    quiet: NDArray[np.int32] = column(np.int32)
    span: NDArray[np.int32] = column(np.int32, 1)
    events: NDArray[np.uint8] = column(np.uint8, shape=(40,))


@dataclasses.dataclass(slots=True)
class Novelty:
    """Of a step: `score` >= 0 (0: not worth telling), and the three rarities (-log10) behind it, shape (series,)."""

    score: Floats
    value: Floats
    day: Floats
    doing: Floats


def step(memory: NoveltyMemory, time: Floats, value: Floats) -> Novelty:
    """Judge one row of every series of `memory`, then learn it. `time` in seconds since 1970, `value` in any unit.

    A series whose value is not finite (or beyond HUGE), or whose time is not later than its last, is passed over: it
    scores 0 and learns nothing.
    """
    good = np.isfinite(value) & (np.abs(value) < HUGE) & (time > memory.time)
    if good.all():
        return _step(memory, time, value)
    out = Novelty(*(np.zeros(len(value)) for _ in range(4)))
    rows = np.flatnonzero(good)
    if len(rows):
        part = memory.take(rows)
        now = _step(part, time[rows], value[rows])
        memory.put(rows, part)
        for each in dataclasses.fields(out):
            getattr(out, each.name)[rows] = getattr(now, each.name)
    return out


def _step(m: NoveltyMemory, time: Floats, value: Floats) -> Novelty:
    first = m.rows == 0
    for start in (m.last, m.centre, m.mean, m.low):
        start[first] = value[first]
    m.rows += 1
    m.time[:] = time
    part_of_day = time % 86400 / 86400
    change = value - m.last
    m.last[:] = value
    m.mean += (value - m.mean) / np.minimum(m.rows, SHORT)
    m.churn += (np.abs(change) - m.churn) / np.minimum(m.rows, SHORT)
    _learn_spread(m, value)

    by_value = _rarity_of_value(m, value)
    distance = _distance_from_day(m, value, (part_of_day * 24).astype(np.intp))
    by_day = _rarity(m.day_over, m.day_record, distance)
    by_doing = _rarity(m.seen_over, m.seen_record, _unfamiliarity(m, value, change, part_of_day))
    warm = m.rows > WARM
    rarity = np.where(warm, (by_value + by_day + by_doing) / 3, 0.0)
    return Novelty(_tell(m, rarity), by_value, by_day, by_doing)


def _learn_spread(m: NoveltyMemory, value: Floats) -> None:
    """Centre and mean distance from it; a stray of more than five spreads is learnt as one of five."""
    stray = value - m.centre
    limit = np.where((m.rows > 10) & (m.spread > 0), 5 * m.spread, np.inf)
    stray = np.clip(stray, -limit, limit)
    rate = 1 / np.minimum(m.rows, LONG)
    m.centre += rate * stray
    m.spread += rate * (np.abs(stray) - m.spread)


def _rarity_of_value(m: NoveltyMemory, value: Floats) -> Floats:
    """Two-sided: the smaller share of the past on either side of the value, with half of its own bin."""
    fresh = (m.width == 0) & (value != m.low)
    if fresh.any():
        m.width[fresh] = np.maximum(np.abs(value - m.low)[fresh] / 8, np.finfo(float).tiny)
        m.low[fresh] = np.minimum(m.low, value)[fresh] - BINS / 2 * m.width[fresh]
    open_ = m.width > 0
    while True:
        under = open_ & (value < m.low)
        out = np.flatnonzero(under | (open_ & (value >= m.low + BINS * m.width)))
        if not len(out):
            break
        shift = np.where(under[out], BINS, 0)
        m.low[out] -= shift * m.width[out]
        m.width[out] *= 2
        edges = np.clip(2 * np.arange(BINS + 1) - shift[:, None], 0, BINS)
        m.below[out] = np.take_along_axis(m.below[out], edges, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        bins = np.where(open_, (value - m.low) / m.width, 0).astype(np.uint8)
    bins = np.minimum(bins, BINS - 1)
    each = np.arange(len(value))
    under_, until, total = m.below[each, bins].astype(float), m.below[each, bins + 1].astype(float), m.below[:, -1]
    share = (np.minimum(under_, total - until) + 0.5 * (until - under_) + 0.5) / (total + 1.0)
    m.below += (np.arange(BINS + 1, dtype=np.uint8) > bins[:, None]) & open_[:, None]
    _halve(m.below, m.below[:, -1])
    return np.asarray(np.where(open_, -np.log10(share), 0.0))


def _distance_from_day(m: NoveltyMemory, value: Floats, hour: NDArray[np.intp]) -> Floats:
    """In mean distances plus a fiftieth of the spread: beside a perfect profile a rounding is no anomaly."""
    each = np.arange(len(value))
    expected = m.day[each, hour].astype(float)
    known = np.isfinite(expected)
    off = np.where(known, value - expected, 0.0)
    young = m.misses < 20
    distance = np.where(young, 0.0, np.abs(off) / (m.miss + 0.02 * m.spread + np.finfo(float).tiny))
    off = np.where(young, off, np.clip(off, -5 * m.miss, 5 * m.miss))
    m.day[each, hour] = np.where(known, expected + 0.1 * off, value)
    m.miss += np.where(known, (np.abs(off) - m.miss) / np.minimum(m.misses + 1, 1000), 0)
    m.misses += known
    return np.asarray(distance)


def _unfamiliarity(m: NoveltyMemory, value: Floats, change: Floats, part_of_day: Floats) -> Floats:
    """0 (seen for ever) to 100 (new in each grid)."""
    unit = 4 * m.spread + np.finfo(float).tiny
    signed = np.stack((value - m.centre, m.mean - m.centre, change))
    signed = 0.5 + 0.5 * signed / (unit + np.abs(signed))
    churn = m.churn / (m.churn + unit)
    features = np.concatenate((signed, churn[None], part_of_day[None])) * (SIDE - 1)
    cells = (features[PAIRS[:, 0]] + OFFSETS[0][:, None]).astype(np.intp) * SIDE
    cells += (features[PAIRS[:, 1]] + OFFSETS[1][:, None]).astype(np.intp)
    flat = m.seen.reshape(-1)
    at = cells.T + np.arange(len(value) * len(PAIRS)).reshape(-1, len(PAIRS)) * (SIDE * SIDE)
    count = flat[at]
    flat[at] = count + (count < 255)
    return np.asarray((100 / (1 + count.astype(float))).mean(axis=1))


def _rarity(over: NDArray[np.uint16], record: Floats32, evidence: Floats) -> Floats:
    """-log10 of the share of the past at least as great, 0.6 more for each octave beyond the greatest; learns it."""
    level = np.clip((np.log2(np.maximum(evidence, 1e-9)) + 4) * 4, 0, LEVELS - 1)
    whole = level.astype(np.uint8)
    each = np.arange(len(evidence))
    part = level - whole
    more = over[each, whole] * (1 - part) + over[each, whole + 1] * part
    rare = -np.log10((more + 0.5) / (over[:, 0] + 1.0))
    rare += np.where(record >= 0, np.clip((level - record) / 4, 0, 4), 0) * 0.6
    np.maximum(record, level, out=record, casting="same_kind")
    over += np.arange(LEVELS + 1, dtype=np.uint8) <= whole[:, None]
    _halve(over, over[:, 0])
    return np.asarray(rare)


def _halve(counts: NDArray[np.uint16], total: NDArray[np.uint16]) -> None:
    """Before they overflow: a past of more than 65,000 rows fades."""
    full = total > 65000
    if full.any():
        counts[full] //= 2


def _tell(m: NoveltyMemory, rarity: Floats) -> Floats:
    m.quiet -= m.quiet > 0
    bar = m.told * np.minimum(1, m.quiet / (m.span * (1 - HOLD)))
    past = PAST * np.log10(m.rows / 1000)
    height = rarity - past
    tells: Bools = (height > LEAST) & (height > bar + MARGIN * (bar > 0)) & (rarity > 0)
    score = np.zeros(len(rarity))
    rows = np.flatnonzero(tells)
    if not len(rows):
        return score
    bins = m.events.shape[1]
    slot = np.clip(rarity[rows] * 10, 0, bins - 1).astype(np.intp)
    alike = np.clip((rarity[rows] - 0.3) * 10, 0, bins - 1).astype(np.intp)
    before = (m.events[rows] * (np.arange(bins) >= alike[:, None])).sum(axis=1)
    score[rows] = np.maximum(height[rows] - HABIT * np.log10(1 + before), 0)
    again = rows[m.quiet[rows] > 0]  # the same event, grown: it counts once, as its greatest
    old = np.clip(m.told_rarity[again] * 10, 0, bins - 1).astype(np.intp)
    m.events[again, old] -= m.events[again, old] > 0
    m.events[rows, slot] += m.events[rows, slot] < 255
    m.told[rows], m.told_rarity[rows] = height[rows], rarity[rows]
    m.span[rows] = m.quiet[rows] = np.maximum(QUIET, QUIET_SHARE * m.rows[rows])
    return score
