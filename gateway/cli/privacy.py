"""`ganglion privacy`: what is kept of people, and one home's share of it, given out or deleted."""

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from gateway.audit.asker import at_shell
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, show_json, show_table
from gateway.cli.running import running
from gateway.cli.views import open_journal
from gateway.config import Config, load
from gateway.near import hint
from gateway.pki.names import is_name
from gateway.privacy import person
from gateway.privacy.table import KEPT, MEASURED, SEEN

app = typer.Typer(help="What is kept of people; one home's share of it, given out or deleted.", no_args_is_help=True)

Meter = Annotated[str, typer.Argument(help="The node.", metavar="SITE/NODE")]


@app.command()
def show(json: JsonOption = False) -> None:
    """What is measured, where it is kept, how long, and who sees it: the tables of docs/privacy.md.

    Example: ganglion privacy show
    """
    if json:
        tables = {"measured": MEASURED, "kept": KEPT, "seen": SEEN}
        show_json([{"table": name, **msgspec.structs.asdict(each)} for name, rows in tables.items() for each in rows])
        return
    for rows in (MEASURED, KEPT, SEEN):
        names = rows[0].__struct_fields__
        cells = [[_cell(getattr(each, name)) for name in names] for each in rows]
        show_table([name.replace("_", " ") for name in names], cells, "")
        typer.echo("")


@app.command()
def export(
    meter: Meter,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The ZIP file to make.", metavar="FILE")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Everything that is kept about a meter, as one ZIP with a manifest that says from where, and what was not found.

    Example: ganglion privacy export riverside/water-0003 --output water-0003.zip
    """
    settings, site, node = _whose(meter, config)
    if output.exists():
        raise typer.BadParameter(f"{output} is there already", param_hint="--output")
    at_shell(Path(settings.data_dir)).asks("privacy.export", meter)
    try:
        manifest = person.export(settings, site, node, output)
    except BaseException:
        output.unlink(missing_ok=True)
        raise
    show_table(
        ["file", "from", "rows"],
        [[each["file"], each["from"], str(each["rows"])] for each in manifest["files"]],
        _nothing(config, meter),
    )
    for words in manifest["not_asked"]:
        typer.echo(f"not in it: {words}", err=True)


@app.command()
def delete(
    meter: Meter,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Delete. Without it, only tell what would go.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Delete everything that is kept about a meter, here, in the databases and at the broker; then look again.

    The ledger counts what was received, so it stays as it is. Ends with 1 where something is left, and says what.

    Examples: ganglion privacy delete riverside/water-0003

    ganglion privacy delete riverside/water-0003 --yes
    """
    settings, site, node = _whose(meter, config)
    if words := person.still_there(settings, site, node, time.time()):
        typer.echo(words, err=True)
    troubles: list[str] = []
    if yes:
        troubles = person.delete(settings, site, node, running(settings))
    found = [each for each in person.look(settings, site, node) if each.number or each.trouble]
    if json:
        show_json([msgspec.structs.asdict(each) for each in found])
    else:
        rows = [[each.where, each.what, "?" if each.trouble else str(each.number), each.trouble] for each in found]
        show_table(["where", "what", "number", "why it is not known"], rows, _nothing(config, meter))
    for trouble in troubles:
        typer.echo(f"not deleted: {trouble}", err=True)
    for words in person.ELSEWHERE:
        typer.echo(f"not reached: {words}", err=True)
    if not yes and found:
        typer.echo("nothing is deleted yet: --yes deletes what is in the table", err=True)
    if yes and (found or troubles):
        raise typer.Exit(1)


def _nothing(config: Path, meter: str) -> str:
    """What is said where nothing was found. Whoever has mistyped a name must not believe it."""
    with open_journal(config) as journal:
        known = {f"{each.site}/{each.node}" for each in journal.nodes()} - {meter}
    return f"nothing is kept of {meter}{hint(meter, known)}"


def _whose(meter: str, config: Path) -> tuple[Config, str, str]:
    site, _, node = meter.partition("/")
    if not (is_name(site) and is_name(node)):
        raise typer.BadParameter(f"{meter!r} is not SITE/NODE, such as riverside/water-0003")
    return load(config), site, node


def _cell(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
