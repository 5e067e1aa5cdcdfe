"""Answers as one table, and as files: CSV, JSON, Parquet. Pure but for the stream that is handed in."""

import csv
import io
from enum import StrEnum
from typing import IO, Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from gateway.errors import GanglionError
from gateway.query.answer import Answered
from gateway.query.band import NoBand
from gateway.query.client import Series, rows
from gateway.query.curves import curves, expected, seconds_of
from gateway.query.influxql import seconds

BAND: Final = ("low", "expected", "high")
"""Columns of an expected band."""
EXTRA: Final = "parquet"


class FileFormat(StrEnum):
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


MEDIA: Final = {
    FileFormat.CSV: "text/csv",
    FileFormat.JSON: "application/x-ndjson",
    FileFormat.PARQUET: "application/vnd.apache.parquet",
}


class MissingExtra(GanglionError):
    """A library that is not installed with every gateway."""


class Table(Struct, frozen=True):
    """`rows` lack what they do not have."""

    columns: list[str]
    rows: list[dict[str, Any]]
    notes: tuple[str, ...] = ()


def table(answer: Answered, zone: ZoneInfo, compare: str = "") -> Table:
    """Rows as the database gave them; of a period before, `mean_1w_before`; of an expected band, `BAND`.

    A row of the period before that has none to stand beside is left out.
    """
    columns, found = rows(answer.series)
    notes = list(answer.notes)
    if compare and answer.earlier:
        value = answer.series[0].columns[1] if answer.series else answer.earlier[0].columns[1]
        beside = _by_place(answer.earlier, seconds(compare))
        name = f"{value}_{compare}_before"
        columns.append(name)
        for row, key in zip(found, _keys(answer.series, 0), strict=True):
            if key in beside:
                row[name] = beside[key]
    if answer.history:
        history = curves(answer.history)
        columns += BAND
        bands: dict[tuple[Any, ...], tuple[float, ...]] = {}
        for curve in curves(answer.series):
            of = expected(answer, curve, history, zone, curve.times)
            if isinstance(of.band, NoBand):
                notes.append(f"no expected band of {curve.label}: {of.band.reason}")
                continue
            for at, *bounds in zip(of.times, of.band.low, of.band.middle, of.band.high, strict=True):
                bands[float(at), *_places(curve.tags)] = tuple(map(float, bounds))
        for row, key in zip(found, _keys(answer.series, 0), strict=True):
            if key in bands and bands[key][0] == bands[key][0]:
                row.update(zip(BAND, bands[key], strict=True))
    return Table(columns, found, tuple(dict.fromkeys(notes)))


def write(of: Table, form: FileFormat, stream: IO[bytes]) -> None:
    """CSV with a header, JSON with one object a line, or Parquet with times as timestamps in UTC.

    Nothing is written for no rows, but for Parquet. Raises MissingExtra.
    """
    if form is FileFormat.PARQUET:
        _write_parquet(of, stream)
    elif form is FileFormat.CSV and of.rows:
        text = io.TextIOWrapper(stream, "utf-8", newline="", write_through=True)
        writer = csv.DictWriter(text, of.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(of.rows)
        text.detach()
    elif form is FileFormat.JSON:
        encoder = msgspec.json.Encoder()
        for row in of.rows:
            stream.write(encoder.encode({name: row[name] for name in of.columns if name in row}) + b"\n")


def _write_parquet(of: Table, stream: IO[bytes]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra(
            f"Parquet needs pyarrow, which is not installed: pip install 'ganglion[{EXTRA}]', or choose csv"
        ) from error
    arrays = {}
    for name in of.columns:
        values = [row.get(name) for row in of.rows]
        if name == "time" and all(isinstance(value, str) for value in values):
            nanoseconds = [round(each * 1e9) for each in seconds_of(values).tolist()]  # type: ignore[arg-type]
            arrays[name] = pyarrow.array(nanoseconds, pyarrow.timestamp("ns", "UTC"))
        elif all(isinstance(value, int | float) for value in values if value is not None):
            whole = all(isinstance(value, int) for value in values if value is not None)
            arrays[name] = pyarrow.array(values, pyarrow.float64() if not whole else pyarrow.int64())
        else:
            arrays[name] = pyarrow.array([None if value is None else str(value) for value in values], pyarrow.string())
    parquet.write_table(pyarrow.table(arrays), stream)


def _by_place(series: list[Series], later: int) -> dict[tuple[Any, ...], Any]:
    values = (row[1] for each in series for row in each.values)
    return dict(zip(_keys(series, later), values, strict=True))


def _keys(series: list[Series], later: int) -> list[tuple[Any, ...]]:
    """(Unix seconds, places) of each row, in the order of `rows`."""
    return [
        (float(at) + later, *_places(each.tags))
        for each in series
        if each.values
        for at in seconds_of([row[0] for row in each.values])
    ]


def _places(tags: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((tag, text) for tag, text in tags.items() if text))
