"""A city is attacked at its broker. Each attack fails, and the other nodes go on at their pace."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from cryptography import x509

from gateway.records import Ledger
from sim_hardware.secure import City
from sim_hardware.servers import InfluxDB, wait_until
from tests.bench import wire
from tests.system.attackers import EVERY_S, SECONDS, SITE, Honest, cut_off, many_files, pack
from tests.system.gateway_process import GatewayProcess

HONEST = [f"air-{n:04}" for n in range(8)]
NODES = 400
"""That the broker's limits are made for."""
HALF_OPEN = 10_000
AT_ONCE = 90
"""Connections that wait to be accepted; Mosquitto lets a hundred."""
MOST_LOST = 0.1
"""Of the packs that the other nodes would send while somebody attacks, as a share."""
BEGUN = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""The first bytes of a ClientHello (RFC 8446 §4.1.2), which says that 512 follow."""
_numbers = count(1)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    city = City(tmp_path_factory.mktemp("city"), nodes=NODES)
    with city.broker:
        yield city


@pytest.fixture(scope="module")
def gateway(city: City, influx: InfluxDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("gateway")
    identity = (
        f'[identity]\nissuer = "{city.issuer}"\ncrl = "{city.crl}"\nca_crl = "{city.authority.folder}/crl.pem"\n'
        "messages_per_s = 20.0\nburst = 200\n"
    )
    with GatewayProcess(folder, city.broker, influx.url, "attacked", more=identity, mqtt=city.mqtt()) as process:
        yield process


@pytest.fixture(scope="module")
def honest(city: City, gateway: GatewayProcess) -> Iterator[Honest]:
    with Honest(city, HONEST) as nodes:
        wait_until(lambda: nodes.total() > 0 and all(nodes.sent.values()), 20, "the first pack of each honest node")
        yield nodes


@pytest.fixture
def attacker(city: City) -> str:
    """The name of a node that was taken over; another one each time."""
    name = f"bad-{next(_numbers):04}"
    city.node(SITE, name)
    return name


@contextlib.contextmanager
def at_their_pace(honest: Honest, seconds: float = 2.0) -> Iterator[None]:
    """Around an attack: fails when the others did not keep their pace meanwhile, and for some seconds at least."""
    before, began = honest.total(), time.monotonic()
    yield
    wait_until(lambda: time.monotonic() > began + seconds, 2 * seconds, "the time of the attack")
    due = (time.monotonic() - began) / EVERY_S * len(HONEST)
    share = (honest.total() - before) / due
    assert share > 1 - MOST_LOST, f"the other nodes sent {share:.0%} of their packs"


def of(city: City, node: str) -> ssl.SSLContext:
    return wire.trust(city.ca, city.node(SITE, node))


def hung_up(link: socket.socket) -> bool:
    """Whether the other side has ended this connection, which does not block, as far as is known here by now."""
    try:
        return link.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def unaccepted(port: int) -> int:
    """Connections that wait for a listener at this port: rx_queue of its line (proc_net_tcp.txt of Linux)."""
    with Path("/proc/net/tcp").open() as table:
        for line in table:  # those that listen come first
            _, local, _, _, queues, *_ = line.split()
            if local.endswith(f":{port:04X}"):
                return int(queues.partition(":")[2], 16)
    raise AssertionError(f"nobody listens at {port}")


def lets_in(city: City, node: str) -> bool:
    with contextlib.suppress(OSError):
        wire.connect(city.broker.port, "", trust=of(city, node)).close()
        return True
    return False


def test_ten_thousand_half_open_connections(city: City, honest: Honest, attacker: str, gateway: GatewayProcess) -> None:
    """Half say nothing at all, half begin a handshake and go no further. First of all tests here: when Mosquitto has
    read its lists anew, as it does where somebody floods, it has forgotten its bound (docs/broker.md)."""
    with many_files(HALF_OPEN + 2_000), contextlib.ExitStack() as links:
        held = []
        with at_their_pace(honest):
            for number in range(HALF_OPEN):
                if number % AT_ONCE == 0:  # of more the kernel drops some, and tries them again after seconds
                    wait_until(lambda: unaccepted(city.broker.port) == 0, SECONDS, "the broker's word to the last ones")
                link = links.enter_context(socket.create_connection(("127.0.0.1", city.broker.port), SECONDS))
                if number % 2:
                    with contextlib.suppress(OSError):  # it was ended already
                        link.sendall(BEGUN)
                link.setblocking(False)
                held.append(link)
        over = HALF_OPEN - city.settings.connections
        wait_until(lambda: sum(map(hung_up, held)) >= over, SECONDS, "the end of those beyond the limit")
    wait_until(lambda: lets_in(city, attacker), SECONDS, "room for a node again")
    refused = 'ganglion_broker_refused_total{kind="too_many"}'
    wait_until(lambda: gateway.metric(refused) > 0, SECONDS, "the count of those that were refused")


def test_packets_that_never_end(city: City, honest: Honest) -> None:
    """Nodes that were taken over begin a CONNECT, or a message of 60 KB, and give a byte now and then."""
    slow = [f"slow-{n:02}" for n in range(20)]
    with contextlib.ExitStack() as links:
        held = []
        with at_their_pace(honest):
            for number, node in enumerate(slow):
                if number % 2:
                    link, rest = links.enter_context(wire.dial(city.broker.port, of(city, node))), wire.hello(node, 60)
                else:
                    link = links.enter_context(
                        wire.connect(city.broker.port, node, trust=of(city, node), keepalive_s=1)
                    )
                    rest = wire.publish(f"ganglion/v1/{SITE}/{node}/telemetry".encode(), bytes(60_000), 1)
                held.append((link, rest, number % 2))
            for at in range(10):
                for link, rest, _ in held:
                    with contextlib.suppress(OSError):  # it was cut off already
                        link.sendall(rest[at : at + 1])
        for link, _, connecting in held:
            if not connecting:  # the others within 90 s, which are not waited for here
                assert cut_off(link), "a message that does not end counts as a sign of life"


def test_oversized_packets(city: City, honest: Honest, attacker: str, gateway: GatewayProcess) -> None:
    topic = f"ganglion/v1/{SITE}/{attacker}/telemetry".encode()
    before = gateway.ledger().dead_letters
    with at_their_pace(honest):
        # One that says that 256 MiB follow, one above the broker's limit, and one that only the gateway refuses.
        for data in (b"\x32\xff\xff\xff\x7f" + wire.text(topic), wire.publish(topic, bytes(70_000), 1)):
            with wire.connect(city.broker.port, "", trust=of(city, attacker)) as link:
                with contextlib.suppress(OSError):
                    link.sendall(data)
                assert cut_off(link)
        with wire.connect(city.broker.port, "", trust=of(city, attacker)) as link:
            link.sendall(wire.publish(topic, b" " * 10_000, 1))
            wire.take(link, wire.PUBACK_BYTES)
    after = gateway.wait_for("a dead letter", lambda now: now.dead_letters > before)
    assert after.dead_letters == before + 1


@pytest.mark.parametrize(
    "topic",
    [
        b"ganglion/v1/riverside/air-0001/telemetry",
        b"ganglion/v1/riverside/+/telemetry",
        b"ganglion/v1/riverside/#",
        b"ganglion/v1/riverside/{self}/config",
        b"ganglion/v1/riverside/{self}/command",
        b"ganglion/v1/riverside/{self}/telemetry/../../air-0001/telemetry",
        b"ganglion/v1/riverside/{self}\0/telemetry",
        b"ganglion/v1/riverside/{self}/telemetry/",
        b"ganglion/v1/riverside/hold",
        b"ganglion/v1/riverside/incident/1",
        b"$SYS/broker/log/E",
        b"$CONTROL/dynamic-security/v1",
        b"",
        b"\xff\xfe",
    ],
)
def test_topics_that_are_not_its_own(
    city: City, honest: Honest, topic: bytes, attacker: str, gateway: GatewayProcess
) -> None:
    """Nothing comes of what it says there: no pack, no dead letter, no command, no hold. It is counted."""
    before, count = gateway.ledger(), refusals(gateway)
    name = topic.replace(b"{self}", attacker.encode())
    payload = pack(HONEST[1], 1, 4_000_000, int(time.time()))
    with wire.connect(city.broker.port, "", trust=of(city, attacker)) as link:
        with contextlib.suppress(OSError):
            link.sendall(wire.publish(name, payload, 7, retained=True))
        assert cut_off(link), "a message that is not allowed ends the connection"
    sent = honest.total()
    wait_until(lambda: honest.total() > sent + len(HONEST), SECONDS, "packs of the others")
    after = gateway.ledger()
    assert (after.dead_letters, after.duplicates) == (before.dead_letters, before.duplicates)
    assert no_gap(gateway)
    wait_until(lambda: refusals(gateway) > count, SECONDS, "the count of it")


def refusals(gateway: GatewayProcess) -> float:
    """Of who said what is not allowed, or is no message."""
    return sum(
        gateway.metric(f'ganglion_broker_refused_total{{kind="{kind}"}}')
        for kind in ("denied", "malformed", "protocol")
    )


def no_gap(gateway: GatewayProcess) -> bool:
    """Whether the honest nodes' numbers are whole: a pack in another's name would tear them."""
    journal = gateway.journal()
    try:
        return not any(journal.gaps(SITE, name) for name in HONEST)
    finally:
        journal.close()


def test_replayed_packs(city: City, honest: Honest, attacker: str, gateway: GatewayProcess) -> None:
    """Whoever recorded a node's messages, or has its key, sends them again: they are counted and written once."""
    topic = f"ganglion/v1/{SITE}/{attacker}/telemetry".encode()
    start = int(time.time()) - 86_400
    messages = [wire.publish(topic, pack(attacker, 1, seq, start + seq * 60), seq + 1) for seq in range(50)]

    def say_all() -> None:
        with wire.connect(city.broker.port, "", trust=of(city, attacker)) as link:
            link.sendall(b"".join(messages))
            wire.take(link, wire.PUBACK_BYTES * len(messages))

    say_all()
    before = gateway.ledger()
    with at_their_pace(honest):
        for _ in range(4):
            say_all()

    def replayed(now: Ledger) -> bool:
        return now.duplicates - before.duplicates == 4 * len(messages)

    after = gateway.wait_for("the replayed packs", replayed)
    assert after.dead_letters == before.dead_letters


@pytest.mark.parametrize("qos", [pytest.param(0, marks=pytest.mark.soak), 1])
def test_a_node_that_floods(city: City, honest: Honest, attacker: str, gateway: GatewayProcess, qos: int) -> None:
    """As fast as it can, without waiting for an acknowledgement: the gateway has it thrown out and kept out."""
    topic = f"ganglion/v1/{SITE}/{attacker}/telemetry".encode()
    payload = pack(attacker, 1, 0, int(time.time()) - 3600)
    one = wire.publish(topic, payload, 1) if qos else wire.packet(0x30, wire.text(topic) + payload)
    before = gateway.metric("ganglion_floods_total")
    # As long as it was well it said which certificate it has.
    certificate = x509.load_pem_x509_certificate((city.node(SITE, attacker) / "cert.pem").read_bytes())
    birth = f'{{"online":true,"kind":"air","identity":{{"serial":"{certificate.serial_number:x}","ends":{2**32}}}}}'
    with wire.connect(city.broker.port, "", trust=of(city, attacker)) as link:
        link.sendall(wire.publish(f"ganglion/v1/{SITE}/{attacker}/status".encode(), birth.encode(), 1, retained=True))
        wire.take(link, wire.PUBACK_BYTES)

    def kept_out() -> bool:
        """What the attacker sees: cut off, he comes again at once, until the broker does not let him in."""
        try:
            with wire.connect(city.broker.port, "", trust=of(city, attacker)) as link:
                link.settimeout(SECONDS)
                for _ in range(100):
                    link.sendall(one * 500)
        except OSError:
            pass
        return not lets_in(city, attacker)

    with at_their_pace(honest):
        wait_until(kept_out, 60, "the hold of a node that floods")
    assert gateway.metric("ganglion_floods_total") > before
