"""What stands before every application that is served: bounds of what is asked, and what every answer says."""

import asyncio
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.buckets import Buckets, whose
from gateway.connections import Limits

TARGET_BYTES: Final = 2**15
"""Of path and query together."""
HEADER_BYTES: Final = 2**15
YEAR: Final = 31_536_000
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Where the application says nothing else."""
TLS_HEADERS: Final = {"Strict-Transport-Security": f"max-age={YEAR}"}


class Fence:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, limits: Limits, *, secure: bool) -> None:
        """`secure`: all that comes, comes by TLS."""
        self._app = app
        self._limits = limits
        self._headers: Mapping[str, str] = HEADERS | (TLS_HEADERS if secure else {})
        self._buckets = Buckets(*limits.rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is None and scope["type"] == "http":
            await _Bounded(scope, receive, with_headers, self._limits).run(self._app)
        elif refused is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await refusal(*refused)(scope, receive, with_headers)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        client = scope.get("client")
        who = whose(client[0]) if client else ""
        if who and not self._buckets.take(who):
            return 429, "too much is asked from this address: try again in a minute"
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > TARGET_BYTES:
            return 414, f"the address has more than {TARGET_BYTES} bytes"
        if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > HEADER_BYTES:
            return 431, f"the headers have more than {HEADER_BYTES} bytes"
        given = dict(scope["headers"]).get(b"content-length", b"0")
        if given.isdigit() and (len(given) > 15 or int(given) > self._limits.body_bytes):
            return _too_much(self._limits)
        return None


class _Bounded:
    """One question whose body comes within the limits, or is answered here and ends."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        self._scope, self._receive, self._send, self._limits = scope, receive, send, limits
        self._end = asyncio.get_running_loop().time() + limits.body_seconds
        self._bytes = 0
        self._whole = self._answering = self._ended = False

    async def run(self, app: ASGIApp) -> None:
        await app(self._scope, self.receive, self.send)

    async def receive(self) -> Message:
        if self._ended:
            return {"type": "http.disconnect"}
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            return await self._refuse(408, f"the body did not come within {self._limits.body_seconds:.0f} s")
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limits.body_bytes:
            return await self._refuse(*_too_much(self._limits))
        self._whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if not self._ended:
            self._answering = True
            await self._send(message)

    async def _refuse(self, status: int, words: str) -> Message:
        """To the application it looks as if the asker had gone."""
        self._ended = True
        if not self._answering:
            await refusal(status, words)(self._scope, self._receive, self._send)
        return {"type": "http.disconnect"}


def refusal(status: int, words: str) -> PlainTextResponse:
    """After which the connection ends: more of the question may be on its way."""
    headers = {"Connection": "close"} | ({"Retry-After": "60"} if status == 429 else {})
    return PlainTextResponse(f"{words}\n", status, headers)


def _too_much(limits: Limits) -> tuple[int, str]:
    return 413, f"more than {limits.body_bytes} bytes: send it in parts"
