"""A chart on a page: asks for what it shows, draws it, and asks anew for what is looked at closely."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct, structs
from nicegui import ui
from nicegui.dependencies import esm_modules
from nicegui.events import GenericEventArguments

from gateway.errors import GanglionError
from gateway.query.answer import answered_later, answering
from gateway.query.influxql import By, Question
from gateway.web.console.chart import axis, merged, options, seconds_at
from gateway.web.console.kept import BELOW
from gateway.web.console.markup import html, refused
from gateway.web.console.shell import Console, put, said
from gateway.web.drawn import Drawn, drawn

POINTS: Final = 1500
"""Of a line: more than a screen has columns nobody sees."""
ZOOMED: Final = 0.6
"""Of what is shown: whoever looks at less is shown it finer."""


class What(Struct, frozen=True):
    """What a chart shows."""

    quantity: str
    kind: str
    site: str
    node: str
    """Empty for the mean of the site."""
    channel: str
    begin: float
    """Unix seconds."""
    end: float
    compare: str = ""
    """A period before, such as `1w`; empty for none."""
    expected: bool = False


async def show(console: Console, what: What) -> None:
    """A chart, or in words why there is none."""
    ui.add_head_html(_drawer())
    try:
        found = await gather(console, what)
    except GanglionError as error:
        put(refused(error))
        return
    notes = [*found.notes, *(line.no_expected and f"no expected band: {line.no_expected}" for line in found.lines)]
    if found.lines:
        chart = ui.echart(options(found, console.seat.zone)).classes("chart").props('data-test="chart"')
        if not (what.compare or what.expected):  # what they are held against has the same intervals
            chart.on("chart:datazoom", _closer(console, what, found, chart), ["start", "end", "batch"],
                     throttle=0.3, leading_events=False)  # fmt: skip
    said = ". ".join(dict.fromkeys(filter(None, notes)))
    put(html('<p class="note">{said}</p>', said=said))


async def gather(console: Console, what: What) -> Drawn:
    """What is to be drawn. Raises GanglionError."""
    question = Question(
        quantity=what.quantity,
        kind=what.kind,
        site=what.site,
        node=what.node,
        channel=what.channel,
        begin=str(int(what.begin)),
        end=str(int(what.end)),
        by=By.CHANNEL if what.node else By.SITE,
        every="" if what.node else "5m",
    )
    now, seat = console.seat.snapshot.time, console.seat
    asking = answering(question, now=now, most=POINTS, compare=what.compare, band=what.expected)
    answer = await answered_later(asking, seat.ask)
    return await asyncio.to_thread(drawn, answer, seat.snapshot, seat.zone, what.compare)


@functools.cache
def _drawer() -> str:
    """Has the browser load ECharts at once: else it learns of its large part from the small one, and late."""
    (key, module), *_ = [(key, each) for key, each in esm_modules.items() if each.name == "nicegui-echart"]
    text = (module.path / "index.js").read_text()
    names = [each.name for each in sorted(module.path.glob("index-*.js")) if each.name in text]
    return "".join(f'<link rel="modulepreload" href="{BELOW}esm/{key}/{name}">' for name in ("index.js", *names))


def _closer(
    console: Console, what: What, found: Drawn, chart: ui.echart
) -> Callable[[GenericEventArguments], Awaitable[None]]:
    """Hears which part of the axis is seen, in percent."""
    zone = console.seat.zone

    async def zoomed(event: GenericEventArguments) -> None:
        (seen, *_) = event.args.get("batch") or [event.args]
        if seen.get("start") is None or seen.get("end") is None:
            return
        left, right = axis(found, zone)
        begin, end = (seconds_at(left + (right - left) * seen[key] / 100, zone) for key in ("start", "end"))
        if end - begin > ZOOMED * (found.end - found.begin):
            return
        with said():
            finer = await gather(console, structs.replace(what, begin=begin, end=end))
            chart.options["series"] = options(merged(found, finer, begin, end), zone)["series"]
            chart.update()

    return zoomed
