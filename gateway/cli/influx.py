"""`ganglion influx`: setting up the database that the gateway writes to."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import track

from gateway.audit.asker import at_shell
from gateway.audit.entry import JSON
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, show_json, show_table
from gateway.cli.query import where
from gateway.config import load
from gateway.influx.plan import FOR_EVER, HOUR, RETENTION, ROLLUP_RETENTION, SetupError, Wish
from gateway.influx.setup import make_setup
from gateway.query.influxql import QueryError, seconds

app = typer.Typer(help="The database: how long it keeps what, and its roll-ups.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `setup` a command of its own while it is the only one."""


@app.command()
def setup(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    retention: Annotated[str, typer.Option(help="How long to keep readings, such as 400d; inf for ever.")] = RETENTION,
    rollups: Annotated[bool, typer.Option(help="Also sums and means of 15 minutes, an hour and a day.")] = True,
    rollup_retention: Annotated[str, typer.Option(help="How long to keep those; inf for ever.")] = ROLLUP_RETENTION,
    backfill: Annotated[bool, typer.Option("--backfill", help="Sum up what is there already, too (1.x).")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also shorten what is kept longer: that deletes.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; print what would be sent.")] = False,
    url: Annotated[str, typer.Option(help="A database other than the configuration's.", metavar="URL")] = "",
    database: Annotated[str, typer.Option(help="Likewise; the bucket of 2.x.")] = "",
    json: JsonOption = False,
) -> None:
    """Make the database, its retention and its roll-ups what they should be; what is so already is left alone.

    Nothing is ever kept shorter than it was without --force. Needs a user or a token that may set up databases.

    Examples: ganglion influx setup --dry-run

    ganglion influx setup --retention 400d --rollup-retention 3650d
    """
    wish = Wish(
        _duration("--retention", retention), rollups, _duration("--rollup-retention", rollup_retention), force, backfill
    )
    planned = list(make_setup(where(config, url, database)).plan(wish))
    if not dry_run:
        if not url:  # a database of nobody's gateway needs no configuration
            asked: dict[str, JSON] = {"retention": retention, "rollups": rollups, "force": force}
            at_shell(Path(load(config, None).data_dir)).asks("influx.setup", database, asked)
        console = Console(stderr=True)
        for each in track(planned, "setting up", console=console, transient=True, disable=not console.is_terminal):
            each.do()
    if json:
        show_json([msgspec.structs.asdict(each.item) | {"requests": each.requests} for each in planned])
    elif dry_run:
        requests = [request for each in planned for request in each.requests]
        typer.echo("\n".join(requests) if requests else "nothing is to be changed")
    else:
        show_table(
            ["what", "name", "state", "detail"],
            [[each.item.what, each.item.name, each.item.state, each.item.detail] for each in planned],
            "",
        )


def _duration(option: str, text: str) -> int:
    """Seconds. Raises SetupError for what no InfluxDB takes."""
    if text == "inf":
        return FOR_EVER
    try:
        found = seconds(text)
    except QueryError as error:
        raise SetupError(f"{option}: {error}; or inf for ever") from error
    if found < HOUR:
        raise SetupError(f"{option}: {text} is too short; InfluxDB keeps an hour at least")
    return found
