"""Runs programs on the real MicroPython interpreter, as an emulated board would run them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INTERPRETER = Path(sys.executable).with_name("micropython")
BOARD = ("sim_hardware/hal", "firmware", "sim_hardware")
"""What an emulated board finds by name, first match first: its HAL, the firmware, and `chips`."""

HEAP = "256K"


def start(program: str, folder: Path, *, board: bool = True, heap: str = HEAP) -> subprocess.Popen[str]:
    """Start a program in a folder of its own; with `board` on the emulated hardware, else on the bare Unix port."""
    path = [str(ROOT / part) for part in BOARD] if board else [str(ROOT / "firmware")]
    # `time` first: it gives asyncio the board's clock (sim_hardware/hal/time.py).
    return subprocess.Popen(
        [str(INTERPRETER), "-X", f"heapsize={heap}", "-c", f"import time\n{program}"],
        cwd=folder,
        env={**os.environ, "MICROPYPATH": ":".join([*path, ".frozen"])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(program: str, folder: Path, *, board: bool = True, heap: str = HEAP, seconds: float = 30) -> list[str]:
    """What a program printed, line by line. Fails with its whole output when it ends with anything but 0."""
    with start(program, folder, board=board, heap=heap) as process:
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            raise AssertionError(f"not ended within {seconds:g} s; it printed:\n{output}") from None
    assert process.returncode == 0, f"ended with {process.returncode}:\n{output}"
    return output.splitlines()
