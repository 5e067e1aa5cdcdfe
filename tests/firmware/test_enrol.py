"""A node's first identity, by a one-time token over HTTPS, on MicroPython: a stand-in for the gateway's side."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.pki.certificates import new_key
from sim_hardware.secure import City
from tests.firmware.board import SECONDS, Board
from tests.firmware.enrolling import PKIX, TOKEN, Answer, Answering, Asked, est, signing
from tests.firmware.issuing import NAME, Gateway, Issuer, on_flash, told
from tests.firmware.nodes import FOREVER

HURRY = (
    '    uplink = __import__("node.uplink", None, None, ("",))\n'
    "    uplink._FIRST_MS, uplink._LONGEST_MS = 20, 100\n" + FOREVER
)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    made = City(tmp_path_factory.mktemp("city"))
    with made.broker:
        yield made


@pytest.fixture
def server(city: City) -> Path:
    return city.authority.folder / "server/localhost"


@pytest.fixture
def switch(city: City, switch_on: Callable[..., Board], tmp_path: Path) -> Callable[[str], Board]:
    """A node that is told where to enrol."""
    shutil.copy(city.authority.folder / "ca.der", tmp_path / "ca.der")

    def on(url: str) -> Board:
        tls = {"ca": "ca.der", "cert": "identity/cert.der", "key": "identity/key.der"}
        mqtt = {
            "host": "127.0.0.1",
            "port": city.broker.port,
            "tls": {**tls, "enrol": {"url": url, "token": TOKEN}},
        }
        (tmp_path / "identity").mkdir(exist_ok=True)
        return switch_on("water", city.broker.port, life=HURRY, mqtt=mqtt)

    return on


def until(board: Board, words: str) -> list[str]:
    """What a board says up to the line with these words."""
    said = [""]
    while words not in said[-1]:
        said.append(board.line(""))
    return said


def test_a_token_becomes_an_identity(city: City, server: Path, switch: Callable[[str], Board], tmp_path: Path) -> None:
    """The node measures, asks, connects with what it got, and forgets the token, which no log has seen."""
    made: list[x509.Certificate] = []
    with Gateway(city, lambda _: b"") as gateway, est(server, signing(city, made)) as server_:
        with switch(server_.url) as board:
            assert gateway.birth()["identity"] == told(made[0])
            said = until(board, "mqtt: connected")
            board.kill()
        asked = server_.asked.get(timeout=SECONDS)
        assert (asked.path, asked.login) == ("/.well-known/est/simpleenroll", f"{NAME}:{TOKEN}")
        assert asked.accept == PKIX
        assert server_.asked.empty()
    assert on_flash(tmp_path) == made[0]
    assert (tmp_path / "issuer.der").read_bytes() == Issuer.of(city).der
    config = json.loads((tmp_path / "config.json").read_text())
    assert "enrol" not in config["mqtt"]["tls"]
    assert not any(TOKEN.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(TOKEN in line for line in said)


def test_a_token_that_is_refused(city: City, server: Path, switch: Callable[[str], Board]) -> None:
    """It is told in the other side's words, and tried again: what was wrong may be mended there."""
    made: list[x509.Certificate] = []
    sign = signing(city, made)
    refusals = [Answer(401, "text/plain", b"this token was used"), Answer(503, "text/plain", b"later")]

    def answer(asked: Asked, key: ec.EllipticCurvePublicKey) -> Answer | None:
        return refusals.pop(0) if refusals else sign(asked, key)

    with est(server, answer) as served, switch(served.url) as board:
        said = until(board, "mqtt: connected")
    assert any(line.endswith("enrolment refused: 401 this token was used") for line in said)
    assert any("enrolment: 503 later" in line for line in said)
    assert not any(TOKEN in line for line in said)


def test_an_answer_that_is_lost(city: City, server: Path, switch: Callable[[str], Board], tmp_path: Path) -> None:
    """The token is used, the answer gone, and the power too: the node asks with the very same bytes again."""
    made: list[x509.Certificate] = []
    sign = signing(city, made)
    lost = [True]

    def answer(asked: Asked, key: ec.EllipticCurvePublicKey) -> Answer | None:
        return None if lost else sign(asked, key)

    with est(server, answer) as served:
        with switch(served.url):
            first = served.asked.get(timeout=SECONDS)
            second = served.asked.get(timeout=SECONDS)
        while not served.asked.empty():
            served.asked.get()
        lost.clear()
        with switch(served.url) as board:
            until(board, "mqtt: connected")
            board.kill()
        assert first == second == served.asked.get(timeout=SECONDS)
    assert on_flash(tmp_path) == made[0]


def test_answers_of_no_use(city: City, server: Path, switch: Callable[[str], Board], tmp_path: Path) -> None:
    """Each is told, none is taken, and the node goes on asking."""
    issuer = Issuer.of(city)

    def der(key: ec.EllipticCurvePublicKey, name: str = NAME, days: float = 90) -> bytes:
        return issuer.sign(key, name, days).public_bytes(Encoding.DER)

    answers: list[tuple[Answering, str]] = [
        (lambda _, key: Answer(200, PKIX, der(new_key().public_key())), "it is for another key"),
        (lambda _, key: Answer(200, PKIX, der(key)), "the issuer's certificate does not follow the node's"),
        (lambda _, key: Answer(200, PKIX, 2 * der(key)), "the issuer's certificate does not follow the node's"),
        (lambda _, key: Answer(200, PKIX, der(key) + issuer.der + b"x"), "certificate: something follows it"),
        (lambda _, key: Answer(200, PKIX, der(key, "riverside/water-2")), "it is for riverside/water-2"),
        (lambda _, key: Answer(200, PKIX, der(key, days=-9)), "it holds from"),
        (lambda _, key: Answer(200, PKIX, b"x" * 300), "DER: 30 was expected"),
        (lambda _, key: Answer(200, PKIX, b"x" * 5000), "an answer of no or too great a length"),
        (lambda _, key: Answer(200, "text/html", b"<html>"), "an answer that is no certificate"),
        (lambda _, key: Answer(302, "text/html", b""), "enrolment: 302"),
        (lambda _, key: None, "no answer in HTTP"),
    ]
    made: list[x509.Certificate] = []
    sign = signing(city, made)
    left = list(answers)

    def answer(asked: Asked, key: ec.EllipticCurvePublicKey) -> Answer | None:
        return left.pop(0)[0](asked, key) if left else sign(asked, key)

    with est(server, answer) as served, switch(served.url) as board:
        for _, why in answers:
            until(board, why)
        assert not (tmp_path / "identity/cert.der").exists()
        until(board, "mqtt: connected")


def test_somebody_else_is_told_nothing(city: City, switch: Callable[[str], Board], tmp_path: Path) -> None:
    """A server that our authority has not signed: neither token nor request leave the board."""
    stranger = City(tmp_path / "stranger")
    with est(stranger.authority.folder / "server/localhost", signing(city, [])) as served, switch(served.url) as board:
        until(board, "not correctly signed by the trusted CA")
        assert served.asked.empty()


@pytest.mark.parametrize("why", ["another name", "refused"])
def test_a_board_that_has_an_identity_of_no_use(
    city: City, server: Path, switch: Callable[[str], Board], tmp_path: Path, why: str
) -> None:
    """Another node's is not tried; one that the broker refuses three times is given up, as there is a token."""
    made: list[x509.Certificate] = []
    if why == "another name":
        Issuer.of(city).identity(tmp_path / "identity", "riverside/water-2", 90)
    else:
        Issuer.stranger().identity(tmp_path / "identity", NAME, 90)
    with est(server, signing(city, made)) as served, switch(served.url) as board:
        said = until(board, "mqtt: connected")
        board.kill()
    assert sum("mqtt: no connection" in line for line in said) == (0 if why == "another name" else 3)
    assert on_flash(tmp_path) == made[0]


def test_one_that_holds_needs_no_token(
    city: City, server: Path, switch: Callable[[str], Board], tmp_path: Path
) -> None:
    """A board that was flashed again: it connects, and the token is gone all the same."""
    held = Issuer.of(city).identity(tmp_path / "identity", NAME, 90)
    with est(server, signing(city, [])) as served, switch(served.url) as board:
        until(board, "mqtt: connected")
        assert served.asked.empty()
        board.kill()
    assert on_flash(tmp_path) == held
    assert TOKEN not in (tmp_path / "config.json").read_text()
