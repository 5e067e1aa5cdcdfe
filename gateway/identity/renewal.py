"""The part of the gateway that renews the nodes' certificates, over the broker.

A node shows the certificate it has, asks for one with a new key, and proves by the old key that it may. It has a
connection of its own, and one request under way for each node: nobody who asks often holds up another.
"""

import asyncio
import binascii
import logging
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import aiomqtt
import msgspec
from msgspec import Meta, Struct

from gateway.buckets import Buckets
from gateway.config import Mqtt
from gateway.errors import ConfigError
from gateway.identity.issuer import Issued, Issuer, fingerprint, given, proven, requested
from gateway.identity.store import Store
from gateway.pki.authority import PkiError
from gateway.steer.link import connect, end_if_cancelled, expires, listen, stay_connected, until_one_ends

log = logging.getLogger(__name__)

MOST_BYTES: Final = 8192
"""Of a request."""
MOST_WAITING: Final = 10_000
"""Nodes. Who comes then asks again another day."""
ISSUE_SECONDS: Final = 60.0
"""Between two certificates of one node."""
ANSWERS: Final = (1.0, 20.0)
"""To one node: one a second for long, twenty at once. What is more is not looked at."""
KEPT_SECONDS: Final = 3600
"""How long the broker keeps the answer for a node that is away."""

_Base64 = Annotated[str, Meta(max_length=4096)]


class Want(Struct, frozen=True):
    """A node's request; base64 throughout."""

    csr: _Base64
    """PKCS #10, DER."""
    cert: _Base64
    """The certificate it has, DER."""
    proof: _Base64
    """Signature (ECDSA with SHA-256, DER) over the request's bytes, by that certificate's key."""


class Renewals:
    """Run by the gateway."""

    def __init__(
        self, settings: Mqtt, sites: Sequence[str], data_dir: Path, issuer: Issuer, refuses: Callable[[str], bool]
    ) -> None:
        """`refuses` says of a serial number, in hexadecimal, whether it holds no more."""
        self._settings = settings
        self._topics = [f"ganglion/v1/{site}/+/identity/want" for site in sites]
        self._name = f"ganglion-identities-{sites[0]}"
        self._data_dir = data_dir
        self._store = Store(data_dir)
        self._issuer = issuer
        self._refuses = refuses
        self._waiting: dict[str, bytes] = {}
        self._asked = asyncio.Event()
        self._answers = Buckets(*ANSWERS, known=MOST_WAITING)
        self._issued: dict[str, float] = {}
        """`time.monotonic()`, seconds, of the last minute."""

    async def run(self) -> None:
        """Answer, over every loss of the connection."""
        await stay_connected(lambda: connect(self._settings, self._name), self._work, self._say)

    async def _work(self, client: aiomqtt.Client) -> None:
        await listen(client, self._topics)
        end_if_cancelled()
        await until_one_ends(self._hear(client), self._answer(client))

    def _say(self, trouble: str | None) -> None:
        if trouble is not None:
            log.info("certificates are not renewed now: %s", trouble)

    async def _hear(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            name = str(message.topic).removeprefix("ganglion/v1/").removesuffix("/identity/want")
            if name in self._waiting or len(self._waiting) < MOST_WAITING:
                self._waiting[name] = bytes(message.payload[: MOST_BYTES + 1])
                self._asked.set()

    async def _answer(self, client: aiomqtt.Client) -> None:
        while True:
            if not self._waiting:
                self._asked.clear()
                await self._asked.wait()
            name = next(iter(self._waiting))
            payload = self._waiting.pop(name)
            if not self._answers.take(name):
                continue
            answer = await asyncio.to_thread(self.answer, name, payload)
            await client.publish(
                f"ganglion/v1/{name}/identity", msgspec.json.encode(answer), qos=1, properties=expires(KEPT_SECONDS)
            )
            end_if_cancelled()

    def answer(self, name: str, payload: bytes) -> dict[str, str]:
        """What a node is told: `cert` and perhaps `issuer`, base64, or `error`, in words. Blocking."""
        try:
            issued = self._renew(name, payload)
        except (PkiError, ConfigError) as error:
            if isinstance(error, ConfigError):
                log.error("%s was not given a certificate: %s", name, error)
            else:
                log.info("%s is refused a certificate: %s", name, error)
            self._count("refused.renewal")
            return {"error": str(error) if isinstance(error, PkiError) else "the gateway cannot do so now: ask again"}
        self._count("issued.renewal")
        told = {"cert": issued.der, "issuer": self._issuer.handover}
        return {name: b64encode(der).decode() for name, der in told.items() if der}

    def _renew(self, name: str, payload: bytes) -> Issued:
        want = _decoded(payload)
        now, moment = time.monotonic(), time.time()
        if now - self._issued.get(name, float("-inf")) < ISSUE_SECONDS:
            raise PkiError(f"a certificate was given within {ISSUE_SECONDS:.0f} s: ask again later")
        shown = self._issuer.presented(_bytes(want.cert), name, datetime.fromtimestamp(moment, UTC))
        if self._refuses(shown.serial) or self._store.is_revoked(shown.serial):
            raise PkiError("the certificate is revoked, or on hold")
        csr = _bytes(want.csr)
        key = requested(csr, name)
        if not proven(shown.key, _bytes(want.proof), csr):
            raise PkiError("the proof is not by the key of the certificate")
        if key == shown.key:
            raise PkiError("the request has the old key: make a new one")

        def make() -> Issued:
            detail = {"how": "renewal", "before": shown.serial}
            return given(self._issuer, self._data_dir, name, key, moment, detail)

        issued = self._store.renew(name, fingerprint(key), make, moment, (shown.serial, shown.ends))
        recent = {each: when for each, when in self._issued.items() if when > now - ISSUE_SECONDS}
        self._issued = recent | {name: now}
        return issued

    def _count(self, what: str) -> None:
        try:
            self._store.count({what: 1})
        except ConfigError as error:
            log.error("%s", error)


def _decoded(payload: bytes) -> Want:
    if len(payload) > MOST_BYTES:
        raise PkiError(f"the request is larger than {MOST_BYTES} bytes")
    try:
        return msgspec.json.decode(payload, type=Want)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PkiError(f"the request cannot be read: {error}") from error


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PkiError("the request has what is no base64") from error
