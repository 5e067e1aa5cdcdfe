"""I2C on the real interpreter: who answers, who does not, and what a program sees of it."""

from pathlib import Path
from typing import Any

import pytest

from tests.sim_hardware.program import FOLLOW, pace, printed

CHIPS = """
import world as w
from machine import I2C, Pin, SoftI2C
from chips.bme280 import BME280
from chips.scd41 import SCD41
from chips.sensirion import crc8
ms = lambda: world.now // 1000
scd, bme = SCD41(ms, lambda: (500, 25, 37)), BME280(ms, lambda: (20, 100_000, 50))
w.attach_i2c(22, 21, scd)
w.attach_i2c(22, 21, bme)
w.attach_i2c(18, 19, BME280(ms, lambda: (20, 100_000, 50), address=0x77))
def refused(act, *args):
    try:
        return act(*args)
    except OSError as error:
        return error.args[0]
"""


def on_board(folder: Path, program: str) -> list[Any]:
    """With the chips of an air station's buses, sixty times as fast as life."""
    pace(folder, 60)
    return printed(FOLLOW + CHIPS + program, folder)


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


def test_a_chip_that_holds_the_clock(tmp_path: Path) -> None:
    """The transfer takes so long, and no handler runs meanwhile; beyond the bus's patience it is ETIMEDOUT."""
    assert on_board(
        tmp_path,
        """
handled = []
class Edge:
    at = world.now + 36_000
    def next_us(self):
        return self.at
    def fire(self):
        self.at = None
        return 5, 1
w.attach_pins(Edge())
Pin(5).irq(lambda pin: handled.append(world.now - begin))
soft, hard = SoftI2C(Pin(22), Pin(21), timeout=40_000), I2C(0, scl=Pin(22), sda=Pin(21))
def timed(act, *args):
    before = world.now
    return refused(act, *args), world.now - before
bme.stretch_us = 13_000
print(timed(soft.readfrom_mem, 0x76, 0xD0, 1))
print(timed(hard.readfrom_mem, 0x76, 0xD0, 1))
bme.stretch_us = 30_000
begin = world.now
print(timed(soft.writeto, 0x76, b""))
print(timed(hard.writeto, 0x76, b""))
bme.stretch_us = 40_001
print(timed(soft.readfrom, 0x76, 1))
print([soft.scan(), hard.scan()])
print(handled)
""",
    ) == [
        (b"\x60", 13_000),
        (b"\x60", 13_000),
        (0, 30_000),
        (116, 13_107),
        (116, 40_000),
        [[0x62], [0x62]],
        [30_000],
    ]


def test_an_empty_write_asks_who_is_there(tmp_path: Path) -> None:
    """It reaches no chip's registers; addresses that are reserved are not scanned."""
    assert on_board(
        tmp_path,
        """
bus = I2C(0, scl=Pin(22), sda=Pin(21))
time.sleep_ms(2)
bus.writeto(0x76, b"\\xd0")
seen = [bus.writeto(0x76, b""), bus.writevto(0x76, []), bus.readfrom(0x76, 1), refused(bus.writeto, 0x40, b"")]
w.attach_i2c(22, 21, BME280(ms, lambda: (20, 100_000, 50), address=0x78))
print(seen + [bus.scan()])
bme.dead = True
print(refused(bus.writeto, 0x76, b""))
""",
    ) == [[0, 0, b"\x60", 19, [0x62, 0x76]], 19]


def test_addresses_within_a_chip(tmp_path: Path) -> None:
    """Whole bytes, four at most; what does not fit is cut off."""
    assert on_board(
        tmp_path,
        """
bus = I2C(0, scl=Pin(22), sda=Pin(21))
time.sleep_ms(2)
print(bus.readfrom_mem(0x76, 0x1D0, 1))
for bits in (4, 40):
    try:
        bus.readfrom_mem(0x76, 0xD0, 1, addrsize=bits)
    except ValueError as error:
        print(repr(str(error)))
""",
    ) == [b"\x60", "invalid addrsize", "invalid addrsize"]


@pytest.mark.parametrize(
    ("chip", "there", "missing"),
    [
        ("esp32", ["I2C(0)", "I2C(1)", "UART(1)", "UART(2)"], ["I2C(2)", "UART(0)", "UART(3)"]),
        ("esp32s3", ["I2C(1)", "UART(2)"], ["I2C(2)", "UART(0)", "UART(3)"]),
        ("esp32c3", ["I2C(0)", "UART(1)"], ["I2C(1)", "UART(0)", "UART(2)"]),
    ],
)
def test_each_chip_has_its_buses(tmp_path: Path, chip: str, there: list[str], missing: list[str]) -> None:
    """UART 0 is the console's."""
    rows = printed(
        f"from world import world\nworld.chip = {chip!r}\nfrom machine import I2C, UART\n"
        + "".join(f"{bus}\n" for bus in there)
        + "".join(f"try:\n    {bus}\nexcept ValueError as error:\n    print(repr(str(error)))\n" for bus in missing),
        tmp_path,
    )
    assert [row.replace("does not", "doesn't") for row in rows] == [f"{bus} doesn't exist" for bus in missing]
