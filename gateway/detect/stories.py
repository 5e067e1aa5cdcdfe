"""One story instead of a hundred alarms: what rules find becomes incidents.

What belongs together is one incident: what a rule found again soon after it had ended, what another node found of the
same at the same time nearby, what turns out to be something else at the same place. How much may be told is bounded by
a budget of alarms; what it holds back is kept and counted.
"""

from collections.abc import Collection, Iterator
from math import isfinite
from typing import Final

from msgspec import Struct, structs

from gateway.detect.neighbourhood import Neighbourhood
from gateway.detect.relations import PASSES, SHARPENS, TURNS, Key, Place, of_one, together, turned
from gateway.detect.rule import Finding
from gateway.detect.unnamed import finding_without, without
from gateway.records import SEVERITIES, Evidence, Incident, Severity

FLAP: Final = 30 * 60
"""Seconds within which what comes again is the same incident. It then ends only after as long without."""
LASTED: Final = 15 * 60
"""Seconds after which an incident counts as confirmed by having lasted: a rule would have taken it back."""
MONTH: Final = 30 * 86_400
BURST: Final = 5.0
"""Alarms that a site may raise at once, however few nodes it has."""


class Story(Struct):
    """An incident on its way, and what keeps it open."""

    incident: Incident
    open: list[Key] = []
    found: dict[Key, Finding] = {}
    """Of those, the newest."""
    ending: int | None = None
    """Since when nothing keeps it open, for one that had come again."""
    until: int = 0
    """The latest end of what kept it open: its nodes may be heard in any order."""


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
                yield from self._end(story, key, finding.time)
        elif story is not None and (key in story.open or finding.state == "update"):
            if key in story.open:
                story.found[key] = finding
            yield from self._update(story, finding, place, budget)
        elif finding.state == "open":
            yield from self._open(story, key, finding, place, near, budget)

    def _open(
        self, ended: Story | None, key: Key, finding: Finding, place: Place, near: Neighbourhood, budget: float
    ) -> Iterator[Incident]:
        if ended is not None:
            again = ended.incident.closed is not None or ended.ending is not None
            self._keep_open(ended, key, finding)
            known = ended.incident
            ended.incident = structs.replace(known, closed=None, reopened=known.reopened + again)
            yield from self._update(ended, finding, place, budget)
            return
        for story in self.stories.values():
            if of_one(story.incident, {key[0] for key in story.open}, finding, place):
                self._keep_open(story, key, finding)
                story.incident = structs.replace(story.incident, closed=None)
                yield from self._update(story, finding, place, budget)
                return
            if story.incident.closed is None and together(story.incident, finding, place, near):
                self._keep_open(story, key, finding)
                yield from self._join(story, finding, place, budget)
                return
        story = Story(self._incident(finding, place, budget))
        self.stories[story.incident.id] = story
        self._keep_open(story, key, finding)
        yield story.incident

    def _keep_open(self, story: Story, key: Key, finding: Finding) -> None:
        """This keeps it open from now on."""
        story.open.append(key)
        story.found[key] = finding
        story.ending = None
        self.of[key] = story.incident.id

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
        if finding.kind in SHARPENS.get(known.kind, ()):
            known = turned(known, finding.kind, finding.time)
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
            nodes=_further(known, place.node, *place.nodes),
            evidence=(*(each for each in known.evidence if each.what not in what), *evidence),
        )
        story.incident = structs.replace(updated, held=self._still_held(updated, finding.time, budget))
        yield story.incident

    def _end(self, story: Story, key: Key, time: int) -> Iterator[Incident]:
        if key not in story.open:
            return
        story.open.remove(key)
        del story.found[key]
        story.until = max(story.until, time)
        if story.open:
            yield from self._pass(story, key[0], time)
        elif story.incident.reopened:
            story.ending = story.until  # it comes and goes: it has ended when it stayed away
        else:
            yield from self._close(story, story.until)

    def _pass(self, story: Story, kind: str, time: int) -> Iterator[Incident]:
        """Nothing of a kind may be left of it, but of others: what it goes by then."""
        left = {key[0]: finding for key, finding in story.found.items()}
        if kind not in PASSES or kind != story.incident.kind or kind in left or not left:
            return
        if len(story.incident.was) + 2 > TURNS:  # this, and the next time it comes
            return
        sharpest = next(each for each in left if left.keys().isdisjoint(SHARPENS.get(each, ())))
        story.incident = structs.replace(
            turned(story.incident, sharpest, time),
            severity=max((each.severity for each in story.found.values()), key=SEVERITIES.index),
            summary=left[sharpest].summary,
            updated=time,
        )
        yield story.incident

    def _close(self, story: Story, time: int) -> Iterator[Incident]:
        story.ending = None
        known = story.incident
        lasted = known.opened + LASTED
        # A node that is ahead may tell the end before its site has come to the minute in which it had lasted.
        confirmed = lasted if known.confirmed is None and not known.reopened and time >= lasted else known.confirmed
        story.incident = structs.replace(known, closed=time, confirmed=confirmed)
        yield story.incident

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
            yield from self._leave(site, gone, time)
        over = []
        for story in list(self.stories.values()):
            incident = story.incident
            if incident.site != site:
                continue
            if story.ending is not None:
                if time >= story.ending + FLAP:
                    yield from self._close(story, story.ending)
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

    def forget(self, site: str, node: str) -> None:
        """Its own incidents are no more; others do not name it."""
        for name, story in list(self.stories.items()):
            incident = story.incident
            if incident.site != site:
                continue
            if incident.node == node:
                del self.stories[name]
                continue
            story.incident = without(incident, node)
            story.found = {
                key: finding_without(each, node) for key, each in story.found.items() if key[1:3] != (site, node)
            }
            story.open = [key for key in story.open if key[1:3] != (site, node)]
        self.of = {key: name for key, name in self.of.items() if name in self.stories and key[1:3] != (site, node)}

    def _leave(self, site: str, gone: Collection[str], time: int) -> Iterator[Incident]:
        for story in list(self.stories.values()):
            for key in list(story.open):
                if key[1] == site and key[2] in gone:
                    yield from self._end(story, key, time)


def _further(incident: Incident, *nodes: str) -> tuple[str, ...]:
    """Its nodes and these beside its own, each once, in the order in which they came."""
    return tuple(each for each in dict.fromkeys((*incident.nodes, *nodes)) if each != incident.node)


def _finite(evidence: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    """Without what has no number: JSON has none for it, and the summary says it in words."""
    return tuple(each for each in evidence if isfinite(each.seen) and isfinite(each.expected))


def _worse(one: Severity, other: Severity) -> Severity:
    return max(one, other, key=SEVERITIES.index)
