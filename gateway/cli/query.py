"""`ganglion query`: time series out of the database."""

import shutil
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import typer

from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, show_table
from gateway.config import Influx, load
from gateway.query.fit import MOST_POINTS
from gateway.query.influxql import Aggregate, By, QueryError, Question, Rollup


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def where(config: Path, url: str, database: str) -> Influx:
    """The database to ask: the one of the configuration, or of a URL, which needs none."""
    settings = Influx(url=url) if url else load(config, None).influx
    return msgspec.structs.replace(settings, database=database) if database else settings


def query(
    quantity: Annotated[str, typer.Argument(help="What was measured, such as pm2_5 or flow.", show_default=False)] = "",
    *,
    site: Annotated[str, typer.Option(help="Only this site.")] = "",
    node: Annotated[str, typer.Option(help="Only this node.")] = "",
    channel: Annotated[str, typer.Option(help="Only this channel, such as lane1.")] = "",
    kind: Annotated[str, typer.Option(help="traffic, water, air or health, for what several of them measure.")] = "",
    last: Annotated[
        str, typer.Option(help="How far back from now, such as 90m, 24h or 7d; 24h when no time is given.")
    ] = "",
    begin: Annotated[str, typer.Option("--from", help="From this time on: ISO 8601 or Unix seconds.")] = "",
    end: Annotated[str, typer.Option("--to", help="Up to this time, without it.")] = "",
    every: Annotated[str, typer.Option(help="Aggregate over intervals of this length, such as 10m.")] = "",
    aggregate: Annotated[Aggregate | None, typer.Option(help="How; mean where only --every is given.")] = None,
    by: Annotated[By | None, typer.Option(help="What an aggregate keeps apart; node when not given.")] = None,
    rollup: Annotated[
        Rollup | None, typer.Option(help="Ask the sums and means of `ganglion influx setup` instead of readings.")
    ] = None,
    most: Annotated[
        int, typer.Option(min=1, help="Points of a series; an answer of more is thinned, and says so.")
    ] = MOST_POINTS,
    compare: Annotated[str, typer.Option(help="Beside it the same of a period before, such as 1d or 1w.")] = "",
    band: Annotated[bool, typer.Option("--band", help="Beside it what is expected, by the four weeks before.")] = False,
    influxql: Annotated[str, typer.Option(help="A statement of your own that reads, instead of all the above.")] = "",
    form: Annotated[
        Format | None, typer.Option("--format", help="json is one object a line; table when not given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write there; its end (.csv, .json, .parquet) is the format.", metavar="FILE")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw in the terminal.")] = False,
    png: Annotated[Path | None, typer.Option(help="Draw a picture, with alarms.", metavar="FILE")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    url: Annotated[str, typer.Option(help="A database other than the configuration's.", metavar="URL")] = "",
    database: Annotated[str, typer.Option(help="Likewise; the bucket of 2.x.")] = "",
) -> None:
    """Time series out of the database: a short form, or InfluxQL that reads.

    What would bring more than a week of minutes is thinned, and says so. Ends with 1 when something is wrong, also a
    name, and with 0 when names are right and the time has nothing.

    Examples: ganglion query pm2_5 --site riverside --last 24h --every 10m --plot

    ganglion query speed --node traffic-0005 --channel lane1 --format csv

    ganglion query flow --node water-0003 --last 7d --compare 1w --band --png week.png

    ganglion query volume --kind traffic --last 90d --out volume.parquet

    ganglion query --influxql "select mean(pm2_5) from air group by time(10m)"
    """
    short: dict[str, Any] = {"site": site, "node": node, "channel": channel, "kind": kind, "last": last}
    short |= {"begin": begin, "end": end, "every": every, "aggregate": aggregate, "by": by, "rollup": rollup}
    if influxql and (quantity or compare or band or any(short.values())):
        raise QueryError("--influxql is a whole question: leave out the quantity and the options that narrow it")
    if not influxql and not quantity:
        raise QueryError("name a quantity, such as pm2_5, or give a statement with --influxql")
    form = _format(form, out)
    settings = None if url else load(config, None)
    zone = ZoneInfo(settings.timezone if settings else "UTC")
    from gateway.cli import query_show

    question = None if influxql else Question(quantity=quantity, **short)
    now = time.time()
    answer, said = query_show.asked(where(config, url, database), question, influxql, now, most, compare, band)
    of = query_show.table_of(answer, zone, compare)
    for note in of.notes:
        typer.echo(note, err=True)
    if not of.rows:
        typer.echo(f"nothing found by {said}", err=True)
    if png is not None and of.rows:
        query_show.draw(answer, settings, zone, now, compare, png)
    if plot and of.rows:
        terminal = tuple(shutil.get_terminal_size()) if sys.stdout.isatty() else None
        unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
        typer.echo(query_show.plotted(answer, zone, compare, terminal, unicode=unicode), nl=False)
    if out is not None:
        query_show.save(of, form, out)
    elif form is not Format.TABLE:
        query_show.save(of, form, None)
    elif of.rows and not plot and png is None:
        show_table(of.columns, [[_cell(row.get(column)) for column in of.columns] for row in of.rows], "")


def _format(form: Format | None, out: Path | None) -> Format:
    """What is written. Raises BadParameter where it cannot be."""
    files = [each for each in Format if each is not Format.TABLE]
    if out is None:
        if form is Format.PARQUET and sys.stdout.isatty():
            raise typer.BadParameter("parquet is nothing to read: give a file with --out", param_hint="--format")
        return form or Format.TABLE
    if form is Format.TABLE:
        raise typer.BadParameter(f"a file is one of {', '.join(files)}", param_hint="--format")
    if form is None and out.suffix.removeprefix(".") not in files:
        raise typer.BadParameter(
            f"{out.name} ends with none of .{', .'.join(files)}: say which with --format", param_hint="--out"
        )
    return form or Format(out.suffix.removeprefix("."))


def _cell(value: Any) -> str:
    """For people: no more digits than a sensor has."""
    return "" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)
