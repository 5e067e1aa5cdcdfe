"""One emulated board behind a serial port: a pseudo-terminal on which esptool and mpremote find what they expect.

It has the states that a board has. Without an image in flash the ROM complains. With one, the real MicroPython
interpreter runs, on a flash of its own, with the emulated hardware in sight: main.py, then the REPL. A request for the
ROM's serial protocol takes it there.

    blank --+                      +-- SLIP frame "sync" --> rom
            +-- the port ----------+
    running-+                      +-- anything else ------> the program, or its REPL

A pseudo-terminal has no DTR and RTS, by which esptool resets a real board. So what it sends decides: a sync frame is
taken as the reset into the ROM, and the first byte outside of a frame as the reset out of it.
"""

import contextlib
import json
import os
import pty
import runpy
import select
import signal
import subprocess
import sys
import termios
import tty
from pathlib import Path
from typing import Any, Final

from gateway.update.compile import compile_tree
from sim_hardware.bench.rom import CHIPS, Rom

ROOT: Final = Path(__file__).resolve().parents[2]
INTERPRETER: Final = Path(sys.executable).with_name("micropython")
FLASH_BYTES: Final = 4 << 20
BLOCKS: Final = 512
"""Of 4 KiB: the file system of the generic images has 2 MiB."""

_HEAP = "280K"  # objects are twice as large as on a board, and HAL, chips, their names and console are in it too
_SYNC = b"\xc0\x00\x08"
_INTERRUPT = b"\x03"
_RAW_PROMPT = b"raw REPL; CTRL-B to exit"
_POWER_ON, _HARD, _SOFT = 1, 2, 5
_RESET_EXIT = 80  # machine.py ends a program so, plus the cause
_TYPED_AHEAD = 260  # bytes: the ESP32 port keeps so many for a program that does not read
_UNREAD = 65_536  # bytes for a host that does not read; a real port loses them at once
_TICK_S = 0.01
_IMAGE_MAGIC = 0xE9


class Board:
    """`serve` runs it until its process ends. `port` is the path for the host's tools.

    `folder` keeps its flash over restarts. `board` names the file in firmware/boards/ whose pins the chips of `kind`
    hang on; `wifi` whether there is a network to join; `blocks` the size of its file system.
    """

    def __init__(
        self,
        folder: Path,
        *,
        chip: str = "esp32",
        kind: str = "water",
        board: str = "esp32-devkit",
        flash_bytes: int = FLASH_BYTES,
        wifi: bool = True,
        blocks: int = BLOCKS,
    ) -> None:
        self._folder = folder
        self._chip = CHIPS[chip]
        folder.mkdir(parents=True, exist_ok=True)
        self._image = _image(folder / "hal")
        pins = runpy.run_path(str(ROOT / "firmware/boards" / f"{board.replace('-', '_')}.py"))
        told = {"kind": kind, "wifi": wifi, "blocks": blocks, "pins": _plain(pins)}
        (folder / "bench.json").write_text(json.dumps(told))
        self._flash_path = folder / "flash.bin"
        self._flash = bytearray(
            self._flash_path.read_bytes() if self._flash_path.exists() else b"\xff" * flash_bytes,
        )
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self._rom: Rom | None = None
        self._program: _Program | None = None
        self._out = b""  # to the host
        self._typed = b""  # by the host, not read by the program yet
        self._in_raw_repl = self._to_raw_repl = False

    def serve(self) -> None:
        """Power on, and live."""
        self._boot(_POWER_ON)
        while True:
            program = self._program
            readers = [self._master] + ([program.fd] if program else [])
            # Whether the program has begun or ended to read its console shows only when one looks.
            patience = _TICK_S if self._typed or self._to_raw_repl else 0.2
            ready, _, _ = select.select(readers, [self._master] if self._out else [], [], patience)
            if self._master in ready:
                self._hear(os.read(self._master, 4096))
            if program and program is self._program:
                if program.fd in ready:
                    self._say(program.read())
                if self._to_raw_repl:
                    self._to_raw_repl = not program.into_raw_repl()
                self._type()
                if (code := program.ended()) is not None:
                    self._after(code)
            elif not program and not self._rom and not ready:
                self._say(b"invalid header: 0xffffffff\r\n")  # the ROM tries again and again
            self._flush()

    def _boot(self, cause: int, *, run_main: bool = True) -> None:
        self._typed = b""
        self._in_raw_repl = self._to_raw_repl = False
        if self._flash[self._chip.offset] != _IMAGE_MAGIC:
            return
        self._program = _Program(self._folder, self._image, f"import bench; bench.on({cause}, {run_main})")

    def _hear(self, data: bytes) -> None:
        at = data.find(_SYNC)
        if self._rom is None and at >= 0:
            self._enter_rom()
            data = data[at:]
        if self._rom:
            answer, data = self._rom.feed(data)
            self._out += answer
            if not data and not self._rom.left:
                return
            self._leave_rom()
        if self._program:
            self._typed = (self._typed + data)[-_TYPED_AHEAD:] if not self._program.reads() else self._typed + data
            self._type()

    def _type(self) -> None:
        """Hand on what was typed, if the program reads it now; interrupt it with Ctrl-C if it does not."""
        program = self._program
        if not self._typed or program is None or not program.alive:
            return
        if program.reads():
            for byte in self._typed:
                self._in_raw_repl = {1: True, 2: False}.get(byte, self._in_raw_repl)
            os.write(program.fd, self._typed)
            self._typed = b""
        elif _INTERRUPT in self._typed:
            self._typed = self._typed.rpartition(_INTERRUPT)[2]
            program.interrupt()

    def _after(self, code: int) -> None:
        """The program's process has ended."""
        assert self._program
        self._say(self._program.read())
        self._program.close()
        self._program = None
        if code == 0:
            raw = self._in_raw_repl
            self._say(b"MPY: soft reboot\r\n")
            self._boot(_SOFT, run_main=not raw)
            if raw and self._program:
                self._in_raw_repl = True
                self._to_raw_repl = not self._program.into_raw_repl()
            return
        self._boot(code - _RESET_EXIT if code > _RESET_EXIT else _HARD)

    def _enter_rom(self) -> None:
        if self._program:
            self._program.close()
            self._program = None
        self._out = b""
        termios.tcflush(self._slave, termios.TCIFLUSH)
        self._rom = Rom(self._chip, self._flash, self._forget)

    def _leave_rom(self) -> None:
        self._rom = None
        self._flash_path.write_bytes(self._flash)
        self._boot(_POWER_ON)  # EN takes the chip's power away

    def _forget(self) -> None:
        """The whole flash is erased: files and non-volatile storage are gone."""
        for path in (self._folder / "vfs.lfs2", *self._folder.glob("nvs-*.json")):
            path.unlink(missing_ok=True)

    def _say(self, data: bytes) -> None:
        self._out = (self._out + data)[-_UNREAD:]

    def _flush(self) -> None:
        if self._out:
            with contextlib.suppress(BlockingIOError):  # the host does not read
                self._out = self._out[os.write(self._master, self._out) :]


class _Program:
    """The interpreter at work, on a terminal of its own."""

    def __init__(self, folder: Path, image: Path, source: str) -> None:
        self.fd, slave = pty.openpty()
        settings: list[Any] = termios.tcgetattr(slave)
        settings[1] &= ~termios.OPOST
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        os.set_blocking(self.fd, False)
        self.alive = False  # has said something: from then on it minds signals
        self._muted = False
        self._unheard = b""
        self._last = b""
        command = [str(INTERPRETER), "-X", f"heapsize={_HEAP}", "-c", source]
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            cwd=folder,
            env={**os.environ, "MICROPYPATH": f"{image}:.frozen", "HOME": str(folder), "TERM": "dumb"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def reads(self) -> bool:
        """Whether its REPL waits for input: then it has put its terminal into raw mode."""
        try:
            return not termios.tcgetattr(self.fd)[3] & termios.ICANON
        except termios.error:
            return False  # it has ended

    def read(self) -> bytes:
        """What it said since the last call, with the ends of lines as on a board."""
        try:
            data = os.read(self.fd, 65_536)
        except OSError:
            return b""  # it has nothing to say, or has ended
        self.alive = True
        if self._muted:
            self._unheard += data
            at = self._unheard.find(_RAW_PROMPT)
            if at < 0:
                return b""
            self._muted = False
            data = self._unheard[at:]
        whole = (self._last + data).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if whole.endswith(b"\r"):
            self._last = b"\r"
            return whole[:-1]
        self._last = b""
        return whole

    def into_raw_repl(self) -> bool:
        """Ask for the raw REPL once the REPL is there: whether it was. Nothing is said before."""
        self._muted = True
        if self.reads():
            os.write(self.fd, b"\x01")
            return True
        return False

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def ended(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.poll()

    def close(self) -> None:
        """Cut its power, if it still runs."""
        self._process.kill()
        self._process.wait()
        os.close(self.fd)


def _image(folder: Path) -> Path:
    """HAL and chips, compiled: what of an emulated board is no firmware. As bytecode: that hears a Ctrl-C anywhere.

    The firmware is there only for its names (sim_hardware/hal/names.py), and where nobody imports it.
    """
    sources = {"sim_hardware/hal": "", "sim_hardware/chips": "chips", "firmware": "firmware"}
    for source, below in sources.items():
        for path, content in compile_tree(ROOT / source).items():
            target = folder / below / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return folder


def _plain(names: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in names.items() if name.isupper()}
