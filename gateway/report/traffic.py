"""Vehicles by hour, street by street. Pure."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from gateway.detect.plan import Plan
from gateway.report.change import Change, change_of
from gateway.report.hourly import Bools, Floats, Hourly, plain
from gateway.report.weeks import Span

COLUMNS: Final = {"vehicles": 'sum("volume")', "windows": 'count("volume")', "speed": 'mean("speed")'}
COLUMNS_BEFORE: Final = {"vehicles": 'sum("volume")', "windows": 'count("volume")'}
"""Over the lanes of a node: windows are counted lane by lane."""
LEAST_VEHICLES: Final = 100
"""In the week before, for a change to be said: our choice. Chance alone moves a count of 100 by 10."""


DIVIDING: Final = 6
"""Windows: up to so many in an hour divide it, at 10, 12, 15, 20, 30 and 60 minutes."""


class Flow(Struct, frozen=True, kw_only=True):
    """A street of the plan, or a counter of none."""

    name: str
    counters: tuple[str, ...]
    """Nodes that were heard."""
    hours: tuple[float | None, ...]
    """Vehicles in each hour of the week, of a street the mean of its counters; None where too little is known."""
    before: tuple[float | None, ...]
    """In the hour of the week before at which clocks showed the same."""
    vehicles: float
    """Sum of the known hours."""
    known: int
    """Hours that are known."""
    busiest: int | None
    """Unix seconds: the beginning of the hour with the most vehicles; the first of several."""
    busiest_vehicles: float | None
    speed: float | None
    """km/h: the mean of hours, each as often as it has vehicles; of an hour that of its windows with any."""
    change: Change


class Traffic(Struct, frozen=True):
    flows: tuple[Flow, ...]
    """Streets, then counters of none; most vehicles first."""
    counters: int
    change: Change
    """Of all counters: sums over the hours that a counter knows in both weeks."""


def traffic_of(measured: Hourly, plan: Plan, site: str, span: Span) -> Traffic | None:
    """None where nothing was counted in the week."""
    nodes = measured.nodes
    if not nodes or not measured.counts()[0].any():
        return None
    now, before = _vehicles(measured)
    counterparts = np.array(span.counterparts)
    before = np.where(counterparts >= 0, before[:, counterparts], np.nan)
    streets = [(street.name, [name for name in street.counters if name in nodes]) for street in plan.of(site).street]
    named = {name for _, counters in streets for name in counters}
    streets = [(name, own) for name, own in streets if own] + [(name, [name]) for name in nodes if name not in named]
    rows = {name: number for number, name in enumerate(nodes)}
    flows = []
    for name, own in streets:
        at = [rows[each] for each in own]
        flows.append(_flow(name, own, now[at], before[at], _speed(measured, at), span))
    in_plan = len([1 for name, own in streets if own[0] in named])
    flows = [*sorted(flows[:in_plan], key=_most_first), *sorted(flows[in_plan:], key=_most_first)]
    return Traffic(tuple(flows), len(nodes), _change(now, before))


def _most_first(flow: Flow) -> tuple[float, str]:
    return -flow.vehicles, flow.name


def _flow(name: str, own: Sequence[str], now: Floats, before: Floats, speed: float | None, span: Span) -> Flow:
    hours = _mean(now)
    known = np.isfinite(hours)
    top = int(np.nanargmax(hours)) if known.any() else None
    return Flow(
        name=name,
        counters=tuple(own),
        hours=plain(hours),
        before=plain(_mean(before)),
        vehicles=round(float(np.nansum(hours)), 1),
        known=int(known.sum()),
        busiest=None if top is None else span.time(top),
        busiest_vehicles=None if top is None else round(float(hours[top]), 1),
        speed=speed,
        change=_change(now, before),
    )


def _mean(rows: Floats) -> Floats:
    """Of the counters of a street where at least half of them are known: the same vehicles pass them all."""
    known = np.isfinite(rows)
    count = known.sum(axis=0)
    return np.where(2 * count >= len(rows), np.where(known, rows, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _change(now: Floats, before: Floats) -> Change:
    both = np.isfinite(now) & np.isfinite(before)
    counted, counted_before = (float(np.where(both, each, 0).sum()) for each in (now, before))
    return change_of(counted, counted_before, compared=float(both.mean()), least=LEAST_VEHICLES)


def _vehicles(measured: Hourly) -> tuple[Floats, Floats]:
    """(nodes, hours) of both weeks; NaN where too little is known."""
    usual = measured.usual()
    known, windows = measured.known(), measured.counts()
    columns = (measured.now, measured.before)
    blank = np.full_like(windows[1], np.nan)  # nothing came in the week before
    now, before = (
        _whole(of.get("vehicles", blank), count, each, usual)
        for of, count, each in zip(columns, windows, known, strict=True)
    )
    return now, before


def _whole(vehicles: Floats, windows: Floats, known: Bools, usual: Floats) -> Floats:
    """An hour that lacks windows is taken to have had as many vehicles in them as in the others."""
    # Of shorter windows, which may not divide an hour, one more or less is no loss.
    least = usual - (usual > DIVIDING)
    lacks = known & (windows < least[:, None])
    return np.where(known, np.where(lacks, vehicles * usual[:, None] / np.maximum(windows, 1), vehicles), np.nan)


def _speed(measured: Hourly, at: Sequence[int]) -> float | None:
    if "speed" not in measured.now:
        return None
    speed, weight = measured.now["speed"][at], np.nan_to_num(measured.now["vehicles"][at])
    weight = np.where(np.isfinite(speed), weight, 0)
    return round(float((np.nan_to_num(speed) * weight).sum() / weight.sum()), 1) if weight.sum() else None
