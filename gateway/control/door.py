"""Who may ask the running gateway to change something, and who they are for its audit log."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.audit.asker import Asker, AuditError
from gateway.audit.witness import Sparing
from gateway.control import token as tokens
from gateway.errors import JournalFull

RETRY_SECONDS: Final = 2
"""Asked for while the journal is full."""
WHO: Final = "Ganglion-Who"
CAME: Final = "Ganglion-From"
"""Headers by which the console and the commands say for whom they ask: whoever holds the token is believed."""
HOLDER: Final = "holder of the token"


class Answer(Exception):
    """Ends a request with an answer that is no success."""

    def __init__(self, status: int, words: str, **headers: str) -> None:
        super().__init__(words)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Door:
    """One a gateway."""

    def __init__(self, token: str, data_dir: Path) -> None:
        self._token = token
        self._folder = data_dir
        self.sparing = Sparing(data_dir)
        """For what may be asked for any number of times."""

    def post(self, path: str, act: Callable[[Request, Asker], Awaitable[Any]]) -> Route:
        """For who holds the token; `act` gives what is answered, or raises Answer, JournalFull or AuditError."""

        async def answer(request: Request) -> Response:
            address = request.client.host if request.client else ""
            try:
                if not tokens.allows(self._token, request.headers.get("Authorization", "")):
                    await self.sparing.witness("control.refused", who="?", of=path, came=address)
                    words = f"the token is missing or old: it is in {tokens.TOKEN_FILE} in the gateway's data_dir"
                    raise Answer(401, words, WWW_Authenticate="Bearer")
                return _json(200, await act(request, self._asker(request, address)))
            except JournalFull as full:
                return _json(503, {"error": str(full)}, {"Retry-After": str(RETRY_SECONDS)})
            except AuditError as error:
                return _json(500, {"error": str(error)})
            except Answer as error:
                return _json(error.status, {"error": str(error)}, error.headers)

        return Route(path, answer, methods=["POST"])

    def _asker(self, request: Request, address: str) -> Asker:
        headers = request.headers
        return Asker(self._folder, unquote(headers.get(WHO, HOLDER)), unquote(headers.get(CAME, address)))


def told_by(asker: Asker) -> dict[str, str]:
    """The headers."""
    return {WHO: quote(asker.who, safe="@ "), CAME: quote(asker.came, safe=": ")}


def _json(status: int, value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")
