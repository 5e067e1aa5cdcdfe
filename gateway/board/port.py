"""Serial ports: which there are, whether one can be opened, and what is said on it."""

import contextlib
import errno
import os
import threading
import time
from collections import deque
from types import TracebackType
from typing import Final, Self

import serial
from serial.tools.list_ports import comports

from gateway.board.errors import PortError

BAUD: Final = 115_200
NOTHING_TO_RUN: Final = "invalid header"
"""What the ROM says of an empty flash."""

_KEPT_LINES: Final = 400
_KEPT: Final = 8192
_STOP: Final = b"\r\x03\x03\x02"
"""Ctrl-C, twice in case the first is taken as an error of the program; and Ctrl-B, out of a raw REPL."""
_SETTLED: Final = (">>> ", NOTHING_TO_RUN)


def candidates() -> list[str]:
    """Each serial port of this machine with what it says of itself; those on USB, which boards are on, first."""
    ports = sorted(comports(), key=lambda port: (port.vid is None, port.device))
    return [f"{port.device}  {port.description}" for port in ports]


def check(path: str) -> None:
    """Raises PortError that says why a port cannot be used, and what to do."""
    try:
        serial.Serial(path, BAUD, exclusive=True).close()
    except serial.SerialException as error:
        raise PortError(_why(path, error)) from error


def _why(path: str, error: serial.SerialException) -> str:
    number = error.errno
    text = str(error)
    if number == errno.ENOENT or "FileNotFoundError" in text:
        found = candidates()
        there = "; there are:\n  " + "\n  ".join(found) if found else "; there is no serial port at all"
        return f"{path} is not there: is the board plugged in, with a cable that carries data?{there}"
    if number == errno.EACCES:
        return (
            f"{path} may not be opened by you: join the group that owns it, "
            "mostly `sudo usermod -aG dialout $USER`, and log in again"
        )
    if number in (errno.EBUSY, errno.EAGAIN) or "lock" in text or "PermissionError" in text:
        return f"{path} is in use by another program: close its serial monitor or console"
    return f"{path} cannot be opened: {text}"


def is_pseudo_terminal(path: str) -> bool:
    """A port without DTR and RTS, by which boards are reset: an emulated one, or one over a network."""
    return os.path.realpath(path).startswith("/dev/pts/")


def interrupt(path: str, seconds: float) -> str:
    """Stop what runs on a board, until its REPL shows or the board says that it has nothing to run; what it said.

    Raises PortError when the port does not come back within the time.
    """
    heard = ""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with serial.Serial(path, BAUD, timeout=0.1, exclusive=True) as port:
                while time.monotonic() < deadline:
                    port.write(_STOP)
                    patience = time.monotonic() + 1
                    while time.monotonic() < patience:
                        data: bytes = port.read(port.in_waiting or 1)
                        heard = (heard + data.decode(errors="replace"))[-_KEPT:]
                        if any(sign in heard for sign in _SETTLED):
                            return heard
                return heard
        except (serial.SerialException, OSError) as error:
            # A port on the chip itself goes away while the board starts, and comes back.
            if time.monotonic() > deadline:
                raise PortError(f"{path} did not come back after the board was reset: unplug it, plug it in") from error
            time.sleep(0.1)


class Console:
    """What a board says, from the beginning of the context to its end. Its newest lines are in `lines`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        rest = b""
        while not self._ended.is_set():
            # A port on the chip itself goes away while the board starts, and comes back.
            try:
                with serial.Serial(self._path, BAUD, timeout=0.1) as port:
                    while not self._ended.is_set():
                        *lines, rest = (rest + port.read(port.in_waiting or 1)).split(b"\n")
                        self.lines.extend(line.decode(errors="replace").strip() for line in lines)
            except (serial.SerialException, OSError):
                time.sleep(0.1)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with contextlib.suppress(RuntimeError):
            self._thread.join(2)
