"""Drills: incidents that people make, to practise. They go every way that real ones go, and are marked on it."""

import asyncio
import time
from collections.abc import Collection
from typing import Annotated, Final

from msgspec import Meta, Struct, structs

from gateway.cap.kinds import KINDS
from gateway.errors import GanglionError
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.notify.settings import known
from gateway.records import Evidence, Incident, Severity

LENGTH: Final = "exercise"
"""The evidence that tells how long a drill lasts."""
CRITICAL: Final = frozenset({"wrong_way", "burst", "backflow", "main_burst", "air_episode", "journal"})
INFO: Final = frozenset({"weak_radio", "clock_drift"})
"""Kinds that are so as a rule; the others are warnings. As of docs/detection.md."""
LOOK_SECONDS: Final = 20.0
"""How often it is looked whether one is over, for the machine's clock may be set."""


class Drill(Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked for. The same twice is one."""

    kind: str
    site: str
    opened: int
    """Unix seconds."""
    node: str = ""
    minutes: Annotated[int, Meta(ge=1, le=1440)] = 30
    severity: Severity | None = None
    """None: the kind's own."""


class NoDrill(GanglionError):
    """What is real is not ended by hand, but by evidence."""


def usual_severity(kind: str) -> Severity:
    """Of a drill that does not say."""
    return "critical" if kind in CRITICAL else "info" if kind in INFO else "warning"


def make(drill: Drill, sites: Collection[str], nodes: Collection[str]) -> Incident:
    """The incident. `sites` and `nodes` (of its site) are those that there are. Raises ConfigError for a name that is
    none of them."""
    known("kind", [drill.kind], KINDS)
    known("site", [drill.site], sites)
    known("node", [drill.node] if drill.node else [], nodes)
    until = f"it ends by itself after {drill.minutes} min"
    parts = ("drill", drill.kind, drill.site, drill.node, str(drill.opened))
    return Incident(
        id=".".join(part for part in parts if part),
        kind=drill.kind,
        site=drill.site,
        node=drill.node,
        channel="",
        severity=drill.severity or usual_severity(drill.kind),
        opened=drill.opened,
        closed=None,
        summary=f"An EXERCISE of what to do then ({KINDS[drill.kind].event.lower()}); {until}.",
        evidence=(Evidence(LENGTH, drill.minutes, drill.minutes, "min", until),),
        drill=True,
    )


def begin(journal: Journal, drill: Drill, sites: Collection[str]) -> Incident:
    """Raises ConfigError like `make`."""
    incident = make(drill, sites, [view.node for view in journal.nodes() if view.site == drill.site])
    journal.report([incident])
    return incident


def end(journal: Journal, name: str, now: float) -> Incident | None:
    """The drill of an id, ended; None when there is none of that id. Raises NoDrill for what is real."""
    incident = journal.incident(name)
    if incident is None or incident.closed is not None:
        return incident
    if not incident.drill:
        raise NoDrill(f"{name} is no drill: it ends when the evidence does")
    ended = structs.replace(incident, closed=max(round(now), incident.opened))
    journal.report([ended])
    return ended


def over(incident: Incident) -> float:
    """When a drill is to end, Unix seconds."""
    return incident.opened + 60 * next((each.seen for each in incident.evidence if each.what == LENGTH), 0.0)


def end_those_over(journal: Journal, now: float) -> tuple[bool, float | None]:
    """End the drills whose time is over. Whether there were any; when the next one is, None without any."""
    running = [each for each in journal.incidents(open_only=True) if each.drill]
    ended = [structs.replace(each, closed=round(over(each))) for each in running if over(each) <= now]
    if ended:
        journal.report(ended)
    return bool(ended), min((over(each) for each in running if over(each) > now), default=None)


class Drills:
    """A part of the gateway: ends them."""

    def __init__(self, journal: JournalAccess) -> None:
        self._journal = journal

    async def run(self) -> None:
        """Until cancelled."""
        news = self._journal.listen("incidents")
        while True:
            ended, due = await self._journal.call(end_those_over, time.time())
            if ended:
                self._journal.tell("incidents")
            seconds = None if due is None else min(LOOK_SECONDS, max(0.0, due - time.time()))
            try:
                async with asyncio.timeout(seconds):
                    await news.wait()
            except TimeoutError:
                continue
