"""The demo's own servers and gateway, started in order and ended in the other."""

import contextlib
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from gateway.errors import ConfigError
from gateway.web.users import Users
from sim_hardware.folder import MARK, locked
from sim_hardware.secure import City, SecureMosquitto
from sim_hardware.servers import HttpServer, InfluxDB, Mosquitto, Server, ServerError, free_port

DATABASE = "ganglion"
PKI: Final = "pki"
"""The authority's folder, made anew by each demo."""
TOLD: Final = "duty/told"
FLOOD_PER_S: Final = 10.0
"""Messages of a node in a second of its city, beyond which it is put on hold: a gateway's own bound."""
USER: Final = "demo"


class Mark(Struct, frozen=True):
    """What a later `--reopen` has to know; the contents of the folder's MARK."""

    influx_port: Annotated[int, Meta(ge=1, le=65535)]


PLAN: Final = "plan.toml"
"""Of the city, beside the gateway's configuration."""


class Gateway(HttpServer):
    """`ganglion gateway` as a process of its own, as it runs in a cabinet; up when connected to broker and database."""

    program = "gateway"
    ping = "/readyz"

    def __init__(
        self, folder: Path, site: str, speed: float, broker: SecureMosquitto, influx: InfluxDB, *, pages: bool
    ) -> None:
        """With `pages` also the console and the citizens' page, a process of their own."""
        super().__init__(folder)
        self.pages = pages
        self.config = self.folder / "ganglion.toml"
        self.console_port, self.citizens_port = free_port(), free_port()
        self.password = secrets.token_hex(6)
        """Of the user who may act: another one each time."""
        self._text = (
            f'sites = ["{site}"]\ndata_dir = "gateway"\nexercise = true\n\n'
            # Names relative to this file: the folder's own may hold what TOML quotes.
            f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.gateways_port}\nca = "{PKI}/ca.pem"\n'
            f'cert = "{PKI}/gateway/gateway/cert.pem"\nkey = "{PKI}/gateway/gateway/key.pem"\n\n'
            f'[signing]\ncert = "{PKI}/signer/incidents/cert.pem"\nkey = "{PKI}/signer/incidents/key.pem"\n\n'
            f'[identity]\nissuer = "{PKI}/issuer"\ncrl = "broker/crl.pem"\nca_crl = "{PKI}/crl.pem"\n'
            # In a fast city a node says in a second what others say in minutes.
            f'nodes = "127.0.0.1:{broker.port}"\nmessages_per_s = {FLOOD_PER_S * max(1.0, speed)}\n\n'
            f'[influx]\nurl = "{influx.url}"\ndatabase = "{DATABASE}"\n\n'
            f'[http]\nlisten = "127.0.0.1:{self.port}"\n\n'
            f'[detect]\nplan = "{PLAN}"\n\n'
            # A city that is faster than life lives in the past: what is late for people is not for it.
            f'[[notify]]\nname = "duty"\nvia = "mqtt"\ntopic = "{TOLD}"\nlate = ""\n'
        )
        if pages:
            self._text += (
                f'\n[console]\nlisten = "127.0.0.1:{self.console_port}"\n\n'
                f'[citizens]\nlisten = "127.0.0.1:{self.citizens_port}"\ncontact = "mailto:demo@example.org"\n'
            )

    @property
    def console(self) -> str:
        """Where the operators' pages are."""
        return f"http://127.0.0.1:{self.console_port}/"

    @property
    def citizens(self) -> str:
        """Where the public's page is."""
        return f"http://127.0.0.1:{self.citizens_port}/"

    def answers(self) -> bool:
        """Also with its pages."""
        with contextlib.suppress(OSError):
            for port in (self.console_port, self.citizens_port) if self.pages else ():
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return super().answers()
        return False

    def command(self) -> list[str]:
        self.config.write_text(self._text)
        if self.pages:
            data = self.folder / "gateway"
            data.mkdir(exist_ok=True)
            Users(data).add(USER, self.password, time.time())
        # -P: its folder holds a `gateway` too, the journal's, which is not to be imported.
        return [sys.executable, "-P", "-m", "gateway.cli.main", "gateway", "--config", str(self.config)]


class Stack(Struct, frozen=True):
    broker: SecureMosquitto
    influx: InfluxDB
    gateway: Gateway

    @property
    def servers(self) -> tuple[Server, ...]:
        """In the order of their start."""
        return self.broker, self.influx, self.gateway


class Breaker:
    """Takes the broker away and brings it back, while others look whether it runs."""

    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker
        self._stops = 0

    def stop(self) -> None:
        self._stops += 1
        self._broker.stop()

    def start(self) -> None:
        """Raises ServerError when it does not come back."""
        self._broker.start()

    def check(self) -> None:
        """Raises ServerError when it has ended by itself. May be called from another thread."""
        before = self._stops
        try:
            self._broker.check()
        except ServerError:
            if self._stops == before:
                raise


@contextlib.contextmanager
def running(
    folder: Path, site: str, nodes: int, speed: float, nodes_port: int, look: Callable[[], None], *, pages: bool
) -> Iterator[Stack]:
    """Broker, InfluxDB and gateway below `folder`, until the block ends. What `look` raises ends their start.

    The broker lets in whom an authority of their own, in `PKI`, has given a certificate, as in an installation.
    """
    city = City(folder, site, nodes=nodes, nodes_port=nodes_port, also_write=(TOLD,))
    city.authority.signer()
    broker, influx = city.broker, InfluxDB(folder / "influx")
    stack = Stack(broker, influx, Gateway(folder, site, speed, broker, influx, pages=pages))
    with contextlib.ExitStack() as ends:
        for server in stack.servers:
            server.start(look)
            ends.callback(server.stop)
        (folder / MARK).write_bytes(msgspec.json.encode(Mark(influx.port)))
        yield stack


@contextlib.contextmanager
def reopened(folder: Path, look: Callable[[], None] = lambda: None) -> Iterator[InfluxDB]:
    """The database of a demo that has ended, on the port it had, until the block ends.

    Raises ConfigError where there is none, GanglionError where another run has it.
    """
    try:
        mark = msgspec.json.decode((folder / MARK).read_bytes(), type=Mark)
        found = (folder / "influx/meta/meta.db").is_file()
    except (OSError, msgspec.DecodeError):
        found = False
    if not found:
        raise ConfigError(f"{folder} holds no database of a demo: run `ganglion demo` first, or name --data")
    with locked(folder):
        influx = InfluxDB(folder / "influx", mark.influx_port)
        try:
            yield influx.start(look)
        finally:
            influx.stop()
