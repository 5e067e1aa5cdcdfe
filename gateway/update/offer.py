"""Offers a package to nodes, takes it back, and asks how far they are: retained messages on the broker."""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from gateway.config import Mqtt
from gateway.steer.link import retained
from gateway.steer.talk import broker
from gateway.update.errors import UpdateError
from gateway.update.package import MANIFEST_MAX, Manifest

WITHDRAWN: Final = b"{}"
"""A node that is fetching stops. The empty message that takes a retained one back is not shown to a program."""


class Standing(Struct):
    """How far a node is."""

    site: str
    node: str
    online: bool | None = None
    firmware: str = ""
    """What runs, by the node's birth."""
    wanted: str = ""
    """The version that is offered to it."""
    version: str = ""
    """The version that `state` is about."""
    state: str = ""
    """`fetching`, `ready`, `trial`, `kept`, `rolled_back` or `refused`."""
    reason: str = ""


class _Birth(Struct):
    online: bool
    firmware: str = ""


class _Offered(Struct):
    version: str


class _Reported(Struct):
    version: str
    state: str
    reason: str = ""


async def publish(settings: Mqtt, manifest: Manifest, nodes: Iterable[tuple[str, str]]) -> int:
    """Offer it to (site, node) pairs; their number. Raises UpdateError, SteerError."""
    payload = msgspec.json.encode(manifest)
    if len(payload) > MANIFEST_MAX - 128:  # a node's client counts the topic too
        raise UpdateError(f"the manifest has {len(payload)} bytes, which is more than a node reads: name fewer boards")

    count = 0
    async with broker(settings) as client:
        for site, node in nodes:
            await client.publish(f"ganglion/v1/{site}/{node}/update", payload, qos=1, retain=True)
            count += 1
    return count


async def withdraw(settings: Mqtt, site: str, node: str) -> list[tuple[str, str]]:
    """Take back what is offered to a node, or to all of a site with `+`; to whom anything was. Raises SteerError."""
    async with broker(settings) as client:
        kept = await retained(client, [f"ganglion/v1/{site}/{node}/update"])
        found = [topic for topic, payload in kept.items() if payload]
        for topic in found:
            await client.publish(topic, WITHDRAWN, qos=1)
            await client.publish(topic, b"", qos=1, retain=True)
    return [(topic.split("/")[2], topic.split("/")[3]) for topic in found]


async def standings(settings: Mqtt, sites: Iterable[str]) -> list[Standing]:
    """Of every node that is offered an update or has reported on one. Raises SteerError."""
    levels: dict[str, type[Struct]] = {"update": _Offered, "update/reported": _Reported, "status": _Birth}
    topics = [f"ganglion/v1/{site}/+/{level}" for site in sites for level in levels]
    found: dict[tuple[str, str], Standing] = {}
    async with broker(settings) as client:
        kept = await retained(client, topics)
    for topic, payload in kept.items():
        _, _, site, node, level = topic.split("/", 4)
        try:
            said = msgspec.json.decode(payload, type=levels[level])
        except msgspec.DecodeError:
            continue  # somebody else's idea of it
        standing = found.setdefault((site, node), Standing(site, node))
        match said:
            case _Birth(online, firmware):
                standing.online, standing.firmware = online, firmware or standing.firmware
            case _Offered(version):
                standing.wanted = version
            case _Reported(version, state, reason):
                standing.version, standing.state, standing.reason = version, state, reason
    return [each for _, each in sorted(found.items()) if each.wanted or each.state]
