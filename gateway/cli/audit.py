"""`ganglion audit`: who did what, and whether that log is as it was written."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.audit import reading
from gateway.audit.log import place
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, show_json, show_table
from gateway.config import load
from gateway.errors import ConfigError
from gateway.logs import printable

UNITS: Final = {"m": 60, "h": 3600, "d": 86_400}

app = typer.Typer(
    help="Who did what to this installation, and proof that nobody has changed that.", no_args_is_help=True
)


@app.command()
def show(
    act: Annotated[str, typer.Option(help="Only this act, or all that begin so: login, login.refused.")] = "",
    who: Annotated[str, typer.Option(help="Only of whom this is a part of the name.")] = "",
    since: Annotated[str, typer.Option(help="ISO 8601, or so long ago: 30m, 12h, 7d.")] = "",
    last: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """What was done, the newest last. Times are UTC, by the gateway's clock.

    Examples: ganglion audit show --act login.refused --since 24h

    ganglion audit show --who ada --json
    """
    begin = _since(since) if since else 0.0
    found = reading.last_of(_folder(config), last, act, who, begin)
    if json:
        show_json(found)
        return
    show_table(
        ["n", "time", "act", "who", "of", "came", "detail"],
        [
            [str(each.n), each.time[:19] + "Z", each.act, each.who, each.of, each.came, reading.in_words(each)]
            for each in found
        ],
        "no such entry",
    )


@app.command()
def verify(
    head: Annotated[
        list[str] | None,
        typer.Option(
            help="A head that left the machine: 64 digits, or a file of them; may be repeated.", metavar="HASH"
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Check the whole chain. Ends with 1 where an entry does not hold.

    A chain alone cannot show that its end was cut off, or that all of it was written anew: give a head that was kept
    elsewhere, as the broker and InfluxDB have them.

    Examples: ganglion audit verify

    ganglion audit verify --head heads.txt
    """
    given = [each for one in head or () for each in reading.heads(_text(one))]
    verdict = reading.verify(_folder(config), given)
    if json:
        show_json([verdict])
    else:
        for fault in verdict.faults:
            entry = "" if fault.entry is None else f" entry {fault.entry}"
            typer.echo(printable(f"{fault.where}:{entry} {fault.why}"))
        state = "does NOT hold" if verdict.faults else "holds"
        typer.echo(f"the chain {state}: entries {verdict.first} to {verdict.entries}, head {verdict.head}")
        if given and not verdict.faults:
            typer.echo(
                f"and has all of the {len(given)} head{'s' if len(given) > 1 else ''} given: nothing was cut off"
            )
    if verdict.faults:
        raise typer.Exit(1)


@app.command("head")
def head_(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """The hash of the last entry: keep it where whoever changes this machine cannot.

    Example: ganglion audit head
    """
    try:
        found = place(_folder(config))
    except OSError as error:
        raise ConfigError(f"the log cannot be read: {error.strerror}; run this as the gateway's user") from error
    if json:
        show_json([found])
    else:
        typer.echo(found.head)


def _folder(config: Path) -> Path:
    return Path(load(config, None).data_dir)


def _text(head: str) -> str:
    """Of a file, where there is one of that name."""
    path = Path(head)
    try:
        return path.read_text(encoding="utf-8") if len(head) != 64 and path.is_file() else head
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _since(text: str) -> float:
    """Unix seconds. Raises BadParameter."""
    if ago := re.fullmatch(r"([0-9]{1,6})([mhd])", text):
        return time.time() - int(ago[1]) * UNITS[ago[2]]
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is no time and no span: 2026-12-01T08:00, 12h", param_hint="--since"
        ) from error
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
