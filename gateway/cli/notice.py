"""`ganglion notice`: works that people announce to the public, beside what the gateway finds."""

import os
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from zoneinfo import ZoneInfo

import typer

from gateway.audit.asker import at_shell
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, moment, show_json, show_table
from gateway.config import Config, load
from gateway.control.token import user_name
from gateway.errors import ConfigError
from gateway.near import hint

if TYPE_CHECKING:
    from gateway.citizens.store import Store

TEXT_MOST: Final = 300

app = typer.Typer(no_args_is_help=True)


@app.callback()
def notice() -> None:
    """Works that the public is told of, on its page, in its feeds and to those who asked."""


@app.command("add")
def add(
    text: Annotated[str, typer.Argument(help="What is done, in a sentence for the public.", metavar="TEXT")],
    area: Annotated[str, typer.Option(help="A zone or street of the plan, or a site.", metavar="NAME")],
    end: Annotated[str, typer.Option("--to", help="ISO 8601; in the configured timezone where it names none.")],
    begin: Annotated[str, typer.Option("--from", help="The same; without it they begin now.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Announce works in an area.

    Example: ganglion notice add --area harbour --from 2026-12-01T08:00 --to 2026-12-01T16:00 "Work at a water main."
    """
    settings = load(config, None)
    zone, now = ZoneInfo(settings.timezone), int(time.time())
    first, last = _time(begin, zone) if begin else now, _time(end, zone)
    if last <= max(first, now):
        raise ConfigError(f"--to {end} is not after {'now' if first <= now else f'--from {begin}'}: give a later time")
    if not 0 < len(text.strip()) <= TEXT_MOST or not text.isprintable():
        raise ConfigError(f"the text has {len(text.strip())} characters: write one line of 1 to {TEXT_MOST}")
    slug = _slug(settings, area)
    store = _store(settings)
    at_shell(Path(settings.data_dir)).asks("notice.add", slug, {"from": moment(first), "to": moment(last)})
    try:
        works = store.announce(slug, text.strip(), first, last, now)
    finally:
        store.close()
    if json:
        show_json([works])
    else:
        typer.echo(f"notice {works.number} is told from now on: {moment(first)} to {moment(last)}")


@app.command("list")
def list_all(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Works that were announced, by their beginning; those of more than a week ago may be gone.

    Example: ganglion notice list --json
    """
    store = _store(load(config, None))
    try:
        found = store.works()
    finally:
        store.close()
    if json:
        show_json(list(found))
        return
    show_table(
        ["number", "area", "from", "to", "text"],
        [[str(each.number), each.area, moment(each.begin), moment(each.end), each.text] for each in found],
        "no works are announced",
    )


@app.command("end")
def end_one(
    number: Annotated[int, typer.Argument(help="As `ganglion notice list` shows it.", metavar="NUMBER")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Works are over; those that have not begun are taken back.

    Example: ganglion notice end 3
    """
    settings = load(config, None)
    store = _store(settings)
    at_shell(Path(settings.data_dir)).asks("notice.end", str(number))
    try:
        known = store.end_works(number, int(time.time()))
    finally:
        store.close()
    if not known:
        raise ConfigError(f"there is no notice {number}: `ganglion notice list` shows them")
    typer.echo(f"notice {number} is over")


def _slug(settings: Config, name: str) -> str:
    from gateway.cap.area import Places, site_area
    from gateway.detect.plan import planned

    known = (*Places(planned(settings)).areas, *(site_area(site) for site in settings.sites))
    for area in known:
        if name in (area.name, area.slug):
            return area.slug
    raise ConfigError(f"there is no area {name!r} in the plan{hint(name, (area.name for area in known))}")


def _store(settings: Config) -> "Store":
    """Raises ConfigError. The file is the gateway's user's own, so nobody else may make it."""
    from gateway.citizens.store import Store

    folder = Path(settings.data_dir)
    try:
        owner = folder.stat().st_uid
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; run the gateway once, it makes its data_dir") from error
    if os.geteuid() != owner:
        raise ConfigError(f"{folder} is {user_name(owner)}'s: run this as {user_name(owner)}")
    return Store(folder)


def _time(text: str, zone: ZoneInfo) -> int:
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no time: write ISO 8601 such as 2026-12-01T08:00") from error
    return int((when if when.tzinfo else when.replace(tzinfo=zone)).timestamp())
