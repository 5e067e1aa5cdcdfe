"""HTTPS on the gateway's own ports: what it shows, what it refuses, and how programs of this machine know it again."""

import contextlib
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import urllib3
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway import tls
from gateway.config import Config, Http
from gateway.control import token as tokens
from gateway.control.caller import Caller, ControlError
from gateway.errors import ConfigError
from gateway.http import LIMITS, HttpServer
from gateway.listener import CountingListener
from gateway.pki.authority import Authority
from sim_hardware.servers import free_port, wait_until
from tests.gateway.served import Served, served

SECONDS = 20.0


async def _take(request: Request) -> Response:
    return PlainTextResponse(request.headers["authorization"])


APP = Starlette(routes=[Route("/", lambda _: PlainTextResponse("news")), Route("/do", _take, methods=["POST"])])


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("tls") / "pki", "Riverside")


@pytest.fixture(scope="module")
def settings(city: Authority, tmp_path_factory: pytest.TempPathFactory) -> Http:
    folder = tmp_path_factory.mktemp("served")
    own = Path(city.server(["console.example", "127.0.0.1"]).folder)
    for name in ("cert.pem", "key.pem"):
        shutil.copy(own / name, folder / name)
    return Http(f"127.0.0.1:{free_port()}", str(folder / "cert.pem"), str(folder / "key.pem"))


@pytest.fixture(scope="module")
def server(settings: Http) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tls, "LOOK_SECONDS", 0.05)
        with served(APP, settings=settings) as found:
            yield found


def _serial(settings: Http, authority: Path) -> str:
    """Of what is shown to somebody who trusts the authority alone."""
    context = ssl.create_default_context(cafile=str(authority))
    with (
        socket.create_connection(settings.address, SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        found = secure.getpeercert()
    assert found
    return str(found["serialNumber"])


def test_who_trusts_the_authority_is_served(city: Authority, settings: Http, server: Served) -> None:
    assert settings.url.startswith("https://")
    with urllib3.PoolManager(ca_certs=str(city.folder / "ca.pem"), retries=False) as pool:
        answer = pool.request("GET", f"{settings.url}/")
    assert answer.data == b"news"
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_a_program_of_this_machine_believes_this_certificate_and_no_other(
    city: Authority, settings: Http, server: Served, tmp_path: Path
) -> None:
    """It carries the token that may change everything."""
    token = tokens.issue(tmp_path)
    config = Config(("riverside",), str(tmp_path), http=settings)
    assert Caller(config, lambda _: None).post("/do", b"{}").decode() == f"Bearer {token}"
    other = Path(Authority.create(tmp_path / "other", "Riverside").server(["127.0.0.1"]).folder) / "cert.pem"
    wrong = msgspec.structs.replace(config, http=msgspec.structs.replace(settings, cert=str(other)))
    with pytest.raises(ControlError, match="does not answer"):
        Caller(wrong, lambda _: None, 0.1).post("/do", b"{}")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # which is what it is about
@pytest.mark.parametrize(
    ("least", "most", "ciphers"),
    [
        (ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, "AES256-SHA:AES128-SHA256:ECDHE-ECDSA-AES128-SHA"),
    ],
)
def test_what_is_old_or_broken_is_not_spoken(
    settings: Http, server: Served, least: ssl.TLSVersion, most: ssl.TLSVersion, ciphers: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(ciphers)
    context.minimum_version, context.maximum_version = least, most
    with socket.create_connection(settings.address, SECONDS) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain)


def test_plain_text_is_not_answered(settings: Http, server: Served) -> None:
    with socket.create_connection(settings.address, SECONDS) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        said = b""
        with contextlib.suppress(ConnectionError):
            said = plain.recv(4096)
        assert b"HTTP" not in said


def test_a_handshake_that_never_ends_ends(city: Authority, settings: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.HANDSHAKE_SECONDS", 0.2)
    own = msgspec.structs.replace(settings, listen=f"127.0.0.1:{free_port()}")
    with served(APP, settings=own), socket.create_connection(own.address, SECONDS) as held:
        held.sendall(b"\x16\x03\x01")
        with contextlib.suppress(ConnectionError):
            assert held.recv(1) == b""


def test_who_never_ends_a_handshake_is_counted(settings: Http) -> None:
    """Beyond the bound they are sent away; where they go others come again."""
    own = msgspec.structs.replace(settings, listen=f"127.0.0.1:{free_port()}")
    limits = msgspec.structs.replace(LIMITS, most=3)
    with served(APP, settings=own, limits=limits) as server, contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(own.address, SECONDS)) for _ in range(7)]
        with contextlib.suppress(ConnectionError):
            assert held[6].recv(1) == b"", "six are held, not seven"
        for each in held:
            each.close()

        def again() -> bool:
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                return server.get("/").data == b"news"
            return False

        wait_until(again, SECONDS, "room again")


@pytest.mark.parametrize(("of", "most"), [("", 4), ("203.0.113.7", 2)])
def test_places_are_counted_and_come_back(of: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one address fewer than of all; those of this machine are not told apart."""
    monkeypatch.setattr("gateway.listener.whose", lambda _: of)
    with CountingListener(socket.AF_INET, socket.SOCK_STREAM) as listener, contextlib.ExitStack() as stack:
        listener.bound(4, 2)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        for _ in range(6):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        taken = []
        with contextlib.suppress(BlockingIOError):
            while True:
                taken.append(listener.accept()[0])
        assert (len(taken), listener.held) == (most, most)
        for each in taken:
            each.close()
            each.close()
        assert listener.held == 0


def test_a_renewed_certificate_is_shown_and_a_bad_one_is_not(
    city: Authority, settings: Http, server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    authority, cert, key = city.folder / "ca.pem", Path(settings.cert), Path(settings.key)
    before = _serial(settings, authority)
    renewed = Path(city.server(["console.example", "127.0.0.1"], renew=True).folder)
    cert.write_bytes((renewed / "cert.pem").read_bytes())  # without its key
    wait_until(lambda: "cannot be used, the one before goes on" in caplog.text, SECONDS, "the refusal")
    assert _serial(settings, authority) == before
    key.write_bytes((renewed / "key.pem").read_bytes())
    wait_until(lambda: _serial(settings, authority) != before, SECONDS, "the new one")


@pytest.mark.parametrize("what", ["missing", "nonsense", "another key"])
def test_files_that_cannot_be_used_are_named(city: Authority, settings: Http, tmp_path: Path, what: str) -> None:
    key = tmp_path / "key.pem"
    if what == "nonsense":
        key.write_text("nonsense")
    elif what == "another key":
        shutil.copy(Path(city.gateway("gw").folder) / "key.pem", key)
    with pytest.raises(ConfigError, match=r"console\.cert, console\.key: .* cannot be used"):
        HttpServer(Http(f"127.0.0.1:{free_port()}", settings.cert, str(key)), APP, "console")


def test_plain_text_for_others_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    for listen, plain in (("127.0.0.1", False), ("0.0.0.0", True), ("0.0.0.0", False)):
        HttpServer(Http(f"{listen}:{free_port()}", plain=plain), APP, "citizens").close()
    assert caplog.text.count("reached by others in plain text") == 1
