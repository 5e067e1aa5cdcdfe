"""Which nodes other systems may know of. Pure.

A household's meter series is personal data. So of the water meters only those are shown that the plan names as inlets,
and of the homes only sums of many.
"""

from collections.abc import Iterable, Sequence

from gateway.detect.plan import Plan
from gateway.privacy.sums import Key, metered_whole
from gateway.records import Incident, NodeView


def inlets(plan: Plan, nodes: Sequence[NodeView]) -> frozenset[Key]:
    """The meters that are no home's. Not those of a zone whose few homes are all that they measure."""
    found = set()
    for site in {view.site for view in nodes}:
        hidden, _ = metered_whole(plan, site, nodes)
        found |= {(site, name) for zone in plan.of(site).zone for name in zone.inlet if name not in hidden}
    return frozenset(found)


def shown(plan: Plan, nodes: Sequence[NodeView]) -> tuple[NodeView, ...]:
    """All but the homes' meters, and those of which nobody knows yet whether they are one."""
    known = inlets(plan, nodes)
    return tuple(view for view in nodes if view.kind and (view.kind != "water" or (view.site, view.node) in known))


def told(incidents: Iterable[Incident], nodes: Sequence[NodeView], seen: Sequence[NodeView]) -> tuple[Incident, ...]:
    """The incidents that may be shown with the nodes `seen` of all `nodes`: none that is of a home or names one."""
    names = {(view.site, view.node) for view in seen}
    hidden = {(view.site, view.node) for view in nodes} - names

    def fit(incident: Incident) -> bool:
        if incident.held or (incident.node and (incident.site, incident.node) not in names):
            return False
        return not any((incident.site, name) in hidden and name in incident.summary for name in incident.nodes)

    return tuple(incident for incident in incidents if fit(incident))
