"""Ground truth: what really happened in the city, and how incidents are held against it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct

from gateway.records import Incident
from sim_hardware.city.scenario import SHOWS_AFTER_S, IncidentKind

AFTERMATH_S = 15 * 60
"""A detector that needs its rows of equal minutes may raise an incident this long after its cause is gone."""


class Truth(Struct, frozen=True):
    """One incident as it was."""

    kind: IncidentKind
    site: str
    nodes: tuple[str, ...]
    """Every node that it shows at."""
    begin: int
    """Unix seconds."""
    end: int
    size: float


class Delay(Struct, frozen=True):
    median: float
    max: float


class Score(Struct, frozen=True):
    injected: int
    detected: int
    false: int
    delay_s: dict[str, Delay]
    """Per kind of incident, from its beginning to its detection, in the city's own time."""


def score(truths: Sequence[Truth], incidents: Iterable[Incident], until: int) -> Score:
    """Hold what was raised against what happened up to `until` (Unix seconds of the city).

    An incident matches a truth of its kind and site that shows at its node (or anywhere, for one of the whole site)
    and whose time it began in. Truths that have not lasted as long as their kind needs are left out on both sides:
    found early they are not false, found late they are not missed.
    """
    ripe = [each for each in truths if min(each.end, until) - each.begin >= SHOWS_AFTER_S[each.kind]]
    found: dict[Truth, int] = {}
    false = 0
    for incident in incidents:
        causes = [each for each in truths if _matches(each, incident)]
        if not causes:
            false += 1
        for cause in causes:
            found[cause] = min(found.get(cause, incident.opened), incident.opened)
    delays: dict[str, list[int]] = {}
    for each in ripe:
        if each in found:
            delays.setdefault(each.kind, []).append(found[each] - each.begin)
    return Score(
        injected=len(ripe),
        detected=sum(each in found for each in ripe),
        false=false,
        delay_s={kind: Delay(median(values), max(values)) for kind, values in sorted(delays.items())},
    )


def _matches(truth: Truth, incident: Incident) -> bool:
    return (
        truth.kind == incident.kind
        and truth.site == incident.site
        and (not incident.node or incident.node in truth.nodes)
        and truth.begin <= incident.opened <= truth.end + AFTERMATH_S
    )


def write(path: Path, truths: Iterable[Truth]) -> None:
    """One JSON object per line."""
    path.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in truths))
