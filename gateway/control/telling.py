"""Test messages and drills, through the gateway that runs."""

import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute

from gateway.audit.asker import Asker
from gateway.audit.entry import JSON
from gateway.control.api import body
from gateway.control.door import Answer, Door
from gateway.errors import ConfigError
from gateway.journal.access import JournalAccess
from gateway.notify import drill as drills
from gateway.notify.answer import Answer as Tested
from gateway.notify.drill import Drill, NoDrill
from gateway.records import Incident


def telling_routes(
    journal: JournalAccess, door: Door, sites: Sequence[str], test: Callable[[str], Awaitable[Tested | None]]
) -> list[BaseRoute]:
    """`POST /api/v1/notify/{name}/test`, `incidents/drill` and `incidents/{id}/end`. `test` sends a test message."""

    async def press(request: Request, asker: Asker) -> Tested:
        name = request.path_params["name"]
        await asker.will("notify.test", name)
        answer = await test(name)
        if answer is None:
            raise Answer(404, f"no target {name} is in the configuration")
        return answer

    async def begin(request: Request, asker: Asker) -> Incident:
        try:
            drill = msgspec.json.decode(await body(request), type=Drill)
            asked: dict[str, JSON] = {"kind": drill.kind, "minutes": drill.minutes}
            await asker.will("drill.begin", "/".join(filter(None, (drill.site, drill.node))), asked)
            incident = await journal.attempt(drills.begin, drill, sites)
        except msgspec.DecodeError as error:
            raise Answer(400, f"the body is not {{kind, site, node, opened, minutes, severity}}: {error}") from error
        except ConfigError as error:
            raise Answer(400, str(error)) from error
        journal.tell("incidents")
        return incident

    async def end(request: Request, asker: Asker) -> Incident:
        name = request.path_params["name"]
        await asker.will("drill.end", name)
        try:
            incident = await journal.attempt(drills.end, name, time.time())
        except NoDrill as error:
            raise Answer(400, str(error)) from error
        if incident is None:
            raise Answer(404, f"no incident {name} is known")
        journal.tell("incidents")
        return incident

    return [
        door.post("/api/v1/notify/{name}/test", press),
        door.post("/api/v1/incidents/drill", begin),
        door.post("/api/v1/incidents/{name}/end", end),
    ]
