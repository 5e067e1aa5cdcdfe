"""The supervisor on MicroPython: no task of a node stays dead, and none is started in a hurry. And the watchdog."""

import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.firmware.board import fast
from tests.micropython import run, start

BEGIN = int(time.time()) - 86_400

PROGRAM = """
import asyncio
from node import supervisor
from node.supervisor import Supervisor, Watchdog
supervisor.wire_ms = lambda ms: ms  # nothing here waits for a broker: the hardware's minute is one of the board's
def log(name, text):
    print("log", name, text)
supervisor = Supervisor(log)
"""


def times(lines: list[str], beginning: str) -> list[int]:
    """The numbers of the lines that begin so."""
    return [int(line.split()[1]) for line in lines if line.startswith(beginning)]


def test_a_task_that_dies_is_started_again_ever_later(tmp_path: Path) -> None:
    """After 1, 2, 4 s ... and at most a minute; after a week in health, longer than ticks last, the waits begin
    anew; others live on."""
    program = """
starts = 0
async def weak():
    global starts
    starts += 1
    print("start", world.now // 1000)
    if starts == 10:
        for _ in range(7):
            await asyncio.sleep_ms(86_400_000)
    if starts < 13:
        raise (MemoryError, OSError, ValueError)[starts % 3]("of", starts)
async def strong():
    for _ in range(100):
        await asyncio.sleep_ms(10_000)
    print("alive", world.now // 1000)
began = world.now
asyncio.run(supervisor.run((("weak", weak), ("strong", strong))))
"""
    begin = BEGIN - 8 * 86_400
    lines = run(fast(tmp_path, begin, 200_000) + PROGRAM + program, tmp_path)
    starts = times(lines, "start")
    waits = [round((b - a) / 1000) for a, b in pairwise(starts)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 604_801, 2, 4]
    deaths = [line for line in lines if line.startswith("log")]
    assert deaths[0] == "log weak died: OSError('of', 1)"
    assert len(deaths) == 12
    assert times(lines, "alive") == [begin * 1000 + 1_000_000]


def test_a_task_that_ends_by_itself_is_let_go(tmp_path: Path) -> None:
    """It is not started again, and `run` returns when all have ended."""
    program = """
async def short():
    print("short")
async def longer():
    await asyncio.sleep_ms(5000)
    print("longer")
asyncio.run(supervisor.run((("short", short), ("longer", longer))))
print("end")
"""
    assert run(fast(tmp_path, BEGIN) + PROGRAM + program, tmp_path) == ["short", "longer", "end"]


def test_keep_runs_one_task_and_returns_what_it_ends_with(tmp_path: Path) -> None:
    """For a part that is loaded late, beside the others."""
    program = """
starts = 0
async def weak():
    global starts
    starts += 1
    if starts < 3:
        raise OSError("no", starts)
    return starts
print("ended", asyncio.run(supervisor.keep("late", weak)))
"""
    assert run(fast(tmp_path, BEGIN) + PROGRAM + program, tmp_path) == [
        "log late died: OSError('no', 1)",
        "log late died: OSError('no', 2)",
        "ended 3",
    ]


def test_who_has_died_is_failing_until_it_has_lived_a_minute(tmp_path: Path) -> None:
    """Also while it waits to be started; one that dies again and again is failing all the time."""
    program = """
async def forever():
    await asyncio.sleep_ms(1 << 40)
once = [0]
async def weak():
    if once:
        once.pop()
        raise OSError
    await forever()
async def dying():
    await asyncio.sleep_ms(20_000)
    raise OSError
async def main():
    asyncio.create_task(supervisor.run((("weak", weak), ("strong", forever))))
    for wait in (500, 60_000, 1_000):
        await asyncio.sleep_ms(wait)
        print("failing", *supervisor.failing())
    asyncio.create_task(supervisor.keep("dying", dying))
    asyncio.create_task(supervisor.keep("alike", dying))
    await asyncio.sleep_ms(21_000)
    for _ in range(900):
        await asyncio.sleep_ms(1000)
        if supervisor.failing() != ["alike", "dying"]:
            print("not failing", supervisor.failing())
    print("end")
asyncio.run(main())
"""
    lines = run(fast(tmp_path, BEGIN) + PROGRAM + program, tmp_path)
    told = [line for line in lines if not line.startswith("log")]
    assert told == ["failing weak", "failing weak", "failing", "end"]


WATCHED = """
limits = {"windows": 30_000, "uplink": 90_000}
watchdog = Watchdog(limits, log)
def seconds():
    return world.now // 1_000_000 - BEGIN
async def feed():
    while True:
        watchdog.feed()
        await asyncio.sleep_ms(5_000)
async def mark(name, until):
    while seconds() < until:
        watchdog.mark(name)
        await asyncio.sleep_ms(10_000)
    print("last", name, seconds())
async def tell():
    while True:
        await asyncio.sleep_ms(1_000)
        print("alive", seconds(), *watchdog.late())
"""


def bitten(folder: Path, program: str) -> list[str]:
    """What a program printed before the watchdog bit, which it must."""
    whole = fast(folder, BEGIN) + PROGRAM + WATCHED.replace("BEGIN", str(BEGIN)) + program
    with start(whole, folder) as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 83, f"80 and the cause of a watchdog, not {process.returncode}:\n{output}"
    return output.splitlines()


@pytest.mark.parametrize(("name", "limit_s"), [("windows", 30), ("uplink", 90)])
def test_the_watchdog_bites_when_one_comes_no_further(tmp_path: Path, name: str, limit_s: int) -> None:
    """Everybody else does, and the node runs: after its own limit, and the hardware's minute."""
    other = "uplink" if name == "windows" else "windows"
    program = f"""
async def main():
    asyncio.create_task(mark({name!r}, 100))
    asyncio.create_task(mark({other!r}, 10_000))
    asyncio.create_task(tell())
    await feed()
asyncio.run(main())
"""
    lines = bitten(tmp_path, program)
    assert f"last {name} 100" in lines
    late = [int(line.split()[1]) for line in lines if line.startswith("alive") and line.endswith(name)]
    assert late[0] == pytest.approx(90 + limit_s, abs=1), "it was marked last after 90 s"
    assert late[-1] == pytest.approx(90 + limit_s + 60, abs=6), "fed every 5 s"
    assert [line for line in lines if line.startswith("log")] == [f"log watchdog no progress: {name}"]


def test_the_watchdog_bites_when_nothing_runs_any_more(tmp_path: Path) -> None:
    """Something blocks for more than a minute; for less it may."""
    program = """
watchdog.feed()
time.sleep_ms(59_000)
watchdog.mark("windows")
watchdog.feed()
print("less")
time.sleep_ms(61_000)
print("more")
"""
    assert bitten(tmp_path, program) == ["less"]


def test_who_is_late_and_comes_back_is_forgiven(tmp_path: Path) -> None:
    """In time for the hardware; each time it is told once."""
    program = f"""
{WATCHED.replace("BEGIN", str(BEGIN))}
async def main():
    asyncio.create_task(feed())
    for _ in range(3):
        for _ in range(4):
            await asyncio.sleep_ms(20_000)
            watchdog.mark("uplink")
        print("late", *watchdog.late())
        watchdog.mark("windows")
        print("late", *watchdog.late())
asyncio.run(main())
"""
    lines = run(fast(tmp_path, BEGIN) + PROGRAM + program, tmp_path)
    assert lines == ["log watchdog no progress: windows", "late windows", "late"] * 3


def test_all_who_are_late_are_named(tmp_path: Path) -> None:
    """All have their time from the start on; at its very end one is not late yet."""
    program = f"""
{WATCHED.replace("BEGIN", str(BEGIN))}
for wait in (30_000, 1):
    time.sleep_ms(wait)
    print("late", *watchdog.late())
watchdog._hardware.feed()
time.sleep_ms(59_000)
watchdog._hardware.feed()
time.sleep_ms(1_500)
print("late", *sorted(watchdog.late()))
"""
    assert run(fast(tmp_path, BEGIN) + PROGRAM + program, tmp_path) == ["late", "late windows", "late uplink windows"]
