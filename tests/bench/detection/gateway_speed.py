"""How many packs a second all detectors judge as the gateway feeds them: a city's nodes, slices of 512 packs."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time

from msgspec import structs

from gateway.detect.detectors import Detectors, Settings
from gateway.detect.runner import SLICE
from gateway.records import Pack
from sim_hardware.city.city import layout_of
from sim_hardware.city.plan import plan_of
from sim_hardware.city.scenario import load, places
from tests.bench.detection.city import SCENARIO, START
from tests.bench.detection.city_packs import Months, live
from tests.bench.result import Result, result

NODES = 2000
MINUTES = 30
MORNING_H = 8
"""The streets are full, taps run."""


def results() -> Iterator[Result]:
    """Processor time, in one thread. The detectors are new: they meet each node first, and know nothing of it yet."""
    scenario = structs.replace(load(SCENARIO), start_hour=MORNING_H)
    wanted = Months(scenario, NODES, 1, 1, START + 3600 * MORNING_H)
    with tempfile.TemporaryDirectory() as folder:
        packs = [pack for day in live(wanted, Path(folder), MINUTES) for pack in day]
    spent = _judge(packs, Detectors(Settings(plan_of(layout_of(wanted.scenario, places(NODES), wanted.seed)))))
    yield result(
        "detection", "gateway_packs_per_second", len(packs) / spent, "packs/s", nodes=NODES, minutes=MINUTES,
        packs=len(packs), at_once=SLICE,
    )  # fmt: skip


def _judge(packs: list[Pack], detectors: Detectors) -> float:
    """Seconds that it takes."""
    begin = process_time()
    for at in range(0, len(packs), SLICE):
        detectors.feed(packs[at : at + SLICE])
    return process_time() - begin
