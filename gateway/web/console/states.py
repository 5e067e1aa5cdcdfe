"""How a node stands, in a word: by what it says itself and by what the detectors say of it. Pure."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from gateway.liveness import silent
from gateway.records import Incident, NodeView

Key = tuple[str, str]
"""(site, node)."""


class State(Struct, frozen=True):
    """One row of the legend. Shape and sign differ with the colour, so that nobody needs to tell colours apart."""

    name: str
    sign: str
    """One character, drawn on the symbol."""
    words: str


# The last is the worst; severities are among them by their names. A node that is gone is worse than a warning about it:
# nothing else of it can be known.
STATES: Final = (
    State("ok", "", "well"),
    State("new", "?", "never heard of its birth"),
    State("info", "i", "something to know"),
    State("warning", "!", "needs a look"),
    State("offline", "×", "offline"),
    State("silent", "…", "online, but says nothing"),
    State("critical", "‼", "needs somebody now"),
)
RANK: Final = {state.name: rank for rank, state in enumerate(STATES)}
BY_NAME: Final = {state.name: state for state in STATES}


def told(incidents: Iterable[Incident]) -> list[Incident]:
    """Without those that the budget of alarms holds back."""
    return [each for each in incidents if not each.held]


def open_ones(incidents: Iterable[Incident]) -> list[Incident]:
    """The worst first, of these the newest."""
    found = [each for each in told(incidents) if each.closed is None]
    return sorted(found, key=lambda each: (-RANK[each.severity], -each.opened, each.id))


def states(nodes: Iterable[NodeView], incidents: Iterable[Incident], now: float) -> dict[Key, str]:
    """The name of each node's state; `now` in Unix seconds."""
    worst: dict[Key, str] = {}
    for incident in open_ones(incidents):
        name = incident.severity
        for node in (incident.node, *incident.nodes):
            key = (incident.site, node)
            if RANK[name] > RANK[worst.get(key, "ok")]:
                worst[key] = name
    return {
        (view.site, view.node): max(_own(view, now), worst.get((view.site, view.node), "ok"), key=RANK.__getitem__)
        for view in nodes
    }


def _own(view: NodeView, now: float) -> str:
    if view.online is None:
        return "new"
    if not view.online:
        return "offline"
    if silent(view, now) is not None:
        return "silent"
    return "warning" if view.safe or view.clock is False else "ok"
