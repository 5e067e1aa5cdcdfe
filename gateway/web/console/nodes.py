"""`/nodes`: all of them, and one with all that is known of it."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from nicegui import ui
from starlette.requests import Request

from gateway.errors import GanglionError
from gateway.liveness import silent
from gateway.quantities import measured_in
from gateway.query.influxql import quote_name, quote_text
from gateway.records import Gap, NodeView
from gateway.web.console import plot, steering
from gateway.web.console.markup import (
    badge,
    called,
    choices,
    facts,
    html,
    incident_url,
    moment,
    node_url,
    severity,
    short,
    table,
    url,
)
from gateway.web.console.shell import Console, follow, page, put
from gateway.web.console.states import RANK, open_ones, told
from gateway.web.seat import Snapshot

SHOWN: Final = 250
"""Nodes on the page; whoever looks for another narrows it down."""
DAY: Final = 86_400
# What a node's page draws of the newest day.
DRAWN: Final = {"traffic": ("speed", "volume"), "water": ("flow",), "air": ("pm2_5", "co2")}
MOST: Final = 20
"""Incidents and gaps of a node on its page."""


def register(console: Console) -> None:
    """`/nodes` and `/nodes/{site}/{node}`."""

    @ui.page("/nodes")
    async def nodes(request: Request, like: str = "", kind: str = "", state: str = "") -> None:
        async with page(console, console.visitor(request), "Nodes", "/nodes"):
            put("<h1>Nodes</h1>")
            put(_form(like, kind, state))
            listed = put(_list(console, like, kind, state))

            def tell(snapshot: Snapshot) -> None:
                listed.set_content(_list(console, like, kind, state))

            follow(console, tell)

    @ui.page("/nodes/{site}/{node}")
    async def one(request: Request, site: str, node: str) -> None:
        visitor = console.visitor(request)
        async with page(console, visitor, node, "/nodes") as frame:
            view = console.seat.snapshot.node(site, node)
            if view is None:
                put(html("<h1>No node {site}/{node} was heard</h1>", site=site, node=node))
                put('<p><a href="/nodes">All nodes</a></p>')
                return
            state = put(_standing(console, view))

            def tell(snapshot: Snapshot) -> None:
                if (now := snapshot.node(site, node)) is not None:
                    state.set_content(_standing(console, now))

            follow(console, tell)
            end = console.seat.newest()
            for quantity in DRAWN.get(view.kind, ()):
                more = url("/series", quantity=quantity, site=site, node=node, last="7d")
                put(html('<h2>{what}, the newest day</h2><p><a href="{more}">More</a></p>', what=quantity, more=more))
                what = plot.What(quantity, view.kind, site, node, "", end - DAY, end)
                frame.later(partial(plot.show, console, what))
            gaps = await console.seat.look(lambda journal: journal.gaps(site, node))
            put(_rest(console, view, gaps))
            frame.later(partial(_health, console, view))
            frame.later(partial(steering.show, console, visitor, site, node))


def _form(like: str, kind: str, state: str) -> str:
    kinds = choices(((each, each or "all") for each in ("", "traffic", "water", "air")), kind)
    states = choices(((each, each or "all") for each in ("", *RANK)), state)
    return str(
        html(
            '<form class="controls"><label>Name <input name="like" value="{like}"></label>'
            '<label>Kind <select name="kind">{kinds}</select></label>'
            '<label>State <select name="state">{states}</select></label><button>Show</button></form>',
            like=like,
            kinds=kinds,
            states=states,
        )
    )


def _list(console: Console, like: str, kind: str, state: str) -> str:
    states = console.states()
    found = [
        view
        for view in console.seat.snapshot.nodes
        if like in f"{view.site}/{view.node}"
        and kind in ("", view.kind)
        and state in ("", states.get((view.site, view.node), "ok"))
    ]
    found.sort(key=lambda view: -RANK[states.get((view.site, view.node), "ok")])
    zone = console.seat.zone
    rows = (
        (
            badge(states.get((view.site, view.node), "ok")),
            html('<a href="{to}">{name}</a>', to=node_url(view.site, view.node), name=f"{view.site}/{view.node}"),
            view.kind or "?",
            f"{view.packs:,}",
            f"{view.gaps:,}",
            short(view.time, zone) if view.time else "–",
            view.firmware,
            view.board,
        )
        for view in found[:SHOWN]
    )
    columns = ("", "node", "kind", "packs", "missing", "newest pack", "firmware", "board")
    more = html("<p>{n} more: narrow it down.</p>", n=len(found) - SHOWN) if len(found) > SHOWN else ""
    return str(html("{rows}{more}", rows=table(columns, rows, "No node is like that."), more=more))


def _standing(console: Console, view: NodeView) -> str:
    key, zone, now = (view.site, view.node), console.seat.zone, console.seat.snapshot.time
    spot = console.seat.plan.spot(view.site, view.node)
    silence = silent(view, now)
    return str(
        html(
            "<h1>{node} {badge}</h1>{facts}",
            node=f"{view.site}/{view.node}",
            badge=badge(console.states().get(key, "ok")),
            facts=facts(
                (
                    ("Place", spot.label if spot else ""),
                    ("Zone", ", ".join(console.seat.plan.zones_of(view.site, view.node))),
                    ("Kind", view.kind),
                    ("Online", {True: "yes", False: "no", None: "its birth was never heard"}[view.online]),
                    ("Silent for", f"{silence / 3600:.0f} h" if silence is not None else ""),
                    ("Safe mode", view.safe),
                    ("Knows the time", {True: "yes", False: "NO", None: ""}[view.clock]),
                    ("Clock was off by", f"{view.clock_error:+.1f} s" if view.clock_error is not None else ""),
                    ("Newest pack", moment(view.time, zone)),
                    ("Last heard", moment(view.received, zone)),
                    ("Packs", f"{view.packs:,}, {view.gaps:,} missing"),
                    ("Boot, number", f"{view.boot}, {view.seq}"),
                    ("Firmware", view.firmware),
                    ("Board", view.board),
                    ("Last reset", view.reset_cause),
                )
            ),
        )
    )


def _rest(console: Console, view: NodeView, gaps: Sequence[Gap]) -> str:
    zone = console.seat.zone
    mine = [
        each
        for each in [*open_ones(console.seat.snapshot.incidents), *reversed(told(console.seat.snapshot.incidents))]
        if each.site == view.site and view.node in (each.node, *each.nodes)
    ]
    mine = list({each.id: each for each in mine}.values())
    return str(
        html(
            "<h2>Incidents</h2>{incidents}<h2>Missing packs</h2>{gaps}",
            incidents=table(
                ("", "what", "since", "why"),
                (
                    (
                        severity(each),
                        html(
                            '<a href="{to}">{kind}</a>{drill}',
                            to=incident_url(each),
                            kind=called(each),
                            drill=badge("info", "DRILL") if each.drill else "",
                        ),
                        short(each.since or each.opened, zone),
                        each.summary,
                    )
                    for each in mine[:MOST]
                ),
                "None so far.",
            ),
            gaps=table(
                ("boot", "first missing", "last missing", "packs"),
                ((gap.boot, gap.first, gap.last, gap.last - gap.first + 1) for gap in gaps[-MOST:]),
                "No pack is missing.",
            ),
        )
    )


async def _health(console: Console, view: NodeView) -> None:
    """What the node said last of itself."""
    places = f'"site" = {quote_text(view.site)} AND "node" = {quote_text(view.node)}'
    names = [each for each in measured_in("health") if not each.flag]
    picks = ", ".join(f"last({quote_name(each.name)}) AS {quote_name(each.name)}" for each in names)
    try:
        found = await console.seat.ask(f'SELECT {picks} FROM "health" WHERE {places} AND time > now() - 30d')
    except GanglionError as error:
        put(html('<h2>Health</h2><p class="empty">{words}</p>', words=str(error)))
        return
    values = dict(zip(found[0].columns, found[0].values[0], strict=True)) if found else {}
    said = [(f"{each.name} ({each.unit})" if each.unit else each.name, values.get(each.name)) for each in names]
    rows = facts((name, f"{value:,.6g}") for name, value in said if value is not None)
    empty = html('<p class="empty">It has said nothing of itself yet.</p>')
    put(html("<h2>Health</h2>{rows}", rows=rows if any(value is not None for _, value in said) else empty))
