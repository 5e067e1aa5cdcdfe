"""`ganglion report`: the week of a site as one page."""

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateway.airquality.tables import Region
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption
from gateway.errors import ConfigError
from gateway.near import hint

if TYPE_CHECKING:
    from gateway.config import Config, Influx
    from gateway.detect.plan import Plan
    from gateway.report.figures import Week
    from gateway.report.weeks import Span

FORMS: Final = (".html", ".pdf")


def report(
    *,
    site: Annotated[str, typer.Option(help="Whose week; may be left out where there is one site only.")] = "",
    week: Annotated[str, typer.Option(help="Of ISO 8601; the last whole one if not given.", metavar="2026-W47")] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="Where to, .html or .pdf; report-SITE-WEEK.html if not given.", metavar="FILE"),
    ] = None,
    index: Annotated[Region, typer.Option(help="Whose air quality index.")] = "us",
    json: Annotated[
        bool, typer.Option("--json", help="The figures on standard output; a file only where --out is given.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    url: Annotated[str, typer.Option(help="A database other than the configuration's.", metavar="URL")] = "",
    database: Annotated[str, typer.Option(help="Likewise; the bucket of 2.x.")] = "",
) -> None:
    """The week of a site as one page: traffic, water, air, incidents, and how much of the data came.

    Ends with 0 when the page is written, with 1 when the week has no data or something is wrong, with 2 for a wrong
    command line. A part without data says so on the page.

    Examples: ganglion report --site riverside --week 2026-W47 --out week.html

    ganglion report --out week.pdf --index europe

    ganglion report --json
    """
    from gateway.config import load
    from gateway.detect.plan import planned
    from gateway.files import replace
    from gateway.report.weeks import IsoWeek, Span
    from gateway.report.written import written

    settings = load(config, None)
    if out is not None and out.suffix not in FORMS:
        raise typer.BadParameter(f"{out.name} ends neither with .html nor with .pdf", param_hint="--out")
    site = _site(site, settings)
    zone = ZoneInfo(settings.timezone)
    span = Span(IsoWeek.parse(week) if week else IsoWeek.last_whole(time.time(), zone), zone)
    plan = planned(settings)
    found = _look(settings, _database(settings, url, database), plan, site, span, index)
    if json:
        typer.echo(written(found, span, "json"))
    if out is not None or not json:
        path = out or Path(f"report-{site}-{span.week}.html")
        content = written(found, span, "pdf" if path.suffix == ".pdf" else "html")
        try:
            replace(path, content)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}; give another place with --out") from error
        if not json:
            typer.echo(f"{path}: the week {found.week} of {site}")


def _site(site: str, settings: "Config") -> str:

    if not site and len(settings.sites) == 1:
        return settings.sites[0]
    known = ", ".join(settings.sites)
    if not site:
        raise ConfigError(f"say with --site which of these: {known}")
    if site not in settings.sites:
        raise ConfigError(f"there is no site {site}{hint(site, settings.sites)}")
    return site


def _database(settings: "Config", url: str, database: str) -> "Influx":
    """That of the configuration, or of a URL."""
    import msgspec

    from gateway.config import Influx

    chosen = Influx(url=url) if url else settings.influx
    return msgspec.structs.replace(chosen, database=database) if database else chosen


def _look(settings: "Config", database: "Influx", plan: "Plan", site: str, span: "Span", index: Region) -> "Week":
    from gateway.journal.store import Journal
    from gateway.notify.state import who_was_told
    from gateway.query.client import ask
    from gateway.report.figures import week_of
    from gateway.report.gather import STEPS, measure, remember

    journal = Journal.open(Path(settings.data_dir), settings.journal.max_bytes, read_only=True)
    with contextlib.closing(journal):
        remembered = remember(journal, site, span, who_was_told(Path(settings.data_dir)))
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("the database", total=STEPS)

        def step(what: str) -> None:
            progress.update(task, description=what, advance=1)

        measured = measure(lambda statement: ask(database, statement), site, span, step)
    return week_of(measured, remembered, plan, site, span, now=time.time(), region=index, exercise=settings.exercise)
