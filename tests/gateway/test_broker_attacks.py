"""The generated broker and whoever does not belong: each is refused by the real Mosquitto, which says so where gateways
can count it; and whoever belongs goes on."""

import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from gateway.pki.authority import Authority
from gateway.pki.broker import Fleet
from gateway.pki.certificates import key_bytes, new_key, signed
from sim_hardware.secure import City
from sim_hardware.servers import wait_until
from tests.gateway.mqtt_raw import (
    PUBACK,
    SECONDS,
    SUBACK,
    Peer,
    connect,
    context,
    packet,
    publish,
    subscribe,
    text,
)

MINE, OTHER = (f"ganglion/v1/riverside/{node}" for node in ("air-1", "air-2"))
DENIED = "Bad socket read/write on client {}: Unknown error."


def issued(city: City, name: str) -> Path:
    """A certificate of this name by the issuer, as whoever has stolen its key would make it."""
    certificate = x509.load_pem_x509_certificate((city.issuer / "cert.pem").read_bytes())
    key, own = load_pem_private_key((city.issuer / "key.pem").read_bytes(), None), new_key()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    end = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    made = signed((certificate, key), own, "gateway", name, (), end)
    folder = city.folder / "issued" / name
    folder.mkdir(parents=True)
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


class Log(Peer):
    """What the broker tells gateways of what happens at its doors."""

    def __init__(self, city: City) -> None:
        super().__init__(city.broker.gateways_port, context(city.ca, city.identity()))
        self.enter(f"log-{time.monotonic_ns()}").send(subscribe("$SYS/broker/log/#")).read()

    def says(self, words: str) -> None:
        """Waits for a line with these. Raises TimeoutError when there is none."""
        while words not in self.message()[1].decode():
            pass


@pytest.fixture
def log(city: City) -> Iterator[Log]:
    with Log(city) as it:
        yield it


def node(city: City, name: str = "air-1") -> Peer:
    return Peer(city.broker.port, context(city.ca, city.node("riverside", name))).enter("anything")


def gateway(city: City, client: str = "gateway", name: str = "gateway", *, clean: bool = True) -> Peer:
    return Peer(city.broker.gateways_port, context(city.ca, city.identity(name))).enter(client, clean=clean)


def hears(city: City, topic: str = "ganglion/v1/#") -> Peer:
    """A gateway that hears this."""
    it = gateway(city, f"hears-{time.monotonic_ns()}").send(subscribe(topic))
    assert it.read() == (SUBACK, b"\x00\x01\x01")
    return it


def acknowledged(peer: Peer, topic: str, payload: bytes = b"x") -> None:
    peer.send(publish(topic, payload, 7))
    assert peer.read() == (PUBACK, b"\x00\x07")


def refused(city: City, tls: ssl.SSLContext | None, session: ssl.SSLSession | None = None) -> bool:
    """Whether one who connects so is cut off before he is in; TLS 1.3 says it after the handshake."""
    try:
        with Peer(city.broker.port, tls, session) as peer:
            return peer.send(connect("x")).read() is None
    except (ConnectionError, ssl.SSLError):
        return True


def weak(ca: Path, identity: Path, ciphers: str, highest: ssl.TLSVersion) -> ssl.SSLContext:
    made = context(ca, identity)
    made.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    made.minimum_version, made.maximum_version = ssl.TLSVersion.TLSv1, highest
    return made


def only_one_three(ca: Path) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(ca))
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    return made


STRANGERS: dict[str, tuple[Callable[[City], ssl.SSLContext | None], str]] = {
    "no certificate": (lambda city: context(city.ca), "peer did not return a certificate"),
    "no certificate, TLS 1.3": (lambda city: only_one_three(city.ca), "peer did not return a certificate"),
    "another authority's": (
        lambda city: context(
            city.ca, Path(Authority.create(city.folder / "strange", "Riverside").node("riverside", "air-1").folder)
        ),
        "certificate verify failed",
    ),
    "expired": (
        lambda city: context(city.ca, Path(city.authority.node("riverside", "old", days=-1).folder)),
        "certificate verify failed",
    ),
    "broker's own": (
        lambda city: context(city.ca, city.authority.folder / "server/localhost"),
        "certificate verify failed",
    ),
    "TLS 1.1": (
        lambda city: weak(city.ca, city.node("riverside", "air-1"), "ALL", ssl.TLSVersion.TLSv1_1),
        "unsupported protocol",
    ),
    "a cipher without authentication": (
        lambda city: weak(
            city.ca, city.node("riverside", "air-1"), "ECDHE-ECDSA-AES128-SHA256", ssl.TLSVersion.TLSv1_2
        ),
        "no shared cipher",
    ),
    "plain text": (lambda _: None, "wrong version number"),
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("who", STRANGERS)
def test_a_stranger_is_refused_and_told_of(city: City, log: Log, who: str) -> None:
    """At the handshake; a node that is connected does not notice.

    It depends on how its packets arrive whether the broker says `OpenSSL Error[0]: error:NUMBER:SSL routines::WHY` and
    `Client <unknown> disconnected: Protocol error.`, or `Client connection from ADDRESS failed: error:NUMBER:...`.
    """
    make, why = STRANGERS[who]
    tls = make(city)
    with node(city) as own:
        assert refused(city, tls)
        log.says(f"SSL routines::{why}")
        acknowledged(own, f"{MINE}/telemetry")


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


def test_a_stolen_issuer_makes_no_gateway(city: City, log: Log) -> None:
    """Its certificate with the gateway's name is a stranger at the gateways' door. At the nodes' it may say and hear
    nothing, as the gateway's own."""
    false = issued(city, "gateway")
    with pytest.raises(ssl.SSLError), Peer(city.broker.gateways_port, context(city.ca, false)):
        pass
    log.says("SSL routines::certificate verify failed")
    for identity in (false, city.identity()):
        with hears(city) as gate, Peer(city.broker.port, context(city.ca, identity)).enter("gateway") as peer:
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
            [f"{MINE}/telemetry", f"{MINE}/status", f"{MINE}/identity/want", "$SYS/broker/uptime", "elsewhere"],
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


def shut_out(city: City, tls: ssl.SSLContext, session: ssl.SSLSession | None = None) -> bool:
    """Whether the handshake is refused. No CONNECT follows: that would throw out whoever has the name."""
    try:
        Peer(city.broker.port, tls, session).close()
    except (ConnectionError, ssl.SSLError):
        return True
    return False


def test_a_revoked_node_is_out_within_seconds(city: City, log: Log) -> None:
    """By a new handshake, by a session that is resumed, by the connection that stands; its neighbour stays."""
    tls = context(city.ca, city.node("riverside", "air-3"))
    with node(city) as neighbour, Peer(city.broker.port, tls).enter("x") as open_one:
        session = open_one.sock.session
        with Peer(city.broker.port, tls, session) as resumed:
            assert resumed.sock.session_reused
        city.authority.revoke("riverside/air-3")
        since = time.monotonic()
        city.renew()
        wait_until(lambda: shut_out(city, tls), SECONDS, "the end of a revoked identity")
        assert time.monotonic() - since < SECONDS
        log.says("SSL routines::certificate verify failed")
        assert shut_out(city, tls, session)
        assert open_one.silent(), "Mosquitto looks at the list in handshakes alone"
        with gateway(city, "riverside/air-3") as kicker:
            log.says("Client riverside/air-3 already connected, closing old connection.")
            assert not open_one.silent()
            assert kicker.silent()
        assert neighbour.silent()


@pytest.mark.parametrize("spoil", [lambda _: b"", lambda good: good[:-200], lambda good: good[200:]])
def test_a_damaged_list_opens_nothing(city: City, log: Log, spoil: Callable[[bytes], bytes]) -> None:
    """Mosquitto, told to read it, would let in whom it had shut out. It is not told: the list it has is better."""
    good = city.crl.read_bytes()
    name = f"gone-{len(spoil(good))}"
    tls = context(city.ca, city.node("riverside", name))
    city.authority.revoke(f"riverside/{name}")
    city.renew()
    wait_until(lambda: shut_out(city, tls), SECONDS, "the end of a revoked identity")
    good, looked = city.crl.read_bytes(), city.broker.refused
    city.crl.write_bytes(spoil(good))
    try:
        wait_until(lambda: city.broker.refused > looked, SECONDS, "a look at the damaged list")
        assert shut_out(city, tls)
        assert not shut_out(city, context(city.ca, city.node("riverside", "air-1")))
    finally:
        city.crl.write_bytes(good)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (publish(f"{MINE}/telemetry", b"x" * 70_000), "disconnected due to oversize packet."),
        (publish(MINE + "/x" * 201, b""), "disconnected due to protocol error."),
        (publish("ganglion/+/x", b""), "disconnected due to protocol error."),
        (b"\xf0\x00", "disconnected due to protocol error."),
        (packet(0x32, b"\x00\x04a\xff\x00b\x00\x01"), "disconnected due to malformed packet."),
    ],
    ids=["large", "deep", "wildcard", "no packet", "no text"],
)
def test_what_is_no_message_ends_the_connection(city: City, log: Log, data: bytes, says: str) -> None:
    with node(city) as peer, node(city, "air-2") as other:
        peer.send(data)
        assert peer.read() is None
        log.says(f"Client riverside/air-1 {says}")
        assert other.silent()


def test_more_connections_than_there_may_be(tmp_path: Path) -> None:
    """Who is in stays in; the gateway has a door of its own; once they go, nodes come in again.

    A broker of its own: 2.0.11 counts one too few for each handshake that fails in its first packets.
    """
    city = City(tmp_path, nodes=1)
    crowd: list[Peer] = []
    with city.broker, Log(city) as log:
        try:
            with node(city) as own:
                crowd += [Peer(city.broker.port) for _ in range(city.settings.connections + 2)]
                log.says("Client connection from 127.0.0.1 denied: max_connections exceeded.")
                assert own.silent()
                with gateway(city) as gate:
                    assert gate.silent()
        finally:
            for each in crowd:
                each.close()
        tls = context(city.ca, city.node("riverside", "air-1"))
        wait_until(lambda: not shut_out(city, tls), SECONDS, "room")


def test_a_full_queue_is_told_and_heals(city: City, log: Log) -> None:
    """What is dropped beyond the bound is told. What is below it comes; and once it was fetched there is room again."""
    with gateway(city, "away", clean=False) as gate:
        gate.send(subscribe(f"{MINE}/telemetry")).read()
    body, fits = b"x" * 60_000, -(-city.settings.queue_mib * 2**20 // 60_000)
    with node(city) as own:
        for _ in range(2):
            for _ in range(fits + 2):
                acknowledged(own, f"{MINE}/telemetry", body)
            log.says("Outgoing messages are being dropped for client away.")
            with gateway(city, "away", clean=False) as gate:
                assert [gate.message()[1] for _ in range(fits)] == [body] * fits
                assert gate.silent()


def test_a_queue_outlives_the_broker(city: City) -> None:
    """Rights are each listener's own, and a session that was read from disk has none: it is served all the same."""
    with gateway(city, "away", clean=False) as gate:
        gate.send(subscribe(f"{MINE}/event")).read()
    with node(city) as own:
        acknowledged(own, f"{MINE}/event", b"before")
    city.broker.stop()
    city.broker.start()
    with node(city) as own, gateway(city, "away", clean=False) as gate:
        acknowledged(own, f"{MINE}/event", b"after")
        assert [gate.message()[1], gate.message()[1]] == [b"before", b"after"]
