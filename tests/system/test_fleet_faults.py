"""Faults on real boards: each happens at its second of the city, ends when it should, and is told of."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from sim_hardware.city.scenario import Scenario
from sim_hardware.city.tables import Planned
from sim_hardware.fleet.faults import WITHIN, Calendar, parse
from sim_hardware.fleet.fleet import Broker, Fleet, settings
from sim_hardware.fleet.inject import Injector, Record
from sim_hardware.servers import Mosquitto, wait_until
from tests.firmware.peers import Subscriber
from tests.system.led import go_on, led, minute, settled
from tests.system.test_demo import pids

pytestmark = pytest.mark.soak

GANGLION = [sys.executable, "-m", "gateway.cli.main"]
SECONDS = 100.0
QUIET = Scenario("riverside")


@asynccontextmanager
async def city(
    folder: Path, broker: Mosquitto, faults: str = "", *, nodes: int = 6, speed: float = 240, scenario: Scenario = QUIET
) -> AsyncIterator[Injector]:
    """A fleet whose boards are all up, with faults as in a file. The city stands at its beginning: see `led`."""
    where = Broker("127.0.0.1", broker.port)
    wanted = settings(scenario, where, nodes=nodes, speed=speed, duration_s=60, seed=1)
    fleet = Fleet(folder, wanted, scenario)
    read = parse(faults, "f.toml", fleet.city.layout, wanted.start % 86_400 // 60, broker=True)
    fleet.settings = msgspec.structs.replace(wanted, wounds=bool(read.kinds() & WITHIN))
    injector = Injector(fleet, Calendar(read, fleet.city.layout, wanted.start, wanted.seed), broker)
    with led():
        async with injector.running():
            await settled(fleet)
            yield injector


async def until(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(wait_until, condition, SECONDS, what)


async def ended(injector: Injector) -> None:
    """As `run` ends: all healed, and all that boards kept has left them."""
    injector.heal()

    async def done() -> bool:
        return True

    assert await injector.fleet.drain(done, SECONDS), injector.fleet.counts()
    counts = injector.fleet.counts()
    assert (counts.waiting, counts.dropped, injector.fleet.crashes) == (0, 0, 0)


def packs(heard: Subscriber, node: str) -> list[tuple[int, int]]:
    """(boot, time) of what a node has sent up to now, by a marker behind it."""
    heard.publish("test/end", b"")
    found = []
    while (message := heard.next()).topic != "test/end":
        if f"/{node}/telemetry" in message.topic:
            records = json.loads(message.payload)
            found.append((records[0]["v"], records[0]["bt"]))
    return sorted(set(found))


async def test_power_fails_and_comes_back(tmp_path: Path, broker: Mosquitto) -> None:
    """A board without power is silent, is no crash and holds nobody back; one that is killed is up again at once."""
    text = '[[fault]]\nkind = "power_cut"\nat = 4\nnodes = "air-0001"\nlasts = 8\n'
    text += '[[fault]]\nkind = "kill"\nat = 5\nnodes = "traffic-0001"\n'
    with Subscriber(broker.port) as air, Subscriber(broker.port) as traffic:
        async with city(tmp_path, broker, text) as injector:
            fleet = injector.fleet
            begin = fleet.settings.start + 240
            await minute(fleet, 9)
            await until(lambda: fleet.supply.cuts == 2, "both cuts")
            await settled(fleet)
            assert fleet.supply.dark == 1
            assert 2 not in fleet.supply.pids
            assert len(fleet.supply.pids) == 5
            assert fleet.relays == {}
            await until(lambda: fleet.lived_s() > 360, "the others live on")
            await minute(fleet, 12)
            await until(lambda: fleet.supply.dark == 0, "power")
            assert fleet.pace.now_us() / 1e6 >= begin + 480
            await settled(fleet)
            await minute(fleet, 17)
            await ended(injector)
        silent = packs(air, "air-0001")
        killed = packs(traffic, "traffic-0001")
    assert {boot for boot, _ in silent} == {boot for boot, _ in killed} == {1, 2}
    assert max(at for boot, at in silent if boot == 1) <= begin + 120, "it was cut when it had come so far itself"
    assert min(at for boot, at in silent if boot == 2) > begin + 480
    assert min(at for boot, at in killed if boot == 2) < min(at for boot, at in silent if boot == 2)
    assert [(each.kind, each.nodes, each.begin, each.end) for each in injector.records()] == [
        ("power_cut", ("air-0001",), begin, begin + 480),
        ("kill", ("traffic-0001",), begin + 60, begin + 60),
    ]


async def test_a_link_fails_for_one_node(tmp_path: Path, broker: Mosquitto) -> None:
    """Its packs wait in it and arrive after; the others report straight to the broker, and notice nothing."""
    text = '[[fault]]\nkind = "link_loss"\nat = 5\nnodes = "water-0002"\nlasts = 20\n'
    async with city(tmp_path, broker, text) as injector:
        fleet = injector.fleet
        assert list(fleet.relays) == [4]
        await until(lambda: fleet.counts().connected == 6, "all connections")
        await minute(fleet, 10)
        await until(lambda: fleet.waiting()[4] >= 4, "packs that wait")
        await until(lambda: not any(fleet.waiting()[:4] + fleet.waiting()[5:]), "packs of all the others")
        assert injector.recent()[0].kind == "link_loss"
        made = fleet.counts().made
        await ended(injector)
        assert fleet.counts().made >= made
        assert fleet.counts().acked == fleet.counts().made
        (record,) = injector.records()
    assert record.begin == fleet.settings.start + 300
    assert record.begin < record.end < record.begin + 1200, "the run's end ended it"


async def test_what_happens_within_a_board(tmp_path: Path, broker: Mosquitto) -> None:
    """Its clock jumps and its flash is full while it runs: it is not started anew for that."""
    text = '[[fault]]\nkind = "clock_jump"\nat = 5\nnodes = "air-0001"\nsize = 1800\n'
    text += '[[fault]]\nkind = "flash_full"\nat = 5\nnodes = "water-0001"\nlasts = 5\n'
    with Subscriber(broker.port) as heard:
        async with city(tmp_path, broker, text, nodes=3) as injector:
            fleet = injector.fleet
            flash = tmp_path / "nodes" / "water-0001" / "flash.bin"
            await minute(fleet, 4)
            assert flash.stat().st_blocks * 512 < 400_000
            await minute(fleet, 9)
            await until(lambda: flash.stat().st_blocks * 512 > 900_000, "a full flash of 1 MiB")
            await minute(fleet, 12)
            await ended(injector)
        times = [at for boot, at in packs(heard, "air-0001") if boot == 1]
    steps = [after - before for before, after in pairwise(times)]
    assert max(steps) >= 1800
    assert sorted(steps)[-2] <= 120, "once"
    assert max(times) > fleet.pace.now_us() / 1e6 + 1500


async def test_the_city_leaves_boards_without_power(tmp_path: Path, broker: Mosquitto) -> None:
    """As its truth has it; at full speed too, where ten minutes are a sixth of a second."""
    cuts = tuple(Planned("power_cut", begin=90, at=name, lasts=10) for name in ("water-0001", "air-0002"))
    other = Planned("stuck", begin=90, at="air-0001", lasts=10)
    async with city(tmp_path, broker, speed=3600, scenario=Scenario("riverside", (*cuts, other))) as injector:
        fleet = injector.fleet
        begin = fleet.settings.start + 90 * 60
        go_on(fleet)
        await until(lambda: boots(fleet) == [1, 2, 1, 1, 1, 2], "a second boot of two boards")
        await until(lambda: fleet.lived_s() >= 100 * 60, "the others have lived on")
        (record,) = injector.records()
        assert record == Record("power_cut", ("water-0001", "air-0002"), begin, begin + 600, cause="city")
        told = [each for each in fleet.truth() if each.kind == "power_cut"]
        assert [(each.begin, each.end) for each in told] == [(begin, begin + 600)] * 2
        await ended(injector)


def boots(fleet: Fleet) -> list[int]:
    """How often each board has been started, as it counts itself."""
    found = []
    for place in fleet.places:
        kept = fleet.folder / "nodes" / place.node / "nvs-ganglion.json"
        try:
            found.append(json.loads(kept.read_text())["boot"])
        except (OSError, ValueError):
            found.append(0)  # not yet, or being written
    return found


class Command:
    """`ganglion fleet` that leads a process group, as behind a terminal."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.report, self._out = folder, folder / "r.json", folder / "out"
        command = [*GANGLION, "fleet", "--data", str(folder / "data"), "--report", str(self.report), *options]
        with self._out.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self._out.read_text(), SECONDS, text)

    def told(self, number: signal.Signals) -> int:
        """The exit code after a signal; nothing is left running, and nothing said that is not meant for people."""
        os.killpg(self.process.pid, number)
        code = self.process.wait(SECONDS)
        wait_until(lambda: pids(self.folder / "data") == [], SECONDS, "the end of all children")
        assert "Traceback" not in self._out.read_text()
        return code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_is_ended_while_boards_are_being_started(tmp_path: Path, broker: Mosquitto, number: signal.Signals) -> None:
    """With a report; those that have not been started never are."""
    command = Command(tmp_path, "--nodes", "1500", "--broker", f"mqtt://127.0.0.1:{broker.port}")
    try:
        wait_until(lambda: len(pids(tmp_path, "nodes/")) > 20, SECONDS, "the first boards")
        assert command.told(number) in (0, 1)
    finally:
        command.process.kill()
        command.process.wait()
    assert len(list((tmp_path / "data/fleet/nodes").iterdir())) < 1500
    assert json.loads(command.report.read_text())["nodes"] == 1500
    assert (tmp_path / "data/faults.jsonl").read_text() == ""


def test_it_is_ended_in_the_middle_of_faults(tmp_path: Path, broker: Mosquitto) -> None:
    """They are over then: what boards without power or link have kept arrives before the end."""
    (tmp_path / "f.toml").write_text(
        '[[fault]]\nkind = "power_cut"\nat = 3\nnodes = "air"\nlasts = "2h"\n'
        '[[fault]]\nkind = "link_dead"\nat = 3\nnodes = "traffic"\nlasts = "2h"\n'
        '[[fault]]\nkind = "flash_full"\nat = 3\nnodes = "water"\nlasts = "2h"\n'
    )
    options = ["--nodes", "6", "--speed", "60", "--seed", "1", "--faults", str(tmp_path / "f.toml")]
    command = Command(tmp_path, *options, "--broker", f"mqtt://127.0.0.1:{broker.port}")
    try:
        command.wait_for("fault 07:03 flash_full 2 nodes (now)")
        wait_until(lambda: len(pids(tmp_path / "data", "nodes/")) == 4, SECONDS, "the cut")
        assert command.told(signal.SIGINT) == 0
    finally:
        command.process.kill()
        command.process.wait()
    report = json.loads(command.report.read_text())
    assert report["faults"] == {"flash_full": 1, "link_dead": 1, "power_cut": 1}
    assert (report["crashes"], report["packs_unsent"], report["packs_dropped"]) == (0, 0, 0)
    lines = [json.loads(line) for line in (tmp_path / "data/faults.jsonl").read_text().splitlines()]
    assert {each["end"] - each["begin"] < 3600 for each in lines} == {True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[[fault]]\nkind = "broker_restart"\nat = 1\n',
            "f.toml:2: fault[0].kind: the broker is not this command's own",
        ),
        ('[[fault]]\nkind = "kill"\nat = 1\nnodes = "airs"\n', "the nearest is air"),
    ],
)
def test_what_is_refused_before_anything_begins(tmp_path: Path, text: str, message: str) -> None:
    """With exit code 2."""
    (tmp_path / "f.toml").write_text(text)
    answer = subprocess.run(
        [*GANGLION, "fleet", "--faults", "f.toml", "--data", "data"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=tmp_path,
    )
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (2, "", 1)
    assert message in answer.stderr
    assert not (tmp_path / "data").exists()
