"""All that is kept of one home, given out and deleted, on the real servers and beside the gateway that runs."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from click.testing import Result
from paho.mqtt.publish import single
from typer.testing import CliRunner

from gateway.audit.entry import read
from gateway.audit.log import segments
from gateway.cli.main import make_app
from gateway.config import Influx
from gateway.forward.lines import line
from gateway.forward.target import make_target
from gateway.journal.store import Journal
from gateway.privacy.database import CannotDelete, Database
from gateway.privacy.person import PrivacyError
from sim_hardware.servers import InfluxDB, Mosquitto, VictoriaMetrics, free_port, wait_until
from tests.gateway.conftest import NOW, SENT
from tests.gateway.databases import select
from tests.gateway.influx_standin import ORG, TOKEN, Influx2, Influx3
from tests.gateway.test_privacy_forget import letter, pack
from tests.system.gateway_process import GatewayProcess, Publisher

HOME, OTHER = "water-0001", "water-0002"
SITE = "riverside"
METER = f"{SITE}/{HOME}"


def message(node: str, seq: int, level: str = "telemetry", **values: float | bool) -> tuple[str, bytes]:
    first = {"bn": f"{SITE}/{node}/", "bt": SENT - 600 + 60 * seq, "n": "boot", "v": 1}
    units = {"volume": "l", "flow": "l/h"}
    records: list[dict[str, Any]] = [first, {"n": "seq", "v": seq}]
    for name, value in values.items():
        records.append({"n": name, "vb": value} if value is True else {"n": name, "u": units[name], "v": value})
    return f"ganglion/v1/{SITE}/{node}/{level}", json.dumps(records).encode()


def series(influx: InfluxDB, database: str) -> set[str]:
    rows = select(influx.url, database, "SHOW SERIES")
    return {row["key"] for row in rows}


@pytest.fixture
def databases(influx: InfluxDB, influx_db: str) -> tuple[str, str]:
    """The gateway's, with roll-ups, and a mirror's."""
    arguments = ["influx", "setup", "--url", influx.url, "--database", influx_db]
    assert CliRunner().invoke(make_app(), arguments, env={"GANGLION_CONFIG": ""}).exit_code == 0
    return influx_db, f"{influx_db}mirror"


@pytest.fixture
def gateway(
    tmp_path: Path, broker: Mosquitto, influx: InfluxDB, databases: tuple[str, str]
) -> Iterator[GatewayProcess]:
    more = (
        f'[[mirror]]\nname = "spare"\nurl = "{influx.url}"\napi = "v1"\ndatabase = "{databases[1]}"\nflush_ms = 50\n'
        f'[[notify]]\nname = "duty"\nvia = "ntfy"\nurl = "http://127.0.0.1:{free_port()}"\ntopic = "t"\n'
    )
    with GatewayProcess(tmp_path / "gateway", broker, influx.url, databases[0], more) as process:
        yield process


def passed(gateway: GatewayProcess) -> bool:
    """Whether databases and detectors have all packs of the home."""
    journal = gateway.journal()
    try:
        return journal.about(SITE, HOME).waiting == 0
    finally:
        journal.close()


def command(gateway: GatewayProcess, *arguments: str) -> Result:
    return CliRunner().invoke(make_app(), arguments, env={"GANGLION_CONFIG": str(gateway.config)})  # type: ignore[return-value]


def fill(gateway: GatewayProcess, broker: Mosquitto, influx: InfluxDB, databases: tuple[str, str]) -> None:
    """Ten minutes of a home and of another, an incident, a dead letter, a birth that is retained, a roll-up."""
    birth = json.dumps({"online": True, "kind": "water", "boot": 1, "firmware": "1", "board": "b", "reset_cause": "c"})
    single(f"ganglion/v1/{SITE}/{HOME}/status", birth, 1, retain=True, hostname="127.0.0.1", port=broker.port)
    with Publisher(broker) as publisher:
        for node in (HOME, OTHER):
            publisher.send(message(node, seq, volume=100.0 + seq, flow=60.0) for seq in range(10))
            publisher.send([message(node, 10, "event", tamper=True)])
        publisher.send([(f"ganglion/v1/{SITE}/{HOME}/telemetry", b"{")])
    gateway.wait_for("all to be written", lambda ledger: ledger.written == 22 and ledger.dead_letters == 1)
    for node in (HOME, OTHER):
        # As a gateway of last year wrote it: the journal knows nothing of it any more.
        words = {"id": "1", "summary": f"{HOME}, {HOME}-b and {OTHER}", "severity": "info", "state": "closed"}
        lines = [line("incident", {"site": SITE, "node": node, "kind": "leak"}, words, NOW)]
        make_target(Influx(influx.url, "v1", databases[0])).write(lines)
    rolled = 'SELECT mean(flow) AS flow INTO "1h".water FROM water GROUP BY time(1h), site, node'
    select(influx.url, databases[0], rolled)
    wait_until(
        lambda: {f"incident,kind=tamper,node={HOME},site={SITE}"} <= series(influx, databases[1]), 20, "the incident"
    )

    def told() -> bool:
        found = command(gateway, "privacy", "delete", METER, "--json").stdout.split("\n")[:-1]
        return {"outbox", "broker", "detectors"} <= {json.loads(each)["where"] for each in found}

    wait_until(told, 40, "the message and what detectors have learnt")


def test_all_of_a_home_is_given_out_and_deleted(
    gateway: GatewayProcess, broker: Mosquitto, influx: InfluxDB, databases: tuple[str, str], tmp_path: Path
) -> None:
    fill(gateway, broker, influx, databases)
    before = gateway.ledger()

    output = tmp_path / "home.zip"
    result = command(gateway, "privacy", "export", METER, "--output", str(output))
    assert result.exit_code == 0, result.exception
    with zipfile.ZipFile(output) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        files = {each["file"]: each["rows"] for each in manifest["files"]}
        readings = list(csv.DictReader(io.StringIO(archive.read("influx/autogen/water.csv").decode())))
        letters = json.loads(archive.read("dead-letters.json"))
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert files == {
        "node.json": 1,
        "incidents.json": 1,
        "dead-letters.json": 1,
        "messages.json": 2,
        "influx/autogen/water.csv": 11,
        "influx/autogen/incident.csv": 2,
        "influx/1h/water.csv": files["influx/1h/water.csv"],
    }
    assert [float(row["volume"]) for row in readings if row["volume"]] == [100.0 + seq for seq in range(10)]
    assert {row["node"] for row in readings} == {HOME}
    assert letters[0]["payload"] == "{"
    assert "influx 15m/water" in manifest["not_found"]
    assert any("mirror.spare" in words for words in manifest["not_asked"])
    assert f'"{OTHER}"'.encode() not in everything
    again = command(gateway, "privacy", "export", METER, "--output", str(output))
    assert (again.exit_code, "already" in again.stderr) == (2, True)

    dry = command(gateway, "privacy", "delete", METER)
    assert dry.exit_code == 0, dry.exception
    assert "was heard" in dry.stderr
    assert "ganglion pki revoke" in dry.stderr
    assert "nothing is deleted yet" in dry.stderr
    for words in ("registry of nodes", "dead letters", "what they have learnt", "messages", "mirror.spare", "retained"):
        assert words in dry.stdout
    assert series(influx, databases[0]) > {f"water,node={HOME},site={SITE}"}
    assert gateway.ledger() == before

    done = command(gateway, "privacy", "delete", METER, "--yes")
    assert done.exit_code == 0, (done.stdout, done.stderr, done.exception)
    assert f"nothing is kept of {METER}" in done.stdout
    assert "not reached: backups" in done.stderr
    for database in databases:
        left = series(influx, database)
        assert not any(f"node={HOME}" in each.split(",") for each in left)
        assert {f"water,node={OTHER},site={SITE}", f"incident,kind=tamper,node={OTHER},site={SITE}"} <= left
    (named,) = select(influx.url, databases[0], "SELECT summary FROM incident WHERE kind = 'leak'")
    assert named["summary"] == f"(deleted), {HOME}-b and {OTHER}"
    assert len(select(influx.url, databases[0], f"SELECT flow FROM water WHERE node = '{OTHER}' AND flow > 0")) == 10
    assert gateway.ledger() == before
    assert before.balanced
    acts = [read(each) for path in segments(gateway.folder / "data") for each in path.read_bytes().splitlines()]
    assert [(each.act, each.of) for each in acts if each and each.act.startswith("privacy")] == [
        ("privacy.export", METER),
        ("privacy.delete", METER),
    ]
    # A gateway that is killed and begins anew finds nothing of it in its own memory either.
    gateway.kill()
    gateway.start()
    assert [each["node"] for each in gateway.cli_json("nodes")] == [OTHER]
    # One that goes on sending is there again: that is what the command has warned of.
    with Publisher(broker) as publisher:
        publisher.send([message(HOME, 20, volume=1.0, flow=1.0)])
    gateway.wait_for("the new pack", lambda ledger: ledger.written == 23)
    wait_until(lambda: passed(gateway), 20, "all to have passed the pack")
    assert command(gateway, "privacy", "delete", METER, "--yes").exit_code == 0


def test_nothing_is_deleted_while_packs_are_on_their_way(
    gateway: GatewayProcess, broker: Mosquitto, influx: InfluxDB, databases: tuple[str, str]
) -> None:
    """Else the database would have them after all. Without a gateway the command does the same by itself."""
    with Publisher(broker) as publisher:
        publisher.send([message(HOME, 0, volume=1.0, flow=1.0)])
    gateway.wait_for("the pack to be written", lambda ledger: ledger.written == 1)
    assert gateway.stop() == 0
    journal = Journal.open(gateway.folder / "data", 2**20)
    journal.commit([pack(HOME, 5), letter(f"ganglion/v1/{SITE}/{OTHER}/telemetry", received=1.0)], float(NOW))
    journal.close()
    refused = command(gateway, "privacy", "delete", METER, "--yes")
    assert isinstance(refused.exception, PrivacyError)
    assert "packs of it are on their way" in str(refused.exception)
    assert "start the gateway" in str(refused.exception)
    assert f"water,node={HOME},site={SITE}" in series(influx, databases[0])
    gateway.start()
    wait_until(lambda: passed(gateway), 20, "all to have passed the pack")
    expired = 'ganglion_expired_total{what="letters"}'
    wait_until(lambda: gateway.metric(expired) == 1, 20, "the gateway to delete what is too old")
    assert gateway.stop() == 0
    done = command(gateway, "privacy", "delete", METER, "--yes")
    assert done.exit_code == 0, (done.stdout, done.stderr, done.exception)
    assert not any(f"node={HOME}" in each for each in series(influx, databases[0]))
    assert "is not SITE/NODE" in command(gateway, "privacy", "delete", "water-0001").stderr


def test_what_a_server_cannot_delete_is_said(victoria: VictoriaMetrics) -> None:
    """And how it is done there; what cannot be asked counts as not known, never as nothing."""
    with pytest.raises(CannotDelete, match=r"api/v1/admin/tsdb/delete_series"):
        Database(Influx(victoria.url, "v2"), SITE, HOME).delete()
    with Influx3() as server, pytest.MonkeyPatch.context() as environ:
        environ.setenv("THE_TOKEN", TOKEN)
        with pytest.raises(CannotDelete, match="cannot delete rows"):
            Database(Influx(server.url, database="city", token_env="THE_TOKEN"), SITE, HOME).delete()


def test_2x_is_asked_by_its_own_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the bucket and of each roll-up that there is, over all time; by a stand-in held to its documentation."""
    monkeypatch.setenv("THE_TOKEN", TOKEN)
    monkeypatch.setattr(Database, "_unname", lambda self: None)  # by InfluxQL, which is tested on 1.x
    with Influx2() as server:
        server.buckets = {str(number): {"name": name} for number, name in enumerate(("city", "city/1h"))}
        Database(Influx(server.url, database="city", org=ORG, token_env="THE_TOKEN"), SITE, HOME).delete()
        assert server.deleted == [(bucket, 'site="riverside" AND node="water-0001"') for bucket in ("city", "city/1h")]


def test_a_database_that_is_away_is_no_empty_one(
    gateway: GatewayProcess, influx: InfluxDB, databases: tuple[str, str]
) -> None:
    text = gateway.config.read_text()
    gateway.write_config(text.replace(f'database = "{databases[1]}"', f'database = "{databases[1]}gone"'))
    result = command(gateway, "privacy", "delete", METER, "--yes")
    assert result.exit_code == 1
    assert "not deleted: mirror.spare" in result.stderr
    with urllib3.PoolManager() as pool:
        pool.request("POST", f"{influx.url}/query", fields={"q": f"DROP DATABASE {databases[1]}"})
