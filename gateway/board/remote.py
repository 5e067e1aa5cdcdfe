"""The MicroPython on a board, by mpremote: looks at it, copies files to it, runs programs on it."""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from gateway.board import port
from gateway.board.boards import MIN_MICROPYTHON
from gateway.board.errors import BoardError, TransferError
from gateway.board.tool import Output, run

SLOT: Final = "a"
"""The folder on the board that is filled by cable; the other one is for updates over the air."""

_CALL_S: Final = 60
_COPY_S: Final = 900
_START_S: Final = 40
"""A board that starts for the first time formats its file system: that takes some seconds."""
_MARK: Final = "GANGLION "
"""Before the one line that our programs print: whatever else a board says is passed over."""

HASH: Final = """
import hashlib
from binascii import hexlify
def sha(path):
 h = hashlib.sha256(); b = bytearray(512); v = memoryview(b)
 with open(path, "rb") as f:
  while True:
   n = f.readinto(b)
   if not n: break
   h.update(v[:n])
 return hexlify(h.digest()).decode()
"""
"""`sha(path)` for programs on a board: in pieces, because the heap is small."""

# All that is to be known before anything is changed. A node that was interrupted has left its watchdog running, over
# soft resets too, and it cannot be stopped; but it can be given more time, by opening it once more.
_LOOK = (
    HASH
    + """
import os, sys, json, machine
if "main.py" in os.listdir(): machine.WDT(timeout=1800000)
def walk(folder, files):
 for e in os.ilistdir(folder):
  p = folder + "/" + e[0]
  if e[1] == 0x4000: walk(p, files)
  else: files[p] = sha(p)
files = {}
try: walk("SLOT", files)
except OSError: pass
try:
 import esp32
 is_esp32 = True
except ImportError: is_esp32 = False
s = os.statvfs(".")
print("MARK" + json.dumps({"version": list(sys.implementation.version[:3]), "esp32": is_esp32,
 "mpy": getattr(sys.implementation, "_mpy", 0) & 255, "free": s[0] * s[3], "files": files}))
""".replace("MARK", _MARK).replace("SLOT", SLOT)
)


class Look(Struct, frozen=True):
    """What is on a board."""

    version: tuple[int, int, int]
    esp32: bool
    mpy: int
    """Version of the bytecode that it reads."""
    free: int
    """Bytes of flash."""
    files: dict[str, str]
    """Path to SHA-256, of what is in the slot that is filled by cable."""


class Remote:
    """The MicroPython behind a port. Each call enters the raw REPL anew, after a soft reset."""

    def __init__(self, port: str) -> None:
        self._port = port

    def look(self) -> Look:
        """Wait for the board to start, and look at it. Raises BoardError when it runs no MicroPython that will do."""
        heard = port.interrupt(self._port, _START_S)
        if port.NOTHING_TO_RUN in heard:
            raise BoardError(f"there is no MicroPython on the board on {self._port}: give one with --image")
        output = self._call("exec", _LOOK, seconds=_CALL_S)
        line = _marked(output)
        if line is None:
            raise BoardError(
                f"no MicroPython answers on {self._port} (no raw REPL): if the board is new, or runs "
                f"something else, give an image with --image; else press its EN button and try again ({output.last})"
            )
        try:
            found = msgspec.json.decode(line, type=Look)
        except msgspec.DecodeError as error:
            raise BoardError(f"the board on {self._port} answers, but what it says cannot be understood") from error
        if not found.esp32:
            raise BoardError(f"the MicroPython on {self._port} is not that of an ESP32: give --image to replace it")
        check_version(found.version)
        return found

    def execute(self, program: str, seconds: float = _CALL_S) -> str:
        """Run a program that prints one line beginning with `GANGLION `; what follows there. Raises TransferError."""
        output = self._call("exec", program, seconds=seconds)
        line = _marked(output)
        if line is None:
            raise TransferError(_why(output))
        return line

    def copy(self, groups: Sequence[tuple[str, Sequence[str]]], on_file: Callable[[], None]) -> None:
        """Copy files of this machine into folders of the board that exist: [(folder, paths)]; "" is the root.

        Raises TransferError.
        """

        def hear(line: str) -> None:
            if line.startswith("cp "):
                on_file()

        arguments: list[str] = []
        for folder, paths in groups:
            arguments += [*(["+"] if arguments else []), "fs", "cp", "-f", *paths, f":{folder}/" if folder else ":"]
        if not arguments:
            return
        output = self._call(*arguments, seconds=_COPY_S, on_line=hear)
        if output.code != 0:
            raise TransferError(_why(output))

    def reset(self) -> None:
        """As its EN button does. Raises TransferError."""
        output = self._call("reset", seconds=_CALL_S)
        if output.code != 0:
            raise TransferError(f"the board could not be reset: press its EN button ({output.last})")

    def _call(self, *arguments: str, seconds: float, on_line: Callable[[str], None] = lambda line: None) -> Output:
        return run("mpremote", ["connect", self._port, *arguments], seconds, on_line)


def check_version(version: tuple[int, int, int]) -> None:
    """Raises BoardError when the MicroPython is too old."""
    if version[:2] < MIN_MICROPYTHON:
        least = ".".join(map(str, MIN_MICROPYTHON))
        raise BoardError(
            f"the board runs MicroPython {'.'.join(map(str, version))}, the firmware needs {least}: "
            "give a newer one with --image"
        )


def _marked(output: Output) -> str | None:
    lines = [line for line in output.text.splitlines() if line.startswith(_MARK)]
    return lines[-1][len(_MARK) :] if lines and output.code == 0 else None


def _why(output: Output) -> str:
    text = output.text
    if re.search(r"ENOSPC|OSError: (\[Errno )?28\b|No space left", text):
        return "the board's file system is full: remove what is not needed, or begin anew with --erase and --image"
    if output.code is None:
        return "the board stopped answering: press its EN button and give the command again, it goes on where it was"
    if "could not enter raw repl" in text or "failed to access" in text:
        return f"the connection to the board was lost: check the cable and give the command again ({output.last})"
    return f"the board refused: {output.last}"
