"""The gateway and the command line with real nodes: the firmware on its interpreter, chips on its pins."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.records import NodeView
from sim_hardware.fleet.image import build
from sim_hardware.servers import Mosquitto, wait_until
from tests.firmware.board import Board
from tests.firmware.nodes import node_program
from tests.system.gateway_process import SECONDS, GatewayProcess, Publisher
from tests.system.test_modelled import listening

Switch = Callable[[], Board]
PATIENCE = 75.0
"""Seconds to a node's first packs. It has no clock: a question or an answer that a busy machine delays, or loses, is
asked again half a minute later."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def switch_on(tmp_path: Path, image: Path, broker: Mosquitto) -> Switch:
    """Give power to an air station that has neither a time server nor a battery for its clock. Its flash is kept."""
    folder = tmp_path / "node"
    folder.mkdir()
    given = {"kind": "air", "site": "riverside", "node": "air-1", "window_s": 1, "health_s": 60}
    given["mqtt"] = {"host": "127.0.0.1", "port": broker.port}
    (folder / "config.json").write_text(json.dumps(given))
    return lambda: Board(
        f"import sys\nsys.path.insert(0, {str(image)!r})\n" + node_program(folder, "air", begin=None), folder
    )


def view(gateway: GatewayProcess) -> NodeView | None:
    """What the gateway knows of the one node."""
    journal = gateway.journal()
    try:
        return next(iter(journal.nodes()), None)
    finally:
        journal.close()


def test_a_node_without_a_clock_is_told_the_time_and_its_packs_come(gateway: GatewayProcess, switch_on: Switch) -> None:
    """Stamped rightly, also those from before; and the gateway remembers that it is the node's only clock."""
    began = time.time()
    with switch_on():
        gateway.wait_for("packs", lambda ledger: ledger.received >= 3, PATIENCE)
        wait_until(lambda: getattr(view(gateway), "guided", False), SECONDS, "the gateway remembers")
        wait_until(lambda: getattr(view(gateway), "clock", None) is True, SECONDS, "the node knows the time")
        node = view(gateway)
        assert node is not None
        assert began - 1 <= node.time <= time.time() + 1
        told = gateway.cli("command", "air-1", "time").stdout
        off, vague = (float(each) for each in re.findall(r"([\d.]+) s", told))
        assert off < 0.5 + vague, told
    assert gateway.ledger().dead_letters == 0


def test_what_waited_out_an_outage_comes_merged_and_nothing_is_missing(
    gateway: GatewayProcess, switch_on: Switch, broker: Mosquitto
) -> None:
    """A real node's backlog, several packs a message, over the broker's restart and through the whole gateway."""
    # Its session outlasts the broker's restart: it hears what comes before it is back.
    with listening(broker) as ear, switch_on():
        before = gateway.wait_for("packs", lambda ledger: ledger.received >= 3, PATIENCE)
        broker.stop()
        time.sleep(12)  # a pack a second, and with more than eight that wait a node merges them
        broker.start()
        wait_until(lambda: max(p.count(b'"n":"boot"') for _, p in ear.messages) >= 3, 2 * SECONDS, "a merged message")
        backlog = before.received + 12
        ledger = gateway.wait_for("all of it", lambda now: now.received - now.duplicates >= backlog)
    assert (ledger.dead_letters, ledger.gaps, ledger.balanced) == (0, 0, True)


def test_commands_are_carried_out(gateway: GatewayProcess, switch_on: Switch) -> None:
    """By a real node; what it says is made readable."""
    with switch_on():
        gateway.wait_for("packs", lambda ledger: ledger.received >= 2, PATIENCE)
        logs = gateway.cli("command", "air-1", "logs").stdout
        assert "mqtt: connected" in logs
        sample = gateway.cli("command", "riverside/air-1", "sample").stdout
        assert sample.splitlines()[0].split() == ["quantity", "value", "unit"]
        assert "Pa" in sample
        assert gateway.cli("command", "air-1", "identify").stdout == "done\n"
        correct = ("calibrate", "quantity=temperature", "offset=5", "gain=1", "version=1")
        assert gateway.cli("command", "air-1", *correct).returncode == 0
        refused = gateway.cli("command", "air-1", "calibrate", "quantity=lanes", "offset=5", "gain=1", "version=1")
        assert (refused.returncode, "refuses: " in refused.stderr) == (1, True)


def test_a_wanted_configuration_is_taken_over_a_restart(gateway: GatewayProcess, switch_on: Switch) -> None:
    """What can be taken is; what cannot is told with its reason, and the old holds."""
    with switch_on():
        gateway.wait_for("packs", lambda ledger: ledger.received >= 2, PATIENCE)
        answer = gateway.cli("config", "air-1", "health_s=120", "window_s=0", "wifi.ssid=x")
        assert answer.returncode == 1, answer
        whys = {line.split()[0]: line for line in answer.stdout.splitlines()[1:]}
        assert "whole number from 1 to 3600" in whys["window_s"]
        assert "known from afar are" in whys["wifi.ssid"]
    answer = gateway.cli("config", "air-1", "--unset", "window_s", "--unset", "wifi", "--wait", "0.1")
    assert answer.returncode == 3
    assert "the broker keeps what is wanted" in answer.stderr
    with switch_on():
        wait_until(lambda: gateway.cli_json("config", "air-1", "--show")[0]["refused"] == {}, SECONDS, "an answer")
        (shown,) = gateway.cli_json("config", "air-1", "--show")
        assert shown["taken"] == shown["wanted"] == {"health_s": 120}


def test_trouble_stands_out_among_the_nodes(gateway: GatewayProcess, broker: Mosquitto) -> None:
    """A node in safe mode and one without the time, in the table, as JSON and in the metrics."""
    births = {"air-0001": {"clock": True, "safe": "3 crashes, the last while: send"}, "air-0002": {"clock": False}}
    with Publisher(broker) as publisher:
        for name, more in births.items():
            birth = {"online": True, "kind": "air", "boot": 1, **more}
            publisher.send([(f"ganglion/v1/riverside/{name}/status", json.dumps(birth).encode())])
    wait_until(lambda: len(gateway.cli_json("nodes")) == 2, SECONDS, "both nodes")
    assert gateway.metric("ganglion_nodes_safe_mode") == gateway.metric("ganglion_nodes_without_time") == 1
    lines = gateway.cli("nodes").stdout.splitlines()
    assert "SAFE MODE: 3 crashes, the last while: send" in lines[1]
    assert "NO TIME" in lines[2]
    assert [(node["safe"], node["clock"], node["guided"]) for node in gateway.cli_json("nodes")] == [
        ("3 crashes, the last while: send", True, False),
        ("", False, False),
    ]
