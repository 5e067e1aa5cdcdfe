"""`/series`: anything that was measured, over any time. The address holds the whole question, so it can be sent on."""

from datetime import datetime
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from markupsafe import Markup
from msgspec import Struct
from nicegui import ui
from starlette.requests import Request

from gateway.errors import GanglionError
from gateway.near import hint
from gateway.quantities import KINDS, measured_in
from gateway.query.influxql import QueryError, instant, measurement, seconds
from gateway.web.console import plot
from gateway.web.console.markup import choices, html, join, refused, url
from gateway.web.console.shell import Console, page, put

LASTS: Final = (("1h", "hour"), ("24h", "day"), ("7d", "week"), ("30d", "30 days"), ("365d", "year"))
COMPARES: Final = (("", "nothing"), ("1d", "the day before"), ("1w", "the week before"), ("4w", "4 weeks before"))
_FORMAT: Final = "%Y-%m-%dT%H:%M"


class Asked(Struct, frozen=True):
    """The fields of the form, and of the address."""

    quantity: str = ""
    site: str = ""
    node: str = ""
    channel: str = ""
    last: str = ""
    begin: str = ""
    """A local time of the sites, ISO 8601 or Unix seconds."""
    end: str = ""
    compare: str = ""
    expected: str = ""


def register(console: Console) -> None:
    """`/series`."""

    @ui.page("/series")
    async def series(request: Request) -> None:
        asked = msgspec.convert(dict(request.query_params), Asked)
        async with page(console, console.visitor(request), "Series", "/series") as frame:
            put("<h1>Series</h1>")
            put(_form(console, asked))
            if not asked.quantity:
                put('<p class="empty">Choose what to look at. A node is one place; without one it is the mean of'
                        " the site.</p>")  # fmt: skip
                return
            try:
                what = what_of(console, asked)
            except GanglionError as error:
                put(refused(error))
                return
            frame.later(partial(plot.show, console, what))
            put(_links(what))


def what_of(console: Console, asked: Asked) -> plot.What:
    """What a form asks for. Raises QueryError."""
    sites = console.seat.config.sites
    nodes = console.seat.snapshot.nodes
    site = asked.site or next((view.site for view in nodes if view.node == asked.node), sites[0])
    view = console.seat.snapshot.node(site, asked.node)
    kind = view.kind if view else ""
    if asked.node and not kind:
        near = hint(asked.node, (view.node for view in nodes if view.site == site))
        raise QueryError(f"no node {asked.node} of {site} was heard{near}")
    kinds = [each for each in KINDS if any(one.name == asked.quantity for one in measured_in(each))]
    kind = kind if kind in kinds else kinds[0] if len(kinds) == 1 or (kinds and not kind) else ""
    kind = measurement(asked.quantity, kind)
    end = console.seat.newest() if not asked.end else _time(asked.end, console.seat.zone)
    begin = end - seconds(asked.last or "24h") if not asked.begin else _time(asked.begin, console.seat.zone)
    if begin >= end:
        raise QueryError("the time ends before it begins: change one of the two")
    return plot.What(
        asked.quantity, kind, site, asked.node, asked.channel, begin, end, asked.compare, bool(asked.expected)
    )


def _time(text: str, zone: ZoneInfo) -> float:
    try:
        return datetime.strptime(text, _FORMAT).replace(tzinfo=zone).timestamp()
    except ValueError:
        return instant(text.partition(".")[0]).timestamp()


def _local(text: str, zone: ZoneInfo) -> str:
    """For the form; empty for what is no time."""
    try:
        return datetime.fromtimestamp(_time(text, zone), zone).strftime(_FORMAT) if text else ""
    except (GanglionError, ValueError, OverflowError):
        return ""


def _form(console: Console, asked: Asked) -> Markup:
    """A plain form: it works by keyboard, and its answer has an address."""
    zone = console.seat.zone
    quantities = {
        kind: [(each.name, f"{each.name} ({each.unit})" if each.unit else each.name) for each in measured_in(kind)
               if not each.flag]
        for kind in KINDS
    }  # fmt: skip
    groups = join(
        html('<optgroup label="{kind}">{options}</optgroup>', kind=kind, options=choices(each, asked.quantity))
        for kind, each in quantities.items()
    )
    local = {key: _local(text, zone) for key, text in (("begin", asked.begin), ("end", asked.end))}
    sites = [(each, each) for each in console.seat.config.sites]
    last = asked.last or ("" if asked.begin or asked.end else "24h")
    return html(
        '<form class="controls" action="/series">'
        '<label>What <select name="quantity" required>{groups}</select></label>'
        "{site}"
        '<label>Node <input name="node" list="nodes" value="{node}" placeholder="all of the site"></label>'
        '<datalist id="nodes">{nodes}</datalist>'
        '<label>Channel <input name="channel" value="{channel}" placeholder="all" size="6"></label>'
        '<label>Last <select name="last"><option value="">from – to</option>{lasts}</select></label>'
        '<label>From <input type="datetime-local" name="begin" value="{begin}"></label>'
        '<label>To <input type="datetime-local" name="end" value="{end}"></label>'
        '<label>Compare with <select name="compare">{compares}</select></label>'
        '<label>Expected band <input type="checkbox" name="expected" value="1"{checked}></label>'
        "<button>Show</button></form>",
        groups=groups,
        site=html('<label>Site <select name="site">{options}</select></label>', options=choices(sites, asked.site))
        if len(sites) > 1
        else Markup(""),
        node=asked.node,
        nodes=console.once(_nodes),
        channel=asked.channel,
        lasts=choices(LASTS, last),
        begin=local["begin"] if not asked.last else "",
        end=local["end"] if not asked.last else "",
        compares=choices(COMPARES, asked.compare),
        checked=Markup(" checked") if asked.expected else "",
    )


def _nodes(console: Console) -> Markup:
    """What may be typed for a node."""
    names = sorted({view.node for view in console.seat.snapshot.nodes})
    return Markup("").join(Markup('<option value="%s">') % name for name in names)


def _links(what: plot.What) -> Markup:
    """The same as a file, and as a command."""
    fields = {"quantity": what.quantity, "kind": what.kind, "site": what.site, "node": what.node,
              "channel": what.channel, "from": int(what.begin), "to": int(what.end)}  # fmt: skip
    csv = url("/api/v1/query", **fields, format="csv")
    narrowed = "".join(f" --{key} {value}" for key, value in fields.items() if value and key != "quantity")
    return html(
        '<p class="note"><a href="{csv}">The same as CSV</a>. On the command line: '
        "<code>ganglion query {quantity}{narrowed} --plot</code></p>",
        csv=csv,
        quantity=what.quantity,
        narrowed=narrowed,
    )
