"""Who is told what of an incident, and when. Pure: incidents and the time are handed in.

Rules run on the gateway's clock, for people live by it; the incidents' own times are the packs'.
"""

from typing import Final, Literal, Self

from msgspec import Struct

from gateway.detect.plan import Plan
from gateway.notify.hours import Week, next_allowed, next_digest, seconds_of, span_of
from gateway.notify.settings import DAY_NUMBERS, Event, Notify, known
from gateway.records import SEVERITIES, Incident

FIRST: Final[tuple[Event, ...]] = ("opened", "confirmed", "turned")
"""What tells of an incident somebody who knows nothing of it. The others only go on with it."""
_WEIGHT: Final[tuple[Event, ...]] = ("closed", "opened", "turned", "acknowledged", "confirmed")
"""Of several at once the message goes by the first."""
SETTLE: Final = 15 * 60
"""Seconds after which what was late to be heard of is told if it is still open: a replay may yet bring its end."""

Only = Literal["always", "open", "unacknowledged"]


class Rules(Struct, frozen=True):
    """Of one target, compiled."""

    target: str
    kinds: frozenset[str]
    severity: int
    sites: frozenset[str]
    nodes: frozenset[str]
    zones: tuple[tuple[str, frozenset[str]], ...] | None
    """(site or empty, nodes) of each; None: everywhere."""
    week: Week
    digest: str
    after: int
    late: int
    updates: frozenset[Event]

    @classmethod
    def of(cls, table: Notify, plan: Plan, zone: str) -> Self:
        """`zone` is the IANA name of where its people are. Raises ConfigError for a zone that the plan has not."""
        here = f"notify.{table.name}"
        known(f"{here}.zones", table.zones, [each.name for each in plan.zone])
        zones = tuple(
            (each.site, frozenset((*each.nodes, *each.inlet))) for each in plan.zone if each.name in table.zones
        )
        days = frozenset(DAY_NUMBERS[day] for day in table.days)
        return cls(
            target=table.name,
            kinds=frozenset(table.kinds),
            severity=SEVERITIES.index(table.severity),
            sites=frozenset(table.sites),
            nodes=frozenset(table.nodes),
            zones=zones if table.zones else None,
            week=Week(zone, span_of(table.hours), days, span_of(table.quiet)),
            digest=table.digest,
            after=seconds_of(table.after),
            late=seconds_of(table.late),
            updates=frozenset(table.updates),
        )


class Decision(Struct, frozen=True):
    """That a target is told of an incident."""

    event: Event
    due: float
    """Unix seconds. Later than now: together with what else is due then."""
    only: Only = "always"
    """What must still be so when it is due."""


def concerns(rules: Rules, incident: Incident) -> bool:
    """Whether a target wants to know of such an incident at all."""
    nodes = {each for each in (incident.node, *incident.nodes) if each}
    return (
        (not rules.kinds or incident.kind in rules.kinds)
        and SEVERITIES.index(incident.severity) >= rules.severity
        and (not rules.sites or incident.site in rules.sites)
        and (not rules.nodes or not nodes.isdisjoint(rules.nodes))
        # What is of a whole site is of all of its zones.
        and (
            rules.zones is None
            or any(site in ("", incident.site) and (not nodes or not nodes.isdisjoint(of)) for site, of in rules.zones)
        )
    )


def happened(before: Incident | None, incident: Incident) -> tuple[Event, ...]:
    """What is new for one who knew an incident as `before`, or knew nothing of it. To be worse is to turn."""
    confirmed, turns, acknowledged, over, severity = False, 0, None, False, incident.severity
    if before is not None:
        confirmed, turns, acknowledged = before.confirmed is not None, len(before.was), before.acknowledged
        over, severity = before.closed is not None, before.severity
    news: dict[Event, bool] = {
        "opened": before is None or (over and incident.closed is None),
        "confirmed": incident.confirmed is not None and not confirmed,
        "turned": len(incident.was) > turns or SEVERITIES.index(incident.severity) > SEVERITIES.index(severity),
        "acknowledged": incident.acknowledged is not None and incident.acknowledged != acknowledged,
        "closed": incident.closed is not None and not over,
    }
    return tuple(event for event in _WEIGHT if news[event])


def wanted(rules: Rules, before: Incident | None, incident: Incident) -> Event | None:
    """By what a message to a target would go that knew an incident as `before`; None: by nothing it wants to know."""
    news = [event for event in happened(before, incident) if event in rules.updates]
    if before is None and _begins(rules) and not any(event in FIRST for event in news):
        return None
    return news[0] if news else None


def _begins(rules: Rules) -> bool:
    return not rules.updates.isdisjoint(FIRST)


def plan(rules: Rules, before: Incident | None, incident: Incident, now: float) -> Decision | None:
    """Whether and when a target is told of an incident that has changed; `before` is how it was told of it last.

    What was told once goes on being told, whatever becomes of it. `now` in Unix seconds.
    """
    if incident.held or (before is None and not concerns(rules, incident)):
        return None
    event = wanted(rules, before, incident)
    if event is None:
        return None
    if before is not None:
        return Decision(event, due(rules, incident, now))
    if not holds("unacknowledged" if rules.after else "always", incident):
        return None
    old = is_late(rules, incident, now)
    over = incident.closed is not None and _begins(rules)
    earliest = max(now + rules.after, now + SETTLE if old else 0.0)
    only: Only = "unacknowledged" if rules.after else "always" if rules.week.on_duty(earliest) and not old else "open"
    decision = Decision(event, due(rules, incident, earliest, old=old), only)
    # One that is over before it was heard of: only who is told later, of all together, hears of it at all.
    return None if over and (only != "always" or decision.due <= now) else decision


def is_late(rules: Rules, incident: Incident, now: float) -> bool:
    """Whether its newest evidence is so old that it tells of the past, as of a replay, and not of what is so now."""
    turned = (each.until for each in incident.was)
    newest = max(incident.opened, incident.updated, incident.confirmed or 0, incident.closed or 0, *turned)
    return bool(rules.late) and now - newest > rules.late


def due(rules: Rules, incident: Incident, earliest: float, *, old: bool = False) -> float:
    """When a target may be told, from `earliest` on (Unix seconds): by its digest, hours, days and quiet hours.

    Critical ones do not wait for the end of quiet hours, unless they are `old`.
    """
    at = next_digest(rules.digest, rules.week.zone, earliest) if rules.digest else earliest
    return next_allowed(rules.week, at, at_night=incident.severity == "critical" and not old)


def put_off(rules: Rules, incident: Incident, now: float) -> float:
    """When a target may be told of what is due: now, unless the gateway was away then and it has become night."""
    at_night = incident.severity == "critical" and not is_late(rules, incident, now)
    return next_allowed(rules.week, now, at_night=at_night)


def holds(only: Only, incident: Incident) -> bool:
    """Whether what a target waited for to be told of is still so."""
    if only == "always":
        return True
    return incident.closed is None and (only == "open" or incident.acknowledged is None)
