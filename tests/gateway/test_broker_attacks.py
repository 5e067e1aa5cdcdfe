"""The generated broker and whoever does not belong: each is refused by the real Mosquitto, which says so where gateways
can count it; and whoever belongs goes on."""

import contextlib
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.files import replace
from gateway.pki.authority import Authority
from sim_hardware.secure import City
from sim_hardware.servers import wait_until
from tests.bench.wire import hello, packet, publish, trust
from tests.gateway.broker_talk import MINE, Log, acknowledged, gateway, node
from tests.gateway.mqtt_raw import SECONDS, Peer, context, subscribe


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    made = City(tmp_path_factory.mktemp("city"), nodes=1, queue_mib=1)
    with made.broker:
        yield made


@pytest.fixture
def log(city: City) -> Iterator[Log]:
    with Log(city) as it:
        yield it


def refused(city: City, tls: ssl.SSLContext | None, session: ssl.SSLSession | None = None) -> bool:
    """Whether one who connects so is cut off before he is in; TLS 1.3 says it after the handshake."""
    try:
        with Peer(city.broker.port, tls, session) as peer:
            return peer.send(hello("x", 60)).read() is None
    except (ConnectionError, ssl.SSLError):
        return True


def weak(ca: Path, identity: Path, ciphers: str, highest: ssl.TLSVersion) -> ssl.SSLContext:
    made = context(ca, identity)
    made.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    made.minimum_version, made.maximum_version = ssl.TLSVersion.TLSv1, highest
    return made


def only_one_three(ca: Path) -> ssl.SSLContext:
    made = trust(ca)
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

    def until_read(change: Callable[[], object]) -> None:
        before = city.broker.reloads
        change()
        wait_until(lambda: city.broker.reloads > before, SECONDS, "a reload")
        wait_until(lambda: shut_out(city, tls), SECONDS, "the end of a revoked identity")

    until_read(city.renew)
    good, before = city.crl.read_bytes(), city.broker.refused
    replace(city.crl, spoil(good))
    try:
        wait_until(lambda: city.broker.refused > before, SECONDS, "a look at the damaged list")
        assert shut_out(city, tls)
        assert not shut_out(city, context(city.ca, city.node("riverside", "air-1")))
    finally:
        until_read(lambda: replace(city.crl, good))


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
        with contextlib.suppress(OSError):  # it may be cut off while it speaks
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
