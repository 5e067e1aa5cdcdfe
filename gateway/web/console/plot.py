"""A chart on a page: asks for what it shows, draws it, and asks anew for what is looked at closely."""

import asyncio
from typing import Any, Final

import numpy as np
from msgspec import Struct, structs
from nicegui import ui
from nicegui.events import GenericEventArguments

from gateway.errors import GanglionError
from gateway.quantities import measured_in
from gateway.query.band import NoBand, band, band_statement
from gateway.query.client import Series
from gateway.query.compare import pair
from gateway.query.fit import Fitted, fit
from gateway.query.influxql import By, Question, instant, seconds, statement
from gateway.records import Incident
from gateway.web.console.chart import Drawing, Expected, Line, options, seconds_of
from gateway.web.console.markup import html
from gateway.web.console.shell import Console

POINTS: Final = 1500
"""Of a line: more than a screen has columns nobody sees."""
MOST_LINES: Final = 12
EDGE: Final = 0.03
"""Of the time with data, that is shown empty before it."""
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
    try:
        drawing, note = await gather(console, what)
    except GanglionError as error:
        ui.html(str(html('<p class="empty" role="alert">{words}</p>', words=str(error))), sanitize=False)
        return
    if not drawing.lines:
        ui.html('<p class="empty">The database has nothing of it in this time.</p>', sanitize=False)
        return
    chart = ui.echart(options(drawing, console.seat.zone)).classes("chart").props('data-test="chart"')
    ui.html(str(html('<p class="note">{note}</p>', note=note)), sanitize=False)
    if what.compare or what.expected:
        return  # what they are held against has the same intervals

    async def zoomed(event: GenericEventArguments) -> None:
        found = event.args.get("batch") or [event.args]
        begin, end = (_from_axis(console, drawing, found[0].get(key)) for key in ("start", "end"))
        if begin is None or end is None or end - begin > ZOOMED * (drawing.end - drawing.begin):
            return
        finer, _ = await gather(console, structs.replace(what, begin=begin, end=end))
        merged = _merged(drawing, finer, begin, end)
        chart.options["series"] = options(merged, console.seat.zone)["series"]
        chart.update()

    chart.on("chart:datazoom", zoomed, ["start", "end", "batch"], throttle=0.3, leading_events=False)


async def gather(console: Console, what: What) -> tuple[Drawing, str]:
    """What is to be drawn, and a note for people. Raises GanglionError."""
    now = console.seat.snapshot.time
    asked = _question(what)
    fitted = fit(asked, now=now, most=POINTS)
    notes = [fitted.note]
    if what.compare:
        question, earlier = pair(fitted.question, what.compare, now)
        found = await console.seat.ask(f"{statement(question)}; {statement(earlier)}")
        shift = seconds(what.compare)
        begin = instant(question.begin).timestamp()
        lines = [each for each in (_as_line(one, what) for one in found) if each.times.size]
        lines = [
            each if each.times[0] >= begin else structs.replace(
                each, name=f"{each.name}, {what.compare} before", times=each.times + shift, before=True
            )
            for each in lines
        ]  # fmt: skip
    else:
        found = await console.seat.ask(statement(fitted.question))
        lines = [each for each in (_as_line(one, what) for one in found) if each.times.size]
    if len(lines) > MOST_LINES:
        notes.append(f"{len(lines) - MOST_LINES} more lines are not shown")
    expected = None
    if what.expected:
        expected, note = await _expected(console, fitted, lines, now)
        notes.append(note)
    unit = next((each.unit for each in measured_in(what.kind) if each.name == what.quantity), "")
    title = f"{what.quantity} of {what.node or what.site}"
    alarms = tuple(each for each in console.seat.snapshot.incidents if _concerns(each, what))
    first = min((each.times[0] for each in lines), default=what.begin)
    begin = max(what.begin, first - EDGE * (what.end - first))  # a place that is new has no empty month before it
    drawing = Drawing(title, unit, begin, what.end, tuple(lines[:MOST_LINES]), expected, alarms)
    return drawing, ". ".join(filter(None, notes))


def _question(what: What) -> Question:
    return Question(
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


async def _expected(console: Console, fitted: Fitted, lines: list[Line], now: float) -> tuple[Expected | None, str]:
    present = [each for each in lines if not each.before]
    if len(present) != 1:
        return None, "one series alone has an expected band: choose a channel"
    question = fitted.question if fitted.question.every else structs.replace(fitted.question, every="5m")
    found = await console.seat.ask(band_statement(question, now))
    if not found:
        return None, "there is no history to expect anything by"
    every = seconds(question.every)
    times, values = _columns(found[0])
    begin = instant(question.begin).timestamp()
    at = times[times >= begin]
    made = await asyncio.to_thread(band, times, values, at, every, console.seat.zone)
    if isinstance(made, NoBand):
        return None, f"no expected band: {made.reason}"
    weeks = "times of the weeks" if made.basis == "week" else "time of the days"
    return Expected(at, made.low, made.high), f"expected: 10 to 90 % of the same {weeks} before"


def _as_line(series: Series, what: What) -> Line:
    tags = series.tags
    name = "/".join(filter(None, (tags.get("node") or tags.get("site", what.site), tags.get("channel", ""))))
    return Line(name or what.quantity, *_columns(series))


def _columns(series: Series) -> tuple[Any, Any]:
    """Times (Unix seconds) and values, shape (n,) each, without rows that have no value."""
    rows = [row for row in series.values if row[1] is not None]
    times = np.array([row[0].removesuffix("Z") for row in rows], "datetime64[ms]").astype(np.int64) / 1000
    return times, np.array([row[1] for row in rows], float)


def _concerns(incident: Incident, what: What) -> bool:
    """Whether it is drawn into a series of that place and time."""
    if incident.held or incident.site != what.site or (incident.closed or what.end) < what.begin:
        return False
    return incident.opened <= what.end and what.node in (incident.node, *incident.nodes)


def _from_axis(console: Console, drawing: Drawing, percent: float | None) -> float | None:
    """The time at a part of the axis, Unix seconds."""
    if percent is None:
        return None
    ends = options(structs.replace(drawing, lines=()), console.seat.zone)["xAxis"]
    return seconds_of(ends["min"] + (ends["max"] - ends["min"]) * percent / 100, console.seat.zone)


def _merged(whole: Drawing, finer: Drawing, begin: float, end: float) -> Drawing:
    """The whole, with what is looked at in its finer form."""
    fine = {each.name: each for each in finer.lines}

    def line(each: Line) -> Line:
        if (part := fine.get(each.name)) is None:
            return each
        left, right = each.times < begin, each.times >= end
        return structs.replace(
            each,
            times=np.concatenate([each.times[left], part.times, each.times[right]]),
            values=np.concatenate([each.values[left], part.values, each.values[right]]),
        )

    return structs.replace(whole, lines=tuple(line(each) for each in whole.lines))
