"""The demo's own servers and gateway, started in order and ended in the other."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from gateway.errors import GanglionError
from sim_hardware.folder import MARK, locked
from sim_hardware.servers import InfluxDB, Mosquitto, ServerError, check_running, free_port, spawn, wait_until

DATABASE = "ganglion"
_GATEWAY_SECONDS = 30


class Stack(Struct, frozen=True):
    folder: Path
    broker: Mosquitto
    influx: InfluxDB
    config: Path
    gateway: "Gateway"


class Gateway:
    """`ganglion gateway` as a process of its own, as it runs in a cabinet."""

    def __init__(self, config: Path, http: int) -> None:
        self.config = config
        self.http = http
        self.log = config.with_name("gateway.log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = spawn(
            [sys.executable, "-m", "gateway.cli.main", "gateway", "--config", str(self.config)], self.log
        )
        try:
            wait_until(self.ready, _GATEWAY_SECONDS, f"the gateway's start (its log is {self.log})")
        except TimeoutError as error:
            raise ServerError(str(error)) from error

    def ready(self) -> bool:
        """Connected to broker and database. Raises ServerError when the process has ended."""
        import urllib3

        self.check()
        with contextlib.suppress(urllib3.exceptions.HTTPError), urllib3.PoolManager(retries=False, timeout=2) as pool:
            return pool.request("GET", f"http://127.0.0.1:{self.http}/readyz").status == 200
        return False

    def check(self) -> None:
        """Raises ServerError when it has ended by itself."""
        check_running(self._process, "the gateway", self.log)

    def stop(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_GATEWAY_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def running(folder: Path, site: str) -> Iterator[Stack]:
    """Broker, InfluxDB and gateway on free ports below `folder`, until the block ends."""
    with Mosquitto(folder / "broker") as broker, InfluxDB(folder / "influx") as influx:
        http = free_port()
        config = folder / "ganglion.toml"
        config.write_text(
            f'sites = ["{site}"]\ndata_dir = "gateway"\n\n'
            f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n\n'
            f'[influx]\nurl = "{influx.url}"\ndatabase = "{DATABASE}"\n\n'
            f'[http]\nlisten = "127.0.0.1:{http}"\n'
        )
        (folder / MARK).write_text(json.dumps({"influx_port": influx.port}))
        gateway = Gateway(config, http)
        try:
            gateway.start()
            yield Stack(folder, broker, influx, config, gateway)
        finally:
            gateway.stop()


@contextlib.contextmanager
def reopened(folder: Path) -> Iterator[InfluxDB]:
    """The database of a demo that has ended, on the port it had, until the block ends.

    Raises GanglionError where there is none.
    """
    try:
        port = json.loads((folder / MARK).read_text())["influx_port"]
    except (OSError, ValueError, KeyError) as error:
        raise GanglionError(
            f"{folder} holds no database of a demo: run `ganglion demo` first, or name --data"
        ) from error
    with locked(folder), InfluxDB(folder / "influx", port) as influx:
        yield influx
