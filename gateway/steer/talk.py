"""A word with one node: what is wanted of it and what it says to that; a command and its reply."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import aiomqtt
import msgspec
from msgspec import Struct

from gateway.audit.asker import Asker
from gateway.config import Mqtt
from gateway.errors import Refused
from gateway.ingest.decode import decode_status
from gateway.steer.errors import SteerError
from gateway.steer.link import connect, expires, retained
from gateway.steer.wanted import Table, encode, flat

OPS: Final[Mapping[str, str]] = {
    "reboot": "restart; what was measured is kept",
    "identify": "blink for ten seconds",
    "sample": "what the sensors say now",
    "logs": "the newest lines of the node's log",
    "calibrate": "quantity=, offset=, gain=, version=: correct a quantity from now on",
    "time": "what its clock says",
    "update": "try a failed update again",
    "renew": "ask for another certificate now",
}
KEPT_SECONDS: Final = 86_400
"""How long the broker keeps a command for a node that is away. A reboot of last week does no good."""


class Reported(Struct, frozen=True):
    """A node's answer to its wanted configuration."""

    taken: Table = {}
    refused: dict[str, str] = {}
    """Key to reason; the empty key stands for the whole."""


class Standing(Struct, frozen=True):
    """What is wanted of a node, and what it says to that."""

    wanted: Table
    reported: Reported | None
    """None when it has said nothing."""


class Answer(Struct, frozen=True):
    """What came of a command."""

    reply: Table | None
    """None when none came in time."""
    seconds: float
    """There and back."""
    online: bool | None
    """What the broker has of the node's status; None when it has none."""


@contextlib.asynccontextmanager
async def broker(settings: Mqtt) -> AsyncIterator[aiomqtt.Client]:
    """A connection for a command line. Raises SteerError when there is none, or no more."""
    try:
        async with connect(settings) as client:
            yield client
    except (aiomqtt.MqttError, OSError) as error:
        where = f"{settings.host}:{settings.port}"
        raise SteerError(f"the broker at {where} cannot be talked to: {error}") from error


async def standing(settings: Mqtt, site: str, node: str) -> Standing:
    """What is wanted of a node, and its last answer to that. Raises SteerError."""
    async with broker(settings) as client:
        return await _standing(client, site, node)


async def configure(
    settings: Mqtt, site: str, node: str, change: Callable[[Table], Table], wait: float, asker: Asker
) -> Standing:
    """Publish what `change` makes of the wanted configuration, and wait so many seconds for the node's answer to it.

    Raises SteerError, and AuditError where it cannot be written down who wants it.
    """
    root = f"ganglion/v1/{site}/{node}/config"
    async with broker(settings) as client:
        before = (await _standing(client, site, node)).wanted
        wanted = change(before)
        payload = encode(wanted)
        await asker.will("config", f"{site}/{node}", _changes(before, wanted), [payload])
        await client.publish(root, payload, qos=1, retain=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                async for message in client.messages:
                    reported = _report(bytes(message.payload)) if str(message.topic) != root else None
                    if reported is not None and not message.retain and _answers(reported, wanted):
                        return Standing(wanted, reported)
        return Standing(wanted, None)


async def command(
    settings: Mqtt, site: str, node: str, op: str, arguments: Mapping[str, Any], wait: float, asker: Asker
) -> Answer:
    """Give a command and wait so many seconds for its reply. Raises SteerError and AuditError like `configure`."""
    root = f"ganglion/v1/{site}/{node}"
    name = f"cli-{secrets.token_hex(8)}"
    payload = encode({**arguments, "id": name, "op": op})
    async with broker(settings) as client:
        kept = await retained(client, [f"{root}/status", f"{root}/reply"])
        online = _online(kept.get(f"{root}/status", b""))
        loop = asyncio.get_running_loop()
        await asker.will("command", f"{site}/{node}", {"op": op, "id": name, **flat(arguments)}, [payload])
        sent = loop.time()
        await client.publish(f"{root}/command", payload, qos=1, properties=expires(KEPT_SECONDS))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                async for message in client.messages:
                    if str(message.topic) == f"{root}/status":
                        online = _online(bytes(message.payload))
                        continue
                    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                        reply = msgspec.json.decode(bytes(message.payload), type=Table)
                        if reply.get("id") == name:
                            return Answer(reply, loop.time() - sent, online)
    return Answer(None, loop.time() - sent, online)


async def _standing(client: aiomqtt.Client, site: str, node: str) -> Standing:
    root = f"ganglion/v1/{site}/{node}/config"
    kept = await retained(client, [root, f"{root}/reported"])
    wanted = _table(kept.get(root, b""), f"what is wanted of {site}/{node} so far")
    return Standing(wanted, _report(kept.get(f"{root}/reported", b"")))


def _changes(before: Table, wanted: Table) -> Table:
    """Key by key, for the log; what is not wanted any more is null."""
    old, new = flat(before), flat(wanted)
    return {
        key: new.get(key)
        for key in dict.fromkeys([*old, *new])
        if (key in old, old.get(key)) != (key in new, new.get(key))
    }


def _answers(reported: Reported, wanted: Table) -> bool:
    """Not so when the node speaks of an earlier configuration: it says something to each key."""
    return "" in reported.refused or wanted.keys() <= reported.taken.keys() | reported.refused.keys()


def _report(payload: bytes) -> Reported | None:
    try:
        return msgspec.json.decode(payload, type=Reported) if payload else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SteerError(f"the node's answer cannot be read: {error}") from error


def _table(payload: bytes, what: str) -> Table:
    try:
        return msgspec.json.decode(payload, type=Table) if payload else {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SteerError(f"{what} cannot be read: {error}; publish `{{}}` on its topic, retained") from error


def _online(payload: bytes) -> bool | None:
    try:
        return decode_status(payload).online if payload else None
    except Refused:
        return None
