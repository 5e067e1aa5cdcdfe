"""A gateway that is killed while all around it fails, as `make soak` does at length: nothing that was taken is lost."""

import re
from pathlib import Path

import msgspec
import pytest
from rich.progress import Progress

from gateway.records import Ledger
from sim_hardware.servers import InfluxDB, ServerError
from tests.bench import gateway_soak
from tests.bench.gateway_soak import Outcome, compare, soak
from tests.bench.harm import HARMS, SmallDisk, plan
from tests.bench.known import KnownNode
from tests.bench.result import Result
from tests.gateway.databases import write
from tests.micropython import ROOT

NODES, PER_SECOND, KILLS = 30, 4.0, 8


@pytest.fixture(scope="module")
def may_mount(tmp_path_factory: pytest.TempPathFactory) -> bool:
    """A file system that can come full needs the right to mount one."""
    try:
        with SmallDisk(tmp_path_factory.mktemp("disk") / "disk"):
            return True
    except ServerError:
        return False


@pytest.mark.timeout(600)
def test_nothing_is_lost_by_kills_and_harm_of_each_kind(tmp_path: Path, may_mount: bool) -> None:
    """Without a right to mount all but the full disk, which then has the test below to say so."""
    without = frozenset[str]() if may_mount else frozenset({"disk_full"})
    with Progress(disable=True) as progress:
        found = soak(tmp_path, NODES, PER_SECOND, KILLS, 1, without, progress)
    assert found.faults == []
    assert found.done == {"kill": KILLS, **{kind: int(kind not in without) for kind in HARMS}}
    assert found.packs > 0


def test_a_disk_that_comes_full_can_be_tried(may_mount: bool) -> None:
    if not may_mount:
        pytest.skip("NOT TRIED: a full disk below the gateway; it needs root, or `unshare --map-root-user --mount`")
    assert any(blow.kind == "disk_full" for blow in plan(KILLS, 1, frozenset()))


def test_each_fault_is_told() -> None:
    """A run that has one thing wrong with it is not passed for a good one."""
    good = Outcome(10, 0, 0, 0, Ledger(11, 10, 0, 0, 1, 0), 2, [], [], 3, False, {})
    assert good.faults == []
    for changes in (
        {"missing": 1},
        {"wrong": 1},
        {"extra": 1},
        {"ledger": Ledger(12, 10, 0, 0, 1, 0)},
        {"ledger": Ledger(11, 10, 0, 0, 1, 1)},
        {"ledger": Ledger(12, 10, 0, 1, 1, 0)},
        {"ledger": Ledger(12, 10, 1, 0, 1, 0)},
        {"ledger": Ledger(12, 11, 0, 0, 1, 0)},
        {"different": ["one"]},
        {"died": ["of hunger"]},
        {"late": True},
    ):
        assert len(msgspec.structs.replace(good, **changes).faults) == 1, changes


def test_every_point_is_looked_at(influx: InfluxDB, influx_db: str) -> None:
    """One that is missing, one with another value, one too many: each is found."""
    fleet = [KnownNode(number, 1_795_430_400) for number in range(3)]
    lines = [
        f"{node.kind},node={node.name} {','.join(f'{name}={value}' for name, value in fields.items())} {at}"
        for node in fleet
        for at, fields in node.points(20)
    ]
    write(influx.url, influx_db, lines)
    assert compare(influx, influx_db, fleet, (20, 20, 20)) == (0, 0, 0)
    assert compare(influx, influx_db, fleet, (21, 20, 20)) == (1, 0, 0)
    assert compare(influx, influx_db, fleet, (20, 19, 20)) == (0, 0, 1)
    write(influx.url, influx_db, [f"air,node={fleet[0].name} pm2_5=1 {fleet[0].time(3)}"])
    assert compare(influx, influx_db, fleet, (20, 20, 20)) == (0, 1, 0)
    write(influx.url, influx_db, [f"air,node=air-9999 pm2_5=1 {fleet[0].time(3)}"])
    assert compare(influx, influx_db, fleet, (20, 20, 20)) == (0, 1, 1)


def test_what_cannot_be_tried_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fails(*_: object) -> Outcome:
        raise ServerError("no broker is installed")

    monkeypatch.setattr(gateway_soak, "soak", fails)
    assert gateway_soak.main(["--kills", "1", "--data", str(tmp_path)]) == 2
    assert "no broker is installed" in " ".join(capsys.readouterr().err.split())


def test_the_figures_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """In the documentation's table, with their units."""
    page = (ROOT / "docs/benchmarks.md").read_text().partition("## The gateway's soak")[2]
    rows = re.findall(r"^\| (`soak_[^|]+) \| ([^|]+) \|", page, re.MULTILINE)
    told = {name: unit for names, unit in rows for name in re.findall(r"\w+", names)}
    gateway_soak.tell(Outcome(10, 0, 0, 0, Ledger(11, 10, 0, 0, 1, 0), 2, [], [], 3, False, {"kill": 1}), seed=1)
    printed = [msgspec.json.decode(line, type=Result) for line in capsys.readouterr().out.splitlines()]
    assert {each.metric: each.unit for each in printed} == told
    assert {each.bench for each in printed} == {"gateway"}
