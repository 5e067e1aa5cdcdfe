"""esptool and mpremote as programs of their own.

Both have a Python interface, but it is their command lines that are documented and kept stable; a program that hangs
can be ended, one that crashes takes nothing along; and esptool's licence (GPL) does not reach across.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Output(NamedTuple):
    """What a program said, and how it ended; `code` is None when it was ended because it took too long."""

    code: int | None
    text: str

    @property
    def last(self) -> str:
        """Its last words, for a message."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return " / ".join(lines[-3:]) or "it said nothing"


def run(
    module: str, arguments: Sequence[str], seconds: float, on_line: Callable[[str], None] = lambda line: None
) -> Output:
    """Run `python -m module`; `on_line` is called with each line as it comes."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "TERM": "dumb", "COLUMNS": "200"},
    )
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.start()
    lines: list[str] = []
    try:
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip("\r\n")
            lines.append(line)
            on_line(line)
        code = process.wait()
    finally:
        timer.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    return Output(None if late.is_set() else code, "\n".join(lines))
