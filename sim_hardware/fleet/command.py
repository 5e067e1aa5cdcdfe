"""`ganglion fleet`: emulated nodes against any broker."""

from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer

from gateway.errors import ConfigError

Nodes = Annotated[int, typer.Option(min=1, max=100_000, help="How many; the kinds in turn.")]
Speed = Annotated[float, typer.Option(min=0.1, max=3600, help="How much faster than life.")]
Duration = Annotated[float, typer.Option(min=0, help="Seconds; 0 runs until Ctrl-C.")]
Seed = Annotated[int | None, typer.Option(min=0, help="The same seed gives the same city.", show_default="by chance")]
ScenarioFile = Annotated[
    Path | None,
    typer.Option("--scenario", help="What happens in the city.", show_default="the built-in one", metavar="FILE"),
]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Write figures of the run to this JSON file.", metavar="FILE")
]
DataFolder = Annotated[Path, typer.Option("--data", help="Where the run keeps its files.", metavar="FOLDER")]


def parse_broker(url: str) -> tuple[str, int, str | None, str | None]:
    """(host, port, user, password) of `mqtt://[user:password@]host[:port]`. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        port = parts.port or 1883
    except ValueError as error:
        raise ConfigError(f"--broker: {error}; write mqtt://host:port") from error
    if parts.scheme != "mqtt" or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ConfigError(f"--broker {url!r}: write mqtt://host:port or mqtt://user:password@host:port")
    user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
    return parts.hostname, port, user, password


def fleet(
    *,
    nodes: Nodes = 30,
    speed: Speed = 1.0,
    duration: Duration = 0.0,
    seed: Seed = None,
    scenario: ScenarioFile = None,
    broker: Annotated[
        str, typer.Option(help="Where the nodes report to.", metavar="URL", envvar="GANGLION_BROKER")
    ] = "mqtt://127.0.0.1:1883",
    report: ReportFile = None,
    data: DataFolder = Path("ganglion-fleet"),
) -> None:
    """Emulated nodes, the real firmware on the real interpreter, against any broker.

    What the broker and a gateway make of their packs, they know; the report has what the nodes know.
    Ends with 1 when packs were left in the nodes.

    Example: ganglion fleet --nodes 300 --speed 60 --duration 600 --broker mqtt://city:secret@broker.example:1883
    """
    import asyncio

    from rich.console import Console

    from sim_hardware.city import truth
    from sim_hardware.city.scenario import load
    from sim_hardware.fleet.fleet import Broker, Fleet, settings
    from sim_hardware.fleet.report import check_writable, write
    from sim_hardware.fleet.run import run
    from sim_hardware.fleet.view import make_view
    from sim_hardware.folder import claimed

    where = Broker(*parse_broker(broker))
    plan = load(scenario)
    if report:
        check_writable(report)
    with claimed(data) as folder:
        made = Fleet(folder, settings(plan, where, nodes=nodes, speed=speed, duration_s=duration, seed=seed), plan)
        with make_view(Console(), "ganglion fleet") as view:
            figures, arrived = asyncio.run(run(made, duration, view, lambda: None))
        truth.write(folder / "truth.jsonl", made.truth())
    if report:
        write(report, figures)
    if not arrived:
        why = (
            f"{figures.packs_unsent} packs did not leave the nodes: is {where.host}:{where.port} reachable?"
            if figures.packs_unsent
            else "not every node came to the city's end in time: this machine is too slow for so many at this speed"
        )
        typer.echo(f"ganglion: {why}", err=True)
        raise typer.Exit(1)
