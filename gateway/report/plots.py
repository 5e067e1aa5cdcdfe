"""Drawings of a week as SVG, the same to the byte for the same figures, and what they show in words."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from msgspec import Struct

from gateway.report.change import in_words
from gateway.report.traffic import Flow
from gateway.report.water import ZoneWater
from gateway.report.weeks import NAMES, Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST: Final = 6
"""Panels of one drawing: more is no page."""
BLUE: Final = "#0072B2"
ORANGE: Final = "#E69F00"
GREY: Final = "#666666"
"""Of Okabe and Ito's palette, which eyes of all kinds tell apart; grey by its lightness."""
_WIDE: Final = 7.4
"""Inches: an A4 page within its margins."""
_SETTINGS: Final[Any] = {
    "svg.hashsalt": "week",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "text.parse_math": False,
}


class Drawing(Struct, frozen=True):
    svg: str
    alt: str
    """For who does not see it."""


def traffic_plot(flows: Sequence[Flow], span: Span) -> Drawing:
    """Vehicles by hour of up to `MOST` flows, a panel each; the week before as a thin line."""
    flows = flows[:MOST]

    def draw(flow: Flow, panel: "Axes") -> None:
        edges = np.arange(span.hours + 1)
        before, now = (np.array([np.nan if v is None else v for v in of]) for of in (flow.before, flow.hours))
        panel.stairs(before, edges, color=GREY, linewidth=0.6, label="week before", baseline=None)
        panel.stairs(now, edges, color=BLUE, linewidth=1.3, label="this week", baseline=None)
        nights = [hour for hour in range(span.hours) if hour == 0 or span.day_of[hour] != span.day_of[hour - 1]]
        panel.set_xticks([*nights, span.hours], minor=False, labels=[""] * (len(nights) + 1))
        middles = [(a + b) / 2 for a, b in zip(nights, [*nights[1:], span.hours], strict=True)]
        panel.set_xticks(middles, minor=True, labels=[_day(span, span.day_of[hour]) for hour in nights])
        panel.tick_params(axis="x", which="minor", length=0)
        panel.set_xlim(0, span.hours)
        panel.set_ylim(bottom=0)
        panel.set_ylabel("vehicles/h")

    said = [f"{flow.name}: {flow.vehicles:,.0f} vehicles, {in_words(flow.change)}" for flow in flows]
    return Drawing(_panels(flows, draw), "Line chart of vehicles in each hour of the week. " + "; ".join(said) + ".")


def water_plot(zones: Sequence[ZoneWater], span: Span) -> Drawing:
    """m³ by day of up to `MOST` zones, a panel each: through the inlets, and by the meters."""
    zones = zones[:MOST]

    def draw(zone: ZoneWater, panel: "Axes") -> None:
        place = np.arange(len(zone.days))
        kinds = {
            "through the inlets": [day.inflow for day in zone.days],
            "by the meters": [d.metered for d in zone.days],
        }
        shown = {name: days for name, days in kinds.items() if any(day is not None for day in days)}
        for number, (name, days) in enumerate(shown.items()):
            known = [at for at, day in enumerate(days) if day is not None]
            offset = (number - (len(shown) - 1) / 2) * 0.4
            color, hatch = (BLUE, "") if name.startswith("through") else (ORANGE, "//")
            heights = [(days[at] or 0) / 1000 for at in known]
            panel.bar(place[known] + offset, heights, 0.38, label=name, color=color, hatch=hatch, edgecolor="white")
        for at in [at for at in place if all(days[at] is None for days in shown.values())]:
            panel.text(float(at), 0, "no data", ha="center", va="bottom", color=GREY)
        panel.set_xticks(place, labels=[_day(span, int(day)) for day in place])
        panel.set_xlim(-0.6, len(place) - 0.4)
        panel.set_ylabel("m³/day")

    said = [
        ", ".join(
            [
                f"{zone.name}:" + (f" {zone.inflow.litres / 1000:,.1f} m³ through the inlets" if zone.inflow else ""),
                *([f"{zone.metered.litres / 1000:,.1f} m³ by the meters"] if zone.metered else []),
            ]
        )
        for zone in zones
    ]
    return Drawing(_panels(zones, draw), "Bar chart of the water of each day. " + "; ".join(said) + ".")


def _day(span: Span, day: int) -> str:
    date = span.dates[day]
    return f"{NAMES[day]} {date.day}"


def _panels(each: Sequence[Any], draw: Any) -> str:
    """A panel for each, two beside each other."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    columns = min(2, len(each))
    rows = -(-len(each) // columns)
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDE, 0.3 + (1.3 if columns > 1 else 1.6) * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for one, panel in zip(each, panels, strict=False):
            draw(one, panel)
            panel.set_title(one.name, loc="left")
            panel.yaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
            panel.grid(axis="y", linewidth=0.3, alpha=0.6)
            panel.set_axisbelow(True)
        for panel in panels[len(each) :]:
            panel.set_axis_off()
        most = max(panels, key=lambda panel: len(panel.get_legend_handles_labels()[1]))
        figure.legend(*most.get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
