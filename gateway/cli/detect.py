"""`ganglion detect`: the gateway's detectors over a file."""

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli.options import show_json

if TYPE_CHECKING:
    from gateway.lines import Lines

Kind = Literal["generic", "traffic", "water", "air"]
BLOCK: Final = 200_000
"""Rows of a long file that are judged together: of many series some of each, so that numpy has something to do."""

TimeOption = Annotated[str, typer.Option("--time-column", help="By default found by its name, or the first.")]
ValueOption = Annotated[str, typer.Option("--value-column", help="By default `value`, or the first with numbers.")]
SeriesOption = Annotated[str, typer.Option("--series-column", help="Of a file with many series below each other.")]
WideOption = Annotated[bool, typer.Option("--wide", help="Every column but the time is a node of the same site.")]
FormatOption = Annotated[str, typer.Option("--time-format", help="For other times, as %d.%m.%Y %H:%M (strptime).")]


def detect(
    file: Annotated[Path, typer.Argument(help="CSV with a header, also gzipped; - reads standard input.")],
    *,
    kind: Annotated[Kind, typer.Option(help="What is measured.")] = "generic",
    time_column: TimeOption = "",
    value_column: ValueOption = "",
    series_column: SeriesOption = "",
    wide: WideOption = False,
    time_format: FormatOption = "",
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of CSV.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the series, scores and alarms.", metavar="OUT.svg")] = None,
) -> None:
    """The gateway's detectors over a file: prints time,series,value,score,alarm,reason for each of its rows.

    `score` is 0 to 1; `alarm` is 1 in the one row that raises an alarm, and `reason` says there what was seen and
    expected. What is said of a row depends on the rows up to it alone. Missing values (blank, NaN, NA) score 0.

    Kinds: traffic are counts per interval; water are litres, of the interval or a register's; air are concentrations,
    with --wide and three or more columns each judged against its neighbours; anything else is generic.

    Examples: ganglion detect cpu.csv > judged.csv

    ganglion detect stations.csv.gz --wide --kind air --plot stations.svg

    ganglion detect meters.csv --kind water --series-column user --value-column diff_l

    tail -n +1 -f live.csv | ganglion detect - --json
    """
    check_columns(value_column, series_column, wide)
    from gateway.evaluate.adapters import detector, limits
    from gateway.evaluate.judge import Judged, judge
    from gateway.evaluate.table import Columns, Table
    from gateway.lines import STDIN

    columns = Columns(time_column, value_column, series_column, wide, time_format, *limits(kind))
    live = str(file) == STDIN
    kept: list[Judged] = []
    with Table.opened(file, columns) as (table, lines), progress(file, None if live else lines) as advance:
        judges = detector(kind, len(table.layout.names), together=wide)
        wait = lines.wait if live else (lambda: False)
        show = show_json if json else _Csv().show
        for part in judge(table, table.layout, judges, BLOCK, wait):
            show(part)
            if wait():
                sys.stdout.flush()
            if plot is not None:
                kept += part
            advance()
    tell(table.remarks())
    if plot is not None:
        from gateway.evaluate.plots import plot_judged

        plot_judged(kept, plot, time_format)


def check_columns(value: str, series: str, wide: bool) -> None:
    """Raises BadParameter for what does not fit together."""
    if wide and value:
        raise typer.BadParameter("with --wide every column is a series: leave one of the two out", param_hint="--wide")
    if wide and series:
        raise typer.BadParameter("a file is either wide or has a series column", param_hint="--series-column")


def tell(remarks: list[str]) -> None:
    for each in remarks:
        typer.echo(each, err=True)


class _Csv:
    """Judged rows on standard output."""

    def __init__(self) -> None:
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(("time", "series", "value", "score", "alarm", "reason"))

    def show(self, rows: "Iterable[msgspec.Struct]") -> None:
        self._writer.writerows(_cells(row) for row in rows)


def _cells(row: msgspec.Struct) -> Iterator[object]:
    for cell in msgspec.structs.astuple(row):
        yield f"{cell:.9g}" if isinstance(cell, float) else cell


@contextmanager
def progress(file: Path, lines: "Lines | None") -> Iterator["Progressing"]:
    """Bytes of the file that are read, on standard error where that is a terminal and the output does not go there."""
    console = Console(file=sys.stderr)
    shown = lines is not None and console.is_terminal and not sys.stdout.isatty()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not shown, transient=True) as bar:
        yield Progressing(bar, file, lines if shown else None)


class Progressing:
    def __init__(self, bar: Progress, file: Path, lines: "Lines | None") -> None:
        self._bar = bar
        self._lines = lines
        self._task = bar.add_task(file.name, total=file.stat().st_size if lines is not None else None)

    def __call__(self) -> None:
        if self._lines is not None:
            self._bar.update(self._task, completed=self._lines.tell())
