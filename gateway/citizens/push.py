"""One Web Push (RFC 8030, 8188, 8291, 8292): to whom, with what keys, and what the push service said.

An endpoint is an address that a stranger gives us, so it is never trusted: https alone, no name or number of a private
network, resolved and checked by us before each connection, no redirect followed.
"""

import asyncio
import base64
import binascii
import contextlib
import ipaddress
import logging
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Meta, Struct
from py_vapid import Vapid02
from pywebpush import WebPusher
from yarl import URL

from gateway.citizens.store import Subscription
from gateway.errors import ConfigError, GanglionError
from gateway.files import PRIVATE, create

log = logging.getLogger(__name__)

KEY_FILE: Final = "vapid.pem"
SECONDS: Final = 15.0
"""For a whole push, however slowly a service answers."""
LANES: Final = 8
"""Connections to one push service."""
RESOLVERS: Final = 8
KEPT_SECONDS: Final = 4 * 3600
"""How long a push service keeps what it cannot deliver: older news is none."""
CLAIM_SECONDS: Final = 12 * 3600
"""For which we say who we are (RFC 8292: 24 h at most)."""
_GONE: Final = (404, 410)
_PASSING: Final = (408, 425, 429)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL: Final = re.compile(r"(^|\.)(localhost|local|internal|lan|home|corp|intranet|arpa|test|invalid)$")

_NUMBER: Final = re.compile(r"(^|\.)([0-9]+|0x[0-9a-f]*)$")
"""How a name ends that is an address in an old spelling, such as `127.1` (WHATWG URL, "ends in a number"): some resolve
it themselves."""

_NAME: Final = re.compile(r"(?=.{1,253}\Z)([a-z0-9_-]{1,63}\.)+[a-z0-9-]{1,63}\.?")
"""Of a host that can be looked up."""


class PushError(GanglionError):
    """What a subscriber gave cannot be used; the message says why."""


class Keys(Struct, frozen=True, forbid_unknown_fields=True):
    """Of a browser's subscription, base64url."""

    p256dh: Annotated[str, Meta(max_length=100)]
    auth: Annotated[str, Meta(max_length=40)]


class Wish(Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /push/subscribe` takes."""

    endpoint: Annotated[str, Meta(min_length=1, max_length=1000)]
    keys: Keys
    area: Annotated[str, Meta(max_length=300)] = ""
    """Slug of an area; empty for all."""


class Sent(Struct, frozen=True):
    """What became of one push."""

    state: Literal["taken", "gone", "refused", "later"]
    """`later` passes by itself; `refused` does not."""
    why: str = ""
    after: float | None = None
    """Seconds that the service asks us to wait."""
    reached: bool = True
    """Whether the service answered at all."""


def check(wish: Wish, *, private: bool = False) -> None:
    """Raises PushError for an endpoint or keys that cannot be one's of a browser. `private` allows any address."""
    host_of(wish.endpoint, private=private)
    try:
        point, secret = _bytes(wish.keys.p256dh), _bytes(wish.keys.auth)
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except (ValueError, binascii.Error) as error:
        raise PushError(f"keys: {error}") from error
    if len(point) != 65 or len(secret) != 16:
        raise PushError("keys: p256dh has 65 bytes and auth 16")


def host_of(endpoint: str, *, private: bool = False) -> SplitResult:
    """The parts of an endpoint's address. Raises PushError for one that we do not send to."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise PushError(f"endpoint: no address: {error}") from error
    if not host or parts.username is not None or re.search(r"[^\x21-\x7e]", endpoint):
        raise PushError("endpoint: no address of a push service")
    if private:
        return parts
    if parts.scheme != "https" or port not in (None, 443):
        raise PushError("endpoint: https and its usual port alone are used")
    try:
        allowed, plain = _public(host), f"[{host}]" if ":" in host else host
    except ValueError:  # a name
        if not _NAME.fullmatch(host):
            raise PushError("endpoint: no name of a push service") from None
        allowed, plain = not _LOCAL.search(host.rstrip(".")) and not _NUMBER.search(host.rstrip(".")), host
    if not allowed:
        raise PushError("endpoint: it is on a private network")
    if "%" in host or parts.netloc.lower() not in (plain, f"{plain}:443"):
        raise PushError("endpoint: no address of a push service")
    return parts


class Identity:
    """Who we are to push services: a key of our own and an address for complaints."""

    def __init__(self, folder: Path, contact: str) -> None:
        """Makes `vapid.pem` in `data_dir`, for its owner alone, unless it is there. Raises ConfigError."""
        self.contact = contact
        path = folder / KEY_FILE
        try:
            if not path.exists():
                new = Vapid02()
                new.generate_keys()
                with contextlib.suppress(FileExistsError):  # another process has just made one
                    create(path, new.private_pem(), PRIVATE)
            self._vapid = Vapid02.from_pem(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{path} cannot be used: {error}; whoever deletes it must have all subscribe again"
            ) from error

    @property
    def public_key(self) -> str:
        """As browsers want it (`applicationServerKey`): the point, base64url."""
        point = self._vapid.public_key.public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return base64.urlsafe_b64encode(point).rstrip(b"=").decode()

    def headers(self, origin: str, now: float) -> dict[str, str]:
        """That say who we are to one push service."""
        claims = {"sub": self.contact, "aud": origin, "exp": str(int(now) + CLAIM_SECONDS)}
        return dict(self._vapid.sign(claims))


class _Checked(AbstractResolver):
    """Names to addresses, without those of private networks; in threads of its own, as a name may take long."""

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._threads = ThreadPoolExecutor(RESOLVERS, "names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises PushError where all are private, OSError where there is none."""
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        usable = [
            ResolveResult(
                hostname=host, host=str(at[0]), port=port, family=of, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for of, _, proto, _, at in found
            if self._private or _public(str(at[0]).partition("%")[0])
        ]
        if not usable:
            raise PushError(f"endpoint: {host} is on a private network")
        return usable

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Sender:
    """Sends, each push within `SECONDS`. Open while it is entered."""

    def __init__(self, identity: Identity, *, private: bool = False) -> None:
        """`private` allows http and addresses of this machine: for tests."""
        self._identity = identity
        self._private = private

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(resolver=_Checked(private=self._private), limit=0, limit_per_host=LANES)
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, to: Subscription, payload: bytes, topic: str, *, urgent: bool) -> Sent:
        """`topic` (32 of A-Z a-z 0-9 - _ at most): what is not delivered yet is replaced by what has the same."""
        try:
            parts = host_of(to.endpoint, private=self._private)
            subscription = {"endpoint": to.endpoint, "keys": {"p256dh": to.p256dh, "auth": to.auth}}
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Encoding": "aes128gcm",
                "TTL": str(KEPT_SECONDS),
                "Urgency": "high" if urgent else "normal",
                "Topic": topic,
                **self._identity.headers(f"{parts.scheme}://{parts.netloc}", time.time()),
            }
            body = WebPusher(subscription).encode(payload)["body"]
            url = URL(to.endpoint, encoded=True)
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return judge(answer.status, answer.headers.get("Retry-After"))
        except PushError as error:
            return Sent("gone", str(error))
        except (aiohttp.ClientError, TimeoutError) as error:
            return Sent("later", f"it does not answer: {type(error).__name__}", reached=False)
        except Exception as error:  # what a stranger gave must not end the process, which is the operators' too
            log.exception("a push cannot be sent")
            return Sent("refused", f"it cannot be sent: {type(error).__name__}")


def judge(status: int, retry_after: str | None) -> Sent:
    """What an answer means."""
    if 200 <= status < 300:
        return Sent("taken")
    if status in _GONE:
        return Sent("gone", f"{status}")
    if status in _PASSING or status >= 500:
        after = float(retry_after) if retry_after and re.fullmatch(r"[0-9]{1,6}", retry_after) else None
        return Sent("later", f"{status}", after)
    return Sent("refused", f"{status}")


def _public(address: str) -> bool:
    """Whether an address is one of the open Internet; also those that stand for one of version 4 within."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return _public(str(inner))
    return found.is_global and not found.is_multicast


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
