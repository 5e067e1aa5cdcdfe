"""Public notices by area, out of incidents and of works that people have announced. Pure.

Every word is our own (`gateway/cap/kinds.py`) or of those who announce works; an incident gives its kind and its times.
"""

from collections.abc import Collection, Iterable
from typing import Final, Literal

from msgspec import Struct

from gateway.cap.alert import marked, messages, public_id
from gateway.cap.area import Area, Places
from gateway.cap.kinds import kind_of
from gateway.cap.life import run_of
from gateway.cap.message import Message, Status
from gateway.records import Incident, NodeView

KEPT: Final = 7 * 86_400
"""Seconds for which a notice that is over stays in the feeds."""
WORKS: Final = "works"

Topic = Literal["traffic", "air", "water", "works"]


class Works(Struct, frozen=True):
    """Works that people have announced."""

    number: int
    area: str
    """Slug of it."""
    text: str
    begin: int
    """Unix seconds. So all."""
    end: int
    announced: int


class Notice(Struct, frozen=True):
    """One thing that the public is told of an area."""

    id: str
    topic: Topic
    area: Area
    headline: str
    text: str
    advice: str
    serious: bool
    since: int
    """Unix seconds since when it is so; of works their beginning, which may be to come."""
    until: int | None
    """Of its end; None while nobody knows it."""
    over: bool
    version: str
    """Changes when it is worth telling again: it has become worse, or came again."""
    documents: tuple[Message, ...]
    """All CAP messages of it, in order."""

    @property
    def newest(self) -> Message:
        return self.documents[-1]


def notices(
    incidents: Iterable[Incident],
    works: Iterable[Works],
    nodes: Iterable[NodeView],
    places: Places,
    sender: str,
    link: str,
    now: float,
    *,
    exercise: bool,
) -> tuple[Notice, ...]:
    """Open ones, and those that were over within 7 days; the newest change first.

    Two incidents that the public cannot tell apart (kind, area and second) are one notice: that which is open, or else
    ended last.
    """
    meters = meters_of(nodes)
    found: dict[str, Notice] = {}
    for incident in incidents:
        notice = _of(incident, meters, places, sender, link, now, exercise=exercise)
        if notice is None:
            continue
        same = found.get(notice.id)
        if same is None or _lasts(notice) > _lasts(same):
            found[notice.id] = notice
    known = {area.slug: area for area in places.areas}
    for each in works:
        area = known.get(each.area) or _site(each.area)
        if area is not None and each.end >= now - KEPT:
            notice = _announced(each, area, sender, link, now, exercise=exercise)
            found[notice.id] = notice
    return tuple(sorted(found.values(), key=lambda each: (-each.newest.sent, each.id)))


def meters_of(nodes: Iterable[NodeView]) -> dict[str, set[str]]:
    """Names of water meters, by site."""
    found: dict[str, set[str]] = {}
    for node in nodes:
        if node.kind == "water":
            found.setdefault(node.site, set()).add(node.node)
    return found


def _of(
    incident: Incident,
    meters: dict[str, set[str]],
    places: Places,
    sender: str,
    link: str,
    now: float,
    *,
    exercise: bool,
) -> Notice | None:
    run = run_of(incident)
    if run is None or (run.until is not None and run.until < now - KEPT):
        return None
    homes: Collection[str] = meters.get(incident.site, ())
    area = places.public(incident, run.kinds, homes)
    if area is None:
        return None
    documents = messages(incident, sender, places, exercise, link, public=True, homes=homes)
    newest = documents[-1]
    last = run.kinds[-1]
    public = kind_of(last).public
    assert public is not None  # it has just been looked for
    return Notice(
        id=public_id(run, area),
        topic=public.topic,
        area=area,
        headline=marked(public.headline, newest.status),
        text=public.text,
        advice=public.advice,
        serious=newest.severity in ("Severe", "Extreme"),
        since=run.since,
        until=run.until,
        over=run.until is not None,
        version=f"{last}.{incident.reopened}",
        documents=tuple(documents),
    )


def _announced(each: Works, area: Area, sender: str, link: str, now: float, *, exercise: bool) -> Notice:
    status: Status = "Exercise" if exercise else "Actual"
    name = f"{WORKS}.{area.slug}.{each.number}"
    over = each.end <= now
    message = Message(
        identifier=f"{name}.{each.announced}",
        sender=sender,
        sent=each.announced,
        status=status,
        type="Alert",
        scope="Public",
        incident=name,
        event="Works",
        category="Infra",
        response="Prepare",
        urgency="Future" if each.begin - each.announced > 86_400 else "Expected",
        severity="Minor",
        certainty="Likely",
        onset=each.begin,
        expires=each.end,
        headline=marked(f"Works: {area.name}", status),
        description=marked(each.text, status),
        web=link,
        areas=(area,),
    )
    return Notice(
        id=name,
        topic=WORKS,
        area=area,
        headline=marked("Works", status),
        text=each.text,
        advice="",
        serious=False,
        since=each.begin,
        until=each.end,
        over=over,
        version="",
        documents=(message,),
    )


def _lasts(notice: Notice) -> float:
    return float("inf") if notice.until is None else notice.until


def _site(slug: str) -> Area | None:
    """A site that works were announced for, by its slug."""
    sort, _, name = slug.partition("-")
    return Area(name, slug, "site", name) if sort == "site" else None
