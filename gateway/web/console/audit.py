"""`/audit`: who did what, for those who have logged in; and who tried to."""

import asyncio
from pathlib import Path
from typing import Final

from nicegui import ui
from starlette.requests import Request

from gateway.audit.entry import Entry
from gateway.audit.reading import in_words, last_of
from gateway.errors import GanglionError
from gateway.web.console.markup import badge, html, moment, refused, table, url
from gateway.web.console.shell import Console, invite, page, put

SHOWN: Final = 200
"""The newest; `ganglion audit show` has all."""
ALARMING: Final = (".refused", ".unasked", ".found", ".torn", ".crowded")
FILTERS: Final = (("", "all"), ("login", "log-ins"), ("login.refused", "refused log-ins"), ("command", "commands"))
INTRODUCTION: Final = (
    "<h1>Audit</h1><p>What was asked for here, by whom, the newest first. That nobody has changed it is shown by "
    "<code>ganglion audit verify</code>.</p>"
)


def register(console: Console) -> None:
    """`/audit`."""

    @ui.page("/audit")
    async def audit(request: Request, act: str = "") -> None:
        visitor = console.visitor(request)
        async with page(console, visitor, "Audit", "/audit"):
            put(INTRODUCTION)
            if await visitor.name() is None:
                invite("Log in to see it", "/audit")
                return
            put("<p>Only " + " · ".join(str(html('<a href="{to}">{word}</a>', to=url("/audit", act=each), word=word))
                                        for each, word in FILTERS) + "</p>")  # fmt: skip
            put(await _table(console, act))


async def _table(console: Console, act: str) -> str:
    try:
        found = await asyncio.to_thread(last_of, Path(console.seat.config.data_dir), SHOWN, act)
    except GanglionError as error:
        return str(refused(error))
    columns = ("", "when", "what", "who", "of", "from", "")
    return str(table(columns, (_row(console, each) for each in reversed(found)), "Nothing so far."))


def _row(console: Console, each: Entry) -> tuple[object, ...]:
    mark = badge("warning", "look") if each.act.endswith(ALARMING) else ""
    return (mark, moment(each.seconds, console.seat.zone), each.act, each.who, each.of, each.came, in_words(each))
