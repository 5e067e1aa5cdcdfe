"""The forwarder and a real InfluxDB 1.6.7 with an ill line between them: every pack once, in order, whatever it has."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Literal

import pytest

from gateway.config import Influx
from gateway.errors import Passing
from gateway.forward import server as server_module
from gateway.forward.forwarder import Forwarder
from gateway.forward.influx_v1 import TargetV1
from gateway.forward.patience import Patience
from gateway.forward.target import make_target
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.records import Ledger
from sim_hardware.servers import InfluxDB, VictoriaMetrics, wait_until
from tests.gateway.conftest import NOW, make_pack
from tests.gateway.databases import select
from tests.gateway.toxic import HEALTHY, Ill, Toxic

PATIENCE = Patience(first=0.01, most=0.05, lasting=0.05)
NODES = 6
PACKS = 100
"""Of each node."""
REQUEST = 2400
"""Bytes of a write of 40 lines with its head, about."""
ANSWER = 290
"""Bytes of a 204, about."""


@pytest.fixture
async def access(tmp_path: Path) -> AsyncIterator[JournalAccess]:
    opened = await JournalAccess.open(tmp_path / "journal", 2**26)
    yield opened
    await opened.close()


def dice(**reach: int) -> list[Ill]:
    """Sixteen connections that end anywhere within the reach, every other one by RST."""
    random = Random(7)
    return [
        Ill(**{end: random.randrange(most) for end, most in reach.items()}, reset=bool(number % 2))
        for number in range(16)
    ]


TOXICS = [
    # name, what the connections suffer, fewest connections that shows it was suffered
    ("healthy", [], 1),
    ("latency", [Ill(latency=0.01)], 1),
    ("narrow band", [Ill(latency=0.001, asked_piece=200)], 1),
    ("cut on the way there", dice(asked_end=REQUEST), 17),
    ("cut after some writes", dice(asked_end=4 * REQUEST), 5),
    ("cut on the way back", dice(answered_end=ANSWER), 17),
    ("cut either way", dice(asked_end=5 * REQUEST, answered_end=3 * ANSWER), 5),
    ("answer lost after the write", [Ill(answered_end=0), Ill(answered_end=0, reset=True)] * 8, 17),
    ("answer lost after some", [Ill(answered_end=3 * ANSWER), Ill(answered_end=2 * ANSWER, reset=True)] * 8, 5),
    ("reset at once", [Ill(asked_end=0, reset=True)] * 16, 17),
    ("half open", [Ill(silent=True), HEALTHY, Ill(silent=True)], 2),
    ("half open after an answer", [Ill(silent=True), Ill(answered_end=ANSWER + 10), Ill(silent=True)], 4),
    ("trickling answer", [Ill(latency=0.001, answered_piece=8)], 1),
    (
        "all in turn",
        [
            each
            for pair in zip(dice(asked_end=3 * REQUEST), dice(answered_end=2 * ANSWER), strict=True)
            for each in (*pair, Ill(latency=0.002, answered_piece=16, answered_end=4 * ANSWER))
        ],
        5,
    ),
]


@pytest.mark.parametrize(("ills", "fewest"), [pytest.param(*rest, id=name) for name, *rest in TOXICS])
async def test_every_pack_is_there_once_and_in_order(
    access: JournalAccess,
    influx: InfluxDB,
    influx_db: str,
    ills: list[Ill],
    fewest: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And at no moment is a later pack of a node there without all the earlier ones."""
    if any(ill.silent for ill in ills):  # else nothing is to be given up, however long a busy machine takes
        monkeypatch.setattr(server_module, "READ_SECONDS", 0.5)
    packs = [make_pack(seq, node=f"air-{node:04d}", value=float(seq)) for seq in range(PACKS) for node in range(NODES)]
    await access.call(Journal.commit, packs, NOW)
    with Toxic(influx.port, ills) as proxy:
        settings = Influx(proxy.url, "v1", influx_db, batch_lines=40, flush_ms=1)
        forwarder = Forwarder(access, make_target(settings), settings, PATIENCE)
        task = asyncio.create_task(forwarder.run())
        try:
            ledger = await all_forwarded(access, task, influx.url, influx_db)
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert proxy.connections >= fewest
    assert (ledger.written, ledger.dead_letters, ledger.balanced) == (NODES * PACKS, 0, True)
    assert held(influx.url, influx_db) == {f"air-{node:04d}": list(range(PACKS)) for node in range(NODES)}


async def all_forwarded(access: JournalAccess, task: asyncio.Task[None], url: str, database: str) -> Ledger:
    """The ledger once nothing waits any more; looks meanwhile at the order in which packs come to the database."""
    async with asyncio.timeout(60):
        while (ledger := await access.call(Journal.ledger)).waiting:
            assert not task.done(), task
            for node, seqs in (await asyncio.to_thread(held, url, database)).items():
                assert seqs == list(range(len(seqs))), node
            await asyncio.sleep(0.01)
    return ledger


def held(url: str, database: str) -> dict[str, list[int]]:
    """The packs of each node that are in the database, by minutes after NOW; each holds its own number."""
    found: dict[str, list[int]] = {}
    for row in select(url, database, "SELECT node, pm2_5 FROM air"):
        found.setdefault(row["node"], []).append((row["time"] - NOW) // 60)
        assert row["pm2_5"] == found[row["node"]][-1]
    return found


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_many_writes_share_a_connection(
    influx: InfluxDB, influx_db: str, victoria: VictoriaMetrics, api: Literal["v1", "v2"]
) -> None:
    """Of either dialect."""
    with Toxic((influx if api == "v1" else victoria).port) as proxy:
        target = make_target(Influx(proxy.url, api, influx_db, org="o"))
        target.prepare()
        for second in range(20):
            target.write([b"shared v=1 %d" % (NOW + second)])
        assert proxy.connections == 1


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
def test_a_kept_connection_that_ends_is_no_outage(influx: InfluxDB, influx_db: str, reset: bool) -> None:
    """Ended in the middle of a later write: the same lines go over a fresh one at once. A second end is an outage."""
    ends = Ill(asked_end=1000, reset=reset)
    with Toxic(influx.port, [ends]) as proxy:
        target = TargetV1(Influx(proxy.url, "v1", influx_db))
        for second in range(20):
            target.write([b"m v=1 %d" % (NOW + second)])
        assert (proxy.connections, proxy.ended_ill) == (2, 1)
    assert len(select(influx.url, influx_db, "SELECT v FROM m")) == 20
    with Toxic(influx.port, [Ill(asked_end=10, reset=reset)] * 2) as proxy, pytest.raises(Passing):
        TargetV1(Influx(proxy.url, "v1", influx_db)).write([b"m v=1 %d" % NOW])


def test_a_server_that_says_nothing_is_given_up_in_time(
    influx: InfluxDB, influx_db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-open: connected, and never an answer. Another connection is tried with the next write."""
    monkeypatch.setattr(server_module, "READ_SECONDS", 0.2)
    with Toxic(influx.port, [Ill(silent=True)]) as proxy:
        target = TargetV1(Influx(proxy.url, "v1", influx_db))
        with pytest.raises(Passing, match="timed out"):
            target.write([b"m v=1 %d" % NOW])

        def written() -> bool:
            with contextlib.suppress(Passing):  # a busy machine's database says nothing for so long too
                target.write([b"m v=1 %d" % NOW])
                return True
            return False

        wait_until(written, 60, "a write over another connection")
        assert proxy.connections >= 2
