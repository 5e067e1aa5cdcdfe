"""Ground truth: what really happened in the city, and how incidents are held against it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
from msgspec import Struct

from gateway.detect.relations import SHARPENS
from gateway.errors import ConfigError
from gateway.quantities import KINDS as NODE_KINDS
from gateway.records import Incident
from sim_hardware.city.incidents import KINDS, MONTH_D, IncidentKind

AFTERMATH_S: Final = 15 * 60
"""A detector that needs its rows of equal minutes may raise an incident this long after its cause is gone."""

_NODES_OF: Final = {
    "jam": ("traffic",),
    "leak": ("water",),
    "burst": ("water",),
    "backflow": ("water",),
    "main_leak": ("water",),
    "main_burst": ("water",),
    "air_episode": ("air",),
    "stuck": ("traffic", "air"),
}
"""The kinds of nodes that can raise a kind of incident; those not named any."""


class Truth(Struct, frozen=True):
    """One incident as it was."""

    kind: IncidentKind
    site: str
    place: str
    """Name of a street, a district or a node; empty for the whole city."""
    nodes: tuple[str, ...]
    """Every node that it shows at."""
    begin: int
    """Unix seconds. For what holds up traffic: of its queue, if it had one; roadworks may be without for days."""
    end: int
    """For what holds up traffic: also its queue had dissolved."""
    size: float
    shown: tuple[int, int] | None = None
    """From when to when it showed at the node where it did so longest; None: all of its time."""

    def ripe(self, until: int) -> bool:
        """Whether by then it had shown for as long as a gateway needs to notice."""
        begin, end = self.shown or (self.begin, self.end)
        return bool(self.nodes) and min(end, until) - begin >= KINDS[self.kind].shows_after_s

    def told_by(self, incident: Incident) -> list[tuple[int, str]]:
        """(Unix seconds, kind) as which an incident told of it: as what it shows as, or as what may turn out to be that
        (`SHARPENS`), in its time and at one of its nodes."""
        if self.site != incident.site or (incident.node and incident.node not in self.nodes):
            return []
        shows_as = KINDS[self.kind].shows_as
        return [
            (time, kind)
            for kind, time in incident.told
            if self.begin <= time <= self.end + AFTERMATH_S and shows_as in (kind, *SHARPENS.get(kind, ()))
        ]

    def found_by(self, incident: Incident) -> int | None:
        """Unix seconds when an incident told of it as what it shows as; None where it did not."""
        shows_as = KINDS[self.kind].shows_as
        return next((time for time, kind in self.told_by(incident) if kind == shows_as), None)


class Run(Struct, frozen=True):
    """What a truth is of: the first line of its file."""

    site: str
    nodes: dict[str, int]
    """By kind."""
    begin: int
    """Unix seconds."""
    end: int


class Delay(Struct, frozen=True):
    median: float
    max: float


class KindScore(Struct, frozen=True):
    """Of one kind of incident, as the gateway calls it."""

    injected: int
    """Truths that showed long enough."""
    detected: int
    raised: int
    """Incidents, without those of truths that did not show long enough."""
    false: int
    precision: float | None
    """Share of what was raised that was right; None where nothing was."""
    recall: float | None
    """Share of what was injected that was detected; None where nothing was."""
    delay_s: Delay | None
    false_per_node_month: float | None
    """Over the nodes that can raise it; None where their number is not known."""


class Score(Struct, frozen=True):
    injected: int
    detected: int
    false: int
    delay_s: dict[str, Delay]
    """Per kind of incident, from its beginning to its detection, in the city's own time."""
    raised: int = 0
    precision: float | None = None
    recall: float | None = None
    false_per_node_month: float | None = None
    kinds: dict[str, KindScore] = {}
    """By the gateway's kinds."""
    causes: dict[str, tuple[int, int]] = {}
    """By the city's kinds: how many were injected, how many detected."""


def score(truths: Sequence[Truth], incidents: Iterable[Incident], until: int, run: Run | None = None) -> Score:
    """Hold what was raised against what happened up to `until` (Unix seconds of the city).

    An incident matches a truth that shows as its kind, at its site and node (or anywhere, for one of the whole site),
    and in whose time it was told as that. Each truth is given an incident of its own where there are enough; one that
    was raised again for the same truth is not false. Nor is one that was told only as what may turn out to be it, but
    that has not detected it. One that was told as several kinds counts once, as the last that was right. Truths that
    have not shown as long as their kind needs are left out on both sides: found early they are not false, found late
    they are not missed.
    """
    heard = sorted(incidents, key=lambda each: (each.opened, each.id))
    ordered = sorted(truths, key=lambda each: (each.begin, each.end, each.place, each.kind))
    candidates = _candidates(ordered, heard)
    ripe = [each.ripe(until) for each in ordered]
    given: set[int] = set()
    delays: dict[int, int] = {}
    told: dict[int, list[tuple[int, str]]] = {}
    for index, (truth, its) in enumerate(zip(ordered, candidates, strict=True)):
        for number, kinds_told in its.items():
            told.setdefault(number, []).extend(kinds_told)
        times = {number: time for number in its if (time := truth.found_by(heard[number])) is not None}
        if times:
            own = next((number for number in times if number not in given), next(iter(times)))
            given.add(own)
            delays[index] = times[own] - truth.begin
    kind_of = [max(told[number])[1] if number in told else each.kind for number, each in enumerate(heard)]
    early = told.keys() - {number for index, its in enumerate(candidates) if ripe[index] for number in its}

    def of(name: str) -> KindScore:
        """Of one of the gateway's kinds; of all for an empty name."""
        due = [n for n, each in enumerate(ordered) if ripe[n] and name in ("", KINDS[each.kind].shows_as)]
        mine = [n for n, kind in enumerate(kind_of) if name in ("", kind) and n not in early]
        found = [delays[n] for n in due if n in delays]
        false = sum(n not in told for n in mine)
        months = _node_months(name, until, run)
        return KindScore(
            injected=len(due),
            detected=len(found),
            raised=len(mine),
            false=false,
            precision=round(1 - false / len(mine), 4) if mine else None,
            recall=round(len(found) / len(due), 4) if due else None,
            delay_s=Delay(median(found), max(found)) if found else None,
            false_per_node_month=round(false / months, 6) if months else None,
        )

    whole = of("")
    names = sorted({KINDS[each.kind].shows_as for each in truths} | {*kind_of})
    kinds = {name: line for name in names if (line := of(name)).injected or line.raised}
    causes: dict[str, tuple[int, int]] = {}
    for index, each in enumerate(ordered):
        if ripe[index]:
            injected, detected = causes.get(each.kind, (0, 0))
            causes[each.kind] = (injected + 1, detected + (index in delays))
    return Score(
        injected=whole.injected,
        detected=whole.detected,
        false=whole.false,
        delay_s={name: line.delay_s for name, line in kinds.items() if line.delay_s},
        raised=whole.raised,
        precision=whole.precision,
        recall=whole.recall,
        false_per_node_month=whole.false_per_node_month,
        kinds=kinds,
        causes=dict(sorted(causes.items())),
    )


def _candidates(truths: Sequence[Truth], heard: Sequence[Incident]) -> list[dict[int, list[tuple[int, str]]]]:
    """The incidents that told of each truth, in order of time, and as what each did: see `Truth.told_by`."""
    told = sorted((time, number) for number, each in enumerate(heard) for _, time in each.told)
    found = []
    for each in truths:
        begin = bisect_left(told, each.begin, key=itemgetter(0))
        near = told[begin : bisect_right(told, each.end + AFTERMATH_S, key=itemgetter(0))]
        its = {number: each.told_by(heard[number]) for _, number in near}
        found.append({number: kinds for number, kinds in its.items() if kinds})
    return found


def _node_months(name: str, until: int, run: Run | None) -> float | None:
    if run is None:
        return None
    nodes = sum(run.nodes.get(kind, 0) for kind in _NODES_OF.get(name, NODE_KINDS))
    return nodes * (until - run.begin) / (MONTH_D * 86_400) or None


def write(path: Path, truths: Iterable[Truth], run: Run | None = None) -> None:
    """One JSON object per line; the run it is of, where it is known, in the first."""
    lines = [*([{"run": run}] if run else []), *truths]
    path.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in lines))


class _First(Struct, frozen=True, forbid_unknown_fields=True):
    run: Run


def read(path: Path) -> tuple[Run | None, list[Truth]]:
    """What `write` wrote. Raises ConfigError with file and line."""
    run, truths = None, []
    for number, line in lines(path):
        try:
            if number == 1 and line.startswith(b'{"run"'):
                run = msgspec.json.decode(line, type=_First).run
            else:
                truths.append(msgspec.json.decode(line, type=Truth))
        except msgspec.DecodeError as error:
            raise ConfigError(f"{path}:{number}: this is no line of a truth file: {error}") from error
    return run, truths


def read_incidents(path: Path) -> list[Incident]:
    """What `ganglion incidents --json` prints, of each incident the newest form. Raises ConfigError with the line."""
    found: dict[str, Incident] = {}
    for number, line in lines(path):
        try:
            incident = msgspec.json.decode(line, type=Incident)
        except msgspec.DecodeError as error:
            raise ConfigError(
                f"{path}:{number}: this is no incident: {error}; write the file with ganglion incidents --json"
            ) from error
        found[incident.id] = incident
    return list(found.values())


def lines(path: Path) -> list[tuple[int, bytes]]:
    """(number, line) of a file's lines that are not empty. Raises ConfigError when it cannot be read."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; name a file that is there") from error
    return [(number, line) for number, line in enumerate(text.split(b"\n"), 1) if line.strip()]
