"""`air_episode`: the air of a whole site is unhealthy, or that of one place while the rest of the site is clean.

A place's bad air is told from a sensor's fault by a second witness: another station of the same zone, or another chip
of the same station, whose readings rise with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from gateway.detect.air.humidity import humid_evidence
from gateway.detect.air.means import Minutes, forget, mean, median, moves
from gateway.detect.memory import Bools, Floats, Floats32, Ints, Memory, column
from gateway.detect.plan import GroupPlan
from gateway.detect.rule import SITE, Finding, Frame, SiteRule
from gateway.detect.spells import Patience, Spells, above
from gateway.records import Evidence

UNHEALTHY: Final = 55.5
"""µg/m³ of PM2.5: above AQI 150, "unhealthy" (US EPA 2024: 55.4 is the upper bound of 150, in steps of 0.1)."""
BETTER: Final = 45.0
"""µg/m³: our choice, far enough below that an episode does not flicker. It is over as soon as the mean of ten minutes
is below: that lags behind the air by some minutes already."""
KNOWN: Final = 3600
"""Seconds that a silent node still counts as one of its site, so that a few that are ahead do not decide alone."""
PATIENCE: Final = Patience(opens_after=0, closes_after=0, least_windows=1)

RISE: Final = 30.0
"""µg/m³ that a node is above what it usually is against its site: our choice, half of `UNHEALTHY`, six times what two
healthy stations of a town differ (facts: median 5)."""
FALLEN: Final = 15.0
"""µg/m³: half of it, below which it is over."""
USUAL_S: Final = 86_400.0
"""Seconds over which a node learns what is usual for it against its site: a day, so that an evening's stoves are not
learnt away within the evening, and a sensor's fault no longer counts as a rise after some days."""
LEAST_NODES: Final = 3
"""Of a site, below which nobody can tell a place from the rest."""
CALM_S: Final = 3600
"""Seconds after an episode of the whole site in which what is left of it at some places is no news."""

# The other chips' usual is of hours: what is looked for comes within minutes, and their own day is larger than it.
OTHERS_USUAL_S: Final = 3 * 3600.0
CO2_PER_PM: Final = 0.04
"""ppm for each µg/m³. Burning wood gives off some 1600 g of CO2 and 5 to 10 g of PM2.5 a kg (of the order of the
EMEP/EEA guidebook, 1.A.4.b): 0.09 to 0.18 ppm; this is half of the least."""
CO2_RISE: Final = 8.0
"""ppm: twice what one reading of an SCD41 is off; the mean of ten minutes is off by a fifth of that."""
CO2_SOUND: Final = 100.0
"""ppm that a station's CO2 usually is off its site's median, at most, to be a witness: our choice. Outdoors stations of
a site differ by less; one that differs by more has a fault of its own, and one of gain rises with everything."""
VOC_RISE: Final = 60.0
"""Index points: our choice. 100 is the sensor's usual, 150 and more an event (Sensirion, SGP40 VOC Index)."""


@dataclass(slots=True)
class Against(Memory):
    """Of each series, what is usual for it against its site."""

    seen: Ints = column(np.int64)
    """Unix seconds of its newest PM2.5."""
    usual: Floats32 = column(np.float32, np.nan)
    """µg/m³ that it is above the site's median."""
    member: Bools = column(np.bool_)
    """Whether it has been part of the open episode of a place."""


@dataclass(slots=True)
class Usual(Memory):
    """Of each series, the same of another chip's quantity."""

    usual: Floats32 = column(np.float32, np.nan)


class Air(NamedTuple):
    """One minute."""

    mean: Floats
    """[n] µg/m³ over ten minutes; NaN where too little is known."""
    rise: Floats
    """[n] µg/m³ above what is usual for the node against its site."""
    level: float
    """The median of the means."""
    nodes: int
    """With a mean."""


class AirEpisode(SiteRule):
    """One episode of the whole site at a time, or one of a place, which may grow from node to node."""

    def __init__(self) -> None:
        self.pm, self.co2, self.voc = (Minutes.blank(0) for _ in range(3))
        self.against = Against.blank(0)
        self.usual_co2, self.usual_voc = (Usual.blank(0) for _ in range(2))
        self.site = Spells.blank(1)
        """Its first row alone is used."""
        self.scalars = {"time": 0.0, "over": 0.0, "place": -1.0}
        """Unix seconds of the last minute, and of the end of the site's last episode; the open place's series."""

    def tick(self, frame: Frame, plan: GroupPlan) -> Sequence[Finding]:
        """What changed with this minute: at most one end and one beginning, or an update."""
        before, self.scalars["time"] = int(self.scalars["time"]), float(frame.time)
        passed = min(frame.time - before, 3600)
        for minutes in (self.pm, self.co2, self.voc):
            forget(minutes, before, frame.time)
        rows = slice(0, len(frame.node))
        others = (
            _rise(self.co2.take(rows), self.usual_co2.take(rows), frame, "co2", passed),
            _rise(self.voc.take(rows), self.usual_voc.take(rows), frame, "voc_index", passed),
        )
        against = self.against.take(rows)
        air = _air(self.pm.take(rows), against, frame, passed)
        if air is None:
            return ()
        found = self._whole(frame, air)
        if self.site.open[0]:
            return [*self._leave(frame, against), *found]
        return [*found, *self._place(frame, plan, air, against, others)]

    def _whole(self, frame: Frame, air: Air) -> list[Finding]:
        """The site's own episode: it begins or ends, or neither."""
        condition = above(np.array([air.level]), UNHEALTHY, BETTER)
        opened, closed = self.site.turn(slice(0, 1), PATIENCE, np.array([frame.time]), condition)
        if closed[0]:
            self.scalars["over"] = float(frame.time)
            return [Finding("air_episode", "close", SITE, frame.time)]
        if not opened[0]:
            return []
        text = f"PM2.5 was {air.level:.0f} ug/m3 over 10 minutes, the median of {air.nodes} nodes"
        evidence = Evidence("pm2_5", air.level, UNHEALTHY, "ug/m3", text)
        summary = (
            f"PM2.5 is at {air.level:.0f} ug/m3 over 10 minutes, the median of {air.nodes} nodes; "
            f"expected: below {UNHEALTHY:g} (AQI 150)."
        )
        humid = humid_evidence(air.level, median(frame.get("humidity")))
        confirmed = air.nodes >= LEAST_NODES
        return [
            Finding(
                "air_episode", "open", SITE, frame.time, "critical", summary, (evidence, *humid), confirmed=confirmed
            )
        ]

    def _leave(self, frame: Frame, against: Against) -> list[Finding]:
        """What was of a place is now of the whole site."""
        series = int(self.scalars["place"])
        if series < 0:
            return []
        self.scalars["place"] = -1.0
        against.member[:] = False
        return [Finding("air_episode", "close", series, frame.time)]

    def _place(
        self, frame: Frame, plan: GroupPlan, air: Air, against: Against, others: tuple[Floats, Floats]
    ) -> list[Finding]:
        """The episode of a place: it begins, grows or ends, or nothing of it."""
        here = (air.mean >= UNHEALTHY) & (air.rise >= RISE)
        series = int(self.scalars["place"])
        if series >= 0:
            still = against.member & (air.mean >= BETTER) & (air.rise >= FALLEN)
            heard = against.member & ~np.isnan(air.rise)
            if not still.any() and (heard.any() or not (against.seen > frame.time - KNOWN)[against.member].any()):
                return self._leave(frame, against)
            more = here & ~against.member
            if not more.any():
                return []
            against.member |= more
            return [self._told("update", frame, air, against, series, "its neighbours")]
        if not here.any() or air.nodes < LEAST_NODES or frame.time < self.scalars["over"] + CALM_S:
            return []
        here &= moves(self.pm.take(slice(0, len(here))))  # a chip that repeats what it saw of a fire is none
        gas = np.where(here, air.rise, np.nan) * CO2_PER_PM
        sound = np.abs(self.usual_co2.usual[: len(here)]) <= CO2_SOUND
        witness = (sound & (others[0] >= np.maximum(gas, CO2_RISE))) | (here & (others[1] >= VOC_RISE))
        sure = here & (witness | _two(here, _zone_of(frame.node, plan)))
        if not sure.any():
            return []
        worst = int(np.argmax(np.where(sure, air.rise, -np.inf)))
        self.scalars["place"] = float(worst)
        against.member[:] = here
        named = "its co2" if others[0][worst] >= CO2_RISE else "its voc_index"
        return [self._told("open", frame, air, against, worst, named if witness[worst] else "its neighbours")]

    def _told(
        self,
        state: Literal["open", "update"],
        frame: Frame,
        air: Air,
        against: Against,
        series: int,
        agrees: str,
    ) -> Finding:
        """Of the open episode of a place, at the series at which it was worst when it began."""
        others = np.flatnonzero(against.member)
        level, rise = float(air.mean[series]), float(air.rise[series])
        text = f"PM2.5 was {level:.0f} ug/m3 over 10 minutes, {rise:.0f} above what is usual here against the site"
        humidity = frame.get("humidity")
        return Finding(
            "air_episode",
            state,
            series,
            frame.time,
            "warning",
            f"PM2.5 is at {level:.0f} ug/m3 over 10 minutes and {agrees} rose with it, the site's median is at "
            f"{air.level:.0f} ug/m3; expected: below {UNHEALTHY:g} (AQI 150).",
            (
                Evidence("pm2_5 against the site", rise, RISE, "ug/m3", text),
                *humid_evidence(level, float(humidity[series]), median(humidity)),
            ),
            nodes=tuple(each for each in frame.node[others].tolist() if each != frame.node[series]),
            confirmed=True,
        )


def _air(minutes: Minutes, against: Against, frame: Frame, passed: int) -> Air | None:
    """PM2.5 of this minute; None where less than half of the nodes that are known have a mean."""
    value = frame.get("pm2_5")
    average = mean(minutes, frame.time, value)
    against.seen[:] = np.where(np.isnan(value), against.seen, frame.time)
    have = ~np.isnan(average)
    nodes = int(have.sum())
    if not nodes or 2 * nodes < int((against.seen > frame.time - KNOWN).sum()):
        return None
    level = median(average)
    return Air(average, _above_usual(average - level, against, passed, USUAL_S), level, nodes)


def _rise(minutes: Minutes, usual: Usual, frame: Frame, quantity: str, passed: int) -> Floats:
    """[n] of another chip's quantity, above what is usual for the node against its site."""
    average = mean(minutes, frame.time, frame.get(quantity))
    return _above_usual(average - median(average), usual, passed, OTHERS_USUAL_S)


def _above_usual(excess: Floats, memory: Against | Usual, passed: int, usual_s: float) -> Floats:
    """[n] `excess` over the site beyond what is usual; NaN where it is not known. Usual follows it within `usual_s`."""
    rise = np.where(np.isnan(memory.usual), 0.0, excess - memory.usual)
    known = ~np.isnan(excess)
    follow = np.where(np.isnan(memory.usual), excess, memory.usual + rise * (1 - np.exp(-passed / usual_s)))
    memory.usual[:] = np.where(known, follow, memory.usual)
    return np.where(known, rise, np.nan)


def _two(here: Bools, zone: Ints) -> Bools:
    """[n] where another node of the same zone is so too."""
    return here & (np.bincount(zone + 1, here)[zone + 1] >= 2)


def _zone_of(node: Ints, plan: GroupPlan) -> Ints:
    """[n] number of each node's zone; -1, which is one of its own, for those that the plan does not have."""
    found = np.full(int(node.max()) + 1, -1)
    for number, its in enumerate(plan.zones):
        found[[each for each in its if each < len(found)]] = number
    return found[node]
