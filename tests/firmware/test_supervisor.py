"""The supervisor on MicroPython: no task of a node stays dead, and none is started in a hurry."""

import time
from itertools import pairwise
from pathlib import Path

from tests.firmware.board import fast
from tests.micropython import run

BEGIN = int(time.time()) - 86_400

PROGRAM = """
import asyncio
from node import supervisor
said = []
def log(name, text):
    said.append(text)
    print("log", name, text)
"""


def times(lines: list[str], beginning: str) -> list[int]:
    """The numbers of the lines that begin so."""
    return [int(line.split()[1]) for line in lines if line.startswith(beginning)]


def test_a_task_that_dies_is_started_again_ever_later(tmp_path: Path) -> None:
    """After 1, 2, 4 s ... and at most a minute; after ten healthy minutes the waits begin anew; others live on."""
    program = """
starts = 0
async def weak():
    global starts
    starts += 1
    print("start", world.now // 1000)
    if starts == 10:
        await asyncio.sleep_ms(600_001)
    if starts < 13:
        raise (MemoryError, OSError, ValueError)[starts % 3]("of", starts)
async def strong():
    for _ in range(100):
        await asyncio.sleep_ms(10_000)
    print("alive", world.now // 1000)
began = world.now
asyncio.run(supervisor.run((("weak", weak), ("strong", strong)), log))
"""
    lines = run(fast(tmp_path, BEGIN) + PROGRAM + program, tmp_path)
    starts = times(lines, "start")
    waits = [round((b - a) / 1000) for a, b in pairwise(starts)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 601, 2, 4]
    deaths = [line for line in lines if line.startswith("log")]
    assert deaths[0] == "log weak died: OSError('of', 1)"
    assert len(deaths) == 12
    assert times(lines, "alive") == [BEGIN * 1000 + 1_000_000]


def test_a_task_that_ends_by_itself_is_let_go(tmp_path: Path) -> None:
    """It is not started again, and `run` returns when all have ended."""
    program = """
async def short():
    print("short")
async def longer():
    await asyncio.sleep_ms(5000)
    print("longer")
asyncio.run(supervisor.run((("short", short), ("longer", longer)), log))
print("end")
"""
    assert run(fast(tmp_path, BEGIN) + PROGRAM + program, tmp_path) == ["short", "longer", "end"]
