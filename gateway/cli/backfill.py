"""`ganglion backfill`: a time range of the database into another one."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gateway.audit.asker import at_shell
from gateway.backfill import Backfill, BackfillError, Range, differences
from gateway.cli.options import DEFAULT_CONFIG, INTERRUPTED, ConfigOption, interruptible, show_json
from gateway.config import Api, Config, Influx, load
from gateway.errors import GanglionError
from gateway.query.influxql import instant
from gateway.times import utc


def backfill(
    *,
    begin: Annotated[str, typer.Option("--from", help="From this time on: ISO 8601 or Unix seconds.")],
    end: Annotated[str, typer.Option("--to", help="Up to this time, without it.")],
    target: Annotated[str, typer.Option(help="The name of a configured mirror, or a URL.", metavar="NAME|URL")],
    site: Annotated[str, typer.Option(help="Only this site.")] = "",
    kind: Annotated[str, typer.Option(help="Only this measurement, such as air or incident.")] = "",
    api: Annotated[Api, typer.Option(help="Of a URL; auto asks it.")] = "auto",
    database: Annotated[str, typer.Option(help="Of a URL: database or bucket, if it is another name there.")] = "",
    verify: Annotated[bool, typer.Option("--verify", help="Compare the counts of both afterwards.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The summary as one JSON object.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Copy a time range of the gateway's database into another: all measurements, tags, fields. Again changes nothing.

    Ends with 1 when the target refused a point, or when --verify finds other counts.

    Example: ganglion backfill --from 2026-11-01 --to 2026-11-08 --target spare --verify
    """
    from gateway.forward.target import make_target  # the other commands start faster without it

    settings = load(config)
    span = Range(_seconds(begin), _seconds(end), site, kind)
    if span.begin >= span.end:
        raise BackfillError("--from must be before --to")
    there = _there(settings, target, api, database)
    at_shell(Path(settings.data_dir)).asks("backfill", there.database, {"from": begin, "to": end})
    console = Console(file=sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("backfill", total=span.end - span.begin)

        def moved() -> None:
            check()
            done = copying.progress
            bar.update(task, completed=done.next - span.begin, description=f"{done.written} points, {_day(done.next)}")

        def told(words: str) -> None:
            bar.console.print(words, markup=False, highlight=False, soft_wrap=True)

        copying = Backfill(
            settings.influx, make_target(there), span, batch_lines=there.batch_lines, told=told, moved=moved
        )
        with interruptible() as check:
            try:
                copying.run()
            except KeyboardInterrupt:
                told(f"ended; go on with --from {utc(copying.progress.next)}")
                raise typer.Exit(INTERRUPTED) from None
            except GanglionError as error:
                raise BackfillError(f"{error}; then go on with --from {utc(copying.progress.next)}") from error
    unequal = differences(settings.influx, there, span) if verify else []
    _summary(copying, verify, unequal, json)
    if copying.progress.refused or unequal:
        raise typer.Exit(1)


def _summary(copying: Backfill, verify: bool, unequal: list[str], json: bool) -> None:
    done = copying.progress
    if json:
        said = {"read": done.read, "written": done.written, "refused": done.refused}
        show_json([said | ({"differences": unequal} if verify else {})])
        return
    typer.echo(f"{done.read} points read, {done.written} written, {done.refused} refused")
    for each in unequal:
        typer.echo(each)
    if verify and not unequal:
        typer.echo("both hold the same number of values of each field")


def _there(settings: Config, target: str, api: Api, database: str) -> Influx:
    """Where to. Raises BackfillError."""
    named = {mirror.name: mirror for mirror in settings.mirror}
    if target in named:
        if api != "auto" or database:
            raise BackfillError(f"--api and --database are for a URL; {target} has its own in the configuration")
        there: Influx = named[target]
    elif target.startswith(("http://", "https://")):
        there = Influx(url=target, api=api, database=database or settings.influx.database)
    else:
        known = ", ".join(named) or "none"
        raise BackfillError(f"--target {target} is neither a URL nor a [[mirror]]; the configuration has {known}")
    ours = settings.influx
    if (there.url.rstrip("/"), there.database) == (ours.url.rstrip("/"), ours.database):
        raise BackfillError(f"--target {target} is the database that is read; name another")
    return there


def _seconds(text: str) -> int:
    when = instant(text)
    if when.microsecond:
        raise BackfillError(f"{text} is no whole second")
    return int(when.timestamp())


def _day(seconds: int) -> str:
    return utc(seconds)[:10]
