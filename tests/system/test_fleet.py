"""A fleet of real firmware through the faults of a real day: everything the nodes were told is kept arrives once."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sim_hardware.city.scenario import Scenario
from sim_hardware.fleet.fleet import Broker, Fleet, settings
from sim_hardware.servers import InfluxDB, Mosquitto, wait_until
from tests.gateway.databases import select
from tests.system.gateway_process import SECONDS, GatewayProcess

GANGLION = [sys.executable, "-m", "gateway.cli.main"]


@asynccontextmanager
async def city(folder: Path, broker: Mosquitto, nodes: int = 9, speed: float = 120) -> AsyncIterator[Fleet]:
    """A quiet city's fleet that runs."""
    scenario = Scenario("riverside")
    where = Broker("127.0.0.1", broker.port)
    wanted = settings(scenario, where, nodes=nodes, speed=speed, duration_s=60, seed=1)
    async with Fleet(folder, wanted, scenario).running() as fleet:
        yield fleet


async def until(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(wait_until, condition, SECONDS, what)


async def acked(fleet: Fleet, packs: int) -> None:
    """Wait until the broker has so many packs more."""
    goal = fleet.counts().acked + packs
    await until(lambda: fleet.counts().acked >= goal, f"{packs} packs more")


async def all_arrived(fleet: Fleet, gateway: GatewayProcess) -> None:
    """Freeze the city; hold nodes, gateway and ledger against one another."""

    def settled() -> bool:
        ledger = gateway.ledger()
        return ledger.received - ledger.duplicates >= fleet.counts().acked and ledger.waiting == 0

    assert await fleet.drain(settled, SECONDS), (fleet.counts(), gateway.ledger())
    counts, ledger = fleet.counts(), gateway.ledger()
    assert ledger.balanced
    assert (counts.acked, counts.waiting, counts.dropped) == (counts.made, 0, 0)
    assert (ledger.written, ledger.gaps, ledger.dead_letters) == (counts.made, 0, 0)


async def test_the_gateway_is_killed_in_the_middle(
    tmp_path: Path, gateway: GatewayProcess, broker: Mosquitto, influx: InfluxDB, influx_db: str
) -> None:
    """Three times kill -9 while nodes report: every window of every node is one point in the database."""
    async with city(tmp_path / "fleet", broker) as fleet:
        for _ in range(3):
            await acked(fleet, 20)
            gateway.kill()
            await acked(fleet, 20)  # the broker holds them meanwhile
            await asyncio.to_thread(gateway.start)
        await acked(fleet, 20)
        await all_arrived(fleet, gateway)
        made = fleet.counts_by_kind()
    for kind, field, channels in (("traffic", "volume", 2), ("water", "volume", 1), ("air", "co2", 1)):
        (row,) = select(influx.url, influx_db, f"SELECT count({field}) FROM {kind}")
        (health,) = select(influx.url, influx_db, f"SELECT count(uptime) FROM health WHERE node =~ /^{kind}/")
        assert row["count"] // channels + health["count"] == made[kind].made, kind


async def test_the_broker_dies_and_comes_back(tmp_path: Path, gateway: GatewayProcess, broker: Mosquitto) -> None:
    """Nodes keep what is not acknowledged, and send it when the broker is there again, even in a city that ends."""
    async with city(tmp_path / "fleet", broker, speed=30) as fleet:
        await acked(fleet, 18)
        before = fleet.counts().made
        broker.stop()
        await until(lambda: fleet.counts().made >= before + 18, "windows while the broker is away")
        assert fleet.counts().waiting > 0
        broker.start()
        await all_arrived(fleet, gateway)


async def test_a_node_that_loses_power_counts_a_boot_and_goes_on(
    tmp_path: Path, gateway: GatewayProcess, broker: Mosquitto
) -> None:
    """Its place in the sequence begins anew under the next boot; the other nodes do not notice."""
    async with city(tmp_path / "fleet", broker, nodes=3) as fleet:
        await acked(fleet, 12)
        os.kill(fleet.pid(0), signal.SIGKILL)
        await until(lambda: fleet.crashes == 1, "the node's death")
        await acked(fleet, 30)
        await fleet.drain(lambda: gateway.ledger().waiting == 0, SECONDS)
    boots = {node["node"]: (node["boot"], node["gaps"]) for node in gateway.cli_json("nodes")}
    assert boots == {"traffic-0001": (2, 0), "water-0001": (1, 0), "air-0001": (1, 0)}


def test_the_fleet_alone_against_a_broker_with_a_password(tmp_path: Path) -> None:
    """As a command, with a report; where no gateway of ours listens, what only that knows is null."""
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "city", "s:e/c"], check=True, capture_output=True)
    secured = Mosquitto(tmp_path / "broker", settings=f"allow_anonymous false\npassword_file {passwords}")
    command = [*GANGLION, "fleet", "--nodes", "3", "--speed", "60", "--duration", "6", "--seed", "9"]
    command += ["--data", str(tmp_path / "data"), "--report", str(tmp_path / "r.json")]
    with secured:
        url = f"mqtt://city:s%3Ae%2Fc@127.0.0.1:{secured.port}"
        answer = subprocess.run(
            [*command, "--broker", url], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["nodes"], report["seed"], report["speed"]) == (3, 9, 60)
    assert 12 <= report["packs_sent"] <= 21
    assert (report["packs_received"], report["gaps"], report["false_incidents"]) == (None, None, None)


def test_a_fleet_without_a_broker_says_so(tmp_path: Path) -> None:
    """The packs stay in the nodes; exit code 1 and the address."""
    answer = subprocess.run(
        [*GANGLION, "fleet", "--broker", "http://x"], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)
    assert "write mqtt://host:port" in answer.stderr
