"""`ganglion doctor` tries at a real broker whether it keeps out who does not belong, and finds each way in."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.doctor.context import Context
from gateway.doctor.door import nodes, strangers
from gateway.identity.issuer import Issuer, Refusal
from gateway.identity.lists import compose, read
from gateway.pki.lists import written
from sim_hardware.secure import City
from sim_hardware.servers import wait_until
from tests.bench.wire import packet, publish
from tests.gateway.broker_talk import MINE
from tests.gateway.broker_talk import node as talk_as_node
from tests.gateway.mqtt_raw import PUBACK


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """With the list that a gateway writes."""
    city = City(tmp_path_factory.mktemp("city"))
    with city.broker:
        issuer = Issuer(city.issuer, city.ca, 90)
        before = city.broker.reloads
        city.crl.write_bytes(written(compose(issuer, read(city.authority.folder / "crl.pem"), [], datetime.now(UTC))))
        wait_until(lambda: city.broker.reloads > before, 10, "the broker reads the list")
        yield city


def findings(city: City, folder: Path, crl: Path | None = None) -> dict[str, list[tuple[str, str]]]:
    """What doctor says of these checks: level and words."""
    config = folder / "ganglion.toml"
    config.write_text(
        f'sites = ["riverside"]\ndata_dir = "data"\n{city.mqtt()}[identity]\nissuer = "{city.issuer}"\n'
        f'crl = "{crl or city.crl}"\nca_crl = "{city.authority.folder}/crl.pem"\n'
        f'nodes = "127.0.0.1:{city.broker.port}"\n'
    )
    context = Context(config)
    return {look.__name__: [(level, seen) for level, seen, _ in look(context)] for look in (strangers, nodes)}


def test_a_sound_broker(city: City, tmp_path: Path) -> None:
    said = findings(city, tmp_path)
    assert said == {
        "strangers": [("ok", "the broker lets nobody in without an identity")],
        "nodes": [
            ("ok", "a node hears and says at the broker only what is its own"),
            ("ok", "the broker refuses what was taken back"),
        ],
    }


def test_a_broker_that_does_not_read_its_list_again(city: City, tmp_path: Path) -> None:
    """It knows what was taken back before, and not what was since."""
    issuer = Issuer(city.issuer, city.ca, 90)
    crl, now = tmp_path / "crl.pem", datetime.now(UTC)
    refusal = Refusal("abc", now.timestamp(), hold=False)
    crl.write_bytes(written(compose(issuer, read(city.authority.folder / "crl.pem"), [refusal], now)))
    refused = ("ok", "the broker refuses what was taken back")
    assert refused in findings(city, tmp_path, crl)["nodes"], "it may hear of that yet"
    os.utime(crl, (now.timestamp() - 120,) * 2)
    assert [level for level, words in findings(city, tmp_path, crl)["nodes"] if "not again" in words] == ["fault"]


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("nodes.acl", "", "pattern read ganglion/v1/riverside/+/status\n", "a node may hear others, such as"),
        ("nodes.acl", "", "pattern write ganglion/v1/riverside/+/status\n", "a node may speak for others"),
        ("mosquitto.conf", "crlfile crl.pem", "", "the broker lets in what was taken back"),
        ("mosquitto.conf", "allow_anonymous false", "allow_anonymous true", "lets anybody in"),
        ("mosquitto.conf", "clients.pem", "ca.pem", "does not let in a node that the issuer has signed"),
    ],
    ids=["hears", "speaks", "list", "strangers", "issuer"],
)
def test_each_way_in_is_found(tmp_path: Path, file: str, old: str, new: str, says: str) -> None:
    """An access list or a configuration that somebody has changed by hand."""
    city = City(tmp_path / "city")
    path = city.broker.folder / file
    text = path.read_text()
    if "anybody" in says:
        text = text.replace("require_certificate true", "require_certificate false")
        text = text.replace("use_identity_as_username true", "").replace("use_username_as_clientid true", "")
    path.write_text(text.replace(old, new) if old else text + new)
    with city.broker:
        if file == "nodes.acl":
            with talk_as_node(city) as peer:
                peer.send(packet(0x33, publish(f"{MINE}/status", b"{}")[2:]))
                assert peer.read() == (PUBACK, b"\x00\x01")
        said = findings(city, tmp_path)
    assert any(level == "fault" and says in words for each in said.values() for level, words in each), said
