"""`ganglion demo`, as a stranger runs it."""

import json
import os
import pty
import re
import shlex
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.config import Influx
from gateway.config import load as load_config
from gateway.pki.authority import Authority
from gateway.query.client import ask
from sim_hardware.city.city import City
from sim_hardware.city.scenario import load, places
from sim_hardware.demo.stack import reopened
from sim_hardware.folder import MADE, MARK
from sim_hardware.servers import wait_until
from tests.bench import wire
from tests.bench.packs import birth
from tests.gateway.databases import select

GANGLION = [sys.executable, "-m", "gateway.cli.main"]
SECONDS = 100.0


def pids(folder: Path, *words: str) -> list[int]:
    """Everything that runs in or below a folder, and has these words in its command line or its own folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            where = str((process / "cwd").readlink())
        except OSError:
            continue  # ended meanwhile, or not one that we may look at, so none of ours
        if (str(folder) in said or where.startswith(str(folder))) and all(word in said + where for word in words):
            found.append(int(process.name))
    return found


class Demo:
    """A demo that runs, with everything that it says in `out`; it leads a process group, as behind a terminal."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.report = folder / "r.json"
        self._out = folder / "out"
        command = [*GANGLION, "demo", "--data", str(self.data), "--report", str(self.report), *options]
        with self._out.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)

    @property
    def out(self) -> str:
        return self._out.read_text()

    def wait_for(self, text: str) -> None:
        self.wait_until(lambda: text in self.out, text)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Not for one that has ended."""

        def met() -> bool:
            ended = self.process.poll() is not None
            if not (found := condition()) and ended:
                raise AssertionError(f"{what} cannot happen any more: {self.out}")
            return found

        wait_until(met, SECONDS, what)

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """As a terminal does it: to the whole group."""
        os.killpg(self.process.pid, number)

    def ended(self, seconds: float = SECONDS) -> int:
        """The exit code; nothing is left running, and nothing was said that is not meant for people."""
        code = self.process.wait(seconds)
        wait_until(lambda: pids(self.folder) == [], SECONDS, "the end of all children")
        assert "Traceback" not in self.out
        assert "rror:" not in self.out, self.out
        return code


@contextmanager
def running_demo(folder: Path, *options: str, nodes: int = 3, pages: bool = False) -> Iterator[Demo]:
    """With `pages` where they matter: they take a processor a second and a half to start."""
    options = (*options, "--pages" if pages else "--no-pages")
    demo = Demo(folder, "--nodes", str(nodes), *options)
    try:
        yield demo
    finally:
        demo.process.kill()
        demo.process.wait()


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """A city hour in twenty seconds, or in as many as it takes: folder, what it printed, its report."""
    folder = tmp_path_factory.mktemp("demo")
    with running_demo(folder, "--speed", "180", "--seed", "5", nodes=30, pages=True) as demo:
        demo.wait_until(lambda: re.search(r"city \S+ 08:\d\d:", demo.out) is not None, "an hour: it begins at seven")
        demo.interrupt()
        assert demo.ended() == 0, demo.out
        return demo.data, demo.out, json.loads(demo.report.read_text())


def minutes_of(url: str, begin: int, measurement: str, field: str) -> dict[str, list[int]]:
    """Of each node, the minutes of the city that its packs are of."""
    rows = select(url, "ganglion", f"SELECT {field}, node FROM {measurement}")
    found: dict[str, set[int]] = {}
    for row in rows:
        minute, rest = divmod(row["time"] - begin, 60)
        assert rest == 0
        found.setdefault(row["node"], set()).add(minute)
    return {node: sorted(minutes) for node, minutes in found.items()}


def health_minutes(url: str, begin: int) -> dict[str, list[int]]:
    return minutes_of(url, begin, "health", "heap_free")


def window_minutes(url: str, begin: int) -> dict[str, list[int]]:
    fields = {"traffic": "volume", "water": "volume", "air": "co2"}
    found = {node: each for kind, field in fields.items() for node, each in minutes_of(url, begin, kind, field).items()}
    assert len(found) == 30
    return found


def test_everything_that_was_sent_is_written_and_every_incident_found(ended: tuple[Path, str, dict[str, Any]]) -> None:
    """The figures by which the demo is judged."""
    _, _, report = ended
    assert report["nodes"] == 30
    # An hour of windows, or a little more of a machine that was busy at its end, and a pack of health with each tenth.
    # A node that began late has fewer; that none of them lacks any after its first, up to the city's last minute,
    # is seen in the database below.
    windows = report["city_s"] // 60
    assert windows >= 60
    assert 30 * (1 + 1) <= report["packs_sent"] <= 30 * (windows + (windows + 9) // 10)
    assert report["packs_written"] == report["packs_received"] == report["packs_sent"]
    zero = ("gaps", "dead_letters", "packs_waiting", "packs_unsent", "packs_dropped", "crashes", "false_incidents")
    assert {name: report[name] for name in zero} == dict.fromkeys(zero, 0)
    assert report["incidents_detected"] == report["incidents_injected"] == 4
    assert set(report["detection_delay_s"]) == {"burst", "jam", "air_episode", "stuck"}
    assert report["detection_delay_s"]["jam"]["max"] <= 5 * 60
    assert report["pss_kib_per_node"] > 0
    # The slowest board starts last; a machine that is busy with something else is slower still.
    assert report["speed"] == 180
    assert 0 < report["speed_reached"] <= 180


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
    windows = report["city_s"] // 60
    narrow = ["--every", "10m", "--last", "30d", "--by", "site"]
    with reopened(data) as influx:
        again = subprocess.run(
            [*GANGLION, "demo", "--data", str(data)], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert (again.returncode, "a run that still goes on" in again.stderr) == (2, True)
        answer = subprocess.run(
            [*GANGLION, "query", "pm2_5", *narrow, "--format", "json", "--config", str(data / "ganglion.toml")],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        means = [json.loads(line)["mean"] for line in answer.stdout.splitlines()]
        # The smoke stands out of the morning's air.
        assert len(means) in (windows // 10, windows // 10 + 1)
        assert max(means) > 60 > 30 > min(means) > 0
        statement = "SELECT count(heap_free), max(heap_free), min(heap_free) FROM health"
        (health,) = select(influx.url, "ganglion", statement)
        told = health_minutes(influx.url, report["city_begin"])
        for node, found in window_minutes(influx.url, report["city_begin"]).items():
            assert found == list(range(found[0], found[-1] + 1)), f"{node} lacks a window"
            # The report tells of whole seconds; a window may have ended in the last of them.
            assert found[-1] in (windows, windows + 1), node
            assert told[node] == found[::10], node
        # The whole heap of an emulated board is 160 KiB.
        assert 8 * 1024 < health["min"] < health["max"] < 160 * 1024
        packs = sum(
            select(influx.url, "ganglion", f"SELECT count({field}) FROM {kind}")[0]["count"] // channels
            for kind, field, channels in (("traffic", "volume", 2), ("water", "volume", 1), ("air", "co2", 1))
        )
        assert packs + health["count"] == report["packs_written"]
    truths = [json.loads(line) for line in (data / "truth.jsonl").read_text().splitlines()]
    assert {each["kind"] for each in truths if "run" not in each} == {"burst", "crash", "smoke", "stuck"}
    assert {path.name for path in data.iterdir()} == {MARK, *MADE}, "the next run deletes what this one made"


def test_what_is_stored_is_what_happened(ended: tuple[Path, str, dict[str, Any]]) -> None:
    """The same city, calculated once more, against the database: through chips, firmware, broker and gateway."""
    data, _, report = ended
    where = places(report["nodes"])
    town = City(load(None), where, report["seed"], report["city_begin"])
    minutes = np.array([town.minute() for _ in range(report["city_s"] // 60)])
    with reopened(data) as influx:
        began = [found[0] for found in window_minutes(influx.url, report["city_begin"]).values()]
        first, last = max(10, *began), 58  # minutes: every node is up, and none has ended
        assert first < 50
        after = f"time > {report['city_begin'] + 60 * first}s AND time <= {report['city_begin'] + 60 * last}s"

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
            case "air" if place.node != "air-0002":  # which is stuck
                assert particles[place.node] == pytest.approx(seen[:, 1].mean(), abs=0.5), place.node
                assert pressure[place.node] == pytest.approx(seen[:, 6].mean(), abs=5), place.node


def test_it_is_as_closed_as_an_installation(tmp_path: Path) -> None:
    """Nobody speaks with its broker without a certificate, or with one that was taken back; commands reach a node."""
    with running_demo(tmp_path) as demo:
        demo.wait_until(lambda: "3/3 connected" in demo.out, "all nodes")
        settings = load_config(demo.data / "ganglion.toml").mqtt
        told = (demo.data / "broker/mosquitto.conf").read_text()
        (nodes_port,) = set(re.findall(r"^listener (\d+)", told, re.MULTILINE)) - {str(settings.port)}
        own = wire.trust(Path(settings.ca), Path(settings.cert).parent)
        wire.connect(settings.port, "tool", trust=own).close()
        for port in (settings.port, int(nodes_port)):
            for nobody in (None, ssl.create_default_context(cafile=settings.ca)):
                with pytest.raises(OSError):  # noqa: PT011 - how it ends depends on who is first
                    wire.connect(port, "stranger", trust=nobody)
        stolen = Path(Authority(Path(settings.ca).parent).node("riverside", "air-0099").folder)

        def refused() -> bool:
            try:
                with wire.connect(int(nodes_port), "x", trust=wire.trust(Path(settings.ca), stolen)) as link:
                    link.sendall(wire.publish(b"ganglion/v1/riverside/air-0099/status", birth("air"), 1, retained=True))
                    wire.take(link, wire.PUBACK_BYTES)
            except OSError:
                return True
            return False

        assert not refused()
        for command in ("command air-0001 identify --wait 60", "pki revoke riverside/air-0099"):
            whole = [*GANGLION, *command.split(), "--config", str(demo.data / "ganglion.toml")]
            done = subprocess.run(whole, capture_output=True, text=True, timeout=SECONDS, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        demo.wait_until(refused, "the end of what was taken back")
        demo.interrupt()
        assert demo.ended() == 0, demo.out


def test_with_faults_all_arrives_and_a_script_can_read_it(tmp_path: Path) -> None:
    """The broker of the demo restarts, boards fail; the report alone is on standard output."""
    (tmp_path / "f.toml").write_text(
        '[[fault]]\nkind = "broker_restart"\nat = 4\nlasts = 2\n'
        '[[fault]]\nkind = "kill"\nat = 7\nnodes = "50 %"\n'
        '[[fault]]\nkind = "latency"\nat = 2\nlasts = 3\nsize = 100\n'
    )
    options = ["--nodes", "6", "--duration", "5", "--speed", "120", "--seed", "5", "--data", str(tmp_path / "data")]
    answer = subprocess.run(
        [*GANGLION, "demo", "--no-pages", *options, "--faults", str(tmp_path / "f.toml"), "--json"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    report = json.loads(answer.stdout)
    assert report["faults"] == {"broker_restart": 1, "kill": 1, "latency": 1}
    zero = ("gaps", "dead_letters", "packs_waiting", "packs_unsent", "packs_dropped", "crashes")
    assert {name: report[name] for name in zero} == dict.fromkeys(zero, 0)
    assert report["packs_written"] >= report["packs_sent"] > 0
    records = [json.loads(line) for line in (tmp_path / "data/faults.jsonl").read_text().splitlines()]
    begin = report["city_begin"]
    assert [(each["kind"], each["begin"] - begin, each["end"] - begin) for each in records] == [
        ("latency", 120, 300),
        ("broker_restart", 240, 360),
        ("kill", 420, 420),
    ]
    assert [(len(each["nodes"]), each["size"]) for each in records] == [(6, 100), (0, 0), (3, 0)]
    assert "fault 07:04 broker_restart" in answer.stderr
    first = json.loads((tmp_path / "data/truth.jsonl").read_text().splitlines()[0])
    assert first["run"]["end"] == begin + report["city_s"]


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)])
def test_it_ends_cleanly_when_told_to(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in mid-run: everything on its way arrives, nothing is left running, exit code 0. Until then the
    pages are where it says, and who logs in as it says may act."""
    with running_demo(tmp_path, nodes=6, pages=True) as demo:
        demo.wait_until(lambda: re.search("6/6 connected  packs [1-9]", demo.out) is not None, "packs of all")
        console, password = re.findall(r"The console:  (\S+)/  To act, log in as demo with (\w+)", demo.out)[0]
        (citizens,) = re.findall(r"What citizens see:  (\S+)", demo.out)
        with urllib3.PoolManager(retries=False) as pool:
            assert b"EXERCISE" in pool.request("GET", citizens).data
            assert pool.request("GET", f"{console}/").status == 200
            fields = {"name": "demo", "password": password}
            done = pool.request("POST", f"{console}/login", fields=fields, encode_multipart=False, redirect=False)
            assert done.status == 303
        demo.interrupt(number)
        assert demo.ended() == 0, demo.out
        figures = json.loads(demo.report.read_text())
    assert figures["packs_written"] == figures["packs_received"] == figures["packs_sent"] > 0


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        pytest.param(MARK, signal.SIGINT, marks=pytest.mark.soak),
        pytest.param("broker", signal.SIGTERM, marks=pytest.mark.soak),
        ("influx/influxd.log", signal.SIGINT),
        ("gateway.log", signal.SIGTERM),
        pytest.param("fleet/image/main.mpy", signal.SIGINT, marks=pytest.mark.soak),
        pytest.param("fleet/pace", signal.SIGTERM, marks=pytest.mark.soak),
        ("fleet/nodes", signal.SIGINT),
    ],
)
def test_it_ends_cleanly_when_told_to_at_once(tmp_path: Path, moment: str, number: signal.Signals) -> None:
    """While it claims its folder, starts a server, compiles, or starts the nodes."""
    with running_demo(tmp_path) as demo:
        demo.wait_until((demo.data / moment).exists, moment)
        demo.interrupt(number)
        assert demo.ended() in (0, 130), demo.out


def test_killed_outright_it_leaves_nothing_running(tmp_path: Path) -> None:
    """Even kill -9 of the demo takes broker, database, gateway and all nodes with it."""
    with running_demo(tmp_path) as demo:
        # The demo, its nursery and three servers, and three boards.
        demo.wait_until(lambda: len(pids(tmp_path)) >= 5 + 3, "the fleet's start")
    wait_until(lambda: pids(tmp_path) == [], SECONDS, "the end of all children")


@pytest.mark.parametrize(
    ("victim", "name"), [("mosquitto", "mosquitto"), ("influxd", "influxd"), ("gateway.cli.main gateway", "gateway")]
)
def test_a_server_that_dies_ends_the_demo_with_its_name(tmp_path: Path, victim: str, name: str) -> None:
    """And with the signal, a report of what was heard until then, and exit code 1."""
    with running_demo(tmp_path) as demo:
        demo.wait_for("/3 connected")
        (pid,) = pids(demo.data, victim)
        os.kill(pid, signal.SIGKILL)
        assert demo.ended() == 1, demo.out
        assert f"{name} was killed by SIGKILL" in demo.out
        log = demo.data / ("" if name == "gateway" else {"influxd": "influx"}.get(name, "broker")) / f"{name}.log"
        assert ("its log ends:" in demo.out) is bool(log.read_text().strip())
        figures = json.loads(demo.report.read_text())
    assert figures["nodes"] == 3
    assert figures["packs_received"] is not None
    assert (demo.data / "truth.jsonl").exists()


def test_a_database_that_hangs_does_not_hang_the_demo(tmp_path: Path) -> None:
    """The view goes on, Ctrl-C is heard in the run and in the wait after it, and there is a report."""
    with running_demo(tmp_path) as demo:
        demo.wait_for("3/3 connected")
        (influx,) = pids(demo.data, "influxd")
        os.kill(influx, signal.SIGSTOP)
        try:
            lines = demo.out.count("connected")
            demo.wait_until(lambda: demo.out.count("connected") > lines, "another line")
            demo.interrupt()
            demo.wait_for("The city stands still")
            assert not demo.report.exists()
            demo.interrupt()
            demo.wait_until(demo.report.exists, "the report")
        finally:
            os.kill(influx, signal.SIGCONT)
        assert demo.ended() == 1, demo.out
        assert "the wait was ended before all packs had arrived" in demo.out
        figures = json.loads(demo.report.read_text())
    assert figures["packs_sent"] > 0
    assert (demo.data / "truth.jsonl").exists()


def test_a_node_that_crashes_is_counted(tmp_path: Path) -> None:
    """In the report, and for people in the last line."""
    with running_demo(tmp_path) as demo:
        demo.wait_for("/3 connected")
        demo.wait_until(lambda: bool(pids(demo.data, "nodes/water-0001")), "a node's start")
        os.kill(pids(demo.data, "nodes/water-0001")[0], signal.SIGKILL)
        demo.interrupt()
        assert demo.ended() == 0, demo.out
        assert "board crashes: 1. It is all below" in demo.out
        assert json.loads(demo.report.read_text())["crashes"] == 1


@pytest.mark.parametrize("until", ["While it runs", pytest.param("/3 connected", marks=pytest.mark.soak)])
def test_nobody_reads_on(tmp_path: Path, until: str) -> None:
    """As behind `| head`: a quiet end, whether the city runs already or not."""
    command = [*GANGLION, "demo", "--no-pages", "--nodes", "3", "--data", str(tmp_path / "data")]
    with (
        (tmp_path / "err").open("w") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True) as process,
    ):
        assert process.stdout
        assert any(until in line for line in process.stdout)
        process.stdout.close()
        assert process.wait(SECONDS) == 1
    wait_until(lambda: pids(tmp_path) == [], SECONDS, "the end of all children")
    # What a fleet of three is too small for is said before.
    assert all("will not show" in line for line in (tmp_path / "err").read_text().splitlines())


def test_nothing_can_be_written(tmp_path: Path) -> None:
    """A full disk below standard output is told as such."""
    command = [*GANGLION, "demo", "--no-pages", "--nodes", "3", "--data", str(tmp_path / "data")]
    with Path("/dev/full").open("w") as out:
        answer = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == "ganglion: standard output cannot be written to: No space left on device"
    assert "Traceback" not in answer.stderr
    wait_until(lambda: pids(tmp_path) == [], SECONDS, "the end of all children")


@pytest.mark.parametrize(
    ("environment", "live"),
    [
        ({"TERM": "xterm"}, True),
        pytest.param({"TERM": "dumb"}, False, marks=pytest.mark.soak),
        pytest.param({"TERM": "xterm", "PYTHONIOENCODING": "ascii"}, False, marks=pytest.mark.soak),
    ],
    ids=["good", "dumb", "ascii"],
)
def test_on_a_terminal(tmp_path: Path, environment: dict[str, str], live: bool) -> None:
    """A good one is drawn on; another gets lines. The folder's name may hold what shells and configurations quote."""
    folder = tmp_path / """a "b' $c ü"""
    command = [*GANGLION, "demo", "--no-pages", "--nodes", "3", "--duration", "1", "--data", str(folder)]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "PYTHONUTF8": "1", **environment}
    ) as process:
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 4096):
                said += piece
        except OSError:
            pass  # the other end is closed
        os.close(ours)
        assert process.wait(SECONDS) == 0, said
    assert (b"\x1b" in said) is live
    assert b"Traceback" not in said
    # The query that it shows can be copied into a shell.
    (hint,) = {line.strip() for line in said.decode().splitlines() if " query pm2_5 " in line}
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    config = str(folder / "ganglion.toml").encode(encoding, "backslashreplace").decode()
    assert shlex.split(hint)[-1] == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "{folder}/mine"], "is not empty and no earlier run made it"),
        (["--scenario", "{folder}/s.toml"], "s.toml:2: incidents: there is no such key; the nearest is incident"),
        (["--scenario", "{folder}/far.toml"], "far.toml:5: incident[0].end: Expected `int` <= 10000000"),
        (["--reopen", "--data", "{folder}/none"], "holds no database of a demo"),
        (["--report", "{folder}/none/r.json"], "cannot be written: name a file in a folder that exists"),
        (["--faults", "{folder}/f.toml"], "f.toml:2: fault[0].kind: there is no fault 'kils'; the nearest is kill"),
        (["--faults", "{folder}/none.toml"], "name a file that is there, or `random`"),
        (["--nodes", "0"], "Invalid value for '--nodes'"),
        (["--duration", "inf"], "Invalid value for '--duration'"),
        (["--duration", "nan"], "Invalid value for '--duration'"),
        (["--duration", "1e12"], "Invalid value for '--duration'"),
        (["--speed", "nan"], "Invalid value for '--speed'"),
        (["--duration", "3e7"], "it would begin before 2025"),
        (["--seed", "99999999999999999999"], "Invalid value for '--seed'"),
    ],
)
def test_what_it_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str) -> None:
    """One clear sentence, nothing started, nothing of anybody else's touched, the last run's folder as it was."""
    earlier = tmp_path / "ganglion-demo"
    earlier.mkdir()
    (earlier / MARK).write_text("{}")
    (earlier / "truth.jsonl").write_text("what happened")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    far = '[[incident]]\nkind = "smoke"\nbegin = 0\nend = 4000000000000000000\n'
    (tmp_path / "far.toml").write_text(f'site = "riverside"\n{far}')
    (tmp_path / "s.toml").write_text('site = "riverside"\n[[incidents]]\nkind = "smoke"\n')
    (tmp_path / "f.toml").write_text('[[fault]]\nkind = "kils"\nat = 1\n')
    monkeypatch.chdir(tmp_path)
    given = ["demo", "--duration", "1", *(each.format(folder=tmp_path) for each in options)]
    answer = CliRunner().invoke(make_app(), given, terminal_width=300)
    assert answer.exit_code == 2
    assert message in answer.output
    assert (earlier / "truth.jsonl").read_text() == "what happened"
    assert (mine / "thesis.txt").read_text() == "years of work"
