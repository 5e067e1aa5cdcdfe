"""The public's port: the page, feeds, CAP documents, and the wish to be told. No cookies, no log of who looks."""

import asyncio
import logging
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.cap import atom
from gateway.cap.alert import sender_of
from gateway.cap.answer import Answers
from gateway.cap.area import Places
from gateway.cap.message import MEDIA_TYPE, render
from gateway.citizens.figures import Figures, air_now, water_of
from gateway.citizens.notices import Board, Notice
from gateway.citizens.page import Page
from gateway.citizens.store import Store
from gateway.citizens.view import areas_shown, view
from gateway.citizens.wishes import Wishes, base_of
from gateway.config import Citizens
from gateway.errors import ConfigError, GanglionError
from gateway.privacy.told import water_yesterday
from gateway.web.seat import Seat, Snapshot

log = logging.getLogger(__name__)

FIGURES_SECONDS: Final = 300.0
"""For which figures are shown before they are asked for again."""
WATER_SECONDS: Final = 1800.0
"""The same for water, which is of a day that is over."""
FIRST_SECONDS: Final = 2.0
"""How long the first reader waits for them."""
MOST_FEEDS: Final = 64
"""Kept as they were written: a large one takes as long as a hundred of the operators' pages."""
STATIC: Final = {"page.css": "text/css", "push.js": "text/javascript", "sw.js": "text/javascript"}
HEADERS: Final = {
    b"content-security-policy": b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    b"worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""Beside those of `gateway.fence`."""


def make_app(seat: Seat) -> Starlette:
    """Raises ConfigError without `[citizens]`, and when the store cannot be used. At its end
    `app.state.desk.close()` lets the store go."""
    if seat.config.citizens is None:
        raise ConfigError("citizens: the table is missing, so there is no page; add [citizens]")
    desk = Desk(seat, seat.config.citizens)
    wishes = Wishes(seat, seat.config.citizens, desk)
    routes = [
        Route("/", desk.page),
        Route("/feed.atom", desk.feed),
        Route("/area/{slug}/feed.atom", desk.feed),
        Route("/cap/{notice}.xml", desk.document),
        *(Route(f"/{name}", _file(name, media)) for name, media in STATIC.items()),
        Route("/healthz", _alive),
        *wishes.routes(),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(_Headers)])
    app.state.desk = desk
    return app


class Desk:
    """What all answers are made from: the notices of the newest snapshot, and figures that are not too old."""

    def __init__(self, seat: Seat, settings: Citizens) -> None:
        self.seat = seat
        self.settings = settings
        self.places = Places(seat.plan)
        self.store = Store(Path(seat.config.data_dir))
        # One of its own to read by: whoever writes may wait for another process, and nobody who looks waits for that.
        self._reading = Store(Path(seat.config.data_dir))
        self._answers = Answers(shared=True)
        self._link = settings.link.rstrip("/")
        self._sender = sender_of(seat.config)
        self._board = Board(self.places, self._sender, self._link, exercise=seat.config.exercise)
        self._page = Page()
        self._told: tuple[Snapshot | None, int, tuple[Notice, ...]] = (None, 0, ())
        self._written: tuple[tuple[Notice, ...], Figures, bool, float, bytes] | None = None
        self._feeds: tuple[tuple[Notice, ...], dict[tuple[str, str], bytes]] = ((), {})
        """What they are of; by area and the address they are asked at."""
        self._figures = Figures()
        self._asked = self._asked_water = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    def told(self) -> tuple[Notice, ...]:
        """Notices of the newest snapshot."""
        seen, changes = self.seat.snapshot, self._reading.changes()
        if self._told[0] is not seen or self._told[1] != changes:
            found = self._board.notices(seen.incidents, self._reading.works(), seen.nodes, seen.time)
            self._told = (seen, changes, found)
        return self._told[2]

    def close(self) -> None:
        self.store.close()
        self._reading.close()

    async def page(self, request: Request) -> Response:
        """The page for people."""
        figures = await self._known()
        told, now, trouble = self.told(), self.seat.present(), self.seat.trouble is not None
        # The same to all who look between two snapshots.
        if self._written is None or self._written[:4] != (told, figures, trouble, now):
            self._written = (told, figures, trouble, now, self._write(told, figures, now, trouble=trouble))
        return self._answers.give(request, self._written[4], "text/html")

    def _write(self, told: Sequence[Notice], figures: Figures, now: float, *, trouble: bool) -> bytes:
        shown = view(
            title=self.settings.title,
            contact=self.settings.contact,
            told=told,
            areas=areas_shown(self.places, self.seat.config.sites, [each for each in told if not each.over]),
            figures=figures,
            now=now,
            zone=self.seat.zone,
            exercise=self.seat.config.exercise,
            trouble=trouble,
        )
        return self._page.write(shown)

    async def feed(self, request: Request) -> Response:
        """All notices, or those of an area, as Atom."""
        base = self._link or base_of(request)
        slug = request.path_params.get("slug", "")
        told = self.told()
        if self._feeds[0] != told:
            self._feeds = (told, {})
        kept = self._feeds[1]
        if (slug, base) not in kept:
            body = self._feed(told, slug, base)
            if body is None:
                return PlainTextResponse("There is no such area.\n", 404)
            if len(kept) >= MOST_FEEDS:
                kept.clear()
            kept[slug, base] = body
        return self._answers.give(request, kept[slug, base], atom.FEED_TYPE)

    def _feed(self, told: Sequence[Notice], slug: str, base: str) -> bytes | None:
        """None where there is no such area."""
        name, path = self.settings.title, "feed.atom"
        if slug:
            areas = {each.slug: each.name for each in areas_shown(self.places, self.seat.config.sites, told)}
            if slug not in areas:
                return None
            told = [each for each in told if each.area.slug == slug]
            name, path = f"{name}: {areas[slug]}", f"area/{quote(slug)}/feed.atom"
        if self.seat.config.exercise:
            name = f"EXERCISE: {name}"
        entries = [_entry(each, self._sender, base) for each in told]
        return atom.feed(name, f"{base}/{path}", f"{base}/", self.settings.title, entries, 0)

    async def document(self, request: Request) -> Response:
        """A notice as it is now, as a CAP 1.2 document."""
        name = request.path_params["notice"]
        for each in self.told():
            if each.id == name:
                return self._answers.give(request, render(each.newest, self.seat.zone, self.seat.signer), MEDIA_TYPE)
        return PlainTextResponse("There is no such notice, or it was over a week ago.\n", 404)

    async def _known(self) -> Figures:
        """The figures; asked for anew beside the answer where they are old. The first reader waits a little."""
        now = asyncio.get_running_loop().time()
        if self.seat.snapshot.time and self._asking is None and now >= self._asked + FIGURES_SECONDS:
            first, self._asked = self._asked == float("-inf"), now
            self._asking = asyncio.create_task(self._ask())
            if first:
                await asyncio.wait([self._asking], timeout=FIRST_SECONDS)
        return self._figures

    async def _ask(self) -> None:
        seen, zone, ask, present = self.seat.snapshot, self.seat.zone, self.seat.ask, self.seat.present()
        zones = [each for each in self.places.areas if each.sort == "zone"]
        now = asyncio.get_running_loop().time()
        try:
            air, water = {}, self._figures.water
            if zones:
                air = await air_now(ask, zones, seen.incidents, present, self.settings.air_index, zone)
                if now >= self._asked_water + WATER_SECONDS:
                    water = water_of(await water_yesterday(self.seat, ask))
                    self._asked_water = now
            self._figures = Figures(air, water)
        except GanglionError as error:
            self._figures, self._asked_water = Figures(), float("-inf")  # rather nothing than what is old
            log.warning("the public page has no figures: %s", error)
        finally:
            self._asking = None


def _entry(notice: Notice, sender: str, base: str) -> atom.Entry:
    newest = notice.newest
    words = " ".join(text for text in (newest.description, newest.instruction) if text)
    return atom.Entry(
        name=f"{sender},{notice.id}",
        title=newest.headline,
        text=words,
        published=notice.documents[0].sent,
        updated=newest.sent,
        document=f"{base}/cap/{quote(notice.id)}.xml",
        page=f"{base}/",
        topics=(notice.topic,),
    )


def _file(name: str, media_type: str) -> "_Static":
    return _Static((files("gateway.citizens") / "static" / name).read_bytes(), media_type)


class _Static:
    """A file of ours, as an application."""

    def __init__(self, body: bytes, media_type: str) -> None:
        self._body = body
        self._media_type = media_type
        self._answers = Answers(shared=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._answers.give(Request(scope), self._body, self._media_type)
        await response(scope, receive, send)


async def _alive(request: Request) -> Response:
    return PlainTextResponse("alive\n")


class _Headers:
    """What every answer carries."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *HEADERS.items()]}
            await send(message)

        await self._app(scope, receive, send_with)
