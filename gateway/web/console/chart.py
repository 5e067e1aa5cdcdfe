"""What a chart shows, as options of ECharts. Pure."""

import bisect
from collections.abc import Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import structs

from gateway.query.band import offsets
from gateway.web.drawn import Alarm, Drawn, Line

# Colours that the colour-blind tell apart (Okabe and Ito); beyond them lines differ by their dashes.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
DASHES: Final = ("solid", [8, 4], [2, 3], [10, 3, 2, 3])
BEFORE: Final = "#767676"
BAND: Final = "#56B4E9"
ALARMS: Final = {"info": "rgba(86,180,233,.22)", "warning": "rgba(230,159,0,.25)", "critical": "rgba(213,94,0,.28)"}
EDGE: Final = 0.03
"""Of the time with data, that is shown empty before it."""
Pairs = tuple[tuple[float, float | None], ...]
"""(ms, value). Tuples: of lists NiceGUI would watch each one."""
FEW: Final = 40
"""Points of a line that are drawn as such."""


def options(drawn: Drawn, zone: ZoneInfo) -> dict[str, Any]:
    """What ECharts is given. Its clock knows UTC and the browser's zone only, so it gets the sites' time as UTC."""
    one = drawn.lines[0] if len(drawn.lines) == 1 else None
    series = [*(_band(one, zone) if one else ()), *_lines(drawn, zone)]
    begin, end = axis(drawn, zone)
    return {
        "useUTC": True,
        "animation": False,
        "aria": {"enabled": True, "label": {"description": _words(drawn)}},
        "color": list(COLOURS),
        "grid": {"left": 56, "right": 24, "top": 52, "bottom": 76},
        "legend": {
            "type": "scroll",
            "top": 4,
            "left": 8,
            "right": 96,
            "data": [each["name"] for each in series if not each.get("silent") or "areaStyle" in each],
        },
        "tooltip": {"trigger": "axis", "confine": True},
        "toolbox": {"right": 8, "top": 0, "feature": {"dataZoom": {"yAxisIndex": "none"}, "restore": {}}},
        "xAxis": {"type": "time", "min": begin, "max": end},
        "yAxis": {"type": "value", "name": drawn.unit, "scale": True},
        "dataZoom": [{"type": "inside", "filterMode": "none"}, {"type": "slider", "filterMode": "none", "bottom": 8}],
        "series": series,
    }


def axis(drawn: Drawn, zone: ZoneInfo) -> tuple[float, float]:
    """Where the axis begins and ends (ms, as drawn). A place that is new has no empty month before it."""
    first = min((times[0] for line in drawn.lines for times in _all_times(line) if times), default=drawn.begin)
    begin = max(drawn.begin, first - EDGE * (drawn.end - first))
    left, right = _shown([begin, drawn.end], zone)
    return left, right


def seconds_at(shown: float, zone: ZoneInfo) -> float:
    """Back from the axis (ms) to Unix seconds."""
    guess = shown / 1000 - float(offsets(np.array([shown / 1000]), zone)[0])
    return shown / 1000 - float(offsets(np.array([guess]), zone)[0])


def merged(whole: Drawn, finer: Drawn, begin: float, end: float) -> Drawn:
    """The whole, with what lies between two times (Unix seconds) in its finer form."""
    fine = {each.label: each for each in finer.lines}

    def line(each: Line) -> Line:
        part = fine.get(each.label)
        if part is None:
            return each
        left, right = bisect.bisect_left(each.times, begin), bisect.bisect_left(each.times, end)
        return structs.replace(
            each,
            times=[*each.times[:left], *part.times, *each.times[right:]],
            values=[*each.values[:left], *part.values, *each.values[right:]],
        )

    return structs.replace(whole, lines=[line(each) for each in whole.lines])


def _all_times(line: Line) -> tuple[list[float], ...]:
    return (line.times, line.earlier.times) if line.earlier else (line.times,)


def _shown(times: Sequence[float], zone: ZoneInfo) -> list[float]:
    seconds = np.array(times, float)
    shown: list[float] = ((seconds + offsets(seconds, zone)) * 1000).tolist()
    return shown


def _points(times: Sequence[float], values: Sequence[float | None], zone: ZoneInfo) -> Pairs:
    """A gap is null."""
    rounded = (None if value is None else float(f"{value:.6g}") for value in values)
    return tuple(zip(_shown(times, zone), rounded, strict=True))


def _lines(drawn: Drawn, zone: ZoneInfo) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number, line in enumerate(drawn.lines):
        dash = DASHES[number // len(COLOURS) % len(DASHES)]
        points = _points(line.times, line.values, zone)
        found.append(_curve(line.label or drawn.quantity, points, {"width": 1.6, "type": dash}))
        if line.earlier is not None:
            points = _points(line.earlier.times, line.earlier.values, zone)
            before = _curve(f"{line.label}, before", points, {"width": 1, "type": [3, 4], "color": BEFORE})
            found.append(before | {"itemStyle": {"color": BEFORE}})
    if found and drawn.alarms:
        found[0]["markArea"] = _alarms(drawn, zone)
    return found


def _curve(name: str, points: Pairs, style: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "type": "line",
        "showSymbol": len(points) < FEW,
        "symbolSize": 4,
        "connectNulls": False,
        "lineStyle": style,
        "data": points,
    }


def _band(line: Line, zone: ZoneInfo) -> list[dict[str, Any]]:
    """An invisible line, and the room from it up to the other."""
    band = line.expected
    if band is None:
        return []
    room = [None if lo is None or hi is None else hi - lo for lo, hi in zip(band.low, band.high, strict=True)]
    quiet = {
        "type": "line",
        "stack": "expected",
        "stackStrategy": "all",
        "symbol": "none",
        "silent": True,
        "lineStyle": {"opacity": 0},
        "tooltip": {"show": False},
    }
    area = {"areaStyle": {"color": BAND, "opacity": 0.3}, "itemStyle": {"color": BAND}}
    return [
        quiet | {"name": "expected from", "data": _points(band.times, band.low, zone)},
        quiet | area | {"name": "expected", "data": _points(band.times, room, zone)},
    ]


def _alarms(drawn: Drawn, zone: ZoneInfo) -> dict[str, Any]:
    areas = []
    for each in drawn.alarms:
        ends = (max(each.opened, drawn.begin), min(drawn.end, drawn.end if each.closed is None else each.closed))
        begin, end = _shown(ends, zone)
        look = {"color": ALARMS[each.severity], "borderWidth": 1, "borderColor": "#D55E00", "borderType": "dashed"}
        areas.append([{"name": _named(each), "xAxis": begin, "itemStyle": look}, {"xAxis": end}])
    return {"silent": True, "label": {"position": "insideTop", "color": "#333"}, "data": areas}


def _named(alarm: Alarm) -> str:
    return f"{'DRILL: ' if alarm.drill else ''}{alarm.kind.replace('_', ' ')}"


def _words(drawn: Drawn) -> str:
    """What a screen reader says of the picture."""
    said = [drawn.quantity]
    for line in drawn.lines:
        known = [value for value in line.values if value is not None]
        if known:
            said.append(f"{line.label}: from {min(known):.4g} to {max(known):.4g} {drawn.unit}, last {known[-1]:.4g}")
    said += [f"{_named(each)}: {each.summary}" for each in drawn.alarms]
    return ". ".join(said)
