"""`main_burst` and `main_leak`: what a district draws rises, at once or by night, beyond its own past.

By the meter at its inlet: one that the plan names, or one that never rests and draws as ten homes do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gateway.detect.memory import Bools, Floats, Ints, Memory, column
from gateway.detect.plan import GroupPlan
from gateway.detect.rule import Finding, Frame, SiteRule
from gateway.detect.spells import Patience, Spells, extend, speaks
from gateway.detect.water.home import BUSY, WEEK_S, Character, inlets
from gateway.detect.water.inlet import DAYS, HOUR_S, LEAST_LH, WEEK_H, Bursting, Inflow, Leaking
from gateway.records import Evidence

BURST_TIMES: Final = 1.3
"""Times the fullest hour of its last week, and `LEAST_LH` more than it: a hot day is less. Below that a burst is told
by its step. Our choice."""
BURST: Final = Patience(opens_after=1800, closes_after=1800, least_windows=2, max_gap=4200)
"""Half an hour: a hydrant that is flushed, a fire's first engine. Our choice."""
_BURST_KNOWN_H: Final = 72
"""Hours that must be known of its steps; of its fullest hour a week, for a Saturday is not a Friday."""

LEAK_SPREADS: Final = 4.0
"""The night's least must rise by so many spreads of the nights before ..."""
LEAK_SHARE: Final = 0.1
"""... and by this share of them, which seasons and pressure alone may change, ..."""
LEAK_LH: Final = 300.0
"""... and by so much. Our choices."""
LEAK: Final = Patience(opens_after=24 * HOUR_S, closes_after=12 * HOUR_S, least_windows=12, max_gap=4 * HOUR_S)
"""The least of 24 hours has risen a night after the flow has; a day later a second night has agreed."""
_LEAK_KNOWN_D: Final = 4
_NIGHT_H: Final = 20
"""Hours that must be known of 24."""
_KNOWN_WEEK: Final = WEEK_S


@dataclass(slots=True)
class Watched(Memory):
    """Of each series: whether it is an inlet, as its behaviour tells."""

    time: Ints = column(np.int64)
    since: Ints = column(np.int64)
    row: Ints = column(np.int64, -1)
    """Its row among the inlets."""


class Mains(SiteRule):
    """One row a meter at an inlet: `flow`."""

    def __init__(self) -> None:
        self.watched = Watched.blank(0)
        self.character = Character.blank(0)
        self.inflow = Inflow.blank(0)
        self.bursting = Bursting.blank(0)
        self.leaking = Leaking.blank(0)
        self.scalars = {"inlets": 0.0}

    def grow(self, series: int) -> None:
        """Rows of inlets are added as they are found."""
        self.watched.grow(series)
        self.character.grow(series)

    def load(self, saved: Mapping[str, Any]) -> None:
        super().load(saved)
        self.scalars.setdefault("inlets", 0.0)

    def tick(self, frame: Frame, plan: GroupPlan) -> Sequence[Finding]:
        flow = frame.get("flow")
        series = np.flatnonzero(np.isfinite(flow))
        if not len(series):
            return []
        time, flow = frame.last[series], flow[series]
        inlet = self._inlets(series, frame.node[series], time, flow, plan)
        rows = self.watched.row[series[inlet]]
        if not len(rows):
            return []
        return self._judge(rows, time[inlet], flow[inlet])

    def _inlets(self, series: Ints, node: Ints, time: Ints, flow: Floats, plan: GroupPlan) -> Bools:
        """Which of them are inlets; rows for those that were none until now."""
        if any(plan.inlets):
            inlet = inlets(plan, node)
        else:
            watched, character = self.watched.take(series), self.character.take(series)
            first = watched.time == 0
            np.copyto(watched.since, time, where=first)
            character.step(time, np.where(first, 60, np.clip(time - watched.time, 0, HOUR_S)).astype(np.float64), flow)
            watched.time[:] = time
            restless = time - np.maximum(character.rested, watched.since) >= _KNOWN_WEEK
            inlet = (watched.row >= 0) | ((character.mean >= BUSY) & restless)
            self.watched.put(series, watched)
            self.character.put(series, character)
        for number in series[inlet & (self.watched.row[series] < 0)].tolist():
            row = int(self.scalars["inlets"])
            for memory in (self.inflow, self.bursting, self.leaking):
                memory.grow(row + 1)
            self.inflow.series[row], self.watched.row[number] = number, row
            self.scalars["inlets"] = row + 1.0
        return inlet

    def _judge(self, rows: Ints, time: Ints, flow: Floats) -> list[Finding]:
        inflow, bursting = self.inflow.take(rows), self.bursting.take(rows)
        found: list[Finding] = []
        over = inflow.add(time, flow)
        if over.any():
            found += self._hour(rows, inflow, bursting, over, time)
            inflow.begin(over, time, flow)
            np.copyto(inflow.burst, bursting.open, where=over)
        inflow.step(time, flow, ~bursting.open, inflow.hours >= _BURST_KNOWN_H)
        begins, ends = inflow.limits()
        opened, closed = extend(bursting, BURST, time, speaks(flow >= begins, flow < ends))
        inflow.jumped[closed] = 0
        inflow.burst |= bursting.open
        self.inflow.put(rows, inflow)
        self.bursting.put(rows, bursting)
        for at in np.flatnonzero(opened | closed).tolist():
            series, when = int(inflow.series[at]), int(time[at])
            if closed[at]:
                found.append(Finding("main_burst", "close", series, when, "critical"))
                continue
            seen, most = float(flow[at]), float(begins[at])
            text = f"{seen / 1000:.1f} m³/h have run into the district for {BURST.opens_after // 60} minutes"
            summary = f"Seen: {text}; expected: less than {most / 1000:.1f} m³/h, by its hours before and last week."
            evidence = (Evidence("flow", seen, most, "l/h", text),)
            since = int(bursting.since[at])
            found.append(Finding("main_burst", "open", series, when, "critical", summary, evidence, since=since))
        return found

    def _hour(self, rows: Ints, inflow: Inflow, bursting: Spells, over: Bools, time: Ints) -> list[Finding]:
        """An hour of some is over: remember it, look at the night, and set the bound for the next."""
        at = np.flatnonzero(over & (inflow.hour > 0))
        if not len(at):
            return []
        leaking = self.leaking.take(rows[at])
        mean, hour, new = inflow.mean()[at], inflow.hour[at], (time[at] - 1) // HOUR_S
        # Never from a burst, nor from one that may have begun.
        learns = np.isfinite(mean) & ~inflow.burst[at] & (bursting.condition[at] <= 0)
        # Hours of which nothing is known keep what they were a week ago, but tell nothing of this night.
        recent = hour[:, None] - np.arange(24)
        part = at[learns]
        inflow.week[part, hour[learns] % WEEK_H] = mean[learns]
        inflow.hours[at] += learns
        night = inflow.week[at[:, None], recent % WEEK_H].astype(np.float64)
        gone = (new - hour > 24 - _NIGHT_H) | (inflow.hours[at] < 24)
        enough = (np.isfinite(night).sum(axis=1) >= _NIGHT_H) & ~gone
        low = np.where(enough, np.fmin.reduce(night, axis=1), np.nan)
        inflow.low[at] = low
        found = self._nights(inflow, leaking, at, low, time)
        self.leaking.put(rows[at], leaking)
        # The day's least is learnt once a day, if it was an ordinary one.
        daily = (new // 24 > hour // 24) & np.isfinite(low) & ~leaking.open & (leaking.condition <= 0)
        inflow.lows[at[daily], (hour[daily] // 24) % DAYS] = low[daily]
        most = np.fmax.reduce(inflow.week[at].astype(np.float64), axis=1)
        known = (inflow.hours[at] >= WEEK_H) & np.isfinite(most)
        inflow.bound[at] = np.where(known, np.maximum(BURST_TIMES * most, most + LEAST_LH), np.inf)
        return found

    @staticmethod
    def _nights(inflow: Inflow, leaking: Spells, at: Ints, low: Floats, time: Ints) -> list[Finding]:
        lows = inflow.lows[at].astype(np.float64)
        days = np.isfinite(lows).sum(axis=1)
        known = (days >= _LEAK_KNOWN_D) & np.isfinite(low)
        usual, spread = np.full(len(at), np.nan), np.full(len(at), np.nan)
        if known.any():
            usual[known] = np.nanmedian(lows[known], axis=1)
            # 1.4826: of the median deviation, for a normal spread.
            spread[known] = 1.4826 * np.nanmedian(np.abs(lows[known] - usual[known, None]), axis=1)
        rise = np.maximum(np.maximum(LEAK_SPREADS * spread, LEAK_SHARE * usual), LEAK_LH)
        opened, closed = extend(leaking, LEAK, time[at], speaks(low >= usual + rise, low < usual + rise / 2))
        found = []
        for n in np.flatnonzero(opened | closed).tolist():
            series, when = int(inflow.series[at[n]]), int(time[at[n]])
            if closed[n]:
                found.append(Finding("main_leak", "close", series, when))
                continue
            seen, was = float(low[n]), float(usual[n])
            text = f"the least hour of two days and nights was {seen / 1000:.1f} m³/h"
            summary = (
                f"Seen: {text}; expected: {was / 1000:.1f} m³/h, by the nights before: some "
                f"{(seen - was) / 1000:.1f} m³/h may be lost."
            )
            evidence = (Evidence("least flow of a day", seen, was, "l/h", text),)
            since = int(leaking.since[n]) - 24 * HOUR_S
            found.append(Finding("main_leak", "open", series, when, summary=summary, evidence=evidence, since=since))
        return found
