"""`ganglion demo`: the whole system on this machine."""

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from sim_hardware.fleet.stop import Stop

from gateway.errors import ConfigError
from sim_hardware.fleet.command import (
    AsJson,
    DataFolder,
    Duration,
    FaultsFile,
    Nodes,
    ReportFile,
    ScenarioFile,
    Seed,
    Speed,
    input_refused,
)

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
    faults: FaultsFile = None,
    report: ReportFile = None,
    json: AsJson = False,
    data: DataFolder = Path("ganglion-demo"),
    pages: Annotated[
        bool, typer.Option("--pages/--no-pages", help="The console and the citizens' page, a process more.")
    ] = True,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the console in a browser, where there is a screen.")
    ] = True,
    reopen: Annotated[
        bool, typer.Option("--reopen", help="Run nothing: start the database of the last demo again, to query it.")
    ] = False,
) -> None:
    """The whole system on this machine: a broker, an InfluxDB, the gateway and a city of emulated nodes.

    All of it lives below one folder and on ports of its own. Ends with 1 when packs were left on the way,
    with 2 when an option or a file is wrong.

    Example: ganglion demo --duration 60 --report r.json
    """
    from rich.console import Console

    from sim_hardware.fleet.stop import Stop

    console = Console(stderr=json)
    with Stop() as stop:
        if reopen:
            _reopen(console, data.resolve(), stop)
            return

        from sim_hardware.demo.stack import PKI, PLAN, USER, Breaker, running
        from sim_hardware.demo.watch import Watch
        from sim_hardware.fleet.command import carry_out, draw_plan, prepare
        from sim_hardware.fleet.fleet import Broker, Tls
        from sim_hardware.fleet.report import as_json, summary
        from sim_hardware.folder import claimed
        from sim_hardware.servers import free_port

        with contextlib.ExitStack() as stack:
            with input_refused():
                host = "127.0.0.1"
                where = Broker(host, free_port(), tls=Tls(data.resolve() / PKI, host))
                order = prepare(
                    scenario, faults, report, where, nodes=nodes, speed=speed, duration=duration, seed=seed, owned=True
                )
                folder = stack.enter_context(claimed(data))
                draw_plan(order, folder / PLAN)
            with _waiting(console, "Starting broker, InfluxDB and gateway ..."):
                parts = stack.enter_context(
                    running(folder, order.scenario.site, nodes, speed, where.port, stop.check, pages=pages)
                )
            gateway = parts.gateway
            if pages:
                _tell(console, f"The console:  {gateway.console}  To act, log in as {USER} with {gateway.password}")
                _tell(console, f"What citizens see:  {gateway.citizens}")
            if pages and browser:
                _open(gateway.console)
            how = _how_to_query(parts.gateway.config, parts.influx.port)
            _tell(console, "While it runs, ask it what it stored:", *how)
            breaker = Breaker(parts.broker)
            hear = Watch(parts, order.settings.start, breaker).hear
            figures, trouble = carry_out(folder, order, console, "ganglion demo", hear, stop, breaker)
        if json:
            typer.echo(as_json(figures).decode(), nl=False)
        _tell(
            console,
            f"{summary(figures)}. It is all below {_short(folder)}.",
            f"Its database again:  {_program()} demo --reopen --data {_short(folder)}   and then:",
            *how,
        )
        if trouble:
            raise trouble


def _reopen(console: "Console", data: Path, stop: "Stop") -> None:
    from sim_hardware.demo.stack import reopened

    with contextlib.ExitStack() as stack:
        with input_refused(ConfigError):
            influx = stack.enter_context(reopened(data, stop.check))
        _tell(console, "The database of the last demo runs until Ctrl-C. Ask it:")
        _tell(console, *_how_to_query(data / "ganglion.toml", influx.port))
        while not stop.signals:
            influx.check()
            time.sleep(0.2)


def _how_to_query(config: Path, port: int) -> tuple[str, str]:
    """Two lines: by our own program, and by InfluxDB's."""
    return (
        f"  {_program()} query pm2_5 --by site --every 10m --last 30d --config {_short(config)}",
        f"  influx -port {port} -database ganglion -execute '{_STATEMENT}'",
    )


def _open(address: str) -> None:
    """In the browser of whoever sits at this machine. One that draws in the terminal would take the demo's place."""
    if sys.stdout.isatty() and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        import webbrowser

        webbrowser.open(address)


def _program() -> str:
    return _short(Path(sys.argv[0])) if Path(sys.argv[0]).name == "ganglion" else "ganglion"


def _short(path: Path) -> str:
    """As a person here would type it in a shell."""
    relative = os.path.relpath(path.absolute())
    return shlex.quote(relative if not relative.startswith("..") else str(path))


def _tell(console: "Console", *lines: str) -> None:
    from sim_hardware.fleet.view import tell

    for line in lines:
        tell(console, line)


@contextlib.contextmanager
def _waiting(console: "Console", why: str) -> Iterator[None]:
    from sim_hardware.fleet.view import is_screen

    if not is_screen(console):
        _tell(console, why)
    with console.status(why) if is_screen(console) else contextlib.nullcontext():
        yield
