"""Modelled nodes of a site that is held, over a real broker: they wait, and nothing is lost or sent twice."""

import asyncio
import json
from pathlib import Path

import pytest

from sim_hardware.fleet.line import holds
from sim_hardware.fleet.modelled import Modelled
from sim_hardware.servers import Mosquitto
from tests.firmware.peers import Subscriber
from tests.system.test_modelled import NODES, Ear, acked, city, listening, stood_still, until

HOLD = "ganglion/v1/riverside/hold"
HELD = b'{"hold":true,"reason":"the journal is full"}'


def say(broker: Mosquitto, payload: bytes) -> None:
    with Subscriber(broker.port, "nothing") as gateway:
        gateway.publish(HOLD, payload, retain=True)


def keys(ear: Ear) -> list[tuple[str, int, int]]:
    """(node, boot, seq) of all packs as they came: a modelled node has one in a message."""
    found = []
    for topic, payload in ear.messages:
        if not topic.endswith("/status"):
            boot, seq = json.loads(payload)[:2]
            found.append((topic.split("/")[3], boot["v"], seq["v"]))
    return found


async def all_heard(fleet: Modelled, ear: Ear) -> None:
    """Each pack that was acknowledged has been heard."""
    await until(lambda: len(set(keys(ear))) >= fleet.counts().acked, "what was acknowledged")


def whole(ear: Ear, *, again: bool = False) -> None:
    """Every number of every node up to its highest, in order; and once, if nothing had to go again."""
    found = keys(ear)
    assert again or len(found) == len(set(found))
    for node in {each for each, _, _ in found}:
        seqs = list(dict.fromkeys(seq for name, _, seq in found if name == node))
        assert seqs == list(range(len(seqs))), node


async def test_a_hold_stops_the_city(tmp_path: Path, broker: Mosquitto) -> None:
    """What is under way arrives; then no pack leaves until the hold is taken back."""
    with listening(broker) as ear:
        async with city(tmp_path / "fleet", broker) as fleet:
            await acked(fleet, 3_000)
            await asyncio.to_thread(say, broker, HELD)
            lived = await stood_still(fleet)
            before = fleet.counts()
            assert before.connected == before.nodes
            assert before.waiting <= 3 * before.nodes, "more than a step's: window, health, and an event"
            await asyncio.to_thread(say, broker, b'{"hold":true}')
            assert await stood_still(fleet) == lived
            assert fleet.counts().acked == before.acked
            assert not fleet.behind(), "it waits, and is not slow"
            await asyncio.to_thread(say, broker, b"")
            await acked(fleet, 3_000)
        await all_heard(fleet, ear)
        whole(ear)


async def test_a_city_that_begins_while_held(tmp_path: Path, broker: Mosquitto) -> None:
    """All births go out, and at the end all wills; but no pack before the hold is taken back."""
    await asyncio.to_thread(say, broker, HELD)
    with listening(broker) as ear:
        async with city(tmp_path / "held", broker, NODES) as fleet:
            await until(lambda: sum(ear.online().values()) == NODES, "the births")
            await stood_still(fleet)
            assert not ear.packs()
            await asyncio.to_thread(say, broker, b"no JSON")
            await acked(fleet, 300)
        await all_heard(fleet, ear)
        await until(lambda: not any(ear.online().values()), "the wills")
        whole(ear)


async def test_a_broker_that_starts_again_while_held(tmp_path: Path, broker: Mosquitto) -> None:
    """What only just was acknowledged may be lost with a broker, and goes again; but not before the hold ends."""
    with listening(broker) as ear:
        async with city(tmp_path / "fleet", broker) as fleet:
            await acked(fleet, 3_000)
            await asyncio.to_thread(say, broker, HELD)
            await stood_still(fleet)
            await asyncio.to_thread(broker.stop)
            await until(lambda: not fleet.counts().connected, "the loss of the broker")
            await asyncio.to_thread(broker.start)
            await until(lambda: fleet.counts().connected == fleet.settings.nodes, "the connections")
            heard = len(ear.messages)
            lived = await stood_still(fleet)
            assert len(ear.messages) == heard
            await asyncio.to_thread(say, broker, b"")
            await acked(fleet, 3_000)
            assert fleet.lived_s() > lived
        await all_heard(fleet, ear)
        whole(ear, again=True)


@pytest.mark.parametrize(
    "payload", [b"", b"no JSON", b"[true]", b"true", b"{}", b'{"hold":1}', b'{"hold":"true"}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_hold(payload: bytes) -> None:
    assert holds(HELD)
    assert not holds(payload)
