"""A connection to the broker for what is not telemetry: short-lived, and with what MQTT 5 adds."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from random import Random
from typing import Any, Final, NamedTuple

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.backoff import BROKER_SECONDS, backoff
from gateway.config import Mqtt
from gateway.secret import secret_of

MOST_QUEUED: Final = 20_000
"""Messages received and not looked at yet: the retained ones of a city come all at once. Beyond it they are dropped."""


class Will(NamedTuple):
    """What the broker publishes, retained, for one who has gone and not come back."""

    topic: str
    payload: bytes
    seconds: int
    """How long it waits for him."""


def connect(settings: Mqtt, identifier: str | None = None, will: Will | None = None) -> aiomqtt.Client:
    """To be entered with `async with`; its session ends with it, or when it has a will, with that.

    Raises ConfigError when the password is not set.
    """
    last, session = None, None
    if will is not None:
        delay = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
        delay.WillDelayInterval = will.seconds
        last = aiomqtt.Will(will.topic, will.payload, qos=1, retain=True, properties=delay)
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = will.seconds + 60  # the end of a session would publish its will at once
    tls = aiomqtt.TLSParameters(settings.ca, settings.cert or None, settings.key or None) if settings.ca else None
    client = aiomqtt.Client(
        settings.host,
        settings.port,
        identifier=identifier,
        username=settings.username or None,
        password=secret_of(settings, "password") or None,
        tls_params=tls,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=will is None,  # a clean start would end the session before, and so publish its will
        will=last,
        properties=session,
        max_queued_incoming_messages=MOST_QUEUED,
    )
    if will is not None:
        # An orderly end is one too after which nobody may come back: the will waits for that as well.
        goodbye = ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message")
        client._client.disconnect = partial(client._client.disconnect, reasoncode=goodbye)  # type: ignore[method-assign]
    return client


async def stay_connected(
    make: Callable[[], aiomqtt.Client],
    work: Callable[[aiomqtt.Client], Awaitable[None]],
    say: Callable[[str | None], None],
) -> None:
    """Connect, work until that fails, and again, until cancelled. `say` is told the trouble in words, None at its end.

    Waits longer after each failure in a row.
    """
    dice = Random()
    failures = 0
    while True:
        began = time.monotonic()
        try:
            async with make() as client:
                end_if_cancelled()
                say(None)
                await work(client)
        # OSError: files of TLS that cannot be used any more. UnicodeError: a broker's name that cannot be one.
        except (aiomqtt.MqttError, OSError, UnicodeError) as error:
            say(str(error))
        end_if_cancelled()
        failures = 1 if time.monotonic() - began > BROKER_SECONDS[1] else failures + 1
        await asyncio.sleep(backoff(failures, *BROKER_SECONDS, dice))


async def listen(client: aiomqtt.Client, topics: Iterable[str], qos: int = 1) -> None:
    """Subscribe. Raises aiomqtt.MqttError, also when the broker refuses one of the topics."""
    wanted = [(topic, SubscribeOptions(qos=qos)) for topic in topics]
    for (topic, _), reason in zip(wanted, await client.subscribe(wanted), strict=False):
        if getattr(reason, "is_failure", False):
            raise aiomqtt.MqttError(f"the broker refused to subscribe {topic} ({reason})")


async def retained(client: aiomqtt.Client, topics: Sequence[str]) -> dict[str, bytes]:
    """What the broker keeps on these topics, or has been told there since; by topic. They stay subscribed, at QoS 0.

    It sends what it keeps in answer to a subscription, and deals with one after the other: once it has answered a
    second one, everything of the first has come. At QoS 1 some might still wait for acknowledgements of others.

    Raises aiomqtt.MqttError, also when the broker refuses one of the topics.
    """
    for wanted in (topics, topics[-1:]):
        await listen(client, wanted, qos=0)
    kept = {}
    while len(client.messages):
        message = await anext(client.messages)
        kept[str(message.topic)] = bytes(message.payload)
    return kept


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


async def watch(client: aiomqtt.Client) -> None:
    """Of one who only speaks: nothing comes, but it is noticed when the connection is lost, not with the next word."""
    async for _ in client.messages:
        pass
