"""`ganglion config`, `ganglion command` and `ganglion tail` against a real broker, with a stand-in for the node."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from click.testing import Result

from gateway.steer.talk import OPS
from sim_hardware.servers import Mosquitto, free_port
from tests.gateway.commandline import CommandLine, sentence
from tests.gateway.conftest import merged, payload_of
from tests.gateway.standin import StandIn

NODE = "air-0007"
ROOT = f"ganglion/v1/riverside/{NODE}"


class Cli(CommandLine):
    """Beside the test's event loop."""

    async def __call__(self, *arguments: str) -> Result:
        return await asyncio.to_thread(self.invoke, *arguments)

    async def json(self, *arguments: str) -> dict[str, Any]:
        result = await self(*arguments, "--json")
        whole: dict[str, Any] = json.loads(result.stdout)
        return whole

    async def error(self, *arguments: str) -> str:
        """The sentence that the program ends with."""
        return sentence(await self(*arguments))


@pytest.fixture
def cli(broker: Mosquitto, tmp_path: Path) -> Cli:
    return Cli(tmp_path, broker.port)


@pytest.fixture
def node(broker: Mosquitto) -> StandIn:
    return StandIn(broker.port, NODE)


async def kept(broker: Mosquitto, topic: str) -> bytes:
    """What the broker keeps on a topic."""
    async with asyncio.timeout(60), aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.subscribe(topic)
        return bytes((await anext(aiter(client.messages))).payload)


async def test_a_wanted_configuration_is_told_and_answered(cli: Cli, node: StandIn, broker: Mosquitto) -> None:
    """Change by change, on top of what is wanted already."""
    async with node.online():
        first = await cli("config", NODE, "sensors.lanes=4", "ntp=pool.example")
        assert (first.exit_code, first.stderr) == (0, "")
        assert [line.split() for line in first.stdout.splitlines()[1:]] == [
            ["sensors.lanes", "4", "4"],
            ["ntp", '"pool.example"', '"pool.example"'],
        ]
        second = await cli("config", f"riverside/{NODE}", "sensors.loop_m=2.5", "--unset", "ntp", "--site", "riverside")
        assert second.exit_code == 1  # a site twice over is no node's name
        assert (await cli("config", f"riverside/{NODE}", "sensors.loop_m=2.5", "--unset", "ntp")).exit_code == 0
    wanted = {"sensors": {"lanes": 4, "loop_m": 2.5}}
    assert json.loads(await kept(broker, f"{ROOT}/config")) == wanted == node.configs[-1]
    shown = await cli.json("config", NODE, "--show")
    assert shown == {
        "site": "riverside",
        "node": NODE,
        "answered": True,
        "wanted": wanted,
        "taken": wanted,
        "refused": {},
    }


async def test_what_is_refused_is_said_with_its_reason(cli: Cli, node: StandIn) -> None:
    """Exit code 1; what can be taken is taken all the same."""
    async with node.online():
        result = await cli("config", NODE, "window_s=6O", "health_s=300")
        assert result.exit_code == 1
        lines = result.stdout.splitlines()
        assert lines[1].split(maxsplit=3) == ["window_s", '"6O"', "-", "window_s must be a whole number from 1 to 3600"]
        assert lines[2].split() == ["health_s", "300", "300"]
        told = await cli.json("config", NODE, "outbox_kib=64")
        assert (told["taken"], list(told["refused"])) == ({"health_s": 300, "outbox_kib": 64}, ["window_s"])


async def test_a_node_that_is_away_gets_it_when_it_comes(cli: Cli, node: StandIn) -> None:
    """Exit code 3, and the sentence says so. An answer to an earlier configuration is not taken for its own."""
    async with node.online():
        assert (await cli("config", NODE, "health_s=300")).exit_code == 0
    result = await cli("config", NODE, "outbox_kib=64", "--wait", "0.2")
    assert result.exit_code == 3
    assert "keeps what is wanted" in result.stderr
    assert result.stdout.splitlines()[2].split() == ["outbox_kib", "64", "-"]
    node.news.clear()
    async with node.online(), asyncio.timeout(60):
        await node.news.wait()
    assert node.configs[-1] == {"health_s": 300, "outbox_kib": 64}


async def test_a_file_says_what_is_wanted(cli: Cli, node: StandIn, tmp_path: Path) -> None:
    """Together with what the command line adds."""
    file = tmp_path / "wanted.json"
    file.write_text('{"window_s": 30, "calibration": {"version": 2, "pm2_5": {"gain": 1.02}}}')
    async with node.online():
        assert (await cli("config", NODE, "--file", str(file), "calibration.version=3")).exit_code == 0
    assert node.configs[-1] == {"window_s": 30, "calibration": {"version": 3, "pm2_5": {"gain": 1.02}}}
    assert "cannot be read" in await cli.error("config", NODE, "--file", str(tmp_path / "none.json"))
    file.write_text("[]")
    assert "not a JSON object" in await cli.error("config", NODE, "--file", str(file))


async def test_what_makes_no_sense_is_refused_before_it_is_sent(cli: Cli, broker: Mosquitto) -> None:
    """One sentence that says what to do."""
    assert "say what is wanted" in await cli.error("config", NODE)
    assert "--show changes nothing" in await cli.error("config", NODE, "--show", "window_s=3")
    assert "not among what is wanted" in await cli.error("config", NODE, "--unset", "window_s")
    assert "must be one of the gateway's: riverside" in await cli.error("config", "hill/air-0001", "--show")
    assert "names no node" in await cli.error("command", "Air_7", "reboot")
    assert "the nearest is reboot" in await cli.error("command", NODE, "reboo")
    assert "nothing is wanted" in (await cli("config", NODE, "--show")).stdout
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.publish(f"{ROOT}/config", b"[", 1, True)
    assert "cannot be read" in await cli.error("config", NODE, "window_s=3")


async def test_no_broker_is_one_sentence(tmp_path: Path) -> None:
    """For each of the commands that need it."""
    cli = Cli(tmp_path, free_port())
    for arguments in (("config", NODE, "--show"), ("command", NODE, "reboot"), ("tail",)):
        assert "the broker at 127.0.0.1:" in await cli.error(*arguments)


async def test_replies_are_made_readable(cli: Cli, node: StandIn) -> None:
    """Logs line by line, a sample as a table, the time as how far it is off."""
    node.off_ms = -90_000
    async with node.online():
        logs = await cli("command", NODE, "logs")
        assert logs.stdout.splitlines() == [
            "1 node: boot 1",
            "2 mqtt: connected",
            "before its last crash: OSError: 110",
        ]
        sample = await cli("command", NODE, "sample")
        assert [line.split() for line in sample.stdout.splitlines()] == [
            ["quantity", "value", "unit"],
            ["pm2_5", "12.25", "ug/m3"],
            ["voc_index", "9"],
        ]
        told = await cli("command", NODE, "time")
        assert "behind this machine" in told.stdout
        off, vague = (float(each) for each in re.findall(r"([\d.]+) s", told.stdout))
        assert off == pytest.approx(90, abs=2 + vague)
        assert (await cli("command", NODE, "identify")).stdout == "done\n"
        raw = await cli.json("command", NODE, "sample")
        assert (raw["ok"], raw["readings"][0]["v"]) == (True, 12.25)


async def test_arguments_reach_the_node(cli: Cli, node: StandIn) -> None:
    """As JSON, beside an id that only this command has; a refusal is an exit code of its own."""
    async with node.online():
        good = ("quantity=pm2_5", "offset=-1.5", "gain=0.84", "version=3")
        for _ in range(2):
            assert (await cli("command", NODE, "calibrate", *good)).exit_code == 0
        refused = await cli("command", NODE, "calibrate", "quantity=pm2_5")
        assert (refused.exit_code, refused.stderr) == (1, f"riverside/{NODE} refuses: gain is missing\n")
    first, second, _ = node.commands
    assert len({first.pop("id"), second.pop("id")}) == 2
    assert first == second == {"op": "calibrate", "quantity": "pm2_5", "offset": -1.5, "gain": 0.84, "version": 3}


async def test_a_command_to_a_node_that_is_away(cli: Cli, node: StandIn) -> None:
    """Exit code 3; the broker keeps it for the node, but not for ever."""
    never = await cli("command", NODE, "reboot", "--wait", "0.1")
    assert (never.exit_code, "was never heard" in never.stderr) == (3, True)
    async with node.online():
        pass
    away = await cli("command", NODE, "identify", "--wait", "0.1")
    assert (away.exit_code, "is not online" in away.stderr) == (3, True)
    node.news.clear()
    async with node.online(), asyncio.timeout(60):
        await node.news.wait()
    assert [command["op"] for command in node.commands] == ["identify"]


def test_every_op_of_the_firmware_has_its_place() -> None:
    """And no other."""
    source = Path("firmware/node/commands.py").read_text(encoding="utf-8")
    assert sorted(OPS) == sorted(re.findall(r"def _op_(\w+)\(", source))


async def test_tail_shows_the_packs_of_a_message_one_by_one(cli: Cli, broker: Mosquitto) -> None:
    """The bad one of them is told aside; the count counts packs."""
    payloads = [payload_of(seq, bt=1_700_000_000 + 60 * seq) for seq in range(4)]
    payloads[1] = payloads[1].replace(b"12.5", b"-1")
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.publish(f"{ROOT}/telemetry", merged(*payloads), 1, True)
    result = await cli("tail", "--count", "2")
    assert [line.split()[:3] for line in result.stdout.splitlines()] == [
        ["2023-11-14", "22:13:20Z", "riverside/air-0007"],
        ["2023-11-14", "22:15:20Z", "riverside/air-0007"],
    ]
    assert "refused: ganglion/v1/riverside/air-0007/telemetry: value" in result.stderr
