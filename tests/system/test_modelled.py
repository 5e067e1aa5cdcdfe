"""Modelled nodes against real ones, over a real broker: the same packs, and nothing lost on the way."""

import asyncio
import io
import json
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console

from gateway.errors import ConfigError
from gateway.ingest.decode import decode_packs, decode_status
from gateway.records import Pack
from sim_hardware.city.scenario import Scenario, parse
from sim_hardware.fleet import modelled
from sim_hardware.fleet import run as fleet_run
from sim_hardware.fleet.fleet import Broker, Fleet, Settings
from sim_hardware.fleet.inject import Injector
from sim_hardware.fleet.line import UNDER_WAY, Refused
from sim_hardware.fleet.modelled import LINES, Modelled
from sim_hardware.fleet.nodes import Nodes
from sim_hardware.fleet.stop import Stop
from sim_hardware.fleet.view import PlainView
from sim_hardware.servers import Mosquitto, free_port, wait_until
from tests.system.gateway_process import SECONDS, GatewayProcess
from tests.system.led import go_on, led, settled
from tests.system.test_fleet import all_arrived

pytestmark = pytest.mark.soak

START = 1_736_146_800
"""2025-01-06, a Monday, 07:00 UTC."""
NODES = 15
WINDOWS = 45
QUIET = Scenario("riverside")
EVENTFUL = parse(
    """
site = "riverside"
[[incident]]
kind = "leak"
at = "water-0002"
begin = 0
lasts = 300
size = 400
[[incident]]
kind = "burst"
at = "water-0004"
begin = 5
lasts = 30
size = 1500
[[incident]]
kind = "crash"
at = "traffic-0003"
begin = 5
lasts = 40
size = 0.3
[[incident]]
kind = "stuck"
at = "air-0002"
begin = 10
lasts = 25
[[incident]]
kind = "dead"
at = "air-0003"
begin = 12
lasts = 20
[[incident]]
kind = "drift"
at = "traffic-0001"
begin = 1
lasts = 400
size = 3
[[incident]]
kind = "power_cut"
at = "water-0005"
begin = 15
lasts = 10
""",
    "eventful.toml",
)


class Ear:
    """Hears all that nodes publish, at QoS 1, from before they begin."""

    def __init__(self, broker: Mosquitto) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, "ear", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._hear
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.connect("127.0.0.1", broker.port)
        self._client.subscribe("ganglion/v1/+/+/+", 1)
        self._client.loop_start()
        assert self._ready.wait(SECONDS)

    def _hear(self, _client: object, _data: object, message: MQTTMessage) -> None:
        self.messages.append((message.topic, message.payload))

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def of(self, stream: str) -> list[tuple[str, bytes]]:
        """(node, payload) of a stream."""
        split = [(topic.split("/"), payload) for topic, payload in self.messages]
        return [(parts[3], payload) for parts, payload in split if parts[4] == stream]

    def online(self) -> dict[str, bool]:
        """What was said last of each node."""
        return {node: decode_status(payload).online for node, payload in self.of("status")}

    def packs(self) -> list[Pack]:
        """All of them, as the gateway reads them: it refuses names, units and limits that are not ours."""
        found: list[Pack] = []
        for stream in ("telemetry", "event", "health"):
            for node, payload in self.of(stream):
                kind = node.partition("-")[0]
                parts = decode_packs("riverside", node, stream, payload, now=2e9, kind=kind)  # type: ignore[arg-type]
                assert all(isinstance(each, Pack) for each in parts), payload
                found += [each for each in parts if isinstance(each, Pack)]
        return found


@contextmanager
def listening(broker: Mosquitto) -> Iterator[Ear]:
    ear = Ear(broker)
    try:
        yield ear
    finally:
        ear.stop()


def settings(broker: Mosquitto, speed: float = 100_000, nodes: int = NODES, **config: int) -> Settings:
    return Settings(nodes, speed, 1, START, Broker("127.0.0.1", broker.port), config=config)


async def until(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(wait_until, condition, SECONDS, what)


async def live(fleet: Nodes, minutes: int, ear: Ear) -> None:
    """So long, and until all has been heard."""
    async with fleet.running():
        if isinstance(fleet, Fleet):  # a board that is not up at the beginning has fewer windows than its model
            await settled(fleet)
            go_on(fleet)
        await until(lambda: fleet.lived_s() >= 60 * minutes, f"{minutes} minutes")

        async def heard() -> bool:
            return len(ear.messages) - len(ear.of("status")) >= fleet.counts().acked

        assert await fleet.drain(heard, SECONDS), fleet.counts()
    await until(lambda: not any(ear.online().values()), "the end of every node")


# one against the other --------------------------------------------------------------------------------------------

Table = dict[tuple[str, int], dict[str, float]]
"""Readings of the windows by (node, end in minutes after START), each as `[channel/]quantity`."""


class Both(NamedTuple):
    real: Ear
    modelled: Ear


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """The same eventful city, lived by real boards at 240 times the speed of life, and calculated."""
    ears = []
    for make, speed in ((Fleet, 240.0), (Modelled, 100_000.0)):
        folder = tmp_path_factory.mktemp("city")
        with Mosquitto(folder / "broker") as broker, listening(broker) as ear, led():
            made: Nodes = make(folder / "fleet", settings(broker, speed), EVENTFUL)
            asyncio.run(live(made, WINDOWS, ear))
        ears.append(ear)
    return Both(*ears)


def table(ear: Ear) -> Table:
    found: Table = {}
    for each in ear.packs():
        if each.stream == "telemetry" and each.time <= START + 60 * WINDOWS:
            named = {f"{r.channel}/{r.quantity}".lstrip("/"): float(r.value) for r in each.readings}
            found[each.node, (each.time - START) // 60] = named
    return found


class Tolerance(NamedTuple):
    """How far the two may be apart, besides chance."""

    noise: float
    """Of one window's reading, standard deviation; of a share of the reading where it is below 0."""
    bias: float
    """Of the mean over all windows."""
    why: str


TOLERANCES = {
    "volume": Tolerance(math.nan, 0.0, "Poisson: see the test"),
    "occupancy": Tolerance(-0.45, 0.25, "vehicles of a window, and the time that each is over the loop"),
    "speed": Tolerance(2.2, 0.3, "10 % of each vehicle's speed, over some ten of them; fewer where traffic stands"),
    "pm1_0": Tolerance(0.12, 0.03, "60 samples of 0.6 µg/m³, rounded to 0.1; drawn minutes begin some seconds apart"),
    "pm2_5": Tolerance(0.12, 0.03, "the same"),
    "pm10": Tolerance(0.14, 0.03, "the same"),
    "co2": Tolerance(0.72, 0.1, "six samples of 1.63 ppm and a rounding"),
    "temperature": Tolerance(0.008, 0.004, "six samples of 5 mK, the converter's step of 5 mK, rounded to 0.01"),
    "pressure": Tolerance(1.9, 0.7, "six samples of 3.3 Pa, the converter's step of 2.6 Pa"),
    "humidity": Tolerance(0.05, 0.02, "six samples of 0.07 %RH and a step of 0.006"),
}
STUCK, DEAD = "air-0002", "air-0003"


def pairs(both: Both, kind: str, quantity: str, nodes: Callable[[str], bool] = lambda _: True) -> np.ndarray:
    """(real, modelled) of all windows that both have, shape (n, 2). The first two are left out: boards begin late."""
    real, modelled = table(both.real), table(both.modelled)
    found = [
        (real[key][name], modelled[key][name])
        for key in sorted(real.keys() & modelled.keys())
        if key[0].startswith(kind) and key[1] > 2 and nodes(key[0])
        for name in real[key].keys() & modelled[key].keys()
        if name.rpartition("/")[2] == quantity
    ]
    return np.array(found, float)


def test_both_send_the_same_packs(both: Both) -> None:
    """The same windows of the same nodes, the same readings in them, in the same order; and the same gaps."""
    real, modelled = table(both.real), table(both.modelled)
    edges = {("water-0005", minute) for minute in (16, 25, 26)}  # a board is cut off, and starts, within a minute
    assert {key for key in real.keys() ^ modelled.keys() if key[1] > 2} <= edges
    for key in real.keys() & modelled.keys():
        if key[1] > 2 and key[0] not in (DEAD, "traffic-0003"):
            quiet = {name for name in real[key] if name.endswith("/speed")}  # without a vehicle there is none
            assert set(real[key]) - quiet == {name for name in modelled[key] if not name.endswith("/speed")}, key
    for stream in ("telemetry", "health"):
        for kind in ("traffic", "water", "air"):
            shapes = []
            for ear in both:
                longest = max((p for node, p in ear.of(stream) if node.startswith(kind)), key=len)
                shapes.append([(each["n"], each.get("u"), isinstance(each["v"], int)) for each in json.loads(longest)])
            names = [[each[:2] for each in shape] for shape in shapes]
            assert names[0] == names[1], (stream, kind)


def test_both_round_alike(both: Both) -> None:
    """As many digits behind the point of each reading."""
    digits: list[dict[str, int]] = []
    for ear in both:
        most: dict[str, int] = {}
        for stream in ("telemetry", "health"):
            for _, payload in ear.of(stream):
                for each in json.loads(payload, parse_float=str)[2:]:
                    places = len(str(each["v"]).partition(".")[2])
                    most[each["n"]] = max(most.get(each["n"], 0), places)
        digits.append(most)
    assert digits[0] == digits[1]


@pytest.mark.parametrize("quantity", [name for name in TOLERANCES if name != "volume"])
def test_values_agree_within_their_noise(both: Both, quantity: str) -> None:
    """Means over all windows, and the scatter of single ones."""
    noise, bias, why = TOLERANCES[quantity]
    kind = "traffic" if quantity in ("occupancy", "speed") else "air"
    usual = {"traffic-0003"} if kind == "traffic" else {STUCK, DEAD}
    found = pairs(both, kind, quantity, lambda node: node not in usual)
    assert len(found) > 100
    noise = noise if noise > 0 else -noise * found.mean()
    apart = found[:, 0] - found[:, 1]
    assert abs(apart.mean()) <= bias + 4.5 * math.sqrt(2) * noise / math.sqrt(len(found)), why
    assert math.sqrt((apart**2).mean()) <= 1.5 * math.sqrt(2) * noise, why


@pytest.mark.parametrize("quantity", ["volume", "class_motorcycle", "class_short", "class_medium", "class_long"])
def test_volumes_agree_as_poisson_counts_do(both: Both, quantity: str) -> None:
    """Node by node, lanes together: in the crash's jam as on free streets, and with a detector that drifts."""
    for number in range(1, 6):
        node = f"traffic-000{number}"
        real, modelled = pairs(both, "traffic", quantity, node.__eq__).sum(axis=0)
        assert abs(real - modelled) <= 4.5 * math.sqrt(real + modelled + 1), (node, real, modelled)


def test_registers_agree_within_a_pulse(both: Both) -> None:
    """Each meter, at the end of each window, from the first that both have on; and its flow within that pulse too.

    Not what a board lost with its power: it is a pulse or two more for one that was cut off in mid-window.
    """
    real, modelled = table(both.real), table(both.modelled)
    for number in range(1, 5):
        keys = [(f"water-000{number}", minute) for minute in range(3, WINDOWS + 1)]
        grown = [np.array([rows[key]["volume"] for key in keys]) for rows in (real, modelled)]
        assert np.abs((grown[0] - grown[0][0]) - (grown[1] - grown[1][0])).max() <= 1
        for name in ("flow", "flow_min"):
            flows = np.array([[rows[key][name] for key in keys] for rows in (real, modelled)])
            assert np.abs(flows[0] - flows[1]).max() <= 60 + 0.15 * flows.max(), (number, name)
            assert np.abs(flows[0].mean() - flows[1].mean()) <= 2 + 0.03 * flows[0].mean(), (number, name)
    assert modelled["water-0004", WINDOWS]["volume"] > 700, "the burst"


def test_faults_show_alike(both: Both) -> None:
    """A chip that repeats itself, chips that are dead, a detector that drifts, a loss of power."""
    for ear in both:
        rows = table(ear)
        stuck = [rows[STUCK, minute] for minute in range(13, 34)]
        assert all(each == stuck[0] for each in stuck)
        assert rows[STUCK, 9] != rows[STUCK, 8]
        assert not any(rows[DEAD, minute] for minute in range(15, 31))
        assert len(rows[DEAD, 40]) == 7
        assert not [key for key in rows if key[0] == "water-0005" and 17 <= key[1] <= 24]
        births = [decode_status(payload) for node, payload in ear.of("status") if node == "water-0005"]
        assert [each.online for each in births][:3] == [True, False, True]
        boots = {each.boot for each in ear.packs() if each.node == "water-0005"}
        assert boots == {1, 2}
        for node in {each.node for each in ear.packs()}:
            for boot in (1, 2):
                seqs = [each.seq for each in ear.packs() if (each.node, each.boot) == (node, boot)]
                assert sorted(set(seqs)) == list(range(len(set(seqs)))), (node, boot)


def test_modelled_nodes_call_themselves_so(both: Both) -> None:
    births = [json.loads(payload) for _, payload in both.modelled.of("status")]
    assert {each["firmware"] for each in births if each["online"]} == {"modelled"}
    assert {each["board"] for each in births if each["online"]} == {"modelled"}
    assert both.modelled.online() == both.real.online(), "at its end all are switched off"


# delivery ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def city(folder: Path, broker: Mosquitto, nodes: int = 60, **config: int) -> AsyncIterator[Modelled]:
    fleet = Modelled(folder, settings(broker, nodes=nodes, **config), QUIET)
    async with fleet.running():
        yield fleet


async def acked(fleet: Modelled, packs: int) -> None:
    """Wait until the broker has so many packs more."""
    goal = fleet.counts().acked + packs
    await until(lambda: fleet.counts().acked >= goal, f"{packs} packs more")


async def stood_still(fleet: Modelled) -> int:
    """Wait until the city's time has stood still for half a second; what it has lived."""
    before = -1
    while before != fleet.lived_s():
        before = fleet.lived_s()
        await asyncio.sleep(0.5)
    return before


@pytest.mark.parametrize(("speed", "how"), [(100_000.0, Mosquitto.stop), (2_000.0, Mosquitto.kill)])
async def test_a_broker_that_dies_loses_nothing(
    tmp_path: Path, gateway: GatewayProcess, broker: Mosquitto, speed: float, how: Callable[[Mosquitto], None]
) -> None:
    """What was not acknowledged goes again, or only just: every number of every node arrives, once in the ledger.

    One that is killed has lost what it has acknowledged since it last saved its queue: that must still be kept.
    """
    fleet = Modelled(tmp_path / "fleet", settings(broker, speed, nodes=60), QUIET)
    async with fleet.running():
        if how == Mosquitto.kill:
            saved = broker.folder / "mosquitto.db"
            await until(saved.exists, "the broker's first save: before it, its death loses the gateway's session")
        for _ in range(2):
            await acked(fleet, 3_000)
            await asyncio.to_thread(how, broker)
            await until(lambda: not fleet.counts().connected, "the loss of the broker")
            await asyncio.to_thread(broker.start)
        await acked(fleet, 3_000)
        await all_arrived(fleet, gateway)


async def test_the_city_waits_for_a_slow_broker(tmp_path: Path, broker: Mosquitto) -> None:
    """Its time stands still, with a bounded number of packs under way; nothing is dropped, and then it goes on."""
    async with city(tmp_path / "fleet", broker, nodes=300) as fleet:
        await acked(fleet, 3_000)
        broker_process = broker._process
        assert broker_process
        broker_process.send_signal(signal.SIGSTOP)
        try:
            before = await stood_still(fleet)
            now = fleet.pace.now_us()
            assert fleet.counts().waiting <= LINES * (UNDER_WAY + fleet.settings.nodes)
            assert now <= (START + fleet.lived_s() + 120) * 1_000_000
        finally:
            broker_process.send_signal(signal.SIGCONT)
        await acked(fleet, 9_000)
        assert fleet.lived_s() > before


async def test_the_city_waits_for_who_is_to_keep_up(
    tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker takes all, he has heard nothing: no more than a step beyond what may be ahead of him."""
    monkeypatch.setattr(modelled, "_AHEAD", 1_000)
    heard = 0
    fleet = Modelled(tmp_path / "fleet", settings(broker, nodes=60), QUIET, lambda: heard)
    async with fleet.running():
        await acked(fleet, 1_001)
        before = await stood_still(fleet)
        made = fleet.counts().made
        assert made <= 1_000 + LINES * UNDER_WAY
        heard = made
        await acked(fleet, 1_001)
        assert fleet.lived_s() > before


async def test_the_city_is_no_faster_than_asked_for(tmp_path: Path, broker: Mosquitto) -> None:
    """Windows come at their time: none of the future."""
    fleet = Modelled(tmp_path, settings(broker, speed=600), QUIET)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with fleet.running():
        await acked(fleet, 5 * NODES)
        assert fleet.lived_s() <= 600 * (loop.time() - began) + 60
        assert loop.time() - began >= 0.4


@pytest.mark.parametrize("window_s", [15, 300])
async def test_windows_of_other_lengths(tmp_path: Path, broker: Mosquitto, window_s: int) -> None:
    """They end at multiples of their length; health comes as often as before."""
    fleet = Modelled(tmp_path / "fleet", settings(broker, window_s=window_s), QUIET)
    with listening(broker) as ear:
        await live(fleet, 60, ear)
    packs = [each for each in ear.packs() if each.node == "air-0001" and each.time <= START + 3600]
    ends = [each.time - START for each in packs if each.stream == "telemetry"]
    assert ends == list(range(window_s, 3601, window_s))
    health = [each.time - START for each in packs if each.stream == "health"]
    assert health == list(range(window_s, 3601, 600))


async def test_without_a_broker_the_packs_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as may be under way; a run tells that, and ends."""
    monkeypatch.setattr(fleet_run, "_DRAIN_S", 1.0)
    for nodes in (NODES, 6_000):
        away = Broker("127.0.0.1", free_port())
        fleet = Modelled(tmp_path / "fleet", Settings(nodes, 100_000, 1, START, away), QUIET)
        with Stop() as stop:
            view = PlainView(Console(file=io.StringIO()), "")
            _, trouble = await fleet_run.run(Injector(fleet), 1.0, view, lambda _curves: None, stop)
        unsent = fleet.counts().waiting
        assert unsent <= LINES * (UNDER_WAY + nodes)
        assert f"is 127.0.0.1:{away.port} reachable?" in str(trouble) or not unsent


async def test_a_broker_that_refuses_is_told(tmp_path: Path) -> None:
    secured = Mosquitto(tmp_path / "broker", settings="allow_anonymous false")
    with secured, pytest.raises(Refused, match="give --broker a user and a password"):
        async with city(tmp_path / "fleet", secured):
            await asyncio.sleep(SECONDS)


def test_what_modelled_nodes_cannot_be_is_refused(tmp_path: Path, broker: Mosquitto) -> None:
    for config, said in (({"outbox_kib": 64}, "modelled nodes have no outbox_kib"), ({"window_s": 0}, "window_s 0")):
        with pytest.raises(ConfigError, match=said):
            Modelled(tmp_path, settings(broker, **config), QUIET)


def test_the_command(tmp_path: Path, broker: Mosquitto) -> None:
    """A report that says what it is of, and a truth; windows as asked for."""
    command = [sys.executable, "-m", "gateway.cli.main", "fleet", "--modelled", "--nodes", "30", "--speed", "3600"]
    command += ["--window", "300", "--duration", "5", "--seed", "9", "--data", str(tmp_path / "data")]
    command += ["--report", str(tmp_path / "r.json"), "--broker", f"mqtt://127.0.0.1:{broker.port}"]
    began = time.monotonic()
    answer = subprocess.run(command, capture_output=True, text=True, timeout=2 * SECONDS, check=False)
    wall_s = time.monotonic() - began
    assert answer.returncode == 0, answer.stdout + answer.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["firmware"], report["nodes"], report["seed"], report["crashes"]) == ("modelled", 30, 9, 0)
    assert report["packs_unsent"] == report["packs_dropped"] == 0
    assert report["pss_kib_per_node"] is None
    windows = report["city_s"] // 300
    assert windows > 0
    assert report["city_s"] <= 3600 * wall_s
    assert report["packs_sent"] == 30 * (windows + math.ceil(windows / 2))
