"""The first page: the map, and what is wrong."""

import json

from markupsafe import Markup
from nicegui import ui
from starlette.requests import Request

from gateway.records import Incident
from gateway.web.console.map import element, legend
from gateway.web.console.markup import badge, called, html, incident_url, join, severity, short
from gateway.web.console.shell import Console, follow, page, put
from gateway.web.console.states import BY_NAME, RANK, Key, open_ones
from gateway.web.seat import Snapshot

SHOWN = 30
"""Incidents beside the map; all are on their own page."""


def register(console: Console) -> None:
    """`/`."""

    changes = _Changes(console)

    @ui.page("/")
    async def overview(request: Request) -> None:
        async with page(console, console.visitor(request), "Map", "/"):
            seen = console.states()
            # As HTML beside the page's elements: among them it would be escaped, sent and read as a text of JSON.
            ui.add_body_html(f'<template id="map-drawn">{console.map().svg}</template>')
            with ui.element("div").classes("overview"):
                with ui.element("section").classes("map").props('aria-label="Map"'):
                    counts = put(console.once(_counts))
                    put("<ganglion-map></ganglion-map>").classes("canvas")
                    put(_TOOLS)
                    put(legend())
                with ui.element("section").classes("wrong").props('aria-labelledby="wrong"'):
                    put("<h1 id='wrong'>What is wrong</h1>")
                    listed = put(console.once(wrong))
                    listed.props('aria-live="polite"')

            def tell(_: Snapshot) -> None:
                nonlocal seen
                before, seen = seen, console.states()
                if code := changes.since(before):
                    counts.set_content(console.once(_counts))
                    ui.run_javascript(code)
                listed.set_content(console.once(wrong))

            follow(console, tell)


class _Changes:
    """What a page has to do to show the present states: nearly all pages have seen the same before."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: tuple[dict[Key, str], dict[Key, str], str] | None = None

    def since(self, before: dict[Key, str]) -> str:
        """JavaScript; empty when nothing has changed."""
        now = self._console.states()
        if self._last is None or self._last[0] is not before or self._last[1] is not now:
            self._last = before, now, self._code(before, now)
        return self._last[2]

    def _code(self, before: dict[Key, str], now: dict[Key, str]) -> str:
        if now == before:
            return ""
        if now.keys() - before.keys():  # the map itself has changed
            return f"ganglion.map({json.dumps(str(self._console.map().svg))})"
        changed = {
            element(*key): (name, BY_NAME[name].sign, f"{key[1]}: {BY_NAME[name].words}")
            for key, name in now.items()
            if before[key] != name
        }
        return f"ganglion.states({json.dumps(changed)})"


def wrong(console: Console) -> str:
    """The open incidents, the worst first, each with its story in a sentence."""
    found = open_ones(console.seat.snapshot.incidents)
    if not found:
        return '<p class="empty">Nothing is wrong that anybody would have noticed.</p>'
    items = join(_item(console, each) for each in found[:SHOWN])
    more = html('<p><a href="/incidents">{n} more</a></p>', n=len(found) - SHOWN) if len(found) > SHOWN else Markup("")
    return str(html('<ul class="incidents">{items}</ul>{more}', items=items, more=more))


def _item(console: Console, incident: Incident) -> Markup:
    taken = incident.acknowledged
    return html(
        '<li><a href="{href}">{badge} <b>{kind}</b> at {place}{drill}<span class="when">since {since}</span>'
        '<span class="story">{story}</span><span class="ack">{ack}</span></a></li>',
        href=incident_url(incident),
        badge=severity(incident),
        kind=called(incident),
        place=incident.node or incident.site,
        drill=badge("info", "DRILL") if incident.drill else "",
        since=short(incident.since or incident.opened, console.seat.zone),
        story=incident.summary,
        ack=f"{taken.by} knows" if taken else "nobody has taken note",
    )


def _counts(console: Console) -> str:
    """How many nodes are how."""
    states = console.states()
    names = sorted(set(states.values()), key=RANK.__getitem__)
    found = list(states.values())
    parts = (html("<li>{badge} {n}</li>", badge=badge(name), n=found.count(name)) for name in names)
    return str(html('<ul class="counts">{parts}</ul>', parts=join(parts))) if names else (
        '<p class="empty">No node was heard yet.</p>'
    )  # fmt: skip


_TOOLS = (
    '<div class="tools"><button type="button" onclick="ganglion.zoom(.7)" aria-label="Nearer">+</button>'
    '<button type="button" onclick="ganglion.zoom(1.43)" aria-label="Farther">−</button>'
    '<button type="button" onclick="ganglion.whole()">whole map</button></div>'
)
