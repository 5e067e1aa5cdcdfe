"""What all pages share: the frame around them, who looks, and how they hear of news."""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from markupsafe import Markup
from nicegui import background_tasks, ui
from nicegui.client import Client
from starlette.requests import HTTPConnection

from gateway.audit.asker import Asker
from gateway.control.caller import Caller, ControlError
from gateway.errors import ConfigError, GanglionError
from gateway.web.console.map import Drawn, draw
from gateway.web.console.markup import html, join, url
from gateway.web.console.states import Key, states
from gateway.web.seat import Seat, Snapshot
from gateway.web.users import Users

log = logging.getLogger(__name__)

COOKIE: Final = "ganglion_session"
PATIENCE_SECONDS: Final = 5.0
"""How long somebody who acts waits for a gateway that does not answer, or whose journal is full."""
PAGES: Final = (
    ("/", "Map"),
    ("/incidents", "Incidents"),
    ("/series", "Series"),
    ("/nodes", "Nodes"),
    ("/told", "Told"),
    ("/weeks", "Reports"),
    ("/ledger", "Ledger"),
    ("/letters", "Dead letters"),
    ("/audit", "Audit"),
)
SOON_SECONDS: Final = 1.0
"""How long a page waits for what takes long before it is sent without: it must not be lost with it."""
MANY: Final = 100
"""Pages at once. Beyond them those go soon that no browser has taken up: each holds a map, and anybody may ask for them
as fast as a program can."""
HURRY_SECONDS: Final = 5.0
T = TypeVar("T")
HEAD: Final = '<link rel="stylesheet" href="/static/style.css"><script src="/static/console.js" defer></script>'


class Console:
    """One a process."""

    def __init__(self, seat: Seat) -> None:
        settings = seat.config.console
        assert settings is not None
        self.seat = seat
        self.settings = settings
        self.users = Users(Path(seat.config.data_dir))
        self._made: tuple[Snapshot, dict[Any, Any]] | None = None
        self._drawn: tuple[dict[Key, str], Drawn] | None = None

    def visitor(self, connection: HTTPConnection) -> "Visitor":
        came = connection.client.host if connection.client else ""
        return Visitor(self.users, connection.cookies.get(COOKIE, ""), Path(self.seat.config.data_dir), came)

    def once(self, make: Callable[["Console"], T]) -> T:
        """What `make` makes of the present snapshot: made once for all who look."""
        snapshot = self.seat.snapshot
        if self._made is None or self._made[0] is not snapshot:
            self._made = snapshot, {}
        made = self._made[1]
        if make not in made:
            made[make] = make(self)
        found: T = made[make]
        return found

    def states(self) -> dict[Key, str]:
        """Of the present snapshot's nodes; nobody changes it."""
        return self.once(_states)

    def map(self) -> Drawn:
        """Of the present snapshot; made once for all who look."""
        now = self.states()
        if self._drawn is None or self._drawn[0] != now:
            self._drawn = now, draw(self.seat.plan, self.seat.snapshot.nodes, now)
        return self._drawn[1]

    async def act(self, path: str, body: bytes, asker: Asker) -> bytes:
        """Have the gateway do something. Raises GanglionError in words for the person who acts."""

        def post() -> bytes:
            caller = Caller(self.seat.config, lambda words: None, PATIENCE_SECONDS, PATIENCE_SECONDS, asker)
            return caller.post(path, body)

        return await asyncio.to_thread(post)


def _states(console: Console) -> dict[Key, str]:
    snapshot = console.seat.snapshot
    return states(snapshot.nodes, snapshot.incidents, snapshot.time)


class Visitor:
    """Who looks at one page. Whether they may act is looked up each time: a session ends, also by others."""

    def __init__(self, users: Users, token: str, data_dir: Path, came: str) -> None:
        """`came` is the address that asked for the page."""
        self._users = users
        self._folder = data_dir
        self._came = came
        self.token = token

    async def name(self) -> str | None:
        """Of the user who has logged in; None for anybody else, and while accounts cannot be read: to look goes on."""
        try:
            return await self._who()
        except ConfigError as error:
            log.warning("nobody counts as logged in: %s", error)
            return None

    async def _who(self) -> str | None:
        if not self.token:
            return None
        return await asyncio.to_thread(self._users.who, self.token, time.time())

    async def must(self) -> Asker:
        """Who acts. Raises ControlError for who may only look, ConfigError when accounts cannot be read."""
        name = await self._who()
        if name is None:
            raise ControlError("your session has ended: log in again")
        return Asker(self._folder, name, self._came)


class Frame:
    """A page that is being made."""

    def __init__(self) -> None:
        self._client = ui.context.client
        self._parts: dict[asyncio.Task[None], ui.element] = {}

    def later(self, work: Callable[[], Awaitable[None]]) -> None:
        """A place in the page for what `work` makes, which may wait for a database or broker that does not answer."""
        place = ui.element("div")

        async def fill() -> None:
            with place:
                await work()

        task = background_tasks.create(fill(), name="later")
        self._client.on_delete(task.cancel)
        self._parts[task] = place

    async def wait(self) -> None:
        """What comes soon is in the page when it is sent; the rest follows."""
        if not self._parts:
            return
        _, late = await asyncio.wait(self._parts, timeout=SOON_SECONDS)
        for task in late:
            with self._parts[task]:
                note = put('<p class="empty" role="status">This takes long to come …</p>')
            task.add_done_callback(functools.partial(_away, note))


def _away(note: ui.element, _: "asyncio.Task[None]") -> None:
    if not note.is_deleted:
        note.delete()


@contextlib.asynccontextmanager
async def page(console: Console, visitor: Visitor, title: str, at: str = "") -> AsyncIterator[Frame]:
    """The frame; what is made in the block is its content. `at` is the path of the entry of the menu it belongs to."""
    make_room()
    name = await visitor.name()
    ui.page_title(f"{title} · Ganglion")
    ui.add_head_html(HEAD)
    ui.colors(primary="#005a8f", positive="#00724f", negative="#b03a00", warning="#8a5800")
    put(_header(at, name), "header")
    config = console.seat.config
    if config.exercise:
        put("EXERCISE: this city is simulated, nothing here is real.").classes("banner exercise")
    trouble = put("").classes("banner trouble").props('role="status"')

    def tell(snapshot: Snapshot) -> None:
        words = console.seat.trouble or _trouble(snapshot)
        trouble.set_content(str(html("{words}", words=words)) if words else "")
        trouble.set_visibility(bool(words))

    tell(console.seat.snapshot)
    follow(console, tell)
    frame = Frame()
    with ui.element("div").classes("content").props('id="content" tabindex="-1"'):  # within NiceGUI's own <main>
        yield frame
    await frame.wait()


def invite(words: str, to: str) -> None:
    """A button to log in, which leads back to the path `to`."""
    put(html('<p><a class="button" href="{href}">{words}</a></p>', href=url("/login", to=to), words=words))


def make_room() -> None:
    """NiceGUI itself keeps pages that no browser takes up for a minute."""
    if len(Client.instances) > MANY:
        Client.prune_instances(client_age_threshold=HURRY_SECONDS)


def put(text: str, tag: str = "div") -> ui.html:
    """HTML of ours, with everything of others escaped already."""
    return ui.html(str(text), sanitize=False, tag=tag)


def follow(console: Console, tell: Callable[[Snapshot], None] | Callable[[Snapshot], Awaitable[None]]) -> None:
    """Call `tell` with each new snapshot for as long as this page is open."""
    client = ui.context.client

    async def work() -> None:
        seen = console.seat.snapshot
        while not _gone(client):
            seen = await console.seat.newer(seen)
            if client.has_socket_connection:
                with client:
                    result = tell(seen)
                    if result is not None:
                        await result

    task = background_tasks.create(work(), name="follow")
    client.on_delete(task.cancel)


def _gone(client: Client) -> bool:
    return client.id not in Client.instances


@contextlib.contextmanager
def said() -> Iterator[None]:
    """What goes wrong in the block is told to the person who acts."""
    try:
        yield
    except GanglionError as error:
        ui.notify(str(error), type="negative", multi_line=True, timeout=0, close_button="Close")


def _header(at: str, name: str | None) -> str:
    here = Markup(' aria-current="page"')
    links = join(
        html('<a href="{path}"{here}>{word}</a>', path=path, word=word, here=here if path == at else "")
        for path, word in PAGES
    )
    if name is None:
        who = html('<a class="who" href="/login" id="login">Log in</a>')
    else:
        who = html(
            '<form class="who" method="post" action="/logout"><span>{name}</span> <button>Log out</button></form>',
            name=name,
        )
    return str(
        html(
            '<a class="skip" href="#content">Skip to the content</a><a class="brand" href="/">Ganglion</a>'
            '<nav aria-label="Pages">{links}</nav>{who}',
            links=links,
            who=who,
        )
    )


def _trouble(snapshot: Snapshot) -> str:
    figures = snapshot.figures
    if figures is None:
        return "The journal has not been read yet."
    if figures.bytes >= figures.max_bytes:
        return "The journal is full: packs wait at the broker until the database takes some."
    return ""
