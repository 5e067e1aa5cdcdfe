"""Which nodes are near each other, by the plan."""

from typing import Literal

from gateway.detect.plan import Plan

STEPS = 2
"""Counters of a street that are at most so many apart are near: one between them may be dead."""


class Neighbourhood:
    """Of one site. Called with a scope and two nodes' names: whether they are near within that scope."""

    def __init__(self, plan: Plan, site: str) -> None:
        own = plan.of(site)
        self._street = {
            name: (number, at) for number, each in enumerate(own.street) for at, name in enumerate(each.counters)
        }
        self._zone = {name: number for number, each in enumerate(own.zone) for name in (*each.inlet, *each.nodes)}

    def __call__(self, scope: Literal["node", "street", "zone", "site"], one: str, other: str) -> bool:
        """Zones that the plan does not have are all one: a small site needs no plan. Streets are not."""
        if scope == "site":
            return True
        if scope == "node":
            return one == other
        if scope == "zone":
            return self._zone.get(one) == self._zone.get(other)
        if one not in self._street or other not in self._street:
            return False
        (street, at), (other_street, other_at) = self._street[one], self._street[other]
        return street == other_street and abs(at - other_at) <= STEPS
