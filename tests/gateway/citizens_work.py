"""A city for the tests of what citizens see: a plan, its nodes, incidents, and a seat over them."""

from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from gateway.citizens.figures import AirBand, Figures, Water
from gateway.config import Citizens, Config, Influx
from gateway.detect.plan import Plan, Spot, Street, Zone
from gateway.records import Incident, NodeView
from gateway.web.seat import Seat, Snapshot
from tests.gateway.drawn import START

NOW = START + 3600
HARBOUR = tuple(f"water-{number:04}" for number in range(2, 14))
HILL = tuple(f"water-{number:04}" for number in range(14, 23))
"""Nine homes: one too few."""
PLAN = Plan(
    street=(Street("Market Street", ("traffic-0001", "traffic-0002")),),
    zone=(
        Zone("Harbour", ("air-0001", "air-0002", *HARBOUR), ("water-0001",), at=(47.5, 8.25), radius_m=900),
        Zone("Hill", ("air-0003", *HILL), at=(47.6, 8.25), radius_m=50),
    ),
    node=(Spot("water-0002", (47.50123, 8.25321), "Mill Lane 3, basement"),),
)
NODES = tuple(
    NodeView(site="riverside", node=name, kind=name.partition("-")[0])
    for name in ("traffic-0001", "traffic-0002", "air-0001", "air-0002", "air-0003", "water-0001", *HARBOUR, *HILL)
)


def incident(kind: str, node: str, **changes: Any) -> Incident:
    """Open, confirmed, since `START`."""
    found = Incident(
        id=f"{kind}.riverside.{node}.{START}",
        kind=kind,
        site="riverside",
        node=node,
        channel="",
        severity="warning",
        opened=START,
        closed=None,
        summary=f"{node} (Mill Lane 3, basement) saw 1234 l/h; expected: none.",
        confirmed=START + 600,
    )
    return msgspec.structs.replace(found, **changes)


def snapshot(*found: Incident, time: float = NOW) -> Snapshot:
    return Snapshot(time, NODES, found)


def seat_of(folder: Path, influx: str = "http://127.0.0.1:9", plan: Plan = PLAN, **settings: Any) -> Seat:
    """Nobody listens at the port of `influx` unless it is given."""
    citizens = Citizens(link="https://city.example", contact="mailto:duty@city.example")
    config = Config(
        ("riverside",),
        str(folder),
        "Europe/Berlin",
        influx=Influx(influx, "v1"),
        citizens=msgspec.structs.replace(citizens, **settings),
    )
    seat = Seat(config)
    seat.plan = plan
    seat.snapshot = snapshot()
    return seat


def turn(seat: Seat, *found: Incident, time: float = NOW) -> None:
    """The seat has looked again, in its own loop's thread."""
    seat._turn(snapshot(*found, time=time))


def rich(folder: Path, **settings: Any) -> Seat:
    """Everything that the page can show."""
    seat = seat_of(folder, **settings)
    seat.snapshot = snapshot(
        incident("jam", "traffic-0001"),
        incident("main_burst", "water-0001", severity="critical"),
        incident("air_episode", "air-0003", drill=True),
    )
    return seat


def with_figures(app: Any) -> Any:
    """As if the database had answered."""
    desk = app.state.desk
    desk._figures = Figures(
        {"zone-harbour": AirBand("European Air Quality Index", 2, "Fair", 2, 6, NOW, 2)},
        {"zone-harbour": Water(date(2026, 11, 22), 2880, 12)},
    )
    desk._asked = float("inf")
    desk.store.announce("zone-hill", "A new main in Quay Street.", NOW + 7200, NOW + 14400, NOW)
    return app
