"""`balance`: what a zone's inlets bring in, less what its meters pass on, has risen beyond its own past.

The water balance of a district (IWA, AWWA M36: water losses = system input volume - authorised consumption), hour by
hour, of zones that the plan calls `full`. What is lost so may leak from the main (then it turns out to be a
`main_leak`), be taken before a meter, or pass a meter that counts too little or stands still: the balance cannot tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, column
from gateway.detect.plan import GroupPlan
from gateway.detect.rule import Finding, Frame, SiteRule
from gateway.detect.water.inlet import DAYS, HOUR_S, LEAST_LH, WEEK_H
from gateway.records import Evidence

SPREADS: Final = 6.0
"""The loss must rise by so many spreads of a day's loss over the last four weeks, ..."""
SHARE: Final = 0.05
"""... by this share of the usual inflow (meters of class 2 of OIML R 49 may err by 2 %, by 5 % at low flow, so that the
sum errs otherwise when homes draw otherwise), ..."""
LEAST_RISE_LH: Final = 100.0
"""... and by so much: more than a home's meter that stands still hides. Our choices."""
OPENS_H: Final = 24
"""After so many hours with just that rise; sooner with more. Our choice."""
LEAST_H: Final = 4
"""But not sooner: a hydrant that is flushed, a fire, draw without a meter. Our choice."""
HEARD: Final = 0.9
"""Share of a zone's meters that must be heard in an hour. The others are taken to draw what share they usually do."""
KNOWN_D: Final = 7
"""Days that must be known of an hour of the day: a week, for a Saturday is not a Friday."""
_OFTEN_FADES: Final = 0.99
_HALF_A_DAY: Final = 12


@dataclass(slots=True)
class Meters(Memory):
    """Of each series, a home or an inlet."""

    sum: Floats = column(np.float64)
    """l/h: the flows of its windows in the present hour, ..."""
    count: Ints = column(np.int64)
    """... of which there are so many. Windows of a meter are of one length, so their mean is that of the hour."""
    often: Floats = column(np.float64)
    """Windows that an hour usually has, by the most of the last days."""
    usual: Floats = column(np.float64)
    """l/h: its mean of about a week."""
    hours: Ints = column(np.int64)
    """That are in it."""

    def hour(self) -> tuple[Floats, Bools]:
        """The hour is over: [series] l/h, and whether at least half of the usual windows were there. Begins another."""
        mean = self.sum / np.maximum(self.count, 1)
        np.maximum(self.count, self.often * _OFTEN_FADES, out=self.often)
        heard: Bools = (self.count > 0) & (2 * self.count >= self.often)
        self.hours += heard
        self.usual += heard * (mean - self.usual) / np.clip(self.hours, 1, WEEK_H)
        self.sum[:], self.count[:] = 0, 0
        return mean, heard


@dataclass(slots=True)
class Zones(Memory):
    """A row a zone, by its first inlet, so that another order in the plan changes nothing."""

    by = "other"

    inlet: Ints = column(np.int64, -1)
    """Number of the inlet's node."""
    loss: Floats32 = column(np.float32, np.nan, (DAYS, 24))
    """l/h lost, of the last ordinary days by day modulo `DAYS` and by hour of day (UTC)."""
    day: Ints = column(np.int64)
    """The present one of Unix time, for which ..."""
    spread: Floats = column(np.float64, np.nan)
    """... a day's loss differs by so many l/h from another's."""
    inflow: Floats = column(np.float64)
    """l/h, usual: mean of about a week of ..."""
    hours: Ints = column(np.int64)
    """... hours."""
    excess: Floats = column(np.float64)
    """Litres lost beyond half the rise that is looked for: CUSUM (Page 1954), 0 where there is nothing."""
    open: Bools = column(np.bool_)
    critical: Bools = column(np.bool_)
    since: Ints = column(np.int64)
    """Unix seconds: when `excess` began, and of the hours since then ..."""
    lasted: Ints = column(np.int64)
    """... their number, ..."""
    brought: Floats = column(np.float64)
    """... the sum of what came in, l/h, ..."""
    metered: Floats = column(np.float64)
    """... of what was metered, ..."""
    expected: Floats = column(np.float64)
    """... and of what is usually lost."""


@dataclass(frozen=True, slots=True)
class Places:
    """A plan's full zones as arrays. [zones] of those, or [series] with the zone's place among them, else `none`."""

    inlet: Ints
    series: Ints
    """Of the first inlet."""
    further: tuple[tuple[int, ...], ...]
    """[zones] series of its other inlets."""
    inlets: Ints
    """How many."""
    meters: Ints
    inlet_of: Ints
    meter_of: Ints

    @classmethod
    def of(cls, plan: GroupPlan, node: Ints) -> "Places":
        """`node`: [series] number of each series' node."""
        full = [at for at, is_full in enumerate(plan.full) if is_full and plan.inlets[at] and plan.zones[at]]
        place = {int(number): series for series, number in enumerate(node)}
        inlet_of = np.full(len(node), len(full), np.int64)
        meter_of = inlet_of.copy()
        for zone, at in enumerate(full):
            # A node that has sent no flow yet has a number, but may have no series.
            inlet_of[[place[each] for each in plan.inlets[at] if each in place]] = zone
            meter_of[[place[each] for each in plan.zones[at] if each in place]] = zone
        return cls(
            np.array([plan.inlets[at][0] for at in full], np.int64),
            np.array([place.get(plan.inlets[at][0], -1) for at in full], np.int64),
            tuple(tuple(place[each] for each in plan.inlets[at][1:] if each in place) for at in full),
            np.array([len(plan.inlets[at]) for at in full], np.int64),
            np.array([len(plan.zones[at]) for at in full], np.int64),
            inlet_of,
            meter_of,
        )

    def total(self, of: Ints, values: Floats) -> Floats:
        """[zones] the sum over the series of each."""
        total: Floats = np.bincount(of, values, len(self.inlet) + 1)[:-1].astype(np.float64)
        return total


@dataclass(frozen=True, slots=True)
class Hour:
    """Of those zones whose hour can be judged, [n]."""

    time: int
    """Unix seconds, its end."""
    series: Ints
    further: Sequence[tuple[int, ...]]
    inflow: Floats
    metered: Floats
    heard: Ints
    meters: Ints

    @property
    def loss(self) -> Floats:
        return self.inflow - self.metered


class Balance(SiteRule):
    """`flow` of the inlets and meters of zones that are metered whole.

    A CUSUM of the hourly loss over the median of the same hour on 28 ordinary days. With R the rise that is looked for
    (the greatest by `SPREADS`, `SHARE` and `LEAST_RISE_LH`), each hour adds loss - usual - R / 2, at most as much as
    takes `LEAST_H` hours to open; what R adds in `OPENS_H` hours opens it: R after 24 hours, 2 R after 8. It closes
    when all that has run off: a day after a repair. Night hours need no test of their own, for each hour has its own
    usual.
    """

    def __init__(self) -> None:
        self.meters = Meters.blank(0)
        self.zones = Zones.blank(0)
        self.scalars = {"hour": 0.0, "zones": 0.0}
        self._places: tuple[GroupPlan, int, Places] | None = None

    def grow(self, series: int) -> None:
        """Rows of zones are added as they are found."""
        self.meters.grow(series)

    def tick(self, frame: Frame, plan: GroupPlan) -> Sequence[Finding]:
        if not any(plan.full):
            return []
        hour, before = (frame.time - 1) // HOUR_S, int(self.scalars["hour"])
        found = self._hour(before, frame, plan) if 0 < before < hour else []
        self.scalars["hour"] = float(max(hour, before))
        flow = frame.get("flow")
        series = np.flatnonzero(np.isfinite(flow))
        self.meters.sum[series] += flow[series]
        self.meters.count[series] += 1
        return found

    def _hour(self, hour: int, frame: Frame, plan: GroupPlan) -> list[Finding]:
        """It is over."""
        count = len(frame.node)
        if self._places is None or self._places[0] is not plan or self._places[1] != count:
            self._places = (plan, count, Places.of(plan, frame.node))
        places = self._places[2]
        mean, heard = self.meters.hour()
        mean, there, usual = mean[:count], heard[:count].astype(np.float64), self.meters.usual[:count]
        inflow = places.total(places.inlet_of, mean * there)
        inlets = places.total(places.inlet_of, there)
        metered = places.total(places.meter_of, mean * there)
        meters = places.total(places.meter_of, there).astype(np.int64)
        of_all, of_heard = places.total(places.meter_of, usual), places.total(places.meter_of, usual * there)
        metered *= np.where(of_heard > 0, of_all / np.maximum(of_heard, 1e-9), 1)
        enough = (inlets == places.inlets) & (meters >= HEARD * places.meters)
        # What comes in is never half of what goes out: then the inlet's meter is wrong, and nothing to learn from.
        at = np.flatnonzero(enough & (2 * inflow >= metered))
        if not len(at):
            return []
        rows = self._rows(places.inlet[at])
        further = [places.further[zone] for zone in at.tolist()]
        end = (hour + 1) * HOUR_S
        seen = Hour(end, places.series[at], further, inflow[at], metered[at], meters[at], places.meters[at])
        zones = self.zones.take(rows)
        found = _judge(zones, seen, hour)
        self.zones.put(rows, zones)
        return found

    def _rows(self, inlets: Ints) -> Ints:
        """Of each zone, by its first inlet; new ones for those that have none."""
        row = {number: at for at, number in enumerate(self.zones.inlet.tolist()) if number >= 0}
        for number in inlets.tolist():
            if number not in row:
                row[number] = at = int(self.scalars["zones"])
                self.zones.grow(at + 1)
                self.zones.inlet[at] = number
                self.scalars["zones"] = at + 1.0
        return np.array([row[number] for number in inlets.tolist()], np.int64)


def usually(past: Floats32, hour: int) -> Floats:
    """[zones] l/h that is usually lost in this hour of the day, of `past` [zones, DAYS, 24]; NaN where not known."""
    of_hour = past[:, :, hour % 24].astype(np.float64)
    known = np.isfinite(of_hour).sum(axis=1) >= KNOWN_D
    usual = np.full(len(past), np.nan)
    usual[known] = np.nanmedian(of_hour[known], axis=1)
    return usual


def spread_of_days(past: Floats32) -> float:
    """l/h by which a zone's loss differs from day to day, of its `past` [DAYS, 24]; NaN where not known."""
    own = past[np.isfinite(past).sum(axis=1) >= _HALF_A_DAY].astype(np.float64)
    if len(own) < KNOWN_D:
        return float("nan")
    own = own[:, np.isfinite(own).any(axis=0)]
    day = np.nanmean(own - np.nanmedian(own, axis=0), axis=1)
    # 1.4826: of the median deviation, for a normal spread.
    return 1.4826 * float(np.median(np.abs(day - np.median(day))))


def _judge(zones: Zones, seen: Hour, hour: int) -> list[Finding]:
    """Take in an hour of each of `zones`."""
    for at in np.flatnonzero(zones.day != hour // 24).tolist():  # once a day
        zones.spread[at] = spread_of_days(zones.loss[at])
    zones.day[:] = hour // 24
    usual = usually(zones.loss, hour)
    rise = np.maximum(SPREADS * zones.spread, np.maximum(SHARE * zones.inflow, LEAST_RISE_LH))
    known = np.isfinite(usual) & np.isfinite(rise)
    over = np.where(known, seen.loss - usual, 0)
    limit = np.where(known, OPENS_H * rise / 2, np.inf)
    more = np.where(known, np.minimum(over - rise / 2, limit / LEAST_H), 0)
    # What is more than opens it is not kept: it would take as long to close.
    zones.excess[:] = np.clip(zones.excess + more, 0, limit)
    lasts = zones.excess > 0
    begins = lasts & (zones.lasted == 0)
    zones.since[begins] = seen.time - HOUR_S
    opened = ~zones.open & (zones.excess >= limit)
    closed = zones.open & ~lasts
    zones.open ^= opened | closed
    each_hour = (
        (zones.lasted, 1),
        (zones.brought, seen.inflow),
        (zones.metered, seen.metered),
        (zones.expected, usual),
    )
    for total, value in each_hour:
        total[:] = np.where(lasts, total + np.where(known, value, 0), 0)
    large = zones.open & (over >= LEAST_LH)
    worse = large & ~zones.critical & ~opened
    zones.critical[:] = zones.open & (zones.critical | large)
    found = [_finding(zones, seen, at, "close") for at in np.flatnonzero(closed).tolist()]
    found += [_finding(zones, seen, at, "open") for at in np.flatnonzero(opened).tolist()]
    found += [_finding(zones, seen, at, "update") for at in np.flatnonzero(worse).tolist()]
    # Not from what may become an incident; what is half of the way is rarely noise.
    calm = ~zones.open & (zones.excess < np.where(known, limit / 2, np.inf))
    zones.loss[calm, hour // 24 % DAYS, hour % 24] = seen.loss[calm]
    zones.hours += calm
    zones.inflow += calm * (seen.inflow - zones.inflow) / np.clip(zones.hours, 1, WEEK_H)
    return found


def _finding(zones: Zones, seen: Hour, at: int, state: Literal["open", "update", "close"]) -> Finding:
    series, time = int(seen.series[at]), seen.time
    if state == "close":
        return Finding("balance", state, series, time)
    hours = int(zones.lasted[at])
    inflow, metered = float(zones.brought[at]) / hours, float(zones.metered[at]) / hours
    expected = float(zones.expected[at]) / hours
    loss, hundredth = inflow - metered, max(inflow, 1.0) / 100
    share, usually = loss / hundredth, expected / hundredth
    text = (
        f"{inflow:.0f} l/h came in and {metered:.0f} l/h were metered for {hours} h: "
        f"{loss:.0f} l/h are lost, {share:.0f} %"
    )
    heard = f"{seen.heard[at]} of {seen.meters[at]} meters were heard"
    if seen.heard[at] < seen.meters[at]:
        heard += ", the others estimated"
    summary = (
        f"Seen: {text}; expected: {expected:.0f} l/h, by the same hours of the days before. A main leaks, water is "
        f"taken before a meter, or a meter counts too little; {heard}."
    )
    evidence = (
        Evidence("loss", loss, expected, "l/h", text),
        Evidence("share lost", share, usually, "%", f"{share:.0f} % of what comes in is lost"),
        Evidence("inflow", inflow, metered + expected, "l/h", f"{inflow:.0f} l/h through the inlets"),
        Evidence("sum of meters", metered, inflow - expected, "l/h", f"{metered:.0f} l/h through the meters"),
        Evidence("meters heard", float(seen.heard[at]), float(seen.meters[at]), "", heard),
    )
    severity: Literal["warning", "critical"] = "critical" if zones.critical[at] else "warning"
    since, further = int(zones.since[at]), seen.further[at]
    return Finding("balance", state, series, time, severity, summary, evidence, since=since, nodes=further)
