"""`power_fail`: what a supervised node tells with its last breath, from its packs to its incident."""

from itertools import pairwise

import pytest

from gateway.detect.detectors import Detectors, Settings
from gateway.detect.plan import Plan, Zone
from gateway.records import Incident, Pack, Reading
from tests.gateway.streets import START, detect, pack

FAILS = 30
"""Minutes after START."""
BACK = 60
NODES = ("water-0001", "water-0002", "water-0003")
PLAN = Settings(Plan(zone=(Zone("harbour", NODES[:2]), Zone("hill", NODES[2:]))))


def event(node: str, minute: float, value: float = 1.0) -> Pack:
    time = START + round(60 * minute)
    return Pack.of("riverside", node, "event", "water", 1, 0, time, (Reading(time, "", "power_fail", value),))


def lived(*events: Pack, dark: tuple[str, ...] = (), late: bool = False) -> list[Pack]:
    """Two hours of three nodes; `dark` ones tell nothing for half an hour. Events come in their time, or when those are
    back and have told what they measure."""
    packs = []
    for minute in range(1, 121):
        for number, node in enumerate(NODES):
            if node not in dark or not FAILS < minute <= BACK:
                packs.append(pack(node, minute, {"flow": 20.0 + (7 * minute + number) % 13}))
    order = sorted(packs, key=lambda each: each.time)
    for each in events:
        at = 60 * (BACK + 2) + START if late else each.time
        order.insert(sum(other.time <= at for other in order), each)
    return order


def found(packs: list[Pack]) -> list[Incident]:
    return sorted(detect(packs, Detectors(PLAN)).values(), key=lambda each: each.opened)


def test_a_supply_that_holds_is_over_five_minutes_later() -> None:
    """At once it is told, and with its evidence; each failure counts from anew."""
    (incident,) = found(lived(event("water-0001", FAILS + 0.25), event("water-0001", FAILS + 3.25)))
    assert (incident.kind, incident.severity, incident.node) == ("power_fail", "warning", "water-0001")
    assert incident.summary == "Seen: the node's supply is failing; expected: power without a break."
    assert incident.opened == START + 60 * FAILS + 15
    assert incident.closed == START + 60 * (FAILS + 9)


@pytest.mark.parametrize("late", [False, True])
def test_the_silence_after_it_is_the_same_incident(late: bool) -> None:
    """Also where the last breath is heard only when the node is back, after what it measured: then that is why it was
    silent."""
    (incident,) = found(lived(event("water-0001", FAILS + 0.25), dark=("water-0001",), late=late))
    assert incident.kind == "power_fail"
    assert [kind for kind, _ in incident.told] == (["silent", "power_fail"] if late else ["power_fail"])
    assert all(before <= after for (_, before), (_, after) in pairwise(incident.told))
    assert incident.closed is not None
    assert BACK <= (incident.closed - START) / 60 <= BACK + 6
    (silent,) = (each for each in incident.evidence if each.what.startswith("time since"))
    assert silent.text.startswith("nothing was heard")


def test_a_zone_that_loses_its_power_is_one_incident() -> None:
    """Of its two nodes that tell, until both are back; who falls silent in another zone is another."""
    events = [event("water-0001", FAILS + 0.25), event("water-0002", FAILS + 0.5)]
    (incident,) = found(lived(*events, dark=NODES[:2]))
    assert (incident.node, incident.nodes, incident.confirmed) == ("water-0001", ("water-0002",), START + 1830)
    assert incident.closed is not None
    assert incident.closed >= START + 60 * BACK
    beside = found(lived(events[0], dark=("water-0001", "water-0003")))
    assert [(each.kind, each.node) for each in beside] == [("power_fail", "water-0001"), ("silent", "water-0003")]


def test_restarts_change_nothing() -> None:
    packs = lived(event("water-0001", FAILS + 0.25), event("water-0003", 100.25), dark=("water-0001",))
    whole = {each.id: each for each in found(packs)}
    detectors, incidents = Detectors(PLAN), {}
    for begin, end in pairwise([*range(0, len(packs), 17), len(packs)]):
        incidents.update(detect(packs[begin:end], detectors))
        detectors = Detectors.load(detectors.save(), PLAN)
    assert incidents == whole
    assert [each.kind for each in whole.values()] == ["power_fail", "power_fail"]
