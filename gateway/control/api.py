"""`/api/v1/`: what changes a running gateway. For who holds the token (`gateway.control.token`), and nobody else."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.config import refuse_unknown
from gateway.control import token as tokens
from gateway.control.acknowledge import Note
from gateway.control.replay import Replay, Replayed, replay
from gateway.errors import ConfigError, GanglionError, JournalFull
from gateway.intake.reader import Imported, Options, read
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.records import Acknowledged, Incident

MAX_BODY: Final = 2**20
"""Bytes of a request. Who has more sends it in parts."""
RETRY_SECONDS: Final = 2
"""Asked for while the journal is full."""


class Answer(Exception):
    """Ends a request with an answer that is no success."""

    def __init__(self, status: int, words: str, **headers: str) -> None:
        super().__init__(words)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def make_routes(journal: JournalAccess, token: str) -> list[BaseRoute]:
    """`POST /api/v1/import`, `dead-letters/replay` and `incidents/{id}/acknowledge`."""

    async def take_in(request: Request) -> Imported:
        options = _options(request)
        known = await journal.call(Journal.kinds) if options.form == "csv" and not options.kind else {}
        data = await body(request)
        now = time.time()
        try:
            part = await asyncio.to_thread(read, data, options, now, lambda: known)
        except GanglionError as error:
            raise Answer(400, str(error)) from error
        if part.packs or part.letters:
            await journal.attempt(Journal.take, part.packs, part.letters, now)
        return Imported.of(part)

    async def replay_letters(request: Request) -> Replayed:
        try:
            which = msgspec.json.decode(await body(request) or b"{}", type=Replay)
        except msgspec.DecodeError as error:
            raise Answer(400, f"the body is not {{numbers, reason, after, upto}}: {error}") from error
        replayed = await journal.attempt(replay, which, time.time())
        if replayed.taken:
            journal.tell("packs")
        return replayed

    async def acknowledge(request: Request) -> Incident:
        try:
            note = msgspec.json.decode(await body(request), type=Note)
        except msgspec.DecodeError as error:
            raise Answer(400, f"the body is not {{by, note}}: {error}") from error
        name = request.path_params["name"]
        incident = await journal.attempt(
            Journal.acknowledge, name, Acknowledged(note.by, round(time.time()), note.note)
        )
        if incident is None:
            raise Answer(404, f"no incident {name} is known")
        return incident

    return [
        post("/api/v1/incidents/{name}/acknowledge", token, acknowledge),
        post("/api/v1/import", token, take_in),
        post("/api/v1/dead-letters/replay", token, replay_letters),
    ]


def post(path: str, token: str, act: Callable[[Request], Awaitable[Any]]) -> Route:
    """For who holds the token; `act` gives what is answered, or raises Answer or JournalFull."""

    async def answer(request: Request) -> Response:
        try:
            if not tokens.allows(token, request.headers.get("Authorization", "")):
                words = f"the token is missing or old: it is in {tokens.TOKEN_FILE} in the gateway's data_dir"
                raise Answer(401, words, WWW_Authenticate="Bearer")
            return _json(200, await act(request))
        except JournalFull as full:
            return _json(503, {"error": str(full)}, {"Retry-After": str(RETRY_SECONDS)})
        except Answer as error:
            return _json(error.status, {"error": str(error)}, error.headers)

    return Route(path, answer, methods=["POST"])


def _json(status: int, value: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def _options(request: Request) -> Options:
    given = dict(request.query_params)
    try:
        refuse_unknown(given, Options)
        return msgspec.convert(given, Options, strict=False)
    except (msgspec.ValidationError, ConfigError) as error:
        raise Answer(400, f"the query: {error}") from error


async def body(request: Request) -> bytes:
    """Of a request, whole. Raises Answer for more than `MAX_BODY`."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY:
            raise Answer(413, f"more than {MAX_BODY} bytes: send whole lines in parts, each with the header")
    return bytes(data)
