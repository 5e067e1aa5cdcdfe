"""`make bench ARGS=fleet`: what a city of emulated nodes takes, on a real broker, with a subscriber that counts.

docs/benchmarks.md tells what each figure means, and what it does not.
"""

import asyncio
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import msgspec
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console

from gateway.errors import GanglionError
from sim_hardware.city.scenario import Scenario
from sim_hardware.fleet.fleet import Broker, Fleet, settings
from sim_hardware.fleet.modelled import Modelled
from sim_hardware.servers import Mosquitto
from tests.bench.hearer import Hearer
from tests.bench.result import show

MANY, MANY_WINDOWS = 10_000, 3
FAST, FAST_SPEED, FAST_S = 100, 600.0, 60.0
CITY = 300
START_S, DRAIN_S = 600.0, 120.0
WINDOW_S = 60
MONTH_D, MODELLED_SPEED = 30, 100_000.0

_PACK = re.compile(rb'"bt":(\d+),"n":"boot","v":(\d+)\},\{"n":"seq","v":(\d+)')


class Counter:
    """Counts packs as a subscriber of the broker hears them, each once."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._heard: set[tuple[str, int, int]] = set()
        self._lock = Lock()
        self.lateness_s: list[float] | None = []
        """Of each telemetry pack: how long after the end of its window it came, in the city's time. None: not kept."""

    def take(self, message: MQTTMessage) -> None:
        now = self._now_s()
        node = message.topic.split("/")[3]
        with self._lock:
            for time_s, boot, seq in _PACK.findall(message.payload):
                pack = node, int(boot), int(seq)
                if self.lateness_s is not None and pack not in self._heard and message.topic.endswith("telemetry"):
                    self.lateness_s.append(now - int(time_s))
                self._heard.add(pack)

    def __len__(self) -> int:
        with self._lock:
            return len(self._heard)


@contextmanager
def listening(port: int, counter: Counter) -> Iterator[None]:
    """The counter hears all packs of the broker until the block ends."""
    client = Client(CallbackAPIVersion.VERSION2, client_id="bench", clean_session=True)
    client.on_message = lambda _client, _data, message: counter.take(message)
    client.connect("127.0.0.1", port)
    client.subscribe([("ganglion/v1/+/+/telemetry", 1), ("ganglion/v1/+/+/health", 1), ("ganglion/v1/+/+/event", 1)])
    client.loop_start()
    try:
        yield
    finally:
        client.loop_stop()
        client.disconnect()


def _available_kib() -> int:
    """Memory that programs can have (KiB), as the kernel reckons it."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(fields["MemAvailable"].split()[0])


def _cpu_s(pids: list[int]) -> float:
    """Seconds of a processor that these processes have had."""
    found = 0.0
    for pid in pids:
        try:
            found += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended: its successor counts from zero
    return found


def _pids(fleet: Fleet) -> list[int]:
    return [fleet.pid(place.slot) for place in fleet.places]


async def _connected(fleet: Fleet, nodes: int) -> float:
    """Wait until all have connected; seconds that took."""
    began = time.monotonic()
    while fleet.counts().connected < nodes:
        if time.monotonic() - began > START_S:
            raise GanglionError(f"{fleet.counts().connected} of {nodes} nodes connected within {START_S:g} s")
        await asyncio.sleep(0.1)
    return time.monotonic() - began


async def _arrived(fleet: Fleet | Modelled, counter: Counter | Hearer) -> bool:
    """Stop the city, and wait until all that was acknowledged has been heard."""

    async def all_heard() -> bool:
        return len(counter) >= fleet.counts().acked

    return await fleet.drain(all_heard, DRAIN_S)


async def many(folder: Path, console: Console, nodes: int = MANY) -> bool:
    """So many nodes at the speed of life, each a window a minute; whether no pack was lost."""
    plan = Scenario("riverside")
    free = _available_kib()
    with Mosquitto(folder / "broker") as broker:
        wanted = settings(plan, Broker("127.0.0.1", broker.port), nodes=nodes, speed=1, duration_s=0, seed=1)
        fleet = Fleet(folder / "fleet", msgspec.structs.replace(wanted, keepalive_s=300), plan)
        counter = Counter(lambda: fleet.pace.now_us() / 1e6)
        with listening(broker.port, counter):
            began = time.monotonic()
            async with fleet.running():
                await _connected(fleet, nodes)
                start_s = time.monotonic() - began
                console.print(f"{nodes} nodes connected in {start_s:.0f} s; {MANY_WINDOWS} windows of them ...")
                cpu_s, since = _cpu_s(_pids(fleet)), time.monotonic()
                await asyncio.sleep((MANY_WINDOWS + 1) * WINDOW_S)
                cpu_s, lasted = _cpu_s(_pids(fleet)) - cpu_s, time.monotonic() - since
                used = free - _available_kib()
                connected, pss = fleet.counts().connected, fleet.pss_kib_per_node() or 0.0
                arrived = await _arrived(fleet, counter)
                counts = fleet.counts()
    on = {"nodes": nodes, "firmware": "real", "speed": 1, "window_s": WINDOW_S, "minutes": MANY_WINDOWS + 1}
    lost = counts.made - len(counter)
    for metric, value, unit in (
        ("nodes_connected", connected, "nodes"),
        ("start_s", start_s, "s"),
        ("pss_kib_per_node", pss, "KiB"),
        ("memory_gib", used / 1024 / 1024, "GiB"),
        ("packs_lost", lost, "packs"),
        ("packs", counts.made, "packs"),
        ("cpu_us_per_node_second", 1e6 * cpu_s / nodes / lasted, "us CPU"),
        ("crashes", fleet.crashes, "boards"),
    ):
        show("fleet", metric, value, unit, **on)
    return arrived and not lost and not fleet.crashes


async def fast(folder: Path, console: Console, nodes: int, speed: float, seconds: float) -> bool:
    """A city on the run: how fast it really lives, and whether its windows come in time."""
    plan = Scenario("riverside")
    with Mosquitto(folder / "broker") as broker:
        where = Broker("127.0.0.1", broker.port)
        wanted = settings(plan, where, nodes=nodes, speed=speed, duration_s=seconds + 60, seed=1)
        fleet = Fleet(folder / "fleet", wanted, plan)
        counter = Counter(lambda: fleet.pace.now_us() / 1e6)
        with listening(broker.port, counter):
            async with fleet.running():
                await _connected(fleet, nodes)
                console.print(f"{nodes} nodes at {speed:g} times life for {seconds:g} s ...")
                counter.lateness_s = late = []
                lived, cpu_s, since = fleet.lived_s(), _cpu_s(_pids(fleet)), time.monotonic()
                await asyncio.sleep(seconds)
                lived, lasted = fleet.lived_s() - lived, time.monotonic() - since
                cpu_s, counter.lateness_s = _cpu_s(_pids(fleet)) - cpu_s, None
                arrived = await _arrived(fleet, counter)
                counts = fleet.counts()
    on = {"nodes": nodes, "firmware": "real", "speed": speed, "window_s": WINDOW_S, "seconds": seconds}
    lost = counts.made - len(counter)
    for metric, value, unit in (
        ("speed_reached", lived / lasted, "x life"),
        ("windows_late", sum(each > WINDOW_S + speed for each in late), "windows"),
        ("windows", len(late), "windows"),
        ("window_lateness_s", max(late, default=0.0), "s city"),
        ("cpu_us_per_node_second", 1e6 * cpu_s / nodes / max(lived, 1), "us CPU"),
        ("city_days_per_minute", lived / 86_400 / (lasted / 60), "days/min"),
        ("packs_lost", lost, "packs"),
    ):
        show("fleet", metric, value, unit, **on)
    return arrived and not lost


async def month(folder: Path, console: Console, nodes: int = CITY, days: int = MONTH_D) -> bool:
    """A month of a city of modelled nodes, as fast as they can; whether no pack was lost."""
    plan, city_s = Scenario("riverside"), days * 86_400
    with Mosquitto(folder / "broker") as broker:
        where = Broker("127.0.0.1", broker.port)
        duration_s = (city_s + 86_400) / MODELLED_SPEED
        wanted = settings(plan, where, nodes=nodes, speed=MODELLED_SPEED, duration_s=duration_s, seed=1)
        with Hearer(broker.port, folder / "hearer") as counter:
            fleet = Modelled(folder / "fleet", wanted, plan, lambda: len(counter))
            console.print(f"{days} days of {nodes} modelled nodes ...")
            began = time.monotonic()
            async with fleet.running():
                while fleet.lived_s() < city_s:  # noqa: ASYNC110 - there is no event for it
                    await asyncio.sleep(0.1)
                arrived = await _arrived(fleet, counter)
                lived, lasted = fleet.lived_s(), time.monotonic() - began
                counts = fleet.counts()
    on = {"nodes": nodes, "firmware": "modelled", "window_s": WINDOW_S, "days": days}
    lost = counts.made - len(counter)
    for metric, value, unit in (
        ("city_days_per_minute", lived / 86_400 / (lasted / 60), "days/min"),
        ("packs_per_second", counts.made / lasted, "packs/s"),
        ("packs", counts.made, "packs"),
        ("packs_lost", lost, "packs"),
    ):
        show("fleet", metric, value, unit, **on)
    return arrived and not lost


def run(console: Console) -> bool:
    """Print all figures; whether each could be measured, and nothing was lost."""
    good = True
    for title, part in {
        f"{MANY} nodes": lambda folder: many(folder, console),
        f"{FAST} nodes, fast": lambda folder: fast(folder, console, FAST, FAST_SPEED, FAST_S),
        f"{CITY} nodes, as fast as they can": lambda folder: fast(folder, console, CITY, 3600, FAST_S),
        f"{MONTH_D} days of {CITY} nodes": lambda folder: month(folder, console),
    }.items():
        console.print(f"{title} ...")
        with tempfile.TemporaryDirectory() as folder:
            try:
                good = asyncio.run(part(Path(folder))) and good
            except GanglionError as error:
                console.print(f"{title}: {error}", style="red", markup=False)
                good = False
    return good
