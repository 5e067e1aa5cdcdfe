"""`make soak`: a city whose boards lose power, whose broker and gateway die, whose network fails and whose flash fills.

The run ends with a count: whatever was done to it, the ledger balances, and no pack that a broker acknowledged is
missing. The seed gives the same order of wounds, not the same run: they meet the nodes wherever these happen to be.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.records import Ledger
from sim_hardware.city.scenario import load
from sim_hardware.fleet.faults import FaultKind, Happening
from sim_hardware.fleet.fleet import Broker, Fleet, settings
from sim_hardware.fleet.inject import Injector
from sim_hardware.servers import InfluxDB, Mosquitto
from tests.bench.result import show
from tests.system.gateway_process import GatewayProcess

SPEED = 20
CUTS_PER_S = 2.0
DRAIN_S = 180.0
KEEPALIVE_S = 10
GATEWAY_OFF_S = (0.1, 5.0)
UP_S = 1
"""After which a board that has power again may be expected to run."""


class Wound(Struct, frozen=True):
    """One line of the table."""

    often: int
    """In a run of a thousand power cuts."""
    lasts_s: tuple[float, float]
    """Least and most, of real time."""
    shares: tuple[float, ...] = ()
    """Of the nodes that it is at, one of these; none: at one node."""
    size: float = 0.0


WOUNDS: dict[FaultKind, Wound] = {
    "power_cut": Wound(1000, (0.05, 4.0)),
    "broker_restart": Wound(12, (0.1, 5.0)),
    "link_loss": Wound(40, (0.05, 0.1), (0.05, 0.5, 1)),
    "link_dead": Wound(20, (1.0, 30.0), (0.05, 0.3)),
    "latency": Wound(20, (1.0, 30.0), (0.05, 0.3), 300),
    "flash_full": Wound(40, (5.0, 60.0)),
}
GATEWAYS = 8
"""Deaths of the gateway, likewise."""


class Plan:
    """Everything that happens in one run, in order of time, from `start` on."""

    def __init__(self, nodes: int, cuts: int, seed: int) -> None:
        self._nodes, self._dice = nodes, random.Random(seed)
        self._up_at = [0] * nodes
        kinds: list[FaultKind | None] = [None] * max(1, GATEWAYS * cuts // 1000)
        for kind, wound in WOUNDS.items():
            kinds += [kind] * max(1, wound.often * cuts // 1000)
        self._dice.shuffle(kinds)
        second, self._soon = 0.0, list[Happening]()
        self.gateways: list[int] = []
        """City seconds after the start."""
        for each in kinds:
            second += SPEED * self._dice.expovariate(CUTS_PER_S)
            if each is None:
                self.gateways.append(round(second))
            else:
                self._soon += self._wounds(each, round(second))
        self._soon.sort(key=lambda each: each.begin, reverse=True)
        self.total = len(self._soon) + len(self.gateways)
        self.done: dict[str, int] = {"gateway": 0, **dict.fromkeys(WOUNDS, 0)}
        self._start: int | None = None

    def _wounds(self, kind: FaultKind, begin: int) -> list[Happening]:
        wound, dice = WOUNDS[kind], self._dice
        lasts = max(1, round(SPEED * dice.uniform(*wound.lasts_s)))
        count = max(1, round(self._nodes * dice.choice(wound.shares))) if wound.shares else 1
        up = [slot for slot in range(self._nodes) if self._up_at[slot] <= begin or kind != "power_cut"]
        slots = tuple(sorted(dice.sample(up or range(self._nodes), count))) if kind != "broker_restart" else ()
        if kind == "power_cut":
            self._up_at[slots[0]] = begin + lasts + UP_S * SPEED
        found = [Happening(kind, slots, begin, begin + lasts, wound.size)]
        if kind == "flash_full":  # a board that starts with a full flash has it harder
            found.append(Happening("kill", slots, begin + SPEED, begin + SPEED))
        return found

    def start(self, now: int) -> None:
        self._start = now

    def reachable(self) -> Iterable[int]:
        return range(self._nodes)

    def due(self, now: int) -> list[Happening]:
        """As `Calendar.due`."""
        found: list[Happening] = []
        while self._start is not None and self._soon and self._start + self._soon[-1].begin <= now:
            each = self._soon.pop()
            self.done[each.kind] = self.done.get(each.kind, 0) + 1
            begin, end = self._start + each.begin, self._start + each.end
            found.append(msgspec.structs.replace(each, begin=begin, end=end))
        return found

    def gateway_due(self, now: int) -> bool:
        """Whether its next death has come, which then is done."""
        if self._start is None or not self.gateways or self._start + self.gateways[0] > now:
            return False
        del self.gateways[0]
        self.done["gateway"] += 1
        return True

    @property
    def left(self) -> int:
        return len(self._soon) + len(self.gateways)

    def off_s(self) -> float:
        return self._dice.uniform(*GATEWAY_OFF_S)


class Killed:
    """A broker that is not stopped in an orderly way."""

    def __init__(self, broker: Mosquitto) -> None:
        self.stop, self.start = broker.kill, broker.start


async def soak(
    folder: Path, nodes: int, cuts: int, seed: int, progress: Progress
) -> tuple[Ledger, Fleet, dict[str, int], bool]:
    """(the gateway's ledger, the fleet, what was done to it, whether all has arrived) after the last wound has healed.

    `nodes` boards, `cuts` losses of power, other wounds in proportion.
    """
    plan = Plan(nodes, cuts, seed)
    with (
        Mosquitto(folder / "broker") as broker,
        InfluxDB(folder / "influx") as influx,
        GatewayProcess(folder / "gateway", broker, influx.url, "soak") as gateway,
    ):
        scenario, where = load(None), Broker("127.0.0.1", broker.port)
        wanted = settings(scenario, where, nodes=nodes, speed=SPEED, duration_s=3 * cuts, seed=1)
        wanted = msgspec.structs.replace(wanted, keepalive_s=KEEPALIVE_S, wounds=True)
        fleet = Fleet(folder / "fleet", wanted, scenario)
        injector = Injector(fleet, plan, Killed(broker))
        async with injector.running():
            while fleet.counts().connected < nodes:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            plan.start(fleet.pace.now_us() // 1_000_000)
            bar = progress.add_task("wounds", total=plan.total)
            while plan.left:
                await asyncio.sleep(0.1)
                if plan.gateway_due(fleet.pace.now_us() // 1_000_000):
                    gateway.kill()
                    await asyncio.sleep(plan.off_s())
                    gateway.start(ready=False)
                progress.update(bar, completed=plan.total - plan.left)
            injector.heal()
            progress.console.print("Waiting until all has arrived ...")

            async def settled() -> bool:
                ledger = gateway.ledger()
                return ledger.waiting == 0 and ledger.received - ledger.duplicates >= fleet.counts().acked

            arrived = await fleet.drain(settled, DRAIN_S)
            return gateway.ledger(), fleet, plan.done | {"power_cut": fleet.supply.cuts}, arrived


def main() -> int:
    """0 when the ledger balances without a gap, else 1."""
    options = argparse.ArgumentParser(prog="make soak ARGS=...", description=__doc__.partition("\n")[0])
    options.add_argument("--nodes", type=int, default=200)
    options.add_argument("--cuts", type=int, default=1000, help="losses of power; other wounds in proportion")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--data", type=Path, help="keep everything of the run below this folder")
    given = options.parse_args()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with tempfile.TemporaryDirectory() as temporary, Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        folder = given.data or Path(temporary)
        ledger, fleet, done, arrived = asyncio.run(soak(folder, given.nodes, given.cuts, given.seed, bar))
    counts = fleet.counts()
    on = {"nodes": given.nodes, "speed": SPEED, "seed": given.seed, **{f"wounds_{k}": n for k, n in done.items()}}
    lost = counts.made - counts.dropped - (ledger.received - ledger.duplicates)
    missing = max(0, counts.acked - (ledger.received - ledger.duplicates))
    for metric, value in {
        "soak_gaps": ledger.gaps,
        "soak_missing": missing,
        "soak_unbalanced": abs(
            ledger.received - ledger.written - ledger.waiting - ledger.dead_letters - ledger.duplicates
        ),
        "soak_dead_letters": ledger.dead_letters,
        "soak_dropped": counts.dropped,
        "soak_lost_with_power": lost,
        "soak_waiting": counts.waiting + ledger.waiting,
        "soak_crashes": fleet.crashes,
        "soak_packs": counts.made,
        "soak_duplicates": ledger.duplicates,
    }.items():
        show("firmware", metric, value, "packs", **on)
    if not arrived:
        console.print(
            f"not all has arrived: {[(i, n) for i, n in enumerate(fleet.waiting()) if n]}, behind: {fleet.behind()}"
        )
    good = arrived and ledger.balanced and not (ledger.gaps or missing or fleet.crashes or ledger.dead_letters)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
