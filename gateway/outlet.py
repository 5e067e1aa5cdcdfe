"""Incidents leave by the broker: retained while open, so that whoever subscribes later sees them too."""

import logging
from typing import Final

import aiomqtt
import msgspec

from gateway.config import Mqtt
from gateway.journal.access import JournalAccess
from gateway.journal.store import MQTT, Journal
from gateway.records import Incident
from gateway.signing.signer import Signer, with_signature
from gateway.steer.link import connect, end_if_cancelled, stay_connected, until_one_ends, watch

log = logging.getLogger(__name__)

BATCH: Final = 100


class IncidentOutlet:
    """Publishes every change of an incident, in order, at least once, over a connection of its own: a change counts as
    delivered when the broker has acknowledged it."""

    def __init__(self, journal: JournalAccess, settings: Mqtt, site: str, signer: Signer | None = None) -> None:
        """`site` gives the connection its name."""
        self._signer = signer
        self._journal = journal
        self._settings = settings
        self._name = f"ganglion-outlet-{site}"
        self._trouble: str | None = None

    async def run(self) -> None:
        """Publish, over every loss of the connection."""
        await stay_connected(
            lambda: connect(self._settings, self._name),
            lambda client: until_one_ends(self._deliver(client), watch(client)),
            self._say,
        )

    def _say(self, trouble: str | None) -> None:
        if trouble not in (None, self._trouble):
            log.warning("incidents wait in the journal, the broker does not take them: %s", trouble)
        self._trouble = trouble

    async def _deliver(self, client: aiomqtt.Client) -> None:
        news = self._journal.listen("incidents")
        while True:
            changes = await self._journal.call(Journal.incidents_for, MQTT, BATCH)
            if not changes:
                await news.wait()
            for place, incident in changes:
                if not incident.held:
                    await publish(client, incident, self._signer)
                end_if_cancelled()
                await self._journal.call(Journal.incidents_delivered, MQTT, place)


async def publish(client: aiomqtt.Client, incident: Incident, signer: Signer | None = None) -> None:
    """Returns when the broker has it. Raises aiomqtt.MqttError."""
    payload = msgspec.json.encode(incident)
    signed = with_signature(signer, payload)
    topic = f"ganglion/v1/{incident.site}/incident/{incident.id}"
    await client.publish(topic, payload, qos=1, retain=incident.closed is None, properties=signed)
    if incident.closed is not None:
        await client.publish(topic, b"", qos=1, retain=True)  # MQTT's way to take back a retained message
