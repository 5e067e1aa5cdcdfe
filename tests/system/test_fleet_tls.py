"""Emulated and modelled nodes over TLS: each with an identity of its own, faults of their links included."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from gateway.errors import ConfigError, GanglionError
from gateway.pki.authority import Authority, Identity
from gateway.pki.broker import Fleet as Speaker
from sim_hardware.city.scenario import Scenario
from sim_hardware.fleet import identities
from sim_hardware.fleet.command import parse_broker
from sim_hardware.fleet.faults import Calendar, parse
from sim_hardware.fleet.fleet import Broker, Fleet, Tls, settings
from sim_hardware.fleet.inject import Injector
from sim_hardware.fleet.line import Line, Refused
from sim_hardware.secure import City
from sim_hardware.servers import wait_until
from tests.bench import wire
from tests.system.gateway_process import SECONDS
from tests.system.led import led, minute, settled

LOSS = '[[fault]]\nkind = "link_loss"\nat = 3\nnodes = "water-0001"\nlasts = 20\n'


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """A secured broker, at which `fleet` may speak for all nodes."""
    city = City(tmp_path_factory.mktemp("town"), fleets=(Speaker(identities.FLEET),))
    with city.broker:
        yield city


@contextmanager
def heard(town: City) -> Iterator[list[tuple[str, bytes]]]:
    """(node, payload) of all packs, as a gateway hears them."""
    found: list[tuple[str, bytes]] = []
    ready: list[object] = []

    def hear(_client: object, _data: object, message: MQTTMessage) -> None:
        found.append((message.topic.split("/")[3], message.payload))

    own = town.identity()
    client = Client(CallbackAPIVersion.VERSION2)
    client.tls_set(str(town.ca), f"{own}/cert.pem", f"{own}/key.pem")
    client.on_message = hear
    client.on_subscribe = lambda *_: ready.append(True)
    client.connect("127.0.0.1", town.broker.gateways_port)
    client.subscribe([(f"ganglion/v1/+/+/{stream}", 1) for stream in ("telemetry", "health", "event")])
    client.loop_start()
    try:
        wait_until(lambda: bool(ready), SECONDS, "the subscription")
        yield found
    finally:
        client.disconnect()
        client.loop_stop()


def packs(messages: list[tuple[str, bytes]]) -> set[tuple[str, str, str]]:
    """(node, boot, seq), each once."""
    form = re.compile(rb'"n":"boot","v":(\d+)\},\{"n":"seq","v":(\d+)')
    return {(node, *map(bytes.decode, each)) for node, payload in messages for each in form.findall(payload)}


async def test_boards_are_who_their_certificates_say_also_behind_a_link_that_fails(town: City, tmp_path: Path) -> None:
    """The broker knows each by its own name; one loses its link for a while, and no pack is missing in the end."""
    scenario = Scenario("riverside")
    where = Broker("127.0.0.1", town.broker.port, tls=Tls(town.authority.folder, "localhost"))
    wanted = settings(scenario, where, nodes=3, speed=240, duration_s=60, seed=1)
    fleet = Fleet(tmp_path, wanted, scenario)
    read = parse(LOSS, "f.toml", fleet.city.layout, wanted.start % 86_400 // 60, broker=False)
    injector = Injector(fleet, Calendar(read, fleet.city.layout, wanted.start, wanted.seed))

    async def until(condition: Callable[[], bool], what: str) -> None:
        await asyncio.to_thread(wait_until, condition, SECONDS, what)

    with heard(town) as messages, led():
        async with injector.running():
            await settled(fleet)
            await until(lambda: fleet.counts().connected == 3, "all connections")
            await minute(fleet, 8)
            await until(lambda: fleet.waiting()[1] >= 4, "packs that wait")
            await until(lambda: not fleet.waiting()[0] + fleet.waiting()[2], "packs of the others")
            injector.heal()

            async def all_heard() -> bool:
                return len(packs(messages)) >= fleet.counts().made

            assert await fleet.drain(all_heard, 2 * SECONDS), (fleet.counts(), len(packs(messages)))
            assert len(packs(messages)) == fleet.counts().made
    log = town.broker.log.read_text()
    for place in fleet.places:
        assert f"as riverside/{place.node} (p2, c0, k60, u'riverside/{place.node}')" in log
    assert {each.name for each in town.authority.identities() if each.kind == "node"} >= {
        f"riverside/{place.node}" for place in fleet.places
    }


def test_modelled_nodes_speak_through_one_identity(town: City, tmp_path: Path) -> None:
    """As a command, at the gateways' listener."""
    command = [sys.executable, "-m", "gateway.cli.main", "fleet", "--modelled", "--nodes", "3", "--speed", "3600"]
    command += ["--duration", "1", "--seed", "9", "--data", str(tmp_path / "data"), "--report", str(tmp_path / "r")]
    command += ["--broker", f"mqtts://127.0.0.1:{town.broker.gateways_port}", "--pki", str(town.authority.folder)]
    with heard(town) as messages:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=3 * SECONDS, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        sent = json.loads((tmp_path / "r").read_text())["packs_sent"]
        wait_until(lambda: len(packs(messages)) == sent > 0, SECONDS, "all packs")
    assert {node for node, _ in messages} == {"traffic-0001", "water-0001", "air-0001"}
    assert re.search(rf"as ganglion-modelled-\S+ \(.*u'{identities.FLEET}'\)", town.broker.log.read_text())


async def test_who_is_not_believed_says_so(town: City, tmp_path: Path) -> None:
    """A broker of another authority, one of another name, and one that does not believe the fleet."""
    stranger = Authority.create(tmp_path / "pki", "Riverside")
    here = Broker("127.0.0.1", town.broker.gateways_port, tls=Tls(town.authority.folder, "127.0.0.1"))
    assert here.tls
    own = identities.context(here.tls)
    foreign = identities.context(Tls(stranger.folder, "127.0.0.1"))
    other = wire.trust(town.ca, stranger.folder / "gateway" / identities.FLEET)
    named = msgspec.structs.replace(here, tls=Tls(town.authority.folder, "broker.example"))
    for where, context, reason in (
        (here, foreign, "the certificate of the broker at .* does not hold: .*; see --pki"),
        (named, own, "does not hold: .*broker.example"),
        (here, other, "no TLS with the broker at .*UNKNOWN_CA.*what it believes"),
    ):
        with pytest.raises(Refused, match=reason):
            await asyncio.wait_for(Line(where, "a", "riverside", [0], context).run(), SECONDS)


def test_nodes_keep_what_holds_and_get_what_they_lack(tmp_path: Path) -> None:
    """Of nodes with an identity, with one that was revoked, one that has ended, and none; the same at the next look."""
    authority = Authority.create(tmp_path / "pki", "Riverside", days=100)
    kept = authority.node("riverside", "air-0001", 90)
    authority.revoke(authority.node("riverside", "air-0002", 90).serial)
    authority.node("riverside", "air-0003", days=0)
    names = [f"air-{n:04d}" for n in range(1, 20)]
    tls = Tls(authority.folder, "broker.example")
    found = identities.boards(tls, "riverside", names)

    def holding() -> dict[str, Identity]:
        return {each.name: each for each in authority.identities() if (each.kind, each.state) == ("node", "valid")}

    valid = holding()
    assert {f"riverside/{name}": str(folder) for name, folder in found.items()} == {
        name: each.folder for name, each in valid.items()
    }
    assert valid["riverside/air-0001"] == kept
    assert identities.boards(tls, "riverside", names) == found
    assert holding() == valid
    with pytest.raises(GanglionError, match="cannot be a name"):
        identities.boards(tls, "riverside", ["AIR"])


@pytest.mark.parametrize(
    ("url", "pki", "message"),
    [
        ("mqtts://x", None, "--pki: is missing"),
        ("mqtt://x", Path(), "are for a broker with mqtts://; this one is mqtt://"),
        ("mqtts://city:secret@x", Path(), "leave user and password out"),
        ("mqtts://x", Path("/nowhere"), "/nowhere holds no authority"),
        ("https://x", None, "write mqtt://host:port"),
    ],
)
def test_what_is_refused_before_anything_begins(url: str, pki: Path | None, message: str) -> None:
    with pytest.raises(GanglionError, match=message):
        parse_broker(url, pki)
    if "secret" in url:
        with pytest.raises(ConfigError) as refused:
            parse_broker(url, pki)
        assert "secret" not in str(refused.value)


def test_a_broker_over_tls_has_the_ports_of_an_installation(town: City) -> None:
    """One listener for nodes, another for who speaks for many; the name is the host's unless it is said."""
    pki = town.authority.folder
    assert parse_broker("mqtts://broker.example", pki) == Broker("broker.example", 8883, tls=Tls(pki, "broker.example"))
    modelled = parse_broker("mqtts://10.0.0.1", pki, "broker.example", modelled=True)
    assert modelled == Broker("10.0.0.1", 8884, tls=Tls(pki, "broker.example"))
