"""Rows of a CSV file of series, as they come: which columns hold what is decided by the header and the first row."""

import contextlib
import csv
import gzip
import io
import math
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self, cast

from msgspec import Struct

from gateway.errors import GanglionError
from gateway.evaluate.times import seconds

TIMES: Final = ("time", "timestamp", "datetime", "date_time", "date", "epoch", "ts", "_time", "time_utc", "local_time")
"""Names of a column of times, the likeliest first."""
MISSING: Final = frozenset(("", "nan", "na", "n/a", "null", "none", "nil", "-", "--", "<na>"))
STDIN: Final = "-"


class FileError(GanglionError):
    """A file that cannot be read as series; the message names the line and the cure."""


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
    """The rows of an open file. `bad` counts values that are no numbers, `first_bad` says where the first was."""

    def __init__(self, lines: Iterator[str], columns: Columns) -> None:
        self.bad = 0
        self.first_bad = ""
        self._columns = columns
        header = next(lines, "").removeprefix("\ufeff")
        if not header.strip():
            raise FileError("line 1: no header: name the columns in the first line, as in time,value")
        delimiter = next((each for each in (",", ";", "\t") if each in header), ",")
        self._comma = delimiter != ","  # 1,5 is a number only where commas part nothing
        self._reader = csv.reader(lines, delimiter=delimiter, strict=True)
        self._header = _named(next(csv.reader([header], delimiter=delimiter)))
        first = self._cells()
        self._first = first
        self.layout = self._lay_out(first or [])

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, columns: Columns) -> Iterator[tuple[Self, io.BufferedReader]]:
        """The table in a file, gzipped or not, or on standard input (`-`), and the raw file: where reading is.

        Raises FileError, also from the block, for what cannot be read.
        """
        try:
            with contextlib.ExitStack() as stack:
                raw = _stdin() if str(path) == STDIN else stack.enter_context(path.open("rb"))
                packed = raw.peek(2)[:2] == b"\x1f\x8b"
                data = stack.enter_context(gzip.open(raw)) if packed else raw
                text = io.TextIOWrapper(cast(BinaryIO, data), encoding="utf-8", newline="")
                stack.callback(text.detach)  # who opened the file closes it
                yield cls(text, columns), raw
        except FileError as error:
            raise FileError(f"{path}: {error}") from error
        except UnicodeDecodeError as error:
            raise FileError(f"{path}: not UTF-8 ({error.reason}): convert it, as by iconv -f latin1 -t utf8") from error
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FileError(f"{path}: the gzip data are damaged: {error}") from error
        except OSError as error:
            if error.filename is None or str(error.filename) != str(path):
                raise
            raise FileError(f"{path} cannot be read: {error.strerror}") from error

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
            yield Row(self._line, cells[layout.time], time, series, texts, values)
            cells = self._cells()

    def _value(self, text: str) -> float:
        number = _number(text, self._comma)
        if number is not None:
            return number
        if text.lower() not in MISSING:
            self.bad += 1
            self.first_bad = self.first_bad or f"{text!r:.40} in line {self._line}"
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

    def _lay_out(self, first: list[str]) -> Layout:
        header, wanted = self._header, self._columns
        time = self._find(wanted.time, "--time-column") if wanted.time else _time_column(header)
        series = self._find(wanted.series, "--series-column") if wanted.series else -1
        others = [at for at in range(len(header)) if at not in (time, series)]
        if not others:
            raise FileError(f"line 1: no column of values beside {header[time]}: is the file parted by , ; or tab?")
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


def _stdin() -> io.BufferedReader:
    given = sys.stdin.buffer
    return given if isinstance(given, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, given))


def _number(text: str, comma: bool) -> float | None:
    """A finite number; None for anything else."""
    try:
        found = float(text.replace(",", ".") if comma else text)
    except ValueError:
        return None
    return found if math.isfinite(found) and "_" not in text else None


def _named(cells: list[str]) -> list[str]:
    names = [cell.strip() or f"column {at}" for at, cell in enumerate(cells, 1)]
    twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
    if twice is not None:
        raise FileError(f"line 1: two columns are named {twice}: rename one")
    numbers = [_number(each, False) is not None for each in names]
    data = all(number or _is_time(each) for number, each in zip(numbers, names, strict=True))
    if data and not all(numbers):  # 1, 2, 3 may be nodes
        raise FileError("line 1: no header: name the columns in the first line, as in time,value")
    return names


def _is_time(text: str) -> bool:
    try:
        seconds(text)
    except ValueError:
        return False
    return True


def _time_column(header: list[str]) -> int:
    """The first column where its name says so; else the likeliest name; else the first column."""
    names = [each.lower() for each in header]
    if names[0] in TIMES:
        return 0
    return next((names.index(each) for each in TIMES if each in names), 0)
