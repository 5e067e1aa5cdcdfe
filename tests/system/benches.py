"""Emulated boards on serial ports, images to write on them, and `ganglion flash` as a person gives it."""

import json
import random
import struct
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.board import port
from sim_hardware.bench.board import FLASH_BYTES
from sim_hardware.bench.rom import CHIPS
from sim_hardware.servers import spawn, wait_until

SECONDS = 120.0
IMAGE_BYTES = 100_000


def make_image(path: Path, chip_id: int = 0, flash_mib: int = 4) -> Path:
    """A file with the header of a real image, and noise behind it: no chip here runs it."""
    flash = flash_mib.bit_length() - 1 << 4
    header = struct.pack("<BBBBI", 0xE9, 1, 2, flash, 0x40080000) + struct.pack("<IH10x", 0xEE, chip_id)
    path.write_bytes(header + random.Random(chip_id).randbytes(IMAGE_BYTES - len(header)))
    return path


class Bench:
    """A board in a process of its own, from the beginning of the context to its end. `port` is its serial port.

    With `micropython` an ESP32 that has been flashed before, as boards are when they are bought with it.
    """

    def __init__(self, folder: Path, *options: str, micropython: bool = False) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if micropython:
            flash = bytearray(b"\xff" * FLASH_BYTES)
            flash[CHIPS["esp32"].offset] = 0xE9
            (folder / "flash.bin").write_bytes(flash)
        self._options = options
        self._log = folder / "bench.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = ""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "sim_hardware.bench", str(self.folder), *self._options]
        self._process = spawn(command, self._log, cwd=Path.cwd(), dies_by="KILL")
        wait_until(lambda: "\n" in self._log.read_text(), SECONDS, "the board's port")
        self.port = self._log.read_text().splitlines()[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def run(self, program: str) -> str:
        """What a program prints that mpremote runs on the board.

        One that is about to reset, or starts, does not hear mpremote's Ctrl-C, which is said once and waits for ever on
        a pseudo-terminal. So its console comes first.
        """
        assert ">>> " in port.interrupt(self.port, SECONDS)
        command = [sys.executable, "-m", "mpremote", "connect", self.port, "exec", program]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "gateway.cli.main", "flash", *arguments]


def flash(*arguments: str, cwd: Path | None = None) -> tuple[int, dict[str, Any], str]:
    """(exit code, what `--json` printed or {}, what was said on standard error)."""
    answer = subprocess.run(
        command(*arguments, "--json"), capture_output=True, text=True, timeout=SECONDS, check=False, cwd=cwd
    )
    return answer.returncode, json.loads(answer.stdout) if answer.stdout.strip() else {}, answer.stderr
