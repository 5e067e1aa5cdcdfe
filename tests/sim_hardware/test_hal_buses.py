"""I2C and UART on the real interpreter: who answers, what is lost, and what a program sees of it."""

from pathlib import Path
from typing import Any

import pytest

from tests.sim_hardware.program import FOLLOW, pace, printed

CHIPS = """
import world as w
from machine import *
from chips.bme280 import BME280
from chips.pms5003 import PMS5003
from chips.scd41 import SCD41
from chips.sensirion import crc8
ms = lambda: world.now // 1000
scd, bme = SCD41(ms, lambda: (500, 25, 37)), BME280(ms, lambda: (20, 100_000, 50))
w.attach_i2c(22, 21, scd)
w.attach_i2c(22, 21, bme)
w.attach_i2c(18, 19, BME280(ms, lambda: (20, 100_000, 50), address=0x77))
pms = PMS5003(ms, lambda: (1, 2, 3))
w.attach_uart(17, 16, pms)
def refused(act, *args):
    try:
        return act(*args)
    except OSError as error:
        return error.args[0]
"""


def on_board(folder: Path, program: str) -> list[Any]:
    """With the chips of an air station, sixty times as fast as life."""
    pace(folder, 60)
    return printed(FOLLOW + CHIPS + program, folder)


# I2C --------------------------------------------------------------------------------------------------------------


def test_scan(tmp_path: Path) -> None:
    """The chips of the bus on these pins, hard or soft; one that is dead does not show."""
    assert on_board(
        tmp_path,
        """
bus = I2C(0, scl=Pin(22), sda=Pin(21), freq=100_000)
print(bus.scan())
print(SoftI2C(Pin(22), Pin(21)).scan())
print(I2C(0).scan())
print(I2C(1).scan())
scd.dead = True
print(bus.scan())
""",
    ) == [[0x62, 0x76], [0x62, 0x76], [0x77], [], [0x76]]


def test_who_does_not_acknowledge_is_enodev(tmp_path: Path) -> None:
    """Nobody at the address, a dead chip, a busy one, or one that has no answer."""
    (seen,) = on_board(
        tmp_path,
        """
bus = SoftI2C(Pin(22), Pin(21))
buffer = bytearray(3)
seen = [
    refused(bus.readfrom, 0x40, 1),
    refused(bus.writeto, 0x40, b"\\0"),
    refused(bus.readfrom_mem, 0x40, 0xD0, 1),
    refused(bus.writeto_mem, 0x40, 0xF4, b"\\0"),
    refused(bus.writevto, 0x62, [b"\\x36", b"\\x82"]),
]
time.sleep_ms(30)
seen.append(refused(bus.readfrom_into, 0x62, buffer))
bme.dead = True
seen.append(refused(bus.readfrom_mem_into, 0x76, 0xD0, buffer))
print(seen)
""",
    )
    assert seen == [19] * 7


def test_registers(tmp_path: Path) -> None:
    """Every way to read and to write them."""
    identity, buffers, control, calibration = on_board(
        tmp_path,
        """
bus = I2C(0, scl=Pin(22), sda=Pin(21))
one, two = bytearray(1), bytearray(1)
time.sleep_ms(2)
print(bus.readfrom_mem(0x76, 0xD0, 1))
bus.readfrom_mem_into(0x76, 0xD0, one)
bus.writeto(0x76, b"\\xd0", False)
bus.readfrom_into(0x76, two)
print([bytes(one), bytes(two)])
bus.writeto_mem(0x76, 0xF2, b"\\x05")
written = bus.writevto(0x76, (b"\\xf5", memoryview(b"\\xa0")))
print((bus.readfrom_mem(0x76, 0xF2, 4), written))
print(bus.readfrom_mem(0x76, 0x88, 26)[:2] == bus.readfrom_mem(0x76, 0x88, 2))
""",
    )
    assert identity == b"\x60"
    assert buffers == [b"\x60", b"\x60"]
    assert control == (b"\x05\x00\x00\xa0", 2)
    assert calibration is True


def test_a_sensor_is_read_in_its_own_time(tmp_path: Path) -> None:
    """Start, five seconds, read; addresses of sixteen bits write both bytes."""
    early, ready, answer, check, deaf, idle = on_board(
        tmp_path,
        """
bus = I2C(0, scl=Pin(22), sda=Pin(21))
time.sleep_ms(30)
bus.writeto(0x62, b"\\x21\\xb1")
def ask(code, n):
    bus.writeto_mem(0x62, code, b"", addrsize=16)
    time.sleep_ms(1)
    return bus.readfrom(0x62, n)
print(ask(0xE4B8, 3))
time.sleep_ms(5000)
print(ask(0xE4B8, 3))
answer = ask(0xEC05, 9)
print((answer[0] << 8 | answer[1], 175 * (answer[3] << 8 | answer[4]) / 65536 - 45))
print([crc8(answer[n : n + 2]) == answer[n + 2] for n in (0, 3, 6)])
bus.writeto(0x62, b"\\x3f\\x86")
time.sleep_ms(499)
print(refused(bus.writeto, 0x62, b"\\x36\\x82"))
time.sleep_ms(1)
print(ask(0x3682, 9))
""",
    )
    assert early[:2] == b"\x80\x00"
    assert ready[:2] == b"\x80\x06"
    assert answer == (pytest.approx(500, abs=5), pytest.approx(25, abs=0.1))
    assert check == [True] * 3
    assert (deaf, idle) == (19, bytes.fromhex("F896319F07C23BBE89"))


@pytest.mark.parametrize("bus", ["I2C(2)", "UART(0)", "UART(3)"])
def test_there_is_no_such_bus(tmp_path: Path, bus: str) -> None:
    """UART 0 is the console's."""
    with pytest.raises(AssertionError, match=r"ValueError: .* doesn't exist"):
        on_board(tmp_path, bus)


# UART -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "size"), [("", 256), (", rxbuf=64", 64), (", rxbuf=100", 100)])
def test_beyond_the_receive_buffer_all_is_lost(tmp_path: Path, given: str, size: int) -> None:
    """What came first stays, what came late is gone; once read, there is room again."""
    waiting, same, again = on_board(
        tmp_path,
        f"""
uart = UART(2, 9600, tx=17, rx=Pin(16){given})
heard, transmit = b"", pms.transmit
def listen(now):
    global heard
    data = transmit(now)
    heard += data
    return data
pms.transmit = listen
time.sleep_ms(20_000)
print(uart.any())
print(uart.read() == heard[:{size}])
time.sleep_ms(1000)
print((uart.any(), uart.read(32) == heard[-32:]))
""",
    )
    assert waiting == size
    assert same is True
    assert again == (32, True)


def test_ways_to_read(tmp_path: Path) -> None:
    """None while there is nothing; never more than there is."""
    nothing, first, into, rest = on_board(
        tmp_path,
        """
uart = UART(2, 9600)
buffer = bytearray(10)
print((uart.any(), uart.read(), uart.read(4), uart.readinto(buffer), uart.readline()))
pms.receive(b"\\x42\\x4d\\xe1\\x00\\x00\\x01\\x70")
time.sleep_ms(100)
print((uart.read(2), uart.any()))
print((uart.readinto(buffer, 4), bytes(buffer)))
print((uart.readinto(buffer), bytes(buffer), uart.any()))
""",
    )
    assert nothing == (0, None, None, None, None)
    assert first == (b"BM", 6)
    assert into == (4, b"\x00\x04\xe1\x00" + bytes(6))
    assert rest == (2, b"\x01\x74\xe1\x00" + bytes(6), 0)


def test_lines(tmp_path: Path) -> None:
    """Up to and with the newline; what has none yet comes as it is."""
    assert on_board(
        tmp_path,
        """
wire = world.uart[17, 16]
wire.buffer = b"one\\ntwo\\nthr"
uart = UART(2)
print((uart.readline(), uart.readline(), uart.readline(), uart.readline()))
""",
    ) == [(b"one\n", b"two\n", b"thr", None)]


def test_what_is_written_reaches_the_chip(tmp_path: Path) -> None:
    """A command to the sensor and its answer; a line to nowhere takes all and gives nothing."""
    assert on_board(
        tmp_path,
        """
uart = UART(2, 9600)
print((uart.write(bytearray(b"\\x42\\x4d\\xe1\\x00\\x00\\x01\\x70")), uart.txdone()))
time.sleep_ms(1500)
print(uart.read())
nobody = UART(1)
print((nobody.write(b"abc"), nobody.any(), nobody.read(), nobody.readline(), nobody.readinto(bytearray(2))))
""",
    ) == [(7, True), bytes.fromhex("424D0004E1000174"), (3, 0, None, None, None)]


def test_poll_waits_for_a_uart(tmp_path: Path) -> None:
    """Until its frame comes or the board's time is over; a poll of nothing passes exactly its time."""
    nothing, frame = on_board(
        tmp_path,
        """
import select
poll = select.poll()
poll.register(UART(2, 9600), select.POLLIN)
before = world.now
print((poll.poll(700), world.now - before))
(found,) = poll.poll(5000)
print((found[1] == select.POLLIN, found[0].any(), (world.now - before) // 1000))
""",
    )
    assert nothing == ([], 700_000)
    assert frame[:2] == (True, 32)
    assert 999 <= frame[2] <= 1000


def test_asyncio_reads_a_uart(tmp_path: Path) -> None:
    """A stream over the sensor's line beside a timer, each in its own time."""
    frames, moments, ticks = on_board(
        tmp_path,
        """
import asyncio
begin = world.now
ticks, moments = [], []
async def ticker():
    while True:
        before = time.ticks_ms()
        await asyncio.sleep_ms(400)
        ticks.append(time.ticks_diff(time.ticks_ms(), before))
async def main():
    task = asyncio.create_task(ticker())
    stream = asyncio.StreamReader(UART(2, 9600))
    frames = []
    for _ in range(10):
        frames.append(await stream.readexactly(32))
        moments.append((world.now - begin) // 1000)
    task.cancel()
    print([frame[:4] for frame in frames])
    print(moments)
    print(ticks)
asyncio.run(main())
""",
    )
    assert frames == [bytes.fromhex("424D001C")] * 10
    # The chip counts from the millisecond in which it was switched on.
    assert [-(-moment // 1000) for moment in moments] == list(range(1, 11))
    assert all(moment % 1000 in (999, 0) for moment in moments)
    assert len(ticks) >= 24
    assert all(400 <= passed <= 401 for passed in ticks)
