"""`ganglion import`: what was measured elsewhere or before, from a file."""

import contextlib
import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, cast

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.audit.asker import at_shell
from gateway.cli.options import DEFAULT_CONFIG, INTERRUPTED, ConfigOption, interruptible, show_json
from gateway.config import Config, load
from gateway.control import token as tokens
from gateway.control.ways import ByGateway, ByJournal, Nowhere, Way, alone
from gateway.errors import GanglionError
from gateway.intake.lineprotocol import Precision
from gateway.intake.reader import Form, Imported, Measurement, Options, cut
from gateway.intake.table import IntakeError

FORMS: Final[dict[str, Form]] = {".csv": "csv", ".lp": "lp", ".line": "lp", ".txt": "lp"}
TOLD: Final = 100
"""Refused lines that are told one by one."""


class Total(msgspec.Struct):
    """Of the parts taken so far."""

    file: str
    lines: int = 0
    rows: int = 0
    packs: int = 0
    readings: int = 0
    refused: int = 0

    def add(self, part: Imported, offset: int) -> None:
        self.lines = offset + part.lines
        self.rows += part.rows
        self.packs += part.packs
        self.readings += part.readings
        self.refused += len(part.refused)


def import_file(
    file: Annotated[Path, typer.Argument(help="CSV or line protocol, also gzipped.", metavar="FILE.csv|FILE.lp[.gz]")],
    *,
    precision: Annotated[Precision, typer.Option(help="Of times in line protocol.")] = "ns",
    site: Annotated[str, typer.Option(help="For rows that name no site.")] = "",
    node: Annotated[str, typer.Option(help="For rows that name no node.")] = "",
    kind: Annotated[Measurement | None, typer.Option(help="For rows of CSV that do not say.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file only; nothing is taken.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The summary as one JSON object.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take a file in, as if nodes had sent it: checked, detected, forwarded. Doing it again changes nothing.

    Ends with 1 when a line was refused; it is among the dead letters, with its bytes and the reason.

    Examples: ganglion import 2025.csv --kind air

    ganglion import export.lp.gz --precision ns --dry-run
    """
    settings = load(config, None)
    packed = file.suffix.lower() == ".gz"
    form = FORMS.get(Path(file.stem if packed else file.name).suffix.lower())
    if form is None:
        raise IntakeError(f"{file}: name it .csv or .lp, or .csv.gz or .lp.gz, so that it is known what it holds")
    given = {"form": form, "precision": precision, "site": site, "node": node, "kind": kind or ""}
    try:
        options = msgspec.convert(given | {"file": file.name[-100:]}, Options)
    except msgspec.ValidationError as error:
        raise IntakeError(f"{file} has a name that cannot be kept: {error}") from error
    total = Total(str(file))
    with interruptible() as check:
        try:
            _run(file, packed, settings, options, total, dry_run, check)
        except KeyboardInterrupt:
            typer.echo(f"ended behind line {total.lines}; {_AGAIN}", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except GanglionError as error:
            behind = f"behind line {total.lines}: " if total.lines else ""
            raise IntakeError(f"{file}: {behind}{error}{f'; {_AGAIN}' if behind else ''}") from error
    _summary(total, dry_run, json)
    if total.refused:
        raise typer.Exit(1)


_AGAIN: Final = "the same command again goes on: what is in already stays one point"


def _run(
    file: Path,
    packed: bool,
    settings: Config,
    options: Options,
    total: Total,
    dry_run: bool,
    check: Callable[[], None],
) -> None:
    with (
        _opened(file, packed) as (raw, data),
        _progress(file, raw) as bar,
        _way(settings, options, bar, dry_run) as way,
    ):
        for part in cut(data, options.form):
            check()
            taken = way.take(part)
            for each in taken.refused[: max(0, TOLD - total.refused)]:
                bar.say(f"{file}:{each.line}: {each.reason}: {each.detail}")
            total.add(taken, part.offset)
            bar.advance()


@contextlib.contextmanager
def _opened(file: Path, packed: bool) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The file, and what it holds. Raises IntakeError when it cannot be read to its end."""
    try:
        with file.open("rb") as raw:
            if packed:
                with gzip.open(raw) as data:
                    yield raw, cast(BinaryIO, data)
            else:
                yield raw, raw
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        if error.filename != str(file) and error.filename != file:
            raise
        raise IntakeError(f"it cannot be read: {error.strerror}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise IntakeError(f"the gzip data are damaged: {error}; what came before is taken") from error


@contextlib.contextmanager
def _way(settings: Config, options: Options, bar: "_Bar", dry_run: bool) -> Iterator[Way]:
    folder = Path(settings.data_dir)
    if dry_run:
        yield Nowhere(settings, options)
    elif tokens.is_held(folder):
        yield ByGateway(settings, options, bar.wait)
    else:
        with alone(settings) as journal:
            at_shell(folder).asks("import", detail={"file": options.file, "kind": options.kind, "site": options.site})
            bar.say("no gateway runs: the journal is written directly, and the gateway forwards it when it is started")
            yield ByJournal(journal, options)


class _Bar:
    """Bytes of the file, on standard error where that is a terminal."""

    def __init__(self, progress: Progress, raw: BinaryIO, size: int | None, name: str) -> None:
        self._progress = progress
        self._raw = raw
        self._task = progress.add_task(name, total=size, waits="")

    def advance(self) -> None:
        if self._raw.seekable():  # a pipe does not say how far it is
            self._progress.update(self._task, completed=self._raw.tell())

    def wait(self, words: str) -> None:
        self._progress.update(self._task, waits=f"waiting: {words}" if words else "")

    def say(self, words: str) -> None:
        self._progress.console.print(words, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _progress(file: Path, raw: BinaryIO) -> Iterator[_Bar]:
    console = Console(file=sys.stderr)
    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(
        *columns, TextColumn("{task.fields[waits]}"), console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        yield _Bar(progress, raw, file.stat().st_size or None, file.name)


def _summary(total: Total, dry_run: bool, json: bool) -> None:
    if json:
        show_json([msgspec.structs.asdict(total) | {"dry_run": dry_run}])
        return
    if total.refused > TOLD:
        typer.echo(f"and {total.refused - TOLD} more lines were refused: `ganglion dead-letters` lists them", err=True)
    done = "would make" if dry_run else "made"
    refused = f"{total.refused} refused" if total.refused else "none refused"
    typer.echo(f"{total.file}: {total.rows} rows {done} {total.packs} packs of {total.readings} readings; {refused}")
