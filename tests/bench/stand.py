"""A gateway as it is installed, between a broker, a database and two thousand nodes: where it is measured.

Everything that is read of the gateway comes from its `/metrics`, whose names are agreed.
"""

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import urllib3
from msgspec import Struct

from gateway.errors import GanglionError
from sim_hardware.fleet.fleet import Tls
from sim_hardware.fleet.identities import boards
from sim_hardware.secure import City
from sim_hardware.servers import InfluxDB, Mosquitto
from tests.bench.load import Load
from tests.bench.meter import cpu_s, figures, rss_mib
from tests.bench.packs import COUNTED, KINDS, LANES, SITE, WINDOW_S, name
from tests.bench.wire import HOST
from tests.gateway.databases import select
from tests.system.gateway_process import GatewayProcess

DATABASE = "bench"
TICK_S = 0.2
ROOM_S = 3.0
"""In a closed loop: how far the database may be behind, in seconds of the rate that is reached."""
LEAST_AHEAD, LEAST_ROOM = 4_000, 30_000
"""Packs that are in the broker, and anywhere before the database, however low the rate is."""
SETTLE_S = 300.0
PAST_S = 400 * 86_400
"""So long ago the packs begin: at a window of a minute each, a thousand million do not come to the present."""


class BenchError(GanglionError):
    """Something is lost, twice, out of order, or did not come in time."""


class Moment(Struct, frozen=True):
    """All counters at one moment."""

    at: float
    cpu_s: dict[str, float]
    """By part."""
    figures: dict[str, float]
    sent: int
    """Packs: half-way between before and after the gateway was asked for its own."""

    def packs(self, which: str) -> int:
        """`received`, `written`, `waiting` ..., as the gateway counts them."""
        return int(self.figures["ganglion_packs_waiting" if which == "waiting" else f"ganglion_packs_{which}_total"])


class Stand:
    """See `standing`."""

    def __init__(
        self,
        folder: Path,
        broker: Mosquitto,
        influx: InfluxDB,
        gateway: GatewayProcess,
        load: Load,
        tick: Callable[[], None],
    ) -> None:
        self.folder, self.broker, self.influx, self.gateway, self.load = folder, broker, influx, gateway, load
        self.rss_mib: list[tuple[float, float]] = []
        """(time, memory of the gateway), at each look."""
        self._tick = tick
        self._rate = 0.0

    def look(self) -> Moment:
        """Raises GanglionError when a part has ended."""
        self.load.check()
        self.broker.check()
        self.influx.check()
        process = self.gateway.process
        if process is None or process.poll() is not None:
            raise BenchError(f"the gateway has ended; its log ends:\n{self.gateway.log[-600:]}")
        sent = self.load.dials["sent"]
        found = figures(self.gateway.get("/metrics")[1])
        if not found:
            raise BenchError("the gateway does not answer at /metrics")
        parts = {"gateway": process.pid, "broker": self.broker.pid, "database": self.influx.pid, "load": self.load.pid}
        now = time.monotonic()
        self.rss_mib.append((now, rss_mib(process.pid)))
        cpu = {part: cpu_s(pid) for part, pid in parts.items() if pid} | {"bench": time.process_time()}
        return Moment(now, cpu, found, int((sent + self.load.dials["sent"]) / 2))

    def watch(self, seconds: float) -> Iterator[Moment]:
        """A look each tick, for so long."""
        end = time.monotonic() + seconds
        while (now := self.look()).at < end:
            yield now
            self._tick()
            time.sleep(TICK_S)

    def closed(self, seconds: float, *, database: bool = True) -> Iterator[Moment]:
        """As fast as the gateway takes packs, and, with `database`, as it gets rid of them.

        A closed loop: nodes send when the broker holds less than a second's packs, and all parts together no more than
        some seconds'. So nothing grows, and the part that is slowest sets the rate, never waiting for the nodes.
        """
        last: Moment | None = None
        for now in self.watch(seconds):
            if last is not None and now.at > last.at:
                reached = (now.packs("received") - last.packs("received")) / (now.at - last.at)
                self._rate += 0.1 * (reached - self._rate)
            last = now
            allowed = now.packs("received") + max(LEAST_AHEAD, self._rate)
            if database:
                done = now.packs("written") + now.packs("dead_letter") + now.packs("duplicate")
                allowed = min(allowed, done + max(LEAST_ROOM, ROOM_S * self._rate))
            self.load.pace(allowed=allowed)
            yield now
        self.load.pace(0.0)

    def settle(self) -> tuple[Moment, list[int]]:
        """End the load, and wait until all of it is written; the packs that each node has acknowledged.

        Raises BenchError when the gateway comes no further.
        """
        packs = self.load.finish()
        last, since = -1, time.monotonic()
        while True:
            now = self.look()
            if now.packs("received") >= sum(packs) and now.packs("waiting") == 0:
                return now, packs
            if now.packs("written") + now.packs("received") != last:
                last, since = now.packs("written") + now.packs("received"), now.at
            if now.at - since > SETTLE_S:
                raise BenchError(
                    f"of {sum(packs)} packs the gateway has received {now.packs('received')} and written "
                    f"{now.packs('written')}, and nothing has moved for {SETTLE_S:g} s"
                )
            self._tick()
            time.sleep(TICK_S)

    def faults(self, now: Moment, packs: list[int]) -> list[str]:
        """What is wrong in the end, in words: of the ledger, and of what each node's packs have become."""
        count = {which: now.packs(which) for which in ("received", "written", "waiting", "dead_letter", "duplicate")}
        found = []
        if count["received"] != count["written"] + count["waiting"] + count["dead_letter"] + count["duplicate"]:
            found.append(f"the ledger does not balance: {count}")
        if count["dead_letter"]:
            found.append(f"{count['dead_letter']} good packs are dead letters")
        if count["written"] != sum(packs):
            found.append(f"{sum(packs)} packs were acknowledged to nodes, {count['written']} are written")
        stored = self.stored()
        wrong = [slot for slot, sent in enumerate(packs) if stored.get(name(slot), 0) != sent * _points(slot)]
        if wrong:
            first = wrong[0]
            found.append(
                f"of {len(wrong)} nodes the database has another number of packs than was acknowledged; "
                f"of {name(first)}: {stored.get(name(first), 0) // _points(first)} of {packs[first]}"
            )
        return found

    def stored(self) -> dict[str, int]:
        """Points of each node that the database has."""
        found = {}
        with urllib3.PoolManager(timeout=SETTLE_S) as pool:
            for kind, quantity in COUNTED.items():
                fields = {"db": DATABASE, "q": f'SELECT count("{quantity}") FROM {kind} GROUP BY node'}
                answer = pool.request("POST", f"{self.influx.url}/query", fields=fields).json()["results"][0]
                for series in answer.get("series", []):
                    found[series["tags"]["node"]] = int(series["values"][0][1])
        return found

    def holes(self, slots: list[int]) -> list[str]:
        """Those of these nodes of which the database has a pack now, and not all before it.

        The rows of one series are what it held at one moment. A hole in them means that a pack was written before an
        older one, or that one is lost.
        """
        found = []
        for slot in slots:
            kind = KINDS[slot % 3]
            lane = " AND channel='lane1'" if kind == "traffic" else ""
            asked = f"SELECT \"{COUNTED[kind]}\" FROM {kind} WHERE node='{name(slot)}'{lane}"
            times = [row["time"] for row in select(self.influx.url, DATABASE, asked)]
            if times != list(range(self.load.start, self.load.start + WINDOW_S * len(times), WINDOW_S)):
                found.append(name(slot))
        return found


def _points(slot: int) -> int:
    return LANES if KINDS[slot % 3] == "traffic" else 1


@contextmanager
def standing(
    folder: Path, nodes: int, tick: Callable[[], None] = lambda: None, *, more: str = "", tls: bool = False
) -> Iterator[Stand]:
    """Broker, database, gateway and nodes, of which nobody has sent anything yet. `tick` is called at each look.

    `more` is further text of the gateway's configuration. With `tls` nodes and gateway speak TLS with the broker of an
    installation, each with a certificate of its own; else in plain text.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the children inherit it
    start = (int(time.time()) - PAST_S) // 3600 * 3600
    with ExitStack() as stack:
        city = City(folder / "secured", nodes=nodes) if tls else None
        if city:
            boards(Tls(city.authority.folder, HOST), SITE, [name(slot) for slot in range(nodes)])
        broker: Mosquitto = stack.enter_context(city.broker if city else Mosquitto(folder / "broker"))
        reached = city.mqtt() if city else f'[mqtt]\nhost = "{HOST}"\nport = {broker.port}\n'
        influx = stack.enter_context(InfluxDB(folder / "influx"))
        gateway = GatewayProcess(folder / "gateway", broker, influx.url, DATABASE)
        gateway.write_config(  # as it is installed: what need not be said is left out
            f'sites = ["{SITE}"]\ndata_dir = "data"\n{reached}'
            f'[influx]\nurl = "{influx.url}"\ndatabase = "{DATABASE}"\n[http]\nlisten = "127.0.0.1:{gateway.port}"\n'
            f"{more}"
        )
        stack.enter_context(gateway)
        pki = city.authority.folder if city else None
        load = stack.enter_context(Load(broker.port, nodes, folder / "load", start, pki))
        yield Stand(folder, broker, influx, gateway, load, tick)


def cpu_us(before: Moment, after: Moment, packs: int) -> Mapping[str, float]:
    """Of each part, us of a processor for each pack."""
    return {part: 1e6 * (s - before.cpu_s.get(part, 0.0)) / max(packs, 1) for part, s in after.cpu_s.items()}
