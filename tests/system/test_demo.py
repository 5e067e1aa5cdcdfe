"""`ganglion demo`, as a stranger runs it."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.config import Influx
from gateway.query.client import ask
from sim_hardware.city.city import City
from sim_hardware.city.scenario import load, places
from sim_hardware.demo.stack import reopened
from sim_hardware.servers import wait_until
from tests.gateway.databases import select

GANGLION = [sys.executable, "-m", "gateway.cli.main"]
SECONDS = 100.0


def processes(folder: Path) -> list[str]:
    """Command lines and folders of everything that runs below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            where = str((process / "cwd").readlink())
        except OSError:
            continue  # ended meanwhile, or not one that we may look at, so none of ours
        if str(folder) in said or where.startswith(str(folder)):
            found.append(said)
    return found


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """A city hour in twenty seconds: folder, what it printed, its report."""
    folder = tmp_path_factory.mktemp("demo")
    options = ["--duration", "20", "--speed", "180", "--seed", "5", "--data", str(folder / "data")]
    answer = subprocess.run(
        [*GANGLION, "demo", *options, "--report", str(folder / "r.json")],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert processes(folder) == []
    return folder / "data", answer.stdout, json.loads((folder / "r.json").read_text())


def test_everything_that_was_sent_is_written_and_every_incident_found(ended: tuple[Path, str, dict[str, Any]]) -> None:
    """The figures by which the demo is judged."""
    _, _, report = ended
    assert report["nodes"] == 30
    # An hour of windows, less the first where a board came too late into it, and six or seven packs of health.
    assert 30 * (58 + 6) <= report["packs_sent"] <= 30 * (60 + 7)
    assert report["packs_written"] == report["packs_received"] == report["packs_sent"]
    zero = ("gaps", "dead_letters", "packs_waiting", "packs_unsent", "packs_dropped", "crashes", "false_incidents")
    assert {name: report[name] for name in zero} == dict.fromkeys(zero, 0)
    assert report["incidents_detected"] == report["incidents_injected"] == 4
    assert set(report["detection_delay_s"]) == {"burst", "jam", "air_episode", "stuck"}
    assert report["detection_delay_s"]["jam"]["max"] <= 5 * 60
    assert report["pss_kib_per_node"] > 0


def test_it_says_what_happens_and_how_to_query(ended: tuple[Path, str, dict[str, Any]]) -> None:
    """Without a terminal: plain lines, and two commands that can be copied."""
    data, printed, _ = ended
    lines = printed.splitlines()
    assert any(line.startswith("incident opened") and "burst riverside/water-0003" in line for line in lines)
    assert any("30/30 connected" in line for line in lines)
    assert any("ganglion query pm2_5" in line and str(data) in line for line in lines)
    assert any(line.strip().startswith("influx -port") for line in lines)
    assert "\x1b" not in printed


def test_what_it_stored_can_be_asked_again(ended: tuple[Path, str, dict[str, Any]]) -> None:
    """The database of a demo that has ended, by our program and by InfluxQL."""
    data, _, report = ended
    narrow = ["--every", "10m", "--last", "30d", "--by", "site"]
    with reopened(data) as influx:
        again = subprocess.run(
            [*GANGLION, "demo", "--data", str(data)], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert (again.returncode, "a run that still goes on" in again.stderr) == (1, True)
        answer = subprocess.run(
            [*GANGLION, "query", "pm2_5", *narrow, "--format", "json", "--config", str(data / "ganglion.toml")],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        means = [json.loads(line)["mean"] for line in answer.stdout.splitlines()]
        # Ten minutes of smoke stand out of the morning's haze.
        assert len(means) in (6, 7)
        assert max(means) > 60 > 30 > min(means) > 5
        statement = "SELECT count(heap_free), max(heap_free), min(heap_free) FROM health"
        (health,) = select(influx.url, "ganglion", statement)
        assert health["count"] >= 30 * 6
        # The whole heap of an emulated board is 160 KiB.
        assert 8 * 1024 < health["min"] < health["max"] < 160 * 1024
        packs = sum(
            select(influx.url, "ganglion", f"SELECT count({field}) FROM {kind}")[0]["count"] // channels
            for kind, field, channels in (("traffic", "volume", 2), ("water", "volume", 1), ("air", "co2", 1))
        )
        assert packs + health["count"] == report["packs_written"]
    truths = [json.loads(line) for line in (data / "truth.jsonl").read_text().splitlines()]
    assert {each["kind"] for each in truths} == {"burst", "jam", "air_episode", "stuck"}


def test_what_is_stored_is_what_happened(ended: tuple[Path, str, dict[str, Any]]) -> None:
    """The same city, calculated once more, against the database: through chips, firmware, broker and gateway."""
    data, _, report = ended
    where = places(report["nodes"])
    town = City(load(None), where, report["seed"], report["city_begin"])
    minutes = np.array([town.minute() for _ in range(report["city_s"] // 60)])
    first, last = 10, 58  # minutes: every node is up, and none has ended
    after = f"time > {report['city_begin'] + 60 * first}s AND time <= {report['city_begin'] + 60 * last}s"
    with reopened(data) as influx:

        def stored(statement: str) -> dict[str, float]:
            rows = ask(Influx(influx.url, database="ganglion"), f"{statement} WHERE {after} GROUP BY node")
            return {series.tags["node"]: series.values[0][1] for series in rows}

        litres = stored("SELECT spread(volume) FROM water")
        vehicles = stored("SELECT sum(volume) FROM traffic")
        particles = stored("SELECT mean(pm2_5) FROM air")
        pressure = stored("SELECT mean(pressure) FROM air")
    for place in where:
        seen = minutes[first:last, place.slot]
        match place.kind:
            case "water":  # the spread leaves the first window's own pulses out
                low, high = seen[1:, 0].sum() / 60, seen[:, 0].sum() / 60
                assert low - 1.1 <= litres[place.node] <= high + 1.1, place.node
            case "traffic":
                wanted = (seen[:, 0] + seen[:, 2]).sum() / 60
                assert vehicles[place.node] == pytest.approx(wanted, abs=5 * wanted**0.5), place.node
            case "air":
                if place.node != "air-0002":  # which is stuck
                    assert particles[place.node] == pytest.approx(seen[:, 1].mean(), abs=0.5), place.node
                assert pressure[place.node] == pytest.approx(seen[:, 6].mean(), abs=5), place.node


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_when_told_to(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in mid-run: everything on its way arrives, nothing is left running, exit code 0."""
    report = tmp_path / "r.json"
    command = [*GANGLION, "demo", "--nodes", "6", "--data", str(tmp_path / "data"), "--report", str(report)]
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_until(lambda: "6/6 connected" in (tmp_path / "out").read_text(), SECONDS, "the fleet's start")
        process.send_signal(number)
        assert process.wait(SECONDS) == 0, (tmp_path / "out").read_text()
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: processes(tmp_path) == [], SECONDS, "the end of all children")
    figures = json.loads(report.read_text())
    assert figures["packs_written"] == figures["packs_received"] == figures["packs_sent"] > 0


def test_killed_outright_it_leaves_nothing_running(tmp_path: Path) -> None:
    """Even kill -9 of the demo takes broker, database, gateway and all nodes with it."""
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(
            [*GANGLION, "demo", "--nodes", "3", "--data", str(tmp_path / "data")], stdout=out, stderr=out
        )
    try:
        wait_until(lambda: "3/3 connected" in (tmp_path / "out").read_text(), SECONDS, "the fleet's start")
        assert len(processes(tmp_path)) >= 3 + 4
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: processes(tmp_path) == [], SECONDS, "the end of all children")


@pytest.mark.parametrize("victim", ["mosquitto", "influxd", "gateway.cli.main gateway"])
def test_a_server_that_dies_ends_the_demo_with_its_name(tmp_path: Path, victim: str) -> None:
    """Exit code 1 and the end of its log; nothing is left running."""
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(
            [*GANGLION, "demo", "--nodes", "3", "--data", str(tmp_path / "data")], stdout=out, stderr=out
        )
    try:
        wait_until(lambda: "3/3 connected" in (tmp_path / "out").read_text(), SECONDS, "the fleet's start")
        subprocess.run(["pkill", "-KILL", "-f", f"{victim}.*{tmp_path}/data"], check=True)
        assert process.wait(SECONDS) == 1
    finally:
        process.kill()
        process.wait()
    said = (tmp_path / "out").read_text()
    assert "ended by itself with -9" in said
    assert "Traceback" not in said
    wait_until(lambda: processes(tmp_path) == [], SECONDS, "the end of all children")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "{folder}/mine"], "is not empty and no earlier run made it"),
        (["--scenario", "{folder}/s.toml"], "unknown key 'incidents'; did you mean 'incident'?"),
        (["--reopen", "--data", "{folder}/none"], "holds no database of a demo"),
        (["--report", "{folder}/none/r.json"], "cannot be written: name a file in a folder that exists"),
        (["--nodes", "0"], "Invalid value for '--nodes'"),
    ],
)
def test_what_it_refuses(tmp_path: Path, options: list[str], message: str) -> None:
    """One clear sentence, nothing started, nothing of anybody else's touched."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    (tmp_path / "s.toml").write_text('site = "riverside"\n[[incidents]]\nkind = "jam"\n')
    answer = subprocess.run(
        [*GANGLION, "demo", "--duration", "1", *(each.format(folder=tmp_path) for each in options)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "300"},
    )
    assert answer.returncode != 0
    assert message in answer.stderr
    assert (mine / "thesis.txt").read_text() == "years of work"
