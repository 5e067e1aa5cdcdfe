"""The bench's short way to a city's packs against the long one: through the text that nodes write."""

from pathlib import Path

import numpy as np

from gateway.ingest.decode import decode_pack
from gateway.quantities import KINDS
from gateway.records import Pack
from sim_hardware.city.city import City
from sim_hardware.city.scenario import parse, places
from sim_hardware.fleet.counters import Traffic
from sim_hardware.fleet.fitted import fitted
from sim_hardware.fleet.kind import Kind
from sim_hardware.fleet.meters import Water
from sim_hardware.fleet.stations import Air
from tests.bench.detection.city_packs import HEALTH_EVERY, WINDOW_S, Months, kept, live

EVENTFUL = parse(
    """
site = "rivertown"
start_hour = 0
inlet_meters = true
[random]
backflow = 40
tamper = 60
power_cut = 60
dead = 40
stuck = 40
crash = 40
drift = 20
""",
    "eventful",
)
START = 1_736_121_600
"""2025-01-06, a Monday, midnight."""


def written(months: Months, minutes: int) -> list[Pack]:
    """What the gateway reads out of the nodes' messages, so far."""
    where = places(months.nodes)
    town = City(months.scenario, where, months.seed, months.start)
    dice = [np.random.default_rng(each) for each in np.random.SeedSequence(months.seed, spawn_key=(7,)).spawn(3)]
    models = (
        Traffic(len(where[0::3]), dice[0]),
        Water(len(where[1::3]), dice[1], fitted(months.scenario)),
        Air(len(where[2::3]), dice[2]),
    )
    kinds = [
        Kind("rivertown", kind, where[i::3], model, WINDOW_S, HEALTH_EVERY)
        for i, (kind, model) in enumerate(zip(KINDS, models, strict=True))
    ]
    found = []
    for _ in range(minutes):
        second, fields = town.next_minute, town.minute()
        for i, nodes in enumerate(kinds):
            nodes.power(second, fields[i::3])
            for _, topic, payload in nodes.step(second, 60, fields[i::3]):
                _, _, site, node, stream = topic[2:].decode().split("/")
                found.append(decode_pack(site, node, stream, payload, now=2e9, kind=KINDS[i]))
    return found


def test_the_short_way_gives_what_the_gateway_reads(tmp_path: Path) -> None:
    """Hours of nine nodes with events, power cuts, faults and health; to the last bit, and in the same order."""
    months = Months(EVENTFUL, 9, 1, 3, START)
    expected = written(months, 500)
    (made,) = live(months, tmp_path)
    assert made[: len(expected)] == expected
    assert {pack.stream for pack in expected} == {"telemetry", "event", "health"}
    assert len({pack.boot for pack in expected}) > 1, "a power cut, and what it does to boots and registers"
    assert list(kept(months, tmp_path)) == [made]
