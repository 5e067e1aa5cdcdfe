"""A month of a city in InfluxDB, written as line protocol: what the gateway would have written, had it been there."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import urllib3
from msgspec import Struct

from tests.bench.packs import KINDS, SITE, name
from tests.bench.stand import BenchError

DAY_S = 86_400
WEEK_MINUTES = 7 * 1440
A_POST = 20_000
"""Lines of one request: about 2 MB."""
WRITERS = 2
_VALUES = {
    "traffic": (("lane1",), (("volume", 14.0, 12.0), ("occupancy", 8.0, 6.0), ("speed", 46.0, -9.0))),
    "water": ((), (("flow", 120.0, 110.0), ("volume", 250_000.0, 0.0), ("temperature", 11.0, 2.0))),
    "air": ((), (("pm2_5", 14.0, 8.0), ("pm10", 22.0, 12.0), ("co2", 440.0, 35.0), ("temperature", 12.0, 6.0))),
}
"""By kind: channels; each quantity, its middle, and how far it swings from night to day."""


class Month(Struct, frozen=True):
    """How much of it there is."""

    nodes: int
    days: int
    end: int
    """Unix seconds of the newest points."""
    minute_slots: tuple[int, ...]
    """Nodes with a point each minute; others have one each ten minutes."""

    @property
    def points(self) -> int:
        """Of all series' times."""
        fine = len(self.minute_slots)
        return self.days * (fine * 1440 + (self.nodes - fine) * 144)


def write(url: str, database: str, month: Month) -> float:
    """All of it; the seconds that took. Raises BenchError when the database does not take a batch."""
    began = time.monotonic()
    fields = {kind: _week(kind) for kind in KINDS}
    with urllib3.PoolManager(maxsize=WRITERS, timeout=60.0) as pool:

        def post(lines: Sequence[str]) -> None:
            to = f"{url}/write?db={database}&precision=s"
            answer = pool.request("POST", to, body="\n".join(lines).encode())
            if answer.status != 204:
                raise BenchError(f"the database refused a batch with {answer.status}: {answer.data[:300]!r}")

        def node(slot: int) -> None:
            lines = list(_lines(slot, month, fields[KINDS[slot % 3]]))
            for first in range(0, len(lines), A_POST):
                post(lines[first : first + A_POST])

        with ThreadPoolExecutor(WRITERS) as writers:
            list(writers.map(node, range(month.nodes)))
    return time.monotonic() - began


def _week(kind: str) -> list[str]:
    """The fields of each minute of a week: days and nights, and some noise."""
    dice = np.random.default_rng(KINDS.index(kind))
    minute = np.arange(WEEK_MINUTES)
    day = 0.5 - 0.5 * np.cos(2 * np.pi * minute / 1440)
    columns = []
    for quantity, middle, swing in _VALUES[kind][1]:
        noise = dice.normal(0.0, 0.1 * abs(swing) + 0.1, WEEK_MINUTES)
        columns.append([f"{quantity}={value:.2f}" for value in (middle + swing * (day - 0.5) + noise).tolist()])
    return [",".join(row) for row in zip(*columns, strict=True)]


def _lines(slot: int, month: Month, week: Sequence[str]) -> Iterator[str]:
    """Of one node, oldest first; each node is somewhere else in the week's noise, at the same time of day."""
    kind = KINDS[slot % 3]
    channels = _VALUES[kind][0] or ("",)
    step = 1 if slot in month.minute_slots else 10
    begin = month.end - month.days * DAY_S
    first = begin // 60 + 1440 * slot
    for channel in channels:
        tag = f",channel={channel}" if channel else ""
        head = f"{kind}{tag},node={name(slot)},site={SITE} "
        for minute in range(step, month.days * 1440 + 1, step):
            yield f"{head}{week[(first + minute) % WEEK_MINUTES]} {begin + 60 * minute}"
