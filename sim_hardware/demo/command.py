"""`ganglion demo`: the whole system on this machine."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

from sim_hardware.fleet.command import DataFolder, Duration, Nodes, ReportFile, ScenarioFile, Seed, Speed

NODES = 30
SPEED = 60.0
_STATEMENT = "select mean(pm2_5) from air group by time(10m) fill(none)"


def demo(
    *,
    nodes: Nodes = NODES,
    speed: Speed = SPEED,
    duration: Duration = 0.0,
    seed: Seed = None,
    scenario: ScenarioFile = None,
    report: ReportFile = None,
    data: DataFolder = Path("ganglion-demo"),
    reopen: Annotated[
        bool, typer.Option("--reopen", help="Run nothing: start the database of the last demo again, to query it.")
    ] = False,
) -> None:
    """The whole system on this machine: a broker, an InfluxDB, the gateway and a city of emulated nodes.

    All of it lives below one folder and on ports of its own. Ends with 1 when packs were left on the way.

    Example: ganglion demo --duration 60 --report r.json
    """
    from rich.console import Console

    console = Console()
    if reopen:
        _reopen(console, data)
        return

    import asyncio

    from sim_hardware.city import truth
    from sim_hardware.city.scenario import load
    from sim_hardware.demo.stack import running
    from sim_hardware.demo.watch import Watch
    from sim_hardware.fleet.fleet import Broker, Fleet, settings
    from sim_hardware.fleet.report import check_writable, write
    from sim_hardware.fleet.run import run
    from sim_hardware.fleet.view import make_view
    from sim_hardware.folder import claimed

    plan = load(scenario)
    if report:
        check_writable(report)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(claimed(data))
        with console.status("Starting broker, InfluxDB and gateway ..."), _sigterm_as_interrupt():
            parts = stack.enter_context(running(folder, plan.site))
        where = Broker("127.0.0.1", parts.broker.port)
        made = Fleet(
            folder / "fleet",
            settings(plan, where, nodes=nodes, speed=speed, duration_s=duration, seed=seed),
            plan,
        )
        how = _how_to_query(parts.config, parts.influx.port)
        _print(console, "While it runs, ask it what it stored:", *how)
        with make_view(console, "ganglion demo") as view:
            figures, arrived = asyncio.run(run(made, duration, view, Watch(parts, made.settings.start).hear))
        truth.write(folder / "truth.jsonl", made.truth())
    if report:
        write(report, figures)
    _print(
        console,
        f"{figures.packs_sent} packs sent, {figures.packs_written} written, {figures.gaps} gaps; "
        f"{figures.incidents_detected} of {figures.incidents_injected} incidents found, "
        f"{figures.false_incidents} false. It is all below {_short(folder)}.",
        f"Its database again:  {_program()} demo --reopen --data {_short(folder)}   and then:",
        *how,
    )
    if not arrived:
        typer.echo(f"ganglion: not all packs arrived; see the logs below {_short(folder)}", err=True)
        raise typer.Exit(1)


def _reopen(console: "Console", data: Path) -> None:
    from sim_hardware.demo.stack import reopened

    with _sigterm_as_interrupt(), contextlib.suppress(KeyboardInterrupt), reopened(data.resolve()) as influx:
        _print(console, "The database of the last demo runs until Ctrl-C. Ask it:")
        _print(console, *_how_to_query(data.resolve() / "ganglion.toml", influx.port))
        signal.pause()


def _how_to_query(config: Path, port: int) -> tuple[str, str]:
    """Two lines: by our own program, and by InfluxDB's."""
    return (
        f"  {_program()} query pm2_5 --by site --every 10m --last 30d --config {_short(config)}",
        f"  influx -port {port} -database ganglion -execute '{_STATEMENT}'",
    )


def _program() -> str:
    return _short(Path(sys.argv[0])) if Path(sys.argv[0]).name == "ganglion" else "ganglion"


def _short(path: Path) -> str:
    """As a person here would write it."""
    relative = os.path.relpath(path.absolute())
    return relative if not relative.startswith("..") else str(path)


def _print(console: "Console", *lines: str) -> None:
    # Not wrapped: a command has to survive being copied.
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """While no event loop minds the signals, SIGTERM ends as Ctrl-C does: through every `finally`."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
