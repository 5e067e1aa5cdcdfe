"""The week in a few sentences, each made of its figures. Pure."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from gateway.report.change import in_words
from gateway.report.weeks import Span

if TYPE_CHECKING:
    from gateway.report.figures import Week

FEW: Final = 10
"""Incidents a week below which numbers are said and no shares: our choice."""
STEADY: Final = 0.05
"""Change of a zone's water below which no zone is named: our choice."""
WHOLE: Final = 0.98
"""Share of the expected windows from which nothing more is said."""


def summary_of(week: "Week", span: Span) -> Iterator[str]:
    if not week.over:
        yield "The week is not over: these are its figures so far."
    yield from _traffic(week, span)
    yield from _water(week)
    yield from _air(week)
    yield _incidents(week)
    yield from _quality(week, span)


def count(number: int, one: str, many: str = "") -> str:
    """`1 incident`, `3 incidents`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def lasting(seconds: float) -> str:
    """`45 min`, `3 h 20 min`, `2 d 4 h`."""
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 2880:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    hours = minutes // 60
    return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"


def _traffic(week: "Week", span: Span) -> Iterator[str]:
    traffic = week.traffic
    if traffic is None:
        yield "No traffic was counted."
        return
    words = in_words(traffic.change)
    yield f"Traffic {words}." if traffic.change.share is None else f"Traffic was {words}."
    # Of streets alone: that the numbers of the busiest hour of one are compared with another's is of use.
    best = max((f for f in traffic.flows if f.busiest_vehicles), key=lambda f: f.busiest_vehicles or 0, default=None)
    if best is not None and best.busiest is not None:
        when = span.moment(best.busiest)
        yield f"The busiest hour began on {when} on {best.name}, with {best.busiest_vehicles:,.0f} vehicles."


def _water(week: "Week") -> Iterator[str]:
    if week.water is None:
        yield "No water meter was heard."
        return
    shown = [zone for zone in week.water.zones if not zone.withheld]
    lost = [(zone.loss.litres, zone) for zone in shown if zone.loss is not None]
    changed = [(abs(zone.change.share), zone) for zone in shown if zone.change and zone.change.share is not None]
    if changed:
        most, zone = max(changed, key=lambda each: each[0])
        if most < STEADY:
            yield f"Water was within {100 * STEADY:.0f} % of the week before in each of {count(len(changed), 'zone')}."
        elif zone.change is not None:
            yield f"Water changed most in {zone.name}: it was {in_words(zone.change)}."
    if lost:
        litres, zone = max(lost, key=lambda each: each[0])
        if litres <= 0 or zone.loss_share is None:
            yield "In no zone did more water come in than the meters passed on."
        else:
            yield (
                f"Of the water that came into {zone.name}, {litres / 1000:,.1f} m³ ({100 * zone.loss_share:.0f} %) "
                "passed no meter."
            )
    elif not shown:
        yield "Of water nothing can be shown: there is no zone with enough homes."


def _air(week: "Week") -> Iterator[str]:
    air = week.air
    if air is None:
        yield "No air station was heard."
        return
    known = sum(air.station_days)
    if air.nothing or not known:
        yield air.nothing or "No station had enough hours of a day for an air quality index."
        return
    best = f"The air was {air.classes[0].lower()} on {air.station_days[0]:,} of {count(known, 'station-day')}"
    ago = sum(air.before)
    yield (
        f"{best} (week before: {air.before[0]:,} of {ago:,})."
        if ago
        else f"{best}; of the week before too little is known."
    )
    worst = max(level for level, days in enumerate(air.station_days) if days)
    if worst > 0:
        yield f"The worst was {air.classes[worst].lower()}, on {count(air.station_days[worst], 'station-day')}."


def _incidents(week: "Week") -> str:
    now, before = (sum(getattr(each, name) for each in week.incidents.counts) for name in ("now", "before"))
    told = f"{count(now, 'incident')} opened" if now else "No incident opened"
    if before < FEW or week.incidents.forgotten:
        words = f"{told}, after {before} in the week before"
        why = "; so few say nothing of a trend" if 0 < now + before < 2 * FEW else ""
    else:
        words, why = f"{told}, after {before} in the week before ({100 * (now / before - 1):+.0f} %)", ""
    still = sum(case.closed is None for case in week.incidents.cases)
    return f"{words}{why}{f'; {still} still open' if still else ''}."


def _quality(week: "Week", span: Span) -> Iterator[str]:
    poor = [each for each in week.quality.kinds if each.share < WHOLE]
    if poor:
        said = ", ".join(f"{100 * each.share:.0f} % of {each.kind}" for each in poor)
        yield f"Of the data that was expected, there is only {said}."
    elif week.quality.kinds:
        least = min(each.share for each in week.quality.kinds)
        most = f"At least {100 * least:.1f} % of the expected data of each kind came."
        yield most if least < 1 else "All expected data came."
    if week.quality.site is not None:
        begin = span.moment(week.quality.site.begin)
        yield f"Nothing at all came for {count(week.quality.site.hours, 'hour')} from {begin}."
