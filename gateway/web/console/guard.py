"""What stands before everything on the operators' port: which host, which origin, who may look, which headers."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.control import token as tokens
from gateway.errors import ConfigError
from gateway.web.console.markup import url
from gateway.web.console.shell import Console

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN: Final = ("/login", "/static/", "/_nicegui/", "/favicon.ico")
"""What is seen before a login, where looking takes one."""
PROGRAMS: Final = ("/api/", "/cap/", "/ngsi-ld/", "/reports", "/sensorthings/")
"""Who asks there is told that a login is missing, instead of shown a form."""
# NiceGUI's pages start by a script within them, and its templates are compiled in the browser.
POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
}
"""Beside those of `gateway.fence`."""
KEPT: Final = {"Cache-Control": "no-cache"}
"""Of our own files, which tell of nobody: a browser keeps them, and asks whether they are still the same."""
LOOK_SECONDS: Final = 5.0
"""How often it is looked whether who has a page open may still look."""


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, console: Console) -> None:
        self._app = app
        self._console = console
        linked = urlsplit(console.settings.link).hostname
        self._hosts = {"localhost", socket.gethostname().lower()} | ({linked.lower()} if linked else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = await self._refusal(scope)
        if refused is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await refused(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (HEADERS | (KEPT if scope["path"].startswith("/static/") else {})).items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] == "websocket" and not self._console.settings.open:
            await self._while_allowed(scope, receive, send)
        else:
            await self._app(scope, receive, with_headers)

    async def _while_allowed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A web socket ends soon after the session that it was opened with."""
        serving = asyncio.ensure_future(self._app(scope, receive, send))
        headers, ended = Headers(scope=scope), False
        try:
            while not (await asyncio.wait([serving], timeout=LOOK_SECONDS))[0]:
                if not ended and not await self._may_look(scope, headers):
                    ended = True
                    await send({"type": "websocket.close", "code": 1008})  # of which the application hears as it reads
            await serving
        finally:
            serving.cancel()

    async def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = _parts(f"//{headers.get('host', '')}").hostname or ""
        # A page of the Internet may point a name of its own to this machine, and so read as if it were of our origin.
        if not (host.lower() in self._hosts or _is_address(host)):
            return PlainTextResponse(f"{host!r} is no name of this console: set console.link to it\n", 421)
        if (scope["type"] == "websocket" or scope["method"] not in SAFE) and _is_foreign(headers):
            return PlainTextResponse("asked by a page of another site\n", 403)
        path: str = scope["path"]
        if self._console.settings.open or path.startswith(OPEN) or await self._may_look(scope, headers):
            return None
        if path.startswith(PROGRAMS):
            words = f"log in, or send the token that is in {tokens.TOKEN_FILE} in the gateway's data_dir"
            return JSONResponse({"error": words, "near": []}, 401, {"WWW-Authenticate": "Bearer"})
        return RedirectResponse(url("/login", to=path), 303)

    async def _may_look(self, scope: Scope, headers: Headers) -> bool:
        """Who has logged in; and a program of whoever may read `data_dir`, as at the gateway's own interface."""
        given = headers.get("authorization", "")
        if given.lower().startswith("bearer "):  # another is a proxy's, and says nothing of a session
            folder = Path(self._console.seat.config.data_dir)
            with contextlib.suppress(ConfigError):  # there is no gateway, so no token
                if tokens.allows(await asyncio.to_thread(tokens.token, folder), given):
                    return True
        return await self._console.visitor(HTTPConnection(scope)).name() is not None


def _is_foreign(headers: Headers) -> bool:
    """Whether a page of another origin asks; a program says nothing of that."""
    origin = headers.get("origin")
    if origin is not None and _parts(origin).netloc != headers.get("host"):
        return True
    return headers.get("sec-fetch-site") in ("cross-site", "same-site")


def of_this_host(origin: str | None, environ: Mapping[str, Any]) -> bool:
    """Whether a web socket comes from a page of the console, as the library asks. The scheme is the browser's: before a
    proxy with a certificate it is another than here."""
    return origin is not None and _parts(origin).netloc == environ.get("HTTP_HOST")


def _parts(text: str) -> SplitResult:
    """Empty ones of what is no address: strangers send anything."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
