"""An incident's life as the moments at which there is something to tell: to operators, and to the public."""

from msgspec import Struct

from gateway.cap.kinds import Public, kind_of
from gateway.records import Incident


class Moment(Struct, frozen=True):
    """What an incident was at one time, as far as it is known now."""

    time: int
    """Unix seconds."""
    kind: str
    confirmed: bool
    over: bool
    summary: str


class Run(Struct, frozen=True):
    """The last time without a pause in which an incident was of kinds that the public is told."""

    kinds: tuple[str, ...]
    """In order of time."""
    since: int
    """Unix seconds when it was told as that."""
    told: int
    """Unix seconds from which on the public is told."""
    until: int | None
    """Unix seconds of its end; None while it lasts."""


def moments(incident: Incident) -> list[Moment]:
    """In order of time: opened, confirmed, turned, with its newest evidence while open, closed. At most one a second,
    but for its end, which stands for itself.

    Its severity, nodes and evidence of earlier are not known any more, nor that it had ended when it came again.
    """
    times = {incident.opened, *(since for _, since in incident.told)}
    times |= {time for time in (incident.confirmed, incident.updated or None) if time is not None}
    if incident.closed is None:
        return [_at(incident, time) for time in sorted(times) if time >= incident.opened]
    # Its nodes may be heard in any order: what is said to be after the end belongs to it.
    within = [_at(incident, time) for time in sorted(times) if incident.opened <= time < incident.closed]
    first = within or [_at(incident, incident.opened)]
    # What came between matters no more once it is over, but when it was confirmed and what it turned out to be.
    steps = {incident.opened, incident.confirmed, *(since for _, since in incident.told)}
    last = Moment(incident.closed, incident.kind, incident.confirmed is not None, True, incident.summary)
    return [*(each for each in first if each.time in steps), last]


def run_of(incident: Incident) -> Run | None:
    """What the public is told of it; None for nothing: not its kind, held, not confirmed, or over by then.

    An incident is confirmed when other evidence agrees or when it has lasted for a quarter of an hour. Before that the
    public hears of it only where it could be over by then (`Public.at_once`).
    """
    told = incident.told
    last = max((at for at, (kind, _) in enumerate(told) if _public(kind) is not None), default=None)
    if last is None or incident.held:
        return None
    first = last
    while first > 0 and _public(told[first - 1][0]) is not None:
        first -= 1
    since = told[first][1]
    until = told[last + 1][1] if last + 1 < len(told) else incident.closed
    public = _public(told[last][0])
    if public is not None and public.at_once:
        begin = since
    elif incident.confirmed is None:
        return None
    else:
        begin = max(since, incident.confirmed)
    if until is not None and until <= begin:
        return None
    return Run(tuple(kind for kind, _ in told[first : last + 1]), since, begin, until)


def kind_at(incident: Incident, time: int) -> str:
    """As what it was told at a time; before its beginning as its first."""
    return next((kind for kind, since in reversed(incident.told) if since <= time), incident.told[0][0])


def public_moments(incident: Incident, run: Run) -> list[Moment]:
    """Of a run: told, turned, over; and its newest evidence where it had ended and came again."""
    turns = {since for _, since in incident.told if since > run.told}
    again = {incident.updated} if incident.reopened and run.until is None else set()
    times = sorted(time for time in {run.told, *turns, *again} if time >= run.told)
    found = [
        Moment(time, kind_at(incident, time), True, False, "")
        for time in times
        if run.until is None or time < run.until
    ]
    if run.until is not None:
        found.append(Moment(run.until, found[-1].kind, True, True, ""))
    return found


def _at(incident: Incident, time: int) -> Moment:
    kind = kind_at(incident, time)
    confirmed = incident.confirmed is not None and incident.confirmed <= time
    earlier = next((each.summary for each in incident.was if time < each.until), incident.summary)
    return Moment(time, kind, confirmed, False, earlier)


def _public(kind: str) -> Public | None:
    return kind_of(kind).public
