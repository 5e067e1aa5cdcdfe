"""Incidents on their way to a real broker that comes and goes."""

import asyncio
from pathlib import Path

import aiomqtt
import msgspec
import pytest

from gateway import outlet as module
from gateway.config import Mqtt
from gateway.ingest import receiver
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.outlet import IncidentOutlet
from gateway.records import Incident
from sim_hardware.servers import Mosquitto
from tests.gateway.conftest import NOW
from tests.gateway.receiving import until


def incident(number: int) -> Incident:
    return Incident(f"burst-{number}", "burst", "riverside", "water-1", "", "critical", NOW, None, "much water")


async def test_a_name_that_cannot_be_is_trouble_like_one_that_is_not_known(tmp_path: Path) -> None:
    """It is said, and tried again; the parts of a gateway that speak to the broker end it with their failure."""
    journal = await JournalAccess.open(tmp_path / "journal", 2**20)
    outlet = IncidentOutlet(journal, Mqtt("nowhere..invalid"), "riverside")
    running = asyncio.create_task(outlet.run())

    async def is_said() -> bool:
        assert not running.done(), running
        return outlet._trouble is not None

    try:
        await until(is_said)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await journal.close()


async def test_all_leave_in_order_over_the_death_of_the_broker(
    tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the broker has not acknowledged is kept, and published when it is there again; nothing is passed over."""
    monkeypatch.setattr(receiver, "BROKER_SECONDS", (0.1, 0.5))
    monkeypatch.setattr(module, "BATCH", 3)
    journal = await JournalAccess.open(tmp_path / "journal", 2**20)

    async def delivered() -> bool:
        return not await journal.call(Journal.incidents_for, "mqtt", 1)

    outlet = IncidentOutlet(journal, Mqtt("127.0.0.1", broker.port), "riverside")
    running = asyncio.create_task(outlet.run())
    try:
        await journal.call(Journal.found, 0, [incident(0)])
        await until(delivered)
        broker.kill()

        async def is_noticed() -> bool:
            return outlet._trouble is not None

        await until(is_noticed)  # by itself: there is nothing to publish
        await journal.call(Journal.found, 0, [incident(number) for number in range(1, 10)])
        assert not await delivered()
        broker.start()
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.subscribe("ganglion/v1/riverside/incident/#", qos=1)
            seen: dict[str, None] = {}
            async with asyncio.timeout(60):
                async for message in client.messages:
                    seen[msgspec.json.decode(message.payload, type=Incident).id] = None
                    if len(seen.keys() - {"burst-0"}) == 9:
                        break
        await until(delivered)
        assert [name for name in seen if name != "burst-0"] == [f"burst-{number}" for number in range(1, 10)]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await journal.close()
