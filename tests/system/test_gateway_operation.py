"""Running the gateway: its configuration, its HTTP pages, its command line."""

import json
import re
import subprocess
import sys
import time

import msgspec
import pytest
from typer.testing import CliRunner

from gateway.cli.main import make_app
from sim_hardware.servers import Mosquitto, free_port, wait_until
from tests.system.gateway_process import SECONDS, GatewayProcess, Publisher
from tests.system.test_gateway_promises import message


def test_what_an_operator_sees(gateway: GatewayProcess, broker: Mosquitto) -> None:
    """Metrics, tables and JSON say the same, while the gateway runs and after it has ended."""
    start = int(time.time()) - 600
    with Publisher(broker) as publisher:
        publisher.send([("ganglion/v1/riverside/air-0001/status", b'{"online":true,"kind":"air","firmware":"0.1"}')])
        publisher.send([message(1, seq, time_=start) for seq in (0, 1, 1, 4)])
        publisher.send([("ganglion/v1/riverside/air-0001/telemetry", b"{")])
    gateway.wait_for("all of it", lambda ledger: ledger.received == 5 and ledger.waiting == 0)
    for name, value in {
        "ganglion_packs_received_total": 5,
        "ganglion_packs_written_total": 3,
        "ganglion_packs_duplicate_total": 1,
        "ganglion_packs_dead_letter_total": 1,
        "ganglion_packs_waiting": 0,
        "ganglion_lag_seconds": 0,
        "ganglion_gaps": 2,
        "ganglion_nodes_online": 1,
        "ganglion_ack_seconds_count": 6,
    }.items():
        assert gateway.metric(name) == value, name
    expected = {
        "received": 5,
        "written": 3,
        "waiting": 0,
        "dead_letters": 1,
        "duplicates": 1,
        "gaps": 2,
        "balanced": True,
    }
    assert gateway.cli_json("ledger") == [expected]
    table = gateway.cli("nodes", "--site", "riverside").stdout
    assert "riverside/air-0001" in table
    assert "no node" in gateway.cli("nodes", "--site", "hill").stdout
    assert gateway.cli("incidents", "--open").stdout == "no incident is open\n"
    assert gateway.stop() == 0
    assert gateway.cli_json("ledger") == [expected]
    (letter,) = gateway.cli_json("dead-letters")
    assert (letter["reason"], letter["payload"]) == ("json", "{")
    assert "ganglion/v1/riverside/air-0001/telemetry" in gateway.cli("dead-letters").stdout
    (node,) = gateway.cli_json("nodes")
    assert (node["kind"], node["online"], node["gaps"], node["firmware"]) == ("air", True, 2, "0.1")


def test_a_ledger_that_does_not_balance_is_an_error(gateway: GatewayProcess) -> None:
    """Exit code 1, for scripts that watch."""
    import sqlite3

    assert gateway.stop() == 0
    with sqlite3.connect(gateway.folder / "data" / "journal.sqlite3") as database:
        database.execute("INSERT OR REPLACE INTO counters VALUES ('received', 7)")
    database.close()
    answer = gateway.cli("ledger")
    assert (answer.returncode, "NO" in answer.stdout) == (1, True)


def test_tail_shows_packs_as_they_come(gateway: GatewayProcess, broker: Mosquitto) -> None:
    """Lines and JSON, filtered by node and quantity, ending after a count; what is refused is said aside."""
    start = int(time.time()) - 600
    commands = (["--count", "3", "--quantity", "pm2_5"], ["--count", "1", "--node", "air-0002", "--json"])
    base = [sys.executable, "-m", "gateway.cli.main", "tail", "--config", str(gateway.config)]
    tails = [
        subprocess.Popen([*base, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for options in commands
    ]
    with Publisher(broker) as publisher:
        seq = 0
        while any(each.poll() is None for each in tails):
            assert seq < SECONDS / 0.1, "the tails show nothing"
            publisher.send([message(1, seq, time_=start), message(2, seq, time_=start)])
            publisher.send([("ganglion/v1/riverside/air-0001/telemetry", b"{")])
            seq += 1
            time.sleep(0.1)
    (lines, errors), (as_json, _) = [each.communicate() for each in tails]
    shape = re.compile(r"\S+ \S+  riverside/(air-000[12])  air  pm2_5=1\S+ ug/m3")
    shown = [shape.fullmatch(line) for line in lines.splitlines()]
    assert all(shown), lines
    # A tail may begin between two packs; from there on it leaves none out.
    first, second = "air-0001", "air-0002"
    assert [line and line[1] for line in shown] in ([first, second, first], [second, first, second])
    assert "refused: ganglion/v1/riverside/air-0001/telemetry: json" in errors
    pack = json.loads(as_json)
    assert (pack["node"], pack["readings"][0]["unit"]) == ("air-0002", "ug/m3")


def test_a_changed_configuration_is_taken_or_refused_whole(gateway: GatewayProcess, broker: Mosquitto) -> None:
    """A wrong change leaves everything as it is and says why; a right one needs no restart and keeps the journal."""
    process, text, old_port = gateway.process, gateway.config.read_text(), gateway.port
    start = int(time.time()) - 600
    with Publisher(broker) as publisher:
        publisher.send([message(1, 0, time_=start)])
    gateway.wait_for("the pack", lambda ledger: ledger.written == 1)
    for wrong, reason in (
        (text.replace("[http]", "[htp]"), "there is no such key; the nearest is http"),
        (text.replace('"data"', '"other"'), "cannot change while the gateway runs"),
        (text.replace(f":{old_port}", f":{broker.port}"), "http.listen"),
    ):
        gateway.write_config(wrong)
        wait_until(lambda reason=reason: reason in gateway.log, SECONDS, f"refusal: {reason}")
        wait_until(lambda: gateway.get("/readyz")[0] == 200, SECONDS, "goes on")
    gateway.port = free_port()
    changed = text.replace(f":{old_port}", f":{gateway.port}").replace('["riverside"]', '["riverside", "hill"]')
    gateway.write_config(changed)
    wait_until(lambda: gateway.get("/readyz")[0] == 200, SECONDS, "the new configuration runs")
    with Publisher(broker) as publisher:
        hill = message(1, 0, time_=start)[1].replace(b"riverside/", b"hill/")
        publisher.send([message(1, 1, time_=start), ("ganglion/v1/hill/air-0001/telemetry", hill)])
    ledger = gateway.wait_for("the packs", lambda ledger: ledger.written == 3)
    assert (ledger.received, ledger.gaps) == (3, 0)
    assert gateway.process is process
    assert gateway.stop() == 0
    acts = [each["act"] for each in gateway.cli_json("audit", "show")]
    assert acts == ["gateway.start", "file.taken", *["file.refused"] * 3, "file.taken", "gateway.stop"]
    assert gateway.cli("audit", "verify").stdout.startswith("the chain holds: entries 1 to 7")


def test_a_configuration_that_is_wrong_to_begin_with(gateway: GatewayProcess) -> None:
    """One sentence on standard error and exit code 1; a second gateway on the same journal likewise."""
    answer = gateway.cli("gateway")
    assert answer.returncode == 1
    assert "is in use by another gateway" in answer.stderr
    gateway.config.write_text("sitez = 3")
    answer = gateway.cli("gateway")
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)
    assert "sitez: there is no such key; the nearest is sites" in answer.stderr


def test_a_part_that_cannot_work_ends_the_gateway_with_one_sentence(gateway: GatewayProcess) -> None:
    """A plan of streets that is not there."""
    assert gateway.stop() == 0
    gateway.config.write_text(gateway.config.read_text() + '\n[detect]\nplan = "nowhere.toml"\n')
    answer = gateway.cli("gateway")
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1), answer.stderr
    assert "nowhere.toml cannot be read" in answer.stderr


def test_a_state_of_detectors_that_this_program_does_not_know(gateway: GatewayProcess) -> None:
    """After a return to an older one: they begin anew, and the gateway takes packs."""
    import sqlite3

    assert gateway.stop() == 0
    with sqlite3.connect(gateway.folder / "data" / "journal.sqlite3") as database:
        state = msgspec.msgpack.encode({"version": 99})
        database.execute("INSERT OR REPLACE INTO state VALUES ('detectors', ?)", (state,))
    database.close()
    gateway.start()
    wait_until(lambda: "begin anew" in gateway.log, SECONDS, "word of it")
    assert "version 99" in gateway.log
    assert gateway.stop() == 0


@pytest.mark.parametrize(
    "command",
    ["gateway", "query", "tail", "nodes", "config", "command", "incidents", "ledger", "dead-letters", "demo", "fleet"],
)
def test_every_command_has_help_with_an_example(command: str) -> None:
    """So that nobody needs the manual for the first try."""
    answer = CliRunner().invoke(make_app(), [command, "--help"])
    assert re.search(rf"Examples?:\s+ganglion {command}", answer.stdout)
