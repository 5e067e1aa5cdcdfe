"""All incidents; one with its story; and to take note of it."""

from functools import partial
from typing import Final
from urllib.parse import unquote

import msgspec
from markupsafe import Markup
from nicegui import ui
from starlette.requests import Request

from gateway.cap.kinds import KINDS as KINDS_OF_CAP
from gateway.control.acknowledge import Note
from gateway.quantities import KINDS, QUANTITIES, measured_in
from gateway.records import Incident
from gateway.web.console import plot
from gateway.web.console.markup import (
    badge,
    called,
    facts,
    html,
    incident_url,
    join,
    moment,
    node_url,
    severity,
    short,
    span,
    table,
    url,
)
from gateway.web.console.shell import Console, Visitor, follow, invite, page, put, said
from gateway.web.console.states import open_ones, told
from gateway.web.seat import Snapshot

SHOWN: Final = 200
"""Ended incidents on the page; `ganglion incidents` has all."""
BEFORE_SECONDS: Final = 6 * 3600
AFTER_SECONDS: Final = 2 * 3600
"""What is shown of the series around an incident."""
_USUAL: Final = {"traffic": "speed", "water": "flow", "air": "pm2_5"}
_REGISTERS: Final = frozenset({"volume", "reverse_volume"})
"""Of a water meter: they only grow, what somebody looks for is the flow."""
_NAMES: Final = frozenset(each.name for each in QUANTITIES if not each.flag) - _REGISTERS


def register(console: Console) -> None:
    """`/incidents` and `/incidents/{id}`."""

    @ui.page("/incidents")
    async def all_of_them(request: Request) -> None:
        async with page(console, console.visitor(request), "Incidents", "/incidents"):
            put("<h1>Incidents</h1>")
            listed = put(console.once(_lists))

            def tell(_: Snapshot) -> None:
                listed.set_content(console.once(_lists))

            follow(console, tell)

    @ui.page("/incidents/{name:path}")
    async def one(request: Request, name: str) -> None:
        name = unquote(name)
        visitor = console.visitor(request)
        async with page(console, visitor, "Incident", "/incidents") as frame:
            incident = _find(console.seat.snapshot, name)
            if incident is None:
                put(html("<h1>No incident {name}</h1>", name=name))
                put('<p>It may have made room for newer ones. <a href="/incidents">All incidents</a></p>')
                return
            story = put(_story(console, incident))
            acting = ui.element("div")
            await _acting(console, visitor, acting, incident)
            frame.later(partial(_around, console, incident))

            async def tell(snapshot: Snapshot) -> None:
                nonlocal incident
                newer = _find(snapshot, name)
                if newer is None or newer == incident:
                    return
                before, incident = incident, newer
                story.set_content(_story(console, newer))
                if before is not None and before.acknowledged != newer.acknowledged:
                    await _acting(console, visitor, acting, newer)

            follow(console, tell)


def quantity_of(incident: Incident, kind: str) -> str:
    """What to draw of its node: what its evidence is about, or what nodes of the kind mainly measure."""
    for each in incident.evidence:
        name = each.what.partition(" ")[0]
        if name in _NAMES:
            return name
    return _USUAL.get(kind, "")


async def _around(console: Console, incident: Incident) -> None:
    """The series of its node, from before it began."""
    view = console.seat.snapshot.node(incident.site, incident.node)
    kind = view.kind if view else ""
    quantity = quantity_of(incident, kind)
    kind = kind or next((each for each in KINDS if any(one.name == quantity for one in measured_in(each))), "")
    if not quantity or not kind:
        return
    begin = (incident.since or incident.opened) - BEFORE_SECONDS
    end = AFTER_SECONDS + max(incident.closed or 0, incident.updated, incident.opened)
    what = plot.What(quantity, kind, incident.site, incident.node, incident.channel, begin, end)
    put(
        html(
            '<h2>{quantity} of {node} around it</h2><p><a href="{more}">More of this series</a></p>',
            quantity=quantity,
            node=incident.node or f"all of {incident.site}",
            more=url("/series", quantity=quantity, site=incident.site, node=incident.node, begin=begin, end=end),
        )
    )
    await plot.show(console, what)


async def _acting(console: Console, visitor: Visitor, place: ui.element, incident: Incident) -> None:
    """Take note, or who has."""
    place.clear()
    with place:
        if incident.acknowledged is not None:
            return
        if await visitor.name() is None:
            invite("Log in to acknowledge", incident_url(incident))
            return
        with ui.row().classes("acting"):
            note = ui.input("Note, if you like").props('maxlength=1000 data-test="note"')

            async def acknowledge() -> None:
                with said():
                    asker = await visitor.must()
                    body = msgspec.json.encode(Note(asker.who, note.value or ""))
                    await console.act(f"/api/v1{incident_url(incident)}/acknowledge", body, asker)
                    ui.notify("Acknowledged: everybody who looks at it sees that.", type="positive")

            ui.button("Acknowledge", on_click=acknowledge).props('data-test="acknowledge" no-caps')


def _find(snapshot: Snapshot, name: str) -> Incident | None:
    return next((each for each in snapshot.incidents if each.id == name and not each.held), None)


def _lists(console: Console) -> str:
    snapshot = console.seat.snapshot
    ended = [each for each in reversed(told(snapshot.incidents)) if each.closed is not None]
    columns = ("", "what", "where", "since", "until", "who knows", "why")
    return str(
        html(
            "<h2>Open</h2>{open}<h2>Ended</h2>{ended}",
            open=table(columns, (_row(console, each) for each in open_ones(snapshot.incidents)), "None is open."),
            ended=table(columns, (_row(console, each) for each in ended[:SHOWN]), "None has ended yet."),
        )
    )


def _row(console: Console, incident: Incident) -> tuple[object, ...]:
    zone = console.seat.zone
    link = html('<a href="{to}">{kind}</a>', to=incident_url(incident), kind=called(incident))
    return (
        severity(incident),
        join([link, badge("info", "DRILL")]) if incident.drill else link,
        incident.place,
        short(incident.since or incident.opened, zone),
        short(incident.closed, zone) if incident.closed is not None else "–",
        incident.acknowledged.by if incident.acknowledged else "–",
        incident.summary,
    )


def _story(console: Console, incident: Incident) -> str:
    zone = console.seat.zone
    spot = console.seat.plan.spot(incident.site, incident.node)
    lasted = (incident.closed or console.seat.newest()) - (incident.since or incident.opened)
    taken = incident.acknowledged
    evidence = table(
        ("evidence", "seen", "expected", "in words"),
        (
            (each.what, f"{each.seen:.4g} {each.unit}", f"{each.expected:.4g} {each.unit}", each.text)
            for each in incident.evidence
        ),
        "",
    )
    nodes = join(
        html('<a href="{to}">{node}</a> ', to=node_url(incident.site, node), node=node)
        for node in filter(None, (incident.node, *incident.nodes))
    )
    return str(
        html(
            "<h1>{kind} at {place} {badge}{drill}</h1><p class='lead'>{summary}</p>{facts}{evidence}",
            kind=called(incident).capitalize(),
            place=incident.place,
            badge=severity(incident),
            drill=badge("info", "DRILL") if incident.drill else "",
            summary=incident.summary,
            facts=facts(
                (
                    ("Where", spot.label if spot else ""),
                    ("Zone", ", ".join(console.seat.plan.zones_of(incident.site, incident.node))),
                    ("To do", KINDS_OF_CAP[incident.kind].instruction if incident.kind in KINDS_OF_CAP else ""),
                    ("Nodes", nodes or incident.site),
                    ("Began", moment(incident.since, zone) if incident.since else ""),
                    ("Noticed", moment(incident.opened, zone)),
                    ("Confirmed", moment(incident.confirmed, zone) if incident.confirmed else ""),
                    *(
                        (f"Was {each.kind}", f"until {moment(each.until, zone)}: {each.summary}")
                        for each in incident.was
                    ),
                    ("Newest evidence", moment(incident.updated, zone) if incident.updated else ""),
                    ("Ended", moment(incident.closed, zone) if incident.closed is not None else ""),
                    ("Lasted" if incident.closed is not None else "Lasts", span(lasted)),
                    ("Came again", f"{incident.reopened} times" if incident.reopened else ""),
                    ("Acknowledged", f"by {taken.by}, {moment(taken.time, zone)}" if taken else "by nobody yet"),
                    ("Note", taken.note if taken else ""),
                )
            ),
            evidence=evidence if incident.evidence else Markup(""),
        )
    )
