"""Options and output that several commands share."""

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from gateway.logs import printable

INTERRUPTED: Final = 130
"""Exit code of a command that Ctrl-C or SIGTERM has ended."""

ConfigOption = Annotated[
    Path, typer.Option("--config", envvar="GANGLION_CONFIG", help="The gateway's configuration file.", metavar="FILE")
]
DEFAULT_CONFIG: Final = Path("ganglion.toml")
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")]


def only_before(context: typer.Context) -> bool:
    """Whether a subcommand follows. Raises BadParameter for an option that stands before it: it has its own."""
    if context.invoked_subcommand is None:
        return False
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            what = f"{parameter.opts[0]} stands before {context.invoked_subcommand}, which has options of its own"
            raise typer.BadParameter(f"{what}: write it behind", param_hint=parameter.opts[0])
    return True


def show_table(columns: Sequence[str | Column], rows: Sequence[Sequence[str | Text]], empty: str) -> None:
    """A table on standard output, or the sentence `empty`. Without a terminal nothing is cut off."""
    if not rows:
        typer.echo(empty)
        return
    folded = (Column(each, overflow="fold") if isinstance(each, str) else each for each in columns)
    table = Table(*folded, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(printable(cell) if isinstance(cell, str) else cell for cell in row))
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = 10_000
    console.print(table)


def show_json(values: list[Any]) -> None:
    """One line each."""
    typer.echo("".join(msgspec.json.encode(value).decode() + "\n" for value in values), nl=False)


def moment(seconds: float | None) -> str:
    """Unix seconds for a person: UTC to the second; `-` for never."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if seconds else "-"


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """In the block, Ctrl-C and SIGTERM raise KeyboardInterrupt, so that a long command can say how to go on.

    What is given is to be called at each step. It raises that again, should Python have lost it: an exception that
    comes while it finalizes something is only written to standard error.
    """
    asked = False

    def interrupt(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
