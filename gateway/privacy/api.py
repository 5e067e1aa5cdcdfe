"""`POST /api/v1/privacy/erase`: the gateway that runs deletes what it has of a node. For who holds the token."""

import asyncio
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.routing import BaseRoute

from gateway.audit.asker import Asker
from gateway.config import NAME
from gateway.control.api import body
from gateway.control.door import Answer, Door
from gateway.journal.access import JournalAccess
from gateway.journal.forget import About
from gateway.journal.store import Journal
from gateway.privacy.keeping import Forget

PATH: Final = "/api/v1/privacy/erase"
ACT: Final = "privacy.delete"
TAKEN_BACK: Final = (b"",)
"""What is then published at the broker: the end of what it retains."""
FORGET_SECONDS: Final = 60.0
"""In which the detectors save what they know of a large city."""

Name = Annotated[str, Meta(pattern=rf"^{NAME}\Z")]


class Whose(Struct, frozen=True, forbid_unknown_fields=True):
    site: Name
    node: Name


def privacy_routes(journal: JournalAccess, door: Door, forget: Forget) -> list[BaseRoute]:
    """`forget` has the detectors forget nodes."""

    async def erase(request: Request, asker: Asker) -> About:
        try:
            whose = msgspec.json.decode(await body(request), type=Whose)
        except msgspec.DecodeError as error:
            raise Answer(400, f"the body is not {{site, node}}: {error}") from error
        await journal.call(Journal.checkpoint)
        there = await journal.call(Journal.about, whose.site, whose.node)
        if there.waiting:
            return there
        await asker.will(ACT, f"{whose.site}/{whose.node}", messages=TAKEN_BACK)
        try:
            # First: they would tell again of what is open.
            async with asyncio.timeout(FORGET_SECONDS):
                await forget([(whose.site, whose.node)])
        except TimeoutError as error:
            raise Answer(503, "the detectors are too busy to forget") from error
        return await journal.attempt(Journal.erase, whose.site, whose.node)

    return [door.post(PATH, erase)]
