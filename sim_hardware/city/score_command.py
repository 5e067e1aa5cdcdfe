"""`ganglion score`: how good the detectors are, held against the ground truth of a simulated city."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import JsonOption, show_json, show_table
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.records import Incident
    from sim_hardware.city.truth import KindScore, Run, Score, Truth


def score(
    truth: Annotated[Path, typer.Argument(help="What happened: the truth.jsonl of a run.", metavar="TRUTH")],
    *,
    incidents: Annotated[
        Path | None,
        typer.Option("--incidents", help="What was raised: as ganglion incidents --json prints it.", metavar="FILE"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", envvar="GANGLION_CONFIG", help="Or: the gateway whose journal has it.", metavar="FILE"
        ),
    ] = None,
    until: Annotated[
        int | None, typer.Option(min=0, help="Unix seconds of the city.", show_default="the end of the run")
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Nodes in all, kinds in turn.", show_default="as the truth says"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Incidents against the truth: precision, recall, delay and false alarms, by kind and in all.

    Delays are in the city's time. An incident raised again for the same truth is not false; a truth that had not shown
    for as long as its kind needs is neither missed nor found. Ends with 2 when a file cannot be read.

    Example: ganglion score ganglion-demo/truth.jsonl --config ganglion-demo/ganglion.toml
    """
    from sim_hardware.city import truth as truths

    try:
        run, happened = truths.read(truth)
        raised = _raised(incidents, config)
    except ConfigError as error:
        typer.echo(f"ganglion: {error}", err=True)
        raise typer.Exit(2) from error
    run, end = _whole(run, happened, until, nodes)
    found = truths.score(happened, [each for each in raised if each.opened <= end], end, run)
    if json:
        show_json([found])
    else:
        _show(found)


def _raised(incidents: Path | None, config: Path | None) -> "list[Incident]":
    """Raises ConfigError."""
    from gateway.config import load
    from gateway.journal.store import Journal
    from sim_hardware.city.truth import read_incidents

    if incidents:
        return read_incidents(incidents)
    if not config:
        raise ConfigError("nothing to hold against the truth: name a file with --incidents or a gateway with --config")
    settings = load(config, None)
    journal = Journal.open(Path(settings.data_dir), settings.journal.max_bytes, read_only=True)
    try:
        return journal.incidents()
    finally:
        journal.close()


def _whole(
    run: "Run | None", happened: "list[Truth]", until: int | None, nodes: int | None
) -> "tuple[Run | None, int]":
    """The run as far as file and options tell, and its end."""
    from gateway.quantities import KINDS
    from sim_hardware.city.truth import Run

    begin = run.begin if run else min((each.begin for each in happened), default=0)
    end = until if until is not None else run.end if run else max((each.end for each in happened), default=begin)
    if nodes:
        counts = {kind: len(range(first, nodes, len(KINDS))) for first, kind in enumerate(KINDS)}
        return Run(run.site if run else "", counts, begin, end), end
    return run, end


def _show(found: "Score") -> None:
    def text(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    # Of all together no delay is told: kinds need times of different lengths.
    every: dict[str, Score | KindScore] = {"all": found, **found.kinds} if found.kinds else {}
    rows = []
    for name, line in every.items():
        delay = found.delay_s.get(name)
        minutes = (delay.median / 60, delay.max / 60) if delay else (None, None)
        counts = [str(count) for count in (line.injected, line.detected, line.raised, line.false)]
        shares = [text(line.precision, ".3f"), text(line.recall, ".3f")]
        rows.append([name, *counts, *shares, *(text(each, ".1f") for each in minutes)])
        rows[-1].append(text(line.false_per_node_month, ".4f"))
    columns = ["kind", "injected", "detected", "raised", "false", "precision", "recall"]
    columns += ["delay min, median", "max", "false per node-month"]
    show_table(columns, rows, "nothing happened, and nothing was raised")
    causes = [[kind, str(injected), str(detected)] for kind, (injected, detected) in found.causes.items()]
    if causes:
        typer.echo()
        show_table(["cause", "injected", "detected"], causes, "")
