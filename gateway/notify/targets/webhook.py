"""A POST to a machine, signed as of Standard Webhooks 1.0."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Final

from gateway.cap.message import MEDIA_TYPE
from gateway.notify.settings import Webhook
from gateway.notify.targets.payload import payload
from gateway.notify.targets.post import bearer, post
from gateway.notify.told import Told, key_of
from gateway.records import Incident
from gateway.secret import secret_of
from gateway.signing.signer import HEADER, Signer

PREFIX: Final = "whsec_"
Document = Callable[[Incident | None], bytes]
"""Makes the newest CAP document of an incident; of none: one that says that it is a test."""


class WebhookTarget:
    def __init__(
        self,
        table: Webhook,
        cap: Document,
        signer: Signer | None = None,
    ) -> None:
        """`cap` is for tables of that format. Raises ConfigError for a secret that is not set."""
        self._cap = cap if table.format == "cap" else None
        self._url = table.url
        self._secret = secret_of(table, "secret")
        self._token = secret_of(table, "token")
        self._signer = signer

    def deliver(self, told: Told, subject: str, text: str) -> str:
        if self._cap is None:
            return self._post(told.key, "application/json", payload(told, subject, text))
        if not told.incidents:
            return self._post(told.key, MEDIA_TYPE, self._cap(None))
        # A document is of one incident: those of a digest go one after the other, each with a key of its own.
        one = len(told.incidents) == 1
        said = [
            self._post(told.key if one else key_of(told.key, each.id), MEDIA_TYPE, self._cap(each))
            for each in told.incidents
        ]
        return said[-1]

    def _post(self, key: str, kind: str, body: bytes) -> str:
        headers = {"Content-Type": kind, "Idempotency-Key": f'"{key}"', "webhook-id": key}
        if self._secret:
            # Of this attempt, not of the message: a receiver refuses what is old as a replay.
            stamp = str(int(time.time()))
            headers |= {"webhook-timestamp": stamp, "webhook-signature": sign(self._secret, key, stamp, body)}
        if self._signer is not None:
            headers[HEADER] = self._signer.jws(body)
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
