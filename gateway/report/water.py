"""Water by zone and day: what came in, what meters passed on, what ran at night. Pure.

A household's meter series is personal data: all that leaves this module are sums of zones, of `LEAST_HOMES` or more.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from msgspec import Struct

from gateway.detect.plan import LEAST_HOMES, Plan, Zone
from gateway.privacy.sums import Homes, apart
from gateway.report.change import Change, change_of
from gateway.report.hourly import LEAD, Bools, Floats, Hourly, plain, runs
from gateway.report.weeks import DAYS, Span

COLUMNS: Final = {"register": 'last("volume")', "windows": 'count("volume")'}
COLUMNS_BEFORE: Final = {"register": 'last("volume")'}
HEARD: Final = 0.9
"""Share of a zone's homes that must be known; of the others a day is taken as the mean of their own."""
NIGHT: Final = (2, 4)
"""The hours of clocks in which next to nobody draws water: what runs then leaks, for the most part (IWA)."""
LEAST_LITRES: Final = 1000.0
"""In the week before, for a change to be said: our choice."""


class Day(Struct, frozen=True):
    """Litres; None where too little is known."""

    inflow: float | None
    """Through the zone's inlets."""
    metered: float | None
    """Sum of the homes' meters."""
    loss: float | None
    """inflow - metered, where the plan says that every home has a meter."""
    estimated: int = 0
    """Homes of which the mean of their other days stands in `metered`."""


class Total(Struct, frozen=True):
    """Of the days that are known."""

    litres: float
    days: int


class ZoneWater(Struct, frozen=True, kw_only=True):
    name: str
    homes: int
    """Meters of homes that were heard in the week."""
    inlets: int
    withheld: str = ""
    """Why nothing is shown, a sentence."""
    balance: str = ""
    """Why there is no loss, a sentence."""
    days: tuple[Day, ...] = ()
    inflow: Total | None = None
    metered: Total | None = None
    loss: Total | None = None
    loss_share: float | None = None
    """Of what came in on the days of `loss`; None where nothing did."""
    nights: tuple[float | None, ...] = ()
    """l/h: of each night the least of its known hours."""
    night: float | None = None
    """l/h: the least of all nights."""
    night_of: Literal["inlets", "meters"] = "meters"
    """What the night flow is of."""
    change: Change | None = None
    """Of the daily volumes: of the inlets, or of the meters where there is no inlet."""


class Water(Struct, frozen=True):
    zones: tuple[ZoneWater, ...]
    unzoned: int
    """Meters heard that are in no zone, and so in no sum."""


def water_of(measured: Hourly, plan: Plan, site: str, span: Span, meters: Collection[str] = ()) -> Water | None:
    """`meters`: names of nodes known to be water meters, heard in these weeks or not. None where none was heard."""
    row = {node: number for number, node in enumerate(measured.nodes)}
    heard = {node for node, number in row.items() if measured.counts()[0][number].any()}
    if not heard:
        return None
    litres = _litres(measured.now, measured.lead), _litres(measured.before, measured.lead)
    zones = plan.of(site).zone
    found: list[ZoneWater] = []
    shown: list[Homes] = []
    for zone in zones:
        homes = [name for name in zone.nodes if name not in zone.inlet and (name in row or name in meters)]
        if not homes and not any(name in heard for name in zone.inlet):
            continue
        own = frozenset((site, name) for name in homes if name in heard)
        reason = _withheld(own, shown)
        if reason:
            inlets = len(set(zone.inlet) & heard)
            found.append(ZoneWater(name=zone.name, homes=len(own), inlets=inlets, withheld=reason))
            continue
        shown.append(own)
        found.append(_zone(zone, homes, row, litres, heard, span))
    of_zones = {name for zone in zones for name in (*zone.nodes, *zone.inlet)}
    return Water(tuple(found), len(heard - of_zones))


def _withheld(homes: Homes, shown: Sequence[Homes]) -> str:
    """Also for a zone that, with others' sums added to its own or taken from it, would leave a few homes."""
    if len(homes) < LEAST_HOMES:
        return f"Fewer than {LEAST_HOMES} homes: their sum is not shown."
    if not apart([*shown, homes]):
        return f"It differs from other zones by fewer than {LEAST_HOMES} homes: their sum is not shown."
    return ""


def _zone(
    zone: Zone,
    homes: Sequence[str],
    row: dict[str, int],
    litres: tuple[Floats, Floats],
    heard: set[str],
    span: Span,
) -> ZoneWater:
    own = [row[name] for name in homes if name in heard]
    into = [row[name] for name in zone.inlet if name in row]
    inlets = len(set(zone.inlet) & heard)
    all_in = bool(zone.inlet) and len(into) == len(zone.inlet)
    spans = (span, span.before)
    inflows = [
        _sum_days(hours[into], when) if all_in else np.full(DAYS, np.nan)
        for hours, when in zip(litres, spans, strict=True)
    ]
    metered = [_metered(hours[own], when, len(homes)) for hours, when in zip(litres, spans, strict=True)]
    silent = len(homes) - len(own)
    balance = ""
    if not zone.full:
        balance = "The plan does not say that every home has a meter (`full`)."
    elif silent:
        balance = f"{silent} of its {len(homes)} meters were not heard."
    elif not np.isfinite(inflows[0]).any():
        balance = "Its inlets are not known."
    loss = np.full(DAYS, np.nan) if balance else inflows[0] - metered[0][0]
    night_of: Literal["inlets", "meters"] = "inlets" if all_in else "meters"
    nights = _nights(_all(litres[0][into]) if all_in else _enough(litres[0][own], len(homes)), span)
    volumes = inflows if all_in else [days for days, _ in metered]
    both = np.isfinite(volumes[0]) & np.isfinite(volumes[1])
    drawn, drawn_before = (float(np.where(both, each, 0).sum()) for each in volumes)
    return ZoneWater(
        name=zone.name,
        homes=len(own),
        inlets=inlets,
        balance=balance,
        days=tuple(
            Day(*each)
            for each in zip(plain(inflows[0]), plain(metered[0][0]), plain(loss), metered[0][1].tolist(), strict=True)
        ),
        inflow=_total(inflows[0]),
        metered=_total(metered[0][0]),
        loss=_total(loss),
        loss_share=_share(loss, inflows[0]),
        nights=plain(nights),
        night=round(float(np.nanmin(nights)), 1) if np.isfinite(nights).any() else None,
        night_of=night_of,
        change=change_of(drawn, drawn_before, compared=float(both.mean()), least=LEAST_LITRES),
    )


def _total(days: Floats) -> Total | None:
    known = days[np.isfinite(days)]
    return Total(round(float(known.sum()), 1), len(known)) if len(known) else None


def _share(loss: Floats, inflow: Floats) -> float | None:
    known = np.isfinite(loss)
    whole = float(inflow[known].sum())
    return float(loss[known].sum()) / whole if whole > 0 else None


def _litres(columns: Mapping[str, Floats], lead: int) -> Floats:
    """(meters, hours): by how much registers grew. A gap of up to `LEAD` hours is crossed in a straight line.

    A register that went back says nothing of that hour.
    """
    if "register" not in columns:  # nothing came
        meters, hours = columns["windows"].shape
        return np.full((meters, hours - lead), np.nan)
    whole = columns["register"].copy()
    for line in whole:
        for first, length in runs(~np.isfinite(line)):
            last = first + length
            if first > 0 and last < len(line) and length <= LEAD:
                line[first:last] = np.interp(np.arange(first, last), (first - 1, last), (line[first - 1], line[last]))
    grown = np.diff(whole, axis=1)[:, lead - 1 :]
    return np.where(grown >= 0, grown, np.nan)


def _all(hours: Floats) -> Floats:
    """(hours,) sum of the rows; NaN where one is."""
    total: Floats = hours.sum(axis=0)
    return total


def _sum_days(hours: Floats, span: Span) -> Floats:
    """(days,) sum of the rows; NaN where an hour of one is."""
    return _all(_days(hours, span))


def _days(hours: Floats, span: Span) -> Floats:
    """(rows, days)"""
    edges = pairwise(np.searchsorted(span.day_of, np.arange(DAYS + 1)).tolist())
    blank = np.full(len(hours), np.nan)  # of a day that the calendar skipped
    return np.stack([hours[:, one:end].sum(axis=1) if one < end else blank for one, end in edges], axis=1)


def _metered(hours: Floats, span: Span, homes: int) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """(days,) sums, and how many homes are estimated in each."""
    days = _days(hours, span)
    known = np.isfinite(days)
    count = known.sum(axis=1)
    mean = np.where(known, days, 0).sum(axis=1) / np.maximum(count, 1)
    filled = np.where(known, days, np.where(count > 0, mean, np.nan)[:, None])
    fine = _fine(known, homes)
    there = np.isfinite(filled)
    return np.where(fine, np.where(there, filled, 0).sum(axis=0), np.nan), (fine * (there & ~known).sum(axis=0))


def _fine(known: Bools, homes: int) -> Bools:
    """(columns,) whether of a zone's homes (rows) enough are known."""
    count = known.sum(axis=0)
    result: Bools = (count >= LEAST_HOMES) & (count >= HEARD * homes)
    return result


def _enough(hours: Floats, homes: int) -> Floats:
    """(hours,) sum of homes; those that are missing are taken to draw as the others do."""
    known = np.isfinite(hours)
    total = np.where(known, hours, 0).sum(axis=0) * len(hours) / np.maximum(known.sum(axis=0), 1)
    return np.where(_fine(known, homes), total, np.nan)


def _nights(flow: Floats, span: Span) -> Floats:
    """(days,) the least of (hours,) between 02:00 and 04:00."""
    night = np.array([NIGHT[0] <= key[1] < NIGHT[1] for key in span.keys])
    found = np.full(DAYS, np.nan)
    for day in range(DAYS):
        own = flow[night & (np.array(span.day_of) == day)]
        if np.isfinite(own).any():
            found[day] = np.nanmin(own)
    return found
