"""From a real journal into a real InfluxDB: every pack is written or a dead letter, whatever happens on the way."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.config import Influx
from gateway.detect.detectors import Settings
from gateway.detect.runner import Runner
from gateway.errors import Passing, Poison
from gateway.forward.forwarder import Forwarder
from gateway.forward.influx_v1 import TargetV1
from gateway.forward.patience import Patience
from gateway.forward.target import Target, make_target
from gateway.ingest.decode import decode_pack
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.records import Incident, Ledger, Pack, Reading
from sim_hardware.servers import InfluxDB
from tests.gateway.conftest import NOW, make_pack
from tests.gateway.databases import select

PATIENCE = Patience(first=0.02, most=0.1, lasting=0.1)


@pytest.fixture
async def access(tmp_path: Path) -> AsyncIterator[JournalAccess]:
    """An empty journal, as the gateway uses it."""
    opened = await JournalAccess.open(tmp_path / "journal", 2**26)
    yield opened
    await opened.close()


@asynccontextmanager
async def forwarding(
    access: JournalAccess,
    url: str,
    database: str,
    wrap: Callable[[Target], Target] = lambda target: target,
    **more: int,
) -> AsyncIterator[Forwarder]:
    settings = Influx(url, "v1", database, flush_ms=10, **more)
    forwarder = Forwarder(access, wrap(make_target(settings)), settings, PATIENCE)
    task = asyncio.create_task(forwarder.run())
    yield forwarder
    assert not task.done(), task
    task.cancel()
    await asyncio.wait([task])


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 another process or thread
            await asyncio.sleep(0.01)


async def all_forwarded(access: JournalAccess) -> Ledger:
    """The ledger once nothing waits any more; it must balance."""
    async with asyncio.timeout(20):
        while (ledger := await access.call(Journal.ledger)).waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert ledger.balanced
    return ledger


def times(url: str, database: str) -> list[int]:
    """The packs in the database, by minutes after NOW."""
    return [(row["time"] - NOW) // 60 for row in select(url, database, "SELECT pm2_5 FROM air")]


def strange_pack(seq: int) -> Pack:
    """A pack that `refusing` makes poison: of another measurement, whose field is text in the database."""
    when = NOW + 60 * seq
    return Pack.of("riverside", "water-0001", "event", "water", 1, seq, when, (Reading(when, "", "flow", 1.0),))


@pytest.fixture
def refusing(influx: InfluxDB, influx_db: str) -> str:
    """A database that refuses each `flow` of `water`: the field is text there."""
    TargetV1(Influx(influx.url, "v1", influx_db)).write([b'water flow="text" %d' % NOW])
    return influx_db


async def test_packs_and_incidents_are_written_and_counted(
    access: JournalAccess, influx: InfluxDB, influx_db: str
) -> None:
    """Those that wait when it starts, and those that come later; batches hold `batch_lines` lines."""
    await access.call(Journal.commit, [make_pack(seq) for seq in range(25)], NOW)
    sizes: list[int] = []

    class Sizing(TargetV1):
        def write(self, lines: Sequence[bytes]) -> None:
            sizes.append(len(lines))
            super().write(lines)

    settings = Influx(influx.url, "v1", influx_db)
    async with forwarding(access, influx.url, influx_db, lambda _: Sizing(settings), batch_lines=10) as forwarder:
        assert (await all_forwarded(access)).written == 25
        assert sizes == [10, 10, 5]
        assert forwarder.trouble is None
        await access.call(Journal.commit, [make_pack(25)], NOW)
        assert (await all_forwarded(access)).written == 26
        incident = Incident("i", "burst", "riverside", "water-0001", "", "critical", NOW, NOW + 60, "much")
        await access.call(Journal.found, 26, [incident])
        async with asyncio.timeout(20):
            while await access.call(Journal.incidents_for, "influx", 10):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert len(select(influx.url, influx_db, "SELECT id FROM incident")) == 2
    assert times(influx.url, influx_db) == list(range(26))


async def test_poison_is_isolated_and_the_rest_written(access: JournalAccess, influx: InfluxDB, refusing: str) -> None:
    """The refused packs are dead letters with the server's words, and decode to what they were."""
    poison = {3: strange_pack(3), 40: strange_pack(40), 41: strange_pack(41)}
    await access.call(Journal.commit, [poison.get(seq, make_pack(seq)) for seq in range(60)], NOW)
    async with forwarding(access, influx.url, refusing):
        ledger = await all_forwarded(access)
    assert (ledger.written, ledger.dead_letters) == (57, 3)
    assert times(influx.url, refusing) == [seq for seq in range(60) if seq not in poison]
    letters = [letter for _, letter in await access.call(Journal.dead_letters, 10)]
    assert {letter.reason for letter in letters} == {"influx"}
    assert all("field type conflict" in letter.detail for letter in letters)
    decoded = [decode_pack("riverside", "water-0001", "event", letter.payload, now=2.0 * NOW) for letter in letters]
    assert sorted(decoded, key=lambda pack: pack.seq) == list(poison.values())


async def test_an_outage_while_isolating_condemns_no_good_pack(
    access: JournalAccess, influx: InfluxDB, refusing: str
) -> None:
    """Each third request fails on the way, before or after the database had it."""
    await access.call(Journal.commit, [make_pack(0), strange_pack(1), *map(make_pack, range(2, 20))], NOW)

    class Flaky(TargetV1):
        requests = 0

        def write(self, lines: Sequence[bytes]) -> None:
            self.requests += 1
            if self.requests % 3 == 1:
                raise Passing("cut before")
            try:
                super().write(lines)
            except Poison:
                if self.requests % 3 == 2:
                    raise Passing("cut after") from None
                raise

    settings = Influx(influx.url, "v1", refusing)
    async with forwarding(access, influx.url, refusing, lambda _: Flaky(settings)):
        ledger = await all_forwarded(access)
    assert (ledger.written, ledger.dead_letters) == (19, 1)
    assert times(influx.url, refusing) == [0, *range(2, 20)]


async def test_a_killed_database_delays_and_loses_nothing(access: JournalAccess, tmp_path: Path) -> None:
    """Trouble is told while it lasts; what came meanwhile is written when it is back."""
    with InfluxDB(tmp_path / "influx") as server:
        async with forwarding(access, server.url, "d", batch_lines=50) as forwarder:
            await access.call(Journal.commit, [make_pack(seq) for seq in range(100)], NOW)
            await all_forwarded(access)
            server.kill()
            await access.call(Journal.commit, [make_pack(seq) for seq in range(100, 400)], NOW)
            await until(lambda: "Connection refused" in str(forwarder.trouble))
            assert (await access.call(Journal.ledger)).waiting == 300
            server.start()
            assert (await all_forwarded(access)).written == 400
            assert forwarder.trouble is None
        assert times(server.url, "d") == list(range(400))


async def test_a_dropped_database_is_made_again(access: JournalAccess, influx: InfluxDB, influx_db: str) -> None:
    """It lasts until somebody does something; here the gateway itself can."""
    async with forwarding(access, influx.url, influx_db):
        await access.call(Journal.commit, [make_pack(0)], NOW)
        await all_forwarded(access)
        select(influx.url, influx_db, f"DROP DATABASE {influx_db}")
        await access.call(Journal.commit, [make_pack(1)], NOW)
        await all_forwarded(access)
    assert times(influx.url, influx_db) == [1]


async def test_what_lies_behind_a_spoilt_batch_is_written_without_further_news(
    tmp_path: Path, influx: InfluxDB, influx_db: str
) -> None:
    """Nothing is committed after the start; forwarder and detectors go past it by themselves."""
    folder = tmp_path / "spoilt"
    journal = Journal.open(folder, 2**26)
    for begin in range(0, 50, 10):
        journal.commit([make_pack(seq) for seq in range(begin, begin + 10)], NOW)
    journal._db.execute("UPDATE batches SET checksum = 0 WHERE number IN (2, 4)")
    journal.close()
    access = await JournalAccess.open(folder, 2**26)
    running = asyncio.create_task(Runner(access, Settings()).run())
    try:
        async with forwarding(access, influx.url, influx_db), asyncio.timeout(20):
            while not await access.call(_all_passed):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
        await asyncio.wait([running])
        ledger = await access.call(Journal.ledger)
        await access.close()
    assert (ledger.written, ledger.dead_letters, ledger.balanced) == (30, 20, True)
    assert times(influx.url, influx_db) == [*range(10), *range(20, 30), *range(40, 50)]


def _all_passed(journal: Journal) -> bool:
    return {each.place for each in journal._consumers.values()} == {50}


async def test_a_mirror_that_is_skipped_while_it_writes_goes_on(
    access: JournalAccess, influx: InfluxDB, influx_db: str
) -> None:
    """The journal is full and moves it ahead; it comes back from the database with what it has no place for."""
    await access.call(Journal.mirrors, ["mirror.cloud"])
    await access.call(Journal.commit, [make_pack(seq) for seq in range(10)], NOW)
    held, writing, loop = threading.Event(), asyncio.Event(), asyncio.get_running_loop()

    class Slow(TargetV1):
        def write(self, lines: Sequence[bytes]) -> None:
            loop.call_soon_threadsafe(writing.set)
            held.wait(20)
            super().write(lines)

    settings = Influx(influx.url, "v1", influx_db, flush_ms=10)
    forwarder = Forwarder(access, Slow(settings), settings, PATIENCE, "mirror.cloud")
    running = asyncio.create_task(forwarder.run())
    try:
        async with asyncio.timeout(20):
            await writing.wait()
            await access.call(Journal.detected, 10, b"")
            await access.call(Journal.forwarded, "influx", 10, 10)
            await access.call(Journal.bound, 1)
            await access.call(Journal.commit, [make_pack(10)], NOW)
            held.set()
            while (await access.call(Journal.figures)).mirrors["mirror.cloud"].waiting:
                await asyncio.sleep(0.01)
                assert not running.done(), running
    finally:
        held.set()
        running.cancel()
        await asyncio.wait([running])
    assert times(influx.url, influx_db) == list(range(11))


async def test_what_was_written_but_not_noted_is_written_again_and_is_there_once(
    access: JournalAccess, influx: InfluxDB, influx_db: str
) -> None:
    """A gateway that died between the database's answer and the journal's."""
    await access.call(Journal.commit, [make_pack(seq) for seq in range(30)], NOW)
    written = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Telling(TargetV1):
        def write(self, lines: Sequence[bytes]) -> None:
            super().write(lines)
            loop.call_soon_threadsafe(written.set)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.05), loop).result()  # cancelled in here

    settings = Influx(influx.url, "v1", influx_db)
    async with forwarding(access, influx.url, influx_db, lambda _: Telling(settings)):
        await written.wait()
    assert (await access.call(Journal.ledger)).waiting == 30
    assert times(influx.url, influx_db) == list(range(30))
    async with forwarding(access, influx.url, influx_db):
        assert (await all_forwarded(access)).written == 30
    assert times(influx.url, influx_db) == list(range(30))


def test_the_end_does_not_wait_for_a_database_that_does_not_end_its_answer(tmp_path: Path) -> None:
    """It says one byte after the other; whoever is told to stop meanwhile stops."""
    over, heard = threading.Event(), threading.Event()

    def drip(listener: socket.socket) -> None:
        with listener.accept()[0] as wire, contextlib.suppress(OSError):
            wire.sendall(b"HTTP/1.1 200 Good\r\nContent-Length: 1000000\r\n\r\n")
            heard.set()
            while not over.wait(0.1):
                wire.sendall(b"x")

    async def forward(url: str) -> None:
        access = await JournalAccess.open(tmp_path / "journal", 2**20)
        settings = Influx(url, "v1", "d")
        running = asyncio.create_task(Forwarder(access, make_target(settings), settings, PATIENCE).run())
        await asyncio.to_thread(heard.wait, 20)
        running.cancel()
        await asyncio.wait([running])
        await access.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, args=(listener,))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        running = threading.Thread(target=asyncio.run, args=(forward(url),))
        dripping.start()
        running.start()
        running.join(20)
        ended = not running.is_alive()
        over.set()
        dripping.join()
        running.join()
    assert heard.is_set()
    assert ended
