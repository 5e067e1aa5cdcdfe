"""A node's new key and certificate, asked for over MQTT, on MicroPython against the real broker."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.pki.certificates import common_name, hand_on, new_key
from sim_hardware.secure import City
from tests.firmware.board import Board
from tests.firmware.issuing import NAME, Gateway, Issuer, Want, certificate, on_flash, told
from tests.firmware.nodes import FOREVER
from tests.firmware.sleeper import Sleeper
from tests.micropython import run

Switch = Callable[..., Board]
TOPIC = f"ganglion/v1/{NAME}/"
HURRY = '    __import__("node.uplink", None, None, ("",))._FIRST_MS = 20\n' + FOREVER
HEAP = (
    """
    import gc, sys
    def alive():
        gc.collect()
        return gc.mem_alloc()
    while not node.uplink.connected:
        await asyncio.sleep_ms(500)
    node._later.load("commands")  # which stays
    await asyncio.sleep_ms(60_000)
    before = alive()
    print("alive", before)
    while not node.identity.busy:
        await asyncio.sleep_ms(500)
    while node.identity.busy:
        await asyncio.sleep_ms(500)
    making = "p256", "der", "request", "renew", "enrol"
    print("loaded", [each for each in making if "node." + each in sys.modules])
    least = before + 100_000
    while node.uplink.connections < 2:
        least = min(least, alive())
        await asyncio.sleep_ms(20_000)
    print("more", least - before)
"""
    + FOREVER
)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    made = City(tmp_path_factory.mktemp("city"))
    with made.broker:
        yield made


@pytest.fixture
def switch(city: City, switch_on: Switch, tmp_path: Path) -> Callable[..., Board]:
    """A node with the pair in `identity/`, which is the same folder each time."""
    shutil.copy(city.authority.folder / "ca.der", tmp_path / "ca.der")
    (tmp_path / "issuer.der").write_bytes(Issuer.of(city).der)
    tls = {"ca": "ca.der", "cert": "identity/cert.der", "key": "identity/key.der"}
    mqtt = {"host": "127.0.0.1", "port": city.broker.port, "tls": tls}
    return lambda life=HURRY, **more: switch_on("water", city.broker.port, life=life, mqtt=mqtt, **more)


def ask(gateway: Gateway, number: int) -> None:
    gateway.publish(TOPIC + "command", json.dumps({"id": f"renew-{number}", "op": "renew"}).encode())


def test_a_certificate_that_ends_soon_is_renewed(city: City, switch: Callable[[], Board], tmp_path: Path) -> None:
    """By itself, within a day and without a new boot: another key, the next connection with it, the old key gone."""
    issuer = Issuer.of(city)
    old = issuer.identity(tmp_path / "identity", NAME, days=25)
    old_key = (tmp_path / "identity/key.der").read_bytes()
    made: list[x509.Certificate] = []

    def sign(want: Want) -> bytes:
        assert (want.name, want.present) == (NAME, old)
        made.append(issuer.sign(want.key, NAME, 90))
        return certificate(made[0])

    with Gateway(city, sign) as gateway, switch() as board:
        first = gateway.birth()
        assert first["identity"] == told(old)
        board.line("")
        second = gateway.birth()
        assert second == {**first, "identity": told(made[0])}, "it is the same boot"
        board.kill()
        assert on_flash(tmp_path) == made[0]
        assert not any(path.read_bytes() == old_key for path in tmp_path.rglob("*") if path.is_file())


def test_one_that_holds_for_long_is_renewed_on_command_alone(
    city: City, switch: Callable[..., Board], tmp_path: Path
) -> None:
    """And the heap is as before then: what makes keys, 14 KiB, is forgotten."""
    issuer = Issuer.of(city)
    issuer.identity(tmp_path / "identity", NAME, days=31)
    with (
        Gateway(city, lambda want: certificate(issuer.sign(want.key, NAME, 90))) as gateway,
        switch(HEAP, window_s=3600) as board,
    ):
        before = gateway.birth()
        board.line("alive")
        ask(gateway, 1)
        assert gateway.reply() == {"id": "renew-1", "ok": True}
        assert gateway.birth()["identity"] != before["identity"]
        assert board.line("loaded") == "[]"
        assert int(board.line("more")) < 3000, "more than some lines of the log"
        assert len(gateway.wants) == 1


def test_a_wrong_answer_changes_nothing(city: City, switch: Callable[[], Board], tmp_path: Path) -> None:
    """For another key, another name, ended, by another issuer, an error, no answer at all: each is told in words, the
    pair stays, and the connection too. So a broker that was taken over cannot give a city's node another certificate,
    one of its own, and lock it out of the city.
    """
    issuer = Issuer.of(city)
    old = issuer.identity(tmp_path / "identity", NAME, days=80)
    answers: list[tuple[Callable[[Want], bytes], str]] = [
        (lambda want: certificate(issuer.sign(new_key().public_key(), NAME, 90)), "it is for another key"),
        (lambda want: certificate(issuer.sign(want.key, "riverside/water-2", 90)), "it is for riverside/water-2"),
        (lambda want: certificate(issuer.sign(want.key, NAME, -5)), "it holds from 946684800 to "),
        *((foreign, "it is not by the issuer that this node knows") for foreign in foreigners(issuer)),
        (lambda want: certificate(issuer.sign(want.key, NAME, 90))[:-40] + b'"}', ""),
        (lambda want: b'{"error":"not today"}', "the gateway says: not today"),
        (lambda want: b'{"error":7}', "the gateway's answer is none"),
        (lambda want: b"[]", "the gateway's answer is none"),
        (lambda want: b"[" * 4000, "the gateway's answer is none"),
        (lambda want: b"no JSON", "syntax error in JSON"),
        (lambda want: b'{"cert":"MAAB","issuer":7}', "the gateway's answer is none"),
        (lambda want: b'{"cert":"MA"}', ""),
        (lambda want: b'{"cert":"MAAB"}', "certificate: something follows it"),
    ]

    def answer(want: Want) -> bytes:
        return answers[len(gateway.wants) - 1][0](want)

    said = [""]
    with Gateway(city, answer) as gateway, switch() as board:
        gateway.birth()
        for number, (_, why) in enumerate(answers):
            ask(gateway, number)
            said.append(board.line(""))
            while " identity: no new certificate: " not in said[-1]:
                said.append(board.line(""))
            assert why in said[-1]
            assert not (tmp_path / "pair.trial").exists()
        assert sum("mqtt: connected" in line for line in said) == 1
        board.kill()
        assert on_flash(tmp_path) == old
        assert (tmp_path / "issuer.der").read_bytes() == issuer.der


def foreigners(issuer: Issuer) -> list[Callable[[Want], bytes]]:
    """Answers of who has the broker and not the issuer's key, but may have a board of the city with its key."""
    stranger, board = Issuer.stranger(), new_key()
    named = Issuer.stranger(common_name(issuer.certificate))
    own = Issuer(issuer.sign(board.public_key(), "riverside/water-2", 90), board)

    def answer(by: Issuer, *with_issuer: x509.Certificate) -> Callable[[Want], bytes]:
        return lambda want: certificate(by.sign(want.key, NAME, 90), *with_issuer)

    return [
        answer(stranger),
        answer(named),
        answer(named, named.certificate),
        answer(named, hand_on((issuer.certificate, named.key), named.certificate)),
        answer(own, own.certificate),
    ]


def test_a_board_without_the_issuer(city: City, switch: Callable[[], Board], tmp_path: Path) -> None:
    """It cannot tell a good certificate from a false one: it asks for none, and says so."""
    old = Issuer.of(city).identity(tmp_path / "identity", NAME, days=25)
    (tmp_path / "issuer.der").unlink()
    said = "the issuer is not known, issuer.der is not there: it takes a cable or a token"
    with Gateway(city, lambda _: b"") as gateway, switch() as board:
        gateway.birth()
        ask(gateway, 1)
        assert gateway.reply() == {"id": "renew-1", "ok": False, "error": said}
        while said not in board.line(""):  # by itself, when it was due
            pass
        board.kill()
        assert not gateway.wants
    assert on_flash(tmp_path) == old


def test_a_new_issuer_by_the_one_before(city: City, switch: Callable[[], Board], tmp_path: Path) -> None:
    """Its certificate comes with the node's, and stays once a broker has accepted that; told again it is no news."""
    former = Issuer.stranger("the issuer before")
    issuer = Issuer.of(city)
    handover = hand_on(former, issuer.certificate)
    issuer.identity(tmp_path / "identity", NAME, days=80)
    (tmp_path / "issuer.der").write_bytes(former.der)
    made: list[x509.Certificate] = []

    def sign(want: Want) -> bytes:
        made.append(issuer.sign(want.key, NAME, 90))
        return certificate(made[-1], handover)

    with Gateway(city, sign) as gateway, switch() as board:
        gateway.birth()
        ask(gateway, 1)
        assert gateway.birth()["identity"] == told(made[0])
        while "the new certificate was accepted" not in board.line(""):
            pass
        assert on_flash(tmp_path) == made[0]
        assert (tmp_path / "issuer.der").read_bytes() == handover.public_bytes(Encoding.DER)
        ask(gateway, 2)
        while "a new certificate came" not in board.line(""):
            pass
        board.kill()
    assert (tmp_path / "pair.trial").read_bytes().endswith(made[1].public_bytes(Encoding.DER))


def test_a_refused_one_makes_room_for_the_one_before(city: City, switch: Callable[[], Board], tmp_path: Path) -> None:
    """By an issuer that the broker does not believe: tried three times, then the old one, which holds."""
    issuer, unknown = Issuer.of(city), Issuer.stranger()
    old = issuer.identity(tmp_path / "identity", NAME, days=80)
    (tmp_path / "issuer.der").write_bytes(unknown.der)
    with (
        Gateway(city, lambda want: certificate(unknown.sign(want.key, NAME, 90))) as gateway,
        switch() as board,
    ):
        before = gateway.birth()
        ask(gateway, 1)
        gateway.reply()
        refused = 0
        while "the new certificate is dropped: it was refused" not in (line := board.line("")):
            refused += "mqtt: no connection" in line
        assert refused == 3
        assert gateway.birth() == before
        board.kill()
        assert on_flash(tmp_path) == old


def test_power_and_broker_fail_on_trial(city: City, switch: Callable[[], Board], tmp_path: Path) -> None:
    """A broker that is away refuses nobody, and a new boot goes on with what is on trial."""
    issuer = Issuer.of(city)
    issuer.identity(tmp_path / "identity", NAME, days=80)
    made: list[x509.Certificate] = []

    def sign(want: Want) -> bytes:
        made.append(issuer.sign(want.key, NAME, 90))
        return certificate(made[0])

    gateway = Gateway(city, sign)
    with switch() as board:
        with gateway:
            gateway.birth()
            ask(gateway, 1)
            while "identity: a new certificate came" not in board.line(""):
                pass
        city.broker.kill()
        board.kill()
    assert (tmp_path / "pair.trial").exists()
    with switch() as board:
        for _ in range(5):
            while "mqtt: no connection" not in board.line(""):
                pass
        city.broker.start()
        while "identity: the new certificate was accepted" not in board.line(""):
            pass
        board.kill()
    assert on_flash(tmp_path) == made[0]


FULL = """
import asyncio
from node import pairs
from node.identity import Identity
class Client:
    ssl, reached = None, False
    async def connect(self):
        return True
def pair(folder):
    found = []
    for name in ("key", "cert"):
        with open(folder + "/" + name + ".der", "rb") as f:
            found.append(f.read())
    return found
def full(*_):
    raise OSError(28)
async def main():
    pairs.begin_trial(*pair("new"))
    who = Identity(SETTINGS, NAME, print)
    write, pairs._write = pairs._write, full
    await who.connect(Client())
    pairs._write = write
    print(pairs.on_trial(), list(pairs.held(SETTINGS)) == pair("new"))
    who.renew()
    Identity(SETTINGS, NAME, print)
    print(pair("new") == pair("identity"))
asyncio.run(main())
"""


def test_a_flash_that_is_full_when_the_new_pair_is_accepted(city: City, tmp_path: Path) -> None:
    """It holds all the same, the next one may be asked for, and a start brings it to its place."""
    issuer = Issuer.of(city)
    for folder in ("identity", "new"):
        issuer.identity(tmp_path / folder, NAME, days=80)
    settings = {"ca": str(city.authority.folder / "ca.der"), "enrol": None, "renew_days": 30}
    settings |= {"cert": "identity/cert.der", "key": "identity/key.der", "issuer": "issuer.der"}
    (tmp_path / "issuer.der").write_bytes(issuer.der)
    said = run(FULL.replace("SETTINGS", repr(settings)).replace("NAME", repr(NAME)), tmp_path)
    assert said == ["identity flash: OSError(28,)", "None True", "True"]
    assert on_flash(tmp_path)


def test_a_node_on_a_battery_renews_in_its_reports(city: City, image: Path, tmp_path: Path) -> None:
    """It stays awake until it is answered, and proves the new pair at once or at the next report; then it asks no
    more."""
    issuer = Issuer.of(city)
    issuer.identity(tmp_path / "identity", NAME, days=90)
    shutil.copy(city.authority.folder / "ca.der", tmp_path / "ca.der")
    (tmp_path / "issuer.der").write_bytes(issuer.der)
    tls = {"ca": "ca.der", "cert": "identity/cert.der", "key": "identity/key.der", "renew_days": 200}
    still = "return (0, us + 3_600_000_000) if us <= world.now else None"
    made: list[x509.Certificate] = []

    def sign(want: Want) -> bytes:
        made.append(issuer.sign(want.key, NAME, 300))
        return certificate(made[-1])

    meter = Sleeper(
        tmp_path,
        image,
        city.broker.port,
        still,
        battery={"window_s": 3600, "report_s": 3600},
        mqtt={"host": "127.0.0.1", "port": city.broker.port, "tls": tls},
    )
    with Gateway(city, sign) as gateway:
        meter.live(lambda: any("the new certificate was accepted" in line for line in meter.lines))
        reports = sum(wake.connections for wake in meter.wakes)
        meter.live(lambda: sum(wake.connections for wake in meter.wakes) > reports + 1)
        assert len(gateway.wants) == len(made) == 1
    assert on_flash(tmp_path) == made[0]
