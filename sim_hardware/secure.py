"""A broker that lets in who has a certificate and nobody else, with all that belongs to it, made below one folder."""

import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from gateway.files import stamp
from gateway.pki.authority import Authority, PkiError
from gateway.pki.broker import Broker
from gateway.pki.brokerfolder import check_folder, make
from sim_hardware.servers import Mosquitto, free_port

LOOK_SECONDS = 0.1
"""How often it is looked whether the list of what holds no more has changed."""


class SecureMosquitto(Mosquitto):
    """One that runs from the folder of `ganglion pki broker`. `port` is for nodes, `gateways_port` for the rest.

    When its `crl.pem` changes and can be used it reads it again, as systemd sees to it in an installation.
    """

    def __init__(
        self, folder: Path, nodes_port: int, gateways_port: int, crl: str = "crl.pem", more_ports: Sequence[int] = ()
    ) -> None:
        super().__init__(folder, nodes_port, more_ports=[gateways_port, *more_ports])
        self.gateways_port = gateways_port
        self._list = self.folder / crl
        self.reloads = 0
        """How often it was told to read what was found there."""
        self.refused = 0
        """How often that could not be used, and it was not told."""
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None

    def arguments(self) -> list[str]:
        return ["-c", "mosquitto.conf"]

    def start(self, look: Callable[[], None] = lambda: None) -> Self:
        """Also again after `stop` or `kill`. Raises as `Server.start`."""
        self._end_watching()
        before = stamp(self._list)
        super().start(look)
        self._ended.clear()
        self._watcher = threading.Thread(target=self._watch, args=(before,), name="broker-reload", daemon=True)
        self._watcher.start()
        return self

    def reload(self) -> None:
        """Have it read the lists again: who may do what, and what holds no more. Nobody is cut off by that."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def _end(self, sign: signal.Signals) -> None:
        self._end_watching()
        super()._end(sign)

    def _end_watching(self) -> None:
        if self._watcher is not None:
            self._ended.set()
            self._watcher.join()
            self._watcher = None

    def _watch(self, seen: object) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            if (now := stamp(self._list)) != seen:
                seen = now
                try:
                    check_folder(self.folder, self._list)
                    self.reload()
                    self.reloads += 1
                except PkiError:
                    self.refused += 1


class City:
    """An authority, its issuer, a gateway's identity and a broker's folder; the broker is not started yet.

    `settings` are those of `Broker`. Identities named in them are made too: see `identity`.
    """

    def __init__(self, folder: Path, name: str = "Riverside", **settings: Any) -> None:
        self.folder = folder.resolve()
        self.authority = Authority.create(self.folder / "pki", name)
        self.issuer = self.authority.folder / "issuer"
        """Folder with cert.pem and key.pem."""
        self.authority.server(["localhost", "127.0.0.1"])
        local = Broker(
            nodes_listen="127.0.0.1",
            nodes_port=free_port(),
            gateways_port=free_port(),
            user="root",  # without it the broker, started by root, becomes somebody who may not read this folder
            data="./",
        )
        self.settings = msgspec.structs.replace(local, **settings)
        names = (*self.settings.gateways, *(each.name for each in self.settings.fleets), *self.settings.readers)
        for each in (*names, *filter(None, [self.settings.home_assistant])):
            self.authority.gateway(each)
        make(self.authority, self.settings, self.folder / "broker")
        self.broker = SecureMosquitto(
            self.folder / "broker", self.settings.nodes_port, self.settings.gateways_port, self.settings.crl
        )

    @property
    def ca(self) -> Path:
        """PEM; `ca.der` lies beside it."""
        return self.authority.folder / "ca.pem"

    @property
    def crl(self) -> Path:
        """What the broker reads; to replace it is enough."""
        return self.broker.folder / self.settings.crl

    def identity(self, name: str = "gateway") -> Path:
        """Folder with cert.pem and key.pem of one who connects to `broker.gateways_port`."""
        return self.authority.folder / "gateway" / name

    def node(self, site: str, node: str) -> Path:
        """Folder of a node's identity, made if there is none: cert.pem key.pem, ca.der issuer.der cert.der key.der."""
        folder = self.authority.folder / "node" / site / node
        if not folder.exists():
            self.authority.node(site, node)
        return folder

    def mqtt(self) -> str:
        """The table `[mqtt]` of a gateway's configuration."""
        here = self.identity()
        return (
            f'[mqtt]\nhost = "127.0.0.1"\nport = {self.broker.gateways_port}\n'
            f'ca = "{self.ca}"\ncert = "{here}/cert.pem"\nkey = "{here}/key.pem"\n'
        )

    def renew(self) -> None:
        """Bring what the authority has done since to the broker's folder, as `ganglion pki broker --renew` does."""
        make(self.authority, self.settings, self.broker.folder, renew=True)
