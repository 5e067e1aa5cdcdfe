"""UART on the real interpreter: what is heard, what is lost, and what a program sees of it."""

from pathlib import Path
from typing import Any

import pytest

from tests.sim_hardware.program import FOLLOW, pace, printed

CHIPS = """
import world as w
from machine import Pin, UART
from chips.pms5003 import PMS5003
ms = lambda: world.now // 1000
pms = PMS5003(ms, lambda: (1, 2, 3))
w.attach_uart(17, 16, pms)
"""


def on_board(folder: Path, program: str) -> list[Any]:
    """With a particle counter, sixty times as fast as life."""
    pace(folder, 60)
    return printed(FOLLOW + CHIPS + program, folder)


@pytest.mark.parametrize(("given", "size"), [("", 256), (", rxbuf=129", 129), (", rxbuf=200", 200)])
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
uart.write(b"\\x42\\x4d\\xe1\\x00\\x00\\x01\\x70")
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
uart = UART(2)
wire.buffer = b"one\\ntwo\\nthr"
print((uart.readline(2), uart.readline(), uart.readline(), uart.readline(), uart.readline()))
""",
    ) == [(b"on", b"e\n", b"two\n", b"thr", None)]


def test_beginning_anew_forgets_what_was_heard(tmp_path: Path) -> None:
    """Also by `init`, which keeps what it is not given."""
    assert on_board(
        tmp_path,
        """
wire = world.uart[17, 16]
seen = []
uart = UART(2, 9600, rxbuf=300)
wire.buffer = b"old"
uart.init(19_200)
seen.append((uart.any(), wire.size))
wire.buffer = b"old"
uart = UART(2)
seen.append((uart.any(), wire.size))
uart.deinit()
wire.buffer = b"old"
print(seen + [uart.any(), uart.read()])
""",
    ) == [[(0, 300), (0, 256), 0, None]]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ("rxbuf=128", (1, "ESP_FAIL")),
        ("bits=9", ("invalid data bits",)),
        ("stop=3", ("invalid stop bits",)),
        ("tx=40", ("invalid pin",)),
    ],
)
def test_what_a_uart_refuses(tmp_path: Path, settings: str, error: tuple[object, ...]) -> None:
    """The driver wants a buffer that is larger than the hardware's 128 bytes."""
    assert on_board(
        tmp_path,
        f"""
try:
    UART(2, {settings})
except (OSError, ValueError) as error:
    print(error.args)
""",
    ) == [error]


def test_a_uart_may_wait(tmp_path: Path) -> None:
    """`timeout` for the first byte, `timeout_char` more for each after it; handlers wait, too."""
    assert on_board(
        tmp_path,
        """
from world import Wire
class Slow:
    def __init__(self, *at_ms):
        self.begin, self.at_ms = ms(), list(at_ms)
    def due_ms(self):
        return self.begin + self.at_ms[0] if self.at_ms else None
    def transmit(self, now):
        return bytes([self.at_ms.pop(0)])
chip = Slow(50, 70, 90, 170)
begin = chip.begin * 1000
w.attach_uart(19, 18, chip)
uart = UART(1, tx=19, rx=18, timeout=60, timeout_char=10)
for n in (10, 10, 10):
    data = uart.read(n)
    print((data and list(data), (world.now - begin) // 1000))
""",
    ) == [([50, 70, 90], 160), ([170], 240), (None, 300)]


def test_a_uart_may_interrupt(tmp_path: Path) -> None:
    """By what comes, and by the silence after it; nothing else can, and never hard."""
    assert on_board(
        tmp_path,
        """
uart = UART(2, 9600)
seen = []
begin = ms() * 1000
def note(uart):
    seen.append((uart.any(), irq.flags(), world.now - begin))
irq = uart.irq(note, UART.IRQ_RXIDLE)
time.sleep_ms(1500)
print((seen, irq.trigger(UART.IRQ_RX | UART.IRQ_RXIDLE)))
time.sleep_ms(1000)
print(seen[1:])
uart.irq(None)
time.sleep_ms(1000)
print(len(seen))
for trigger, hard in ((4, False), (UART.IRQ_RX, True)):
    try:
        uart.irq(note, trigger, hard)
    except ValueError as error:
        print(repr(str(error)))
""",
    ) == [
        ([(32, 0x1000, 1_004_166)], 0x1000),
        [(64, 1, 2_000_000), (64, 0x1000, 2_004_166)],
        3,
        "trigger 0x0004 unsupported",
        "hard IRQ is not supported",
    ]


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
print((list(poll.poll(700)), world.now - before))
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
