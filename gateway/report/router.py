"""Reports over HTTP, for the operators' pages."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, HTTPException, Query, Response
from fastapi import Path as InPath
from msgspec import Struct

from gateway.airquality.tables import Region
from gateway.errors import GanglionError
from gateway.journal.store import Journal
from gateway.notify.state import who_was_told
from gateway.report.figures import week_of
from gateway.report.gather import Ask, measure, remember, reports
from gateway.report.weeks import IsoWeek, ReportError, Span
from gateway.report.written import Form, written
from gateway.web.seat import Seat

WAITING: Final = 8
"""Reports that may be asked for at once, the one under way among them. Who comes then is told to come again."""
KEPT: Final = 32
"""Documents that are kept,"""
KEPT_SECONDS: Final = 600.0
"""for so long, of weeks that are over: what comes late, or is acknowledged late, is in the next."""
RETRY_SECONDS: Final = 10

TYPES: Final[dict[Form, str]] = {
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "json": "application/json",
}

SiteName = Annotated[str, InPath(description="Name of a site.", examples=["riverside"])]
WeekName = Annotated[str, InPath(description="Week of ISO 8601, in the configured time zone.", examples=["2026-W47"])]
IndexName = Annotated[Region, Query(description="Whose air quality index.")]


class Listed(Struct, frozen=True):
    """A week that has data, and where its report is."""

    site: str
    week: str
    html: str
    pdf: str
    json: str


class Desk:
    """Makes one report at a time, in a thread of its own."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._thread = ThreadPoolExecutor(1, "report")
        self._asked = 0
        self._kept: OrderedDict[tuple[str, ...], tuple[float, bytes]] = OrderedDict()

    async def document(self, site: str, week: IsoWeek, region: Region, form: Form) -> bytes:
        """Raises HTTPException for what there is not, or not now."""
        self._check(site)
        span = Span(week, self._seat.zone)
        return await self._turn((site, str(week), region, form), lambda ask: self._make(ask, site, span, region, form))

    async def listed(self) -> bytes:
        seat = self._seat

        def look(ask: Ask) -> tuple[bytes, bool]:
            found = [
                Listed(site, str(week), *(f"reports/{site}/{week}.{form}" for form in TYPES))
                for week, site in reports(ask, seat.config.sites, seat.zone, time.time())
            ]
            return msgspec.json.encode(found), True

        return await self._turn(("list",), look)

    def _check(self, site: str) -> None:
        if site not in self._seat.config.sites:
            known = ", ".join(self._seat.config.sites)
            raise HTTPException(404, f"there is no site {site:.40}; known are: {known}")

    async def _turn(self, key: tuple[str, ...], work: Callable[[Ask], tuple[bytes, bool]]) -> bytes:
        kept = self._recall(key)
        if kept is not None:
            return kept
        if self._asked >= WAITING:
            words = f"{self._asked} reports are being made: come again"
            raise HTTPException(503, words, {"Retry-After": str(RETRY_SECONDS)})
        loop = asyncio.get_running_loop()
        ask = self._seat.asker()

        def run() -> bytes:
            made = self._recall(key)  # whoever came before may have asked for the same
            if made is None:
                made, keep = work(ask)
                if keep:
                    self._kept[key] = time.monotonic(), made
                    while len(self._kept) > KEPT:
                        self._kept.popitem(last=False)
            return made

        self._asked += 1
        future = self._thread.submit(run)
        # It is counted until it has ended, also when who asked has gone.
        future.add_done_callback(lambda _: _quietly(loop, self._done))
        try:
            return await asyncio.wrap_future(future)
        except ReportError as error:
            raise HTTPException(404, str(error)) from error
        except GanglionError as error:
            raise HTTPException(503, str(error), {"Retry-After": str(RETRY_SECONDS)}) from error

    def _done(self) -> None:
        self._asked -= 1

    def _recall(self, key: tuple[str, ...]) -> bytes | None:
        when, made = self._kept.get(key, (0.0, b""))
        return made if made and time.monotonic() - when < KEPT_SECONDS else None

    def _make(self, ask: Ask, site: str, span: Span, region: Region, form: Form) -> tuple[bytes, bool]:
        seat = self._seat
        # In this thread, not in the seat's: nobody who looks waits for a report.
        journal = Journal.open(Path(seat.config.data_dir), seat.config.journal.max_bytes, read_only=True)
        with contextlib.closing(journal):
            remembered = remember(journal, site, span, who_was_told(Path(seat.config.data_dir)))
        week = week_of(
            measure(ask, site, span),
            remembered,
            seat.plan,
            site,
            span,
            now=time.time(),
            region=region,
            exercise=seat.config.exercise,
        )
        return written(week, span, form), week.over


def make_router(seat: Seat) -> APIRouter:
    """`/reports` and what is below it."""
    desk = Desk(seat)
    router = APIRouter(tags=["reports"])

    async def answer(site: str, week: str, region: Region, form: Form) -> Response:
        try:
            wanted = IsoWeek.parse(week)
        except ReportError as error:
            raise HTTPException(404, str(error)) from error
        content = await desk.document(site, wanted, region, form)
        return Response(content, media_type=TYPES[form])

    @router.get("/reports", summary="Weeks with data, the newest first")
    async def weeks() -> Response:
        return Response(await desk.listed(), media_type=TYPES["json"])

    @router.get("/reports/{site}/{week}.html", summary="A week as a page")
    async def html(site: SiteName, week: WeekName, index: IndexName = "us") -> Response:
        return await answer(site, week, index, "html")

    @router.get("/reports/{site}/{week}.pdf", summary="A week as PDF")
    async def pdf(site: SiteName, week: WeekName, index: IndexName = "us") -> Response:
        return await answer(site, week, index, "pdf")

    @router.get("/reports/{site}/{week}.json", summary="The figures of a week")
    async def figures(site: SiteName, week: WeekName, index: IndexName = "us") -> Response:
        return await answer(site, week, index, "json")

    return router


def _quietly(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the count
        loop.call_soon_threadsafe(call)
