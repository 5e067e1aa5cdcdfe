"""`make bench ARGS=gateway`: how much the gateway takes, and what that costs.

The real gateway between a real Mosquitto and a real InfluxDB, everything on, with two thousand nodes that share its
machine. The highest rate is found by a closed loop: see `Stand.closed`. docs/benchmarks.md tells what each figure
means. `python -m tests.bench.gateway --help` has what makes it shorter, an hour long, or a profile.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.errors import GanglionError
from tests.bench.load import BUCKETS
from tests.bench.meter import ack_quantile_s
from tests.bench.profile import profile
from tests.bench.result import show
from tests.bench.stand import BenchError, Stand, cpu_us, standing

WARM_S = 8.0
HALF_S = 30.0
LIVE_SHARE = 0.5
"""Of the highest rate, while the backlog is drained."""
ORDER_S, ORDER_NODES = 5.0, 20
"""How often it is looked whether packs are written in order, and at how many nodes."""
FILL_S, DRAIN_S = 900.0, 900.0
"""Beyond which a gateway will not get there."""
BEGIN_S = 60.0
"""The gateway asks a database that is away twice a minute."""


class Plan(Struct, frozen=True):
    nodes: int = 2_000
    seconds: float = 60.0
    """Of full load."""
    backlog: int = 1_000_000
    """0: that part is left out."""
    profile: bool = False
    data: Path | None = None


class Bench:
    """The parts of one run, in order."""

    def __init__(self, stand: Stand, plan: Plan, say: Callable[[str], None]) -> None:
        self.stand, self.plan, self._say = stand, plan, say
        self._on = {"nodes": plan.nodes, "records": 10, "readings": 8, "database": "InfluxDB 1.6.7"}
        self.rate = 0.0

    def _show(self, metric: str, value: float, unit: str, **on: str | int | float) -> None:
        show("gateway", metric, value, unit, **self._on, **on)

    def full(self) -> None:
        """As much as it takes, for so long."""
        self._say("Warming up")
        warm = list(self.stand.closed(WARM_S))
        self._say(f"Full load for {self.plan.seconds:g} s")
        first = last = warm[-1]
        waiting = []
        for last in self.stand.closed(self.plan.seconds):  # of an hour not all moments are kept
            waiting.append(last.packs("waiting"))
        lasted, written = last.at - first.at, last.packs("written") - first.packs("written")
        self.rate = written / lasted
        third = max(1, len(waiting) // 3)
        grown = float(np.mean(waiting[-third:]) - np.mean(waiting[:third]))
        on = {"seconds": lasted, "waiting": float(np.mean(waiting)), "waiting_grown": grown}
        self._show("packs_per_second", self.rate, "packs/s", **on)
        costs = cpu_us(first, last, written)
        self._show("packs_per_cpu_second", 1e6 / max(costs["gateway"], 1e-3), "packs/s CPU", seconds=lasted)
        for part, us in costs.items():
            self._show("cpu_us_per_pack", us, "us CPU", part=part, seconds=lasted)
        # In the first moments caches fill and nodes are met: not growth. What is left is compared third by third.
        memory = [mib for at, mib in self.stand.rss_mib if at >= first.at]
        third = max(1, len(memory) // 3)
        growth = float(np.median(memory[-third:]) - np.median(memory[:third]))
        self._show("rss_growth", growth, "MiB", seconds=lasted)

    def half(self) -> None:
        """At half of that, how long until packs are acknowledged."""
        rate = self.rate / 2
        self._say(f"Half of it, {rate:.0f} packs/s, for {HALF_S:g} s")
        self.stand.load.pace(rate)
        list(self.stand.watch(WARM_S))
        times = self.stand.load.dials.times.copy()
        moments = list(self.stand.watch(HALF_S))
        first, last = moments[0], moments[-1]
        took = self.stand.load.dials.times - times
        self.stand.load.pace(0.0)
        on = {"packs_per_second": (last.sent - first.sent) / (last.at - first.at)}
        for share, metric in ((0.5, "ack_p50_ms"), (0.99, "ack_p99_ms")):
            self._show(metric, 1e3 * ack_quantile_s(first.figures, last.figures, share), "ms", **on)
        self._show("broker_ack_p99_ms", _quantile_us(took, 0.99) / 1e3, "ms", timed=int(took.sum()), **on)
        # Little's law: those that were sent and are not in the journal, on average, against how many came a second.
        between = float(np.mean([moment.sent - moment.packs("received") for moment in moments]))
        self._show("sent_to_journal_ms", 1e3 * between / on["packs_per_second"], "ms", **on)

    def backlog(self) -> None:
        """The database is away until so many packs wait; then they are written, while live ones keep coming."""
        stand, plan = self.stand, self.plan
        self._say(f"The database is away until {plan.backlog} packs wait")
        stand.influx.stop()
        began = time.monotonic()
        for now in stand.closed(FILL_S, database=False):
            if now.packs("waiting") >= plan.backlog:
                break
        if now.packs("waiting") < plan.backlog:
            raise BenchError(f"only {now.packs('waiting')} packs wait after {FILL_S:g} s without a database")
        self._show("intake_packs_per_second", plan.backlog / (now.at - began), "packs/s", backlog=plan.backlog)
        live = LIVE_SHARE * self.rate
        stand.load.pace(live)
        before = now.packs("written")
        stand.influx.start()
        for first in stand.watch(BEGIN_S):
            if first.packs("written") > before:
                break
        backlog = first.packs("waiting")
        self._say(f"It is back; {backlog} packs, and {live:.0f} new ones a second")
        disorder, looks, looked = set[str](), 0, first.at
        for last in stand.watch(DRAIN_S):
            # First come first written: the last of the backlog is written when so many are.
            if last.packs("written") - first.packs("written") >= backlog:
                break
            if last.at - looked > ORDER_S:
                looked, looks = last.at, looks + 1
                disorder.update(
                    stand.holes([(looks + i * plan.nodes // ORDER_NODES) % plan.nodes for i in range(ORDER_NODES)])
                )
        lasted, written = last.at - first.at, last.packs("written") - first.packs("written")
        taken = (last.packs("received") - first.packs("received")) / lasted
        on = {"live_packs_per_second": taken, "live_wanted": live, "seconds": lasted, "backlog": backlog}
        self._show("backlog_packs_per_second", written / lasted, "packs/s", **on)
        self._show("backlog_drain_ratio", written / lasted / max(taken, 1.0), "x live", **on)
        self._show("backlog_disorder", len(disorder), "nodes", looks=looks, nodes_a_look=ORDER_NODES)
        if written < backlog:
            raise BenchError(f"after {DRAIN_S:g} s {backlog - written} packs of the backlog are not written")
        if disorder:
            raise BenchError(f"written before an older pack of the same node: packs of {', '.join(sorted(disorder))}")

    def end(self) -> None:
        """Whether every pack that a node has acknowledged is in the database, once."""
        self._say("Until everything is written")
        now, packs = self.stand.settle()
        self._show("rss_mib", max(mib for _, mib in self.stand.rss_mib), "MiB", packs=sum(packs))
        faults = self.stand.faults(now, packs)
        lost = sum(packs) - now.packs("written")
        self._show("packs_lost", lost, "packs", packs=sum(packs), duplicates=now.packs("duplicate"))
        if faults:
            raise BenchError("; ".join(faults))


def _quantile_us(times: "np.typing.NDArray[np.uint64]", share: float) -> float:
    """The upper bound of the bucket up to which there are so many; 0 when there are none."""
    assert len(times) == BUCKETS
    whole = int(times.sum())
    if not whole:
        return 0.0
    return float(2.0 ** ((int(np.searchsorted(np.cumsum(times), share * whole)) + 1) / 8))


def measure(console: Console, plan: Plan) -> bool:
    """Print all figures; whether all could be measured, and nothing was lost. Raises GanglionError when not."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory() as temporary,
        Progress(*columns, console=console, transient=True) as bar,
    ):
        task = bar.add_task("Starting broker, database, gateway and nodes", total=None)

        def say(text: str) -> None:
            bar.console.print(f"{text} ...", markup=False)
            bar.update(task, description=text)

        with standing(plan.data or Path(temporary), plan.nodes, partial(bar.advance, task)) as stand:
            if plan.profile:
                profile(stand, plan.seconds, say)
                return True
            bench = Bench(stand, plan, say)
            bench.full()
            bench.half()
            if plan.backlog:
                bench.backlog()
            bench.end()
    return True


def plan_of(arguments: Sequence[str] | None) -> Plan:
    options = argparse.ArgumentParser(
        prog="python -m tests.bench.gateway",
        description=__doc__.partition("\n")[0],
        epilog="example: python -m tests.bench.gateway --seconds 30 --backlog 100000   (an hour: --seconds 3600)",
    )
    usual = Plan()
    options.add_argument("--nodes", type=_at_least(1), default=usual.nodes, help="connections (%(default)s)")
    options.add_argument("--seconds", type=_at_least(10), default=int(usual.seconds), help="of full load (%(default)s)")
    options.add_argument("--backlog", type=_at_least(0), default=usual.backlog, help="packs (%(default)s); 0: none")
    options.add_argument("--profile", action="store_true", help="instead of figures: where the time goes, by py-spy")
    options.add_argument("--data", type=Path, help="a folder to keep everything of the run in")
    return Plan(**vars(options.parse_args(arguments)))


def _at_least(least: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is less than {least}")
        return number

    return whole


def run(console: Console, arguments: Sequence[str] = ()) -> bool:
    """Print all figures; whether each could be measured, and nothing was lost."""
    return measure(console, plan_of(arguments))


def main() -> int:
    """0 when all could be measured and nothing was lost, else 1."""
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return 0 if run(console, sys.argv[1:]) else 1
    except (GanglionError, TimeoutError) as error:
        console.print(f"gateway: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
