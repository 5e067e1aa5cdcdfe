"""`/weeks`: the reports there are. They are made when somebody asks for one."""

import asyncio
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Final

from markupsafe import Markup
from nicegui import ui
from starlette.requests import Request

from gateway.errors import GanglionError
from gateway.report.gather import reports
from gateway.report.weeks import IsoWeek
from gateway.web.console.markup import html, refused, table
from gateway.web.console.shell import Console, page, put

FORMS: Final = ("html", "pdf", "json")
INTRODUCTION: Final = (
    "<h1>Reports</h1><p>A week of a site as one page: traffic, water, air, incidents, and how much of the data came. "
    "It is made when you open it, which takes some seconds.</p>"
)


def register(console: Console) -> None:
    """`/weeks`."""
    # Of its own, and one: a database that hangs must not take the threads by which people log in.
    thread = ThreadPoolExecutor(1, "weeks")

    @ui.page("/weeks")
    async def weeks(request: Request) -> None:
        async with page(console, console.visitor(request), "Reports", "/weeks") as frame:
            put(INTRODUCTION)
            frame.later(partial(_list, console, thread))


async def _list(console: Console, thread: Executor) -> None:
    seat = console.seat
    ask = partial(reports, seat.asker(), seat.config.sites, seat.zone, seat.newest())
    try:
        found = await asyncio.get_running_loop().run_in_executor(thread, ask)
    except GanglionError as error:
        put(refused(error))
        return
    rows = ((week, site, *(_link(site, week, form) for form in FORMS)) for week, site in found)
    columns = ("week", "site", "page", "to print", "figures")
    put(table(columns, rows, "There is no week with data yet."))


def _link(site: str, week: IsoWeek, form: str) -> Markup:
    return html('<a href="/reports/{site}/{week}.{form}">{form}</a>', site=site, week=week, form=form)
