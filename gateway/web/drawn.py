"""What a page draws, in one answer: curves, what is expected of them, what was before, and alarms."""

import math
import time
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from gateway.query.answer import Answered
from gateway.query.band import NoBand
from gateway.query.compare import align
from gateway.query.curves import Curve, Floats, alarms, curves, expected, grid, places_of
from gateway.query.fit import quantity as line_of
from gateway.query.fit import span
from gateway.query.influxql import Question, aggregate_of, measurement
from gateway.records import Incident, Severity
from gateway.web.seat import Snapshot

POINTS: Final = 500
MOST_LINES: Final = 64
"""Of one answer; a page that asks for more is told so."""


class Points(Struct, frozen=True):
    """Two arrays of one length."""

    times: list[float]
    """Unix seconds, rising."""
    values: list[float | None]


class ExpectedBand(Struct, frozen=True):
    """What is expected by the same times before; null where there is none."""

    times: list[float]
    low: list[float | None]
    """10 % quantile."""
    middle: list[float | None]
    """Median."""
    high: list[float | None]
    """90 % quantile."""
    basis: Literal["week", "day"]
    """The same times of which."""


class Line(Struct, frozen=True):
    """One series."""

    label: str
    tags: dict[str, str]
    times: list[float]
    """Unix seconds, rising: beginnings of intervals, or ends of windows."""
    values: list[float | None]
    expected: ExpectedBand | None = None
    no_expected: str = ""
    """Why there is no band, where one was asked for."""
    earlier: Points | None = None
    """The same a period before, at the times that it is compared with."""


class Alarm(Struct, frozen=True):
    """An incident that concerns one of the series."""

    id: str
    kind: str
    severity: Severity
    site: str
    node: str
    opened: int
    closed: int | None
    summary: str
    drill: bool


class Drawn(Struct, frozen=True):
    """Everything that a chart shows."""

    quantity: str
    kind: str
    unit: str
    aggregate: str
    """Empty for the readings themselves."""
    every: str
    """Length of the intervals; empty without any."""
    begin: float
    end: float
    notes: list[str]
    """Sentences for people: what was thinned or left out, why nothing was found."""
    lines: list[Line]
    alarms: list[Alarm]


def drawn(answer: Answered, snapshot: Snapshot, zone: ZoneInfo, compare: str) -> Drawn:
    """`answer` was asked at about now."""
    now = time.time()
    question = answer.question
    kind = measurement(question.quantity, question.kind)
    begin, end = span(question, now)
    found = curves(answer.series)
    shown = found[:MOST_LINES]
    notes = list(answer.notes)
    if len(found) > len(shown):
        notes.append(f"{len(found) - len(shown)} more series are left out: ask for fewer nodes, or by site")
    history, earlier = curves(answer.history), curves(answer.earlier)
    at = grid(answer, now) if answer.history else None
    nodes = [(each.site, each.node, each.kind) for each in snapshot.nodes]
    told = alarms(snapshot.incidents, places_of(shown, nodes, kind), begin, end)
    return Drawn(
        quantity=question.quantity,
        kind=kind,
        unit=line_of(kind, question.quantity).unit,
        aggregate=str(aggregate_of(question) or ""),
        every=question.every,
        begin=begin,
        end=end,
        notes=notes,
        lines=[_line(answer, curve, history, earlier, zone, compare, at) for curve in shown],
        alarms=[_alarm(each) for each in told],
    )


def _line(
    answer: Answered,
    curve: Curve,
    history: list[Curve],
    earlier: list[Curve],
    zone: ZoneInfo,
    compare: str,
    at: Floats | None,
) -> Line:
    extra: dict[str, Any] = {}
    if at is not None:
        of = expected(answer, curve, history, zone, at)
        if isinstance(of.band, NoBand):
            extra["no_expected"] = of.band.reason
        else:
            low, middle, high = (_numbers(each) for each in (of.band.low, of.band.middle, of.band.high))
            extra["expected"] = ExpectedBand(at.tolist(), low, middle, high, of.band.basis)
    before = next((each for each in earlier if each.tags == curve.tags), None)
    if before is not None:
        extra["earlier"] = Points(align(before.times, compare).tolist(), _numbers(before.values))
    return Line(curve.label, curve.tags, curve.times.tolist(), _numbers(curve.values), **extra)


def _alarm(of: Incident) -> Alarm:
    return Alarm(of.id, of.kind, of.severity, of.site, of.node, of.opened, of.closed, of.summary, of.drill)


def _numbers(values: Floats) -> list[float | None]:
    return [None if math.isnan(each) else each for each in values.tolist()]


def named(question: Question, form: str) -> str:
    """A name for a file of the answer, of letters that any system takes."""
    words = [question.quantity or "influxql", question.site, question.node, question.channel]
    text = "-".join(filter(None, words))
    return "".join(each if each.isascii() and (each.isalnum() or each in "-_") else "_" for each in text) + f".{form}"
