"""`/weeks`: the reports there are. They are made when somebody asks for one."""

import asyncio
from datetime import datetime
from typing import Final

from markupsafe import Markup
from nicegui import ui
from starlette.requests import Request

from gateway.errors import GanglionError
from gateway.query.client import Series, ask
from gateway.report.gather import weeks_with_data
from gateway.report.weeks import IsoWeek, Span
from gateway.web.console.markup import html, table
from gateway.web.console.shell import Console, page, put
from gateway.web.seat import ASK_SECONDS

FORMS: Final = ("html", "pdf", "json")
INTRODUCTION: Final = (
    "<h1>Reports</h1><p>A week of a site as one page: traffic, water, air, incidents, and how much of the data came. "
    "It is made when you open it, which takes some seconds.</p>"
)


def register(console: Console) -> None:
    """`/weeks`."""

    @ui.page("/weeks")
    async def weeks(request: Request) -> None:
        async with page(console, console.visitor(request), "Reports", "/weeks"):
            put(INTRODUCTION)
            try:
                found = await asyncio.to_thread(_weeks, console)
            except GanglionError as error:
                put(html('<p class="empty" role="alert">{words}</p>', words=str(error)))
                return
            rows = ((week, site, *(_link(site, week, form) for form in FORMS)) for site, week in found)
            columns = ("week", "site", "page", "to print", "figures")
            put(table(columns, rows, "There is no week with data yet."))


def _link(site: str, week: str, form: str) -> Markup:
    return html('<a href="/reports/{site}/{week}.{form}">{form}</a>', site=site, week=week, form=form)


def _weeks(console: Console) -> list[tuple[str, str]]:
    """(site, week), the newest first. Raises GanglionError."""
    seat = console.seat

    def answer(statement: str) -> list[Series]:
        return ask(seat.config.influx, statement, ASK_SECONDS)

    today = datetime.fromtimestamp(console.seat.newest(), seat.zone).date()
    span = Span(IsoWeek.of(today), seat.zone)
    found = [(site, str(week)) for site in seat.config.sites for week in weeks_with_data(answer, site, span)]
    return sorted(found, key=lambda each: (each[1], each[0]), reverse=True)
