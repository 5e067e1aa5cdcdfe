"""`ganglion fleet`: emulated nodes against any broker."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

import typer
from msgspec import Struct

from gateway.errors import ConfigError, GanglionError

if TYPE_CHECKING:
    from rich.console import Console

    from sim_hardware.city.scenario import Scenario
    from sim_hardware.fleet.faults import Faults
    from sim_hardware.fleet.fleet import Broker, Settings
    from sim_hardware.fleet.inject import Switch
    from sim_hardware.fleet.report import Report
    from sim_hardware.fleet.run import Hear
    from sim_hardware.fleet.stop import Stop

DAY_S = 86_400
_YEAR_S = 366 * DAY_S

Nodes = Annotated[int, typer.Option(min=1, max=100_000, help="How many; the kinds in turn.")]
FASTEST = 3600
"""Of real boards: an hour in a second."""
Speed = Annotated[float, typer.Option(min=0.1, max=FASTEST, help="How much faster than life.")]
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
FaultsFile = Annotated[
    str | None,
    typer.Option(
        "--faults",
        help="What fails: boards, their links, the broker. A file, or `random`.",
        metavar="FILE|random",
        show_default="nothing",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="The report on standard output, all else on standard error.")]
DataFolder = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Where the run keeps its files. Those of the run before are deleted; others in it stay.",
        metavar="FOLDER",
    ),
]


def parse_broker(url: str, pki: Path | None = None, name: str | None = None, *, modelled: bool = False) -> "Broker":
    """The broker of `mqtt://[user:password@]host[:port]`, or of `mqtts://host[:port]` with an authority's folder.

    `name` is what the broker's certificate says, where that is not the host. Raises ConfigError, and PkiError when the
    folder holds no authority.
    """
    from sim_hardware.fleet.fleet import Broker, Tls

    try:
        parts = urlsplit(url)
        port = parts.port or (1883 if parts.scheme == "mqtt" else 8884 if modelled else 8883)
    except ValueError as error:
        raise ConfigError(f"--broker: {error}; write mqtt://host:port") from error
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ConfigError(
            f"--broker {url!r}: write mqtt://host:port, mqtt://user:password@host:port or mqtts://host:port"
        )
    user, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
    if parts.scheme == "mqtt":
        if pki or name:
            raise ConfigError("--pki, --server-name: are for a broker with mqtts://; this one is mqtt://")
        return Broker(parts.hostname, port, user, password)
    if user is not None:
        raise ConfigError("--broker: over mqtts:// nodes are who their certificates say; leave user and password out")
    if pki is None:
        raise ConfigError("--pki: is missing; over mqtts:// nodes need an authority's folder (`ganglion pki init`)")
    from gateway.pki.authority import Authority

    return Broker(parts.hostname, port, tls=Tls(Authority(pki).folder.resolve(), name or parts.hostname))


def fleet(
    *,
    nodes: Nodes = 30,
    modelled: Annotated[
        bool, typer.Option("--modelled", help="Calculate what the nodes would send instead of running their firmware.")
    ] = False,
    speed: Annotated[
        float, typer.Option(min=0.1, max=100_000, help=f"How much faster than life, at most; real boards: {FASTEST}.")
    ] = 1.0,
    window: Annotated[int, typer.Option(min=1, max=3600, help="Seconds that each pack is of.")] = 60,
    duration: Duration = 0.0,
    seed: Seed = None,
    scenario: ScenarioFile = None,
    broker: Annotated[
        str, typer.Option(help="Where the nodes report to.", metavar="URL", envvar="GANGLION_BROKER")
    ] = "mqtt://127.0.0.1:1883",
    pki: Annotated[
        Path | None,
        typer.Option(
            "--pki",
            help="With mqtts://: the authority that the broker believes. Nodes that have no identity in it get one.",
            metavar="FOLDER",
        ),
    ] = None,
    server_name: Annotated[
        str | None,
        typer.Option(
            "--server-name", help="With mqtts://: what the broker's certificate says.", show_default="the broker's host"
        ),
    ] = None,
    faults: FaultsFile = None,
    report: ReportFile = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", help="Write where the nodes are, for the gateway's detectors.", metavar="FILE"),
    ] = None,
    json: AsJson = False,
    data: DataFolder = Path("ganglion-fleet"),
) -> None:
    """Emulated nodes, the real firmware on the real interpreter, against any broker.

    With --modelled their packs are calculated, for months of a city in minutes: the same packs, but for chance, and no
    outbox, no answers to commands, no faults. The report calls them so.

    What the broker and a gateway make of their packs, they know; the report has what the nodes know.
    Ends with 1 when packs were left in the nodes, with 2 when an option or a file is wrong.

    Example: ganglion fleet --nodes 300 --speed 60 --duration 600 --broker mqtts://broker.example:8883 --pki pki
    """
    from rich.console import Console

    from sim_hardware.fleet.report import as_json, summary
    from sim_hardware.fleet.stop import Stop
    from sim_hardware.fleet.view import tell
    from sim_hardware.folder import claimed

    with Stop() as stop, contextlib.ExitStack() as stack:
        console = Console(stderr=json)
        with input_refused():
            where = parse_broker(broker, pki, server_name, modelled=modelled)
            order = prepare(
                scenario,
                faults,
                report,
                where,
                nodes=nodes,
                speed=speed,
                duration=duration,
                seed=seed,
                owned=False,
                modelled=modelled,
                window_s=window,
            )
            if plan:
                draw_plan(order, plan)
            folder = stack.enter_context(claimed(data))
        title = "ganglion fleet, modelled" if modelled else "ganglion fleet"
        figures, trouble = carry_out(folder, order, console, title, lambda _curves: None, stop)
        if json:
            typer.echo(as_json(figures).decode(), nl=False)
        tell(console, f"{summary(figures)}.")
        if trouble:
            raise trouble


@contextlib.contextmanager
def input_refused(errors: type[GanglionError] = GanglionError) -> Iterator[None]:
    """What is wrong before anything has begun: one sentence, and the exit code of a wrong command line."""
    try:
        yield
    except errors as error:
        typer.echo(f"ganglion: {error}", err=True)
        raise typer.Exit(2) from error


class Order(Struct, frozen=True):
    """What is to be run."""

    scenario: "Scenario"
    settings: "Settings"
    faults: "Faults"
    duration_s: float
    report: Path | None
    modelled: bool = False


def prepare(
    scenario: Path | None,
    faults: str | None,
    report: Path | None,
    broker: "Broker",
    *,
    nodes: int,
    speed: float,
    duration: float,
    seed: int | None,
    owned: bool,
    modelled: bool = False,
    window_s: int = 60,
) -> Order:
    """Everything that can be wrong with the options, before anything is touched. Raises ConfigError.

    `owned` is whether the broker is this command's own. An incident that this fleet is too small for is told on
    standard error.
    """
    import msgspec
    import numpy as np

    from sim_hardware.city.layout import lay_out
    from sim_hardware.city.scenario import load, out_of_reach, places
    from sim_hardware.fleet import faults as fault_files
    from sim_hardware.fleet.fleet import settings
    from sim_hardware.fleet.report import check_writable

    if not modelled and speed > FASTEST:
        raise ConfigError(f"--speed {speed:g}: real boards live at most {FASTEST} times faster; take --modelled ones")
    if modelled and faults:
        raise ConfigError("--faults: modelled nodes have none; take one of --faults and --modelled back")
    plan = load(scenario)
    if report:
        check_writable(report)
    wanted = settings(plan, broker, nodes=nodes, speed=speed, duration_s=duration, seed=seed)
    wanted = msgspec.structs.replace(wanted, config={"window_s": window_s})
    fails = fault_files.Faults()
    if faults:
        layout = lay_out(plan, places(nodes), np.random.SeedSequence(0))
        fails = fault_files.load(faults, layout, wanted.start % DAY_S // 60, owned)
        wanted = msgspec.structs.replace(wanted, wounds=bool(fails.kinds() & fault_files.WITHIN))
    for sentence in out_of_reach(plan, nodes):
        typer.echo(f"ganglion: {sentence}", err=True)
    return Order(plan, wanted, fails, duration, report, modelled)


def draw_plan(order: Order, path: Path) -> None:
    """Write which counters follow each other and which nodes share a district. Raises ConfigError."""
    from sim_hardware.city.city import layout_of
    from sim_hardware.city.plan import write_plan
    from sim_hardware.city.scenario import places

    wanted = order.settings
    write_plan(path, layout_of(order.scenario, places(wanted.nodes), wanted.seed))


def carry_out(
    folder: Path,
    order: Order,
    console: "Console",
    title: str,
    hear: "Hear",
    stop: "Stop",
    broker: "Switch | None" = None,
) -> "tuple[Report, GanglionError | None]":
    """One run, with its truth, faults and report on disk; the report, and what ended it or was amiss: see `run.run`."""
    import asyncio

    from sim_hardware.city import truth
    from sim_hardware.fleet import inject
    from sim_hardware.fleet.faults import Calendar
    from sim_hardware.fleet.fleet import Fleet
    from sim_hardware.fleet.modelled import Modelled
    from sim_hardware.fleet.report import write
    from sim_hardware.fleet.run import run
    from sim_hardware.fleet.view import make_view

    wanted = order.settings
    made = (Modelled if order.modelled else Fleet)(folder / "fleet", wanted, order.scenario)
    calendar = Calendar(order.faults, made.city.layout, wanted.start, wanted.seed) if order.faults.kinds() else None
    injector = inject.Injector(made, calendar, broker)
    with make_view(console, title) as view:
        figures, trouble = asyncio.run(run(injector, order.duration_s, view, hear, stop))
    truth.write(folder / "truth.jsonl", made.truth(), made.city.run(made.pace.now_us() // 1_000_000))
    inject.write(folder / "faults.jsonl", injector.records())
    if order.report:
        write(order.report, figures)
    return figures, trouble
