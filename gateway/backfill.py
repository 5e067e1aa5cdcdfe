"""A time range of one database into another: read by InfluxQL in bounded answers, written as line protocol. Blocking.

Days one after another, in each day every measurement, in each measurement pages of rows in order of time. A page ends
with a whole second, so that the next begins behind it. What is written again stays the same point, so whatever ends a
backfill, it goes on from the day that it was in.
"""

import time as clock
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct

from gateway.config import Influx
from gateway.errors import GanglionError, Passing, Poison
from gateway.forward.lines import FieldValue, line
from gateway.forward.patience import USUAL, Patience
from gateway.query.client import Series, ask
from gateway.query.influxql import quote_name, quote_text

if TYPE_CHECKING:  # it brings all clients of databases along, and every command would start slower
    from gateway.forward.target import Target

WINDOW: Final = 86_400
"""Seconds; InfluxDB keeps a day in one shard, or in a part of one."""
PAGE: Final = 20_000
"""Most rows in an answer, unless more are of one second."""
TYPES: Final = ("float", "string")
"""Of fields, as the gateway writes them."""

T = TypeVar("T")


class BackfillError(GanglionError):
    """A range that cannot be copied as it is; the message says why and what to do."""


class Progress(Struct):
    """How far it is. Points read = written + refused, up to what is on the way."""

    read: int = 0
    written: int = 0
    refused: int = 0
    next: int = 0
    """Unix seconds: everything before is done."""


class Measurement(Struct, frozen=True):
    """What one holds."""

    name: str
    tags: tuple[str, ...]
    fields: dict[str, str]
    """Type by name."""


class Range(Struct, frozen=True):
    """What is copied."""

    begin: int
    end: int
    """Unix seconds, without it."""
    site: str = ""
    kind: str = ""
    """A measurement; empty is all."""


class Backfill:
    """From `source` to `target`. `told` hears what is waited for and refused; `moved` when the progress has changed."""

    def __init__(
        self,
        source: Influx,
        target: "Target",
        span: Range,
        *,
        batch_lines: int = Influx().batch_lines,
        told: Callable[[str], None] = lambda words: None,
        moved: Callable[[], None] = lambda: None,
        patience: Patience = USUAL,
        page: int = PAGE,
    ) -> None:
        self._source = source
        self._target = target
        self._span = span
        self._batch_lines = batch_lines
        self._told = told
        self._moved = moved
        self._patience = patience
        self._page = page
        self._dice = Random()
        self.progress = Progress(next=span.begin)

    def run(self) -> None:
        """Copy all of it. Waits for what is passing; raises Lasting, QueryError and BackfillError."""
        span, progress = self._span, self.progress
        measurements = self._patiently(lambda: measurements_of(self._source, span))
        self._patiently(self._target.prepare)
        while progress.next < span.end:
            end = min(span.end, (progress.next // WINDOW + 1) * WINDOW)
            for measurement in measurements:
                self._copy(measurement, progress.next, end)
            progress.next = end
            self._moved()

    def _copy(self, measurement: Measurement, begin: int, end: int) -> None:
        for lines in self._pages(measurement, begin, end):
            self.progress.read += len(lines)
            for start in range(0, len(lines), self._batch_lines):
                batch = lines[start : start + self._batch_lines]
                refused = self._write(batch)
                self.progress.written += len(batch) - refused
                self.progress.refused += refused
                self._moved()

    def _pages(self, measurement: Measurement, begin: int, end: int) -> Iterator[list[bytes]]:
        limit = self._page
        while begin < end:
            statement = (
                f"SELECT * FROM {quote_name(measurement.name)} WHERE {_where(begin, end, self._span.site)} "
                f"ORDER BY time ASC LIMIT {limit + 1}"
            )
            found = self._patiently(lambda statement=statement: ask(self._source, statement))  # type: ignore[misc]
            points = [point for series in found for point in _points(series, measurement)]
            if len(points) > limit:
                last = points[-1][0]
                points = [point for point in points if point[0] < last]
                if not points:  # all of one second
                    limit *= 2
                    continue
                begin = last
            else:
                begin = end
            yield [text for _, text in points]

    def _write(self, lines: Sequence[bytes]) -> int:
        """Write lines; how many of them the target will never take, found by halving."""
        try:
            self._patiently(lambda: self._target.write(lines))
        except Poison as poison:
            if len(lines) == 1:
                self._told(f"refused: {lines[0].decode()}: {poison}")
                return 1
            half = len(lines) // 2
            return self._write(lines[:half]) + self._write(lines[half:])
        return 0

    def _patiently(self, act: Callable[[], T]) -> T:
        failures = 0
        while True:
            try:
                return act()
            except Passing as error:
                failures += 1
                seconds = self._patience.wait(error, failures, self._dice)
                self._told(f"{error}; tried again in {seconds:.1f} s")
                clock.sleep(seconds)


def measurements_of(source: Influx, span: Range) -> list[Measurement]:
    """What there is to copy, by name. Raises BackfillError for what the gateway's lines cannot carry, and as `ask`."""
    tags = {each.name: tuple(row[0] for row in each.values) for each in ask(source, "SHOW TAG KEYS")}
    found = []
    for each in ask(source, "SHOW FIELD KEYS"):
        if span.kind not in ("", each.name):
            continue
        fields: dict[str, str] = {}
        for name, kind in (row[:2] for row in each.values):
            if fields.setdefault(name, kind) != kind:
                raise BackfillError(f"field {name} of {each.name} has two types, {fields[name]} and {kind}")
            if kind not in TYPES:
                raise BackfillError(
                    f"field {name} of {each.name} is of type {kind}, Ganglion writes {' and '.join(TYPES)} only: "
                    "choose one of its measurements with --kind"
                )
        if both := fields.keys() & set(tags.get(each.name, ())):
            raise BackfillError(f"{min(both)} of {each.name} is a tag and a field: InfluxQL does not tell them apart")
        found.append(Measurement(each.name, tags.get(each.name, ()), fields))
    if span.kind and not found:
        raise BackfillError(f"there is no measurement {span.kind} in {source.database}")
    return sorted(found, key=lambda each: each.name)


def counts(database: Influx, measurement: Measurement, span: Range) -> dict[str, int]:
    """How many values each field has. Raises as `ask`."""
    total = dict.fromkeys(measurement.fields, 0)
    for begin in range(span.begin, span.end, 30 * WINDOW):
        end = min(span.end, begin + 30 * WINDOW)
        chosen = ", ".join(f"count({quote_name(name)})" for name in measurement.fields)
        where = _where(begin, end, span.site)
        for series in ask(database, f"SELECT {chosen} FROM {quote_name(measurement.name)} WHERE {where}"):
            for row in series.values:
                for name, number in zip(measurement.fields, row[1:], strict=True):
                    total[name] += number or 0
    return total


def differences(source: Influx, target: Influx, span: Range) -> list[str]:
    """Where the two hold other numbers of values, in words; empty when they agree. Raises as `ask`."""
    said = []
    for measurement in measurements_of(source, span):
        ours, theirs = counts(source, measurement, span), counts(target, measurement, span)
        said += [
            f"{measurement.name}.{name}: {ours[name]} values in the source, {theirs[name]} in the target"
            for name in ours
            if ours[name] != theirs[name]
        ]
    return said


def _where(begin: int, end: int, site: str) -> str:
    where = f"time >= {begin}s AND time < {end}s"
    return f"{where} AND {quote_name('site')} = {quote_text(site)}" if site else where


def _points(series: Series, measurement: Measurement) -> Iterator[tuple[int, bytes]]:
    """The time and the line of each row."""
    for row in series.values:
        said = {column: value for column, value in zip(series.columns, row, strict=True) if value is not None}
        time = _whole_seconds(said["time"], measurement.name)
        tags = {name: said[name] for name in measurement.tags if name in said}
        fields = {name: _field(said[name], kind) for name, kind in measurement.fields.items() if name in said}
        yield time, line(measurement.name, tags, fields, time)


def _field(value: Any, kind: str) -> FieldValue:
    return str(value) if kind == "string" else float(value)


def _whole_seconds(text: str, name: str) -> int:
    when = datetime.fromisoformat(text).astimezone(UTC)
    if "." in text:
        raise BackfillError(f"a point of {name} at {text} is no whole second, which is the finest that is written")
    return int(when.timestamp())
