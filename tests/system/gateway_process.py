"""The gateway as a process of its own, and a publisher that knows what the broker has acknowledged."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import urllib3
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from gateway.journal.store import Journal
from gateway.records import Ledger
from sim_hardware.servers import Mosquitto, free_port, spawn, wait_until

SECONDS = 30.0
NOBODY = 9
"""A port at which nobody ever listens: a free one may become another test's broker."""


class GatewayProcess:
    """`ganglion gateway` below a folder. `start`, then `stop` (SIGTERM), `kill` (SIGKILL), and `start` again."""

    def __init__(
        self,
        folder: Path,
        broker: Mosquitto,
        influx_url: str,
        database: str,
        more: str = "",
        mqtt: str = "",
        **journal: int,
    ) -> None:
        """`more` is further text of the configuration, after its tables; `mqtt` the table of a broker with TLS."""
        self.folder = folder
        self.port = free_port()
        self.config = folder / "ganglion.toml"
        folder.mkdir(parents=True, exist_ok=True)
        self.write_config(
            'sites = ["riverside"]\ndata_dir = "data"\n'
            + (mqtt or f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n')
            + f'[influx]\nurl = "{influx_url}"\napi = "v1"\ndatabase = "{database}"\nflush_ms = 50\n'
            f'[http]\nlisten = "127.0.0.1:{self.port}"\n[journal]\n'
            + "".join(f"{key} = {value}\n" for key, value in journal.items())
            + more
        )
        self.process: subprocess.Popen[bytes] | None = None

    def write_config(self, text: str) -> None:
        """Replace the file as an editor would: at once, under the same name."""
        new = self.config.with_suffix(".new")
        new.write_text(text)
        new.replace(self.config)

    @property
    def log(self) -> str:
        return (self.folder / "gateway.log").read_text()

    def start(self, *, ready: bool = True) -> Self:
        command = [sys.executable, "-m", "gateway.cli.main", "gateway", "--verbose", "--config", str(self.config)]
        self.process = spawn(command, self.folder / "gateway.log", cwd=Path.cwd())
        if ready:
            wait_until(lambda: self.get("/readyz")[0] == 200, SECONDS, "readiness of the gateway")
        return self

    def stop(self) -> int:
        """The exit code after SIGTERM."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(SECONDS)
        self.process = None
        return code

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.kill()

    def get(self, path: str) -> tuple[int, str]:
        """(status, body) of its HTTP server; status 0 while nothing listens."""
        try:
            with urllib3.PoolManager(retries=False, timeout=SECONDS) as pool:
                answer = pool.request("GET", f"http://127.0.0.1:{self.port}{path}")
        except urllib3.exceptions.HTTPError:
            return 0, ""
        return answer.status, answer.data.decode()

    def metric(self, name: str) -> float:
        """One figure of `/metrics`, by its name with labels."""
        lines = self.get("/metrics")[1].splitlines()
        (value,) = [line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")]
        return float(value)

    def journal(self) -> Journal:
        """Read-only."""
        return Journal.open(self.folder / "data", 1, read_only=True)

    def ledger(self) -> Ledger:
        journal = self.journal()
        try:
            return journal.ledger()
        finally:
            journal.close()

    def wait_for(self, what: str, condition: Any, seconds: float = SECONDS) -> Ledger:
        """Wait until the ledger on disk is as wanted; that ledger."""
        found: list[Ledger] = []

        def as_wanted() -> bool:
            found[:] = [self.ledger()]
            return bool(condition(found[0]))

        wait_until(as_wanted, seconds, what)
        return found[0]

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command of `ganglion` over the same configuration."""
        return subprocess.run(
            [sys.executable, "-m", "gateway.cli.main", *arguments],
            env={**os.environ, "GANGLION_CONFIG": str(self.config)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def cli_json(self, *arguments: str) -> list[dict[str, Any]]:
        # Not `splitlines`: it takes what may stand within a JSON string, such as U+2028, for the end of a line.
        return [json.loads(line) for line in self.cli(*arguments, "--json").stdout.split("\n") if line]


class Publisher:
    """Publishes at QoS 1 over one connection. Leaving the context flushes: the broker has acknowledged everything."""

    def __init__(self, broker: Mosquitto) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        self._client.max_inflight_messages_set(500)
        self._client.max_queued_messages_set(0)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self._sent: list[Any] = []

    def send(self, messages: Iterable[tuple[str, bytes]]) -> None:
        self._sent += [self._client.publish(topic, payload, 1) for topic, payload in messages]

    def flush(self) -> None:
        for info in self._sent:
            info.wait_for_publish(SECONDS)
            assert info.is_published()
        self._sent.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        self._client.disconnect()
        self._client.loop_stop()
