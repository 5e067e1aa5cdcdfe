"""`/told`: who is told of what, how that goes, a test message, and drills."""

import asyncio
import time
from pathlib import Path
from typing import Final

import msgspec
from nicegui import ui
from starlette.requests import Request

from gateway.cap.kinds import KINDS
from gateway.errors import GanglionError
from gateway.notify.answer import Answer
from gateway.notify.drill import Drill
from gateway.notify.state import Standing, standing
from gateway.web.console.markup import badge, html, moment, refused, table
from gateway.web.console.shell import Console, Visitor, follow, invite, page, put, said
from gateway.web.console.states import open_ones
from gateway.web.seat import Snapshot

INTRODUCTION: Final = (
    "<h1>Who is told</h1><p>Of which incidents, when and how stands in <code>[[notify]]</code> of the configuration. "
    'Programs read the <a href="/cap/feed.atom">feed of CAP alerts</a>.</p>'
)
DRILLS: Final = (
    "<h2>A drill</h2><p>An incident that goes every way that a real one goes, marked as an exercise on each.</p>"
)


def register(console: Console) -> None:
    """`/told`."""

    @ui.page("/told")
    async def told(request: Request) -> None:
        visitor = console.visitor(request)
        async with page(console, visitor, "Told", "/told"):
            put(INTRODUCTION)
            listed = put(await _targets(console))

            async def tell(snapshot: Snapshot) -> None:
                listed.set_content(await _targets(console))

            follow(console, tell)
            if await visitor.name() is None:
                invite("Log in to test it", "/told")
                return
            _tests(console, visitor)
            _drills(console, visitor)


async def _targets(console: Console) -> str:
    config = console.seat.config
    try:
        found = await asyncio.to_thread(standing, Path(config.data_dir))
    except GanglionError as error:
        return str(refused(error))
    known = {each.name: each for each in found}
    rows = (_row(console, known.get(each.name) or Standing(each.name, _via(each))) for each in config.notify)
    columns = ("", "target", "by", "waiting", "later", "sent", "given up", "refused", "last taken", "last trouble")
    return str(table(columns, rows, "Nobody is told: the configuration has no [[notify]]."))


def _row(console: Console, each: Standing) -> tuple[object, ...]:
    zone = console.seat.zone
    trouble = f"{moment(each.failure, zone)}: {each.trouble}" if each.trouble else "–"
    state = badge("warning", "fails") if each.failing else badge("ok", "works") if each.success else badge("new", "new")
    counts = (each.waiting, each.later, each.sent, each.dropped, each.refused)
    return (state, each.name, each.via, *(f"{count:,}" for count in counts), moment(each.success, zone), trouble)


def _tests(console: Console, visitor: Visitor) -> None:
    if not console.seat.config.notify:
        return
    put("<h2>A test message</h2>")
    with ui.row().classes("controls"):
        name = ui.select([each.name for each in console.seat.config.notify], label="Target")
        name.value = console.seat.config.notify[0].name

        async def send() -> None:
            with said():
                asker = await visitor.must()
                body = await console.act(f"/api/v1/notify/{name.value}/test", b"", asker)
                answer = msgspec.json.decode(body, type=Answer)
                words = f"{name.value}: {answer.words}"
                ui.notify(words, type="positive" if answer.taken else "negative", timeout=0, close_button="Close")

        ui.button("Send it", on_click=send).props('data-test="send" no-caps')


def _drills(console: Console, visitor: Visitor) -> None:
    put(DRILLS)
    with ui.row().classes("controls"):
        kind = ui.select(sorted(KINDS), value="burst", label="Kind")
        site = ui.select(list(console.seat.config.sites), value=console.seat.config.sites[0], label="Site")
        node = ui.input("Node", placeholder="the whole site").props("stack-label")
        minutes = ui.number("Minutes", value=30, min=1, max=1440, format="%d").props("stack-label")

        async def begin() -> None:
            with said():
                asker = await visitor.must()
                length = int(minutes.value or 30)
                drill = Drill(kind.value, site.value, round(time.time()), (node.value or "").strip(), length)
                await console.act("/api/v1/incidents/drill", msgspec.json.encode(drill), asker)
                ui.notify("The drill has begun.", type="positive")

        ui.button("Begin", on_click=begin).props('data-test="drill" no-caps')
    place = ui.element("div")
    shown: list[str] = []

    def tell(snapshot: Snapshot) -> None:
        names = [each.id for each in open_ones(snapshot.incidents) if each.drill]
        if names != shown:
            shown[:] = names
            place.clear()
            with place:
                for name in names:
                    _open_drill(console, visitor, name)

    tell(console.seat.snapshot)
    follow(console, tell)


def _open_drill(console: Console, visitor: Visitor, name: str) -> None:
    async def end() -> None:
        with said():
            asker = await visitor.must()
            await console.act(f"/api/v1/incidents/{name}/end", b"", asker)
            ui.notify("The drill has ended.", type="positive")

    with ui.row().classes("controls"):
        put(html('<a href="/incidents/{name}">{name}</a>', name=name))
        ui.button("End it", on_click=end).props("no-caps outline")


def _via(settings: msgspec.Struct) -> str:
    return str(settings.__struct_config__.tag)
