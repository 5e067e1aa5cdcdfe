"""A fleet of real firmware through the faults of a real day: everything the nodes were told is kept arrives once."""

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.console import Console

from gateway.errors import GanglionError
from gateway.records import Ledger
from sim_hardware.city.scenario import Scenario
from sim_hardware.fleet import run as fleet_run
from sim_hardware.fleet.fleet import APART_S, Broker, Fleet, settings
from sim_hardware.fleet.inject import Injector
from sim_hardware.fleet.modelled import Modelled
from sim_hardware.fleet.nurseries import NurseryError
from sim_hardware.fleet.report import Report
from sim_hardware.fleet.snapshot import Heard
from sim_hardware.fleet.stop import Stop
from sim_hardware.fleet.view import PlainView
from sim_hardware.servers import InfluxDB, Mosquitto, ServerError, wait_until
from tests.gateway.databases import select
from tests.system.gateway_process import NOBODY, SECONDS, GatewayProcess
from tests.system.led import lead, led, stands
from tests.system.test_demo import pids

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


async def drained(fleet: Fleet | Modelled, gateway: GatewayProcess) -> None:
    """Freeze the city, and wait until the gateway has all of it in the database."""

    async def settled() -> bool:
        ledger = await asyncio.to_thread(gateway.ledger)
        return ledger.received - ledger.duplicates >= fleet.counts().acked and ledger.waiting == 0

    # A node may wait for a minute before it tries a link again that had failed.
    assert await fleet.drain(settled, 2 * SECONDS), (fleet.counts(), gateway.ledger())


async def all_arrived(fleet: Fleet | Modelled, gateway: GatewayProcess) -> None:
    """Freeze the city; hold nodes, gateway and ledger against one another."""
    await drained(fleet, gateway)
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


@pytest.mark.soak
async def test_boards_wait_for_the_one_that_the_machine_makes_late(tmp_path: Path, broker: Mosquitto) -> None:
    """In a fast city it would be an hour behind before long, and for its gateway it would be silent."""
    async with city(tmp_path / "fleet", broker, speed=1200) as fleet:

        def apart() -> int:
            return fleet.pace.now_us() // 1_000_000 - fleet.settings.start - fleet.lived_s()

        await acked(fleet, 90)
        os.kill(fleet.pid(0), signal.SIGSTOP)
        try:
            await until(lambda: apart() > APART_S - 60, "the others going on")
            for _ in range(100):  # in which the city would live for twenty minutes
                assert apart() <= APART_S
                await asyncio.sleep(0.01)
        finally:
            os.kill(fleet.pid(0), signal.SIGCONT)
        await acked(fleet, 90)


async def test_a_city_begins_with_its_boards(tmp_path: Path, broker: Mosquitto) -> None:
    """At this speed a machine takes minutes of it to start them."""
    async with city(tmp_path / "fleet", broker, speed=3600) as fleet:
        while True:
            now = fleet.pace.now_us()
            if fleet.alive() == fleet.settings.nodes:
                break
            assert now <= (fleet.settings.start + 1) * 1_000_000
            await asyncio.sleep(0.001)
        await acked(fleet, 9)


async def test_a_node_that_loses_power_counts_a_boot_and_goes_on(
    tmp_path: Path, gateway: GatewayProcess, broker: Mosquitto
) -> None:
    """Its place in the sequence begins anew under the next boot; the other nodes do not notice."""
    async with city(tmp_path / "fleet", broker, nodes=3) as fleet:
        await acked(fleet, 12)
        os.kill(fleet.pid(0), signal.SIGKILL)
        await until(lambda: fleet.crashes == 1, "the node's death")
        goal = fleet.counts_by_kind()["traffic"].acked + 5
        await until(lambda: fleet.counts_by_kind()["traffic"].acked >= goal, "packs of its next boot")
        await drained(fleet, gateway)
    boots = {node["node"]: (node["boot"], node["gaps"]) for node in gateway.cli_json("nodes")}
    assert boots == {"traffic-0001": (2, 0), "water-0001": (1, 0), "air-0001": (1, 0)}


async def one_run(
    folder: Path, port: int, hear: fleet_run.Hear = lambda _curves: None, speed: float = 120
) -> tuple[Report, GanglionError | None, str]:
    """A moment of three nodes: report, trouble, and what was said.

    It ends, as by Ctrl-C, once each of them has made a pack, and the broker, where there is one, has them all. Then the
    city stands still and nothing is under way: whatever the end waits for longer does not come.
    """
    scenario = Scenario("riverside")
    wanted = settings(scenario, Broker("127.0.0.1", port), nodes=3, speed=speed, duration_s=60, seed=1)
    fleet = Fleet(folder, wanted, scenario)
    out = io.StringIO()
    with Stop() as stop:

        def hear_and_end(curves: bool) -> Heard | None:
            if not stop.signals:
                if not fleet.started() or not all(counts.made for counts in fleet.counts_by_kind().values()):
                    lead(fleet, 60)
                elif stands(fleet) and (port == NOBODY or not fleet.counts().waiting):
                    stop.signals = 1
            return hear(curves)

        view = PlainView(Console(file=out), "")
        with led():
            report, trouble = await fleet_run.run(Injector(fleet), 0.0, view, hear_and_end, stop)
    return report, trouble, out.getvalue()


async def test_what_has_not_arrived_is_told_with_its_reason(
    tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is away, a machine that is too slow, a gateway that does not come along, are told apart."""
    monkeypatch.setattr(fleet_run, "_DRAIN_S", 0.0)
    report, trouble, _ = await one_run(tmp_path / "away", NOBODY)
    assert f"{report.packs_unsent} packs did not leave the nodes: is 127.0.0.1:{NOBODY} reachable?" in str(trouble)
    deaf = Heard(Ledger(7, 4, 3, 0, 0, 0), (), False)
    report, trouble, _ = await one_run(tmp_path / "deaf", broker.port, lambda _curves: deaf)
    assert "the gateway has received 7, of which 3 wait for the database" in str(trouble)
    assert (report.packs_received, report.packs_written) == (7, 4)
    monkeypatch.setattr(Fleet, "behind", lambda fleet: fleet.pace._frozen)
    report, trouble, _ = await one_run(tmp_path, broker.port)
    assert "this machine is too slow" in str(trouble)


async def test_what_was_heard_last_is_reported_when_a_server_dies(tmp_path: Path, broker: Mosquitto) -> None:
    """Its end ends the run, in the run or in the wait behind it."""
    for dies_in in (True, False):  # whether curves are asked for: in the run only
        heard = Heard(Ledger(7, 4, 3, 0, 0, 0), (), False)
        left = iter([heard] * 2)

        def hear(curves: bool, dies_in: bool = dies_in, left: Iterator[Heard] = left, heard: Heard = heard) -> Heard:
            if curves is dies_in and next(left, None) is None:
                raise ServerError("gateway was killed by SIGKILL")
            return heard

        report, trouble, _ = await one_run(tmp_path / str(dies_in), broker.port, hear)
        assert isinstance(trouble, ServerError)
        assert (report.packs_received, report.packs_written, report.nodes) == (7, 4, 3)


async def test_a_nursery_that_dies_is_reported_too(tmp_path: Path, broker: Mosquitto) -> None:
    """With what the nodes had done until then."""

    def hear(_curves: bool) -> None:
        for pid in pids(tmp_path, "sim_hardware.fleet.nursery"):
            with contextlib.suppress(ProcessLookupError):  # a board that has ended with its nursery
                os.kill(pid, signal.SIGKILL)

    report, trouble, _ = await one_run(tmp_path, broker.port, hear)
    assert isinstance(trouble, NurseryError)
    assert "a nursery ended" in str(trouble)
    assert report.nodes == 3


def test_a_slow_city_begins_now() -> None:
    """Only one that is faster than life has to begin in the past."""
    for speed in (0.1, 1.0):
        slow = settings(Scenario("a"), Broker("b", 1), nodes=1, speed=speed, duration_s=0, seed=1)
        assert time.time() - 120 < slow.start <= time.time()
    fast = settings(Scenario("a"), Broker("b", 1), nodes=1, speed=1.1, duration_s=0, seed=1)
    assert fast.start < time.time() - 6 * 86_400


def test_the_fleet_alone_against_a_broker_with_a_password(tmp_path: Path) -> None:
    """As a command, with a report; where no gateway of ours listens, what only that knows is null."""
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "city", "s:e/c"], check=True, capture_output=True)
    secured = Mosquitto(tmp_path / "broker", settings=f"allow_anonymous false\npassword_file {passwords}")
    command = [*GANGLION, "fleet", "--nodes", "3", "--speed", "120", "--duration", "5", "--seed", "9"]
    command += ["--data", str(tmp_path / "data"), "--report", str(tmp_path / "r.json")]
    with secured:
        url = f"mqtt://city:s%3Ae%2Fc@127.0.0.1:{secured.port}"
        answer = subprocess.run(
            [*command, "--broker", url], capture_output=True, text=True, timeout=3 * SECONDS, check=False
        )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["nodes"], report["seed"], report["speed"]) == (3, 9, 120)
    windows = report["city_s"] // 60
    assert 0 < report["packs_sent"] <= 3 * (windows + windows // 10 + 1), "with health in the first and each tenth"
    assert (report["packs_received"], report["gaps"], report["false_incidents"]) == (None, None, None)
    assert answer.stdout.splitlines()[-1] == f"{report['packs_sent']} packs sent; board crashes: 0."


def test_a_broker_that_is_none_is_refused() -> None:
    """In one sentence, with the exit code of a wrong command line."""
    answer = subprocess.run(
        [*GANGLION, "fleet", "--broker", "http://x"], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1)
    assert "write mqtt://host:port" in answer.stderr
