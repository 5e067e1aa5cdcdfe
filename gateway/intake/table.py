"""Rows of CSV: one quantity a column, as `ganglion query --format csv` prints them, or one reading a row. Pure, strict.

One line is one row: no cell of these tables can hold a line break.
"""

import csv
import re
from datetime import UTC, datetime
from typing import Final, Self

from msgspec import Struct

from gateway.errors import GanglionError, Refused
from gateway.intake.lineprotocol import number
from gateway.intake.rows import Row, Value
from gateway.near import hint
from gateway.quantities import QUANTITIES

PLACES: Final = ("measurement", "time", "site", "node", "channel")
LONG: Final = ("quantity", "value")
_NAMES: Final = frozenset(each.name for each in QUANTITIES)
_STATES: Final = {"true": True, "false": False}
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_UNIX: Final = re.compile(r"\d{1,12}(\.\d+)?", re.ASCII)


class IntakeError(GanglionError):
    """A file that cannot be read at all, or options that do not fit it; the message says what to change."""


class Table(Struct, frozen=True):
    """The header: what each column holds."""

    columns: tuple[str, ...]

    @classmethod
    def of(cls, header: str) -> Self:
        """From the first line. Raises IntakeError that names the column and the nearest that is known."""
        try:
            columns = tuple(cell.strip() for cell in _cells(header.removeprefix("\ufeff")))
        except Refused as refused:
            raise IntakeError(f"the header is not CSV: {refused.detail}") from refused
        known = [*PLACES, *(LONG if "quantity" in columns else _NAMES)]
        for column in columns:
            if column not in known:
                raise IntakeError(f"the header has a column {column!r:.80}, which is none{hint(column, known)}")
            if columns.count(column) > 1:
                raise IntakeError(f"the header has the column {column} twice")
        if "time" not in columns:
            raise IntakeError("the header has no column time: the first line must name the columns")
        if ("quantity" in columns) != ("value" in columns) or not set(columns) - set(PLACES):
            raise IntakeError("the header has no column of a quantity: name quantities, or both quantity and value")
        return cls(columns)

    def row(self, line: str) -> Row | None:
        """What a line says; None for an empty one. Raises Refused."""
        if not line.strip():
            return None
        cells = _cells(line)
        if len(cells) != len(self.columns):
            raise Refused("line", f"{len(cells)} cells, the header has {len(self.columns)}")
        said = {column: cell.strip() for column, cell in zip(self.columns, cells, strict=True)}
        measurement, time, site, node, channel = (said.pop(name, "") for name in PLACES)
        if "quantity" in said:
            said = {said["quantity"]: said["value"]}
        values = {name: _value(text) for name, text in said.items() if text}
        return Row(measurement, site, node, channel, _seconds(time), values)


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise Refused("line", f"not CSV: {error}") from error


def _value(text: str) -> Value:
    state = _STATES.get(text.lower())
    found = number(text) if state is None else state
    return text if found is None else found


def _seconds(text: str) -> int:
    match = _RFC3339.fullmatch(text) or _UNIX.fullmatch(text)
    if match is None:
        raise Refused("line", f"time {text!r:.40} is neither 2026-11-23T07:00:00Z nor Unix seconds")
    if match[1] and match[1].strip(".0"):
        raise Refused("line", f"time {text!r:.40} is no whole second; finer times are not stored")
    if match.re is _UNIX:
        return int(text.partition(".")[0])
    try:
        # `-00:00` and a fraction of zeros are of the RFC, and datetime reads both.
        return int(datetime.fromisoformat(text.upper()).astimezone(UTC).timestamp())
    except (ValueError, OverflowError) as error:
        raise Refused("line", f"time {text!r:.40} is no time: {error}") from error
