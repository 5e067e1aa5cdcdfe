"""The files that an installation is made of, held against the code and against the programs that read them."""

import os
import re
import shlex
import shutil
import ssl
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from cryptography import x509
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.config import Citizens, Config, Console, Detect, Http, Influx, JournalSettings, Mqtt, North, Privacy, load
from gateway.files import replace
from gateway.identity.settings import IdentityTable
from gateway.notify.settings import Email, Notify
from gateway.pki.authority import Authority
from gateway.pki.certificates import hosts_of
from sim_hardware.secure import SecureMosquitto
from sim_hardware.servers import free_port, wait_until
from tests.bench.wire import publish
from tests.gateway.mqtt_raw import Peer, context, subscribe
from tests.test_docs import DOCS, blocks

SETUP = Path(__file__).resolve().parents[2] / "gateway" / "setup"
CONTAINERS = SETUP / "containers"
UNIT = SETUP / "ganglion-gateway.service"
BROKER_UNIT = SETUP / "ganglion-broker.service"
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
    tables |= {"console": Console(), "citizens": Citizens(), "north": North(), "privacy": Privacy()}
    tables |= {"identity": IdentityTable()}
    assert said == {
        "sites": ["riverside"],
        "data_dir": "/var/lib/ganglion",
        "timezone": "UTC",
        "exercise": False,
        **{name: msgspec.to_builtins(table) for name, table in tables.items()},
    }
    assert {*said, "mirror", "notify", "signing"} == {field.name for field in msgspec.structs.fields(Config)}


@pytest.mark.parametrize("unit", [UNIT, BROKER_UNIT], ids=lambda unit: unit.name)
def test_the_service_is_shut_in(tmp_path: Path, unit: Path) -> None:
    """As systemd itself counts it: 0 is nothing open, 10 everything; and it understands every line."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    here = [tmp_path / each.name for each in (unit, unit.with_suffix(".path")) if each.exists()]
    for each in here:
        each.write_text((SETUP / each.name).read_text().replace("/usr/bin/ganglion", shutil.which("true") or ""))
    done = subprocess.run(["systemd-analyze", "verify", *here], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    told = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CONTAINERS / "compose.yaml").read_text())
    return found


def test_the_containers_have_what_they_name() -> None:
    """Files, volumes and variables; secrets stand nowhere; nobody is root or may write but to volumes."""
    text = (CONTAINERS / "compose.yaml").read_text()
    made_by_hand = {"./broker", "./gateway", "./crl"}
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


class ContainersBroker(SecureMosquitto):
    """The real one, started by the container's script, with the generated lines but for places and ports."""

    def arguments(self) -> list[str]:
        return [str(CONTAINERS / "broker.sh"), "../crl/crl.pem", "0.1"]

    def command(self) -> list[str]:
        return ["env", f"PATH={os.environ['PATH']}:/usr/sbin", "sh", *self.arguments()]

    def _watch(self, seen: object) -> None:
        """The script does."""


def told_commands() -> list[str]:
    """How the containers are begun, as told in docs/operating.md."""
    return next(block for block in blocks(DOCS / "operating.md", "sh") if "podman compose up" in block).splitlines()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with what these commands make of identities and of the broker."""
    here = tmp_path / "ganglion"
    shutil.copytree(CONTAINERS, here)
    monkeypatch.chdir(here)
    for line in told_commands():
        words = shlex.split(line.replace("/safe/place", str(tmp_path)), comments=True)
        if words[:2] == ["ganglion", "pki"]:
            answer = CliRunner().invoke(make_app(), words[1:])
            assert answer.exit_code == 0, answer.output
        elif words[0] == "mkdir" or (words[0] == "cp" and words[-1] in ("gateway/", "crl/")):
            subprocess.run(["sh", "-c", " ".join(words)], check=True)
    return here


def test_the_broker_of_the_containers(installed: Path, tmp_path: Path) -> None:
    """Whoever follows the commands has a broker that takes the gateway as it is configured there, and nodes; in which
    a node is out when another list is put there; and which ends when it is told to."""
    folder = installed / "broker"
    nodes, gateways = free_port(), free_port()
    text = (folder / "mosquitto.conf").read_text()
    for old, new in {
        "listener 8883": f"listener {nodes} 127.0.0.1",
        "listener 8884 0.0.0.0": f"listener {gateways} 127.0.0.1",
        "/mosquitto/data/": "./",
        "/mosquitto/crl/": "../crl/",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "mosquitto.conf").write_text(f"user root\n{text}")
    city = Authority(tmp_path / "pki")
    own = load(installed / "ganglion.toml", {"GANGLION_INFLUX_TOKEN": "x"}).mqtt
    at = {name: Path(getattr(own, name).replace(f"{installed}/pki", f"{installed}/gateway")) for name in ("ca", "cert")}
    assert (own.host, own.port) == ("mosquitto", 8884)
    assert "mosquitto" in hosts_of(x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes()))
    tls = {name: context(at["ca"], Path(city.node("riverside", name).folder)) for name in ("air-0007", "air-0008")}
    for each in tls.values():
        each.check_hostname = False  # it is called broker.example

    def gone() -> bool:
        try:
            Peer(nodes, tls["air-0008"]).close()
        except (ConnectionError, ssl.SSLError):
            return True
        return False

    with ContainersBroker(folder, nodes, gateways) as broker:
        gate = context(at["ca"], at["cert"].parent)
        gate.check_hostname = False
        with Peer(gateways, gate).enter("gateway") as hears, Peer(nodes, tls["air-0007"]).enter("x") as node:
            hears.send(subscribe("ganglion/v1/riverside/+/telemetry")).read()
            node.send(publish("ganglion/v1/riverside/air-0007/telemetry", b"x")).read()
            assert hears.message() == ("ganglion/v1/riverside/air-0007/telemetry", b"x")
        assert not gone()
        city.revoke("riverside/air-0008")
        whole = (tmp_path / "pki/crl.pem").read_bytes()
        replace(installed / "crl/crl.pem", whole)
        wait_until(gone, SECONDS, "the end of a revoked identity")
        replace(installed / "crl/crl.pem", whole[:-200])
        wait_until(lambda: "crl.pem is not whole" in broker.log.read_text(), SECONDS, "a look at the damaged list")
        assert gone()
        broker.stop()
        assert (folder / "mosquitto.db").exists(), "it had no time to save"
