"""Packs and journals for the gateway's tests."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.journal.store import Journal
from gateway.records import DeadLetter, Pack, Reading
from sim_hardware.servers import InfluxDB

Starter = Callable[..., InfluxDB]

NOW = 1_795_430_400
"""The example's time, in Unix seconds."""
SENT = int(time.time())
"""The time of every pack of `payload_of`: one that is sent again has the time it had."""


def make_pack(seq: int, node: str = "air-0007", boot: int = 1, time: int | None = None, value: float = 12.5) -> Pack:
    """An accepted pack of one reading; a minute later with each `seq`."""
    when = NOW + 60 * seq if time is None else time
    return Pack.of("riverside", node, "telemetry", "air", boot, seq, when, (Reading(when, "", "pm2_5", value),))


def make_letter(payload: bytes = b"{", reason: str = "json") -> DeadLetter:
    return DeadLetter("ganglion/v1/riverside/air-0007/telemetry", payload, reason, "because", float(NOW))


def payload_of(seq: int, node: str = "air-0007", boot: int = 1, **changes: Any) -> bytes:
    """A pack as a node sends it; `changes` replace fields of its first record."""
    first = {"bn": f"riverside/{node}/", "bt": SENT, "n": "boot", "v": boot} | changes
    return json.dumps([first, {"n": "seq", "v": seq}, {"n": "pm2_5", "u": "ug/m3", "v": 12.5}]).encode()


def merged(*payloads: bytes) -> bytes:
    """Several packs in one message, as a node with a backlog sends them: the name stands once."""
    packs = [json.loads(payload) for payload in payloads]
    for pack in packs[1:]:
        del pack[0]["bn"]
    return json.dumps([record for pack in packs for record in pack]).encode()


@pytest.fixture
def open_journal(tmp_path: Path) -> Iterator[Callable[..., Journal]]:
    """Opens the test's journal; what is open when it is opened again, or at the end, is closed first."""
    opened: list[Journal] = []

    def open_it(max_bytes: int = 2**20, *, read_only: bool = False) -> Journal:
        if not read_only:
            while opened:
                opened.pop().close()
        opened.append(Journal.open(tmp_path / "journal", max_bytes, read_only=read_only))
        return opened[-1]

    yield open_it
    while opened:
        opened.pop().close()


@pytest.fixture
def journal(open_journal: Callable[..., Journal]) -> Journal:
    """An empty journal."""
    return open_journal()


@pytest.fixture
def start_influx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starter]:
    """Starts an InfluxDB of the test's own, with settings by environment as InfluxDB takes them."""
    started: list[InfluxDB] = []

    def start(**settings: str) -> InfluxDB:
        with monkeypatch.context() as environ:
            for name, value in settings.items():
                environ.setenv(f"INFLUXDB_{name}", value)
            started.append(InfluxDB(tmp_path / "own").start())
        return started[-1]

    yield start
    for server in started:
        server.stop()
