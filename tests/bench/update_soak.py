"""`make soak`, second part: an update to a hundred boards whose power fails at random moments while they take it.

At the end every board works, with the old firmware or with the new one, and says which; and those that were offered
the update long enough have it.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.audit.asker import at_shell
from gateway.config import load as load_config
from gateway.records import NodeView
from gateway.update import keys, offer
from gateway.update.store import Store
from sim_hardware.city.scenario import load
from sim_hardware.fleet.fleet import Broker, Fleet, settings
from sim_hardware.servers import InfluxDB, Mosquitto
from tests.bench.result import show
from tests.firmware.packages import NEXT, VERSION, key, package
from tests.system.gateway_process import GatewayProcess

SPEED = 20
CUTS_PER_S = 3.0
OFF_S = (0.05, 2.0)
SETTLE_S = 120.0


async def run(folder: Path, nodes: int, cuts: int, seed: int, progress: Progress) -> dict[str, int]:
    """How many boards end with which firmware, by its version; the rest is under `silent`."""
    dice = random.Random(seed)
    with Mosquitto(folder / "broker") as broker, InfluxDB(folder / "influx") as influx:
        gateway = GatewayProcess(folder / "gateway", broker, influx.url, "soak")
        with gateway:
            plan = load(None)
            wanted = settings(
                plan, Broker("127.0.0.1", broker.port), nodes=nodes, speed=SPEED, duration_s=900, seed=seed
            )
            files = {"update.key": keys.public_text(key().public_key()).encode()}
            fleet = Fleet(folder / "fleet", msgspec.structs.replace(wanted, keepalive_s=10, files=files), plan)
            async with fleet.running():
                await until(lambda: fleet.counts().connected == nodes, 120)
                offered = package(NEXT)
                config = load_config(gateway.config)
                Store(Path(config.data_dir)).add(offered)
                places = [(plan.site, place.node) for place in fleet.places]
                await offer.publish(config.mqtt, offered.manifest, places, at_shell(Path(config.data_dir)))
                for _ in progress.track(range(cuts), description="power cuts"):
                    await asyncio.sleep(dice.expovariate(CUTS_PER_S))
                    while not fleet.cut(dice.randrange(nodes), dice.uniform(*OFF_S)):  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                progress.console.print("Waiting until every board has made up its mind ...")
                await until(lambda: set(firmware(gateway)) == {NEXT} and fleet.counts().connected == nodes, SETTLE_S)
                # Working is measuring and being heard: a pack of each board that was made from now on.
                now = fleet.pace.now_us() // 1_000_000
                await until(lambda: all(view.time > now for view in views(gateway)), 60)
                found = {VERSION: 0, NEXT: 0, "silent": 0, "crashes": fleet.crashes}
                for view in views(gateway):
                    works = view.time > now and view.firmware in (VERSION, NEXT)
                    found[view.firmware if works else "silent"] += 1
                    if not works:
                        progress.console.print(f"silent for {now - view.time} s of the city: {view}")
                return found


def views(gateway: GatewayProcess) -> list[NodeView]:
    journal = gateway.journal()
    try:
        return list(journal.nodes())
    finally:
        journal.close()


def firmware(gateway: GatewayProcess) -> list[str]:
    return [view.firmware for view in views(gateway)]


async def until(condition: object, seconds: float) -> bool:
    """Whether it came true in time."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.2)
    return True


def main() -> int:
    """0 when every board works in the end, else 1."""
    options = argparse.ArgumentParser(prog="python -m tests.bench.update_soak", description=__doc__.partition("\n")[0])
    options.add_argument("--nodes", type=int, default=100)
    options.add_argument("--cuts", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--data", type=Path, help="keep everything of the run below this folder")
    given = options.parse_args()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with (
        tempfile.TemporaryDirectory() as temporary,
        Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar,
    ):
        found = asyncio.run(run(given.data or Path(temporary), given.nodes, given.cuts, given.seed, bar))
    on = {"nodes": given.nodes, "cuts": given.cuts, "seed": given.seed}
    show("firmware", "update_working", found[VERSION] + found[NEXT], "nodes", **on)
    show("firmware", "update_new", found[NEXT], "nodes", **on)
    show("firmware", "update_crashes", found["crashes"], "crashes", **on)
    return 0 if found[VERSION] + found[NEXT] == given.nodes and not found["crashes"] else 1


if __name__ == "__main__":
    sys.exit(main())
