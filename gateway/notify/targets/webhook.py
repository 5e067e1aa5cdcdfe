"""A POST to a machine, signed as of Standard Webhooks 1.0."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Final

from gateway.config import secret
from gateway.notify.settings import Webhook
from gateway.notify.targets.payload import payload
from gateway.notify.targets.post import bearer, post
from gateway.notify.told import Told

PREFIX: Final = "whsec_"


class WebhookTarget:
    def __init__(self, table: Webhook, clock: Callable[[], float] = time.time) -> None:
        """Raises ConfigError for a secret that is not set."""
        self._url = table.url
        self._secret = secret(table.secret_env)
        self._token = secret(table.token_env)
        self._clock = clock

    def deliver(self, told: Told, subject: str, text: str) -> str:
        body = payload(told, subject, text)
        headers = {"Content-Type": "application/json", "Idempotency-Key": f'"{told.key}"', "webhook-id": told.key}
        if self._secret:
            # Of this attempt, not of the message: a receiver refuses what is old as a replay.
            stamp = str(int(self._clock()))
            headers |= {"webhook-timestamp": stamp, "webhook-signature": sign(self._secret, told.key, stamp, body)}
        return post(self._url, body, headers | bearer(self._token))


def sign(secret: str, key: str, stamp: str, body: bytes) -> str:
    """`v1,` and base64 of HMAC-SHA256 over `key.stamp.body`. `secret` is `whsec_` and base64, or any text."""
    digest = hmac.digest(key_bytes(secret), f"{key}.{stamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode("ascii")


def key_bytes(secret: str) -> bytes:
    """The key that a secret stands for."""
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            pass  # no base64: then it is a text that begins so
    return secret.encode()
