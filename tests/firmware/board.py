"""An emulated board that runs a test's own program, and says what it does line by line."""

import queue
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from sim_hardware.fleet.pace import Pace
from tests.micropython import start

SECONDS = 20.0


def fast(folder: Path, begin: int, speed: float = 10_000) -> str:
    """The first lines of a program whose board is switched on at exactly `begin` (Unix seconds) and lives fast."""
    assert begin < time.time(), "a board lives no faster than life once it has come to the present"
    Pace(folder / "pace", begin, speed, nodes=1)
    return f"from world import world\nworld.follow('pace')\nworld.now = world.boot = {begin * 1_000_000}\n"


class Board:
    """A program on a board, from the beginning of the context to its end, when it is killed if it still runs."""

    def __init__(self, program: str, folder: Path) -> None:
        self._process = start(program, folder)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._seen: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self, beginning: str) -> str:
        """Wait for the next line that begins so; what follows there. Fails when the program ends before."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            seen = "\n".join(self._seen)
            assert line is not None, f"no line {beginning!r} within {SECONDS:g} s; the program printed:\n{seen}"
            self._seen.append(line)
            if line.startswith(beginning):
                return line[len(beginning) :].strip()

    def ended(self) -> int:
        """Wait for the end of the program; its exit code, which after a reset is 80 and the cause of that."""
        return self._process.wait(SECONDS)

    def kill(self) -> None:
        """Its power is cut."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
