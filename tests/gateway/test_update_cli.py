"""`ganglion update` from the key to the nodes' answers, on a real broker."""

import asyncio
import json
from pathlib import Path

import aiomqtt
import msgspec
import pytest
from click.testing import Result

from gateway.journal.store import Journal
from gateway.records import Status
from gateway.update import keys
from gateway.update.package import Manifest, Package
from sim_hardware.servers import Mosquitto
from tests.firmware.packages import key, other_key
from tests.firmware.peers import Subscriber
from tests.gateway.commandline import CommandLine, sentence

ROOT = "ganglion/v1/riverside"


class Cli(CommandLine):
    """`ganglion update`; an argument that begins with @ is a file in the folder."""

    def run(self, *arguments: str) -> Result:
        arguments = tuple(str(self.folder / each[1:]) if each.startswith("@") else each for each in arguments)
        return self.invoke("update", *arguments, SECRET="a passphrase")

    def __call__(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    def error(self, *arguments: str) -> str:
        """The sentence that the program ends with, with exit code 1."""
        return sentence(self.run(*arguments))


@pytest.fixture
def cli(tmp_path: Path, broker: Mosquitto) -> Cli:
    return Cli(tmp_path, broker.port)


@pytest.fixture
def signed(tmp_path: Path) -> Package:
    package = Package.make({"main.mpy": b"M\x06\x00\x1f"}, "1.2.3", ("esp32-devkit", "esp32-c3"))
    package.save(tmp_path / "unsigned.update")
    signed = keys.sign(package, key())
    signed.save(tmp_path / "x.update")
    return signed


def heard_of(folder: Path, **boards: str) -> None:
    """Nodes that the gateway has heard of, by the name of their board."""
    journal = Journal.open(folder / "data", 2**20)
    journal.commit([], 1.0, [("riverside", node, Status(True, "air", board=board)) for node, board in boards.items()])
    journal.close()


def offers(port: int) -> dict[str, bytes]:
    """What the broker keeps for nodes."""
    found = {}
    with Subscriber(port) as subscriber:
        subscriber.publish("test/end", b"")
        while (heard := subscriber.next()).topic != "test/end":
            if heard.retain and heard.topic.endswith("/update"):
                found[heard.topic.split("/")[3]] = heard.payload
    return found


def test_from_the_source_to_a_signed_package(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "firmware/node").mkdir(parents=True)
    (tmp_path / "firmware/main.py").write_text("def main():\n    pass\n")
    (tmp_path / "firmware/node/version.py").write_text('VERSION = "1.2.3"\n')
    cli("keygen", "@k.pem", "--public", "@update.key", "--passphrase-env", "SECRET")
    source = ("--source", "@firmware", "--board", "esp32-devkit")
    assert "version 1.2.3" in cli("pack", *source, "-o", "@x.update")
    cli("pack", *source, "-o", "@same.update")
    assert (tmp_path / "same.update").read_bytes() == (tmp_path / "x.update").read_bytes()
    assert "passphrase" in cli.error("sign", "@x.update", "--key", "@k.pem").lower()
    cli("sign", "@x.update", "--key", "@k.pem", "--passphrase-env", "SECRET")
    assert keys.is_signed(Package.load(tmp_path / "x.update").manifest, keys.load_public(tmp_path / "update.key"))
    assert "exists" in cli.error("keygen", "@k2.pem", "--public", "@update.key")
    assert not (tmp_path / "k2.pem").exists()


def test_a_package_is_offered_to_one_node_and_taken_back(cli: Cli, signed: Package, broker: Mosquitto) -> None:
    assert "offered to 1 node of riverside" in cli("publish", "@x.update", "--node", "air-1")
    found = offers(broker.port)
    assert list(found) == ["air-1"]
    assert len(found["air-1"]) < 4096
    assert msgspec.json.decode(found["air-1"], type=Manifest) == signed.manifest
    stored = cli.folder / "data/updates" / f"{signed.manifest.sha256}.update"
    assert Package.load(stored) == signed
    with Subscriber(broker.port, f"{ROOT}/+/update") as node:
        node.next()
        cli("withdraw", "--node", "air-1")
        assert [node.next().payload for _ in range(2)] == [b"{}", b""], "first one that a node is shown"
    assert offers(broker.port) == {}
    assert "nothing is offered to air-1" in cli.error("withdraw", "--node", "air-1")


def test_all_nodes_of_a_site_whose_board_fits_are_offered_it(cli: Cli, signed: Package, broker: Mosquitto) -> None:
    heard_of(cli.folder, air1="esp32-devkit", air2="esp32-c3", air3="esp32-s3", air4="")
    said = cli("publish", "@x.update", "--all")
    assert "offered to 2 nodes" in said
    assert "riverside/air3 is left out: its board is esp32-s3" in said
    assert "riverside/air4 is left out: its board is not known" in said
    assert set(offers(broker.port)) == {"air1", "air2"}
    cli("withdraw", "--all")
    assert offers(broker.port) == {}


def test_what_nodes_would_refuse_is_not_published(cli: Cli, signed: Package, broker: Mosquitto) -> None:
    keys.save_public(other_key().public_key(), cli.folder / "other.key")
    keys.save_public(key().public_key(), cli.folder / "update.key")
    assert "is not signed" in cli.error("publish", "@unsigned.update", "--node", "air-1")
    assert "was not signed by the anchor" in cli.error(
        "publish", "@x.update", "--node", "air-1", "--public", "@other.key"
    )
    assert "no package" in cli.error("publish", "@ganglion.toml", "--node", "air-1")
    assert "--node NAME, or --all" in cli.error("publish", "@x.update")
    assert "--node NAME, or --all" in cli.error("publish", "@x.update", "--node", "a", "--all")
    assert "a node is named" in cli.error("publish", "@x.update", "--node", "a/+")
    assert "one of the gateway's: riverside" in cli.error("publish", "@x.update", "--node", "a", "--site", "uptown")
    heard_of(cli.folder, air3="esp32-s3")
    assert "no node with esp32-devkit or esp32-c3 was heard of" in cli.error("publish", "@x.update", "--all")
    assert offers(broker.port) == {}
    cli("publish", "@x.update", "--node", "air-1", "--public", "@update.key")


def test_with_several_sites_one_must_be_named(tmp_path: Path, broker: Mosquitto, signed: Package) -> None:
    cli = Cli(tmp_path, broker.port, '"riverside", "uptown"')
    assert "--site must be one of" in cli.error("publish", "@x.update", "--node", "air-1")
    cli("publish", "@x.update", "--node", "air-1", "--site", "uptown")


def test_a_broker_that_is_not_there_is_named(tmp_path: Path, signed: Package) -> None:
    cli = Cli(tmp_path, 1)
    assert "127.0.0.1:1" in cli.error("publish", "@x.update", "--node", "air-1")


async def test_what_nodes_report_is_shown(cli: Cli, signed: Package, broker: Mosquitto) -> None:
    said = {
        "air-1/status": {"online": True, "kind": "air", "firmware": "1.2.2"},
        "air-1/update/reported": {"version": "1.2.3", "state": "rolled_back", "reason": "ValueError('x',)"},
        "air-2/status": {"online": False},
        "air-2/update/reported": {"version": "1.2.3", "state": "kept", "reason": ""},
        "air-3/status": {"online": True, "kind": "air", "firmware": "1.0.0"},
        "air-4/update/reported": "nonsense",
    }
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        for topic, content in said.items():
            await client.publish(f"{ROOT}/{topic}", json.dumps(content), qos=1, retain=True)
    await asyncio.to_thread(cli, "publish", "@x.update", "--node", "air-1")
    lines = (await asyncio.to_thread(cli, "status", "--json")).splitlines()
    first, second = (json.loads(line) for line in lines)
    assert first == {
        "site": "riverside",
        "node": "air-1",
        "online": True,
        "firmware": "1.2.2",
        "wanted": "1.2.3",
        "version": "1.2.3",
        "state": "rolled_back",
        "reason": "ValueError('x',)",
    }
    assert (second["node"], second["online"], second["wanted"], second["state"]) == ("air-2", False, "", "kept")
    assert "rolled_back" in await asyncio.to_thread(cli, "status")
    assert "no node is offered" in await asyncio.to_thread(cli, "status", "--site", "uptown")
