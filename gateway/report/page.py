"""A week as one HTML file that asks for nothing outside of it."""

import base64
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.report.air import Air, Strip
from gateway.report.change import Change
from gateway.report.figures import Week
from gateway.report.plots import MOST as PANELS
from gateway.report.plots import Drawing, traffic_plot, water_plot
from gateway.report.quality import Named
from gateway.report.summary import count, lasting
from gateway.report.weeks import NAMES, Span

FLOWS: Final = 10
STRIPS: Final = 12
CASES: Final = 15
DRILLS: Final = 5
"""Rows of a table. What is beyond is counted below it, and whole in the JSON."""
SHADES: Final = ("#ffffd4", "#fee391", "#fec44f", "#fe9929", "#d95f0e", "#993404")
"""From the best class to the worst: lighter to darker, so that no eye needs the hues."""

T = TypeVar("T")


def page_of(week: Week, span: Span) -> str:
    """HTML, the same to the byte for the same figures."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": span.moment,
        "lasting": lasting,
        "cubic": lambda litres: f"{litres / 1000:,.1f}",
        "whole": lambda number: f"{number:,.0f}",
        "change": _change,
        "named": _named,
        "shade": lambda level: "background:#fff" if level is None else f"background:{SHADES[level]}",
        "ink": lambda level: "#fff" if level == len(SHADES) - 1 else "#111",
        "count": count,
        "source": _source,
    }
    return environment.get_template("week.html.jinja").render(_view(week, span))


def _view(week: Week, span: Span) -> dict[str, Any]:
    traffic, water, air = week.traffic, week.water, week.air
    shown = [zone for zone in water.zones if not zone.withheld] if water else []
    drawn = [zone for zone in shown if zone.inflow or zone.metered]
    flows = [flow for flow in traffic.flows if flow.known] if traffic else []
    made = datetime.fromtimestamp(week.made, span.zone)
    return {
        "week": week,
        "days": [f"{name} {date.day}" for name, date in zip(NAMES, span.dates, strict=True)],
        "dates": f"{span.dates[0]:%d %B %Y} to {span.dates[-1]:%d %B %Y}".replace(" 0", " ").removeprefix("0"),
        "made": f"{made:%Y-%m-%d %H:%M %Z}",
        "traffic": traffic,
        "flows": _first(traffic.flows if traffic else (), FLOWS),
        "traffic_plot": traffic_plot(flows, span) if flows else None,
        "panels": PANELS,
        "drawn_flows": len(flows),
        "water": water,
        "zones": _first(shown, FLOWS),
        "withheld": [zone for zone in water.zones if zone.withheld] if water else [],
        "water_plot": water_plot(drawn, span) if drawn else None,
        "air": air,
        "strips": _first(_strips(air) if air else (), STRIPS),
        "cases": _first(week.incidents.cases, CASES),
        "drills": _first(week.incidents.drills, DRILLS),
        "quality": week.quality,
    }


def _first(rows: Sequence[T], most: int) -> tuple[Sequence[T], int]:
    """(What a table shows, how many it does not)"""
    return rows[:most], max(0, len(rows) - most)


def _strips(air: Air) -> Sequence[Strip]:
    """Zones where there are any, as a place is asked for and not a station; all stations where they are few."""
    return (*air.zones, *air.stations) if not air.zones or len(air.stations) <= STRIPS - len(air.zones) else air.zones


def _change(change: Change | None) -> str:
    if change is None:
        return "–"
    return "too little to compare" if change.share is None else f"{round(100 * change.share):+d} %".replace("+0", "0")


def _named(named: Sequence[Named], unit: str = "") -> str:
    return ", ".join(f"{each.where} ({each.number:,g}{unit})" for each in named)


def _source(drawing: Drawing) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.svg.encode()).decode()
