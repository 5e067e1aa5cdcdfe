"""The figures of a week, all of them, out of what was measured and what the journal remembers. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct, structs

from gateway.airquality.tables import Region
from gateway.detect.plan import Plan
from gateway.records import Incident, NodeView
from gateway.report import quality
from gateway.report.air import Air, air_of
from gateway.report.hourly import Hourly
from gateway.report.incidents import Incidents, Place, incidents_of
from gateway.report.quality import Quality
from gateway.report.summary import summary_of
from gateway.report.traffic import Traffic, traffic_of
from gateway.report.water import Water, water_of
from gateway.report.weeks import Span


@dataclass(frozen=True, slots=True)
class Measured:
    """What the database says of the two weeks of a site."""

    kinds: Mapping[str, Hourly]
    """By kind."""
    clock_errors: Mapping[str, float]
    """Of each node the largest correction of its clock in the week, s."""


class Remembered(Struct, frozen=True):
    """What the journal says of a site."""

    nodes: tuple[NodeView, ...] = ()
    incidents: tuple[Incident, ...] = ()
    dead_letters: dict[str, int] = {}
    """Of the week by reason."""
    told: dict[str, tuple[str, ...]] = {}
    """By id of an incident, the ways by which people were told."""
    forgotten: bool = False
    """The journal is at its bound of ended incidents: some of the week may be gone."""


class Week(Struct, frozen=True, kw_only=True):
    """A report's content; `--json` is this."""

    site: str
    week: str
    timezone: str
    begin: int
    """Unix seconds."""
    end: int
    hours: int
    made: int
    """Unix seconds."""
    over: bool
    """False while the week is not."""
    exercise: bool
    """Everything in it is of a simulated city."""
    summary: tuple[str, ...]
    traffic: Traffic | None
    """None, as the next two, where nothing came."""
    water: Water | None
    air: Air | None
    incidents: Incidents
    quality: Quality

    @property
    def empty(self) -> bool:
        """Nothing was measured, and nothing opened."""
        parts = (self.traffic, self.water, self.air, *self.incidents.cases, *self.incidents.drills)
        return not any(part is not None for part in parts)


def week_of(
    measured: Measured,
    remembered: Remembered,
    plan: Plan,
    site: str,
    span: Span,
    *,
    now: float,
    region: Region = "us",
    exercise: bool = False,
) -> Week:
    """`now` in Unix seconds: of the clock, or later where packs of a simulated city are ahead of it."""
    meters = {view.node for view in remembered.nodes if view.kind == "water"}
    meters |= {*measured.kinds["water"].nodes}
    place = placer(plan, site, meters)
    until = int(min(span.end, max([now, *(view.time for view in remembered.nodes)])))
    longest, whole_site = quality.longest_of(measured.kinds, span, until, place)
    clocks, clocks_off = quality.clocks_of(measured.clock_errors, place)
    (offline, offline_nodes), (mute, mute_nodes) = quality.absent(remembered.nodes, now, place)
    gaps, gap_nodes = quality.gaps_of(remembered.nodes, place)
    week = Week(
        site=site,
        week=str(span.week),
        timezone=span.zone.key,
        begin=span.begin,
        end=span.end,
        hours=span.hours,
        made=int(now),
        over=until >= span.end,
        exercise=exercise,
        summary=(),
        traffic=traffic_of(measured.kinds["traffic"], plan, site, span),
        water=water_of(measured.kinds["water"], plan, site, span, meters),
        air=air_of(measured.kinds["air"], plan, site, span, region),
        incidents=incidents_of(
            remembered.incidents, site, span, place, remembered.told, forgotten=remembered.forgotten
        ),
        quality=Quality(
            kinds=quality.shares(measured.kinds, span, until),
            longest=longest,
            site=whole_site,
            clocks=clocks,
            clocks_off=clocks_off,
            dead_letters=quality.counted(remembered.dead_letters),
            gaps=gaps,
            gap_nodes=gap_nodes,
            offline=offline,
            offline_nodes=offline_nodes,
            silent=mute,
            silent_nodes=mute_nodes,
        ),
    )
    return structs.replace(week, summary=tuple(summary_of(week, span)))


def placer(plan: Plan, site: str, meters: Sequence[str] | set[str]) -> Place:
    """Names as a report shows them: a home's meter is told by its zone alone, as a report is handed on."""
    zones = plan.of(site).zone
    inlets = {name for zone in zones for name in zone.inlet}
    zone_of = {name: zone.name for zone in reversed(zones) for name in zone.nodes}  # the first counts

    def place(node: str) -> str:
        if node not in meters or node in inlets:
            return node
        return f"a home in {zone_of[node]}" if node in zone_of else "a home"

    return place
