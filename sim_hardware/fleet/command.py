"""`ganglion fleet`: emulated nodes against any broker."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

import typer

from gateway.errors import ConfigError, GanglionError

if TYPE_CHECKING:
    from rich.console import Console

    from sim_hardware.city.scenario import Scenario
    from sim_hardware.fleet.fleet import Broker, Settings
    from sim_hardware.fleet.report import Report
    from sim_hardware.fleet.run import Hear
    from sim_hardware.fleet.stop import Stop

_YEAR_S = 366 * 86_400

Nodes = Annotated[int, typer.Option(min=1, max=100_000, help="How many; the kinds in turn.")]
Speed = Annotated[float, typer.Option(min=0.1, max=3600, help="How much faster than life.")]
Duration = Annotated[float, typer.Option(min=0, max=_YEAR_S, help="Seconds; 0 runs until Ctrl-C.")]
Seed = Annotated[
    int | None,
    typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same city.", show_default="by chance"),
]
ScenarioFile = Annotated[
    Path | None,
    typer.Option("--scenario", help="What happens in the city.", show_default="the built-in one", metavar="FILE"),
]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Write figures of the run to this JSON file.", metavar="FILE")
]
DataFolder = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Where the run keeps its files. Those of the run before are deleted; others in it stay.",
        metavar="FOLDER",
    ),
]


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
    from rich.console import Console

    from sim_hardware.fleet.fleet import Broker
    from sim_hardware.fleet.report import summary
    from sim_hardware.fleet.stop import Stop
    from sim_hardware.fleet.view import tell
    from sim_hardware.folder import claimed

    with Stop() as stop:
        console = Console()
        where = Broker(*parse_broker(broker))
        plan, wanted = prepare(scenario, report, where, nodes=nodes, speed=speed, duration=duration, seed=seed)
        with claimed(data) as folder:
            figures, trouble = carry_out(
                folder, plan, wanted, duration, report, console, "ganglion fleet", lambda _curves: None, stop
            )
        tell(console, f"{summary(figures)}.")
        if trouble:
            raise trouble


def prepare(
    scenario: Path | None,
    report: Path | None,
    broker: "Broker",
    *,
    nodes: int,
    speed: float,
    duration: float,
    seed: int | None,
) -> "tuple[Scenario, Settings]":
    """Everything that can be wrong with the options, before anything is touched. Raises ConfigError.

    An incident that this fleet is too small for is told on standard error.
    """
    from sim_hardware.city.scenario import load, out_of_reach
    from sim_hardware.fleet.fleet import settings
    from sim_hardware.fleet.report import check_writable

    plan = load(scenario)
    if report:
        check_writable(report)
    wanted = settings(plan, broker, nodes=nodes, speed=speed, duration_s=duration, seed=seed)
    for sentence in out_of_reach(plan, nodes):
        typer.echo(f"ganglion: {sentence}", err=True)
    return plan, wanted


def carry_out(
    folder: Path,
    plan: "Scenario",
    wanted: "Settings",
    duration: float,
    report: Path | None,
    console: "Console",
    title: str,
    hear: "Hear",
    stop: "Stop",
) -> "tuple[Report, GanglionError | None]":
    """One run, with its truth and report on disk; the report, and what ended it or was amiss: see `fleet.run.run`."""
    import asyncio

    from sim_hardware.city import truth
    from sim_hardware.fleet.fleet import Fleet
    from sim_hardware.fleet.report import write
    from sim_hardware.fleet.run import run
    from sim_hardware.fleet.view import make_view

    made = Fleet(folder / "fleet", wanted, plan)
    with make_view(console, title) as view:
        figures, trouble = asyncio.run(run(made, duration, view, hear, stop))
    truth.write(folder / "truth.jsonl", made.truth())
    if report:
        write(report, figures)
    return figures, trouble
