"""The load and the stand of `make bench ARGS=gateway`: they count right, and see what is wrong."""

from io import StringIO
from pathlib import Path

import pytest
import urllib3
from rich.console import Console

from sim_hardware.servers import wait_until
from tests.bench.meter import ack_quantile_s
from tests.bench.packs import SITE, WINDOW_S, name
from tests.bench.profile import tables
from tests.bench.stand import DATABASE, Stand, standing

pytestmark = pytest.mark.soak

NODES = 30


def test_all_is_well_until_a_pack_is_gone(tmp_path: Path) -> None:
    """A few packs of each node, then one fewer: a hole, and a fault of that node."""
    with standing(tmp_path, NODES) as stand:
        stand.load.pace(rate=300, allowed=10 * NODES)
        wait_until(lambda: stand.look().packs("written") == 10 * NODES, 30, "the writing of all packs")
        slots = list(range(NODES))
        assert stand.holes(slots) == []
        now, packs = stand.settle()
        assert packs == [10] * NODES
        assert now.packs("received") == 10 * NODES
        assert stand.faults(now, packs) == []
        _delete(stand, slot=4, seq=5)
        assert stand.holes(slots) == [name(4)]
        (fault,) = stand.faults(now, packs)
        assert f"{name(4)}: 9 of 10" in fault


def _delete(stand: Stand, slot: int, seq: int) -> None:
    """One pack from the database."""
    moment = (stand.load.start + WINDOW_S * seq) * 10**9
    statement = f"DELETE FROM water WHERE site='{SITE}' AND node='{name(slot)}' AND time = {moment}"
    with urllib3.PoolManager() as pool:
        pool.request("POST", f"{stand.influx.url}/query", fields={"db": DATABASE, "q": statement})


def test_a_closed_loop_stays_within_its_room(tmp_path: Path) -> None:
    """Everything that is sent in it arrives, and the nodes stop with it."""
    with standing(tmp_path, NODES) as stand:
        moments = list(stand.closed(2.0))
        assert moments[-1].packs("received") > 0
        now, packs = stand.settle()
        assert stand.faults(now, packs) == []


def test_quantiles_of_a_histogram() -> None:
    """On the straight line between the bounds of a bucket, of what came between two looks."""

    def looked(*counts: int) -> dict[str, float]:
        bounds = ("0.01", "0.05", "0.1", "+Inf")
        return {
            f'ganglion_ack_seconds_bucket{{le="{bound}"}}': float(count)
            for bound, count in zip(bounds, counts, strict=True)
        }

    before, after = looked(5, 5, 5, 5), looked(55, 105, 105, 105)
    assert ack_quantile_s(before, after, 0.5) == 0.01
    assert abs(ack_quantile_s(before, after, 0.75) - 0.03) < 1e-12
    assert ack_quantile_s(before, before, 0.99) == 0.0


def test_samples_are_shared_out_by_thread_and_file() -> None:
    """What a library does is put down to the file of ours that called it."""
    main = "thread (12): MainThread;run (/x/gateway/cli/run.py)"
    samples = (
        f"{main};take (/x/gateway/ingest/decode.py) 3\n{main};loads (msgspec/json.py) 1\nthread (13): asyncio_0 4\n"
    )
    shown = StringIO()
    tables(samples, 80.0, Console(file=shown, width=120))
    rows = [[cell.strip() for cell in row.split("│")[1:-1]] for row in shown.getvalue().splitlines()]
    assert ["MainThread", "50.0", "40.0"] in rows
    assert ["asyncio", "50.0", "40.0"] in rows
    assert ["gateway/ingest/decode.py", "37.5", "30.0"] in rows
    assert ["gateway/cli/run.py > msgspec", "12.5", "10.0"] in rows
