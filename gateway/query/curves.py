"""Answers as arrays: what is drawn, and what is held against an expected band. Pure."""

from collections.abc import Iterable
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.query.answer import Answered
from gateway.query.band import Band, NoBand, band
from gateway.query.client import Series
from gateway.query.fit import span
from gateway.query.influxql import TAGS, By, seconds
from gateway.records import Incident

Floats = NDArray[np.float64]

MOST_ALARMS: Final = 200
"""Drawn or told with one answer; the newest."""


class Curve(Struct, frozen=True, eq=False):
    """One column of one series: `times` in Unix seconds, rising, and `values`, of one shape (n,)."""

    label: str
    tags: dict[str, str]
    column: str
    times: Floats
    values: Floats


class Expected(Struct, frozen=True, eq=False):
    """The band of one curve at the times `times` (Unix seconds, shape (m,)), or why there is none."""

    times: Floats
    band: Band | NoBand


def curves(series: Iterable[Series]) -> list[Curve]:
    """Every column of numbers of every series; what is no number, or has no time, is left out."""
    every = list(series)
    measurements, columns = {each.name for each in every}, {name for each in every for name in each.columns[1:]}
    found = []
    for each in every:
        if not each.values or each.columns[0] != "time":
            continue
        times = seconds_of([row[0] for row in each.values])
        for at, column in enumerate(each.columns[1:], 1):
            values = [row[at] for row in each.values]
            there = [value is not None for value in values]
            if not any(there) or not all(isinstance(value, int | float) for value in values if value is not None):
                continue
            numbers = np.array([np.nan if value is None else float(value) for value in values])
            order = np.argsort(times[there], kind="stable")
            label = [
                each.name if len(measurements) > 1 else "",
                "/".join(_tags(each.tags)),
                column if len(columns) > 1 or not any(each.tags.values()) else "",
            ]
            found.append(
                Curve(
                    " ".join(filter(None, label)),
                    {tag: text for tag, text in each.tags.items() if text},
                    column,
                    times[there][order],
                    numbers[there][order],
                )
            )
    return found


def seconds_of(times: list[str]) -> Floats:
    """RFC 3339 in UTC, as the database writes times, as Unix seconds."""
    return np.array([each.removesuffix("Z") for each in times], "datetime64[ns]").astype(np.int64) / 1e9


def expected(answer: Answered, curve: Curve, history: list[Curve], zone: ZoneInfo, at: Floats) -> Expected:
    """The band of one curve of an answer that was asked with `band`, at the times `at`; `history` is all of it."""
    every = seconds(answer.question.every)
    before = next((each for each in history if each.tags == curve.tags), None)
    if before is None:
        return Expected(at, NoBand("there is no history"))
    return Expected(at, band(before.times, before.values, at, every, zone))


def grid(answer: Answered, now: float) -> Floats:
    """The beginnings of all intervals of an answer, in Unix seconds: a band goes on where its series has gaps."""
    begin, end = span(answer.question, now)
    every = seconds(answer.question.every)
    offset = seconds(answer.question.offset) if answer.question.offset else 0
    return np.arange((begin - offset) // every * every + offset, end, every, dtype=np.float64)


def alarms(incidents: Iterable[Incident], places: set[tuple[str, str]], begin: float, end: float) -> list[Incident]:
    """Those that were there between two times (Unix seconds) and concern one of the nodes, as (site, node).

    Held ones are not told. In order of their opening, the newest `MOST_ALARMS`.
    """
    sites = {site for site, _ in places}
    found = []
    for each in incidents:
        nodes = {name for name in (each.node, *each.nodes) if name}
        concerned = any((each.site, name) in places for name in nodes) if nodes else each.site in sites
        if concerned and not each.held and each.opened < end and (each.closed is None or each.closed > begin):
            found.append(each)
    return sorted(found, key=lambda each: (each.opened, each.id))[-MOST_ALARMS:]


def places_of(found: Iterable[Curve], nodes: Iterable[tuple[str, str, str]], kind: str) -> set[tuple[str, str]]:
    """The nodes that curves are of. Of curves without a node: all `nodes` (site, node, kind) that measure `kind`."""
    places = set()
    known = list(nodes)
    for each in found:
        site, node = each.tags.get("site", ""), each.tags.get("node", "")
        if node:
            places.add((site, node))
        else:
            places |= {(at, name) for at, name, of in known if site in ("", at) and of == kind}
    return places


def _tags(tags: dict[str, str]) -> list[str]:
    order = {tag: number for number, tag in enumerate(TAGS[By.CHANNEL])}
    return [tags[tag] for tag in sorted(tags, key=lambda tag: (order.get(tag, len(order)), tag)) if tags[tag]]
