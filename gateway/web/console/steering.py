"""The part of a node's page that talks with it: what is wanted of it, commands, updates. To look takes no login."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from nicegui import ui

from gateway.errors import GanglionError
from gateway.steer import talk
from gateway.steer.wanted import Table, flat, merge, parse
from gateway.update import offer
from gateway.update.store import Store
from gateway.web.console.markup import facts, html, node_url, table
from gateway.web.console.shell import Console, Visitor, invite, put, said

WAIT_SECONDS: Final = 10.0
"""How long a node may take to answer."""
EASY: Final = ("identify", "sample", "logs", "time", "reboot", "update")
"""Commands that take no arguments; the others are for `ganglion command`."""


async def show(console: Console, visitor: Visitor, site: str, node: str) -> None:
    """Below the rest of the page."""
    may = await visitor.name() is not None
    put("<h2>Configuration</h2>")
    wanted = ui.element("div")
    await _configuration(console, wanted, site, node)
    if may:
        await _change(console, visitor, wanted, site, node)
    put("<h2>Update</h2>")
    update = ui.element("div")
    await _update(console, update, site, node)
    if may:
        _offers(console, visitor, update, site, node)
        put("<h2>Commands</h2>")
        _commands(console, visitor, site, node)
    else:
        invite("Log in to act on it", node_url(site, node))


async def _configuration(console: Console, place: ui.element, site: str, node: str) -> None:
    place.clear()
    try:
        standing = await talk.standing(console.seat.config.mqtt, site, node)
    except GanglionError as error:
        text = html('<p class="empty">{words}</p>', words=str(error))
    else:
        reported = standing.reported
        wanted, has = flat(standing.wanted), flat(reported.taken if reported else {})
        refused = reported.refused if reported else {}
        rows = (
            (key or "(all)", _json(wanted, key), _json(has, key), refused.get(key, ""))
            for key in dict.fromkeys([*wanted, *has, *refused])
        )
        columns = ("key", "wanted", "the node has", "refused because")
        text = table(columns, rows, "Nothing is wanted of it but what it came with.")
    with place:
        put(text)


async def _change(console: Console, visitor: Visitor, place: ui.element, site: str, node: str) -> None:
    with ui.row().classes("controls"):
        given = ui.input("Want", placeholder="window_s=30").props('data-test="want" stack-label')

        async def want() -> None:
            with said():
                asker = await visitor.must()
                change = parse((given.value or "").split())
                if not change:
                    ui.notify("Say what is wanted, such as window_s=30.", type="negative")
                    return
                made: Callable[[Table], Table] = lambda before: merge(before, change)  # noqa: E731
                mqtt = console.seat.config.mqtt
                standing = await talk.configure(mqtt, site, node, made, WAIT_SECONDS, asker)
                words = "The node has answered." if standing.reported else "No answer yet: the broker keeps it for it."
                ui.notify(words, type="positive" if standing.reported else "warning")
                await _configuration(console, place, site, node)

        ui.button("Ask for it", on_click=want).props("no-caps")


def _commands(console: Console, visitor: Visitor, site: str, node: str) -> None:
    put(facts((op, talk.OPS[op]) for op in EASY))
    reply = put("").props('aria-live="polite"')

    def give(op: str) -> Callable[[], object]:
        async def work() -> None:
            with said():
                asker = await visitor.must()
                answer = await talk.command(console.seat.config.mqtt, site, node, op, {}, WAIT_SECONDS, asker)
                told = "no answer yet: should it connect within a day, it gets the command then"
                text = msgspec.json.format(msgspec.json.encode(answer.reply)).decode() if answer.reply else told
                reply.set_content(str(html("<h3>{op}</h3><pre>{text}</pre>", op=op, text=text)))

        return work

    with ui.row().classes("controls"):
        for op in EASY:
            ui.button(op, on_click=give(op)).props("no-caps outline")


async def _update(console: Console, place: ui.element, site: str, node: str) -> None:
    place.clear()
    try:
        found = await offer.standings(console.seat.config.mqtt, [site])
    except GanglionError as error:
        text = html('<p class="empty">{words}</p>', words=str(error))
    else:
        mine = [each for each in found if each.node == node]
        columns = ("runs", "offered", "about", "state", "reason")
        rows = ((each.firmware, each.wanted, each.version, each.state, each.reason) for each in mine)
        text = table(columns, rows, "It is offered none, and has reported on none.")
    with place:
        put(text)


def _offers(console: Console, visitor: Visitor, place: ui.element, site: str, node: str) -> None:
    store = Store(Path(console.seat.config.data_dir))
    view = console.seat.snapshot.node(site, node)
    fitting = [each for each in store.manifests() if view is not None and view.board in each.boards]
    with ui.row().classes("controls"):
        if not fitting:
            words = "No package for its board is on offer: <code>ganglion update publish</code> brings one."
            put(f'<p class="note">{words}</p>')
        else:
            chosen = ui.select(
                {each.sha256: each.version for each in fitting}, value=fitting[0].sha256, label="Package"
            )

            async def publish() -> None:
                with said():
                    asker = await visitor.must()
                    manifest = next(each for each in fitting if each.sha256 == chosen.value)
                    await offer.publish(console.seat.config.mqtt, manifest, [(site, node)], asker)
                    ui.notify(f"Version {manifest.version} is offered.", type="positive")
                    await _update(console, place, site, node)

            ui.button("Offer", on_click=publish).props("no-caps")

        async def withdraw() -> None:
            with said():
                asker = await visitor.must()
                found = await offer.withdraw(console.seat.config.mqtt, site, node, asker)
                ui.notify("Taken back." if found else "Nothing was offered.", type="positive")
                await _update(console, place, site, node)

        ui.button("Take the offer back", on_click=withdraw).props("no-caps outline")


def _json(table: Table, key: str) -> str:
    return msgspec.json.encode(table[key]).decode() if key in table else "–"
