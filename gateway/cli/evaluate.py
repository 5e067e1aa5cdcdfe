"""`ganglion evaluate`: how good detection is, on labelled sets and on a city's own files."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer
from rich.console import Console

from gateway.cli.detect import (
    FormatOption,
    Kind,
    SeriesOption,
    TimeOption,
    ValueOption,
    WideOption,
    check_columns,
    tell,
)
from gateway.cli.options import JsonOption, show_json, show_table

if TYPE_CHECKING:
    from gateway.evaluate.series import Series
    from gateway.evaluate.sets import Drawn
    from gateway.evaluate.table import Columns

SETS: Final = ("nab", "leaks", "air-faults", "quiet")
_USUAL: Final[dict[str, Kind]] = {"leaks": "water", "air-faults": "air"}


def evaluate(
    labelled: Annotated[str, typer.Argument(help=f"{', '.join(SETS)}, or a file with --windows.", metavar="SET|FILE")],
    *,
    data: Annotated[Path | None, typer.Option(help="Of a SET: NAB's folder, or a CSV file.", metavar="PATH")] = None,
    windows: Annotated[
        Path | None,
        typer.Option(help='Of a FILE: [["from", "to"], ...], or such by series name.', metavar="LABELS.json"),
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="As in `ganglion detect`; by default what the set is of.")] = None,
    time_column: TimeOption = "",
    value_column: ValueOption = "",
    series_column: SeriesOption = "",
    wide: WideOption = False,
    time_format: FormatOption = "",
    plots: Annotated[Path | None, typer.Option(help="A drawing of each series goes here.", metavar="FOLDER")] = None,
    json: JsonOption = False,
) -> None:
    """How good detection is: what is found, how soon, and how often it alarms for nothing.

    nab: the Numenta Anomaly Benchmark's score, of all files and with thresholds from other files. leaks: put into water
    meters (litres of each interval, or registers). air-faults: put into stations, one at a time. quiet: alarms a month
    of files in which nothing is known to be wrong. A FILE with --windows: windows hit, delays, false alarms.

    Examples: ganglion evaluate nab --data NAB --plots drawings

    ganglion evaluate leaks --data meters.csv.gz --series-column user --value-column diff_l

    ganglion evaluate air-faults --data pm25.csv.gz --wide

    ganglion evaluate quiet --data counts.csv --kind traffic --wide --json

    ganglion evaluate pump.csv --windows known.json
    """
    path = _which(labelled, data, windows)
    kind = kind or _USUAL.get(labelled, "generic")
    check_columns(value_column, series_column, wide)
    from gateway.evaluate.adapters import limits
    from gateway.evaluate.table import Columns

    columns = Columns(time_column, value_column, series_column, wide, time_format, *limits(kind))
    with _busy() as tick:
        parts, drawn = _evaluate(labelled, path, windows, kind, columns, tick)
    for number, part in enumerate(parts):
        if json:
            show_json([{"set": labelled if data else "windows"} | msgspec.to_builtins(row) for row in part])
        else:
            _show(part, number > 0)
    if plots is not None:
        from gateway.evaluate.plots import plot_each

        typer.echo(f"{plot_each(drawn, plots)} drawings are in {plots}", err=True)


def _which(labelled: str, data: Path | None, windows: Path | None) -> Path:
    if labelled in SETS:
        if data is None:
            raise typer.BadParameter(f"{labelled} needs --data", param_hint="--data")
        if windows is not None:
            raise typer.BadParameter(f"{labelled} brings its own labels", param_hint="--windows")
        return data
    if windows is None:
        what = f"{labelled!r:.60} is none of {', '.join(SETS)}; a file needs --windows LABELS.json"
        raise typer.BadParameter(what, param_hint="SET")
    if data is not None:
        raise typer.BadParameter("a FILE is its own data: leave --data out", param_hint="--data")
    return Path(labelled)


def _evaluate(
    labelled: str, path: Path, windows: Path | None, kind: Kind, columns: "Columns", tick: Callable[[], None]
) -> "tuple[list[Sequence[msgspec.Struct]], list[Drawn]]":
    from gateway.evaluate import sets
    from gateway.evaluate.labels import evaluate_windows

    if labelled == "nab" and windows is None:
        rows, drawn = sets.evaluate_nab(path, kind, tick)
        return [rows], drawn
    series = _series(path, columns)
    if windows is not None:
        held, drawn = evaluate_windows(series, windows, path.name, kind, columns, tick)
        return [held], drawn
    if labelled == "quiet":
        runs = sets.run_all(series, kind, columns.wide, tick)
        drawn = [sets.Drawn(each.name, each.time, each.values, run, []) for each, run in zip(series, runs, strict=True)]
        return [sets.quiet(series, runs)], drawn
    if labelled == "leaks":
        found, untouched, drawn = sets.evaluate_leaks(series, kind, tick)
    else:
        found, untouched, drawn = sets.evaluate_faults(series, kind, columns.wide, tick)
    return [found, untouched], drawn


def _series(path: Path, columns: "Columns") -> "list[Series]":
    from gateway.evaluate.series import read_series
    from gateway.lines import FileError

    found = read_series(path, columns)
    tell(found.remarks)
    if not found.series:
        raise FileError(f"{path}: no rows behind the header: nothing to evaluate")
    return found.series


def _show(rows: Sequence[msgspec.Struct], apart: bool) -> None:
    if apart:
        typer.echo("")
    names = [name.replace("_", " ") for name in rows[0].__struct_fields__]
    show_table(names, [[_cell(cell) for cell in msgspec.structs.astuple(row)] for row in rows], "")


def _cell(cell: Any) -> str:
    if cell is None:
        return "-"
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)


@contextmanager
def _busy() -> Iterator[Callable[[], None]]:
    """On standard error, where that is a terminal."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield lambda: None
        return
    rounds = 0
    with console.status("judging ...") as status:

        def tick() -> None:
            nonlocal rounds
            rounds += 1
            status.update(f"judging ... round {rounds}")

        yield tick
