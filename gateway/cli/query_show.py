"""What `ganglion query` does once its words are understood; loaded only then, for it takes long."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import typer
from msgspec import structs
from rich.console import Console
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gateway.cli.options import INTERRUPTED, interruptible
from gateway.config import Config, Influx
from gateway.errors import ConfigError
from gateway.journal.store import Journal
from gateway.query.answer import Answered, answered, answering
from gateway.query.band import NoBand
from gateway.query.client import READ_SECONDS, ask
from gateway.query.compare import align
from gateway.query.curves import Curve, alarms, curves, expected, grid, places_of
from gateway.query.fit import quantity as line_of
from gateway.query.fit import span
from gateway.query.influxql import QueryError, Question, measurement, only_reading, statement
from gateway.query.picture import Drawn
from gateway.query.picture import draw as draw_picture
from gateway.query.table import FileFormat, Table, table, write
from gateway.query.terminal import plot
from gateway.records import Incident


def asked(
    settings: Influx, question: Question | None, influxql: str, now: float, most: int, compare: str, band: bool
) -> tuple[Answered, str]:
    """The answer, and the statement that brought it. Raises QueryError and what else `ask` raises."""
    with _progress() as told:

        def to_database(text: str) -> list:  # type: ignore[type-arg]
            return ask(settings, text, READ_SECONDS, told=told)

        if question is None:
            text = only_reading(influxql)
            return Answered(Question(quantity=""), to_database(text)), text
        answer = answered(answering(question, now=now, most=most, compare=compare, band=band), to_database)
        return answer, statement(answer.question)


def table_of(answer: Answered, zone: ZoneInfo, compare: str) -> Table:
    return table(answer, zone, compare)


def save(of: Table, form: str, file: Path | None) -> None:
    """To a file, or to standard output. Raises QueryError where it cannot be written."""
    if file is None:
        sys.stdout.flush()
        write(of, FileFormat(form), sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    try:
        with file.open("wb") as stream:
            write(of, FileFormat(form), stream)
    except OSError as error:
        raise QueryError(f"{file} cannot be written: {error.strerror}; choose another with --out") from error
    typer.echo(f"{len(of.rows):,} rows are in {file}", err=True)


def plotted(answer: Answered, zone: ZoneInfo, compare: str, size: tuple[int, ...] | None, *, unicode: bool) -> str:
    """For the terminal, of a size in (columns, lines). Raises QueryError when there is nothing to draw."""
    found = _drawable(answer)
    unit = _unit(answer.question)
    earlier = [structs.replace(each, label=f"{each.label}, {compare} before") for each in _earlier(answer, compare)]
    fits = None if size is None else (size[0], min(size[1] - 3, 30))
    return plot([*found, *earlier], unit, _title(answer.question), zone, size=fits, unicode=unicode)


def draw(answer: Answered, settings: Config | None, zone: ZoneInfo, now: float, compare: str, file: Path) -> None:
    """A picture, with the incidents that the journal knows, where there is one. Raises QueryError."""
    found = _drawable(answer)
    question = answer.question
    begin, end = span(question, now) if question.quantity else (min(c.times[0] for c in found), now)
    if not question.quantity:
        end = max(float(each.times[-1]) for each in found)
    bands = []
    if answer.history:
        history = curves(answer.history)
        bands = [expected(answer, each, history, zone, grid(answer, now)) for each in found]
        bands = [each for each in bands if not isinstance(each.band, NoBand)]
    told = _alarms(settings, found, question, begin, end)
    drawn = Drawn(
        _title(question), _unit(question), begin, max(end, begin + 1), found, _earlier(answer, compare), compare,
        bands, told,
    )  # fmt: skip
    try:
        draw_picture(drawn, zone, file)
    except OSError as error:
        raise QueryError(f"{file} cannot be written: {error.strerror}; choose another with --png") from error
    typer.echo(f"the picture is {file}", err=True)


def _alarms(
    settings: Config | None, found: list[Curve], question: Question, begin: float, end: float
) -> list[Incident]:
    """None without a journal: a picture of a database elsewhere is no less true."""
    if settings is None:
        return []
    try:
        journal = Journal.open(Path(settings.data_dir), settings.journal.max_bytes, read_only=True)
    except ConfigError:
        return []
    try:
        nodes = [(each.site, each.node, each.kind) for each in journal.nodes()]
        known = journal.incidents()
    finally:
        journal.close()
    kind = measurement(question.quantity, question.kind) if question.quantity else ""
    return alarms(known, places_of(found, nodes, kind), begin, end)


def _drawable(answer: Answered) -> list[Curve]:
    found = curves(answer.series)
    if not found:
        raise QueryError("there is nothing to draw: the answer has no numbers with times")
    return found


def _earlier(answer: Answered, compare: str) -> list[Curve]:
    return [structs.replace(each, times=align(each.times, compare)) for each in curves(answer.earlier)]


def _unit(question: Question) -> str:
    if not question.quantity:
        return ""
    return line_of(measurement(question.quantity, question.kind), question.quantity).unit


def _title(question: Question) -> str:
    words = [question.quantity, question.site, question.node, question.channel]
    how = [f"{question.aggregate or 'mean'} of {question.every}"] if question.every else []
    return ", ".join([" ".join(filter(None, words)) or "InfluxQL", *how])


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """What is told how many bytes have come, shown to a person who waits; gone when the answer is there."""
    columns = (SpinnerColumn(), TextColumn("asking the database"), DownloadColumn(), TimeElapsedColumn())
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    try:
        with interruptible(), Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=None)
            yield lambda number: progress.update(task, completed=number)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
