"""`make soak`: a city whose boards lose power, whose broker and gateway die, whose network fails and whose flash fills.

The run ends with a count: whatever was done to it, the ledger balances, and no pack that a broker acknowledged is
missing. The seed gives the same order of wounds, not the same run: they meet the nodes wherever these happen to be.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.records import Ledger
from sim_hardware.city.scenario import load
from sim_hardware.fleet.fleet import Broker, Fleet, settings
from sim_hardware.fleet.link import Link
from sim_hardware.servers import InfluxDB, Mosquitto
from tests.bench.result import show
from tests.system.gateway_process import GatewayProcess

SPEED = 20
CUTS_PER_S = 2.0
OFF_S = (0.05, 4.0)
DRAIN_S = 180.0
KEEPALIVE_S = 10

# wound -> how often in a run of a thousand power cuts
WOUNDS = {"broker": 12, "gateway": 8, "cut": 40, "dead": 20, "fill": 40}


class Soak:
    """One run. `nodes` boards, `cuts` losses of power, other wounds in proportion."""

    def __init__(self, folder: Path, nodes: int, cuts: int, seed: int) -> None:
        self._folder, self._nodes, self._cuts = folder, nodes, cuts
        self._dice = random.Random(seed)
        self._full: list[int] = []
        self.done = dict.fromkeys(("power", *WOUNDS), 0)

    async def run(self, progress: Progress) -> tuple[Ledger, Fleet, bool]:
        """(the gateway's ledger, the fleet, whether all has arrived) after the last wound has healed."""
        with Mosquitto(self._folder / "broker") as broker, InfluxDB(self._folder / "influx") as influx:
            gateway = GatewayProcess(self._folder / "gateway", broker, influx.url, "soak")
            with gateway:
                async with Link(broker.port).up() as link:
                    plan = load(None)
                    where = Broker("127.0.0.1", link.port)
                    wanted = settings(plan, where, nodes=self._nodes, speed=SPEED, duration_s=3 * self._cuts, seed=1)
                    fleet = Fleet(
                        self._folder / "fleet", msgspec.structs.replace(wanted, keepalive_s=KEEPALIVE_S), plan
                    )
                    async with fleet.running():
                        await self._wound(fleet, link, broker, gateway, progress)
                        for slot in self._full:
                            fleet.fill(slot, False)
                        progress.console.print("Waiting until all has arrived ...")
                        arrived = await fleet.drain(lambda: self._settled(gateway, fleet), DRAIN_S)
                        return gateway.ledger(), fleet, arrived

    async def _wound(
        self, fleet: Fleet, link: Link, broker: Mosquitto, gateway: GatewayProcess, progress: Progress
    ) -> None:
        events = ["power"] * self._cuts
        for wound, often in WOUNDS.items():
            events += [wound] * max(1, often * self._cuts // 1000)
        self._dice.shuffle(events)
        while fleet.counts().connected < self._nodes:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        for event in progress.track(events, description="wounds"):
            await asyncio.sleep(self._dice.expovariate(CUTS_PER_S))
            self.done[event] += 1
            match event:
                case "power":
                    while not fleet.cut(self._dice.randrange(self._nodes), self._dice.uniform(*OFF_S)):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                case "broker":
                    broker.kill()
                    await asyncio.sleep(self._dice.uniform(0.1, 5))
                    broker.start()  # on this thread: the kernel ends it with the one that started it
                case "gateway":
                    gateway.kill()
                    await asyncio.sleep(self._dice.uniform(0.1, 5))
                    gateway.start(ready=False)
                case "cut":
                    link.cut(self._dice, self._dice.choice((0.05, 0.5, 1)))
                case "dead":
                    link.dead(self._dice, self._dice.choice((0.05, 0.3)), self._dice.uniform(1, 30))
                case "fill":
                    slot = self._dice.randrange(self._nodes)
                    fleet.fill(slot, True)
                    self._full.append(slot)
                    fleet.cut(slot, 0.1)

    async def _settled(self, gateway: GatewayProcess, fleet: Fleet) -> bool:
        ledger = gateway.ledger()
        return ledger.waiting == 0 and ledger.received - ledger.duplicates >= fleet.counts().acked


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
        soak = Soak(given.data or Path(temporary), given.nodes, given.cuts, given.seed)
        ledger, fleet, arrived = asyncio.run(soak.run(bar))
    counts = fleet.counts()
    on = {"nodes": given.nodes, "speed": SPEED, "seed": given.seed, **{f"wounds_{k}": n for k, n in soak.done.items()}}
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
