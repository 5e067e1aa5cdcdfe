"""A gateway with its pages for tests that attack it, and what a hostile node says to it."""

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3
from websockets.sync.client import ClientConnection, connect

from gateway.pki.authority import Authority
from gateway.web.users import Users
from sim_hardware.servers import InfluxDB, Mosquitto, free_port, wait_until
from tests.gateway.conftest import payload_of
from tests.system.gateway_process import SECONDS, GatewayProcess, Publisher

USER, PASSWORD = "ada", "correct horse battery"
DATABASE = "attacked"
COOKIE = "ganglion_session"
EVIL = "https://evil.example"
MARK = "<script>window.hacked=1</script>"
HOSTILE = f'"><img src=x onerror="window.hacked=1">{MARK}\x1b]0;owned\x07\x1b[2J\r\n<2>forged: line\x9b'


NAMES = (
    "lane1,evil=1 x=1",
    "lane1 x=1\nevil,a=b v=1",
    'a";DROP DATABASE attacked--',
    "a' OR '1'='1",
    "../../x",
    HOSTILE,
)
"""Of channels and quantities: more than names where they are put together with others."""


class _Once(urllib3.PoolManager):
    """Each question by a connection of its own: one that was kept may be closed just when it is taken again."""

    def urlopen(self, method: str, url: str, redirect: bool = True, **given: Any) -> urllib3.BaseHTTPResponse:  # type: ignore[override]
        headers = {**(given.pop("headers", None) or {}), "Connection": "close"}
        return super().urlopen(method, url, redirect, headers=headers, **given)


class City:
    """A gateway, its console behind a login and TLS, and its citizens' page."""

    def __init__(self, gateway: GatewayProcess, broker: Mosquitto, influx: InfluxDB, ca: Path) -> None:
        self.gateway, self.broker, self.influx = gateway, broker, influx
        self.trust = ssl.create_default_context(cafile=str(ca))
        self.pool = _Once(ca_certs=str(ca), retries=False, timeout=SECONDS)
        self.console_port, self.citizens_port = free_port(), free_port()
        self.console = f"https://127.0.0.1:{self.console_port}"
        self.citizens = f"http://127.0.0.1:{self.citizens_port}"
        self.cookie = ""

    def ask(self, path: str, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
        """Of the console, as who has logged in."""
        given = {"Cookie": self.cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.pool.request(method, self.console + path, headers=given, redirect=False)

    def log_in(self, password: str = PASSWORD, to: str = "/", **headers: str) -> urllib3.BaseHTTPResponse:
        fields = {"name": USER, "password": password, "to": to}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.pool.request(
            "POST", f"{self.console}/login", fields=fields, headers=given, encode_multipart=False, redirect=False
        )

    def there(self) -> bool:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            return self.ask("/static/icon.svg").status == 200
        return False

    def raw(self, port: int, said: bytes) -> bytes:
        """What is answered to bytes that no client would send."""
        with contextlib.ExitStack() as stack:
            held = stack.enter_context(socket.create_connection(("127.0.0.1", port), SECONDS))
            if port == self.console_port:
                held = stack.enter_context(self.trust.wrap_socket(held, server_hostname="127.0.0.1"))
            held.sendall(said)
            found = b""
            with contextlib.suppress(ConnectionError):
                while piece := held.recv(65536):
                    found += piece
            return found

    def socket(self, cookie: str, origin: str) -> ClientConnection:
        """Of a page of the console. Raises InvalidStatus where it is refused."""
        return connect(
            self.console.replace("https", "wss") + "/_nicegui_ws/socket.io/?EIO=4&transport=websocket",
            ssl=self.trust, additional_headers={"Cookie": cookie}, origin=origin, proxy=None, open_timeout=SECONDS,  # type: ignore[arg-type]
        )  # fmt: skip


def cookie_of(answer: urllib3.BaseHTTPResponse) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


@contextlib.contextmanager
def attacked_city(folder: Path, influx: InfluxDB) -> Iterator[City]:
    """`ada` has logged in, and a node has said all that it can."""
    authority = Authority.create(folder / "pki", "Riverside")
    own = Path(authority.server(["127.0.0.1"]).folder)
    with urllib3.PoolManager() as pool:
        pool.request("POST", f"{influx.url}/query", fields={"q": f"CREATE DATABASE {DATABASE}"})
    with Mosquitto(folder / "broker") as broker:
        gateway = GatewayProcess(folder / "gateway", broker, influx.url, DATABASE)
        found = City(gateway, broker, influx, authority.folder / "ca.pem")
        gateway.write_config(
            gateway.config.read_text()
            + f'[console]\nlisten = "127.0.0.1:{found.console_port}"\nread = "login"\n'
            + f'cert = "{own / "cert.pem"}"\nkey = "{own / "key.pem"}"\n'
            + f'[citizens]\nlisten = "127.0.0.1:{found.citizens_port}"\ncontact = "mailto:duty@city.example"\n'
        )
        (gateway.folder / "data").mkdir(mode=0o755)
        with gateway:
            Users(gateway.folder / "data").add(USER, PASSWORD, time.time())
            wait_until(found.there, SECONDS, "the console")
            found.cookie = cookie_of(found.log_in())
            birth = {"online": True, "kind": "air", "board": HOSTILE, "firmware": HOSTILE, "safe": HOSTILE}
            topic = "ganglion/v1/riverside/air-0007"
            with Publisher(broker) as publisher:
                publisher.send([(f"{topic}/status", json.dumps(birth).encode())])
                publisher.send([(f"{topic}/telemetry", payload_of(seq)) for seq in range(3)])
                publisher.send((f"{topic}/telemetry", each) for each in _hostile_packs())
            gateway.wait_for("what nodes said", lambda count: count.written == 3 and count.received >= 3 + 8)
            yield found


def _hostile_packs() -> Iterator[bytes]:
    """Such names before a quantity's, and in place of it."""
    for name in NAMES:
        for whole in (f"{name}/pm2_5", name):
            pack = json.loads(payload_of(9))
            pack[-1]["n"] = whole
            yield json.dumps(pack).encode()
