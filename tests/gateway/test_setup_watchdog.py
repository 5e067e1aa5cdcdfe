"""What systemd hears from a real gateway, over a real socket of the kind that systemd listens at."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.journal.schema import connect_read_only
from gateway.systemd import Notifier
from sim_hardware.servers import free_port, spawn, wait_until
from tests.gateway.test_setup_reload import status, write

SECONDS = 60.0
WATCHDOG_SECONDS = 2.0
LOOKS = 30
"""Silence must come within so many messages; one that lives says more."""


class Systemd:
    """Its end of the socket, with a gateway as the service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "ganglion.toml"
        self.port = free_port()
        write(self.config, self.port)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        gateway = [sys.executable, "-m", "gateway.cli.main", "gateway", "--config", str(self.config)]
        told = [f"NOTIFY_SOCKET={self.folder / 'notify'}", f"WATCHDOG_USEC={WATCHDOG_SECONDS * 1e6:.0f}"]
        self.process = spawn(["env", *told, *gateway], self.folder / "log")

    def hear(self, *wanted: str) -> dict[str, str]:
        """The next message that has all these keys."""
        deadline = time.monotonic() + SECONDS
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            message = self._message()
            if message.keys() >= set(wanted):
                return message
        raise TimeoutError((self.folder / "log").read_text())

    def hear_nothing_of(self, key: str) -> None:
        """Return once a whole time of the watchdog has passed without it, which is when systemd kills."""
        self.socket.settimeout(WATCHDOG_SECONDS)
        heard = time.monotonic()
        for _ in range(LOOKS):
            with contextlib.suppress(TimeoutError):
                if key in self._message():
                    heard = time.monotonic()
            if time.monotonic() - heard >= WATCHDOG_SECONDS:
                return
        raise AssertionError(f"{key} goes on")

    def _message(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    it = Systemd(tmp_path)
    try:
        it.start()
        yield it
    finally:
        if it.process is not None and it.process.poll() is None:
            it.process.kill()
            it.process.wait()
        it.socket.close()


def test_from_the_start_to_the_end(systemd: Systemd) -> None:
    """Ready without broker and database, which are told as trouble; alive; reloading; ending."""
    first = systemd.hear("WATCHDOG")  # a slow disk may be told of before
    assert (first["READY"], first["WATCHDOG"]) == ("1", "1")
    assert "broker: " in systemd.hear("STATUS")["STATUS"]
    for _ in range(3):
        assert systemd.hear("WATCHDOG").keys() == {"WATCHDOG", "STATUS"}
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    write(systemd.config, free_port())
    reloading = systemd.hear("RELOADING")
    assert before <= int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert systemd.hear("READY")["READY"] == "1"
    assert systemd.process is not None
    systemd.process.terminate()
    systemd.hear("STOPPING")
    assert systemd.process.wait(SECONDS) == 0


def test_a_refused_reload_is_ready_again(systemd: Systemd) -> None:
    """Its port is taken, which is found only when the parts have ended."""
    systemd.hear("READY")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        write(systemd.config, taken.getsockname()[1])
        systemd.hear("RELOADING")
        systemd.hear("READY")
    assert status(systemd.port) == 200


def test_nobody_pets_for_an_event_loop_that_stands(systemd: Systemd) -> None:
    systemd.hear("READY")
    assert systemd.process is not None
    systemd.process.send_signal(signal.SIGSTOP)
    systemd.hear_nothing_of("WATCHDOG")
    systemd.process.send_signal(signal.SIGCONT)
    systemd.hear("WATCHDOG")


def test_nobody_pets_for_a_journal_that_hangs(systemd: Systemd) -> None:
    """All threads but the event loop's stand still, as the journal's does in a write that never ends."""
    systemd.hear("READY")
    assert systemd.process is not None
    with standing_still(systemd.process.pid, systemd.port):
        assert status(systemd.port) == 200
        systemd.hear_nothing_of("WATCHDOG")
        assert "journal: its disk does not answer" in systemd.hear("STATUS")["STATUS"]
        assert status(systemd.port) == 200
    systemd.hear("WATCHDOG")


def test_a_full_journal_lives(tmp_path: Path) -> None:
    """It is a state to wait in, not one to be killed in: the journal's thread answers."""
    folder = tmp_path / "small"
    folder.mkdir()
    here = tmp_path / "here"
    here.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], check=False).returncode == 0
    if not mounted:
        pytest.skip("only root can make a small disk")
    try:
        systemd = Systemd(here)
        write(systemd.config, systemd.port, data=str(folder))
        systemd.start()
        try:
            systemd.hear("READY")
            with contextlib.closing(connect_read_only(folder)) as reader:
                # As long as somebody reads, SQLite's log does not begin anew, where it had room: it must grow.
                reader.execute("BEGIN")
                reader.execute("SELECT * FROM counters").fetchall()
                with contextlib.suppress(OSError), (folder / "fill").open("wb", buffering=0) as fill:
                    while True:
                        fill.write(bytes(512))
                wait_until(lambda: "full" in systemd.hear("WATCHDOG")["STATUS"], SECONDS, "word of the full disk")
                assert "full" in systemd.hear("WATCHDOG")["STATUS"]
        finally:
            assert systemd.process is not None
            systemd.process.kill()
            systemd.process.wait()
            systemd.socket.close()
    finally:
        subprocess.run(["umount", folder], check=True)


def test_nothing_is_told_when_nobody_asks() -> None:
    """And another process's watchdog is not ours; a socket that has gone ends nothing."""
    assert not Notifier({}).wanted
    Notifier({}).tell("READY=1")
    Notifier({"NOTIFY_SOCKET": "/nowhere/notify"}).tell("READY=1")
    theirs = Notifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"})
    ours = Notifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())})
    assert (ours.beat_seconds, theirs.beat_seconds) == (0.25, 10.0)


def test_an_abstract_socket() -> None:
    """`@` stands for a zero byte."""
    name = f"ganglion-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0{name}")
        server.settimeout(SECONDS)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).tell("READY=1", "STATUS=running")
        assert server.recv(100) == b"READY=1\nSTATUS=running"


_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


@contextlib.contextmanager
def standing_still(pid: int, port: int) -> Iterator[None]:
    """Holds, by ptrace(2), all threads of a process but its first, and none that holds the interpreter's lock."""
    for _ in range(LOOKS):
        held = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir() if int(task.name) != pid]
        for thread in held:
            _trace(_SEIZE, thread)
            _trace(_INTERRUPT, thread)
            os.waitpid(thread, 0x40000000)  # __WALL: a thread is no child
        try:
            if status(port, WATCHDOG_SECONDS) == 200:
                yield
                return
        finally:
            for thread in held:
                _trace(_DETACH, thread)
    raise AssertionError("a thread was always met holding the interpreter's lock")


def _trace(request: int, thread: int) -> None:
    if _libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")
