"""A person's own labels of a file: windows in which something was wrong."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.evaluate.adapters import Kind
from gateway.evaluate.series import Series
from gateway.evaluate.sets import Drawn, read_json, run_all
from gateway.evaluate.table import Columns
from gateway.evaluate.times import seconds
from gateway.evaluate.windows import hold, median
from gateway.lines import FileError


class WindowsRow(Struct, frozen=True):
    series: str
    windows: int
    hit: int
    median_delay_h: float | None
    alarms: int
    false: int
    """Alarms outside of windows."""
    false_a_month: float


def evaluate_windows(
    series: Sequence[Series], labels: Path, file: str, kind: Kind, columns: Columns, tick: Callable[[], None]
) -> tuple[list[WindowsRow], list[Drawn]]:
    """Each series held against its windows. Raises FileError for labels that cannot be used."""
    windows = _windows(labels, series, file, columns.time_format)
    rows, drawn = [], []
    for each, run in zip(series, run_all(series, kind, columns.wide, tick), strict=True):
        mine = windows[each.name]
        held = hold(each.time, run.alarm, mine)
        delay = median(held.delays_h) if held.delays_h else None
        often = held.false / held.months if held.months else 0.0
        rows.append(WindowsRow(each.name, held.windows, held.hit, delay, held.alarms, held.false, often))
        drawn.append(Drawn(each.name, each.time, each.values, run, mine))
    return rows, drawn


def _windows(path: Path, series: Sequence[Series], file: str, form: str) -> dict[str, list[tuple[int, int]]]:
    """Of each series. A list is of all of them; otherwise they are by the name of a series, or of the file."""
    given = read_json(path)
    if isinstance(given, list):
        every = [_window(pair, path, form) for pair in given]
        return {each.name: every for each in series}
    if not isinstance(given, dict):
        raise FileError(f"{path}: neither a list of [from, to] nor such lists by series")
    names = {each.name for each in series}
    if file in given and not names & given.keys():
        return {name: [_window(pair, path, form) for pair in _list(given[file], path)] for name in names}
    if unknown := given.keys() - names:
        raise FileError(
            f"{path}: {min(unknown)!r:.60} is no series of {file}; there are {', '.join(sorted(names)):.200}"
        )
    return {name: [_window(pair, path, form) for pair in _list(given.get(name, []), path)] for name in names}


def _list(value: Any, path: Path) -> list[Any]:
    if not isinstance(value, list):
        raise FileError(f"{path}: {value!r:.60} is no list of [from, to]")
    return value


def _window(pair: Any, path: Path, form: str) -> tuple[int, int]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise FileError(f"{path}: {pair!r:.60} is no window: write [from, to]")
    try:
        first, last = (seconds(str(each), form) for each in pair)
    except ValueError as error:
        raise FileError(f"{path}: {error}") from error
    if last < first:
        raise FileError(f"{path}: the window {pair!r:.80} ends before it begins")
    return first, last
