"""`make soak`: a gateway that is killed a thousand times, and whose broker, database, disk, clock and cable fail.

All packs are known beforehand. At the end every one that a broker acknowledged must be in the database, once, with its
own values; the ledger must balance; and the incidents must be those of a second gateway to which nobody did anything.
The seed gives the same order of blows, not the same run: they meet the gateway wherever it happens to be.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gateway import hold
from gateway.errors import GanglionError
from gateway.journal.store import Journal
from gateway.records import Ledger
from sim_hardware.servers import InfluxDB, Mosquitto, wait_until
from tests.bench.harm import HARMS, Blow, HarmedGateway, Harmer, Kind, SmallDisk, plan
from tests.bench.known import KINDS, KnownNode, Load, found
from tests.bench.relay import Relay
from tests.bench.result import show
from tests.gateway.databases import select
from tests.system.gateway_process import GatewayProcess

MAX_BYTES: Final = 8 * 2**20
"""Of the journal: an outage of a minute fills it, and the broker has to hold the rest."""
AGE_S: Final = 90 * 86_400
"""How long ago the packs are from: longer than any run, at a minute of theirs for each round."""
QUIET_S: Final = 240.0
"""Within which all must have arrived: a database that was away is asked again after half a minute at most."""

Event = tuple[str, int, int | None]
"""(id, opened, closed) of an incident."""


class Outcome(Struct, frozen=True):
    packs: int
    """Known packs that the broker has acknowledged."""
    missing: int
    """Of their points, those that the database does not have."""
    wrong: int
    """And those that it has with other values."""
    extra: int
    """Points that were never sent."""
    ledger: Ledger
    incidents: int
    different: list[str]
    """Incidents that are not the same as without harm, in words."""
    died: list[str]
    refused: int
    late: bool
    """Whether not all came to rest in time."""
    done: dict[Kind, int]

    @property
    def faults(self) -> list[str]:
        """What was promised and does not hold, in words."""
        ledger = self.ledger
        left = ledger.received - ledger.written - ledger.waiting - ledger.dead_letters - ledger.duplicates
        told = {
            f"{self.missing} points are missing": self.missing,
            f"{self.wrong} points have wrong values": self.wrong,
            f"{self.extra} points were never sent": self.extra,
            f"the ledger is {left} packs off: {ledger}": left,
            f"{ledger.gaps} sequence numbers are missing": ledger.gaps,
            f"{ledger.dead_letters} good packs are dead letters": ledger.dead_letters,
            f"{ledger.waiting} packs still wait": ledger.waiting,
            f"{ledger.written} packs were counted as written, {self.packs} sent": ledger.written != self.packs,
            f"{len(self.different)} incidents are not as without harm: {self.different[:3]}": self.different,
            f"the gateway ended {len(self.died)} times by itself; first: {''.join(self.died[:1])}": self.died,
            "not all came to rest in time": self.late,
        }
        return [words for words, holds in told.items() if holds]


def soak(
    folder: Path, nodes: int, per_second: float, kills: int, seed: int, without: frozenset[Kind], progress: Progress
) -> Outcome:
    """One run below `folder`."""
    fleet = [KnownNode(number, int(time.time()) // 60 * 60 - AGE_S) for number in range(nodes)]
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(folder / "broker"))
        influx = stack.enter_context(InfluxDB(folder / "influx"))
        disk = None if "disk_full" in without else stack.enter_context(SmallDisk(folder / "gateway/data"))
        relay = Relay(broker.port)
        load = Load(fleet, broker.port, per_second=per_second, relay=relay)
        gateway = HarmedGateway(folder / "gateway", relay, influx.url, "harmed", max_bytes=MAX_BYTES)
        load.start()
        stack.callback(load.end)
        relay.wait_up()
        stack.enter_context(gateway)
        _until_kept(broker)
        load.begin()
        harmer = Harmer(gateway, broker, influx, relay, disk)
        blows = plan(kills, seed, without)
        bar = progress.add_task("blows", total=len(blows))

        def look(blow: Blow) -> None:
            if load.failed is not None:
                raise load.failed
            progress.update(bar, completed=blow.number + 1)

        harmer.run(blows, look)
        harmer.heal()
        progress.console.print("All harm is done. Waiting until all has arrived ...")
        load.finish()
        late = not _comes(load.sent.is_set, gateway)
        packs = sum(count * len(_of(fleet, kind)) for kind, count in zip(KINDS, load.rounds, strict=True))
        late |= not _comes(lambda: _at_rest(gateway.ledger(), packs) and _settled(gateway), gateway)
        progress.console.print(f"{packs} packs. The same once more, to a gateway that is left alone ...")
        wanted = undisturbed(folder / "reference", fleet, load.rounds, influx)
        had = incidents(gateway)
        missing, wrong, extra = compare(influx, "harmed", fleet, load.rounds)
        different = [
            f"{each} is {'missing' if each in wanted else 'too many'}" for each in sorted(had ^ wanted, key=str)
        ]
        return Outcome(
            packs, missing, wrong, extra, gateway.ledger(), len(wanted), different,
            gateway.died, gateway.refused, late, harmer.done,
        )  # fmt: skip


def undisturbed(folder: Path, fleet: Sequence[KnownNode], rounds: Sequence[int], influx: InfluxDB) -> set[Event]:
    """The incidents that the same packs give where nothing happens."""
    packs = sum(count * len(_of(fleet, kind)) for kind, count in zip(KINDS, rounds, strict=True))
    with (
        Mosquitto(folder / "broker") as broker,
        GatewayProcess(folder / "gateway", broker, influx.url, "reference") as gateway,
    ):
        load = Load(fleet, broker.port, rounds=rounds)
        load.start()
        load.begin()
        try:
            wait_until(
                lambda: load.sent.is_set() and _at_rest(gateway.ledger(), packs) and _settled(gateway),
                QUIET_S + packs / 500,
                "rest of the gateway that is left alone",
            )
        finally:
            load.end()
        return incidents(gateway)


def compare(influx: InfluxDB, database: str, fleet: Sequence[KnownNode], rounds: Sequence[int]) -> tuple[int, int, int]:
    """(points missing, wrong, too many) in a database."""
    missing = wrong = extra = 0
    for node in fleet:
        rows = select(influx.url, database, f"SELECT * FROM {node.kind} WHERE node = '{node.name}'")
        have = dict(found(row) for row in rows)
        want = dict(node.points(rounds[KINDS.index(node.kind)]))
        missing += len(want.keys() - have.keys())
        extra += len(have.keys() - want.keys()) + len(rows) - len(have)
        wrong += sum(have[at] != want[at] for at in have.keys() & want.keys())
    for kind in KINDS:
        rows = select(influx.url, database, f"SHOW TAG VALUES FROM {kind} WITH KEY = node")
        extra += len({str(row["value"]) for row in rows} - {node.name for node in fleet})
    return missing, wrong, extra


def incidents(gateway: GatewayProcess) -> set[Event]:
    """Of its journal."""
    journal = gateway.journal()
    try:
        # Without the gateway's own, which tell of the harm itself.
        return {(each.id, each.opened, each.closed) for each in journal.incidents() if each.kind != hold.KIND}
    finally:
        journal.close()


def _settled(gateway: GatewayProcess) -> bool:
    journal: Journal = gateway.journal()
    try:
        return journal.settled()
    finally:
        journal.close()


def _of(fleet: Sequence[KnownNode], kind: str) -> list[KnownNode]:
    return [node for node in fleet if node.kind == kind]


def _at_rest(ledger: Ledger, packs: int) -> bool:
    return ledger.waiting == 0 and ledger.received - ledger.duplicates >= packs


def _until_kept(broker: Mosquitto) -> None:
    """A broker that dies before it has saved the gateway's session the first time knows nobody to keep packs for."""
    database, since = broker.folder / "mosquitto.db", time.time()
    wait_until(lambda: database.exists() and database.stat().st_mtime > since + 0.1, 30, "a first copy of the session")


def _comes(condition: Callable[[], bool], gateway: HarmedGateway) -> bool:
    """Whether it comes in time; who ends by himself is started again meanwhile."""

    def looked() -> bool:
        gateway.look()
        return condition()

    try:
        wait_until(looked, QUIET_S, "rest")
    except TimeoutError:
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """0 when all that is promised held, 1 when something did not, 2 when it could not be tried, 130 at Ctrl-C."""
    options = argparse.ArgumentParser(prog="make soak", description=__doc__.partition("\n")[0])
    options.add_argument("--kills", type=int, default=1000, help="of the gateway; other harm in proportion")
    options.add_argument("--nodes", type=int, default=120)
    options.add_argument("--per-second", type=float, default=4.0, help="packs of each node")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--data", type=Path, help="keep everything of the run below this folder")
    options.add_argument("--without", nargs="*", default=[], choices=HARMS, help="kinds of harm to leave out")
    given = options.parse_args(arguments)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    folder = given.data or Path(tempfile.mkdtemp(prefix="ganglion-soak-"))
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
            found = soak(folder, given.nodes, given.per_second, given.kills, given.seed, frozenset(given.without), bar)
    except KeyboardInterrupt:
        console.print(f"Ended before its time; what there is lies in {folder}", markup=False)
        return 130
    except (GanglionError, TimeoutError) as error:
        console.print(f"{error}; what there is lies in {folder}", style="red", markup=False)
        return 2
    tell(found, nodes=given.nodes, seed=given.seed, packs_per_second=given.nodes * given.per_second)
    for words in found.faults:
        console.print(words, style="red", markup=False)
    if found.faults:
        console.print(f"What there is lies in {folder}", markup=False)
        return 1
    if given.data is None:
        shutil.rmtree(folder)
    return 0


def tell(found: Outcome, **on: str | int | float) -> None:
    """One line a figure."""
    ledger = found.ledger
    harm = {f"harm_{kind}": count for kind, count in found.done.items()}
    left = ledger.received - ledger.written - ledger.waiting - ledger.dead_letters - ledger.duplicates
    for metric, value, unit in (
        ("soak_packs", found.packs, "packs"),
        ("soak_missing", found.missing, "points"),
        ("soak_wrong", found.wrong, "points"),
        ("soak_extra", found.extra, "points"),
        ("soak_gaps", ledger.gaps, "packs"),
        ("soak_unbalanced", abs(left), "packs"),
        ("soak_dead_letters", ledger.dead_letters, "packs"),
        ("soak_waiting", ledger.waiting, "packs"),
        ("soak_duplicates", ledger.duplicates, "packs"),
        ("soak_incidents", found.incidents, "incidents"),
        ("soak_incidents_different", len(found.different), "incidents"),
        ("soak_died", len(found.died), "processes"),
        ("soak_refused", found.refused, "processes"),
    ):
        show("gateway", metric, value, unit, **on, **harm)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # all that was started and mounted ends with us
    sys.exit(main())
