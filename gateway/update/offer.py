"""Offers a package to nodes, takes it back, and asks how far they are: retained messages on the broker."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from gateway.audit.asker import Asker
from gateway.audit.entry import JSON
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


async def publish(settings: Mqtt, manifest: Manifest, nodes: Sequence[tuple[str, str]], asker: Asker) -> int:
    """Offer it to (site, node) pairs; their number. Raises UpdateError, SteerError, and AuditError where it cannot be
    written down who offers it."""
    payload = msgspec.json.encode(manifest)
    if len(payload) > MANIFEST_MAX - 128:  # a node's client counts the topic too
        raise UpdateError(f"the manifest has {len(payload)} bytes, which is more than a node reads: name fewer boards")
    said: dict[str, JSON] = {"version": manifest.version, "sha256": manifest.sha256}
    if manifest.by is not None:
        said["delegation"] = manifest.by.serial
    async with broker(settings) as client:
        for site, those in _by_site(nodes).items():
            await asker.will("update.publish", _of(site, those), {**said, "nodes": len(those)}, [payload])
            for node in those:
                await client.publish(f"ganglion/v1/{site}/{node}/update", payload, qos=1, retain=True)
    return len(nodes)


async def withdraw(settings: Mqtt, site: str, node: str, asker: Asker) -> list[tuple[str, str]]:
    """Take back what is offered to a node, or to all of a site with `+`; to whom anything was.

    Raises SteerError and AuditError like `publish`."""
    async with broker(settings) as client:
        kept = await retained(client, [f"ganglion/v1/{site}/{node}/update"])
        found = [topic for topic, payload in kept.items() if payload]
        if found:
            nodes = [topic.split("/")[3] for topic in found]
            await asker.will("update.withdraw", _of(site, nodes), {"nodes": len(nodes)}, [WITHDRAWN, b""])
        for topic in found:
            await client.publish(topic, WITHDRAWN, qos=1)
            await client.publish(topic, b"", qos=1, retain=True)
    return [(topic.split("/")[2], topic.split("/")[3]) for topic in found]


def _by_site(nodes: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for site, node in nodes:
        found.setdefault(site, []).append(node)
    return found


def _of(site: str, nodes: Sequence[str]) -> str:
    """Whom an entry of the audit log is about: a node, or several of a site."""
    return f"{site}/{nodes[0]}" if len(nodes) == 1 else f"{site}/*"


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
