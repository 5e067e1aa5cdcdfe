"""Who may say and hear what at the generated broker, tried with the real Mosquitto by those who want more."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.pki.broker import Fleet
from gateway.pki.certificates import key_bytes, new_key, signed
from gateway.pki.folder import load_signer
from sim_hardware.secure import City
from tests.bench.wire import packet, text
from tests.gateway.broker_talk import DENIED, MINE, OTHER, Log, acknowledged, gateway, hears, node
from tests.gateway.mqtt_raw import PUBACK, Peer, context, subscribe


def issued(city: City, name: str) -> Path:
    """A certificate of this name by the issuer, as whoever has stolen its key would make it."""
    issuer, own = load_signer(city.issuer / "cert.pem", city.issuer / "key.pem"), new_key()
    end = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    made = signed(issuer, own, "gateway", name, (), end)
    folder = city.folder / "issued" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key_bytes(own, Encoding.PEM))
    return folder


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    made = City(
        tmp_path_factory.mktemp("city"),
        nodes=1,
        queue_mib=1,
        fleets=(Fleet("fleet", "riverside"),),
        readers=("eye",),
        also_write=("duty/told",),
    )
    with made.broker:
        yield made


@pytest.fixture
def log(city: City) -> Iterator[Log]:
    with Log(city) as it:
        yield it


def test_what_is_not_a_nodes_to_say(city: City, log: Log) -> None:
    """Mosquitto acknowledges it, drops it and hangs up: nobody hears it. So whoever may say too little loses packs."""
    with hears(city) as gate:
        for topic in (
            f"{OTHER}/telemetry",
            f"{MINE}/config",
            f"{MINE}/command",
            f"{MINE}/identity",
            f"{MINE}/telemetry/more",
            "ganglion/v1/riverside/hold",
            "ganglion/v1/riverside/incident/fire",
            "ganglion/v1/riverside/air-1x/telemetry",
            "$SYS/broker/uptime",
            "homeassistant/device/x/config",
        ):
            with node(city) as peer:
                acknowledged(peer, topic, b"injected")
                assert peer.read() is None, topic
            log.says(DENIED.format("riverside/air-1"))
        with node(city) as peer:
            for each in ("telemetry", "update/want", "identity/want"):
                acknowledged(peer, f"{MINE}/{each}", b"own")
        assert [gate.message() for _ in range(3)] == [
            (f"{MINE}/{each}", b"own") for each in ("telemetry", "update/want", "identity/want")
        ]


def test_a_last_word_is_said_below_ones_own_topic_alone(city: City) -> None:
    """A will is a way to speak too: that of another node, or of the gateway, is never published."""
    with hears(city) as gate:
        for topic, heard in (
            (f"{OTHER}/status", False),
            ("ganglion/v1/riverside/hold", False),
            (f"{MINE}/status", True),
        ):
            with Peer(city.broker.port, context(city.ca, city.node("riverside", "air-1"))) as peer:
                head = text("MQTT") + bytes([4, 0x02 | 0x04 | 0x08 | 0x20]) + b"\x00\x3c"
                peer.send(packet(0x10, head + text("x") + text(topic) + text(f"will {heard}")))
                peer.read()
        assert gate.message() == (f"{MINE}/status", b"will True")
        with gateway(city, "cleaner", "fleet") as cleaner:
            cleaner.send(packet(0x33, text(f"{MINE}/status") + b"\x00\x01"))
            assert cleaner.read() == (PUBACK, b"\x00\x01")


@pytest.mark.parametrize(
    "topic", ["#", "ganglion/v1/#", "ganglion/v1/riverside/+/command", "$share/x/ganglion/v1/#", "+/+/+/+/+"]
)
def test_a_wildcard_hears_what_is_ones_own_and_nothing_else(city: City, topic: str) -> None:
    """It is granted, and does not help: each message is looked at anew."""
    with node(city) as peer, node(city, "air-2") as other, gateway(city, "speaker") as gate:
        peer.send(subscribe(topic)).read()
        acknowledged(other, f"{OTHER}/telemetry", b"of another")
        acknowledged(gate, f"{OTHER}/command", b"for another")
        acknowledged(gate, "ganglion/v1/riverside/incident/fire", b"for people")
        acknowledged(gate, f"{MINE}/command", b"for you")
        assert peer.message() == (f"{MINE}/command", b"for you")


def test_the_log_is_for_gateways(city: City) -> None:
    with node(city) as peer, hears(city, "$SYS/broker/log/#") as log:
        peer.send(subscribe("$SYS/#")).read()
        with node(city, "air-2"):
            log.message()
        assert peer.silent()


def test_a_certificate_decides_the_client_id(city: City) -> None:
    """With another's id it is itself all the same, and the other stays."""
    with node(city, "air-2") as other:
        with Peer(city.broker.port, context(city.ca, city.node("riverside", "air-1"))) as thief:
            thief.enter("riverside/air-2").send(subscribe(f"{OTHER}/command")).read()
            with gateway(city, "speaker") as gate:
                acknowledged(gate, f"{OTHER}/command", b"secret")
            assert thief.silent()
        assert other.silent()


def refused(port: int, tls: ssl.SSLContext, log: Log) -> None:
    """In the handshake, before any word of MQTT."""
    with pytest.raises(ssl.SSLError), Peer(port, tls):
        pass
    log.says("SSL routines::certificate verify failed")


def test_nodes_and_gateways_are_strangers_at_each_others_door(city: City, log: Log) -> None:
    """Who is let in where gateways are can take any client id, and so throw out the gateway. Nodes are not, and neither
    is who has the issuer's key and calls himself the gateway. Nor are gateways let in at the nodes' door."""
    with hears(city) as gate, node(city) as own:
        for identity in (city.node("riverside", "air-1"), issued(city, "gateway")):
            refused(city.broker.gateways_port, context(city.ca, identity), log)
        for identity in (city.identity(), city.identity("fleet")):
            refused(city.broker.port, context(city.ca, identity), log)
        acknowledged(own, f"{MINE}/telemetry", b"a")
        assert gate.message() == (f"{MINE}/telemetry", b"a"), "the gateway's session is the same as before"


def test_a_stolen_issuer_makes_no_gateway(city: City, log: Log) -> None:
    """At the nodes' door, with the gateway's name, it may say and hear nothing."""
    with hears(city) as gate, Peer(city.broker.port, context(city.ca, issued(city, "gateway"))).enter("x") as peer:
        peer.send(subscribe("ganglion/v1/#")).read()
        with node(city) as own:
            acknowledged(own, f"{MINE}/telemetry", b"a")
        assert peer.silent()
        acknowledged(peer, f"{MINE}/command", b"{}")
        assert peer.read() is None
        assert gate.message() == (f"{MINE}/telemetry", b"a")
        log.says(DENIED.format("gateway"))


def test_the_issuers_nodes_are_nodes(city: City) -> None:
    with (
        Peer(city.broker.port, context(city.ca, issued(city, "riverside/air-9"))).enter("x") as peer,
        hears(city) as gate,
    ):
        acknowledged(peer, "ganglion/v1/riverside/air-9/telemetry", b"a")
        assert gate.message() == ("ganglion/v1/riverside/air-9/telemetry", b"a")


@pytest.mark.parametrize(
    ("name", "may", "may_not"),
    [
        (
            "gateway",
            [f"{MINE}/{each}" for each in ("config", "command", "update", "update/piece", "identity")]
            + ["ganglion/v1/riverside/incident/a", "ganglion/v1/riverside/hold", "duty/told"],
            [f"{MINE}/telemetry", f"{MINE}/health", f"{MINE}/identity/want", "$SYS/broker/uptime", "elsewhere"],
        ),
        ("fleet", [f"{MINE}/telemetry", f"{OTHER}/status"], ["ganglion/v1/hill/air-1/telemetry", f"{MINE}/command"]),
        ("eye", [], [f"{MINE}/telemetry", f"{MINE}/command", "ganglion/v1/riverside/hold", "duty/told"]),
    ],
)
def test_what_those_at_the_other_door_may_say(city: City, name: str, may: list[str], may_not: list[str]) -> None:
    with gateway(city, "one", name) as peer:
        for topic in may:
            acknowledged(peer, topic)
        assert peer.silent()
    for topic in may_not:
        with gateway(city, "one", name) as peer:
            acknowledged(peer, topic)
            assert peer.read() is None, topic


def test_a_reader_hears_readings_and_no_secrets(city: City) -> None:
    with gateway(city, "reader", "eye") as eye, gateway(city, "speaker") as gate, node(city) as own:
        eye.send(subscribe("#")).read()
        acknowledged(gate, f"{MINE}/config", b"password")
        acknowledged(gate, f"{MINE}/command", b"reboot")
        acknowledged(own, f"{MINE}/telemetry", b"reading")
        acknowledged(gate, "duty/told", b"told")
        assert [eye.message(), eye.message()] == [(f"{MINE}/telemetry", b"reading"), ("duty/told", b"told")]
