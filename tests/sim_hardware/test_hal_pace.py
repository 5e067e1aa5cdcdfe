"""The world's time: paced by the fleet's file, never ahead of it, and exact at every event."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.sim_hardware.program import DEVICE, FOLLOW, START, pace, printed


def test_sixty_times_faster_than_life(tmp_path: Path) -> None:
    """Six seconds of the board's time in a tenth of a second, to the microsecond on the board."""
    pace(tmp_path, 60)
    board, real_ms = printed(
        FOLLOW
        + """
import utime
before = world.now
time.sleep_ms(6000)
print(world.now - before)
# since the moment of life that `before` is due at, which is a little past already
print((utime.ticks_us() - world.mono - (before - world.start) / 60) / 1000)
""",
        tmp_path,
    )
    assert board == 6_000_000
    assert 99.9 <= real_ms < 5_900, "no faster than life, or this machine stood still for as long"


@pytest.mark.parametrize("speed", [0.5, 1, 60, 5_000])
def test_a_board_is_never_ahead_of_the_fleet(tmp_path: Path, speed: float) -> None:
    """It begins no earlier than the city, and is never later than the fleet's own clock."""
    clock = pace(tmp_path, speed)
    first = clock.now_us()
    moments = printed(
        FOLLOW
        + f"""
print(world.now)
for _ in range(5):
    time.sleep_us(int({speed} * 5000))
    print((time.time() + 946_684_800) * 1_000_000 + time.time_ns() // 1000 % 1_000_000)
""",
        tmp_path,
    )
    assert START * 1_000_000 <= first <= moments[0]
    assert moments == sorted(moments)
    assert moments[-1] - moments[0] == 5 * int(speed * 5000)
    assert moments[-1] <= clock.now_us()


@pytest.mark.parametrize("late_ms", [0, 100])
@pytest.mark.parametrize("speed", [100, 20_000])
def test_events_are_handled_at_their_own_microsecond(tmp_path: Path, speed: float, late_ms: int) -> None:
    """However fast, and however late: here the whole machine was away for a while."""
    pace(tmp_path, speed)
    edges = [(7_919 * n + n % 13, 5, n % 2) for n in range(1, 250)]
    seen, after = printed(
        FOLLOW
        + DEVICE
        + f"""
from machine import Pin
import utime
begin, ticks = world.now, time.ticks_us()
device = Device([(7_919 * n + n % 13, 5, n % 2) for n in range(1, {len(edges) + 1})])
seen = []
def note(pin):
    assert time.ticks_diff(time.ticks_us(), ticks) == world.now - begin
    seen.append((world.now - begin, pin.value()))
Pin(5).irq(note)
utime.sleep_ms({late_ms})
time.sleep_ms(2000)
print(seen)
print(world.now - begin)
""",
        tmp_path,
    )
    assert seen == [(us, level) for us, _, level in edges]
    assert after == 2_000_000


def test_a_board_that_is_taken_away_at_any_moment_is_only_late(tmp_path: Path) -> None:
    """Here the machine does something else after each look at the clock: a second and more of the board's time."""
    pace(tmp_path, 5_000)
    (errors,) = printed(
        FOLLOW
        + DEVICE
        + """
from machine import Pin
import utime
real = world.real
def slow():
    now = real()
    utime.sleep_us(300)
    return now
world.real = slow
device = Device([(5_000_003 * n, 5, n % 2) for n in range(1, 41)])
times = [us for us, _, _ in device.edges]
errors = []
def note(pin):
    due = times.pop(0)
    if world.now != due:
        errors.append(world.now - due)
Pin(5).irq(note)
until = world.now + 300_000_000
time.sleep(300)
print(errors + times + [world.now - until])
""",
        tmp_path,
    )
    assert errors == [0]


def test_a_dense_burst_is_no_busy_wait(tmp_path: Path) -> None:
    """Handlers that read the clock many hundred times in one sleep move nothing."""
    pace(tmp_path, 10)
    (errors,) = printed(
        FOLLOW
        + DEVICE
        + """
from machine import Pin
device = Device([(50 * n, 5, n % 2) for n in range(1, 301)])
times = [us for us, _, _ in device.edges]
errors = []
def note(pin):
    due = times.pop(0)
    for _ in range(3):
        time.ticks_us()
    if world.now != due:
        errors.append((due, world.now))
Pin(5).irq(note)
time.sleep_ms(20)
print(errors + times)
""",
        tmp_path,
    )
    assert errors == []


def test_two_sources_keep_their_order(tmp_path: Path) -> None:
    """Events of different devices are handled in order of their time."""
    pace(tmp_path, 100)
    (seen,) = printed(
        FOLLOW
        + DEVICE
        + """
from machine import Pin
seen = []
Device([(1000 * n, 5, n % 2) for n in range(1, 40)])
Device([(777 * n, 6, n % 2) for n in range(1, 40)])
begin = world.now
for number in (5, 6):
    Pin(number).irq(lambda pin: seen.append((world.now - begin, pin.number)))
time.sleep_ms(50)
print(seen)
""",
        tmp_path,
    )
    assert seen == sorted([(1000 * n, 5) for n in range(1, 40)] + [(777 * n, 6) for n in range(1, 40)])


def test_it_ends_up_at_the_present(tmp_path: Path) -> None:
    """A fast board catches up with life, never passes it, and from there on lives at its pace."""
    pace(tmp_path, 1_000, int(time.time()) - 300)
    leads, passed, real = printed(
        FOLLOW
        + """
import utime
leads = []
while time.wire_ms(70) != 70:
    time.sleep_ms(100)
    lead = world.now - utime.time_ns() // 1000
    leads[:] = [max(leads + [lead])]
before = world.now
for _ in range(20):
    time.sleep_ms(10)
    leads.append(world.now - utime.time_ns() // 1000)
print(leads)
print(world.now - before)
print(utime.time_ns() // 1000 - before)
""",
        tmp_path,
    )
    assert max(leads) <= 0
    assert passed == 200_000
    assert real >= 200_000


@pytest.mark.parametrize(("speed", "ms"), [(1, 70), (60, 4_200)])
def test_the_wire_is_never_faster_than_life(tmp_path: Path, speed: float, ms: int) -> None:
    """`wire_ms` says how much of the board's time that is."""
    pace(tmp_path, speed)
    assert printed(FOLLOW + "print(time.wire_ms(70))", tmp_path) == [ms]


async def test_time_stands_where_the_city_is_not_known_yet(tmp_path: Path) -> None:
    """Sockets go on meanwhile; when the fleet knows more, sleepers wake at their own time."""
    clock = pace(tmp_path, 1_000_000)
    clock.reach(START + 1)  # less than the board needs to start

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line == b"more\n":
                clock.reach(START + 600)
            writer.write(line)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        rows = await asyncio.to_thread(
            printed,
            FOLLOW
            + f"""
import asyncio
stood, before = [], world.now
async def sleeper():
    await asyncio.sleep_ms(60_000)
    stood.append(None)
async def main():
    task = asyncio.create_task(sleeper())
    reader, writer = await asyncio.open_connection("127.0.0.1", {port})
    for n in range(30):
        writer.write(b"%d\\n" % n)
        await writer.drain()
        assert int(await reader.readline()) == n
        stood.append(world.now - before)
    print(stood)
    writer.write(b"more\\n")
    await writer.drain()
    await task
    print((world.now - before) // 1000)
    writer.close()
    await writer.wait_closed()
asyncio.run(main())
""",
            tmp_path,
        )
    assert rows[0] == [0] * 30
    assert 60_000 <= rows[1] <= 60_001


async def test_the_end_of_the_fleets_time(tmp_path: Path) -> None:
    """Once stopped it stays where it said: the board answers its broker, and grows no older."""
    clock = pace(tmp_path, 60)
    ends: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line == b"stop\n":
                ends.append(clock.freeze())
                clock.reach(START + 10_000_000)
            writer.write(line)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        (after,) = await asyncio.to_thread(
            printed,
            FOLLOW
            + f"""
import asyncio
async def main():
    reader, writer = await asyncio.open_connection("127.0.0.1", {port})
    writer.write(b"stop\\n")
    times = []
    while len(times) < 30:
        await writer.drain()
        await reader.readline()
        writer.write(b"%d\\n" % len(times))
        if world.now >= world.end:  # the board has looked into the file again, and has come to the end
            times.append(world.now)
    print(times)
    writer.close()
    await writer.wait_closed()
asyncio.run(main())
""",
            tmp_path,
        )
    assert {each // 1_000_000 for each in after} == set(ends), "it went past the end before it looked"
    assert len(set(after)) == 1
    assert clock.stands
