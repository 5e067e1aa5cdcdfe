"""What the operators of a thousand nodes have before them: a gateway with its console, and a month of data."""

import contextlib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import urllib3
from msgspec import Struct, structs

from gateway.detect.plan import Plan, Spot
from gateway.journal.store import Journal
from gateway.quantities import KINDS as CITY_KINDS
from gateway.records import Evidence, Incident
from sim_hardware.city.layout import lay_out
from sim_hardware.city.plan import as_toml, plan_of
from sim_hardware.city.scenario import Scenario, places
from sim_hardware.servers import InfluxDB, Mosquitto, free_port, wait_until
from tests.bench.meter import cpu_s, family
from tests.bench.month import Month, write
from tests.bench.packs import FIRST, KINDS, SITE, VARIETY, birth, name, payload_form, tails
from tests.bench.sender import Sender
from tests.bench.stand import DATABASE, BenchError
from tests.system.gateway_process import GatewayProcess
from tests.system.pages import Pages

OPEN = 12
"""Incidents that are open."""
OFFLINE_EACH = 50
"""One of so many nodes is offline."""
START_S, TAKE_S = 60.0, 120.0


class Seated(Struct, frozen=True):
    gateway: GatewayProcess
    broker: Mosquitto
    influx: InfluxDB
    base: str
    """The console's address."""
    month: Month
    fill_s: float
    """What it took to write the month."""


def settings(port: int) -> str:
    """Of a gateway with a console and a plan, behind its other tables."""
    return f'[detect]\nplan = "plan.toml"\n[console]\nlisten = "127.0.0.1:{port}"\n'


def write_plan(folder: Path, nodes: int) -> None:
    """`plan.toml` in a gateway's folder: a simulated city's, its nodes named as those of the bench's load."""
    where = places(nodes)
    numbers = {kind: iter(range(KINDS.index(kind), nodes + 3, 3)) for kind in CITY_KINDS}
    names = {place.node: name(next(numbers[place.kind])) for place in where}
    plan = plan_of(lay_out(Scenario(SITE), where, np.random.SeedSequence(1)))

    def renamed(these: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names[each] for each in these)

    folder.mkdir(parents=True, exist_ok=True)
    text = as_toml(
        Plan(
            tuple(structs.replace(each, counters=renamed(each.counters)) for each in plan.street),
            tuple(structs.replace(each, nodes=renamed(each.nodes), inlet=renamed(each.inlet)) for each in plan.zone),
            tuple(Spot(names[each.name], each.at) for each in plan.node),
        )
    )
    (folder / "plan.toml").write_text(text)


def incidents(nodes: int, ended: int, now: int) -> list[Incident]:
    """OPEN that are open, and before them so many that have ended, as a city of leaks and jams has them."""
    kinds = {"traffic": "jam", "water": "leak", "air": "smoke"}
    found = []
    for number in range(ended + OPEN):
        slot = (7 * number) % nodes
        kind = KINDS[slot % 3]
        age = 600 * (ended + OPEN - number)
        found.append(
            Incident(
                f"{SITE}-{kinds[kind]}-{name(slot)}-{number}",
                kinds[kind],
                SITE,
                name(slot),
                "",
                "critical" if number % 4 == 0 else "warning",
                now - age,
                now - age + 500 if number < ended else None,
                f"At {name(slot)} it is not as at other times: 41.2 was seen where 12.5 was expected, for 26 minutes.",
                updated=now - age + 400,
                evidence=(Evidence("flow_min", 41.2, 12.5, "l/h", "never below 41.2 l/h for 26 minutes"),),
            )
        )
    return found


def console_pid(gateway: GatewayProcess) -> int:
    """Of the console's process. Raises BenchError when there is none."""
    process = gateway.process
    for pid in family(process.pid)[1:] if process is not None else ():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"console" in words:
            return pid
    raise BenchError(f"the gateway has no console; its log ends:\n{gateway.log[-600:]}")


def wait_for_console(base: str) -> None:
    """Until it answers. Raises TimeoutError."""
    wait_until(Pages(base).there, START_S, "the answer of the console")


@contextmanager
def seated(folder: Path, nodes: int, days: int, fine: int, ended: int) -> Iterator[Seated]:
    """Everything runs: `nodes` nodes were heard, `fine` air stations have a point each minute for `days` days."""
    port = free_port()
    now = int(time.time()) // 60 * 60
    month = Month(nodes, days, now, tuple(range(KINDS.index("air"), nodes, 3))[:fine])
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        influx = stack.enter_context(InfluxDB(folder / "influx"))
        with urllib3.PoolManager() as pool:
            pool.request("POST", f"{influx.url}/query", fields={"q": f"CREATE DATABASE {DATABASE}"})
        fill_s = write(influx.url, DATABASE, month)
        gateway = GatewayProcess(folder / "gateway", broker, influx.url, DATABASE, settings(port))
        write_plan(gateway.folder, nodes)
        journal = Journal.open(gateway.folder / "data", 2**30)
        journal.report(incidents(nodes, ended, now))
        journal.close()
        stack.enter_context(gateway)
        with Sender(broker.port) as sender:
            for slot in range(nodes):
                _hear(sender, slot, now)
            sender.flush()
        gateway.wait_for("the writing of all packs", lambda count: count.written == nodes and not count.waiting, TAKE_S)
        wait_until(lambda: _settled(gateway), TAKE_S, "the telling of all incidents")
        wait_until(lambda: _idle(influx.pid), TAKE_S, "the database's rest")  # it compacts what it was given
        base = f"http://127.0.0.1:{port}"
        wait_for_console(base)
        yield Seated(gateway, broker, influx, base, month, fill_s)


def _settled(gateway: GatewayProcess) -> bool:
    with contextlib.closing(gateway.journal()) as journal:
        return journal.settled()


def _idle(pid: int) -> bool:
    """Whether a process takes next to nothing of a processor, for half a second."""
    before = cpu_s(pid)
    time.sleep(0.5)
    return cpu_s(pid) - before < 0.05


def tell_state(sender: Sender, slot: int, *, online: bool) -> None:
    """A node's birth or will."""
    topic = f"ganglion/v1/{SITE}/{name(slot)}/status".encode()
    sender.send(topic, birth(KINDS[slot % 3]) if online else b'{"online":false}')


def _hear(sender: Sender, slot: int, now: int) -> None:
    """The birth of a node and a pack of this minute; and of some the will."""
    kind = KINDS[slot % 3]
    tell_state(sender, slot, online=True)
    pack = payload_form(slot) % (now, 0, FIRST[kind][1], tails(kind)[slot % VARIETY])
    sender.send(f"ganglion/v1/{SITE}/{name(slot)}/telemetry".encode(), pack)
    if slot % OFFLINE_EACH == 0:
        tell_state(sender, slot, online=False)
