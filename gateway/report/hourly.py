"""What a site measured in a week and the one before, hour by hour: the statement that asks for it, and its answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gateway.query.client import Series
from gateway.query.influxql import quote_name, quote_text
from gateway.report.weeks import HOUR, Span, utc

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

ENOUGH: Final = 0.75
"""Share of its usual windows with which an hour is known: as EPA wants of an hour's mean (40 CFR 50, App. N)."""
LEAD: Final = 3
"""Hours before a week that are asked for, too: a register shows by how much it has grown since an earlier reading."""


@dataclass(frozen=True, slots=True)
class Hourly:
    """One measurement of a site in two weeks. NaN where nothing came, and 0 only of counts of windows."""

    nodes: tuple[str, ...]
    """Of all arrays the first axis, in order: who was heard in either week."""
    now: Mapping[str, Floats]
    """By column, (nodes, lead + hours) of the week. `windows` is always there: how many came."""
    before: Mapping[str, Floats]
    """Likewise of the week before. Where it was not asked for windows, there is 1 in each hour with anything."""
    lead: int = 0
    """Hours that come first and are before either week."""

    def counts(self) -> tuple[Floats, Floats]:
        """Windows in each hour of (the week, the one before), without the lead."""
        return self.now["windows"][:, self.lead :], self.before["windows"][:, self.lead :]

    def usual(self) -> Floats:
        """(nodes,) windows that an hour with any has, by the median; NaN of who was not heard in either week."""
        return np.array([_usual(*pair) for pair in zip(*self.counts(), strict=True)], np.float64)

    def known(self) -> tuple[Bools, Bools]:
        """Which hours of (the week, the one before) have `ENOUGH` windows."""
        now, before = self.counts()
        least = ENOUGH * self.usual()[:, None]
        asked = (before > 1).any()
        return (now > 0) & (now >= least), (before > 0) & ((before >= least) | ~asked)


def _usual(now: Floats, before: Floats) -> float:
    """By the week, or by the one before of who was silent since."""
    for week in (now, before):
        if (week > 0).any():
            return float(np.median(week[week > 0]))
    return np.nan


def statement(measurement: str, site: str, columns: Mapping[str, str], span: Span, lead: int = 0) -> str:
    """InfluxQL for hourly values of a week; `columns` are functions by name: {"vehicles": 'sum("volume")'}.

    An hour takes in what ends after its beginning and up to its end, to the second.
    """
    begin, end = span.begin - lead * HOUR, span.begin + span.hours * HOUR
    values = ", ".join(f"{function} AS {quote_name(name)}" for name, function in columns.items())
    return (
        f"SELECT {values} FROM {quote_name(measurement)} WHERE {quote_name('site')} = {quote_text(site)} "
        f"AND time > {utc(begin)} AND time <= {utc(min(end, span.end))} "
        f"GROUP BY time({HOUR}s, {begin % HOUR + 1}s), {quote_name('node')} fill(none)"
    )


def hourly(now: Sequence[Series], before: Sequence[Series], span: Span, lead: int = 0) -> Hourly:
    """From the answers to two of `statement`, for a week and the one before."""
    nodes = tuple(sorted({each.tags.get("node", "") for each in (*now, *before)}))
    row = {node: number for number, node in enumerate(nodes)}
    return Hourly(nodes, _fill(now, row, span, lead), _fill(before, row, span.before, lead), lead)


def plain(values: Floats, digits: int = 1) -> tuple[float | None, ...]:
    """(n,) as a record has it: None for NaN."""
    return tuple(round(float(value), digits) if np.isfinite(value) else None for value in values)


def runs(silent: Bools) -> list[tuple[int, int]]:
    """(first, length) of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], silent, [False])).astype(np.int8)))
    return [(int(first), int(last - first)) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def _fill(answer: Sequence[Series], row: Mapping[str, int], span: Span, lead: int) -> dict[str, Floats]:
    hours = lead + span.hours
    begin = span.begin - lead * HOUR
    found: dict[str, Floats] = {}
    hour_of: dict[str, int] = {}  # the same few texts come again for each series
    for series in answer:
        at = row[series.tags.get("node", "")]
        where = [_hour(values[0], begin, hour_of) for values in series.values]
        for column, name in enumerate(series.columns[1:], 1):
            table = found.setdefault(name, np.full((len(row), hours), np.nan))
            table[at, where] = [np.nan if values[column] is None else values[column] for values in series.values]
    present = np.zeros((len(row), hours), bool)
    for table in found.values():
        present |= np.isfinite(table)
    windows = found.get("windows", np.where(present, 1.0, 0.0))
    return found | {"windows": np.nan_to_num(windows)}


def _hour(time: Any, begin: int, seen: dict[str, int]) -> int:
    text = str(time)
    if text not in seen:
        seen[text] = (int(datetime.fromisoformat(text).timestamp()) - begin) // HOUR
    return seen[text]
