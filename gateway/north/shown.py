"""Which nodes other systems may know of. Pure.

A household's meter series is personal data. So of the water meters only those are shown that the plan names as inlets,
and of the homes only sums of many.
"""

from collections.abc import Iterable, Sequence

from gateway.detect.plan import LEAST_HOMES, Plan, Zone
from gateway.records import Incident, NodeView

Key = tuple[str, str]
"""(site, node)."""


def homes_of(zone: Zone, site: str, nodes: Iterable[NodeView]) -> tuple[str, ...]:
    """The water meters of a zone's homes that were heard of, in the plan's order."""
    meters = {view.node for view in nodes if view.site == site and view.kind == "water"}
    return tuple(name for name in dict.fromkeys(zone.nodes) if name in meters and name not in zone.inlet)


def inlets(plan: Plan, nodes: Sequence[NodeView]) -> frozenset[Key]:
    """The meters that are no home's. Not those of a zone whose few homes are all that they measure."""
    found = set()
    for site in {view.site for view in nodes}:
        zones = plan.of(site).zone
        few = {
            name
            for zone in zones
            if zone.full and len(homes_of(zone, site, nodes)) < LEAST_HOMES
            for name in zone.inlet
        }
        found |= {(site, name) for zone in zones for name in zone.inlet if name not in few}
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
