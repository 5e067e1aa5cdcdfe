"""The radio's states, and real sockets through asyncio while the board's time runs fast."""

import asyncio
import socket
from pathlib import Path

import pytest

from tests.sim_hardware.program import FOLLOW, pace, printed

IDLE, CONNECTING, GOT_IP = 1000, 1001, 1010
BEACON_TIMEOUT, NO_AP_FOUND, WRONG_PASSWORD = 200, 201, 202

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
    """1000, 1001, then after 1.2 seconds 1010; from `disconnect` on it is idle."""
    pace(tmp_path, 60)
    before, joining, connected, gone, again = printed(
        FOLLOW
        + STATION
        + """
print((wlan.status(), wlan.isconnected(), wlan.ifconfig()[0], wlan.active(), wlan.active(True)))
wlan.connect("street", "key")
print(states(2000))
print((wlan.status("rssi"), wlan.ifconfig()[0], wlan.ipconfig("has_dhcp4"), wlan.config("ssid")))
wlan.disconnect()
print((wlan.status(), wlan.isconnected(), wlan.ipconfig("addr4")))
wlan.connect()
print(states(2000))
""",
        tmp_path,
    )
    assert before == (IDLE, False, "0.0.0.0", False, True)
    assert joining == [(CONNECTING, False, 0), (GOT_IP, True, 12)]
    assert -100 < connected[0] < 0
    assert connected[1:] == ("127.0.0.1", True, "street")
    assert gone == (IDLE, False, ("0.0.0.0", "0.0.0.0"))
    assert again == [(CONNECTING, False, 0), (GOT_IP, True, 12)]


def test_a_link_that_is_lost(tmp_path: Path) -> None:
    """It takes six seconds without a beacon to see it. Then the radio looks for it, says that it is not there, and has
    it again soon after it is back: for ever, of its own."""
    pace(tmp_path, 60)
    lost, back, off = printed(
        FOLLOW
        + STATION
        + """
wlan.active(True)
wlan.connect("street", "key")
time.sleep_ms(2000)
wlan.isconnected()
world.link_up = False
print(states(60_000))
world.link_up = True
print(states(5_000))
wlan.active(False)
print((wlan.active(), wlan.status()))
""",
        tmp_path,
    )
    assert [status for status, _, _ in lost] == [GOT_IP, CONNECTING, NO_AP_FOUND]
    assert [at for _, _, at in lost] == [0, pytest.approx(60, abs=1), pytest.approx(84, abs=1)]
    assert [connected for _, connected, _ in lost] == [True, False, False]
    assert [status for status, _, _ in back] == [NO_AP_FOUND, GOT_IP]
    assert back[1][2] <= 24
    assert off == (False, IDLE)


@pytest.mark.parametrize(
    ("reconnects", "fault", "states"),
    [
        (0, "world.link_up = False", [GOT_IP, BEACON_TIMEOUT]),
        (1, "world.link_up = False", [GOT_IP, CONNECTING, NO_AP_FOUND]),
        (-1, "world.key_refused = True", [GOT_IP]),
    ],
)
def test_a_radio_that_gives_up(tmp_path: Path, reconnects: int, fault: str, states: list[int]) -> None:
    """After so many attempts of its own it says why the last has failed, whatever comes back."""
    pace(tmp_path, 60)
    seen, set_to = printed(
        FOLLOW
        + STATION
        + f"""
wlan.active(True)
wlan.config(reconnects={reconnects})
wlan.connect("street", "key")
time.sleep_ms(2000)
wlan.isconnected()
{fault}
print([state[0] for state in states(20_000)])
world.link_up = True
print((wlan.config("reconnects"), wlan.status() == states(5_000)[-1][0]))
""",
        tmp_path,
    )
    assert seen == states
    assert set_to == (reconnects, True)


@pytest.mark.parametrize(
    ("fault", "status", "tenths"),
    [("world.link_up = False", NO_AP_FOUND, 24), ("world.key_refused = True", WRONG_PASSWORD, 30)],
)
def test_a_link_that_never_was(tmp_path: Path, fault: str, status: int, tenths: int) -> None:
    """No access point, or one that wants another key; it keeps trying, and gets in when that passes."""
    pace(tmp_path, 60)
    tried, then = printed(
        FOLLOW
        + STATION
        + f"""
{fault}
wlan.active(True)
wlan.connect("street", "key")
print(states(10_000))
world.link_up, world.key_refused = True, False
print([state[0] for state in states(5_000)])
""",
        tmp_path,
    )
    assert tried == [(CONNECTING, False, 0), (status, False, tenths)]
    assert then == [status, GOT_IP]


def test_there_is_one_station(tmp_path: Path) -> None:
    """And a name for it."""
    assert printed(
        STATION
        + """
import network
print((WLAN() is wlan, WLAN(WLAN.IF_STA) is wlan))
print((network.hostname(), network.hostname("meter"), network.hostname(), network.country()))
""",
        tmp_path,
    ) == [(True, True), ("mpy-esp32", None, "meter", "XX")]


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("wlan.connect('street', 'key')", "OSError: Wifi Not Started"),
        ("wlan.disconnect()", "OSError: Wifi Not Started"),
        ("wlan.active(True)\nwlan.connect()\nwlan.connect()", "OSError: Wifi Internal Error"),
        ("wlan.status('rssi')", "OSError: Wifi Not Connected"),
        ("wlan.config('colour')", "ValueError: unknown config param"),
        ("WLAN(AP_IF)", "ValueError"),
        ("wlan.status('colour')", "ValueError: unknown status param"),
    ],
)
def test_what_the_radio_refuses(tmp_path: Path, program: str, error: str) -> None:
    """A radio that is off, or at it already; a mode that this board has not; a question that nobody can answer."""
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
    pace(tmp_path, 60)
    with socket.socket() as held:  # so that nobody else takes the port meanwhile
        held.bind(("127.0.0.1", 0))
        (refused,) = printed(
            FOLLOW
            + f"""
import asyncio
async def main():
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", {held.getsockname()[1]})
        await reader.read(1)
    except OSError as error:
        print(error.errno)
asyncio.run(main())
""",
            tmp_path,
        )
    assert refused == 111
