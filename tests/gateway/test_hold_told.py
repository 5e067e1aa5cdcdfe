"""The gateway tells nodes to hold their packs: while its journal is full, and by its will when it is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import msgspec
import pytest

from gateway import hold
from gateway.config import Mqtt
from gateway.hold import Hold, Pressure
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.outlet import IncidentOutlet
from gateway.records import Incident
from sim_hardware.servers import Mosquitto
from tests.gateway.test_ingest import until

HOLD = "ganglion/v1/riverside/hold"
SITES = ("riverside", "hill")


class Ear:
    """The retained messages below both sites, as they are now."""

    def __init__(self) -> None:
        self.said: dict[str, bytes] = {}

    async def listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            self.said[str(message.topic)] = bytes(message.payload)

    async def hears(self, topic: str, part: bytes) -> bytes:
        """Wait until `part` is in what is retained; empty: until nothing is."""

        async def said() -> bool:
            now = self.said.get(topic)
            return now is not None and (part in now if part else now == b"")

        await until(said)
        return self.said[topic]

    def incidents(self) -> dict[str, Incident]:
        return {
            topic.rpartition("/")[2]: msgspec.json.decode(payload, type=Incident)
            for topic, payload in self.said.items()
            if "/incident/" in topic and payload
        }


@contextlib.asynccontextmanager
async def ear(broker: Mosquitto) -> AsyncIterator[Ear]:
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.subscribe("ganglion/v1/+/hold", qos=1)
        await client.subscribe("ganglion/v1/+/incident/+", qos=1)
        it = Ear()
        listening = asyncio.create_task(it.listen(client))
        yield it
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


@contextlib.asynccontextmanager
async def holding(broker: Mosquitto, journal: JournalAccess) -> AsyncIterator[None]:
    settings = Mqtt("127.0.0.1", broker.port)
    parts = (Hold(settings, SITES, journal), IncidentOutlet(journal, settings, "riverside"))
    tasks = [asyncio.create_task(part.run()) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JournalAccess]:
    for name in ("FULL_SECONDS", "ROOM_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(hold, name, 0.02)
    opened = await JournalAccess.open(tmp_path / "journal", 2**20)
    yield opened
    await opened.close()


@contextlib.asynccontextmanager
async def full(journal: JournalAccess) -> AsyncIterator[None]:
    """The journal has no room, and somebody waits for it."""
    await journal.call(Journal.bound, 0)
    waiting = asyncio.create_task(journal.call(Journal.commit, [], 0.0))
    yield
    await journal.call(Journal.bound, 2**20)
    await waiting


def test_pressure_does_not_flutter() -> None:
    """A moment of fullness is not told, and neither is a moment of room."""
    pressure = Pressure()
    changes = []
    looks = [("full", 0), (None, 3), ("full", 4), ("full", 8), ("full", 9), (None, 10), ("again", 12), (None, 13)]
    for full_, now in [*looks, (None, 22), (None, 23), (None, 60)]:
        if pressure.look(full_, now):
            changes.append((now, pressure.reason))
    assert changes == [(9, "full"), (23, None)]


async def test_nodes_of_every_site_are_told_and_operators_too(broker: Mosquitto, journal: JournalAccess) -> None:
    """While it lasts there is a hold and an open incident, at the broker; afterwards the journal has the incident."""
    async with ear(broker) as heard, holding(broker, journal):
        async with full(journal):
            for site in SITES:
                said = await heard.hears(f"ganglion/v1/{site}/hold", b"max_bytes")
                assert msgspec.json.decode(said)["hold"] is True
            await until(lambda: _number(heard, 2))
            opened = heard.incidents()
            assert {each.site for each in opened.values()} == set(SITES)
            assert {(each.kind, each.closed) for each in opened.values()} == {("journal", None)}
        for site in SITES:
            await heard.hears(f"ganglion/v1/{site}/hold", b"")
        await until(lambda: _number(heard, 0))
        kept = {each.id: each for each in await journal.call(Journal.incidents)}
    assert kept.keys() == opened.keys()
    assert all(each.closed is not None for each in kept.values())


async def test_a_disk_that_is_full_again_is_told_again(broker: Mosquitto, journal: JournalAccess) -> None:
    """Though the end of the first incident cannot be kept yet; it is as soon as there is room."""
    pages = "PRAGMA max_page_count = {}".format

    def limit(each: Journal, number: int) -> None:
        each._db.execute(pages(number))

    async with ear(broker) as heard, holding(broker, journal):
        async with full(journal):
            await heard.hears(HOLD, b"max_bytes")
            await journal.call(_make_writes_large)
            await journal.call(limit, 1)
        await heard.hears(HOLD, b"")
        waiting = asyncio.create_task(journal.call(_fill))
        await heard.hears(HOLD, b"the disk")
        await journal.call(limit, 100_000)
        await waiting
        await until(lambda: _number(heard, 0))
    kept = await journal.call(Journal.incidents)
    assert {each.site for each in kept} == set(SITES)
    assert all(each.closed is not None for each in kept)


def _make_writes_large(journal: Journal) -> None:
    """From now on an incident needs new pages."""
    journal._db.execute("CREATE TABLE filler (page BLOB)")
    journal._db.execute(
        "CREATE TRIGGER large AFTER INSERT ON incidents BEGIN INSERT INTO filler VALUES (zeroblob(100000)); END"
    )


def _fill(journal: Journal) -> None:
    """A write that needs new pages."""
    with journal._transaction():
        journal._db.execute("INSERT INTO filler VALUES (zeroblob(100000))")


async def test_an_incident_that_an_earlier_run_left_is_ended(broker: Mosquitto, journal: JournalAccess) -> None:
    """It died while the disk was full, so only the broker knows of it."""
    async with ear(broker) as heard:
        async with full(journal), holding(broker, journal):
            await heard.hears(HOLD, b"hold")
            await until(lambda: _number(heard, 2))
            left = set(heard.incidents())
        async with holding(broker, journal):
            await heard.hears(HOLD, b"")
            await until(lambda: _number(heard, 0))
    kept = await journal.call(Journal.incidents)
    assert {each.id for each in kept} == left
    assert all(each.closed is not None for each in kept)


async def test_what_is_no_incident_of_ours_is_left_alone(
    broker: Mosquitto, journal: JournalAccess, caplog: pytest.LogCaptureFixture
) -> None:
    """What else is retained there ends nothing, though it comes again with each connection."""
    own = Incident("journal.riverside.7", "journal", "riverside", "", "", "critical", 7, None, "It waits.")
    strange = [
        *(b"{", b'{"id":"\xff"}', b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}"),
        msgspec.json.encode(msgspec.structs.replace(own, site="a\nb")),
        msgspec.json.encode(msgspec.structs.replace(own, kind="burst")),
    ]
    async with ear(broker) as heard:
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            for number, payload in enumerate(strange):
                await client.publish(f"ganglion/v1/riverside/incident/journal.{number}", payload, 1, retain=True)
            topic = f"ganglion/v1/riverside/incident/{own.id}"
            await client.publish(topic, msgspec.json.encode(own), 1, retain=True)
        async with holding(broker, journal):
            await heard.hears(topic, b"")
    assert [each.id for each in await journal.call(Journal.incidents)] == [own.id]
    assert sum("is no incident" in record.message for record in caplog.records) == len(strange)


@pytest.mark.parametrize("comes_back", [False, True])
async def test_a_gateway_that_is_away_has_left_its_will(
    broker: Mosquitto, journal: JournalAccess, monkeypatch: pytest.MonkeyPatch, *, comes_back: bool
) -> None:
    """Also after an orderly end; but not when it comes back in time."""
    monkeypatch.setattr(hold, "AWAY_SECONDS", 2)
    async with ear(broker) as heard:
        async with holding(broker, journal):
            await heard.hears(HOLD, b"")
        heard.said.clear()
        if not comes_back:
            await heard.hears(HOLD, b"is away")
            await heard.hears("ganglion/v1/hill/hold", b"is away")
            async with holding(broker, journal):
                await heard.hears(HOLD, b"")
            return
        async with holding(broker, journal):
            await heard.hears(HOLD, b"")
            # The delay of the first run's will is over when that of a witness is, who left after it.
            witness = hold.Will("ganglion/v1/witness/hold", b"gone", 2)
            async with hold.connect(Mqtt("127.0.0.1", broker.port), "witness", witness):
                pass
            await heard.hears("ganglion/v1/witness/hold", b"gone")
            assert b"away" not in heard.said.get(HOLD, b"")


async def _number(heard: Ear, number: int) -> bool:
    return len(heard.incidents()) == number
