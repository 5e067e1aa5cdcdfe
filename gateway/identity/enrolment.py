"""Enrolment by one-time token: the part of EST (RFC 7030) that a node needs, over TLS alone.

`POST /.well-known/est/simpleenroll`: HTTP Basic with the node's name and its token; the body is a PKCS #10 in base64.
`GET /.well-known/est/cacerts`: whom nodes believe. Both answer with a PKCS #7 in base64, as the RFC has it, or with the
DER certificate itself to who accepts `application/pkix-cert`; behind a node's stands that of the issuer, who may renew
it. The RFC's other paths are not there: a node renews over the broker. A stranger's request is not looked into before
its token is known to be good.
"""

import asyncio
import binascii
import logging
import re
import time
from base64 import b64decode, encodebytes
from collections import Counter
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.audit.witness import note
from gateway.buckets import Buckets, whose
from gateway.config import NAME, Config, Http
from gateway.connections import Limits
from gateway.errors import ConfigError
from gateway.http import HttpServer
from gateway.identity.issuer import Issued, Issuer, fingerprint, given, requested
from gateway.identity.refusals import Bursts
from gateway.identity.store import Store, TokenRefused
from gateway.pki.authority import PkiError

log = logging.getLogger(__name__)

LIMITS: Final = Limits(
    most=200, of_one=20, quiet_seconds=10.0, answer_seconds=30.0, body_seconds=10.0, body_bytes=4096, rate=(2.0, 60.0)
)
WRONG: Final = (1 / 10, 30.0)
"""Wrong tokens of one address: one in ten seconds for long, thirty at once. None can be guessed; it is for the log."""
FLUSH_SECONDS: Final = 2.0
"""How often what was counted is written: what strangers do costs no write each."""
KINDS: Final = {"token": "bring no good token", "request": "bring a token and ask for what is not theirs"}
REALM: Final = {"WWW-Authenticate": 'Basic realm="ganglion"'}
_NAME: Final = re.compile(rf"({NAME})/{NAME}")


class Enrolment:
    """The desk; `run` sees to what is counted."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError without `identity.listen`, and when a file cannot be used."""
        if config.identity is None or not config.identity.listen:
            raise ConfigError("identity.listen: is missing, so there is no enrolment; name an address")
        table = config.identity
        self._data_dir = Path(config.data_dir)
        self._sites = config.sites
        self._issuer = Issuer(Path(table.issuer), Path(config.mqtt.ca), table.days)
        self._store = Store(self._data_dir)
        self._wrong = Buckets(*WRONG)
        self._counts: Counter[str] = Counter()
        self._told: list[tuple[str, str]] = []
        self._bursts = Bursts(lambda kind, said: self._told.append((kind, said)), KINDS, "enrolment")
        self._http = Http(listen=table.listen, cert=table.cert, key=table.key)

    def app(self) -> Starlette:
        """The application."""
        root = "/.well-known/est"
        return Starlette(
            routes=[
                Route(f"{root}/simpleenroll", self._enrol, methods=["POST"]),
                Route(f"{root}/cacerts", self._authorities, methods=["GET"]),
            ]
        )

    def server(self) -> HttpServer:
        """Its port. Raises ConfigError."""
        return HttpServer(self._http, self.app(), "identity", limits=LIMITS)

    async def run(self) -> None:
        """Write what was counted, until cancelled and once more then."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                self._bursts.look(time.monotonic())
                await asyncio.to_thread(self._flush)
        finally:
            self._flush()

    def _flush(self) -> None:
        counts, self._counts = self._counts, Counter()
        told, self._told = self._told, []
        for kind, said in told:
            log.warning("%s", said)
            note(self._data_dir, "attack", of="enrolment", detail={"kind": kind, "seen": said})
        if counts:
            try:
                self._store.count(counts)
            except ConfigError as error:
                log.error("%s", error)

    async def _authorities(self, request: Request) -> Response:
        offline = list(self._issuer.offline)
        return _answer(request, offline, offline[:1])

    async def _enrol(self, request: Request) -> Response:
        address = request.client.host if request.client else ""
        who = whose(address) or "this machine"
        if self._wrong.left(who) < 1:
            return _refuse(429, "too many wrong tokens from this address: wait a minute", {"Retry-After": "60"})
        name, token = _login(request.headers.get("authorization", ""))
        try:
            body = await request.body()
        except ClientDisconnect:
            return _refuse(400, "the request did not come whole")
        try:
            self._check(name)
            await asyncio.to_thread(self._store.admit, name, token, time.time())
            der = await asyncio.to_thread(self._give, name, token, body, address)
        except TokenRefused as error:
            self._wrong.take(who)
            self._count("token")
            return _refuse(401, str(error), REALM)
        except PkiError as error:
            log.info("%s is refused a certificate: %s", name, error)
            self._count("request")
            return _refuse(400, str(error))
        except ConfigError as error:
            log.error("%s was not given a certificate: %s", name, error)
            return _refuse(503, "it cannot be done now: ask again", {"Retry-After": "60"})
        self._counts["issued.token"] += 1
        own = x509.load_der_x509_certificate(der)
        return _answer(request, [own], [own, self._issuer.certificate])

    def _check(self, name: str) -> None:
        """Raises TokenRefused for what is no node of ours: in the words of a wrong token, as no token can be for it."""
        match = _NAME.fullmatch(name)
        if match is None or match[1] not in self._sites:
            raise TokenRefused("the token is nobody's: log in as site/node, with the node's token")

    def _give(self, name: str, token: str, body: bytes, address: str) -> bytes:
        try:
            csr = b64decode(b"".join(body.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise PkiError("the body is no PKCS #10 in base64") from error
        key = requested(csr, name)
        now = time.time()

        def make() -> Issued:
            return given(self._issuer, self._data_dir, name, key, now, {"how": "token"}, address)

        return self._store.redeem(name, token, fingerprint(key), make, now).der

    def _count(self, kind: str) -> None:
        self._counts["refused.token"] += 1
        self._bursts.count(kind, time.monotonic())


def _login(header: str) -> tuple[str, str]:
    """Name and password of HTTP Basic; empty where there are none."""
    scheme, _, coded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, password = b64decode(coded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return name, password


def _answer(request: Request, certificates: list[x509.Certificate], plain: list[x509.Certificate]) -> Response:
    """`plain` one behind the other in DER, for who has no PKCS #7."""
    if "application/pkix-cert" in request.headers.get("accept", ""):
        content = b"".join(each.public_bytes(Encoding.DER) for each in plain)
        return Response(content, media_type="application/pkix-cert")
    return Response(
        encodebytes(pkcs7.serialize_certificates(certificates, Encoding.DER)),
        headers={"Content-Transfer-Encoding": "base64"},
        media_type="application/pkcs7-mime; smime-type=certs-only",
    )


def _refuse(status: int, words: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{words}\n", status, headers)
