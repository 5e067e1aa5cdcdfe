"""`make bench ARGS=trust`: what it costs that nobody is in who does not belong.

The broker is that of an installation (`gateway.pki.broker`): TLS with certificates on both sides, on EC P-256, access
lists, limits. docs/benchmarks.md tells what each figure means.
"""

import argparse
import asyncio
import os
import resource
import socket
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct
from rich.console import Console

from sim_hardware.city.scenario import Scenario
from sim_hardware.fleet.fleet import Broker, Fleet, Tls, settings
from sim_hardware.fleet.identities import boards
from sim_hardware.secure import City
from sim_hardware.servers import Mosquitto, wait_until
from tests.bench import wire
from tests.bench.meter import cpu_s, rss_mib
from tests.bench.packs import SITE
from tests.bench.result import show
from tests.bench.stand import SETTLE_S, TICK_S, BenchError, Stand, cpu_us, standing

CLIENTS = 4
"""Who shake hands beside each other; the broker does one after another."""
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
START_S, WARM_S = 5.0, 2.0
"""Until a gateway has got going at all, and in each round."""
SPEED = 60.0
BOARDS_S = 120.0
"""Beyond which boards do not get there."""


class Plan(Struct, frozen=True):
    seconds: float = 10.0
    """Of each round, and of handshakes with each version."""
    rounds: int = 5
    """With TLS and without, in turn; 0: that part is left out."""
    nodes: int = 300
    connections: int = 500
    boards: int = 30
    """0: that part is left out."""


class Bench:
    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan, self._say = plan, say

    def handshakes(self, folder: Path) -> None:
        """As many as the broker can, each from nothing to CONNACK: no session is taken up again."""
        city = City(folder)
        own = _identities(city, CLIENTS)
        with city.broker as broker:
            for version, number in VERSIONS.items():
                self._say(f"Handshakes with TLS {version}")
                contexts = [_trust(city, each, number) for each in own]
                link = wire.connect(broker.port, "x", trust=contexts[0])
                assert isinstance(link, ssl.SSLSocket)
                cipher = (link.cipher() or ("none",))[0]
                link.close()
                before = cpu_s(broker.pid)
                count, lasted = _shake(broker.port, contexts, self.plan.seconds)
                used = cpu_s(broker.pid) - before
                on = {"tls": version, "key": "EC P-256", "cipher": cipher, "clients": CLIENTS, "seconds": lasted}
                show("trust", "handshakes_per_second", count / lasted, "handshakes/s", **on)
                show("trust", "handshakes_per_cpu_second", count / max(used, 1e-3), "handshakes/s CPU", **on)

    def connections(self, folder: Path) -> None:
        """Memory of the broker for a connection, in each of the states that it may be in."""
        count = self.plan.connections
        self._say(f"{count} connections in each state")
        city = City(folder / "city", nodes=count)
        contexts = [_trust(city, each, ssl.TLSVersion.TLSv1_2) for each in _identities(city, count + 2)]
        plain = Mosquitto(folder / "plain")
        port = city.broker.port
        for state, broker, connect in (
            ("idle, plain text", plain, lambda n: wire.connect(plain.port, f"node-{n}")),
            ("idle", city.broker, lambda n: wire.connect(port, "x", trust=contexts[n])),
            ("half open", city.broker, lambda n: _half_open(port, contexts[n])),
            ("silent", city.broker, lambda _: socket.create_connection((wire.HOST, port), wire.TURN_S)),
        ):
            # One that nobody has used: memory that is free again would not be seen to be taken. One connection that it
            # has answered, so that those that asked whether it is there are gone before descriptors are counted.
            known = contexts[-1] if broker is city.broker else None
            with broker, wire.connect(broker.port, "first", trust=known):
                kib = _memory_kib(broker, connect, count)
            show("trust", "connection_kib", kib, "KiB", state=state, connections=count)

    def rates(self, folder: Path) -> None:
        """Full load in a closed loop, with TLS and without, by turns. Raises BenchError when a pack is lost."""
        plan = self.plan
        self._say(f"Starting two gateways with {plan.nodes} nodes each: in plain text, and with TLS")
        with ExitStack() as stack:
            stands = {
                tls: stack.enter_context(standing(folder / str(tls), plan.nodes, tls=tls)) for tls in (False, True)
            }
            for each in stands.values():
                list(each.closed(START_S))
            found: dict[bool, list[tuple[float, dict[str, float]]]] = {False: [], True: []}
            for number in range(plan.rounds):
                self._say(f"Round {number + 1} of {plan.rounds}")
                for tls in (False, True) if number % 2 == 0 else (True, False):
                    found[tls].append(_round(stands[tls], plan.seconds))
            for each in stands.values():
                if faults := each.faults(*each.settle()):
                    raise BenchError("; ".join(faults))
        if not all(rate for rounds in found.values() for rate, _ in rounds):
            raise BenchError("nothing was written in a round: make it longer")
        rates = {tls: [rate for rate, _ in rounds] for tls, rounds in found.items()}
        ratios = [secured / plain for plain, secured in zip(rates[False], rates[True], strict=True)]
        on: dict[str, str | int | float] = {"rounds": plan.rounds, "seconds_each": plan.seconds, "nodes": plan.nodes}
        on |= {"plain": statistics.median(rates[False]), "tls": statistics.median(rates[True])}
        on |= {"worst_round": min(ratios), "best_round": max(ratios)}
        for part in ("gateway", "broker", "load"):
            for tls, word in ((False, "plain"), (True, "tls")):
                on[f"{part}_us_{word}"] = statistics.median(costs[part] for _, costs in found[tls])
        show("trust", "tls_rate_ratio", statistics.median(ratios), "x", **on)

    def boards(self, folder: Path) -> None:
        """Memory of an emulated board with TLS, less that of one without."""
        count = self.plan.boards
        self._say(f"{count} emulated boards in plain text, and with TLS")
        city = City(folder / "city", nodes=count)
        with Mosquitto(folder / "broker") as plain, city.broker as secured:
            tls = Tls(city.authority.folder, wire.HOST)
            kib = [
                asyncio.run(_pss_kib(folder / name, where, count))
                for name, where in (
                    ("plain", Broker(wire.HOST, plain.port)),
                    ("tls", Broker(wire.HOST, secured.port, tls=tls)),
                )
            ]
        show("trust", "node_tls_kib", kib[1] - kib[0], "KiB", boards=count, plain_kib=kib[0], tls_kib=kib[1])


def _identities(city: City, count: int) -> list[Path]:
    names = [f"node-{n}" for n in range(count)]
    return list(boards(Tls(city.authority.folder, wire.HOST), SITE, names).values())


def _trust(city: City, own: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    made = wire.trust(city.ca, own)
    made.minimum_version = made.maximum_version = version
    return made


def _shake(port: int, contexts: Sequence[ssl.SSLContext], seconds: float) -> tuple[int, float]:
    """(connections that were accepted, seconds), of one thread for each context. Raises what one of them raised."""
    counts, errors = [0] * len(contexts), list[OSError]()
    began = time.monotonic()

    def client(n: int) -> None:
        try:
            while time.monotonic() < began + seconds:
                link = wire.connect(port, "x", trust=contexts[n])
                counts[n] += 1
                link.sendall(wire.DISCONNECT)
                link.close()
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(len(contexts))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if errors:
        raise BenchError(f"the broker ended a handshake: {errors[0]}") from errors[0]
    return sum(counts), time.monotonic() - began


def _half_open(port: int, context: ssl.SSLContext) -> socket.socket:
    """Who has begun a handshake, has the broker's answer, and says nothing more."""
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(heard, said, server_hostname=wire.HOST)
    link = socket.create_connection((wire.HOST, port), wire.TURN_S)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        link.sendall(said.read())
    wire.take(link, 1)
    return link


def _memory_kib(broker: Mosquitto, connect: Callable[[int], socket.socket], count: int) -> float:
    """By which the broker grows with each of so many connections, after a first one."""
    held = Path(f"/proc/{broker.pid}/fd")
    with ExitStack() as stack:
        stack.enter_context(connect(count))
        before, descriptors = rss_mib(broker.pid), len(os.listdir(held))
        for n in range(count):
            stack.enter_context(connect(n))
        wait_until(lambda: len(os.listdir(held)) >= descriptors + count, wire.TURN_S, "the broker's taking of all")
        return (rss_mib(broker.pid) - before) * 1024 / count


def _round(stand: Stand, seconds: float) -> tuple[float, dict[str, float]]:
    """(packs written a second, us of a processor for each by part); then all that is on its way is waited for."""
    moments = list(stand.closed(WARM_S + seconds))
    first = next(each for each in moments if each.at >= moments[0].at + WARM_S)
    last = moments[-1]
    written = last.packs("written") - first.packs("written")
    deadline = time.monotonic() + SETTLE_S
    while (now := stand.look()).packs("waiting") or now.packs("received") < now.sent:
        if time.monotonic() > deadline:
            raise BenchError(f"of {now.sent} packs {now.packs('written')} are written after {SETTLE_S:g} s")
        time.sleep(TICK_S)
    return written / (last.at - first.at), dict(cpu_us(first, last, written))


async def _pss_kib(folder: Path, where: Broker, nodes: int) -> float:
    """Proportional memory of a board that has sent a few packs."""
    scenario = Scenario(SITE)
    wanted = settings(scenario, where, nodes=nodes, speed=SPEED, duration_s=60, seed=1)
    async with Fleet(folder, wanted, scenario).running() as fleet:

        def sent() -> bool:
            return fleet.counts().connected == nodes and fleet.counts().acked >= 3 * nodes

        await asyncio.to_thread(wait_until, sent, BOARDS_S, f"three packs of each of {nodes} boards")
        found = fleet.pss_kib_per_node()
    assert found
    return found


def run(console: Console, arguments: Sequence[str] = ()) -> bool:
    """Print all figures; whether each could be measured. Raises GanglionError when not."""
    plan = _plan_of(arguments)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the children inherit it
    bench = Bench(plan, lambda text: console.print(f"{text} ...", markup=False))
    parts = [
        bench.handshakes,
        bench.connections,
        *[bench.boards] * (plan.boards > 0),
        *[bench.rates] * (plan.rounds > 0),
    ]
    for part in parts:
        with tempfile.TemporaryDirectory() as folder:
            part(Path(folder))
    return True


def _plan_of(arguments: Sequence[str]) -> Plan:
    options = argparse.ArgumentParser(prog="make bench ARGS=trust", description=__doc__.partition("\n")[0])
    usual = Plan()
    options.add_argument("--seconds", type=float, default=usual.seconds, help="of each round (%(default)s)")
    options.add_argument("--rounds", type=int, default=usual.rounds, help="of full load (%(default)s); 0: none")
    options.add_argument("--nodes", type=int, default=usual.nodes, help="that give the load (%(default)s)")
    options.add_argument("--connections", type=int, default=usual.connections, help="in each state (%(default)s)")
    options.add_argument("--boards", type=int, default=usual.boards, help="that are emulated (%(default)s); 0: none")
    return Plan(**vars(options.parse_args(list(arguments))))
