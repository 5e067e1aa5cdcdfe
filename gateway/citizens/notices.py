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


class Board:
    """Makes notices again and again; what it made of an incident it makes anew only where that has changed."""

    def __init__(self, places: Places, sender: str, link: str, *, exercise: bool) -> None:
        self.places = places
        self._sender = sender
        self._link = link
        self._exercise = exercise
        self._meters: dict[str, set[str]] = {}
        self._made: dict[str, tuple[Incident, Notice | None]] = {}
        """By id of the incident."""

    def notices(
        self, incidents: Iterable[Incident], works: Iterable[Works], nodes: Iterable[NodeView], now: float
    ) -> tuple[Notice, ...]:
        """Open ones, and those that were over within 7 days; the newest change first.

        Two incidents that the public cannot tell apart (kind, area and second) are one notice: that which is open, or
        else ended last.
        """
        if (meters := meters_of(nodes)) != self._meters:
            self._meters = meters
            self._made.clear()
        made, self._made = self._made, {}
        found: dict[str, Notice] = {}
        for incident in incidents:
            known = made.get(incident.id)
            if known is None or known[0] != incident:
                known = (incident, self._of(incident, now))
            self._made[incident.id] = known
            notice = known[1]
            if notice is None or _lasts(notice) < now - KEPT:
                continue
            same = found.get(notice.id)
            if same is None or _lasts(notice) > _lasts(same):
                found[notice.id] = notice
        of_plan = {area.slug: area for area in self.places.areas}
        for each in works:
            area = of_plan.get(each.area) or _site(each.area)
            if area is not None and each.end >= now - KEPT:
                notice = self._announced(each, area, now)
                found[notice.id] = notice
        return tuple(sorted(found.values(), key=lambda each: (-each.newest.sent, each.id)))

    def _of(self, incident: Incident, now: float) -> Notice | None:
        run = run_of(incident)
        if run is None or (run.until is not None and run.until < now - KEPT):
            return None
        homes: Collection[str] = self._meters.get(incident.site, ())
        area = self.places.public(incident, run.kinds, homes)
        if area is None:
            return None
        documents = messages(incident, self._sender, self.places, self._exercise, self._link, public=True, homes=homes)
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

    def _announced(self, each: Works, area: Area, now: float) -> Notice:
        status: Status = "Exercise" if self._exercise else "Actual"
        name = f"{WORKS}.{area.slug}.{each.number}"
        over = each.end <= now
        message = Message(
            identifier=f"{name}.{each.announced}",
            sender=self._sender,
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
            web=self._link,
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


def meters_of(nodes: Iterable[NodeView]) -> dict[str, set[str]]:
    """Names of water meters, by site."""
    found: dict[str, set[str]] = {}
    for node in nodes:
        if node.kind == "water":
            found.setdefault(node.site, set()).add(node.node)
    return found


def _lasts(notice: Notice) -> float:
    return float("inf") if notice.until is None else notice.until


def _site(slug: str) -> Area | None:
    """A site that works were announced for, by its slug."""
    sort, _, name = slug.partition("-")
    return Area(name, slug, "site", name) if sort == "site" else None
