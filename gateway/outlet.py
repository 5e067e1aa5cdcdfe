"""Incidents leave by the broker: retained while open, so that whoever subscribes later sees them too."""

import asyncio
import logging
from typing import Final

import msgspec

from gateway.ingest.receiver import Receiver
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.records import Incident

log = logging.getLogger(__name__)

BATCH: Final = 100
RETRY_SECONDS: Final = 1.0


class IncidentOutlet:
    """Publishes every change of an incident, in order, at least once."""

    def __init__(self, journal: JournalAccess, receiver: Receiver) -> None:
        self._journal = journal
        self._receiver = receiver

    async def run(self) -> None:
        while True:
            changes = await self._journal.call(Journal.incidents_for, "mqtt", BATCH)
            if not changes:
                await self._journal.wait_for_more("mqtt")
            for place, incident in changes:
                try:
                    await self._publish(incident)
                except ConnectionError as error:
                    log.debug("incident %s waits: %s", incident.id, error)
                    await asyncio.sleep(RETRY_SECONDS)
                    break
                await self._journal.call(Journal.incidents_delivered, "mqtt", place)

    async def _publish(self, incident: Incident) -> None:
        topic = f"ganglion/v1/{incident.site}/incident/{incident.id}"
        await self._receiver.publish(topic, msgspec.json.encode(incident), retained=incident.closed is None)
        if incident.closed is not None:
            await self._receiver.publish(topic, b"", retained=True)  # MQTT's way to take back a retained message
