"""`/api/v1/`: what changes a running gateway. For who holds the token (`gateway.control.token`), and nobody else."""

import asyncio
import time
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute

from gateway.audit.asker import Asker
from gateway.audit.entry import JSON
from gateway.control.acknowledge import Note
from gateway.control.door import Answer, Door
from gateway.control.replay import Replay, Replayed, replay
from gateway.errors import ConfigError, GanglionError
from gateway.intake.reader import Imported, Options, read
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.keys import refuse_unknown
from gateway.records import Acknowledged, Incident

MAX_BODY: Final = 2**20
"""Bytes of a request. Who has more sends it in parts."""


def make_routes(journal: JournalAccess, door: Door) -> list[BaseRoute]:
    """`POST /api/v1/import`, `dead-letters/replay` and `incidents/{id}/acknowledge`."""

    async def take_in(request: Request, asker: Asker) -> Imported:
        options = _options(request)
        known = await journal.call(Journal.kinds) if options.form == "csv" and not options.kind else {}
        data = await body(request)
        now = time.time()
        try:
            part = await asyncio.to_thread(read, data, options, now, lambda: known)
        except GanglionError as error:
            raise Answer(400, str(error)) from error
        asked: dict[str, JSON] = {
            "kind": options.kind,
            "site": options.site,
            "offset": options.offset,
            "bytes": len(data),
        }
        await door.sparing.witness("import", who=asker.who, came=asker.came, detail=asked)
        if part.packs or part.letters:
            await journal.attempt(Journal.take, part.packs, part.letters, now)
        return Imported.of(part)

    async def replay_letters(request: Request, asker: Asker) -> Replayed:
        try:
            which = msgspec.json.decode(await body(request) or b"{}", type=Replay)
        except msgspec.DecodeError as error:
            raise Answer(400, f"the body is not {{numbers, reason, after, upto}}: {error}") from error
        await asker.will(
            "letters.replay", detail={"numbers": which.numbers, "reason": which.reason, "after": which.after}
        )
        replayed = await journal.attempt(replay, which, time.time())
        if replayed.taken:
            journal.tell("packs")
        return replayed

    async def acknowledge(request: Request, asker: Asker) -> Incident:
        try:
            note = msgspec.json.decode(await body(request), type=Note)
        except msgspec.DecodeError as error:
            raise Answer(400, f"the body is not {{by, note}}: {error}") from error
        name = request.path_params["name"]
        await asker.will("incident.ack", name, {"by": note.by})
        incident = await journal.attempt(
            Journal.acknowledge, name, Acknowledged(note.by, round(time.time()), note.note)
        )
        if incident is None:
            raise Answer(404, f"no incident {name} is known")
        return incident

    return [
        door.post("/api/v1/incidents/{name}/acknowledge", acknowledge),
        door.post("/api/v1/import", take_in),
        door.post("/api/v1/dead-letters/replay", replay_letters),
    ]


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
