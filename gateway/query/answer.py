"""From a question to its answer: what is asked of the database in which order, whoever carries it there and back.

`answering` yields statements and is sent what the database says to them; `answered` and `answered_later` carry.
"""

from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Final, TypeVar

from msgspec import Struct, structs

from gateway.query import band as bands
from gateway.query.client import Series
from gateway.query.compare import in_intervals, pair
from gateway.query.fit import (
    MOST_POINTS,
    MOST_TOTAL,
    Fitted,
    fit,
    series_tags,
    span,
)
from gateway.query.influxql import (
    QueryError,
    Question,
    Rollup,
    at_places,
    instant,
    measurement,
    quote_name,
    seconds,
    source_of,
    statement,
)
from gateway.query.names import Unknown, asked_places, edge_statements, missing, names_statement, nothing

SAMPLES: Final = (7200, 86_400)
"""Seconds at the end of the time asked for: what came then tells how many series there are, and how often they report.
The longer one is for nodes that report once in a while."""

T = TypeVar("T")
Asking = Generator[str, list[Series], T]


class UnknownName(QueryError):
    """A place that the database does not know; `unknown` tells what comes near."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(str(unknown))
        self.unknown = unknown


class Answered(Struct, frozen=True):
    """What the database said, and to what."""

    question: Question
    """As it was asked in the end."""
    series: list[Series]
    notes: tuple[str, ...] = ()
    """Sentences for people: what was thinned, why nothing was found."""
    earlier: list[Series] = []
    """The same a period before, with its own times; empty unless asked for."""
    history: list[Series] = []
    """The same with four weeks before it, for `band`; empty unless asked for."""


def answering(
    question: Question,
    *,
    now: float,
    most: int = MOST_POINTS,
    total: int = MOST_TOTAL,
    compare: str = "",
    band: bool = False,
) -> Asking[Answered]:
    """`now` in Unix seconds, `most` points of a series, `total` of all; `compare` is a period.

    Raises UnknownName when nothing was found because a name is wrong, and QueryError.
    """
    measurement(question.quantity, question.kind)
    question = yield from _begun(question)
    begin, end = span(question, now)
    if end <= begin:
        raise QueryError("the time ends before it begins: give an earlier from, or a later to")
    pace, number = (yield from _sampled(question, now)) if end - begin > SAMPLES[0] else (None, 1)
    reckon = partial(fit, question, now=now, most=most, total=total, pace=pace, series=number)
    fitted = reckon()
    if fitted.note or band:
        first = yield edge_statements(question)[0]
        since = _second(first) if first else None
        fitted = reckon(since=since)
        if since is not None and (fitted.note or band):
            reach = max(seconds(compare) if compare else 0, bands.WEEKS * bands.WEEK if band else 0)
            rollups = yield from _rollups(question, max(begin - reach, since))
            fitted = reckon(since=since, rollups=rollups)
    if band:
        fitted = structs.replace(fitted, question=in_intervals(fitted.question, now))
    earlier: list[Series] = []
    if compare:
        asked, before = pair(fitted.question, compare, now)
        found = yield statement(asked)
        earlier = yield statement(before)
    else:
        fitted, found = yield from _readings(fitted, now, most, total)
        asked = fitted.question
    notes = [fitted.note] if found else [(yield from _why_nothing(asked))]
    if found and compare and not earlier:
        notes.append(f"there is nothing of {compare} before to compare with")
    history: list[Series] = []
    if band and found:
        # Before nobody was there to report the statement asks for nothing, so this is the most that can come.
        begin, end = span(bands.history(asked, now), now)
        if len(found) * (end - begin) / seconds(asked.every) > total:
            notes.append(f"no expected band of {len(found):,} series at once: ask for fewer nodes, or longer intervals")
        else:
            history = yield bands.band_statement(asked, now)
    return Answered(asked, found, tuple(filter(None, notes)), earlier, history)


def answered(asking: Asking[T], ask: Callable[[str], list[Series]]) -> T:
    """Carry to and fro, one after the other. Raises what `ask` and `asking` raise."""
    try:
        told = next(asking)
        while True:
            try:
                heard = ask(told)
            except QueryError as error:
                told = asking.throw(error)
            else:
                told = asking.send(heard)
    except StopIteration as end:
        result: T = end.value
        return result


async def answered_later(asking: Asking[T], ask: Callable[[str], Awaitable[list[Series]]]) -> T:
    """Likewise, in an event loop."""
    try:
        told = next(asking)
        while True:
            try:
                heard = await ask(told)
            except QueryError as error:
                told = asking.throw(error)
            else:
                told = asking.send(heard)
    except StopIteration as end:
        result: T = end.value
        return result


def _readings(fitted: Fitted, now: float, most: int, total: int) -> Asking[tuple[Fitted, list[Series]]]:
    """What was reckoned to fit. If it does not, it is thinned by what did come."""
    question = fitted.question
    if question.every or question.aggregate:
        return fitted, (yield statement(question))
    found = yield statement(structs.replace(question, limit=most + 1))
    if all(len(each.values) <= most for each in found):
        return fitted, found
    paces = []
    for each in found:
        if len(each.values) > most:
            first, last = (instant(row[0][:19]).timestamp() for row in (each.values[0], each.values[-1]))
            paces.append(max((last - first) / most, 0.001))
    # The pace of the part that came may be that of a burst: what it makes of the whole time is thin enough anyway.
    thinner = fit(question, now=now, most=most, total=total, pace=min(paces), series=len(found))
    return thinner, (yield statement(thinner.question))


def _begun(question: Question) -> Asking[Question]:
    """With a beginning: where only an end is given, that of the data, which tells how much may come."""
    if question.begin or not question.end:
        return question
    first, _ = edge_statements(question)
    heard = yield first
    if not heard:
        return question
    begin = min(_second(heard), instant(question.end).timestamp() - 1)
    return structs.replace(question, begin=str(max(0, int(begin))))


def _sampled(question: Question, now: float) -> Asking[tuple[float | None, int]]:
    """(seconds between readings of the busiest series, number of series); None for the first when it cannot be told."""
    begin, end = span(question, now)
    tags = ", ".join(quote_name(tag) for tag in series_tags(question))
    group = f" GROUP BY {tags}" if tags else ""
    field, source, places = quote_name(question.quantity), source_of(question), at_places(question)
    for length in SAMPLES if not question.rollup else ():
        if length < end - begin:
            where = " AND ".join([f"time >= {int(end) - length}s", f"time < {int(end)}s", *places])
            heard = yield f"SELECT count({field}) FROM {source} WHERE {where}{group}"
            if heard:
                return length / max(int(each.values[0][1]) for each in heard), len(heard)
    where = " WHERE " + " AND ".join(places) if places else ""
    heard = yield f"SELECT last({field}) FROM {source}{where}{group}"
    return None, max(1, len(heard))


def _rollups(question: Question, begin: float) -> Asking[dict[Rollup, float]]:
    """Since when (Unix seconds) those roll-ups of the database have this that have all from `begin` on."""
    try:
        policies = yield "SHOW RETENTION POLICIES"
    except QueryError:
        return {}  # 3 Core has none, and not every server shows them
    names = {row[0] for each in policies for row in each.values}
    found: dict[Rollup, float] = {}
    for each in Rollup:
        if each in names:
            summed = yield edge_statements(structs.replace(question, rollup=each))[0]
            if summed and _second(summed) <= begin + seconds(each):
                found[each] = 0.0
    return found


def _why_nothing(question: Question) -> Asking[str]:
    """In words; raises UnknownName where a name is wrong."""
    for place in asked_places(question):
        heard = yield names_statement(question, place)
        unknown = missing(place, getattr(question, place), (row[1] for each in heard for row in each.values))
        if unknown:
            raise UnknownName(unknown)
    first, last = edge_statements(question)
    begin = yield first
    end = yield last
    return nothing(question, _time(begin), _time(end))


def _time(series: list[Series]) -> str:
    """Of the only row."""
    value: Any = series[0].values[0][0] if series else ""
    return str(value)


def _second(series: list[Series]) -> float:
    return instant(_time(series)[:19]).timestamp()
