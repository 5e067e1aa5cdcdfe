"""A time range from one real database into another: all points, all types, from wherever it was ended."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3

from gateway import backfill as room
from gateway.backfill import Backfill, BackfillError, Range, differences, measurements_of
from gateway.config import Influx, Mirror, load
from gateway.errors import ConfigError, GanglionError
from gateway.forward.influx_v1 import TargetV1
from gateway.forward.lines import incident_lines, line, pack_lines
from gateway.forward.patience import Patience
from gateway.http import Metrics
from gateway.records import Figures, Incident, Ledger, Mirrored
from sim_hardware.servers import InfluxDB, VictoriaMetrics
from tests.gateway.commandline import CommandLine, sentence
from tests.gateway.databases import exported, select
from tests.gateway.streets import START, pack

HOURS = 60
END = START + 3600 * HOURS
QUICK = Patience(first=0.02, most=0.1)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    """A second server."""
    with InfluxDB(tmp_path_factory.mktemp("other")) as server:
        yield server


@pytest.fixture
def full(influx: InfluxDB, influx_db: str) -> Influx:
    """A database with two and a half days of four nodes at two sites, with states, lanes, health and an incident."""
    lines = []
    for minute in range(0, 60 * HOURS, 10):
        packs = [pack(f"air-000{n}", minute, {"pm2_5": 0.1 * minute / 3 + n, "co2": 455.0}) for n in (1, 2)]
        packs.append(pack("traffic-0001", minute, {f"lane{n}/volume": float(minute) for n in (1, 2)}))
        packs.append(pack("water-0001", minute, {"volume": 1e10 - 0.1 * minute, "frost": 1.0}, site="hill"))
        lines += [each for one in packs for each in pack_lines(one)]
    words = 'much "water", 5 = 5 \\ end'
    burst = Incident("burst.1", "burst", "hill", "water-0001", "", "critical", START + 60, START + 7260, words)
    lines += incident_lines(burst)
    lines.append(line("health", {"site": "hill", "node": "odd ,= name"}, {"uptime": 5.0}, START + 1))
    settings = Influx(influx.url, "v1", influx_db)
    TargetV1(settings).write(lines)
    return settings


def everything(database: Influx, span: Range | None = None) -> dict[str, Any]:
    """All points of all measurements, with all that they have, in one order."""
    where = f" WHERE time >= {span.begin}s AND time < {span.end}s" if span else ""
    found = {}
    for name in (row["name"] for row in select(database.url, database.database, "SHOW MEASUREMENTS")):
        rows = select(database.url, database.database, f'SELECT * FROM "{name}"{where}')
        if rows:
            found[name] = sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))
    return found


def copied(source: Influx, target: Influx, span: Range, **more: Any) -> Backfill:
    copying = Backfill(source, TargetV1(target), span, **{"patience": QUICK} | more)
    copying.run()
    return copying


@pytest.fixture
def empty(other: InfluxDB, influx_db: str) -> Influx:
    """A database of the test's own in the second server, which is not there yet."""
    return Influx(other.url, "v1", influx_db)


@pytest.mark.parametrize("page", [7, 20_000])
def test_every_point_arrives_as_it_was(full: Influx, empty: Influx, page: int) -> None:
    """Floats to the last bit, strings, tags that need escapes; however small the pages. Again changes nothing."""
    span = Range(START, END)
    for _ in range(2):
        done = copied(full, empty, span, page=page, batch_lines=500).progress
        assert (done.read, done.written, done.refused) == (60 * HOURS // 10 * 5 + 3, done.read, 0)
        assert done.next == END
        assert everything(empty) == everything(full)
    assert differences(full, empty, span) == []


def test_more_points_in_one_second_than_in_a_page(influx: InfluxDB, influx_db: str, empty: Influx) -> None:
    """A thousand nodes that tell the same second, and the next."""
    source = Influx(influx.url, "v1", influx_db)
    lines = [line("air", {"site": "a", "node": f"n{n}"}, {"co2": float(n)}, START + n % 2) for n in range(2000)]
    TargetV1(source).write(lines)
    assert copied(source, empty, Range(START, START + 2), page=10).progress.read == 2000
    assert everything(empty) == everything(source)


def test_only_the_range_the_site_and_the_measurement_that_were_asked_for(full: Influx, empty: Influx) -> None:
    """The end is outside; what is not there is an error."""
    span = Range(START + 600, START + 3600, site="hill", kind="water")
    copied(full, empty, span)
    (name,) = everything(empty)
    rows = everything(empty)[name]
    assert (name, {row["site"] for row in rows}) == ("water", {"hill"})
    assert sorted(row["time"] - START for row in rows) == [600, 1200, 1800, 2400, 3000]
    with pytest.raises(BackfillError, match="no measurement noise"):
        copied(full, empty, Range(START, END, kind="noise"))


def test_types_that_the_gateway_does_not_write_are_not_changed_silently(influx: InfluxDB, influx_db: str) -> None:
    """Nor are times between two seconds."""
    source = Influx(influx.url, "v1", influx_db)
    TargetV1(source).write([b"disk,host=a used=5i 1", b"air,node=a co2=5 %d" % START])
    with pytest.raises(BackfillError, match=r"field used of disk is of type integer.*--kind"):
        measurements_of(source, Range(0, END))
    assert [each.name for each in measurements_of(source, Range(0, END, kind="air"))] == ["air"]
    with urllib3.PoolManager() as pool:
        body = b"air,node=a co2=5 %d500" % START
        assert pool.request("POST", f"{influx.url}/write?db={influx_db}&precision=ms", body=body).status == 204
    with pytest.raises(BackfillError, match="no whole second"):
        copied(source, Influx(influx.url, "v1", "none"), Range(START, END, kind="air"))


def test_points_that_the_target_refuses_are_told_and_counted(full: Influx, empty: Influx) -> None:
    """The others are written."""
    TargetV1(empty).prepare()
    TargetV1(empty).write([b'water,site=hill,node=old volume="text" %d' % START])
    told: list[str] = []
    span = Range(START, START + 1200)
    done = copied(full, empty, span, told=told.append).progress
    assert (done.refused, done.written) == (2, done.read - 2)
    assert all("field type conflict" in words for words in told)
    assert len(everything(empty)["air"]) == 4
    assert differences(full, empty, span)


def test_an_outage_of_the_target_is_waited_for(full: Influx, tmp_path: Path) -> None:
    """It dies in the middle and comes back; nothing is missing."""
    server = InfluxDB(tmp_path / "own").start()
    target = Influx(server.url, "v1", "d")
    waiting, moves = threading.Event(), 0
    copying: Backfill

    def moved() -> None:
        nonlocal moves
        moves += 1
        if moves == 3:
            server.kill()

    def told(words: str) -> None:
        assert "tried again" in words
        waiting.set()

    copying = Backfill(
        full, TargetV1(target), Range(START, END), batch_lines=100, told=told, moved=moved, patience=QUICK
    )
    thread = threading.Thread(target=copying.run)
    try:
        thread.start()
        assert waiting.wait(60)
        server.start()
        thread.join(60)
        assert not thread.is_alive()
        assert copying.progress.written == copying.progress.read
        assert everything(target) == everything(full)
    finally:
        server.kill()


def configured(folder: Path, source: Influx, target: Influx) -> CommandLine:
    own = CommandLine(folder, 1)
    own.file.write_text(
        own.file.read_text() + f'[influx]\nurl = "{source.url}"\ndatabase = "{source.database}"\n'
        f'[[mirror]]\nname = "spare"\nurl = "{target.url}"\ndatabase = "{target.database}"\nbatch_lines = 100\n'
    )
    return own


def test_the_command_copies_into_a_mirror_and_verifies(full: Influx, empty: Influx, tmp_path: Path) -> None:
    """By its name, or into a URL; a point more over there is a difference."""
    own = configured(tmp_path, full, empty)
    span = ("--from", str(START), "--to", "2026-11-25T19:00:00Z")
    result = own.invoke("backfill", *span, "--target", "spare", "--verify", "--json")
    assert result.exit_code == 0, result.exception or result.output
    number = 60 * HOURS // 10 * 5 + 3
    assert json.loads(result.stdout) == {"read": number, "written": number, "refused": 0, "differences": []}
    assert everything(empty) == everything(full)
    TargetV1(empty).write([b"air,site=hill,node=more co2=5 %d" % START])
    result = own.invoke("backfill", *span, "--target", empty.url, "--kind", "air", "--verify")
    assert result.exit_code == 1
    assert "air.co2: 720 values in the source, 721 in the target" in result.stdout


def test_what_cannot_be_meant(full: Influx, empty: Influx, tmp_path: Path) -> None:
    """One sentence each."""
    own = configured(tmp_path, full, empty)
    for arguments, words in (
        (("--from", "2", "--to", "1", "--target", "spare"), "--from must be before --to"),
        (("--from", "1", "--to", "2", "--target", "spear"), "the configuration has spare"),
        (("--from", "1", "--to", "2", "--target", full.url), "is the database that is read"),
        (("--from", "1", "--to", "2", "--target", "spare", "--api", "v1"), "has its own in the configuration"),
        (("--from", "soon", "--to", "2", "--target", "spare"), "is no time"),
    ):
        assert words in sentence(own.invoke("backfill", *arguments))
    result = own.invoke("backfill", "--from", "1", "--to", "2", "--target", empty.url, "--api", "v9")
    assert (result.exit_code, "'v9'" in result.stderr) == (2, True), result.output


def test_into_victoriametrics(full: Influx, victoria: VictoriaMetrics, tmp_path: Path) -> None:
    """By the v2 API, set by hand. It keeps numbers only, so incidents are not asked for."""
    own = configured(tmp_path, full, full)
    site = f"site-{full.database}"  # others write to this server too
    packs = [pack("traffic-0001", n, {f"lane{m}/volume": n + m / 3 for m in (1, 2)}, site=site) for n in range(2000)]
    TargetV1(full).write([each for one in packs for each in pack_lines(one)])
    arguments = ("--from", str(START), "--to", str(START + 60_000), "--site", site, "--kind", "traffic")
    result = own.invoke("backfill", *arguments, "--target", victoria.url, "--api", "v2", "--json")
    assert result.exit_code == 0, result.exception or result.output
    assert json.loads(result.stdout) == {"read": 2000, "written": 2000, "refused": 0}
    found = {
        (each["metric"]["channel"], stamp // 1000): value
        for each in exported(victoria.url, "traffic_volume")
        if each["metric"]["site"] == site
        for stamp, value in zip(each["timestamps"], each["values"], strict=True)
    }
    sent = {(r.channel, r.time): r.value for one in packs for r in one.readings if r.time < START + 60_000}
    assert found == pytest.approx(sent, rel=1e-9)  # as exact as this server keeps numbers


def test_ctrl_c_says_from_where_to_go_on(full: Influx, empty: Influx, tmp_path: Path) -> None:
    """The target accepts connections and never answers, so the end is certain to come in the middle."""
    own = configured(tmp_path, full, empty)
    TargetV1(empty).prepare()
    command = [sys.executable, "-m", "gateway.cli.main", "backfill", "--config", str(own.file)]
    # No time is too long for this range: its end is far beyond the data.
    command += ["--from", str(START), "--to", "2200-01-01", "--target", "spare"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not everything(empty):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    begin = said.strip().rpartition("go on with --from ")[2]
    # Everything before that moment is there, and from there on all the rest comes.
    if datetime.fromisoformat(begin).timestamp() < END:
        result = own.invoke("backfill", "--from", begin, "--to", str(END), "--target", "spare")
        assert result.exit_code == 0, result.exception or result.output
    assert everything(empty) == everything(full)


def test_mirrors_of_the_configuration(tmp_path: Path) -> None:
    """Each has its name; what is wrong is told with its number."""
    start = 'sites = ["a"]\ndata_dir = "data"\n'
    for text, words in (
        ('[[mirror]]\nname = "x"\n[[mirror]]\nname = "x"\n', "'x' is there twice"),
        ('[[mirror]]\nurl = "http://a"\n', r"mirror\[0\]\.name: is missing"),
        ('[[mirror]]\nname = "x"\nulr = "http://a"\n', r"mirror\.ulr: there is no such key; the nearest is"),
        ('[[mirror]]\nname = "x"\nurl = "a"\n', r"mirror\.x\.url: 'a' is not http"),
        ('[[mirror]]\nname = "x"\ntoken_env = "NO_TOKEN"\n', r"mirror\.x\.token_env: .*NO_TOKEN is not set"),
    ):
        file = tmp_path / "ganglion.toml"
        file.write_text(start + text)
        with pytest.raises(ConfigError, match=words):
            load(file, {})


def test_a_source_that_refuses_ends_it_with_the_way_on(tmp_path: Path, influx: InfluxDB, empty: Influx) -> None:
    """A database that is not there."""
    own = configured(tmp_path, Influx(influx.url, "v1", "nowhere"), empty)
    result = own.invoke("backfill", "--from", "2026-11-01", "--to", "2026-11-02", "--target", "spare")
    assert isinstance(result.exception, GanglionError)
    assert "database not found: nowhere" in str(result.exception)
    assert "go on with --from 2026-11-01T00:00:00Z" in str(result.exception)
    assert room.WINDOW == 86_400


def test_metrics_call_a_mirror_by_its_name() -> None:
    """And not by that of its place in the journal."""
    far = {Mirror(name="spare").consumer: Mirrored(waiting=3, refused=0, skipped=0)}
    text = Metrics().render(Figures(Ledger(0, 0, 0, 0, 0, 0), None, 0, 0, 0, 0, {}, mirrors=far)).decode()
    assert 'ganglion_mirror_packs_waiting{mirror="spare"} 3.0' in text
