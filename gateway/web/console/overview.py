"""The first page: the map, and what is wrong."""

import json

from markupsafe import Markup
from nicegui import ui
from starlette.requests import Request

from gateway.records import Incident
from gateway.web.console.map import element, legend
from gateway.web.console.markup import badge, html, incident_url, join, severity, short
from gateway.web.console.shell import Console, follow, page, put
from gateway.web.console.states import BY_NAME, RANK, Key, open_ones
from gateway.web.seat import Snapshot

SHOWN = 30
"""Incidents beside the map; all are on their own page."""


def register(console: Console) -> None:
    """`/`."""

    @ui.page("/")
    async def overview(request: Request) -> None:
        async with page(console, console.visitor(request), "Map", "/"):
            seen = dict(console.states())
            with ui.element("div").classes("overview"):
                with ui.element("section").classes("map").props('aria-label="Map"'):
                    counts = put(_counts(seen))
                    put(console.map().svg).classes("canvas")
                    put(_TOOLS)
                    put(legend())
                with ui.element("section").classes("wrong").props('aria-labelledby="wrong"'):
                    put("<h1 id='wrong'>What is wrong</h1>")
                    listed = put(wrong(console, console.seat.snapshot))
                    listed.props('aria-live="polite"')

            def tell(snapshot: Snapshot) -> None:
                now = console.states()
                if now is not seen and now != seen:
                    changed = {
                        element(*key): (name, BY_NAME[name].sign, f"{key[1]}: {BY_NAME[name].words}")
                        for key, name in now.items()
                        if seen.get(key) != name
                    }
                    new = now.keys() - seen.keys()
                    seen.clear()
                    seen.update(now)
                    counts.set_content(_counts(seen))
                    if new:  # the map itself has changed
                        ui.run_javascript(f"ganglion.map({json.dumps(str(console.map().svg))})")
                    else:
                        ui.run_javascript(f"ganglion.states({json.dumps(changed)})")
                listed.set_content(wrong(console, snapshot))

            follow(console, tell)


def wrong(console: Console, snapshot: Snapshot) -> str:
    """The open incidents, the worst first, each with its story in a sentence."""
    found = open_ones(snapshot.incidents)
    if not found:
        return '<p class="empty">Nothing is wrong that anybody would have noticed.</p>'
    items = join(_item(console, each, snapshot.time) for each in found[:SHOWN])
    more = html('<p><a href="/incidents">{n} more</a></p>', n=len(found) - SHOWN) if len(found) > SHOWN else Markup("")
    return str(html('<ul class="incidents">{items}</ul>{more}', items=items, more=more))


def _item(console: Console, incident: Incident, now: float) -> Markup:
    taken = incident.acknowledged
    return html(
        '<li><a href="{href}">{badge} <b>{kind}</b> at {place}{drill}<span class="when">since {since}</span>'
        '<span class="story">{story}</span><span class="ack">{ack}</span></a></li>',
        href=incident_url(incident),
        badge=severity(incident),
        kind=incident.kind.replace("_", " "),
        place=incident.node or incident.site,
        drill=badge("info", "DRILL") if incident.drill else "",
        since=short(incident.since or incident.opened, console.seat.zone),
        story=incident.summary,
        ack=f"{taken.by} knows" if taken else "nobody has taken note",
    )


def _counts(states: dict[Key, str]) -> str:
    """How many nodes are how."""
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
