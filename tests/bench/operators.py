"""`make bench ARGS=operators`: what operators of a thousand nodes wait for, and what their looking costs the gateway.

The real gateway and console between a real Mosquitto and a real InfluxDB with a month of data, looked at by a real
Chromium; then a gateway at full load with a hundred consoles open, and without. docs/benchmarks.md tells what each
figure means.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct
from rich.console import Console

from sim_hardware.servers import free_port
from tests.bench.browsing import PHONE, SLOWER, Strangers, strangers
from tests.bench.consoles import Consoles, Told
from tests.bench.meter import cpu_s, rss_mib
from tests.bench.packs import name
from tests.bench.result import show
from tests.bench.seated import OPEN, Seated, console_pid, seated, settings, tell_state, wait_for_console, write_plan
from tests.bench.sender import Sender
from tests.bench.stand import BenchError, Moment, Stand, standing

CHANGES = 2
"""Nodes that come or go at each look, five times a second."""
FINE = 20


class Plan(Struct, frozen=True):
    nodes: int = 1_000
    days: int = 30
    visits: int = 9
    """Of each sort."""
    ended: int = 10_000
    """Incidents that have ended: as many as the journal keeps."""
    consoles: int = 100
    rounds: int = 3
    seconds: float = 15.0
    """Of full load, in each round with and without."""
    warm: float = 8.0
    settle: float = 3.0
    """Seconds of it that do not count: the first, and those after consoles have opened."""


class Phase(Struct, frozen=True):
    """Full load for some seconds."""

    rate: float
    """Packs written a second."""
    cpu: float
    """Of the console, seconds a second."""
    gateway_cpu: float
    rss: float
    """Of the console, MiB."""
    log: float
    """SQLite's log, at most, MiB."""


class Bench:
    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan, self._say = plan, say

    def _show(self, metric: str, value: float, unit: str, **on: str | int | float) -> None:
        show("operators", metric, value, unit, nodes=self.plan.nodes, **on)

    def looks(self, folder: Path) -> None:
        """First views and series of a quiet city."""
        plan = self.plan
        self._say(f"Writing {plan.days} days of {plan.nodes} nodes to the database")
        with seated(folder, plan.nodes, plan.days, FINE, plan.ended) as it, strangers(it.base) as who:
            self._say(f"{it.month.points} points in {it.fill_s:.0f} s")
            self._first_views(who)
            self._series(who, it)

    def _first_views(self, who: Strangers) -> None:
        plan, on = self.plan, {"incidents_open": OPEN, "incidents_ended": self.plan.ended}
        self._say("Strangers open the map")
        took = [who.first_view(plan.nodes) for _ in range(plan.visits)]
        self._show("first_view_s", statistics.median(took), "s", visits=len(took), **on)
        self._show("first_view_max_s", max(took), "s", visits=len(took), **on)
        phone = [who.first_view(plan.nodes, phone=True) for _ in range(plan.visits)]
        on |= {"device": PHONE, "cpu_slowed": SLOWER, "max_s": max(phone)}
        self._show("first_view_phone_s", statistics.median(phone), "s", visits=len(phone), **on)

    def _series(self, who: Strangers, it: Seated) -> None:
        plan, month = self.plan, it.month
        data = "line protocol: each node a value set in ten minutes, some stations one a minute"
        on: dict[str, str | int | float] = {
            "days": plan.days, "points": month.points, "points_a_series": plan.days * 1440, "data": data,
            "minute_nodes": len(month.minute_slots), "fill_s": it.fill_s, "database": "InfluxDB 1.6.7",
        }  # fmt: skip
        nodes = itertools.cycle(name(slot) for slot in month.minute_slots)

        def median(metric: str, look: Callable[[str], float], more: str = "", top: str = "") -> None:
            paths = [
                f"/series?quantity=pm2_5&node={node}&last={plan.days}d{more}"
                for node in itertools.islice(nodes, plan.visits)
            ]
            took = [look(path) for path in paths]
            self._show(metric, statistics.median(took), "s", visits=len(took), **on)
            if top:
                self._show(top, max(took), "s", visits=len(took), **on)

        self._say(f"Strangers open series of {plan.days} days")
        median("series_30d_s", who.series, top="series_30d_max_s")
        median("series_30d_band_s", who.series, "&compare=1w&expected=1")
        median("zoom_s", who.zoom)

    def load(self, folder: Path) -> None:
        """What a hundred consoles cost a gateway at full load. Raises BenchError when they hear nothing, or a pack is
        lost."""
        plan, port = self.plan, free_port()
        write_plan(folder / "gateway", plan.nodes)
        self._say(f"Starting {plan.nodes} nodes and a gateway with a console")
        with standing(folder, plan.nodes, more=settings(port)) as stand, Sender(stand.broker.port) as sender:
            base = f"http://127.0.0.1:{port}"
            wait_for_console(base)
            restless = _Restless(sender, plan.nodes)
            self._phase(stand, restless, plan.warm)
            without, with_them, told = [], [], list[Told]()
            for number in range(plan.rounds):
                self._say(f"Round {number + 1} of {plan.rounds}: without consoles, then with {plan.consoles}")
                without.append(self._phase(stand, restless, plan.seconds))
                with Consoles(base, plan.consoles, folder / f"consoles-{number}") as consoles:
                    self._phase(stand, restless, plan.settle)
                    with_them.append(self._phase(stand, restless, plan.seconds))
                told += consoles.told
            self._tell(without, with_them, told)
            now, packs = stand.settle()
            if faults := stand.faults(now, packs):
                raise BenchError("; ".join(faults))

    def _phase(self, stand: Stand, restless: "_Restless", seconds: float) -> Phase:
        pid = console_pid(stand.gateway)
        log = stand.gateway.folder / "data" / "journal.sqlite3-wal"
        first: Moment | None = None
        cpu = most = 0.0
        for last in stand.closed(seconds):
            if first is None:
                first, cpu = last, cpu_s(pid)
            restless.turn()
            most = max(most, log.stat().st_size / 2**20)
        assert first is not None
        lasted = last.at - first.at
        used = cpu_s(pid) - cpu
        return Phase(
            (last.packs("written") - first.packs("written")) / lasted,
            used / lasted,
            (last.cpu_s["gateway"] - first.cpu_s["gateway"] - used) / lasted,
            rss_mib(pid),
            most,
        )

    def _tell(self, without: list[Phase], with_them: list[Phase], told: list[Told]) -> None:
        if silent := sum(not each.states for each in told):
            raise BenchError(f"of {len(told)} consoles {silent} heard of no change of the map")
        if not all(each.rate for each in without):
            raise BenchError("nothing was written in a round: make it longer")
        bare, busy = _mean(without), _mean(with_them)
        on = {"consoles": self.plan.consoles, "rounds": len(without), "seconds_each": self.plan.seconds,
              "changes_a_second": 5 * CHANGES}  # fmt: skip
        ratios = [b.rate / a.rate for a, b in zip(without, with_them, strict=True)]
        rates = {"without": bare.rate, "with": busy.rate, "worst_round": min(ratios), "best_round": max(ratios)}
        self._show("consoles_rate_ratio", busy.rate / bare.rate, "x", **on, **rates)
        heard = {"kib_each": statistics.fmean(each.bytes for each in told) / 1024}
        self._show("consoles_cpu_share", busy.cpu, "s CPU/s", **on, **heard)
        self._show("consoles_news_s", max(each.seconds / each.states for each in told), "s", **on)
        for count, phase in ((0, bare), (self.plan.consoles, busy)):
            self._show("gateway_us_per_pack", 1e6 * phase.gateway_cpu / phase.rate, "us CPU", consoles=count)
        self._show("console_idle_cpu_share", bare.cpu, "s CPU/s", packs_per_second=bare.rate)
        for when, phase in (("before", without[0]), ("open", with_them[-1])):
            self._show("console_rss_mib", phase.rss, "MiB", when=when, **on)
        for count, phase in ((0, without), (self.plan.consoles, with_them)):
            self._show("journal_log_mib", max(each.log for each in phase), "MiB", consoles=count)


class _Restless:
    """Nodes that come and go, so that there is something to tell."""

    def __init__(self, sender: Sender, nodes: int) -> None:
        self._sender, self._nodes, self._turn = sender, nodes, 0

    def turn(self) -> None:
        """The next ones go, and come back a while later."""
        for _ in range(CHANGES):
            away, place = divmod(self._turn, max(5 * CHANGES, self._nodes // 20))
            tell_state(self._sender, place, online=away % 2 == 1)
            self._turn += 1
        self._sender.flush()


def _mean(phases: list[Phase]) -> Phase:
    return Phase(*(statistics.fmean(values) for values in zip(*map(_values, phases), strict=True)))


def _values(phase: Phase) -> tuple[float, ...]:
    return phase.rate, phase.cpu, phase.gateway_cpu, phase.rss, phase.log


def plan_of(arguments: Sequence[str] | None) -> Plan:
    options = argparse.ArgumentParser(prog="make bench ARGS=operators", description=__doc__.partition("\n")[0])
    usual = Plan()
    options.add_argument("--nodes", type=int, default=usual.nodes, help="(%(default)s)")
    options.add_argument("--days", type=int, default=usual.days, help="of data (%(default)s)")
    options.add_argument("--visits", type=int, default=usual.visits, help="of each sort; 0: none (%(default)s)")
    options.add_argument("--ended", type=int, default=usual.ended, help="incidents (%(default)s)")
    options.add_argument("--consoles", type=int, default=usual.consoles, help="open at full load (%(default)s)")
    options.add_argument("--rounds", type=int, default=usual.rounds, help="of full load; 0: none (%(default)s)")
    options.add_argument("--seconds", type=float, default=usual.seconds, help="of each (%(default)s)")
    options.add_argument("--warm", type=float, default=usual.warm, help="seconds before the first round (%(default)s)")
    options.add_argument("--settle", type=float, default=usual.settle, help="after consoles have opened (%(default)s)")
    return Plan(**vars(options.parse_args(arguments)))


def run(console: Console, arguments: Sequence[str] = ()) -> bool:
    """Print all figures. Raises GanglionError when one cannot be measured, or a pack is lost."""
    plan, began = plan_of(arguments), time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:5.0f} s  {text} ...", markup=False, highlight=False)

    bench = Bench(plan, say)
    with tempfile.TemporaryDirectory() as temporary:
        if plan.visits:
            bench.looks(Path(temporary) / "looks")
        if plan.rounds:
            bench.load(Path(temporary) / "load")
    return True
