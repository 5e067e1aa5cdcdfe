"""Rows of a CSV file of series, as they come: which columns hold what is decided by the header and the first row."""

import contextlib
import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from msgspec import Struct

from gateway.evaluate.times import seconds
from gateway.lines import FileError, Lines, delimiter_of

TIMES: Final = ("time", "timestamp", "datetime", "date_time", "date", "epoch", "ts", "_time", "time_utc", "local_time")
"""Names of a column of times, the likeliest first."""
MISSING: Final = frozenset(("", "nan", "na", "n/a", "null", "none", "nil", "-", "--", "<na>"))


class Columns(Struct, frozen=True):
    """What a person says of the columns. Empty: found by name, or by the first row."""

    time: str = ""
    value: str = ""
    series: str = ""
    """In a file of many series below each other: the column with their names."""
    wide: bool = False
    """Every column but the time's is a series."""
    time_format: str = ""
    """For `strptime`."""
    low: float = -math.inf
    high: float = math.inf
    """Values beyond these cannot be: see `adapters.limits`."""


class Layout(Struct, frozen=True):
    """Where in a row things are."""

    width: int
    time: int
    values: tuple[int, ...]
    series: int
    """-1 without."""
    names: tuple[str, ...]
    """Of the series in `values`; in a long file of the column alone."""


class Row(Struct, frozen=True):
    line: int
    """From 1, in the file."""
    stamp: str
    """The time as it is written there."""
    time: int
    """Unix seconds."""
    series: str
    """Its name in a long file."""
    texts: list[str]
    """The values as they are written, but with a point; empty where there is none."""
    values: list[float]
    """NaN where there is none."""


class Table:
    """The rows of an open file."""

    def __init__(self, lines: Iterator[str], columns: Columns) -> None:
        self._bad, self._first_bad = 0, ""
        self._late, self._first_late = 0, 0
        self._newest: dict[str, int] = {}
        self._columns = columns
        header = next(lines, "").removeprefix("\ufeff")
        if not header.strip():
            raise FileError("line 1: no header: name the columns in the first line, as in time,value")
        delimiter = delimiter_of(header)
        self._comma = delimiter != ","  # 1,5 is a number only where commas part nothing
        self._reader = csv.reader(lines, delimiter=delimiter, strict=True)
        self._header = self._named(next(csv.reader([header], delimiter=delimiter)))
        first = self._cells()
        self._first = first
        self.layout = self._lay_out(first or [])

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, columns: Columns) -> Iterator[tuple[Self, Lines]]:
        """The table in a file, gzipped or not, or on standard input (`-`), and its lines: where reading is.

        Raises FileError, also from the block, for what cannot be read.
        """
        with Lines.opened(path) as lines:
            yield cls(lines, columns), lines

    def __iter__(self) -> Iterator[Row]:
        """Raises FileError for a row without a time or with too few or too many cells."""
        cells, self._first = self._first, None
        layout, form = self.layout, self._columns.time_format
        while cells is not None:
            if len(cells) != layout.width:
                raise self._wrong(f"{len(cells)} cells, but the header has {layout.width}: mend or remove the line")
            try:
                time = seconds(cells[layout.time], form)
            except ValueError as error:
                raise self._wrong(str(error)) from error
            texts = [cells[at].strip() for at in layout.values]
            values = [self._value(text) for text in texts]
            for at, value in enumerate(values):
                texts[at] = "" if math.isnan(value) else texts[at].replace(",", ".")
            series = cells[layout.series].strip() if layout.series >= 0 else ""
            if time > self._newest.get(series, time - 1):
                self._newest[series] = time
            else:
                self._late += 1
                self._first_late = self._first_late or self._line
            yield Row(self._line, cells[layout.time], time, series, texts, values)
            cells = self._cells()

    def remarks(self) -> list[str]:
        """What a person should know of the rows so far: values and times that say less than they seem to."""
        told = []
        if self._bad:
            told.append(f"values that are no numbers or cannot be, taken as missing: {self._bad}, {self._first_bad}")
        if self._late:
            told.append(
                f"rows that are not later than those above, passed over by detectors: {self._late}, the first in line "
                f"{self._first_late}; sort them by time, or name the column of many series by --series-column"
            )
        return told

    def _value(self, text: str) -> float:
        number = _number(text, self._comma)
        if number is not None and self._columns.low <= number <= self._columns.high:
            return number
        if text.lower() not in MISSING:
            self._bad += 1
            self._first_bad = self._first_bad or f"the first {text!r:.40} in line {self._line}"
        return math.nan

    @property
    def _line(self) -> int:
        return self._reader.line_num + 1

    def _cells(self) -> list[str] | None:
        """Of the next line that is not empty."""
        try:
            return next((cells for cells in self._reader if cells), None)
        except csv.Error as error:
            raise self._wrong(f"{error}: mend or remove the line") from error

    def _wrong(self, what: str) -> FileError:
        return FileError(f"line {self._line}: {what}")

    def _named(self, cells: list[str]) -> list[str]:
        """The header. A row of values in its place is told by its time, which else would be lost with all of it."""
        names = [cell.strip() or f"column {at}" for at, cell in enumerate(cells, 1)]
        time = names[_time_column(names)]
        if self._columns.time not in names and _is_time(time, self._columns.time_format):
            raise FileError(
                f"line 1: no header: {time!r:.40} is a value and no name, and its row would be lost: name the columns "
                "in a line above, as in time,value (if it is a name, say so by --time-column)"
            )
        twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
        if twice is not None:
            raise FileError(f"line 1: two columns are named {twice}: rename one")
        return names

    def _lay_out(self, first: list[str]) -> Layout:
        header, wanted = self._header, self._columns
        time = self._find(wanted.time, "--time-column") if wanted.time else _time_column(header)
        series = self._find(wanted.series, "--series-column") if wanted.series else -1
        if series == time:
            raise FileError(f"--series-column {wanted.series} is the column of the times: name another")
        others = [at for at in range(len(header)) if at not in (time, series)]
        if not others:
            raise FileError(
                f"line 1: no column of values beside {header[time]!r:.60}: is the file parted by , ; or tab?"
            )
        if not wanted.wide:
            others = [self._find(wanted.value, "--value-column") if wanted.value else self._value_column(others, first)]
        if others[0] in (time, series):
            raise FileError(f"--value-column {wanted.value} is the column of the times or series: name another")
        return Layout(len(header), time, tuple(others), series, tuple(header[at] for at in others))

    def _value_column(self, others: list[int], first: list[str]) -> int:
        """By name; or the first that holds a number in the first row, or at least no text."""
        for at in others:
            if self._header[at].lower() == "value":
                return at
        cells = {at: first[at].strip() for at in others if at < len(first)}
        numbers = [at for at, text in cells.items() if _number(text, self._comma) is not None]
        empty = [at for at, text in cells.items() if text.lower() in MISSING]
        if not numbers and not empty and cells:
            raise FileError(
                f"line {self._line}: no column holds a number: name the one of the values by --value-column"
            )
        return (numbers or empty or others)[0]

    def _find(self, name: str, option: str) -> int:
        for at, each in enumerate(self._header):
            if each == name:
                return at
        alike = [at for at, each in enumerate(self._header) if each.lower() == name.lower()]
        if len(alike) == 1:
            return alike[0]
        raise FileError(f"{option} {name}: no such column; there are {', '.join(self._header):.300}")


def _number(text: str, comma: bool) -> float | None:
    """A finite number; None for anything else."""
    try:
        found = float(text.replace(",", ".") if comma else text)
    except ValueError:
        return None
    return found if math.isfinite(found) and "_" not in text else None


def _is_time(text: str, form: str) -> bool:
    """Or a number, as the first of a row may be where the times come behind."""
    if _number(text, False) is not None:
        return True
    for each in {"", form}:
        with contextlib.suppress(ValueError):
            seconds(text, each)
            return True
    return False


def _time_column(header: list[str]) -> int:
    """The first column where its name says so; else the likeliest name; else the first column."""
    names = [each.lower() for each in header]
    if names[0] in TIMES:
        return 0
    return next((names.index(each) for each in TIMES if each in names), 0)
