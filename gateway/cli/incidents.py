"""`ganglion incidents`: what an operator should know, why, and who has taken note of it."""

import time
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

import msgspec
import typer
from rich.table import Column

from gateway.audit.asker import at_shell
from gateway.cli.drill import drill, end
from gateway.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    moment,
    only_before,
    show_json,
    show_table,
)
from gateway.cli.running import running
from gateway.cli.verify import verify
from gateway.cli.views import open_journal
from gateway.config import load
from gateway.control.acknowledge import Note
from gateway.control.ways import alone
from gateway.errors import ConfigError
from gateway.journal.store import Journal
from gateway.near import hint
from gateway.records import Acknowledged, Incident

SHOWN: Final = 8
"""Ids of those that a beginning may mean, the latest changed."""

app = typer.Typer(invoke_without_command=True)
app.command("drill")(drill)
app.command("end")(end)
app.command("verify")(verify)


@app.callback()
def incidents(
    context: typer.Context,
    config: ConfigOption = DEFAULT_CONFIG,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    held: Annotated[bool, typer.Option("--held", help="Only those that the budget of alarms holds back.")] = False,
    json: JsonOption = False,
) -> None:
    """What an operator should know, the latest change last. Times are the packs' own; an id says what and where.

    Examples: ganglion incidents --open

    ganglion incidents show burst.riverside.water-0007
    """
    if only_before(context):
        return
    with open_journal(config) as journal:
        found = [each for each in journal.incidents(open_only=open_only) if each.held or not held]
    if json:
        show_json(found)
        return
    nothing = "no incident is held back" if held else "no incident is open" if open_only else "no incident so far"
    show_table(
        [Column("id", no_wrap=True), "opened", "closed", "severity", "state", "also at", "summary"],
        [
            [
                each.id,
                moment(each.opened),
                moment(each.closed),
                each.severity,
                _state(each),
                f"{len(each.nodes)} more" if each.nodes else "-",
                each.summary,
            ]
            for each in found
        ],
        nothing,
    )


def _state(incident: Incident) -> str:
    return ", ".join(
        (
            incident.state + (f" as {incident.kind}" if incident.was else ""),  # its id tells what it was first
            *(("exercise",) if incident.drill else ()),
            *(("held",) if incident.held else ()),
            *((f"acknowledged by {incident.acknowledged.by}",) if incident.acknowledged else ()),
        )
    )


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Its id, or as much of its beginning as no other has.", metavar="ID")],
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Everything known of one incident: why it was raised, what was expected, how it went on.

    Example: ganglion incidents show burst.riverside.water-0007.1795432200
    """
    with open_journal(config) as journal:
        incident = _one(journal, name)
    if json:
        show_json([incident])
        return
    said = [
        ("what", f"{incident.kind}, {incident.severity}"),
        ("where", incident.place or incident.site),
        ("also at", ", ".join(incident.nodes)),
        ("state", _state(incident)),
        ("since", moment(incident.since) if incident.since else ""),
        ("opened", moment(incident.opened)),
        ("confirmed", moment(incident.confirmed) if incident.confirmed else ""),
        ("updated", moment(incident.updated) if incident.updated else ""),
        ("closed", moment(incident.closed) if incident.closed else ""),
        ("came again", f"{incident.reopened} times" if incident.reopened else ""),
        *((f"was {each.kind}", f"until {moment(each.until)}: {each.summary}") for each in incident.was),
        ("why", incident.summary),
        ("note", incident.acknowledged.note if incident.acknowledged else ""),
    ]
    show_table(["", incident.id], [[word, text] for word, text in said if text], "")
    if incident.evidence:
        typer.echo()
    show_table(
        ["evidence", "seen", "expected", "unit", "in words"],
        [[each.what, f"{each.seen:.4g}", f"{each.expected:.4g}", each.unit, each.text] for each in incident.evidence],
        "",
    )


@app.command("ack")
def acknowledge(
    name: Annotated[str, typer.Argument(help="Its id, or as much of its beginning as no other has.", metavar="ID")],
    by: Annotated[str, typer.Option("--by", help="Who takes note of it.", metavar="NAME")],
    note: Annotated[str, typer.Option(help="What they say of it.", metavar="TEXT")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take note of an incident, by name: everybody who sees it sees that too. It stays open until evidence ends it.

    Example: ganglion incidents ack burst.riverside.water-0007.1795432200 --by Ada --note "on my way"
    """
    settings = load(config, None)
    try:
        what = msgspec.convert({"by": by.strip(), "note": note}, Note)
    except msgspec.ValidationError as error:
        raise typer.BadParameter("a name has 1 to 100 characters, a note 1000 at most", param_hint="--by") from error
    with open_journal(config) as journal:
        name = _one(journal, name).id
    if (caller := running(settings)) is not None:
        caller.post(f"/api/v1/incidents/{quote(name, safe='')}/acknowledge", msgspec.json.encode(what))
    else:
        with alone(settings, make=False) as journal:
            at_shell(Path(settings.data_dir)).asks("incident.ack", name, {"by": what.by})
            journal.acknowledge(name, Acknowledged(what.by, round(time.time()), what.note))
    typer.echo(f"{name} is acknowledged by {by}")


def _one(journal: Journal, name: str) -> Incident:
    """The one of this id, or the only one whose id begins so. Raises ConfigError that names what comes near."""
    known = {each.id: each for each in journal.incidents()}
    if name in known:
        return known[name]
    found = [each for each in known if name and each.startswith(name)]
    if len(found) == 1:
        return known[found[0]]
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise ConfigError(f"{len(found)} incidents begin with {name!r}: {', '.join(found[-SHOWN:])}{more}; say which")
    raise ConfigError(f"no incident {name} is known{hint(name, known)}")
