"""Options and output that several commands share."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

ConfigOption = Annotated[
    Path, typer.Option("--config", envvar="GANGLION_CONFIG", help="The gateway's configuration file.", metavar="FILE")
]
DEFAULT_CONFIG: Final = Path("ganglion.toml")
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of a table.")]


def show_table(columns: list[str], rows: list[list[str]], empty: str) -> None:
    """A table on standard output, or the sentence `empty`. Without a terminal nothing is cut off."""
    if not rows:
        typer.echo(empty)
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = 10_000
    console.print(table, overflow="fold")


def show_json(values: list[Any]) -> None:
    """One line each."""
    for value in values:
        typer.echo(msgspec.json.encode(value).decode())


def moment(seconds: float | None) -> str:
    """Unix seconds for a person: UTC to the second; `-` for never."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if seconds else "-"
