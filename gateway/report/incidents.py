"""What operators were told in a week, and how they took it. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from gateway.records import SEVERITIES, Incident, Severity
from gateway.report.weeks import Span

Place = Callable[[str], str]
"""A node's name as a report may show it."""


class Case(Struct, frozen=True, kw_only=True):
    id: str
    """Empty where it would tell whose home it is."""
    kind: str
    severity: Severity
    where: str
    what: str
    """Its summary; empty where it would tell whose home it is."""
    opened: int
    closed: int | None
    """Unix seconds; None while open."""
    lasted: int | None
    """Seconds; None while open."""
    earlier: bool
    """Opened before the week."""
    acknowledged_by: str = ""
    acknowledged_after: int | None = None
    """Seconds after it opened; None where nobody has, or where clocks say that it was before."""
    told: tuple[str, ...] = ()
    """By what ways people were told; empty where nobody was, or where it is not known."""


class KindCount(Struct, frozen=True):
    kind: str
    now: int
    """Opened in the week."""
    before: int
    """Opened in the week before."""


class Incidents(Struct, frozen=True):
    cases: tuple[Case, ...]
    """Opened in the week, or not ended before it; the gravest first, then by time."""
    counts: tuple[KindCount, ...]
    """Most first. Without drills and without what was held back."""
    held: int
    """Kept back because the budget of alarms was spent; not among the others."""
    drills: tuple[Case, ...]
    """Made by people to practise; in none of the counts."""
    forgotten: bool = False
    """The journal may have forgotten some: it keeps so many that have ended."""


def incidents_of(
    known: Iterable[Incident],
    site: str,
    span: Span,
    place: Place,
    told: Mapping[str, Sequence[str]],
    *,
    forgotten: bool = False,
) -> Incidents:
    """`told` has by id the ways by which people were told. `place` hides homes: it names no node of theirs."""
    own = [each for each in known if each.site == site]
    here = [each for each in own if each.opened < span.end and (each.closed is None or each.closed >= span.begin)]
    cases = {each.id: _case(each, span, place, tuple(told.get(each.id, ()))) for each in here}

    def chosen(wanted: Callable[[Incident], bool]) -> tuple[Case, ...]:
        order = sorted(
            (each for each in here if wanted(each)),
            key=lambda each: (-SEVERITIES.index(each.severity), each.opened, each.id),
        )
        return tuple(cases[each.id] for each in order)

    now, before = (
        Counter(each.kind for each in own if _counts(each) and when.begin <= each.opened < when.end)
        for when in (span, span.before)
    )
    kinds = sorted({*now, *before}, key=lambda kind: (-now[kind], -before[kind], kind))
    return Incidents(
        cases=chosen(_counts),
        counts=tuple(KindCount(kind, now[kind], before[kind]) for kind in kinds),
        held=sum(each.held and not each.drill and each.opened >= span.begin for each in here),
        drills=chosen(lambda each: each.drill),
        forgotten=forgotten,
    )


def _counts(incident: Incident) -> bool:
    return not incident.drill and not incident.held


def _case(incident: Incident, span: Span, place: Place, told: tuple[str, ...]) -> Case:
    where = place(incident.node) if incident.node else incident.site
    hidden = any(place(node) != node for node in (incident.node, *incident.nodes) if node)
    acknowledged = incident.acknowledged
    after = acknowledged.time - incident.opened if acknowledged else None
    return Case(
        id="" if hidden else incident.id,
        kind=incident.kind,
        severity=incident.severity,
        where=where if hidden or not incident.channel else f"{where}, {incident.channel}",
        what="" if hidden else incident.summary,
        opened=incident.opened,
        closed=incident.closed,
        lasted=None if incident.closed is None else incident.closed - incident.opened,
        earlier=incident.opened < span.begin,
        acknowledged_by=acknowledged.by if acknowledged else "",
        acknowledged_after=after if after is not None and after >= 0 else None,
        told=told,
    )
