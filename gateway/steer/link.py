"""A connection to the broker for what is not telemetry: short-lived, and with what MQTT 5 adds."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.config import Mqtt, secret

MOST_QUEUED: Final = 20_000
"""Messages received and not looked at yet: the retained ones of a city come all at once. Beyond it they are dropped."""


def connect(settings: Mqtt, identifier: str | None = None) -> aiomqtt.Client:
    """To be entered with `async with`; its session ends with it. Raises ConfigError when the password is not set."""
    tls = aiomqtt.TLSParameters(settings.ca, settings.cert or None, settings.key or None) if settings.ca else None
    return aiomqtt.Client(
        settings.host,
        settings.port,
        identifier=identifier,
        username=settings.username or None,
        password=secret(settings.password_env) or None,
        tls_params=tls,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=True,
        max_queued_incoming_messages=MOST_QUEUED,
    )


async def listen(client: aiomqtt.Client, topics: Iterable[str], qos: int = 1) -> None:
    """Subscribe. Raises aiomqtt.MqttError, also when the broker refuses one of the topics."""
    wanted = [(topic, SubscribeOptions(qos=qos)) for topic in topics]
    for (topic, _), reason in zip(wanted, await client.subscribe(wanted), strict=False):
        if getattr(reason, "is_failure", False):
            raise aiomqtt.MqttError(f"the broker refused to subscribe {topic} ({reason})")


def end_if_cancelled() -> None:
    """Raise CancelledError in a task that was told to end. Call it after each wait of the client's.

    It waits by `asyncio.wait_for`, which, before Python 3.12, loses a cancellation that comes together with what it
    waits for: the task would go on for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends or fails, which ends the others.

    Not a TaskGroup: before Python 3.12 that leaves a task looking cancelled when one of its children has failed.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def expires(seconds: float) -> Properties:
    """Of a message that is to be forgotten by the broker when it could not be delivered for so long."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = max(1, round(seconds))
    return properties
