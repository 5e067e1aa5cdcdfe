"""`ganglion query`: time series out of the database."""

import csv
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, show_json, show_table
from gateway.config import Influx, load
from gateway.query.client import ask, rows
from gateway.query.influxql import Aggregate, By, QueryError, Question, Rollup, only_reading, statement


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


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
    influxql: Annotated[str, typer.Option(help="A statement of your own that reads, instead of all the above.")] = "",
    form: Annotated[Format, typer.Option("--format", help="json is one object a line.")] = Format.TABLE,
    config: ConfigOption = DEFAULT_CONFIG,
    url: Annotated[str, typer.Option(help="A database other than the configuration's.", metavar="URL")] = "",
    database: Annotated[str, typer.Option(help="Likewise; the bucket of 2.x.")] = "",
) -> None:
    """Time series out of the database: a short form, or InfluxQL that reads.

    Examples: ganglion query pm2_5 --last 24h --every 10m --by site

    ganglion query speed --node traffic-0005 --channel lane1 --format csv

    ganglion query volume --kind traffic --rollup 1h --last 90d

    ganglion query --influxql "select mean(pm2_5) from air group by time(10m)"
    """
    short = {"site": site, "node": node, "channel": channel, "kind": kind, "last": last}
    short |= {"begin": begin, "end": end, "every": every}
    if influxql and (quantity or aggregate or by or rollup or any(short.values())):
        raise QueryError("--influxql is a whole question: leave out the quantity and the options that narrow it")
    if not influxql and not quantity:
        raise QueryError("name a quantity, such as pm2_5, or give a statement with --influxql")
    question = only_reading(influxql) or statement(
        Question(quantity=quantity, aggregate=aggregate, by=by, rollup=rollup, **short)
    )
    columns, found = rows(ask(where(config, url, database), question))
    if not found:
        typer.echo(f"nothing found by {question}", err=True)
    _SHOW[form](columns, found)


def _show_table(columns: list[str], found: list[dict[str, Any]]) -> None:
    if found:
        show_table(columns, [[_cell(row.get(column)) for column in columns] for row in found], "")


def _show_csv(columns: list[str], found: list[dict[str, Any]]) -> None:
    if found:
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


def _show_json(columns: list[str], found: list[dict[str, Any]]) -> None:
    show_json([{column: row[column] for column in columns if column in row} for row in found])


def _cell(value: Any) -> str:
    """For people: no more digits than a sensor has."""
    return "" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)


_SHOW = {Format.TABLE: _show_table, Format.CSV: _show_csv, Format.JSON: _show_json}
