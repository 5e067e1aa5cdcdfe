"""`/push/...`: to be told by Web Push, and to be told no more.

What is asked for is kept as `store.py` says. How often anybody may ask is bounded, for one address and for all: the
addresses of the last who asked are in memory, and nowhere else.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.buckets import Bucket, Buckets, whose
from gateway.citizens.pump import known_keys
from gateway.citizens.push import Identity, PushError, Wish, check
from gateway.citizens.store import Full
from gateway.citizens.view import areas_shown
from gateway.config import Citizens
from gateway.web.seat import Seat

if TYPE_CHECKING:
    from gateway.citizens.app import Desk

log = logging.getLogger(__name__)

BODY_BYTES: Final = 4096
WISHES: Final = (5.0, 50.0)
"""To be told, of all: a second for long, and at once."""
WISHES_OF_ONE: Final = (1 / 60, 20.0)
"""The same of one address, which may be that of many people."""
STOPS: Final = (20.0, 200.0)
"""To be told no more: nobody who wishes keeps others from that."""
STOPS_OF_ONE: Final = (1.0, 30.0)


class Stop(Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /push/unsubscribe` takes: whoever knows the endpoint is the subscriber."""

    endpoint: str


class Refusal(Exception):
    """An answer other than 200, with a sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Wishes:
    """The routes. Without `citizens.contact` there are none: push services want to know whom to ask."""

    def __init__(self, seat: Seat, settings: Citizens, desk: "Desk") -> None:
        """Raises ConfigError when our key cannot be used."""
        self._seat, self._settings, self._desk = seat, settings, desk
        self._identity = Identity(Path(seat.config.data_dir), settings.contact) if settings.contact else None

    def routes(self) -> list[Route]:
        if self._identity is None:
            return []
        return [
            Route("/push/key", self._key),
            Route("/push/subscribe", self._guarded(self._subscribe, WISHES, WISHES_OF_ONE), methods=["POST"]),
            Route("/push/unsubscribe", self._guarded(self._unsubscribe, STOPS, STOPS_OF_ONE), methods=["POST"]),
        ]

    async def _key(self, request: Request) -> Response:
        key = self._identity.public_key if self._identity else ""
        return _json({"key": key})

    async def _subscribe(self, body: bytes) -> None:
        wish = msgspec.json.decode(body, type=Wish)
        check(wish)
        told = self._desk.told()
        areas = areas_shown(self._desk.places, self._seat.config.sites, told)
        if wish.area and wish.area not in {each.slug for each in areas}:
            raise Refusal(400, "area: there is no such area")
        keep = self._desk.store.subscribe
        known = known_keys(told)
        await asyncio.to_thread(keep, wish.endpoint, wish.keys.p256dh, wish.keys.auth, wish.area, known)

    async def _unsubscribe(self, body: bytes) -> None:
        stop = msgspec.json.decode(body, type=Stop)
        await asyncio.to_thread(self._desk.store.unsubscribe, stop.endpoint)

    def _guarded(
        self, take: Callable[[bytes], Awaitable[None]], rate: tuple[float, float], of_one: tuple[float, float]
    ) -> Callable[[Request], Awaitable[Response]]:
        everybody, each = Bucket(*rate), Buckets(*of_one)

        async def handle(request: Request) -> Response:
            try:
                self._ours(request)
                who = whose(request.client.host) if request.client else ""
                if (who and not each.take(who)) or not everybody.take():
                    raise Refusal(429, "too many ask at once: try again in a minute")
                await take(await _body(request))
            except Refusal as error:
                return _json({"detail": str(error)}, error.status)
            except (msgspec.DecodeError, PushError) as error:
                return _json({"detail": str(error)}, 400)
            except Full as error:
                return _json({"detail": str(error)}, 503)
            except sqlite3.Error as error:
                log.warning("%s cannot be written: %s", self._desk.store.path, error)
                return _json({"detail": "it could not be kept: try again later"}, 503)
            return _json({})

        return handle

    def _ours(self, request: Request) -> None:
        """Raises Refusal for what another page has its reader's browser send."""
        expected = urlsplit(self._settings.link or base_of(request))
        ours = {f"{expected.scheme}://{expected.netloc}"}
        if not self._settings.link and expected.hostname in ("127.0.0.1", "::1"):
            ours.add(f"{expected.scheme}://localhost:{expected.port}")
        if request.headers.get("origin", "") not in ours:
            raise Refusal(403, "this is taken from our own page alone")
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise Refusal(403, "this is taken from our own page alone")
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refusal(415, "JSON is wanted")


def base_of(request: Request) -> str:
    """Where we are reached without `citizens.link`: the connection's own address, as anybody writes any `Host`."""
    host, port = request.scope["server"]
    return f"{request.scope['scheme']}://{f'[{host}]' if ':' in host else host}:{port}"


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES:
            raise Refusal(413, f"more than {BODY_BYTES} bytes")
    return body


def _json(value: object, status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": "60"} if status in (429, 503) else {})
    return Response(msgspec.json.encode(value), status, headers, "application/json")
