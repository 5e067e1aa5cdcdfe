"""The steering part on a real broker and a real journal, with stand-ins for nodes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from gateway.config import Mqtt
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.steer import clock, link
from gateway.steer.service import Steer
from sim_hardware.servers import Mosquitto
from tests.gateway.standin import StandIn
from tests.gateway.test_ingest import until

LONGEST_SECONDS = 0.3


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a busy machine made vague is asked again at once, instead of half a minute later."""
    monkeypatch.setattr(clock, "RETRY_SECONDS", (0.5, 2.0))
    monkeypatch.setattr(clock, "LONGEST_SECONDS", LONGEST_SECONDS)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[JournalAccess]:
    access = await JournalAccess.open(tmp_path / "journal", 2**20)
    yield access
    await access.close()


@contextlib.asynccontextmanager
async def steering(broker: Mosquitto, journal: JournalAccess) -> AsyncIterator[Steer]:
    steer = Steer(Mqtt("127.0.0.1", broker.port), ["riverside"], journal)
    running = asyncio.create_task(steer.run())
    try:
        yield steer
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled()


def near_ms(longest_seconds: float) -> float:
    """What a clock may be off that the gateway leaves alone: the middle of a way tells it to half of that, twice."""
    return 1000 * longest_seconds


async def right(node: StandIn) -> None:
    async def as_wanted() -> bool:
        return abs(node.off_ms) <= near_ms(LONGEST_SECONDS) and node.known

    await until(as_wanted)


async def guided(journal: JournalAccess) -> list[str]:
    return [view.node for view in await journal.call(Journal.nodes) if view.guided]


async def test_nodes_without_time_are_told_it(broker: Mosquitto, journal: JournalAccess) -> None:
    """Those that were there before the gateway, and those that come later; those that know it are not asked."""
    old, new = (StandIn(broker.port, f"air-{n}", off_ms=-(10**12), known=False) for n in range(2))
    sure = StandIn(broker.port, "air-2", off_ms=5000)
    async with old.online(), sure.online(), steering(broker, journal):
        await right(old)
        async with new.online():
            await right(new)
    assert sure.commands == []
    asked = [set(command) - {"id", "op"} for command in old.commands]
    assert asked[0] == set(), "a question first"
    # Once more only when an answer was vague.
    assert asked.count({"offset_ms"}) >= 1
    assert asked.count(set()) + asked.count({"offset_ms"}) == len(asked)
    assert await guided(journal) == ["air-0", "air-1"]


async def test_a_new_gateway_goes_on_with_those_it_has_guided(broker: Mosquitto, journal: JournalAccess) -> None:
    """By now they know the time, and their births say so."""
    await journal.call(Journal.guide, [("riverside", "air-0", True), ("elsewhere", "air-1", True)])
    node = StandIn(broker.port, "air-0", off_ms=3000, known=True)
    async with node.online(), steering(broker, journal):
        await right(node)


async def test_what_a_node_reports_of_its_configuration_decides(broker: Mosquitto, journal: JournalAccess) -> None:
    """It has no server: it is asked. It has one: it is left to that. It does not say: so does nobody."""
    nodes = [StandIn(broker.port, f"air-{n}", off_ms=3000, known=True) for n in range(4)]
    await journal.call(Journal.guide, [("riverside", "air-3", True)])
    said = (b'{"taken":{"ntp":null},"refused":{}}', b'{"taken":{},"refused":{}}', b"{", b'{"taken":{"ntp":"pool"}}')
    async with contextlib.AsyncExitStack() as stack:
        for node, payload in zip(nodes, said, strict=True):
            async with aiomqtt.Client("127.0.0.1", broker.port) as client:
                await client.publish(f"{node.root}/config/reported", payload, 1, True)
        await stack.enter_async_context(steering(broker, journal))
        for node in nodes[::-1]:
            await stack.enter_async_context(node.online())
        await right(nodes[0])

        async def released() -> bool:
            return await guided(journal) == ["air-0"]

        await until(released)
    assert nodes[1].commands == nodes[2].commands == nodes[3].commands[1:] == []


async def test_it_survives_the_loss_of_the_broker(
    broker: Mosquitto, journal: JournalAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what makes no sense on its topics."""
    monkeypatch.setattr(link, "BROKER_SECONDS", (0.1, 0.1))
    before, node = (StandIn(broker.port, f"air-{n}", off_ms=-(10**12), known=False) for n in range(2))
    async with steering(broker, journal):
        async with before.online():
            await right(before)
        broker.kill()
        broker.start()
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            for level in ("status", "reply", "config/reported"):
                for payload in (b"", b"\xff", b"[]", b'{"id":5}', b'{"online":1}', b'{"taken":3}'):
                    await client.publish(f"{node.root}/{level}", payload, 1)
        async with node.online():
            await right(node)


async def test_a_correction_is_never_kept_for_a_node_that_is_away(broker: Mosquitto, journal: JournalAccess) -> None:
    """What was asked while it was away is not among what it gets when it comes: it would be another clock by then."""
    node = StandIn(broker.port, "air-0", off_ms=-(10**12), known=False)
    async with node.online():
        pass
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.subscribe(f"{node.root}/command", 1)
        async with steering(broker, journal):
            await client.publish(f"{node.root}/status", node.birth(), 1, True)
            asked = await anext(aiter(client.messages))
    assert asked.qos == 0
    async with aiomqtt.Client(
        "127.0.0.1", broker.port, identifier="riverside/air-0", clean_session=False
    ) as client:  # the session of the node
        await client.publish(f"{node.root}/command", b"{}", 1)
        first = await anext(aiter(client.messages))
    assert bytes(first.payload) == b"{}"


async def test_a_city_at_once(broker: Mosquitto, journal: JournalAccess, monkeypatch: pytest.MonkeyPatch) -> None:
    """More births, which the broker has kept, than are asked at a time: each node is told, and all are remembered."""
    longest = 2.0  # that so many answer makes their ways long
    monkeypatch.setattr(clock, "LONGEST_SECONDS", longest)
    monkeypatch.setattr(clock, "PER_SECOND", 2000)
    names = [f"air-{n:04}" for n in range(5 * clock.OUTSTANDING)]
    clocks = dict.fromkeys(names, -(10**12))
    nodes = {name: StandIn(broker.port, name, off_ms=-(10**12), known=False) for name in names}
    async with aiomqtt.Client("127.0.0.1", broker.port, max_queued_incoming_messages=10_000) as client:
        for node in nodes.values():
            await client.publish(f"{node.root}/status", node.birth(), 1, True)
        await client.subscribe("ganglion/v1/riverside/+/command", 1)

        async def play() -> None:
            async for message in client.messages:
                node = nodes[str(message.topic).split("/")[3]]
                said = json.loads(bytes(message.payload))
                await client.publish(f"{node.root}/reply", json.dumps(node.reply(said)), 0)
                clocks[node.node] = node.off_ms

        playing = asyncio.create_task(play())
        async with steering(broker, journal):

            async def all_right() -> bool:
                return max(map(abs, clocks.values())) <= near_ms(longest)

            await until(all_right)
        playing.cancel()
    assert sorted(await guided(journal)) == names


async def test_it_ends_when_it_is_told_to(broker: Mosquitto, journal: JournalAccess) -> None:
    """At whatever moment: `asyncio.wait_for`, by which the client waits, may lose a cancellation."""
    for number in range(100):
        steer = Steer(Mqtt("127.0.0.1", broker.port), ["riverside"], journal)
        running = asyncio.create_task(steer.run())
        await asyncio.sleep(number * 0.0003)
        running.cancel()
        done, _ = await asyncio.wait({running}, timeout=30)  # the client itself may wait 10 s for its broker
        assert done, "it goes on for ever"


async def test_what_cannot_be_read_ends_nothing(
    broker: Mosquitto, journal: JournalAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any node may send it, retained too, and the part's failure would be the gateway's."""
    monkeypatch.setattr(clock, "TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(clock, "RETRY_SECONDS", (0.1, 0.1))
    deep = b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}"
    async with steering(broker, journal), aiomqtt.Client("127.0.0.1", broker.port) as client:
        for level in ("status", "reply", "config/reported"):
            for payload in (b"{", deep, b'{"id":"\xff"}', b'{"taken":' + deep + b"}"):
                await client.publish(f"ganglion/v1/riverside/odd/{level}", payload, qos=1, retain=True)
        await client.subscribe("ganglion/v1/riverside/clock/command")
        await client.publish("ganglion/v1/riverside/clock/status", b'{"online":true,"clock":false}', qos=1)
        for _ in range(3):  # asked once more after an answer that cannot be
            async with asyncio.timeout(60):
                command = json.loads((await anext(client.messages)).payload)
            answer = {"id": command["id"], "ok": True, "unix_ms": 10**400, "known": False}
            await client.publish("ganglion/v1/riverside/clock/reply", json.dumps(answer), qos=1)
