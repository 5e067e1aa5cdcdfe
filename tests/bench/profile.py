"""Where the gateway's time goes: py-spy's samples, by thread and by the file of ours that was at work."""

import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.stand import BenchError, Stand

RATE = 200
"""Samples a second."""
_FRAME = re.compile(r"(?P<function>.+) \((?P<file>[^()]+?)(?::\d+)?\)")
_THREAD = re.compile(r"thread \(\w+\): (.*?)(?:_\d+)?")
SHOWN = 25


def profile(stand: Stand, seconds: float, say: Callable[[str], None]) -> None:
    """Full load, watched by py-spy; tables to stdout. Raises BenchError when it is not there or fails."""
    program = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if program is None:
        raise BenchError("a profile needs py-spy: `.venv/bin/pip install py-spy` brings it")
    say("Warming up")
    list(stand.closed(8.0))
    say(f"Full load for {seconds:g} s, {RATE} samples a second")
    assert stand.gateway.process is not None
    found = stand.folder / "samples"
    command = [
        program,
        "record",
        "--pid",
        str(stand.gateway.process.pid),
        "--format",
        "raw",
        "--threads",
        "--function",
        "--nonblocking",
    ]
    command += ["--rate", str(RATE), "--duration", f"{seconds:.0f}", "--output", str(found)]
    done: list[subprocess.CompletedProcess[str]] = []
    watcher = threading.Thread(
        target=lambda: done.append(subprocess.run(command, capture_output=True, text=True, check=False))
    )
    watcher.start()
    moments = list(stand.closed(seconds + 2))
    watcher.join()
    if done[0].returncode or not found.exists():
        raise BenchError(f"py-spy ended with {done[0].returncode}: {done[0].stderr.strip()[-400:]}")
    first, last = moments[0], moments[-1]
    written = max(1, last.packs("written") - first.packs("written"))
    us = 1e6 * (last.cpu_s["gateway"] - first.cpu_s["gateway"]) / written
    tables(found.read_text(), us, Console())


def tables(samples: str, us: float, console: Console) -> None:
    """Shares of the samples, in which `us` of a processor for a pack are divided."""
    threads, places, functions = Counter[str](), Counter[str](), Counter[str]()
    for row in samples.splitlines():
        stack, _, number = row.rpartition(" ")
        frames = stack.split(";")
        told = _THREAD.fullmatch(frames[0])
        threads[told[1] if told is not None else frames[0]] += int(number)
        places[_place(frames[1:])] += int(number)
        functions[frames[-1]] += int(number)
    whole = max(1, sum(threads.values()))
    for title, counter in (("thread", threads), ("innermost file of ours", places), ("innermost function", functions)):
        table = Table(title, "%", "us/pack", title=f"by {title}")
        for key, number in counter.most_common(SHOWN):
            table.add_row(key, f"{100 * number / whole:.1f}", f"{us * number / whole:.1f}")
        console.print(table)


def _place(frames: list[str]) -> str:
    """The innermost file below gateway/, and what it has called outside, if anything."""
    outside = ""
    for frame in reversed(frames):
        found = _FRAME.fullmatch(frame)
        file = found["file"] if found is not None else frame
        if "gateway/" in file and "site-packages" not in file:
            own = file[file.rindex("gateway/") :]
            return f"{own} > {outside}" if outside else own
        outside = outside or (found["function"] if found is not None else frame)
        outside = _package(file) or outside
    return outside or "nothing that has a name"


def _package(file: str) -> str:
    """The library that a file belongs to."""
    parts = file.replace("\\", "/").split("/")
    for i, part in enumerate(parts[:-1]):
        if part in ("site-packages", "dist-packages"):
            return parts[i + 1]
    return parts[0] if len(parts) > 1 and not parts[0].startswith("/") else ""
