"""Questions made to fit: an answer of more points than anybody looks at is thinned, and says so. Pure.

How many points would come is reckoned from the time and from how often nodes report, so that no question waits for
another one. Who has counted hands in what there is instead: `pace` and `series`.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, structs

from gateway.quantities import Quantity, Summary, measured_in
from gateway.query.influxql import TAGS, Aggregate, By, Question, Rollup, instant, measurement, seconds

MOST_POINTS: Final = 10_080
"""Of a series, unless somebody chose the interval: a week of minutes."""
MOST_CHOSEN: Final = 100_000
"""Of a series whose interval somebody chose."""
MOST_TOTAL: Final = 1_000_000
"""Of all series together."""
DEFAULT_LAST: Final = "24h"
"""The time asked for when none is given."""
PACE_SECONDS: Final = {"health": 600.0}
"""From one reading to the next where a node is left as it comes; other kinds report each `MINUTE`."""
MINUTE: Final = 60.0
ROUND: Final = ("10s", "30s", "1m", "5m", "10m", "15m", "30m", "1h", "2h", "3h", "6h", "12h", "1d", "1w")
"""Lengths that people think in. Each longer one is a whole multiple of a roll-up that is shorter."""
FINE: Final = 4
"""Intervals of a roll-up in one of the answer, where there is a choice: its newest is not there until it is over."""
BY_SUMMARY: Final[Mapping[Summary, Aggregate]] = {
    "mean": Aggregate.MEAN,
    "sum": Aggregate.SUM,
    "min": Aggregate.MIN,
    "max": Aggregate.MAX,
    "last": Aggregate.LAST,
}
WORDS: Final[Mapping[Aggregate, str]] = {
    Aggregate.MEAN: "means",
    Aggregate.SUM: "sums",
    Aggregate.MIN: "least values",
    Aggregate.MAX: "greatest values",
    Aggregate.LAST: "last values",
    Aggregate.FIRST: "first values",
    Aggregate.MEDIAN: "medians",
    Aggregate.COUNT: "counts",
    Aggregate.SPREAD: "spreads",
    Aggregate.STDDEV: "standard deviations",
}


class Fitted(Struct, frozen=True):
    """A question that can be asked as it is."""

    question: Question
    note: str = ""
    """One sentence on what was changed, for people; empty when nothing was."""


def fit(
    question: Question,
    *,
    now: float,
    most: int = MOST_POINTS,
    pace: float | None = None,
    series: int = 1,
    since: float | None = None,
    rollups: Mapping[Rollup, float] | None = None,
    total: int = MOST_TOTAL,
) -> Fitted:
    """The question itself, or a thinner one: longer intervals, of the aggregate that suits the quantity.

    `now` in Unix seconds; `most` points for each series (`MOST_CHOSEN` if that is more and the question has an interval
    already) and `total` for all; `pace` is the time between two readings of a series (s), `series` how many there are,
    `since` when there are any (Unix seconds); `rollups` tells since when each roll-up of the database holds this
    quantity. Raises QueryError.
    """
    kind = measurement(question.quantity, question.kind)
    begin, end = span(question, now)
    length = end - max(begin, since or begin)
    pace = pace or PACE_SECONDS.get(kind, MINUTE)
    if question.rollup:
        pace = max(pace, seconds(question.rollup))
    if question.aggregate and not question.every:
        return Fitted(question)
    step = max(pace, seconds(question.every)) if question.every else pace
    points = int(length / step)
    bound = min(max(most, MOST_CHOSEN) if question.every else most, total // max(1, series))
    if points <= max(1, bound):
        return Fitted(question)
    every = round_length(length / max(1, bound), floor=step)
    aggregate = question.aggregate or (Aggregate.MEAN if question.every else suited(quantity(kind, question.quantity)))
    thinned = structs.replace(
        question,
        kind=kind,
        every=every,
        aggregate=aggregate,
        by=question.by or (By.NODE if question.every or question.aggregate else By.CHANNEL),
        rollup=question.rollup or _rollup(question, kind, aggregate, every, begin, rollups or {}),
    )
    source = f" from the roll-up of {spoken(thinned.rollup)}" if thinned.rollup else ""
    each = f" in each of {series:,} series" if series > 1 else ""
    what = f"{WORDS.get(aggregate, f'{aggregate} values')} of {spoken(every)}{source}"
    cure = "for longer intervals" if question.every else "choose with every"
    return Fitted(
        thinned, f"thinned: {what}, as about {points:,} points would come{each}; ask for less time, or {cure}"
    )


def span(question: Question, now: float) -> tuple[float, float]:
    """(begin, end) of a question in Unix seconds; without a beginning it is 1970. Raises QueryError."""
    if question.begin or question.end:
        begin = instant(question.begin).timestamp() if question.begin else 0.0
        return begin, instant(question.end).timestamp() if question.end else max(now, begin)
    return now - seconds(question.last or DEFAULT_LAST), now


def suited(of: Quantity) -> Aggregate:
    """How a quantity is summed up: counts add up, registers end somewhere, the rest has a mean."""
    return BY_SUMMARY[of.rollup[0]]


def quantity(kind: str, name: str) -> Quantity:
    """The line of the table, of a pair that `measurement` has let through."""
    return next(each for each in measured_in(kind) if each.name == name)


def round_length(least: float, floor: float = 0.0) -> str:
    """The shortest round length of at least so many seconds, and longer than `floor`; whole weeks above all of them."""
    for each in ROUND:
        if seconds(each) >= least and seconds(each) > floor:
            return each
    return f"{-int(-max(least, floor + 1) // seconds('1w'))}w"


def spoken(length: str) -> str:
    """`10m` as people say it: `10 minutes`."""
    number = seconds(length)
    for unit, word in ((604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if number % unit == 0:
            count = number // unit
            return f"{count} {word}s" if count > 1 else f"a{'n' if word == 'hour' else ''} {word}"
    raise AssertionError(length)


def series_tags(question: Question) -> tuple[str, ...]:
    """What tells the series of the readings asked for apart."""
    return TAGS[question.by or (By.NODE if question.every or question.aggregate else By.CHANNEL)]


def _rollup(
    question: Question, kind: str, aggregate: Aggregate, every: str, begin: float, rollups: Mapping[Rollup, float]
) -> Rollup | None:
    """The coarsest that says the same: it holds this aggregate, all of the time, and whole parts of each interval."""
    if aggregate is not suited(quantity(kind, question.quantity)):
        return None
    length = seconds(every)
    fitting = [
        each
        for each in Rollup
        if each in rollups and rollups[each] <= begin + seconds(each) and length % seconds(each) == 0
    ]
    fine = [each for each in fitting if length >= FINE * seconds(each)]
    return max(fine, key=seconds) if fine else min(fitting, key=seconds, default=None)
