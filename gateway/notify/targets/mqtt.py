"""A message on a topic of a broker. Each has a connection of its own: they are few, and none is held open for them."""

import asyncio
from typing import Any, Final

import aiomqtt
from paho.mqtt.client import Client
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.config import Mqtt
from gateway.errors import Lasting, Passing
from gateway.notify.settings import Topic
from gateway.notify.targets.payload import payload
from gateway.notify.told import Told
from gateway.secret import secret_of
from gateway.signing.signer import Signer, with_signature
from gateway.steer.link import connect

SECONDS: Final = 10.0


class MqttTarget:
    def __init__(self, table: Topic, own: Mqtt, signer: Signer | None = None) -> None:
        """`own` is the gateway's broker. Raises ConfigError for a password that is not set."""
        self._topic, self._retained = table.topic, table.retained
        self._broker = own
        self._signer = signer
        if table.host:
            self._broker = Mqtt(
                table.host,
                table.port,
                table.ca,
                table.cert,
                table.key,
                table.username,
                table.password_env,
                table.password_file,
            )
        secret_of(self._broker, "password")

    def deliver(self, told: Told, subject: str, text: str) -> str:
        where = f"{self._broker.host}:{self._broker.port}"
        try:
            asyncio.run(self._publish(payload(told, subject, text)))
        # OSError: files of TLS that cannot be used. UnicodeError: a name that cannot be a host's.
        except (aiomqtt.MqttError, OSError, UnicodeError) as error:
            raise Passing(f"the broker at {where} did not take it: {error}; to do: check it and its rights") from error
        return f"the broker at {where} took it on {self._topic}"

    async def _publish(self, body: bytes) -> None:
        async with asyncio.timeout(SECONDS), connect(self._broker) as client:
            said: list[ReasonCode] = []
            confirm = client._on_publish

            # aiomqtt takes every answer for a yes; a broker says in it, too, that one has no right to a topic.
            def hear(paho: Client, data: Any, mid: int, reason: ReasonCode, properties: Properties) -> None:
                said.append(reason)
                confirm(paho, data, mid, reason, properties)

            client._client.on_publish = hear
            await client.publish(
                self._topic, body, qos=1, retain=self._retained, properties=with_signature(self._signer, body)
            )
            if any(each.is_failure for each in said):
                raise Lasting(
                    f"the broker refuses {self._topic}: {said[0]}; to do: give its user the right to write it"
                )
