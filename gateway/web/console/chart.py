"""A series as options of ECharts: lines, what was a week before, what is expected, and what was noticed. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import Struct

from gateway.query.band import Floats, offsets
from gateway.records import Incident

# Colours that the colour-blind tell apart (Okabe and Ito); lines differ by their dashes too.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
DASHES: Final = ("solid", [8, 4], [2, 3], [10, 3, 2, 3])
BAND: Final = "#56B4E9"
ALARMS: Final = {"info": "rgba(86,180,233,.22)", "warning": "rgba(230,159,0,.25)", "critical": "rgba(213,94,0,.28)"}


class Line(Struct, frozen=True, eq=False):
    """One series."""

    name: str
    times: Floats
    """Unix seconds, growing."""
    values: Floats
    """Of the same length; NaN where nothing is known."""
    before: bool = False
    """Of a period before, drawn at the times of this one."""


class Expected(Struct, frozen=True, eq=False):
    """Arrays of one length; NaN where nothing is expected."""

    times: Floats
    low: Floats
    high: Floats


class Drawing(Struct, frozen=True, eq=False):
    title: str
    unit: str
    begin: float
    """Unix seconds: where the axis begins."""
    end: float
    lines: tuple[Line, ...]
    expected: Expected | None = None
    alarms: tuple[Incident, ...] = ()


def options(drawing: Drawing, zone: ZoneInfo) -> dict[str, Any]:
    """What ECharts is given. Its clock knows UTC and the browser's zone only, so it gets the sites' time as UTC."""
    lines = [_line(each, number, zone) for number, each in enumerate(drawing.lines)]
    band = _band(drawing.expected, zone) if drawing.expected is not None else []
    if lines and drawing.alarms:
        lines[0]["markArea"] = _alarms(drawing, zone)
    begin, end = _shown(np.array([drawing.begin, drawing.end]), zone).tolist()
    return {
        "useUTC": True,
        "animation": False,
        "aria": {"enabled": True, "label": {"description": _words(drawing)}},
        "color": list(COLOURS),
        "grid": {"left": 56, "right": 24, "top": 52, "bottom": 76},
        "legend": {
            "type": "scroll",
            "top": 4,
            "left": 8,
            "right": 96,
            "data": [each["name"] for each in (*lines, *band[1:])],
        },
        "tooltip": {"trigger": "axis", "confine": True},
        "toolbox": {"right": 8, "top": 0, "feature": {"dataZoom": {"yAxisIndex": "none"}, "restore": {}}},
        "xAxis": {"type": "time", "min": begin, "max": end},
        "yAxis": {"type": "value", "name": drawing.unit, "scale": True},
        "dataZoom": [{"type": "inside", "filterMode": "none"}, {"type": "slider", "filterMode": "none", "bottom": 8}],
        "series": [*band, *lines],
    }


def seconds_of(shown: float, zone: ZoneInfo) -> float:
    """Back from the axis (ms) to Unix seconds."""
    first = shown / 1000
    return first - float(offsets(np.array([first - float(offsets(np.array([first]), zone)[0])]), zone)[0])


def _shown(times: Floats, zone: ZoneInfo) -> Floats:
    shown: Floats = (times + offsets(times, zone)) * 1000
    return shown


def _points(times: Floats, values: Floats, zone: ZoneInfo) -> list[list[float | None]]:
    """JSON has no NaN: a gap is null."""
    shown = _shown(times, zone)
    return [
        [at, None if np.isnan(value) else value]
        for at, value in zip(shown.tolist(), np.round(values, 4).tolist(), strict=True)
    ]


def _line(line: Line, number: int, zone: ZoneInfo) -> dict[str, Any]:
    dash = [3, 4] if line.before else DASHES[number // len(COLOURS) % len(DASHES)]
    style: Mapping[str, Any] = {"width": 1 if line.before else 1.6, "type": dash}
    style = {**style, "color": "#777"} if line.before else style
    return {
        "name": line.name,
        "type": "line",
        "showSymbol": line.times.size < 40,
        "symbolSize": 4,
        "connectNulls": False,
        "lineStyle": style,
        **({"itemStyle": {"color": "#777"}} if line.before else {}),
        "data": _points(line.times, line.values, zone),
    }


def _band(expected: Expected, zone: ZoneInfo) -> list[dict[str, Any]]:
    """An invisible line, and the room from it up to the other."""
    quiet = {"type": "line", "stack": "expected", "stackStrategy": "all", "symbol": "none", "silent": True,
             "lineStyle": {"opacity": 0}, "tooltip": {"show": False}}  # fmt: skip
    return [
        {**quiet, "name": "expected from", "data": _points(expected.times, expected.low, zone)},
        {
            **quiet,
            "name": "expected",
            "areaStyle": {"color": BAND, "opacity": 0.3},
            "itemStyle": {"color": BAND},
            "data": _points(expected.times, expected.high - expected.low, zone),
        },
    ]


def _alarms(drawing: Drawing, zone: ZoneInfo) -> dict[str, Any]:
    areas = []
    for each in drawing.alarms:
        ends = np.array([each.since or each.opened, drawing.end if each.closed is None else each.closed], float)
        begin, end = _shown(np.clip(ends, drawing.begin, drawing.end), zone).tolist()
        look = {"color": ALARMS[each.severity], "borderWidth": 1, "borderColor": "#D55E00", "borderType": "dashed"}
        areas.append([{"name": each.kind.replace("_", " "), "xAxis": begin, "itemStyle": look}, {"xAxis": end}])
    return {"silent": True, "label": {"position": "insideTop", "color": "#333"}, "data": areas}


def _words(drawing: Drawing) -> str:
    """What a screen reader says of the picture."""
    said = [drawing.title]
    for line in drawing.lines:
        known: Sequence[float] = line.values[~np.isnan(line.values)].tolist()
        if known:
            said.append(f"{line.name}: from {min(known):.4g} to {max(known):.4g} {drawing.unit}, last {known[-1]:.4g}")
    said += [f"{each.kind.replace('_', ' ')}: {each.summary}" for each in drawing.alarms]
    return ". ".join(said)
