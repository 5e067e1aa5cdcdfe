"""A database with a fortnight of a small city, and a journal beside it, for the tests of questions."""

import time
from pathlib import Path

from gateway.config import Influx
from gateway.forward.influx_v1 import TargetV1
from gateway.forward.lines import line
from gateway.influx.plan import Wish
from gateway.influx.setup_v1 import SetupV1
from gateway.journal.store import Journal
from gateway.records import Acknowledged, DeadLetter, Evidence, Incident, Pack, Reading

HOUR = 3600
DAY = 24 * HOUR
NOW = int(time.time()) // DAY * DAY
"""Midnight: the hours of the fifteen days before are whole."""
DAYS = 15


def level(second: float) -> float:
    """Busy by day, by the hour; a little more each week."""
    return 10.0 + 5.0 * (second // HOUR % 24) + (second - NOW + 3 * 7 * DAY) // (7 * DAY)


def fill(url: str, database: str, folder: Path) -> Path:
    """The configuration of it.

    Fifteen days of two air nodes, every five minutes, with roll-ups; an hour of one that tells its health each second.
    The journal has heard two packs of air-0001 with a gap between them, two incidents and a dead letter.
    """
    settings = Influx(url, "v1", database)
    target = TargetV1(settings)
    target.prepare()
    lines = []
    for second in range(NOW - DAYS * DAY, NOW, 300):
        for node in ("air-0001", "air-0002"):
            fields = {"pm2_5": level(second) + (node == "air-0002")}
            lines.append(line("air", {"site": "riverside", "node": node}, fields, second))
    for second in range(NOW - HOUR, NOW):
        lines.append(line("health", {"site": "riverside", "node": "fast"}, {"rssi": -50.0}, second))
    for at in range(0, len(lines), 5000):
        target.write(lines[at : at + 5000])
    for planned in SetupV1(settings).plan(Wish(0, backfill=True)):
        planned.do()
    _journal(folder / "data")
    (folder / "plan.toml").write_text(
        '[[node]]\nname = "air-0001"\nat = [51.5, 7.25]\nlabel = "Mill Lane 3, basement"\n'
    )
    config = folder / "ganglion.toml"
    config.write_text(
        f'sites = ["riverside"]\ndata_dir = "data"\ntimezone = "Europe/Berlin"\n'
        f'[influx]\nurl = "{url}"\ndatabase = "{database}"\n[detect]\nplan = "plan.toml"\n'
    )
    return config


def _journal(folder: Path) -> None:
    journal = Journal.open(folder, 2**20)
    packs = [
        Pack.of(
            "riverside", "air-0001", "telemetry", "air", 1, seq, NOW + seq, (Reading(NOW + seq, "", "pm2_5", 12.5),)
        )
        for seq in (0, 3)
    ]
    letter = DeadLetter("ganglion/v1/riverside/air-0002/telemetry", b"{\xff", "json", "because", float(NOW))
    journal.commit([*packs, letter], float(NOW))
    opened, closed = NOW - 8 * HOUR, NOW - 6 * HOUR
    smoke = Incident(
        "smoke", "air_episode", "riverside", "", "", "critical", opened, closed, "Smoke.", nodes=("air-0001",),
        evidence=(Evidence("pm2_5", 60.0, 20.0, "ug/m3", "it smokes"),), acknowledged=Acknowledged("Ada", opened, "ok"),
    )  # fmt: skip
    jam = Incident("other", "jam", "riverside", "traffic-0001", "", "warning", opened, None, "A jam.")
    kept = Incident("kept", "jam", "riverside", "traffic-0001", "", "info", opened, None, "A small jam.", held=True)
    journal.found(1, [smoke, jam, kept])
    journal.close()
