"""The radio's states, and real sockets through asyncio while the board's time runs fast."""

import asyncio
import socket
from pathlib import Path

import pytest

from tests.sim_hardware.program import FOLLOW, pace, printed

IDLE, CONNECTING, GOT_IP, NO_AP_FOUND = 1000, 1001, 1010, 201

STATION = """
from network import *
wlan = WLAN(STA_IF)
def states(ms):
    before, found = world.now, []
    while world.now - before < ms * 1000:
        if not found or found[-1][0] != wlan.status():
            found.append((wlan.status(), wlan.isconnected(), (world.now - before) // 100_000))
        time.sleep_ms(10)
    return found
"""


def test_joining_takes_its_time(tmp_path: Path) -> None:
    """1000, 1001, then after 1.2 seconds 1010; asking again while joining does not begin anew."""
    pace(tmp_path, 60)
    before, joining, connected, gone, again = printed(
        FOLLOW
        + STATION
        + """
print((wlan.status(), wlan.isconnected(), wlan.status("rssi"), wlan.active(), wlan.active(True)))
wlan.connect("street", "key")
time.sleep_ms(600)
wlan.connect("street", "key")
print(states(2000))
print((wlan.status("rssi"), wlan.ifconfig()[0], wlan.config("mac")))
wlan.disconnect()
print((wlan.status(), wlan.status("rssi")))
wlan.connect("street", "key")
print(states(2000))
""",
        tmp_path,
    )
    assert before == (IDLE, False, -127, False, True)
    assert joining == [(CONNECTING, False, 0), (GOT_IP, True, 6)]
    rssi, address, mac = connected
    assert -100 < rssi < 0
    assert (address, len(mac)) == ("127.0.0.1", 6)
    assert gone == (IDLE, -127)
    assert again == [(CONNECTING, False, 0), (GOT_IP, True, 12)]


def test_without_an_access_point(tmp_path: Path) -> None:
    """The status says so, and there is no signal, until it is back."""
    pace(tmp_path, 60)
    assert printed(
        FOLLOW
        + STATION
        + """
wlan.active(True)
wlan.connect("street", "key")
time.sleep_ms(2000)
print(wlan.status())
world.link_up = False
print((wlan.status(), wlan.status("rssi"), wlan.isconnected()))
world.link_up = True
time.sleep_ms(2000)
print(wlan.status())
wlan.active(False)
print((wlan.active(), wlan.status()))
""",
        tmp_path,
    ) == [GOT_IP, (NO_AP_FOUND, -127, False), GOT_IP, (False, IDLE)]


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("wlan.connect('street', 'key')", "OSError: Wifi Not Started"),
        ("WLAN(AP_IF)", "ValueError"),
        ("wlan.status('colour')", "ValueError: unknown status parameter"),
    ],
)
def test_what_the_radio_refuses(tmp_path: Path, program: str, error: str) -> None:
    """A radio that is off, a mode that this board has not, a question that nobody knows."""
    with pytest.raises(AssertionError, match=error):
        printed("from world import world\n" + STATION + program, tmp_path)


async def test_sockets_and_timers_at_once(tmp_path: Path) -> None:
    """A minute of timers in a second of life, each in its own time, beside a real TCP connection in use."""
    pace(tmp_path, 60)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100_000):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(echo, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        slept, order, echoed, real_ms = await asyncio.to_thread(
            printed,
            FOLLOW
            + f"""
import asyncio, utime
slept, order = [], []
async def ticker(ms, times):
    for n in range(times):
        before = time.ticks_ms()
        await asyncio.sleep_ms(ms)
        slept.append(time.ticks_diff(time.ticks_ms(), before) - ms)
        order.append((n + 1) * ms)
async def talk(done):
    reader, writer = await asyncio.open_connection("127.0.0.1", {port})
    count = 0
    while not done.is_set():
        message = (b"%06d" % count) * 300
        writer.write(message)
        await writer.drain()
        assert await reader.readexactly(len(message)) == message
        count += 1
    writer.close()
    await writer.wait_closed()
    return count
async def main():
    done = asyncio.Event()
    before = world.now
    talker = asyncio.create_task(talk(done))
    await asyncio.gather(ticker(3000, 20), ticker(7000, 8))
    done.set()
    print((min(slept), max(slept)))
    print(order)
    print(await talker)
    print((utime.ticks_us() - world.mono - (before - world.start) / 60) / 1000)
asyncio.run(main())
""",
            tmp_path,
        )
    assert slept[0] >= 0
    assert slept[1] <= 2, "a timer waits for nothing but its own time"
    assert order == sorted([*range(3_000, 60_001, 3_000), *range(7_000, 56_001, 7_000)])
    assert echoed > 5
    assert 999.9 <= real_ms < 15_000


async def test_what_comes_from_outside_comes_at_a_real_moment(tmp_path: Path) -> None:
    """A twentieth of a second of waiting for a peer is three seconds of the board's time."""
    clock = pace(tmp_path, 60)

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await asyncio.sleep(0.05)
            writer.write(line)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(slowly, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        waits, now = await asyncio.to_thread(
            printed,
            FOLLOW
            + f"""
import asyncio
async def main():
    reader, writer = await asyncio.open_connection("127.0.0.1", {port})
    waits = []
    for _ in range(5):
        before = world.now
        writer.write(b"ping\\n")
        await writer.drain()
        await reader.readline()
        waits.append(world.now - before)
    print(waits)
    print(world.now)
    writer.close()
    await writer.wait_closed()
asyncio.run(main())
""",
            tmp_path,
        )
    assert min(waits) >= 2_990_000  # the timers of asyncio are a little coarse
    assert now <= clock.now_us()


def test_a_refused_connection_is_an_oserror(tmp_path: Path) -> None:
    """Where nobody listens, at once and not after the board's time."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pace(tmp_path, 60)
    (refused,) = printed(
        FOLLOW
        + f"""
import asyncio
async def main():
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", {port})
        await reader.read(1)
    except OSError as error:
        print(error.errno)
asyncio.run(main())
""",
        tmp_path,
    )
    assert refused == 111
