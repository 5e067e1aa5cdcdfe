"""A small city for the tests of what other systems are told: a real journal, a real InfluxDB, a real server."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import requests
import uvicorn
from fastapi import FastAPI

from gateway.config import Config, Detect, Influx
from gateway.forward.lines import pack_lines
from gateway.journal.store import Journal
from gateway.north.router import make_router
from gateway.privacy.sums import newest_day
from gateway.records import Incident, Pack, Reading, Status
from gateway.web.seat import Seat
from sim_hardware.servers import InfluxDB, free_port, wait_until
from tests.gateway.conftest import NOW
from tests.gateway.databases import write

HOUR: Final = NOW - NOW % 3600
DAY: Final = newest_day(time.time(), ZoneInfo("UTC"))
"""The one that is told of, as clocks are now."""
HOMES: Final = tuple(f"water-h{number:02}" for number in range(12))
FEW: Final = tuple(f"water-f{number:02}" for number in range(3))
MINUTES: Final = 20
PLAN: Final = f"""
[[zone]]
name = "Mill Lane"
nodes = {list(HOMES)}
inlet = ["water-main"]
at = [47.5, 8.7]

[[zone]]
name = "Three houses"
nodes = {list(FEW)}
inlet = ["water-three"]
full = true

[[zone]]
name = "Mill Lane but one"
nodes = {list(HOMES[1:])}

[[node]]
name = "traffic-1"
at = [47.51, 8.71]

[[node]]
name = "{HOMES[0]}"
at = [47.52, 8.72]
"""

JAM: Final = Incident(
    "jam.1", "jam", "riverside", "traffic-1", "", "warning", NOW - 600, None, "Slow.", confirmed=NOW, since=NOW - 900
)
INCIDENTS: Final = (
    JAM,
    Incident("burst.1", "burst", "riverside", HOMES[0], "", "critical", NOW, None, "Much water."),
    Incident("main.1", "main_leak", "riverside", "water-main", "", "warning", NOW, NOW + 9, "More by night."),
    Incident("silent.1", "silent", "riverside", "air-1", "", "warning", NOW, None, "Silent.", held=True),
    Incident("tamper.1", "tamper", "riverside", "air-1", "", "info", NOW, None, "Open.", drill=True),
    Incident(
        "silent.2",
        "silent",
        "riverside",
        "traffic-1",
        "",
        "warning",
        NOW,
        None,
        f"Silent with {HOMES[1]}.",
        nodes=(HOMES[1],),
    ),
)


def lines() -> list[str]:
    """Of the packs, and of the day before today the twenty litres of each home."""
    found = [line.decode() for pack in packs() for line in pack_lines(pack)]
    for meter in (*HOMES, *FEW):
        found += [
            f"water,site=riverside,node={meter} volume={volume} {DAY[1] + seconds}"
            for volume, seconds in ((5e6, 60), (5e6 + 20, 80_000))
        ]
    return found


def packs() -> list[Pack]:
    """Twenty minutes of counters and air, and two readings an hour apart of each meter."""
    found = []

    def pack(node: str, kind: str, seq: int, when: int, **values: float) -> None:
        readings = tuple(Reading(when, *place(name), value) for name, value in values.items())
        found.append(Pack.of("riverside", node, "telemetry", kind, 1, seq, when, readings))

    def place(name: str) -> tuple[str, str]:
        channel, _, quantity = name.rpartition("__")
        return channel, quantity

    for minute in range(MINUTES):
        when = NOW - 60 * (MINUTES - 1 - minute)
        speeds = {"lane1__speed": 50.0, "lane2__speed": 80.0}
        counts = {"lane1__volume": float(minute), "lane2__volume": 2.0 * minute}
        pack("traffic-1", "traffic", minute, when, **counts, **speeds, lane1__occupancy=25.0, lane2__occupancy=5.0)
        pack("air-1", "air", minute, when, pm2_5=12.3 + minute, co2=455.0, humidity=54.0, pressure=96_500.0)
    for seq, when in enumerate((HOUR - 3600, HOUR - 1800, HOUR, HOUR + 1200)):
        for number, meter in enumerate((*HOMES, *FEW, "water-main", "water-three")):
            pack(meter, "water", seq, when, volume=1000.0 * number + 10.0 * seq + 2345.5, flow=20.0)
    tampered = (Reading(NOW - 30, "", "tamper", 1.0),)
    found.append(Pack.of("riverside", "air-1", "event", "air", 1, MINUTES + 1, NOW - 30, tampered))
    found.append(Pack.of("riverside", "air-1", "health", "health", 1, MINUTES, NOW, (Reading(NOW, "", "rssi", -71.0),)))
    return found


@contextlib.contextmanager
def served(folder: Path, influx: InfluxDB, database: str, **config: Any) -> Iterator[str]:
    """The URL of a server with this city behind it."""
    folder.mkdir()
    journal = Journal.open(folder / "data", 2**24)
    birth = Status(True, "traffic", 1, "0.1.0", "esp32-c3", "power_on")
    journal.commit(packs(), float(NOW), [("riverside", "traffic-1", birth)])
    journal.found(0, INCIDENTS)
    journal.close()
    write(influx.url, database, lines())
    (folder / "plan.toml").write_text(PLAN)
    seat = Seat(
        Config(
            sites=("riverside",),
            data_dir=str(folder / "data"),
            influx=Influx(influx.url, database=database),
            detect=Detect(plan=str(folder / "plan.toml")),
            **config,
        )
    )

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(seat.run())
        yield
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    app = FastAPI(lifespan=life)
    app.include_router(make_router(seat))
    server = uvicorn.Server(uvicorn.Config(app, port=(port := free_port()), log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started and bool(seat.snapshot.nodes), 20, "a look at the journal")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def get(url: str, status: int = 200, **params: Any) -> Any:
    """The JSON at an address."""
    answer = requests.get(url, params=params, timeout=20)
    assert answer.status_code == status, answer.text
    return answer.json()
