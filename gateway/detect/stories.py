"""One story instead of a hundred alarms: what rules find becomes incidents.

What belongs together is one incident: what a rule found again soon after it had ended, what another node found of the
same at the same time nearby, what is explained by something worse at the same node. How much may be told is bounded by
a budget of alarms; what it holds back is kept and counted.
"""

from collections.abc import Collection, Iterator, Mapping
from math import isfinite
from typing import Final, Literal

from msgspec import Struct, structs

from gateway.detect.neighbourhood import Neighbourhood
from gateway.detect.rule import Finding
from gateway.records import Evidence, Incident, Severity

FLAP: Final = 30 * 60
"""Seconds within which what comes again is the same incident. It then ends only after as long without."""
LASTED: Final = 15 * 60
"""Seconds after which an incident counts as confirmed by having lasted: a rule would have taken it back."""
MONTH: Final = 30 * 86_400
BURST: Final = 5.0
"""Alarms that a site may raise at once, however few nodes it has."""

Scope = Literal["node", "street", "zone", "site"]

# What is one incident although several nodes find it: how near they must be, and within how many seconds of what is
# known of it already. A queue grows past counters; a fuse, a cold night or a broken link is of many at once. Of one
# node, chips or lanes that get stuck together have one cause.
TOGETHER: Final[Mapping[str, tuple[Scope, int]]] = {
    "jam": ("street", 20 * 60),
    "wrong_way": ("zone", 10 * 60),
    "silent": ("zone", 5 * 60),
    "stuck": ("node", 60 * 60),
    "air_episode": ("zone", 60 * 60),
    "frost": ("site", 12 * 3600),
    "backflow": ("zone", 15 * 60),
    "weak_radio": ("zone", 60 * 60),
    "clock_drift": ("site", 60 * 60),
}
# What is explained by something worse at the same node is no incident of its own while that lasts.
EXPLAINS: Final[Mapping[str, tuple[str, ...]]] = {
    "burst": ("leak",),
    "main_burst": ("main_leak", "balance"),
    "main_leak": ("balance",),
    "jam": ("crash",),
    "leak": ("stopped",),
    "drift": ("offset", "gain", "noisy"),
    "stuck": ("zero", "offset", "gain", "drift"),
}

Key = tuple[str, str, str, str]
"""(kind, site, node, channel) of what a rule judges."""


class Place(Struct, frozen=True):
    """Of a finding, in names."""

    site: str
    node: str
    """Empty for the whole site."""
    channel: str
    nodes: tuple[str, ...] = ()


class Story(Struct):
    """An incident on its way, and what keeps it open."""

    incident: Incident
    open: list[Key] = []
    explained: list[tuple[Key, Finding, Place]] = []
    """Found while this explained it; to be told if they outlast it."""
    ending: int | None = None
    """Since when nothing keeps it open, for one that had come again."""

    def knows(self, key: Key) -> bool:
        """Whether it keeps this open now, or is explained by it."""
        return key in self.open or any(key == each for each, _, _ in self.explained)


class Purse(Struct):
    """Of a site: its budget of alarms."""

    spent: float = 0.0
    time: int = 0
    nodes: int = 0
    minute: int = 0


class Stories(Struct):
    """All incidents that are open, or ended so little ago that they may come again."""

    stories: dict[str, Story] = {}
    """By id."""
    of: dict[Key, str] = {}
    """Which story a key belongs to, open or ended lately."""
    purses: dict[str, Purse] = {}

    def take(self, finding: Finding, place: Place, near: Neighbourhood, budget: float) -> Iterator[Incident]:
        """What becomes of a finding: incidents that changed with it. `budget` is alarms a node-month."""
        key = (finding.kind, place.site, place.node, place.channel)
        story = self.stories.get(self.of.get(key, ""))
        if finding.state == "close":
            if story is not None:
                yield from self._end(story, key, finding.time, near, budget)
        elif story is not None and (story.knows(key) or finding.state == "update"):
            yield from self._update(story, finding, place, budget)
        elif finding.state == "open":
            yield from self._open(story, key, finding, place, near, budget)

    def _open(
        self, ended: Story | None, key: Key, finding: Finding, place: Place, near: Neighbourhood, budget: float
    ) -> Iterator[Incident]:
        if ended is not None:
            again = ended.incident.closed is not None or ended.ending is not None
            ended.open.append(key)
            ended.ending = None
            known = ended.incident
            ended.incident = structs.replace(known, closed=None, reopened=known.reopened + again)
            yield from self._update(ended, finding, place, budget)
            return
        for story in self.stories.values():
            if story.incident.closed is not None:
                continue
            if story.incident.node == place.node and key[0] in EXPLAINS.get(story.incident.kind, ()):
                if story.incident.site == place.site and place.node:
                    story.explained.append((key, finding, place))
                    self.of[key] = story.incident.id
                    yield from self._update(story, finding, place, budget)
                    return
            elif self._together(story.incident, finding, place, near):
                story.open.append(key)
                story.ending = None
                self.of[key] = story.incident.id
                yield from self._join(story, finding, place, budget)
                return
        story = Story(self._incident(finding, place, budget), [key])
        self.stories[story.incident.id] = story
        self.of[key] = story.incident.id
        yield story.incident

    def _incident(self, finding: Finding, place: Place, budget: float) -> Incident:
        # Of kind, place and beginning alone, so that it is the same whenever it is found; names have no dots.
        parts = (finding.kind, place.site, place.node, place.channel, str(finding.time))
        return Incident(
            id=".".join(part for part in parts if part),
            kind=finding.kind,
            site=place.site,
            node=place.node,
            channel=place.channel,
            severity=finding.severity,
            opened=finding.time,
            closed=None,
            summary=finding.summary,
            confirmed=finding.time if finding.confirmed else None,
            since=finding.since,
            nodes=place.nodes,
            evidence=_finite(finding.evidence),
            held=not self._spend(place.site, finding.severity, finding.time, budget),
        )

    def _still_held(self, known: Incident, time: int, budget: float) -> bool:
        """What is held back is told when it has become critical, or is confirmed and the budget has grown again."""
        if not known.held or (known.severity != "critical" and known.confirmed is None):
            return known.held
        return not self._spend(known.site, known.severity, time, budget)

    def _spend(self, site: str, severity: Severity, time: int, budget: float) -> bool:
        """Whether the budget allows another alarm. Critical ones are always told, and paid for like the others."""
        purse = self.purses.setdefault(site, Purse())
        whole = max(BURST, budget * purse.nodes) if budget else 0.0
        purse.spent = max(0.0, purse.spent - whole * max(0, time - purse.time) / MONTH)
        purse.time = max(purse.time, time)
        # What is merely of interest must leave half for what needs somebody.
        if severity != "critical" and purse.spent + 1 > whole / (2 if severity == "info" else 1):
            return False
        purse.spent += 1
        return True

    def _together(self, incident: Incident, finding: Finding, place: Place, near: Neighbourhood) -> bool:
        scope, seconds = TOGETHER.get(finding.kind, ("site", -1))
        return (
            incident.kind == finding.kind
            and incident.site == place.site
            and bool(incident.node) == bool(place.node)
            and abs(finding.time - max(incident.opened, incident.updated)) <= seconds
            and any(near(scope, place.node, node) for node in (incident.node, *incident.nodes))
        )

    def _join(self, story: Story, finding: Finding, place: Place, budget: float) -> Iterator[Incident]:
        """Another node, or another part of the node, finds the same: that confirms it."""
        known = story.incident
        parts = place.node == known.node and place.channel != known.channel
        joined = structs.replace(
            known,
            channel="" if parts else known.channel,
            severity=_worse(known.severity, finding.severity),
            nodes=_further(known, place.node, *place.nodes),
            updated=finding.time,
            evidence=(*known.evidence, *(_finite(finding.evidence) if parts else ())),
            confirmed=known.confirmed if known.confirmed is not None else finding.time,
        )
        story.incident = structs.replace(joined, held=self._still_held(joined, finding.time, budget))
        yield story.incident

    def _update(self, story: Story, finding: Finding, place: Place, budget: float) -> Iterator[Incident]:
        known = story.incident
        own = finding.kind == known.kind
        evidence = _finite(finding.evidence)
        what = {each.what for each in evidence}
        updated = structs.replace(
            known,
            severity=_worse(known.severity, finding.severity),
            summary=finding.summary if own and finding.summary else known.summary,
            updated=finding.time,
            confirmed=finding.time if finding.confirmed and known.confirmed is None else known.confirmed,
            since=known.since if known.since is not None else finding.since,
            nodes=_further(known, *place.nodes),
            evidence=(*(each for each in known.evidence if each.what not in what), *evidence),
        )
        story.incident = structs.replace(updated, held=self._still_held(updated, finding.time, budget))
        yield story.incident

    def _end(self, story: Story, key: Key, time: int, near: Neighbourhood, budget: float) -> Iterator[Incident]:
        if key not in story.open:
            if story.knows(key):
                story.explained = [each for each in story.explained if each[0] != key]
                del self.of[key]  # should it come again it is judged again: what explains it may be over by then
            return
        story.open.remove(key)
        if story.open:
            return
        if story.incident.reopened:
            story.ending = time  # it comes and goes: it has ended when it stayed away
            return
        yield from self._close(story, time, near, budget)

    def _close(self, story: Story, time: int, near: Neighbourhood, budget: float) -> Iterator[Incident]:
        story.ending = None
        story.incident = structs.replace(story.incident, closed=time)
        yield story.incident
        explained, story.explained = story.explained, []
        for key, finding, place in explained:
            del self.of[key]
            outlasting = structs.replace(finding, time=time, since=finding.since or finding.time)
            yield from self._open(None, key, outlasting, place, near, budget)

    def tick(
        self, site: str, time: int, nodes: int, near: Neighbourhood, budget: float, gone: Collection[str] = ()
    ) -> Iterator[Incident]:
        """A minute of a site is over; `nodes` have been heard of there. What is open of nodes that are `gone`, which
        no evidence will end any more, ends."""
        purse = self.purses.setdefault(site, Purse(time=time))
        purse.nodes = nodes
        if time <= purse.minute:
            return
        purse.minute = time
        if gone:
            yield from self._leave(site, gone, time, near, budget)
        over = []
        for story in list(self.stories.values()):
            incident = story.incident
            if incident.site != site:
                continue
            if story.ending is not None:
                if time >= story.ending + FLAP:
                    yield from self._close(story, story.ending, near, budget)
            elif incident.closed is None and incident.confirmed is None and time >= incident.opened + LASTED:
                lasted = structs.replace(incident, confirmed=time)
                story.incident = structs.replace(lasted, held=self._still_held(lasted, time, budget))
                yield story.incident
            elif incident.closed is not None and time >= incident.closed + FLAP:
                over.append(incident.id)
        for name in over:
            del self.stories[name]
        if over:
            self.of = {key: name for key, name in self.of.items() if name in self.stories}

    def _leave(
        self, site: str, gone: Collection[str], time: int, near: Neighbourhood, budget: float
    ) -> Iterator[Incident]:
        for story in list(self.stories.values()):
            for key in [*(key for key, _, _ in story.explained), *story.open]:  # what is explained shall not outlast
                if key[1] == site and key[2] in gone:
                    yield from self._end(story, key, time, near, budget)


def _further(incident: Incident, *nodes: str) -> tuple[str, ...]:
    """Its nodes and these beside its own, each once, in the order in which they came."""
    return tuple(each for each in dict.fromkeys((*incident.nodes, *nodes)) if each != incident.node)


_ORDER: Final = ("info", "warning", "critical")


def _finite(evidence: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    """Without what has no number: JSON has none for it, and the summary says it in words."""
    return tuple(each for each in evidence if isfinite(each.seen) and isfinite(each.expected))


def _worse(one: Severity, other: Severity) -> Severity:
    return max(one, other, key=_ORDER.index)
