"""Test messages and drills, through the gateway that runs."""

import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute

from gateway.control.api import Answer, body, post
from gateway.errors import ConfigError
from gateway.journal.access import JournalAccess
from gateway.notify import drill as drills
from gateway.notify.answer import Answer as Tested
from gateway.notify.drill import Drill, NoDrill
from gateway.records import Incident


def telling_routes(
    journal: JournalAccess, token: str, sites: Sequence[str], test: Callable[[str], Awaitable[Tested | None]]
) -> list[BaseRoute]:
    """`POST /api/v1/notify/{name}/test`, `incidents/drill` and `incidents/{id}/end`. `test` sends a test message."""

    async def press(request: Request) -> Tested:
        name = request.path_params["name"]
        answer = await test(name)
        if answer is None:
            raise Answer(404, f"no target {name} is in the configuration")
        return answer

    async def begin(request: Request) -> Incident:
        try:
            drill = msgspec.json.decode(await body(request), type=Drill)
            incident = await journal.attempt(drills.begin, drill, sites)
        except msgspec.DecodeError as error:
            raise Answer(400, f"the body is not {{kind, site, node, opened, minutes, severity}}: {error}") from error
        except ConfigError as error:
            raise Answer(400, str(error)) from error
        journal.tell("incidents")
        return incident

    async def end(request: Request) -> Incident:
        name = request.path_params["name"]
        try:
            incident = await journal.attempt(drills.end, name, time.time())
        except NoDrill as error:
            raise Answer(400, str(error)) from error
        if incident is None:
            raise Answer(404, f"no incident {name} is known")
        journal.tell("incidents")
        return incident

    return [
        post("/api/v1/notify/{name}/test", token, press),
        post("/api/v1/incidents/drill", token, begin),
        post("/api/v1/incidents/{name}/end", token, end),
    ]
