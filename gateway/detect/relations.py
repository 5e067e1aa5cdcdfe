"""What belongs to one incident: the same kind nearby, and what turns out to be another kind at the same place."""

from collections.abc import Collection, Mapping
from typing import Final, Literal

from msgspec import Struct, structs

from gateway.detect.neighbourhood import Neighbourhood
from gateway.detect.rule import Finding
from gateway.records import Earlier, Incident

Scope = Literal["node", "street", "zone", "site"]

# What is one incident although several nodes find it: how near they must be, and within how many seconds of what is
# known of it already. A queue grows past counters; a fuse, a cold night or a broken link is of many at once. Of one
# node, chips or lanes that get stuck together have one cause.
TOGETHER: Final[Mapping[str, tuple[Scope, int]]] = {
    "jam": ("street", 20 * 60),
    "wrong_way": ("zone", 10 * 60),
    "silent": ("zone", 5 * 60),
    "power_fail": ("zone", 5 * 60),
    "stuck": ("node", 60 * 60),
    "air_episode": ("zone", 60 * 60),
    "frost": ("site", 12 * 3600),
    "backflow": ("zone", 15 * 60),
    "weak_radio": ("zone", 60 * 60),
    "clock_drift": ("site", 60 * 60),
}
# What a kind may turn out to be at the same place. Both are one incident, whichever is found first: it goes by the
# sharper, and lasts until none of what was found of it does. A rule that changes its mind opens the new kind no later
# than in the second in which it closes the old one.
SHARPENS: Final[Mapping[str, tuple[str, ...]]] = {
    "leak": ("burst",),
    "balance": ("main_leak", "main_burst"),
    "main_leak": ("main_burst",),
    "crash": ("jam",),
    "drift": ("offset", "gain", "noisy", "zero", "stuck"),
    "offset": ("zero", "stuck"),
    "gain": ("zero", "stuck"),
    "zero": ("stuck",),
    "silent": ("power_fail",),
}
# What passes sooner than what it came of: then its incident goes by that again, so that the next one is told anew.
PASSES: Final = frozenset({"burst", "main_burst"})
TURNS: Final = 16
"""At most of one incident. Then it stays what it is, whatever passes: of a tap that is opened every day beside a leak
nobody learns more."""

Key = tuple[str, str, str, str]
"""(kind, site, node, channel) of what a rule judges."""


class Place(Struct, frozen=True):
    """Of a finding, in names."""

    site: str
    node: str
    """Empty for the whole site."""
    channel: str
    nodes: tuple[str, ...] = ()


def together(incident: Incident, finding: Finding, place: Place, near: Neighbourhood) -> bool:
    """Whether what was found there is of one cause with an incident of the same kind nearby."""
    scope, seconds = TOGETHER.get(finding.kind, ("site", -1))
    return (
        incident.kind == finding.kind
        and incident.site == place.site
        and bool(incident.node) == bool(place.node)
        and abs(finding.time - max(incident.opened, incident.updated)) <= seconds
        and any(near(scope, place.node, node) for node in (incident.node, *incident.nodes))
    )


def of_one(incident: Incident, kinds: Collection[str], finding: Finding, place: Place) -> bool:
    """Whether what was found and an incident, or one of the `kinds` of which it is made, may turn out to be the other:
    at one place, while it was there."""
    kind = finding.kind
    return (
        any(kind in SHARPENS.get(each, ()) or each in SHARPENS.get(kind, ()) for each in (incident.kind, *kinds))
        and (incident.closed is None or finding.time <= incident.closed)
        and incident.site == place.site
        and bool(place.node)
        and (place.node in (incident.node, *incident.nodes) or incident.node in place.nodes)
        and (incident.channel == place.channel or not (incident.channel and place.channel))
    )


def turned(incident: Incident, kind: str, time: int) -> Incident:
    """It goes by another kind from now on; what comes late does not turn it before it was what it is."""
    _, since = incident.told[-1]
    earlier = Earlier(incident.kind, max(since, time), incident.summary)
    return structs.replace(incident, kind=kind, was=(*incident.was, earlier))
