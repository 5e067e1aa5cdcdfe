"""`/letters`: packs that were refused, with their bytes and reason; and to take them in again."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from markupsafe import Markup
from nicegui import ui
from starlette.requests import Request

from gateway.audit.asker import Asker
from gateway.control.replay import Replay, Replayed
from gateway.journal.letters import Letters
from gateway.web.console.markup import html, moment, table, url
from gateway.web.console.shell import Console, Visitor, invite, page, put, said

SHOWN: Final = 200
"""The newest."""
BYTES: Final = 600
"""Of each that are shown; `ganglion dead-letters --json` has all."""


def register(console: Console) -> None:
    """`/letters`."""

    @ui.page("/letters")
    async def letters(request: Request, reason: str = "") -> None:
        visitor = console.visitor(request)
        async with page(console, visitor, "Dead letters", "/letters"):
            put("<h1>Dead letters</h1><p>What was refused, the newest first, whole and with its reason. Once the"
                    " reason is gone they can be taken in again.</p>")  # fmt: skip
            place = ui.element("div")

            async def show() -> None:
                found = await console.seat.look(lambda journal: journal.dead_letters(SHOWN))
                place.clear()
                with place:
                    put(_table(console, found, reason))

            if await visitor.name() is None:
                invite("Log in to replay", "/letters")
            else:
                await _acting(console, visitor, reason, show)
            await show()


async def _acting(console: Console, visitor: Visitor, reason: str, show: Callable[[], Awaitable[None]]) -> None:
    with ui.row().classes("controls"):
        number = ui.input("Number", placeholder="all").props('data-test="number" inputmode="numeric" stack-label')

        async def again() -> None:
            with said():
                asker = await visitor.must()
                numbers = (int(number.value),) if (number.value or "").strip().isdigit() else ()
                if (number.value or "").strip() and not numbers:
                    ui.notify("A letter's number is written in digits.", type="negative")
                    return
                taken, refused = await replay(console, Replay(numbers=numbers, reason=reason), asker)
                words = f"{taken} taken in, {refused} still refused"
                ui.notify(words, type="positive" if not refused else "warning", timeout=0, close_button="Close")
                await show()

        words = f"Take in again, of reason {reason}" if reason else "Take in again"
        ui.button(words, on_click=again).props('data-test="replay" no-caps')


async def replay(console: Console, which: Replay, asker: Asker) -> tuple[int, int]:
    """Have the gateway take letters in again: (taken in, still refused). Raises GanglionError."""
    taken = refused = 0
    while True:
        body = await console.act("/api/v1/dead-letters/replay", msgspec.json.encode(which), asker)
        done = msgspec.json.decode(body, type=Replayed)
        taken, refused = taken + done.taken, refused + len(done.refused)
        if not done.more:
            return taken, refused
        which = msgspec.structs.replace(which, after=done.after, upto=done.upto)


def _table(console: Console, found: Letters, reason: str) -> Markup:
    counts = Counter(letter.reason for _, letter in found)
    chosen = [(number, letter) for number, letter in found if reason in ("", letter.reason)]
    filters = Markup(", ").join(
        html('<a href="{to}">{n} {reason}</a>', to=url("/letters", reason=each), n=n, reason=each)
        for each, n in counts.most_common()
    )
    rows = (
        (
            number,
            moment(each.received, console.seat.zone),
            each.topic,
            html("<b>{reason}</b><br>{detail}", reason=each.reason, detail=each.detail),
            html("<pre>{text}{more}</pre>", text=each.payload[:BYTES].decode("utf-8", "backslashreplace"),
                 more=f" … {len(each.payload)} bytes" if len(each.payload) > BYTES else ""),
        )
        for number, each in chosen
    )  # fmt: skip
    return html(
        "<p>{filters}{all}</p>{rows}",
        filters=filters,
        all=html(' · <a href="/letters">all reasons</a>') if reason else "",
        rows=table(("number", "received", "topic", "reason", "bytes"), rows, "There is no dead letter."),
    )
