"""`ganglion doctor`."""

from collections import Counter
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, show_json, show_table
from gateway.doctor.finding import Finding

COLORS: Final = {"ok": "green", "warning": "yellow", "fault": "bold red", "not asked": "dim"}


def doctor(
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask nothing over the network.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Ask the database for the right to write too, by a line it must refuse.")
    ] = False,
) -> None:
    """Find what is wrong with this installation, and the cure. Changes nothing; with or without a running gateway.

    Run it as the gateway's user, with the variables of its secrets. Ends with 1 when there is a fault.

    Example: ganglion doctor --config /etc/ganglion/ganglion.toml
    """
    from gateway.doctor.context import Context
    from gateway.doctor.table import examine  # the other commands start faster without it

    with Console(stderr=True).status("asking everybody, for at most 15 s"):
        findings = examine(Context(config, offline=offline, write=write))
    if json:
        show_json(findings)
    else:
        _show(findings)
    raise typer.Exit(any(finding.level == "fault" for finding in findings))


def _show(findings: list[Finding]) -> None:
    """What is wrong stands out; what could not be asked says why."""
    rows: list[list[str | Text]] = [
        [
            Text(each.level, COLORS[each.level]),
            each.check,
            f"because {each.seen}" if each.level == "not asked" else each.seen,
            each.cure,
        ]
        for each in findings
    ]
    show_table(["level", "check", "what was seen", "cure"], rows, "")
    number = Counter(each.level for each in findings)
    counts = [f"{number[what]} {what}{'' if number[what] == 1 else 's'}" for what in ("fault", "warning")]
    typer.echo(", ".join([*counts, f"{number['not asked']} not asked"]))
