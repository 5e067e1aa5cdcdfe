"""Private servers: a real broker and real databases below one folder, on free ports of their own.

Nothing that already runs on the machine is used or touched. Each server is a child in a session of its own (so that a
Ctrl-C at the terminal reaches only the program that owns it) and dies with its parent, however the parent ends.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import urllib3

from gateway.errors import GanglionError

PORTS = "16384-32768"
"""Where `free_port` looks; Linux takes from 32,768 on what a connection needs (ip_local_port_range). Programs that run
side by side are kept apart by another range for each, in GANGLION_PORTS of their environment."""
_DICE = random.SystemRandom()
_given: set[int] = set()
"""Ports that were handed out, and may be held by nobody yet."""
STARTUP_SECONDS = 30
"""A cold InfluxDB on a slow disk takes seconds; half a minute means that it will not come."""
STOP_SECONDS = 10
"""One that has not ended by then hangs, and is killed."""


class ServerError(GanglionError):
    """A server could not be started; the message carries the end of its own log."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody holds at this moment.

    It is none of those that the kernel gives to connections: one of them might take it while its server is down.
    """
    ports = range(*map(int, os.environ.get("GANGLION_PORTS", PORTS).split("-")))
    if len(_given) > len(ports) // 2:
        _given.clear()
    while True:
        port = _DICE.choice(ports)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def spawn(command: list[str], log: Path, *, cwd: Path | None = None, dies_by: str = "TERM") -> subprocess.Popen[bytes]:
    """Start a child that outlives neither us nor our terminal's Ctrl-C. Its output goes to `log`.

    Must be called from the main thread: the kernel counts the death of the calling thread as ours.
    """
    with log.open("ab") as out:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", dies_by, "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            start_new_session=True,
        )


def check_running(process: subprocess.Popen[bytes] | None, name: str, log: Path) -> None:
    """Raises ServerError, with the end of its log if it has said anything, when a child that should run has ended."""
    if process is not None and (code := process.poll()) is not None:
        how = f"ended by itself with {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"
        raise ServerError(f"{name} {how}{_end_of(log)}")


def _end_of(log: Path) -> str:
    said = log.read_text(errors="replace")[-600:].rstrip()
    return f"; its log ends:\n{said}" if said else ""


class Server:
    """What all have in common. Subclasses say how they are configured and when they answer.

    Each runs in its folder, so that its configuration names files below it without their path, which may hold
    anything that a configuration's syntax does not like.
    """

    program = ""
    package = ""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.resolve()
        self.port = port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.program}.log"

    @property
    def pid(self) -> int:
        """Of the process that runs; 0 when none does."""
        return self._process.pid if self._process is not None else 0

    def start(self, look: Callable[[], None] = lambda: None) -> Self:
        """Start and wait until it answers. The port stays the same over `stop` and `kill`.

        Raises ServerError when the program is missing, ends at once or stays silent; and what `look`, called
        meanwhile, raises. Then nothing is left running.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = spawn(self.command(), self.log, cwd=self.folder)
        deadline = time.monotonic() + STARTUP_SECONDS
        try:
            while not self.answers():
                look()
                self.check()
                if time.monotonic() > deadline:
                    raise ServerError(f"{self.program} did not come up on port {self.port}{_end_of(self.log)}")
                time.sleep(0.02)
            self.check()  # it may have been somebody else's answer
        except BaseException:
            self.kill()
            raise
        return self

    def check(self) -> None:
        """Raises ServerError when it has ended by itself."""
        check_running(self._process, self.program, self.log)

    def stop(self) -> None:
        """End it in an orderly way; it may write to disk what it holds."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, sign: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            try:
                process.send_signal(sign)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)
            finally:
                process.kill()  # nothing, if it has ended
                process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def command(self) -> list[str]:
        path = shutil.which(self.program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
        if path is None:
            raise ServerError(f"{self.program} is not installed: `apt-get install {self.package}` brings it")
        return [path, *self.arguments()]

    def arguments(self) -> list[str]:
        """Write the configuration; return the command line behind the program's name."""
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError


class Mosquitto(Server):
    """An MQTT broker that queues without a number's limit for a gateway that is away, and keeps its queue on disk."""

    program = "mosquitto"
    package = "mosquitto"

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        settings: str = "allow_anonymous true",
        more_ports: Sequence[int] = (),
    ) -> None:
        """`more_ports` are those of listeners that `settings` add."""
        super().__init__(folder, port)
        self.settings = settings
        self._more_ports = more_ports

    def arguments(self) -> list[str]:
        # `user root` has an effect only for root: without it the broker drops to a user that cannot write here.
        # The queue limits of the stock configuration (20 in flight, 1000 queued) lose messages.
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nuser root\npersistence true\npersistence_location ./\n"
            "autosave_interval 5\nmax_inflight_messages 0\nmax_queued_messages 0\nmax_packet_size 65536\n"
            "set_tcp_nodelay true\n"
            f"log_dest stdout\nlog_type warning\nlog_type error\n{self.settings}\n"
        )
        return ["-c", str(config)]

    def answers(self) -> bool:
        """At each port: it opens one after another."""
        with contextlib.suppress(OSError):
            for port in (self.port, *self._more_ports):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        return False


class HttpServer(Server):
    """A server that speaks HTTP, and says at the path `ping` whether it is ready."""

    ping = "/ping"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        with contextlib.suppress(urllib3.exceptions.HTTPError), urllib3.PoolManager(retries=False, timeout=1) as pool:
            return pool.request("GET", self.url + self.ping).status < 300
        return False


class InfluxDB(HttpServer):
    """InfluxDB 1.6 as Debian ships it."""

    program = "influxd"
    package = "influxdb"

    def arguments(self) -> list[str]:
        config = self.folder / "influxdb.conf"
        config.write_text(
            f"""reporting-disabled = true
bind-address = "127.0.0.1:{free_port()}"
[meta]
dir = "meta"
[data]
dir = "data"
wal-dir = "wal"
query-log-enabled = false
[http]
bind-address = "127.0.0.1:{self.port}"
log-enabled = false
[monitor]
store-enabled = false
[continuous_queries]
enabled = false
"""
        )
        return ["-config", str(config)]


class VictoriaMetrics(HttpServer):
    """VictoriaMetrics, which takes influxdb-client's v2 writes."""

    program = "victoria-metrics"
    package = "victoria-metrics"
    ping = "/health"

    def arguments(self) -> list[str]:
        return [
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-storageDataPath=data",
            "-retentionPeriod=100y",
            "-memory.allowedBytes=128MB",
        ]


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll a condition of another process. Raises TimeoutError that names what did not happen."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.02)
