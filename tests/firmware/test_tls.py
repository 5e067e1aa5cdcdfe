"""TLS between the node on MicroPython and the real Mosquitto, set up by `ganglion pki broker`."""

import os
import re
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.pki import certificates
from gateway.pki.authority import Authority
from gateway.pki.broker import Broker as Settings
from gateway.pki.brokerfolder import make
from sim_hardware.secure import SecureMosquitto
from sim_hardware.servers import free_port, wait_until
from tests.firmware.board import SECONDS, Board
from tests.firmware.importer import load
from tests.firmware.nodes import packs, until_acknowledged
from tests.firmware.peers import Listener, Subscriber, client_program, tell
from tests.micropython import run

ROOT_TOPIC = "ganglion/v1/riverside/air-1/"
BRANCH = {"air": "air-1", "other": "air-2", "water": "water-1"}
TIDY = "import gc\ngc.threshold(32_768)  # as a node does\n"


class City:
    """An authority with what the tests need of it, and brokers as `ganglion pki broker` makes them."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority.create(folder / "pki", "Riverside")
        self.stranger = Authority.create(folder / "stranger", "Riverside")
        self.authority.server(["127.0.0.1", "localhost"])
        self.gateway = Path(self.authority.gateway().folder)
        self.nodes = {name: Path(self.authority.node("riverside", name).folder) for name in BRANCH.values()}

    def tls(self, node: str = "air-1", **changes: str | None) -> dict[str, Any]:
        """A node's `mqtt.tls`."""
        folder = self.nodes[node]
        return {
            "ca": f"{folder}/ca.der",
            "cert": f"{folder}/cert.der",
            "key": f"{folder}/key.der",
            "name": None,
        } | changes

    def broker(self, folder: Path, *more: tuple[int, Path]) -> SecureMosquitto:
        """A broker for nodes and gateway; `more` are listeners for nodes with another certificate of the broker's."""
        ports = free_port(), free_port()
        settings = Settings(
            nodes_listen="127.0.0.1", nodes_port=ports[0], gateways_port=ports[1], user="root", data="./", nodes=1
        )
        make(self.authority, settings, folder, server="127.0.0.1")
        file = folder / "mosquitto.conf"
        text = file.read_text()
        nodes = text[text.index(f"listener {ports[0]}") : text.index(f"listener {ports[1]}")]
        for port, place in more:
            other = nodes.replace(str(ports[0]), str(port))
            text += other.replace("cert.pem", f"{place}/cert.pem").replace("key.pem", f"{place}/key.pem")
        file.write_text(text)
        return SecureMosquitto(folder, *ports, more_ports=[port for port, _ in more])


class Gateway(Subscriber):
    """Another client of the broker, with the gateway's certificate."""

    def __init__(self, city: City, broker: SecureMosquitto, topic: str = "#") -> None:
        files = f"{city.authority.folder}/ca.pem", f"{city.gateway}/cert.pem", f"{city.gateway}/key.pem"
        super().__init__(broker.gateways_port, topic, files)

    def nothing_more(self) -> bool:
        marker = "ganglion/v1/test/incident/marker"
        self.publish(marker, b"")
        return self.next().topic == marker


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return City(tmp_path_factory.mktemp("city"))


@pytest.fixture
def secure(city: City, tmp_path: Path) -> Iterator[SecureMosquitto]:
    with city.broker(tmp_path / "secure") as broker:
        yield broker


def program(port: int, settings: dict[str, Any], *parts: str, options: str = "") -> str:
    """As `client_program`, over TLS."""
    more = f", {options}" if options else ""
    context = f'__import__("node.tls").tls.context({settings!r})'
    return TIDY + client_program(port, *parts, options=f"ssl={context}, server_name={settings['name']!r}{more}")


def test_a_node_is_who_its_certificate_says(city: City, secure: SecureMosquitto, tmp_path: Path) -> None:
    """It speaks and hears in its own branch alone, and what it may do there is no more than a node must."""
    other = ROOT_TOPIC.replace("air-1", "air-2")
    hold = "ganglion/v1/riverside/hold"
    body = f"""
        print(await client.connect(), client._writer.s.cipher())
        await client.subscribe([({ROOT_TOPIC + "command"!r}, 1), ({other + "command"!r}, 1), ({hold!r}, 0)], 60_001)
        await until(lambda: 60_001 in acked)
        topics = {other + "telemetry"!r}, {ROOT_TOPIC + "config"!r}, {hold!r}, {ROOT_TOPIC + "telemetry"!r}
        for number, topic in enumerate(topics):
            await client.publish(topic, b"x", 1 + number)
            await until(lambda: 1 + number in acked)
            if number < 3:
                await client.broken.wait()  # Mosquitto acknowledges what it denies, and hangs up
                await client.close()
                await client.connect()
        print("said")
        await until(lambda: exists("end"))
        await client.close()
        print("end")
        """
    with Gateway(city, secure) as gateway, Board(program(secure.port, city.tls(), body), tmp_path) as board:
        assert board.line("False") == "('TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384', 'TLSv1.2')"
        board.line("said")
        assert gateway.next().topic == ROOT_TOPIC + "telemetry"
        assert gateway.nothing_more()
        gateway.publish(other + "command", b"for another")
        gateway.publish(ROOT_TOPIC + "command", b"for you")
        assert board.line("message") == f"{ROOT_TOPIC}command 7 for you"
        gateway.publish(hold, b'{"hold":true}', retain=True)
        assert board.line("message") == hold + ' 13 {"hold":true}'
        tell(tmp_path, "end")
        board.line("end")


def test_no_node_takes_over_anothers_session(city: City, secure: SecureMosquitto, tmp_path: Path) -> None:
    """With the client id of another, and a certificate of its own, it is itself all the same."""
    body = """
        print("session", await client.connect())
        await until(lambda: exists("end") or client.broken.is_set())
        print("broken", client.broken.is_set())
        await client.close()
        """
    intruder = "print(await client.connect())\nawait asyncio.sleep_ms(500)\nprint(client.broken.is_set())"
    with Board(program(secure.port, city.tls(), body), tmp_path) as board:
        assert board.line("session") == "False"
        # `client_program` gives both the same client id.
        assert run(program(secure.port, city.tls("air-2"), intruder), tmp_path) == ["False", "False"]
        tell(tmp_path, "end")
        assert board.line("broken") == "False"


ATTEMPTS = """
import asyncio
import os
from node import mqtt, tls
def sockets():
    return sum(1 for _ in os.ilistdir("/proc/self/fd"))
def context(settings):
    if settings["cert"]:
        return tls.context(settings)
    import ssl
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with open(settings["ca"], "rb") as f:
        made.load_verify_locations(cadata=f.read())
    return made
async def attempt(name, port, settings):
    client = mqtt.Client("127.0.0.1", port, "x")
    if settings:
        client = mqtt.Client("127.0.0.1", port, "x", ssl=context(settings), server_name=settings["name"])
    try:
        await client.connect()
        print(name, "connected")
    except OSError as error:
        print(name, error.errno, str(error))
    except asyncio.TimeoutError:
        print(name, "timeout")
    await client.close()
async def main():
    before = sockets()
    for name, port, settings in CASES:
        await attempt(name, port, settings)
    print("sockets", sockets() - before)
asyncio.run(main())
"""

CERTIFICATE = "the broker's certificate: "


def test_whom_a_node_does_not_believe(city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with the reason in words, and with no socket left open; in between and afterwards it believes its own."""
    ended = city.authority.server(["10.0.0.1", "127.0.0.1"], days=-1)
    with monkeypatch.context() as patched:
        patched.setattr(certificates, "NOT_BEFORE", datetime(2045, 1, 1, tzinfo=UTC))
        future = city.stranger.server(["10.0.0.1", "127.0.0.1"], days=25 * 365)
    strange = city.stranger.server(["127.0.0.1"])
    ports = {name: free_port() for name in ("ended", "future", "strange", "node", "gateway")}
    places = {
        "ended": Path(ended.folder),
        "future": Path(future.folder),
        "strange": Path(strange.folder),
        "node": city.nodes["air-2"],
        "gateway": city.gateway,
    }
    mine, theirs = city.tls(), city.tls(ca=str(city.stranger.folder / "ca.der"))
    with city.broker(tmp_path / "broker", *((ports[name], place) for name, place in places.items())) as broker:
        cases = {
            "good": (broker.port, mine),
            "stranger": (ports["strange"], mine),
            "name": (broker.port, mine | {"name": "broker.example"}),
            "other-name": (broker.port, mine | {"name": "localhost"}),
            "ended": (ports["ended"], mine),
            "future": (ports["future"], theirs),
            "node": (ports["node"], mine | {"name": "riverside/air-2"}),
            "gateway": (ports["gateway"], mine | {"name": "gateway"}),
            "again": (broker.port, mine),
            "nobody": (free_port(), mine),
            "plain": (broker.port, None),
        }
        text = ATTEMPTS.replace("CASES", repr([(name, *case) for name, case in cases.items()]))
        said = dict(line.split(" ", 1) for line in run(TIDY + text, tmp_path))
    wrong = {name: text.split(CERTIFICATE)[1] for name, text in said.items() if CERTIFICATE in text}
    assert wrong == {
        "stranger": "The certificate is not correctly signed by the trusted CA",
        "name": "The certificate Common Name (CN) does not match with the expected CN",
        "ended": "The certificate validity has expired",
        "future": "The certificate validity starts in the future",
        "node": "The certificate is not correctly signed by the trusted CA Usage does not match the "
        "extendedKeyUsage extension",
    }
    assert "BAD_CERTIFICATE" in said["gateway"], "a gateway's certificate played broker"
    assert {said[name] for name in ("good", "other-name", "again")} == {"connected"}
    assert said["nobody"].startswith("111 "), "nobody listens there"
    assert "connected" not in said["plain"], "the broker took plain text"
    assert said["sockets"] == "0"


@pytest.mark.parametrize("which", ["none", "stranger", "revoked"])
def test_whom_the_broker_does_not_believe(city: City, tmp_path: Path, which: str) -> None:
    """No certificate, one of somebody else's authority, one that was revoked: no session, and no socket left."""
    settings = city.tls("air-2")
    if which == "none":
        settings["cert"] = None
    else:
        folder = (city.stranger if which == "stranger" else city.authority).node("riverside", "air-3").folder
        settings |= {name: f"{tmp_path}/{name}.der" for name in ("cert", "key")}
        for name in ("cert", "key"):
            (tmp_path / f"{name}.der").write_bytes((Path(folder) / f"{name}.der").read_bytes())

    def said(*cases: tuple[str, int, object]) -> list[str]:
        return run(TIDY + ATTEMPTS.replace("CASES", repr(cases)), tmp_path)

    with city.broker(tmp_path / "broker") as broker:
        wrong = "wrong", broker.port, settings
        if which == "revoked":
            assert said(wrong)[0] == "wrong connected", "nothing has happened yet"
            city.authority.revoke("riverside/air-3")
            assert said(wrong)[0] == "wrong connected", "the broker has not been told"
            (tmp_path / "broker/crl.pem").write_bytes((city.authority.folder / "crl.pem").read_bytes())
            wait_until(lambda: said(wrong)[0] != "wrong connected", SECONDS, "the reload of the list")
        refused, *rest = said(wrong, ("good", broker.port, city.tls()))
    assert re.fullmatch(r"wrong (32|104|-30592) .*", refused)
    assert rest == ["good connected", "sockets 0"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "INVALID_RECORD"), (b"\x20\x02\x00\x00", "CONN_EOF"), (b"", "CONN_EOF")],
    ids=["http", "plain-mqtt", "hangs-up"],
)
def test_who_speaks_no_tls(city: City, tmp_path: Path, answer: bytes, error: str) -> None:
    """Whatever it is, it is told as an OSError at once."""
    body = """
        try:
            await client.connect()
        except OSError as error:
            print("error", repr(error))
        """
    with Listener() as listener, Board(program(listener.port, city.tls(), body), tmp_path) as board:
        link = listener.accept()
        assert link.sock.recv(1) == b"\x16", "the node's first byte is not that of a handshake"
        link.sock.sendall(answer)
        link.sock.shutdown(socket.SHUT_WR)
        assert error in board.line("error")


def test_a_broker_that_is_silent_in_the_handshake(city: City, tmp_path: Path) -> None:
    """The node waits as long as for any answer, then gives up, and lives on."""
    body = """
        mqtt.REPLY_MS = 300
        for _ in range(2):
            try:
                await client.connect()
            except asyncio.TimeoutError:
                print("timeout")
        """
    with Listener() as listener, Board(program(listener.port, city.tls(), body), tmp_path) as board:
        for _ in range(2):
            listener.accept()
            board.line("timeout")


def test_messages_of_all_lengths_both_ways(city: City, secure: SecureMosquitto, tmp_path: Path) -> None:
    """Records are not packets: many in one, one over many; nothing is stuck in the buffers of TLS."""
    lengths = [1, 100, 4000, 4001, 4096, 4097, 8192, 12_000]
    topic = ROOT_TOPIC + "command"
    body = f"""
        count = 0
        def take(topic, payload):
            nonlocal count
            count += 1
            if len(payload) > 4:
                print("took", len(payload), payload[0], sum(payload) == payload[0] * len(payload))
        client.on_message = take
        await client.connect()
        await client.subscribe([({topic!r}, 1)], 60_001)
        await until(lambda: 60_001 in acked)
        print("listening")
        await until(lambda: count == 160)
        for n, length in enumerate({lengths}):
            await client.publish({ROOT_TOPIC + "telemetry"!r}, bytes([n + 1]) * length, 1 + n)
        await until(lambda: len(acked) == {len(lengths) + 1})
        acked.clear()
        for n in range(160):
            await client.publish({ROOT_TOPIC + "health"!r}, b"%03d" % n, 1 + n)
        await until(lambda: len(acked) == 160)
        print("all", client.broken.is_set())
        await client.close()
        """
    with Gateway(city, secure) as gateway, Board(program(secure.port, city.tls(), body), tmp_path) as board:
        board.line("listening")
        for n in range(150):
            gateway.publish(topic, b"%03d" % n)
        for n in range(10):
            gateway.publish(topic, bytes([n]) * (4000 - n))
        assert [board.line("took") for _ in range(10)] == [f"{4000 - n} {n} True" for n in range(10)]
        heard = [each for each in (gateway.next() for _ in range(320 + len(lengths))) if each.topic != topic]
        assert [each.payload for each in heard[: len(lengths)]] == [bytes([n + 1]) * at for n, at in enumerate(lengths)]
        assert [each.payload for each in heard[len(lengths) :]] == [b"%03d" % n for n in range(160)]
        assert board.line("all") == "False"


def test_a_broker_that_stands_still_and_goes_on(city: City, secure: SecureMosquitto, tmp_path: Path) -> None:
    """Its buffers fill until TLS can write no more. Then it goes on, and every byte is there, once and in order."""
    body = f"""
        import struct
        n = 0
        stop = False
        async def pump():
            nonlocal n
            while not stop:
                await client.publish({ROOT_TOPIC + "telemetry"!r}, struct.pack(">I", n) * 1000, n % 60_000 + 1)
                n += 1
        await client.connect()
        print("connected")
        await until(lambda: exists("frozen"))
        pumping = asyncio.create_task(pump())
        before = -1
        while n != before:
            before = n
            await asyncio.sleep_ms(300)
        stop = True
        print("stalled", n)
        await pumping
        await until(lambda: len(acked) == n)
        print("sent", n)
        await client.close()
        """
    with (
        Gateway(city, secure, ROOT_TOPIC + "telemetry") as gateway,
        Board(program(secure.port, city.tls(), body), tmp_path) as board,
    ):
        board.line("connected")
        os.kill(secure.pid, signal.SIGSTOP)
        tell(tmp_path, "frozen")
        assert int(board.line("stalled")) > 0
        os.kill(secure.pid, signal.SIGCONT)
        count = int(board.line("sent"))
        for n, payload in enumerate(gateway.payloads(count)):
            assert payload == struct.pack(">I", n) * 1000, n


def test_a_killed_broker_is_noticed_and_found_again(city: City, secure: SecureMosquitto, tmp_path: Path) -> None:
    """With the same context; nothing of the old connection is left, neither sockets nor memory."""
    body = f"""
        import gc, os
        async def once(number):
            print("session", await client.connect())
            await client.publish({ROOT_TOPIC + "telemetry"!r}, b"x" * 1000, number)
            await until(lambda: number in acked)
            print("sent")
            await client.broken.wait()
            print("broken", repr(client.error))
            await client.close()
            gc.collect()
            return gc.mem_alloc(), sum(1 for _ in os.ilistdir("/proc/self/fd"))
        used, sockets = await once(1)
        await until(lambda: exists("back"))
        again, left = await once(2)
        print("left", left - sockets, again - used < 1500)
        """
    with Board(program(secure.port, city.tls(), body), tmp_path) as board:
        board.line("sent")
        secure.kill()
        board.line("broken")
        secure.start()
        tell(tmp_path, "back")
        board.line("session")
        board.line("sent")
        secure.kill()
        board.line("broken")
        assert board.line("left") == "0 True"


def test_a_whole_node(city: City, secure: SecureMosquitto, switch_on: Callable[..., Board]) -> None:
    """From its config.json to the gateway's side of the broker, with files in the root of its flash."""
    mqtt = {"host": "127.0.0.1", "port": secure.port, "tls": city.tls("water-1")}
    with (
        Gateway(city, secure) as gateway,
        switch_on("water", secure.port, life=until_acknowledged(3), mqtt=mqtt) as board,
    ):
        found = packs(gateway, "telemetry")
        assert [next(found).seq, next(found).seq] == [0, 2]
        assert board.line("dropped") == "0"


FILES = {"ca": "ca.der", "cert": "cert.der", "key": "key.der"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "mqtt.tls.ca must be the name of a file"),
        (FILES | {"key": ""}, "mqtt.tls.key must be the name of a file"),
        (FILES | {"cert": 7}, "mqtt.tls.cert must be the name of a file"),
        (FILES | {"name": 7}, "mqtt.tls.name must be the name in the broker's certificate, or null: the host's"),
        (FILES | {"name": ""}, "mqtt.tls.name must be the name in the broker's certificate, or null: the host's"),
        (FILES | {"insecure": True}, "unknown key mqtt.tls.insecure"),
        (FILES | {"renew_days": 0}, "mqtt.tls.renew_days must be a whole number from 1 to 3650"),
        (FILES | {"enrol": {"url": "https://x"}}, "mqtt.tls.enrol.token must be a text"),
        (FILES | {"enrol": {"url": "http://x", "token": "t"}}, "mqtt.tls.enrol.url must be https://HOST:PORT"),
        (FILES | {"enrol": {"url": "https://a@x", "token": "t"}}, "mqtt.tls.enrol.url must be https://HOST:PORT"),
        (FILES | {"enrol": {"url": "https://x/y", "token": "t"}}, "mqtt.tls.enrol.url must be https://HOST:PORT"),
        (FILES | {"enrol": {"url": "https://x", "token": "t", "x": 1}}, "unknown key mqtt.tls.enrol.x"),
        (FILES | {"enrol": True}, "mqtt.tls.enrol. must be an object"),
        (True, "mqtt.tls. must be an object"),
    ],
)
def test_a_wrong_configuration(given: object, message: str) -> None:
    """There is no half of it: who wants TLS has an authority, a certificate and a key."""
    configuration = load("node.config")
    whole = {"kind": "water", "site": "riverside", "node": "water-1"}
    with pytest.raises(configuration.ConfigError) as refused:
        configuration.check(whole | {"mqtt": {"host": "x", "tls": given}})
    assert str(refused.value) == message


def test_tls_is_off_or_whole() -> None:
    configuration = load("node.config")
    whole = {"kind": "water", "site": "riverside", "node": "water-1"}
    assert configuration.check(whole | {"mqtt": {"host": "x"}})["mqtt"]["tls"] is None
    checked = configuration.check(whole | {"mqtt": {"host": "x", "tls": FILES}})
    assert checked["mqtt"]["tls"] == FILES | {
        "issuer": "issuer.der",
        "name": None,
        "renew_days": 30,
        "enrol": None,
    }


def test_files_that_cannot_be_used(city: City, tmp_path: Path) -> None:
    """Each is named with its key, as ConfigError: a node that cannot be sure of its broker does not start."""
    good = city.tls()
    (tmp_path / "bad.der").write_bytes(b"\x30\x03junk")
    (tmp_path / "empty.der").write_bytes(b"")
    cases = [good | {key: f"{name}.der"} for key in FILES for name in ("none", "bad", "empty")]
    cases += [good | {"ca": good["key"]}, good | {"cert": good["key"]}, good | {"key": good["cert"]}]
    printed = run(
        f"""
from node import tls
from node.config import ConfigError
for settings in {cases!r}:
    try:
        tls.context(settings)
        print("taken")
    except ConfigError as error:
        print(error)
""",
        tmp_path,
    )
    wanted = []
    for key in FILES:
        wanted += [f"mqtt.tls.{key}: none.der cannot be read, error 2"]
        wanted += [f"mqtt.tls.{key}: {name}.der cannot be used: invalid {key}" for name in ("bad", "empty")]
    wanted = [each.replace("invalid ca", "invalid cert") for each in wanted]
    wanted += [f"mqtt.tls.ca: {good['key']} cannot be used: invalid cert"]
    wanted += [f"mqtt.tls.cert: {good['key']} cannot be used: invalid cert"]
    wanted += [f"mqtt.tls.key: {good['cert']} cannot be used: invalid key"]
    assert printed == wanted
