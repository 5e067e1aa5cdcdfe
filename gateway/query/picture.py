"""Curves as a picture, by matplotlib."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from gateway.query.band import Band
from gateway.query.curves import Curve, Expected
from gateway.records import Incident, Severity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES: Final = (11.0, 5.0)
DOTS: Final = 120
"""An inch."""
IN_LEGEND: Final = 12
COLOURS: Final[dict[Severity, str]] = {"info": "#5b7f95", "warning": "#c77c02", "critical": "#b3261e"}


class Drawn(Struct, frozen=True, eq=False):
    """What is drawn. Times in Unix seconds."""

    title: str
    unit: str
    begin: float
    end: float
    curves: Sequence[Curve]
    earlier: Sequence[Curve] = ()
    """Already moved to where they are compared."""
    compare: str = ""
    bands: Sequence[Expected] = ()
    alarms: Sequence[Incident] = ()


def draw(of: Drawn, zone: ZoneInfo, file: Path) -> None:
    """A PNG, with the wall clock of `zone`. Raises OSError."""
    from matplotlib import dates
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DOTS, layout="constrained")
    axes = figure.add_subplot()
    for each in of.bands:
        if isinstance(each.band, Band):
            axes.fill_between(
                _when(each.times), each.band.low, each.band.high, color="#4878a8", alpha=0.2, linewidth=0,
                label="expected" if each is of.bands[0] else None,
            )  # fmt: skip
    for number, curve in enumerate(of.curves):
        label = curve.label if number < IN_LEGEND else None
        axes.plot(_when(curve.times), curve.values, color=f"C{number % 10}", linewidth=1.2, label=label)
    for curve in of.earlier:
        number = next((at for at, each in enumerate(of.curves) if each.tags == curve.tags), 9)
        label = f"{curve.label}, {of.compare} before" if number < IN_LEGEND else None
        axes.plot(
            _when(curve.times),
            curve.values,
            color=f"C{number % 10}",
            linewidth=1,
            linestyle=":",
            alpha=0.8,
            label=label,
        )
    _alarms(axes, of)
    axes.set_xlim(*_when([of.begin, of.end]))
    locator = dates.AutoDateLocator(tz=zone)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=zone))  # type: ignore[no-untyped-call]
    axes.set_title(of.title)
    axes.set_ylabel(of.unit)
    axes.set_xlabel(f"time of {zone.key}")
    axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        more = len(of.curves) - IN_LEGEND
        axes.legend(
            handles, labels, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small",
            title=f"and {more} more" if more > 0 else None,
        )  # fmt: skip
    figure.savefig(file, format="png", metadata={"Software": None})


def _alarms(axes: "Axes", of: Drawn) -> None:
    """Each from its opening to its end; in the legend once for each kind."""
    told = set()
    for each in of.alarms:
        label = None if each.kind in told else f"{each.kind} ({each.severity})" + (", exercise" if each.drill else "")
        told.add(each.kind)
        begin, end = _when([max(each.opened, of.begin), min(each.closed or of.end, of.end)])
        axes.axvspan(begin, end, color=COLOURS[each.severity], alpha=0.15, linewidth=0)
        axes.axvline(begin, color=COLOURS[each.severity], linewidth=1, linestyle="--", label=label)


def _when(times: Any) -> list[Any]:
    return [datetime.fromtimestamp(float(each), UTC) for each in times]
