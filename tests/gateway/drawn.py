"""Incidents and plans by chance, as detectors and people could make them."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from gateway.cap.kinds import KINDS
from gateway.detect.plan import Plan, Spot, Street, Zone
from gateway.records import Acknowledged, Earlier, Evidence, Incident

START = 1_795_430_400
NODES = tuple(f"{kind}-{number:04}" for kind in ("water", "air", "traffic") for number in range(1, 16))
WATER = frozenset(name for name in NODES if name.startswith("water"))
LABELS = tuple(f"Mill Lane {number}, cellar" for number in range(1, len(NODES) + 1))

kinds = st.sampled_from(sorted(KINDS))
times = st.integers(START, START + 86_400)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda name: "-0" not in name)


def jam(**changes: Any) -> Incident:
    """One that was made by hand."""
    found = Incident(
        id="jam.riverside.traffic-0001.1795430400",
        kind="jam",
        site="riverside",
        node="traffic-0001",
        channel="",
        severity="warning",
        opened=START,
        closed=None,
        summary="Full and slow: 61 % at 9 km/h; expected: below 30 %.",
    )
    return msgspec.structs.replace(found, **changes)


@st.composite
def incidents(draw: st.DrawFn) -> Incident:
    opened = draw(times)
    closed = draw(st.none() | times.filter(lambda time: time >= opened))
    kind, node = draw(kinds), draw(st.sampled_from(("", *NODES)))
    turns = sorted(draw(st.lists(times.filter(lambda time: time >= opened), max_size=3)))
    named = f"Seen at {node or NODES[0]} ({LABELS[0]}): 12 l/h; expected: none."
    return Incident(
        id=".".join(part for part in (kind, "riverside", node, str(opened)) if part),
        kind=draw(kinds),
        site="riverside",
        node=node,
        channel="",
        severity=draw(st.sampled_from(["info", "warning", "critical"])),
        opened=opened,
        closed=closed,
        summary=named,
        updated=draw(st.just(0) | times),
        confirmed=draw(st.none() | times),
        since=draw(st.none() | times),
        nodes=tuple(draw(st.lists(st.sampled_from(NODES), max_size=3))),
        evidence=(Evidence("flow", 12.0, 0.0, "l/h", named),),
        reopened=draw(st.integers(0, 2)),
        held=draw(st.booleans()),
        acknowledged=draw(st.none() | st.just(Acknowledged("somebody", opened, named))),
        was=tuple(Earlier(draw(kinds), until, named) for until in turns),
        drill=draw(st.booleans()),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Every node has a spot with a label; zones and streets have any nodes, and a circle around one of the spots."""
    number = {name: at for at, name in enumerate(NODES)}
    spots = tuple(Spot(name, (47.0 + at / 7, 8.0 + at / 9), LABELS[at]) for name, at in number.items())
    some = st.lists(st.sampled_from(NODES), max_size=25, unique=True).map(tuple)
    points = st.none() | st.sampled_from([spot.at for spot in spots]) | st.just((40.5, 3.25))
    zones = [
        Zone(draw(names), draw(some), draw(some.map(lambda found: found[:1])), False, "", draw(points), draw(radii))
        for _ in range(draw(st.integers(0, 3)))
    ]
    counters = st.lists(st.sampled_from(NODES[30:]), max_size=4, unique=True).map(tuple)
    streets = [Street(draw(names), draw(counters)) for _ in range(draw(st.integers(0, 2)))]
    return Plan(tuple(streets), tuple(zones), spots)


radii = st.sampled_from([0.0, 30.0, 400.0])
