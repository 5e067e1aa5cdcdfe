"""`ganglion doctor`: files, journal, nodes, the running gateway, and how the checks are asked."""

import json
import os
import random
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from paho.mqtt import publish
from paho.mqtt.client import MQTTv5
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.doctor.finding import ok
from gateway.doctor.installation import file_system, room
from gateway.doctor.journal import CURES
from gateway.doctor.table import CHECKS, Check, examine
from gateway.ingest.decode import REASONS
from gateway.records import DeadLetter, Status
from sim_hardware.servers import InfluxDB, Mosquitto, free_port, wait_until
from tests.gateway.conftest import make_pack, payload_of
from tests.gateway.faulty import Installation
from tests.system.gateway_process import NOBODY, SECONDS, GatewayProcess, Publisher

TOPIC = "ganglion/v1/riverside/air-0007/telemetry"
NOBODY_USER = 65_534


def cli(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(make_app(), ["doctor", "--config", str(file), *arguments])  # type: ignore[return-value]


def test_a_sound_installation(tmp_path: Path, broker: Mosquitto, influx: InfluxDB, influx_db: str) -> None:
    """All is well but what is the machine's own; nobody is disturbed, nothing changes."""
    with GatewayProcess(tmp_path, broker, influx.url, influx_db) as gateway:
        with Publisher(broker) as publisher:
            publisher.send([(TOPIC, payload_of(seq)) for seq in range(5)])
        before = gateway.wait_for("writing", lambda ledger: ledger.written == 5)
        result = cli(gateway.config, "--json", "--write")
        said = [json.loads(line) for line in result.stdout.splitlines()]
        assert result.exit_code == 0, result.output
        assert {each["check"] for each in said} == {check.name for check in CHECKS}
        bad = {each["check"]: each["seen"] for each in said if each["level"] in ("warning", "fault")}
        assert bad.keys() <= {"time service", "weak rights"}, bad  # tests may run as root
        assert all(each.keys() == {"check", "level", "seen", "cure"} for each in said)
        assert gateway.ledger() == before
        assert "lost" not in gateway.log
        table = cli(gateway.config).stdout
        assert "a gateway runs (process" in table
        assert "0 faults" in table


def test_without_the_network(tmp_path: Path) -> None:
    """Nobody is asked; the rest is."""
    own = Installation(tmp_path, mqtt={"port": NOBODY})
    result = cli(own.file, "--offline", "--json")
    said = {each["check"]: each for each in map(json.loads, result.stdout.splitlines())}
    assert result.exit_code == 0, result.output
    assert all(said[check.name]["seen"] == "--offline is given" for check in CHECKS if check.network)
    assert said["data_dir"]["level"] == "ok" or "not there yet" in said["data_dir"]["seen"]
    assert cli(own.file, "--ofline").exit_code == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("sites = [", "is not TOML"),
        ('sites = ["a"]\ndata_dir = "d"\n[mqtt]\nhots = "x"\n', "mqtt.hots: there is no such key; the nearest"),
        ('sites = ["a"]\n', "data_dir"),
    ],
)
def test_a_configuration_that_is_none(tmp_path: Path, text: str | None, says: str) -> None:
    own = Installation(tmp_path)
    if text is None:
        own.file.unlink()
    else:
        own.file.write_text(text)
    result = cli(own.file)
    assert result.exit_code == 1
    level, words = own.says("configuration")
    assert (level, says in words.replace(" -> ", "; ")) == ("fault", True), words
    assert own.says("journal") == ("not asked", "`configuration` has a fault -> ")


def test_a_secret_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Installation(tmp_path, mqtt={"username": "gateway", "password_env": "PASSWORD"})
    monkeypatch.setenv("PASSWORD", "x")
    assert own.says("broker password")[0] == "ok"
    monkeypatch.setenv("PASSWORD", "")
    assert "is set, but empty" in own.says("broker password")[1]
    monkeypatch.delenv("PASSWORD")
    level, words = own.says("broker password")
    assert (level, "PASSWORD, which is not set" in words) == ("fault", True), words
    assert own.says("broker login")[0] == "not asked"


@pytest.fixture
def as_nobody(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Does something as a user who is not root."""

    def do(what: Callable[[], None]) -> None:
        root = os.geteuid() == 0
        if root:
            os.seteuid(NOBODY_USER)
        try:
            what()
        finally:
            if root:
                os.seteuid(0)

    return do


def test_a_folder_that_may_not_be_written(as_nobody: Callable[[Callable[[], None]], None]) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        own = Installation(Path(place))
        own.data.mkdir(mode=0o555)

        def look() -> None:
            level, words = own.says("data_dir")
            assert (level, "cannot be written by" in words) == ("fault", True), words

        as_nobody(look)
        own.data.chmod(0o777)
        as_nobody(lambda: _sound(own, "data_dir"))


def _sound(own: Installation, check: str) -> None:
    assert own.says(check)[0] == "ok", own.doctor(check)


def test_data_dir(tmp_path: Path) -> None:
    """Missing, a file, with files of another user, in memory, on a disk with too little room."""
    own = Installation(tmp_path)
    assert "is not there yet" in own.says("data_dir")[1]
    own.journal().close()
    _sound(own, "data_dir")
    own.write(journal={"max_bytes": 2**60})
    level, words = own.says("data_dir")
    assert (level, "but the journal may still grow by" in words) == ("warning", True), words
    own.write()
    if os.geteuid() == 0:
        os.chown(own.data / "journal.lock", NOBODY_USER, -1)
        level, words = own.says("data_dir")
        assert (level, "chown -R" in words) == ("fault", True), words
    own.write(data_dir="ganglion.toml")
    assert "is no folder" in own.says("data_dir")[1]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        own.write(data_dir=memory)
        level, words = own.says("data_dir")
        assert (level, "RAM disk (tmpfs)" in words) == ("fault", True), words


def test_file_systems_and_their_room() -> None:
    """The mount that is nearest decides, also with a space in its name."""
    mounts = (
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:5 / /srv/a\\040b rw shared:1 - nfs4 box:/x rw\n"
        "3 1 0:6 / /srv/a\\040b/c rw - tmpfs tmpfs rw\n"
    )
    assert [file_system(Path(place), mounts) for place in ("/srv", "/srv/a b/d", "/srv/a b/c", "/srv/a bc")] == [
        "ext4",
        "nfs4",
        "tmpfs",
        "ext4",
    ]
    mib = 2**20
    for free, level in ((10 * mib, "fault"), (100 * mib, "warning"), (250 * mib, "ok")):
        assert room(Path("/x"), free, 300 * mib, 100 * mib).level == level


def test_journal(tmp_path: Path) -> None:
    """Sound; nearly full and full; of another version; damaged; and not balanced."""
    own = Installation(tmp_path, journal={"max_bytes": 2**20})
    assert own.says("journal")[0] == "not asked"
    journal = own.journal()
    journal.commit([make_pack(seq) for seq in range(2000)], time.time())
    bytes_ = journal.figures().bytes
    journal.close()
    for check in ("journal", "ledger"):
        _sound(own, check)
    for max_bytes, level, says in ((bytes_ * 10 // 9, "warning", "90%"), (bytes_, "fault", "it is full")):
        own.write(journal={"max_bytes": max_bytes})
        found, words = own.says("journal")
        assert (found, says in words) == (level, True), words
    own.write()
    file = own.data / "journal.sqlite3"
    with sqlite3.connect(file) as db:
        db.execute("UPDATE counters SET value = value + 3 WHERE name = 'received'")
    db.close()
    level, words = own.says("ledger")
    assert (level, "+3 of 2003" in words) == ("fault", True), words
    good = file.read_bytes()
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    level, words = own.says("journal")
    assert (level, "version 99" in words) == ("fault", True), words
    half = len(good) // 2
    file.write_bytes(good[:half] + random.Random(1).randbytes(20_000) + good[half + 20_000 :])
    level, words = own.says("journal")
    assert (level, "damaged" in words) == ("fault", True), words
    file.write_bytes(b"no database at all " * 1000)
    assert own.says("journal")[0] == "fault"
    assert own.says("ledger") == ("not asked", "`journal` has a fault -> ")


def test_every_reason_has_a_cure(tmp_path: Path) -> None:
    """And those of a day are told."""
    assert CURES.keys() == REASONS.keys()
    own = Installation(tmp_path)
    journal = own.journal()
    old = DeadLetter(TOPIC, b"{", "json", "because", time.time() - 100_000)
    journal.commit([old], time.time())
    _sound(own, "dead letters")
    new = [DeadLetter(TOPIC, b"{", reason, "because", time.time()) for reason in REASONS]
    journal.commit(new, time.time())
    journal.close()
    said = own.doctor("dead letters")
    assert {each.cure for each in said} == set(CURES.values())
    assert all(each.level == "warning" for each in said)


def test_nodes(tmp_path: Path) -> None:
    """Each trouble with the node that has it; a node in order is in none."""
    own = Installation(tmp_path)
    journal = own.journal()
    assert "no node was heard of yet" in own.says("nodes")[1]
    now = time.time()
    born = Status(True, "air", 1, clock=True)
    journal.commit([make_pack(0, "air-0001")], now, [("riverside", "air-0001", born)])
    _sound(own, "nodes")
    journal.commit([], now - 90_000, [("riverside", "air-0002", born)])
    journal.commit([], now, [("riverside", "air-0003", Status(True, "air", 1, clock=True, safe="config.json"))])
    journal.commit([], now, [("riverside", "air-0004", Status(True, "air", 1, clock=False))])
    journal.commit([make_pack(seq, "air-0005") for seq in range(0, 100, 2)], now)
    journal.close()
    said = [each.seen for each in own.doctor("nodes")]
    assert said == [
        "1 of 5 nodes say nothing although online: riverside/air-0002 (25 h)",
        "1 of 5 nodes in safe mode: riverside/air-0003 (config.json)",
        "1 of 5 nodes without the time, so their packs wait: riverside/air-0004",
        "1 of 5 nodes with many gaps: riverside/air-0005 (49)",
    ]


def test_births(tmp_path: Path, broker: Mosquitto) -> None:
    """None where nodes were heard of; one board; and a second one with the same name."""
    own = Installation(tmp_path, mqtt={"host": "127.0.0.1", "port": broker.port})
    journal = own.journal()
    journal.commit([make_pack(0, boot=7)], time.time(), [("riverside", "air-0007", Status(True, "air", 7))])
    journal.close()
    level, words = own.says("births")
    assert (level, "gives no birth of any of 1 nodes" in words) == ("warning", True), words
    for boot, level in ((7, "ok"), (8, "ok"), (2, "warning")):
        retain_birth(broker, boot)
        assert own.says("births")[0] == level, boot
    assert "two boards" in own.says("births")[1]


def test_births_that_may_not_be_read(tmp_path: Path) -> None:
    """Mosquitto grants the subscription and sends nothing."""
    rules = tmp_path / "acl"
    for rights, level in (("readwrite", "ok"), ("write", "warning")):
        rules.write_text(f"topic {rights} ganglion/v1/#\n")
        with Mosquitto(tmp_path / rights, settings=f"allow_anonymous true\nacl_file {rules}") as broker:
            own = Installation(tmp_path / "gateway", mqtt={"host": "127.0.0.1", "port": broker.port})
            if not own.data.exists():
                journal = own.journal()
                journal.commit([], time.time(), [("riverside", "air-0007", Status(True, "air", 7))])
                journal.close()
            retain_birth(broker, 7)
            assert own.says("broker rights")[0] == "ok"
            assert own.says("births")[0] == level, rights


def retain_birth(broker: Mosquitto, boot: int) -> None:
    birth = json.dumps({"online": True, "kind": "air", "boot": boot})
    single = {"hostname": "127.0.0.1", "port": broker.port, "protocol": MQTTv5}
    publish.single("ganglion/v1/riverside/air-0007/status", birth, 1, retain=True, **single)


def test_clocks(tmp_path: Path) -> None:
    """Set back since the last pack; or behind those of all nodes."""
    own = Installation(tmp_path)
    journal = own.journal()
    now = time.time()
    journal.commit([make_pack(0, f"air-000{n}", time=int(now)) for n in range(4)], now)
    _sound(own, "clock")
    level, words = own.says("clock", own.context(clock=lambda: now - 4000))
    assert (level, "was set back" in words) == ("fault", True), words
    journal.commit([make_pack(1, f"air-000{n}", time=int(now) + 99) for n in range(4)], now)
    journal.close()
    level, words = own.says("clock")
    assert (level, "the nodes' clocks are" in words) == ("warning", True), words
    assert own.says("time service")[0] in ("ok", "warning", "not asked")


def test_no_gateway(tmp_path: Path) -> None:
    """Never started; and not running any more, with packs in the journal."""
    own = Installation(tmp_path, http={"listen": f"127.0.0.1:{NOBODY}"})
    assert own.says("gateway")[0] == "warning"
    journal = own.journal()
    _sound(own, "gateway")  # this process is one
    journal.commit([make_pack(0)], time.time())
    journal.close()
    level, words = own.says("gateway")
    assert (level, "no gateway runs, though" in words) == ("fault", True), words
    assert "no gateway runs" in own.says("backlog")[1]
    assert own.says("readiness")[0] == "not asked"
    _sound(own, "http")


def test_http_listen(tmp_path: Path, influx: InfluxDB) -> None:
    """Taken by another program, with and without HTTP; open to all; of another machine."""
    own = Installation(tmp_path, http={"listen": f"127.0.0.1:{influx.port}"})
    assert "taken by another program" in own.says("http")[1]
    with socket.create_server(("127.0.0.1", 0)) as other:
        own.write(http={"listen": f"127.0.0.1:{other.getsockname()[1]}"})
        assert own.says("http")[0] == "fault"
    own.write(http={"listen": f"0.0.0.0:{NOBODY}"})
    level, words = own.says("http")
    assert (level, "open to everybody" in words) == ("warning", True), words
    own.write(http={"listen": f"192.0.2.1:{NOBODY}"})
    level, words = own.says("http")
    assert (level, "no address of this machine" in words) == ("fault", True), words


def test_two_gateways(tmp_path: Path, broker: Mosquitto, influx: InfluxDB, influx_db: str) -> None:
    """With one session at the broker, each with a journal of its own; and one journal with two configurations."""
    first = GatewayProcess(tmp_path / "a", broker, influx.url, influx_db)
    second = GatewayProcess(tmp_path / "b", broker, influx.url, influx_db)
    own = Installation(tmp_path / "c")
    with first:
        own.file.write_text(first.config.read_text().replace(f":{first.port}", f":{second.port}"))
        own.file.write_text(own.file.read_text().replace('"data"', f'"{first.folder}/data"'))
        level, words = own.says("gateway")
        assert (level, f"another configuration, {first.config}" in words) == ("fault", True), words
        own.file = first.config
        _sound(own, "readiness")
        try:
            second.start(ready=False)
            wait_until(lambda: first.log.count("is lost") >= 2, SECONDS, "the fight")
            wait_until(
                lambda: "the session ganglion-gateway-riverside" in own.says("readiness")[1], SECONDS, "its word"
            )
            assert own.says("broker login")[0] == "ok"
        finally:
            second.kill()


def test_a_database_that_is_away(tmp_path: Path, broker: Mosquitto) -> None:
    """Of a running gateway: what waits, and its own words."""
    gateway = GatewayProcess(tmp_path, broker, f"http://127.0.0.1:{NOBODY}", "d")
    try:
        gateway.start(ready=False)
        wait_until(lambda: gateway.get("/healthz")[0] == 200, SECONDS, "the gateway")
        own = Installation(tmp_path / "unused")
        own.file = gateway.config
        wait_until(lambda: "subscribed" not in gateway.get("/readyz")[1], SECONDS, "an answer")
        wait_until(lambda: '"broker":"ready"' in gateway.get("/readyz")[1], SECONDS, "the broker")
        with Publisher(broker) as publisher:
            publisher.send([(TOPIC, payload_of(seq)) for seq in range(5)])
        gateway.wait_for("packs", lambda ledger: ledger.waiting == 5)
        assert own.says("backlog")[0] == "ok", "it has only begun"
        level, words = own.says("backlog", own.context(clock=lambda: time.time() + 120))
        assert (level, "5 packs wait" in words, "0 were written" in words) == ("fault", True, True), words
        level, words = own.says("readiness")
        assert (level, "the gateway's database: " in words, "-> start it" in words) == ("fault", True, True), words
    finally:
        gateway.kill()


def test_a_check_that_hangs(tmp_path: Path) -> None:
    """Is not waited for, nor what needs it asked; what does not need it is."""
    never = threading.Event()

    def hang(_: object) -> list[object]:
        never.wait()
        return []

    checks = (
        Check("hangs", hang, seconds=0.2),  # type: ignore[arg-type]
        Check("after", lambda _: [ok("asked")], ("hangs",)),
        Check("beside", lambda _: [ok("asked")]),
    )
    said = examine(Installation(tmp_path).context(), checks)
    never.set()
    assert [(each.check, each.level) for each in said] == [("hangs", "fault"), ("after", "not asked"), ("beside", "ok")]


def test_servers_that_say_nothing(tmp_path: Path) -> None:
    """Whoever connects is let in, and never answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        port = silent.getsockname()[1]
        influx = {"url": f"http://127.0.0.1:{port}"}
        own = Installation(tmp_path, mqtt={"host": "127.0.0.1", "port": port}, influx=influx)
        level, words = own.says("broker login")
        assert (level, "no CONNACK" in words) == ("fault", True), words
        level, words = own.says("database")
        assert (level, "no answer in time" in words) == ("fault", True), words


def test_the_table_of_checks() -> None:
    """Each is asked after those that it needs, which are in the table."""
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    for number, check in enumerate(CHECKS):
        assert set(check.needs) <= set(names[:number]), check.name


def test_the_pages(tmp_path: Path) -> None:
    """Who may see them, whether they are there, and that nobody may act yet; nothing is made by looking."""
    port = free_port()
    own = Installation(tmp_path, console={"listen": f"0.0.0.0:{port}", "read": "anyone"})
    (tmp_path / "data").mkdir(exist_ok=True)
    said = [line for line in cli(own.file, "--json").stdout.splitlines() if json.loads(line)["check"] == "pages"]
    words = " ".join(json.loads(line)["seen"] for line in said)
    assert "is free" in words
    assert "also of single homes" in words
    assert "there is no [citizens]" in words
    with socket.create_server(("127.0.0.1", port)):
        assert f"console answers at 0.0.0.0:{port}" in cli(own.file, "--json").stdout
    assert not list(tmp_path.rglob("users.sqlite3"))
