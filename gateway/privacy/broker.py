"""What the broker retains of a node: looked at, and taken back as far as the gateway may write there."""

import msgspec

from gateway.config import Config
from gateway.detect.unnamed import names
from gateway.north.discovery import topic as announcement
from gateway.records import Incident
from gateway.steer.link import connect, retained

_incident = msgspec.json.Decoder(Incident).decode


async def kept(config: Config, site: str, node: str, *, clear: bool = False) -> list[str]:
    """Topics that are retained of it; with `clear` they are taken back first. Raises aiomqtt.MqttError, OSError and
    ConfigError.

    Incidents of others that name it are among them: they are told anew once the journal has them without its name.
    """
    own = [f"ganglion/v1/{site}/{node}/#"]
    if config.north.home_assistant:
        own.append(announcement(config.north.home_assistant_prefix, site, node))
    incidents = f"ganglion/v1/{site}/incident/"
    async with connect(config.mqtt) as client:
        found = await retained(client, [f"{incidents}+", *own])
    topics = [
        topic
        for topic, payload in found.items()
        if payload and (not topic.startswith(incidents) or _is_of(payload, node))
    ]
    if not clear:
        return sorted(topics)
    async with connect(config.mqtt) as client:
        for topic in topics:
            await client.publish(topic, b"", qos=1, retain=True)
    return await kept(config, site, node)


def _is_of(payload: bytes, node: str) -> bool:
    try:
        incident = _incident(payload)
    except msgspec.DecodeError:
        return False  # somebody else's
    return incident.node == node or names(incident, node)
