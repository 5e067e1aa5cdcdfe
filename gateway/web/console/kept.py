"""The library's own files, compressed once: else each stranger costs the machine of the gateway that work anew."""

from typing import Final

from nicegui.version import __version__
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BELOW: Final = f"/_nicegui/{__version__}/"
"""What is there does not change while this process runs."""
MOST_BYTES: Final = 2**24
CONDITIONS: Final = ("range", "if-none-match", "if-modified-since")


class Kept:
    """ASGI middleware: answers below `BELOW` as they were given first, up to `MOST_BYTES` of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._answers: dict[tuple[str, bool], tuple[Message, Message]] = {}
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(BELOW):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["query_string"] or any(each in headers for each in CONDITIONS):
            await self._app(scope, receive, send)
            return
        key = scope["path"], "gzip" in headers.get("accept-encoding", "")
        if key not in self._answers:
            messages: list[Message] = []

            async def collect(message: Message) -> None:
                messages.append(message)

            await self._app(scope, receive, collect)
            start, parts = messages[0], messages[1:]
            body: Message = {"type": "http.response.body", "body": b"".join(each.get("body", b"") for each in parts)}
            size = len(body["body"])
            if start["status"] != 200 or self._bytes + size > MOST_BYTES:
                await send(start)
                await send(body)
                return
            self._bytes += size
            self._answers[key] = start, body
        for message in self._answers[key]:
            # Who stands before this one adds headers to what is handed on: to a copy.
            await send({**message, "headers": list(message["headers"])} if "headers" in message else message)
