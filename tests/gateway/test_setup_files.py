"""The files that an installation is made of, held against the code and against the programs that read them."""

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from gateway.config import Citizens, Config, Console, Detect, Http, Influx, JournalSettings, Mqtt, North, load
from gateway.notify.settings import Email, Notify
from gateway.pki.authority import Authority
from sim_hardware.servers import Mosquitto, free_port, wait_until
from tests.test_docs import DOCS, blocks

SETUP = Path(__file__).resolve().parents[2] / "gateway" / "setup"
CONTAINERS = SETUP / "containers"
UNIT = SETUP / "ganglion-gateway.service"
SECONDS = 30.0


def test_the_configuration_can_be_used_as_it_is(tmp_path: Path) -> None:
    """And names every key there is, with its default."""
    text = (SETUP / "ganglion.toml").read_text()
    path = tmp_path / "ganglion.toml"
    path.write_text(text)
    config = load(path)
    assert config == Config(sites=("riverside",), data_dir="/var/lib/ganglion", console=Console())
    said = tomllib.loads(re.sub(r"^#(\w+ = |\[)", r"\1", text, flags=re.MULTILINE))
    assert said.pop("mirror") == [{"name": "archive", "url": "https://archive.example:8086"}]
    assert said.pop("signing") == {"cert": "signing/cert.pem", "key": "signing/key.pem"}
    (duty,) = said.pop("notify")
    assert isinstance(msgspec.convert(duty, Notify), Email)
    tables = {"mqtt": Mqtt(), "influx": Influx(), "journal": JournalSettings(), "detect": Detect(), "http": Http()}
    tables |= {"console": Console(), "citizens": Citizens(), "north": North()}
    assert said == {
        "sites": ["riverside"],
        "data_dir": "/var/lib/ganglion",
        "timezone": "UTC",
        "exercise": False,
        **{name: msgspec.to_builtins(table) for name, table in tables.items()},
    }
    assert {*said, "mirror", "notify", "signing"} == {field.name for field in msgspec.structs.fields(Config)}


def test_the_service_is_shut_in(tmp_path: Path) -> None:
    """As systemd itself counts it: 0 is nothing open, 10 everything; and it understands every line."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/bin/ganglion", shutil.which("true") or ""))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", UNIT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CONTAINERS / "compose.yaml").read_text())
    return found


def test_the_containers_have_what_they_name() -> None:
    """Files, volumes and variables; secrets stand nowhere; nobody is root or may write but to volumes."""
    text = (CONTAINERS / "compose.yaml").read_text()
    made_by_hand = {"./pki"}
    for service in compose()["services"].values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in made_by_hand or source in compose()["volumes"] or (CONTAINERS / source).exists(), volume
    example = (CONTAINERS / "env.example").read_text()
    assert set(re.findall(r"\$\{(\w+)", text)) == set(re.findall(r"^(\w+)=$", example, re.MULTILINE))
    services = compose()["services"]
    config = load(CONTAINERS / "ganglion.toml", services["gateway"]["environment"])
    assert (config.mqtt.host in services, config.influx.url) == (True, "http://influxdb:8086")
    assert config.influx.org == services["influxdb"]["environment"]["DOCKER_INFLUXDB_INIT_ORG"]
    assert config.influx.database == services["influxdb"]["environment"]["DOCKER_INFLUXDB_INIT_BUCKET"]
    containerfile = (CONTAINERS / "Containerfile").read_text()
    assert re.search(r"^USER 990:990$", containerfile, re.MULTILINE)
    assert all("user" in service for name, service in services.items() if name != "gateway")


class ContainersBroker(Mosquitto):
    """The real one with the file's own lines, but for its places and ports."""

    def arguments(self) -> list[str]:
        text = (CONTAINERS / "mosquitto.conf").read_text()
        for old, new in {
            "listener 8883": f"listener {self._more_ports[0]} 127.0.0.1",
            "listener 1883": f"listener {self.port} 127.0.0.1",
            "/mosquitto/data/": "./",
            "/mosquitto/config/acl": f"{CONTAINERS}/acl",
            "/mosquitto/pki/": "./",
        }.items():
            assert old in text, old
            text = text.replace(old, new)
        config = self.folder / "mosquitto.conf"
        config.write_text(f"user root\n{text}")
        return ["-c", str(config)]


def test_the_broker_of_the_containers(tmp_path: Path) -> None:
    """A node with a certificate says what is its own, and nothing else; without one nobody is let in; the gateway
    hears it at the listener inside."""
    settings = (CONTAINERS / "mosquitto.conf").read_text().splitlines()
    advised = next(block for block in blocks(DOCS / "operating.md", "") if "max_queued_messages" in block)
    assert set(advised.splitlines()) <= set(settings)
    city = Authority.create(tmp_path / "pki", "Riverside")
    here = tmp_path / "broker"
    here.mkdir()
    for made in (*Path(city.server(["localhost"]).folder).glob("*.pem"), *city.folder.glob("c*.pem")):
        shutil.copy(made, here)
    node = Path(city.node("riverside", "air-0007").folder)
    heard: list[str] = []
    with ContainersBroker(here, more_ports=[free_port()]) as broker, client() as gateway:
        gateway.on_message = lambda _client, _data, message: heard.append(message.topic)
        gateway.connect("127.0.0.1", broker.port)
        gateway.subscribe("ganglion/v1/#", 1)
        gateway.loop_start()
        outside = broker._more_ports[0]

        def say(topic: str) -> None:
            """As the node; the broker has dealt with it, one way or the other, when this returns."""
            with client() as speaker:
                speaker.tls_set(str(city.folder / "ca.pem"), str(node / "cert.pem"), str(node / "key.pem"))
                speaker.connect("localhost", outside)
                speaker.loop_start()
                wait_until(speaker.is_connected, SECONDS, "the node's connection")
                said = speaker.publish(f"ganglion/v1/riverside/{topic}", b"x", 1)
                wait_until(lambda: said.is_published() or not speaker.is_connected(), SECONDS, "an answer")

        for topic in ("air-0008/telemetry", "air-0007/config", "air-0007/telemetry"):
            say(topic)
        wait_until(lambda: "ganglion/v1/riverside/air-0007/telemetry" in heard, SECONDS, "the node's message")
        assert heard == ["ganglion/v1/riverside/air-0007/telemetry"]
        stranger = ssl.create_default_context(cafile=str(city.folder / "ca.pem"))
        raw = socket.create_connection(("127.0.0.1", outside), SECONDS)
        with stranger.wrap_socket(raw, server_hostname="localhost", do_handshake_on_connect=False) as connection:
            assert refuses(connection)


def refuses(connection: ssl.SSLSocket) -> bool:
    """Whether the server ends a connection for want of a certificate; TLS 1.3 says so after the handshake."""
    try:
        connection.do_handshake()
        return connection.recv(1) == b""
    except ssl.SSLError as error:
        return "ALERT" in str(error.reason)


@contextlib.contextmanager
def client() -> Iterator[Client]:
    """Ended with the block."""
    it = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    try:
        yield it
    finally:
        it.disconnect()
        it.loop_stop()
