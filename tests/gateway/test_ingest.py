"""Receiver and pipeline on a real broker and a real journal, in this process."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from gateway.config import Mqtt
from gateway.ingest import receiver as receiver_module
from gateway.ingest.pipeline import Pipeline
from gateway.ingest.receiver import Receiver
from gateway.journal.access import JournalAccess
from gateway.journal.store import DATABASE, Journal
from gateway.outlet import IncidentOutlet
from gateway.records import Incident, Ledger
from sim_hardware.servers import Mosquitto
from tests.gateway.conftest import NOW, merged, payload_of
from tests.gateway.receiving import SECONDS, trouble, until

TOPIC = "ganglion/v1/riverside/air-0007/telemetry"


class Bench:
    """A journal with a receiver and a pipeline that can be stopped and started anew."""

    def __init__(self, broker: Mosquitto, journal: JournalAccess) -> None:
        self.journal = journal
        self.acknowledged = 0
        self.settings = Mqtt(host="127.0.0.1", port=broker.port)

    @contextlib.asynccontextmanager
    async def gateway(
        self, *, sites: tuple[str, ...] = ("riverside",), retired: tuple[str, ...] = ()
    ) -> AsyncIterator[Receiver]:
        receiver = Receiver(self.settings, sites, retired)
        pipeline = Pipeline(receiver, self.journal, self._observe)
        tasks = [asyncio.create_task(part.run()) for part in (receiver, pipeline)]
        try:
            await trouble(receiver, None)
            yield receiver
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5 if self.journal.full else SECONDS):
                    await pipeline.drain()
            await receiver.stop()

    def _observe(self, seconds: float, messages: int) -> None:
        self.acknowledged += messages

    async def received(self, number: int) -> Ledger:
        async def enough() -> Ledger | None:
            ledger = await self.journal.call(Journal.ledger)
            return ledger if ledger.received >= number else None

        return await until(enough)

    async def pass_all(self) -> None:
        """What forwarder and detectors would do."""
        place, packs, more = await self.journal.call(Journal.read, DATABASE, 10_000)
        if more:
            await self.journal.call(Journal.detected, place, b"")
            await self.journal.call(Journal.forwarded, DATABASE, place, len(packs))


async def full(bench: Bench, *, is_full: bool = True) -> None:
    async def as_wanted() -> bool:
        return bool(bench.journal.full) == is_full

    await until(as_wanted)


async def publish(bench: Bench, *messages: tuple[str, bytes], retain: bool = False) -> None:
    async with aiomqtt.Client("127.0.0.1", bench.settings.port) as client:
        for topic, payload in messages:
            await client.publish(topic, payload, qos=1, retain=retain)


@pytest.fixture
async def bench(broker: Mosquitto, tmp_path: Path) -> AsyncIterator[Bench]:
    journal = await JournalAccess.open(tmp_path / "journal", 2**20)
    yield Bench(broker, journal)
    await journal.close()


async def test_what_was_acknowledged_does_not_come_again(bench: Bench) -> None:
    """PUBACKs reach the broker: the next connection of the session starts with what is new."""
    async with bench.gateway():
        await publish(bench, *((TOPIC, payload_of(seq)) for seq in range(50)))
        await bench.received(50)
    await publish(bench, (TOPIC, payload_of(50)))
    async with bench.gateway():
        await bench.received(51)
    assert await bench.journal.call(Journal.ledger) == Ledger(51, 0, 51, 0, 0, 0)


async def test_a_full_journal_acknowledges_nothing_until_it_has_room(bench: Bench) -> None:
    """The broker holds what has no room; it is taken as soon as there is, by itself."""
    await bench.journal.call(Journal.bound, 1)
    async with bench.gateway():
        await publish(bench, (TOPIC, payload_of(0)))
        await bench.received(1)
        await publish(bench, *((TOPIC, payload_of(seq)) for seq in (1, 2, 3)))
        await full(bench)
        assert (await bench.journal.call(Journal.ledger)).received == 1
    # A new gateway over the same session is given them again: they were not acknowledged.
    async with bench.gateway():
        await full(bench)

        async def all_passed() -> bool:
            await bench.pass_all()
            return (await bench.journal.call(Journal.ledger)).written == 4

        await until(all_passed)
        assert await bench.journal.call(Journal.ledger) == Ledger(4, 4, 0, 0, 0, 0)
        await full(bench, is_full=False)


async def test_bad_input_is_buried_and_its_neighbours_are_taken(bench: Bench) -> None:
    """In the middle of good packs, in one batch or not."""
    bad = [
        (TOPIC, b"{", "json"),
        ("ganglion/v1/riverside/Air_7/telemetry", payload_of(1), "topic"),
        ("ganglion/v1/riverside/air-0008/telemetry", payload_of(1), "identity"),
        (TOPIC, b"x" * 5000, "size"),
        ("ganglion/v1/riverside/air-0007/status", b"[]", "status"),
    ]
    async with bench.gateway():
        for seq, (topic, payload, _) in enumerate(bad):
            await publish(bench, (TOPIC, payload_of(seq)), (topic, payload))
        await publish(bench, (TOPIC, payload_of(len(bad))))
        ledger = await bench.received(11)
    letters = [letter for _, letter in reversed(await bench.journal.call(Journal.dead_letters, 99))]
    assert [(letter.topic, letter.payload, letter.reason) for letter in letters] == bad
    assert (ledger.waiting, ledger.dead_letters, ledger.gaps) == (6, 5, 0)


async def test_a_topic_without_end_is_kept_by_its_beginning(bench: Bench) -> None:
    """Dead letters are bounded by their payloads, and a topic may be longer than all of those."""
    topic = f"ganglion/v1/riverside/{'x' * 30_000}/telemetry"
    async with bench.gateway():
        await publish(bench, (topic, b"[]"))
        await bench.received(1)
    ((_, letter),) = await bench.journal.call(Journal.dead_letters, 9)
    assert (letter.reason, letter.payload) == ("topic", b"[]")
    assert topic.startswith(letter.topic)
    assert len(letter.topic) + len(letter.detail) < 2000


async def test_a_message_of_several_packs_is_several_packs(bench: Bench) -> None:
    """Each is counted, known when it comes again in another message, and refused alone; the bad one's part is kept."""
    spoilt = payload_of(2).replace(b"12.5", b"-1")
    async with bench.gateway():
        await publish(bench, (TOPIC, merged(payload_of(0), payload_of(1), spoilt, payload_of(3))))
        await bench.received(4)
        await publish(bench, (TOPIC, merged(payload_of(3), payload_of(4))), (TOPIC, payload_of(1)))
        ledger = await bench.received(7)
    assert ledger == Ledger(received=7, written=0, waiting=4, dead_letters=1, duplicates=2, gaps=1)
    ((_, letter),) = await bench.journal.call(Journal.dead_letters, 9)
    assert (letter.reason, json.loads(letter.payload)) == ("value", json.loads(spoilt))
    assert [pack.seq for pack in (await bench.journal.call(Journal.read, DATABASE, 9)).packs] == [0, 1, 3, 4]


async def test_a_message_is_acknowledged_when_all_of_its_packs_are_on_disk(bench: Bench) -> None:
    """Before that it is the broker's, whole; afterwards it does not come again."""
    await bench.journal.call(Journal.bound, 0)
    packs = [payload_of(seq) for seq in range(8)]
    async with bench.gateway():
        await publish(bench, (TOPIC, merged(*packs)))
        await full(bench)
    assert (await bench.journal.call(Journal.ledger)).received == 0
    await bench.journal.call(Journal.bound, 2**20)
    async with bench.gateway():
        await bench.received(8)
    async with bench.gateway():
        await publish(bench, (TOPIC, payload_of(8)))
        ledger = await bench.received(9)
    assert (ledger.waiting, ledger.duplicates) == (9, 0)


async def test_a_retained_message_gives_its_good_packs(bench: Bench) -> None:
    """And no dead letters, however often it comes."""
    await publish(bench, (TOPIC, merged(payload_of(0), payload_of(1).replace(b"12.5", b"-1"))), retain=True)
    for _ in range(2):
        async with bench.gateway():
            await publish(bench, (TOPIC, payload_of(2)))
            await bench.received(2)
    ledger = await bench.journal.call(Journal.ledger)
    assert (ledger.waiting, ledger.dead_letters) == (2, 0)


async def test_who_gives_up_waiting_takes_the_alarm_along(bench: Bench) -> None:
    """A call that is cancelled while the journal is full leaves no trouble behind that nobody would ever clear."""
    await bench.journal.call(Journal.bound, 0)
    waiting = asyncio.create_task(bench.journal.call(Journal.commit, [], 0.0))
    await full(bench)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert bench.journal.full is None


async def test_who_finds_room_does_not_speak_for_the_others(bench: Bench) -> None:
    """Of two calls that wait, one ends. The journal is still full for the other, at every moment."""
    await bench.journal.call(Journal.bound, 0)
    waiting = [asyncio.create_task(bench.journal.call(Journal.commit, [], 0.0)) for _ in range(2)]
    await until(lambda: _waiting(bench, 2))
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    assert bench.journal.full is not None
    await bench.journal.call(Journal.bound, 1)
    await waiting[1]
    assert bench.journal.full is None


async def _waiting(bench: Bench, number: int) -> bool:
    return len(bench.journal._waiting) == number


async def test_the_broker_is_killed_with_messages_in_hand(
    bench: Bench, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was received over the old connection is not acknowledged over the new one, and nothing is lost."""
    monkeypatch.setattr(receiver_module, "BROKER_SECONDS", (1, 1))
    await bench.journal.call(Journal.bound, 1)
    async with bench.gateway() as receiver:
        await publish(bench, (TOPIC, payload_of(0)))
        await bench.received(1)
        await publish(bench, *((TOPIC, payload_of(seq)) for seq in range(1, 20)))
        await full(bench)
        broker.stop()  # orderly, so that it keeps its queue
        await trouble(receiver, "lost")
        broker.start()
        await trouble(receiver, None)
        # While the first batch waits, the broker sends all of it again. Only then is there room.
        await publish(bench, *((TOPIC, payload_of(seq)) for seq in range(20, 30)))
        await bench.journal.call(Journal.bound, 2**20)
        await full(bench, is_full=False)
        ledger = await bench.received(30)
        while ledger.waiting < 30:
            ledger = await bench.received(ledger.received + 1)
    assert (ledger.waiting, ledger.gaps, ledger.balanced) == (30, 0, True)
    async with bench.gateway():
        await publish(bench, (TOPIC, payload_of(30)))
        last = await bench.received(ledger.received + 1)
    assert last.duplicates == ledger.duplicates, "the broker still held what was acknowledged"


async def test_births_and_wills_make_the_registry(bench: Bench) -> None:
    """A retained birth from before the gateway tells the kind of a pack that leaves it open; it may be cleared."""
    status = "ganglion/v1/riverside/water-1/status"
    await publish(bench, (status, b'{"online":true,"kind":"water","firmware":"0.1"}'), retain=True)
    tamper = payload_of(0, node="water-1").replace(
        b'"n": "pm2_5", "u": "ug/m3", "v": 12.5', b'"n": "tamper", "vb": true'
    )
    async with bench.gateway():
        await publish(bench, ("ganglion/v1/riverside/water-1/event", tamper))
        await bench.received(1)
        (pack,) = (await bench.journal.call(Journal.read, DATABASE, 9)).packs
        assert (pack.measurement, pack.stream) == ("water", "event")
        await publish(bench, (status, b'{"online":false}'), (status, b""))

        async def gone() -> bool:
            return (await bench.journal.call(Journal.nodes))[0].online is False

        await until(gone)
    (node,) = await bench.journal.call(Journal.nodes)
    assert (node.kind, node.firmware, node.packs) == ("water", "0.1", 1)


async def test_a_retired_site_is_no_longer_listened_to(bench: Bench) -> None:
    """A session remembers its subscriptions; what the configuration no longer has is taken back."""
    async with bench.gateway(sites=("riverside", "hill")):
        pass
    async with bench.gateway(retired=("hill",)):
        hill = payload_of(0).replace(b"riverside/", b"hill/")
        await publish(bench, ("ganglion/v1/hill/air-0007/telemetry", hill), (TOPIC, payload_of(0)))
        await bench.received(1)
    assert [view.site for view in await bench.journal.call(Journal.nodes)] == ["riverside"]


async def test_a_refused_password_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not covered up by the closed connection that follows."""
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    monkeypatch.setenv("PASSWORD", "wrong")
    with Mosquitto(tmp_path / "broker", settings=f"allow_anonymous false\npassword_file {passwords}") as broker:
        receiver = Receiver(Mqtt("127.0.0.1", broker.port, username="gateway", password_env="PASSWORD"), ["riverside"])
        running = asyncio.create_task(receiver.run())
        assert "not authorized" in await trouble(receiver, "refused")
        running.cancel()
        await receiver.stop()


async def test_an_incident_is_retained_while_it_is_open(bench: Bench) -> None:
    """Who subscribes later sees what is open, and only that; each change is told once."""
    seen: list[tuple[bytes, bool]] = []
    opened = Incident("burst-1", "burst", "riverside", "water-1", "", "critical", NOW, None, "much water")
    topic = "ganglion/v1/riverside/incident/burst-1"
    async with aiomqtt.Client("127.0.0.1", bench.settings.port) as client:
        outlet = asyncio.create_task(IncidentOutlet(bench.journal, bench.settings, "riverside").run())
        await bench.journal.call(Journal.found, 0, [opened])

        async def delivered() -> bool:
            return not await bench.journal.call(Journal.incidents_for, "mqtt", 1)

        await until(delivered)
        async with asyncio.timeout(SECONDS):
            await client.subscribe(topic, qos=1)
            async for message in client.messages:
                seen.append((bytes(message.payload), message.retain))
                if len(seen) == 1:
                    closed = Incident("burst-1", "burst", "riverside", "water-1", "", "critical", NOW, NOW + 60, "over")
                    await bench.journal.call(Journal.found, 0, [closed])
                if len(seen) == 3:
                    break
        outlet.cancel()
    assert [(b'"closed":null' in payload, retained) for payload, retained in seen] == [
        (True, True),
        (False, False),
        (False, False),
    ]
    assert seen[2][0] == b"", "the retained message was not taken back"
