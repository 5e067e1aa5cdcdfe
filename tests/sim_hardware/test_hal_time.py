"""`time` as on the ESP32: epoch 2000, ticks of 30 bits, sleeps that pass exactly their time, and the clock."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from tests.sim_hardware.program import DEVICE, FOLLOW, pace, printed

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
PERIOD = 2**30


def test_the_epoch_is_2000(tmp_path: Path) -> None:
    """As on the board, though the interpreter's own is 1970; times are integers and dates have eight fields."""
    zero, fields, seconds, ns = printed(
        """
        print(time.gmtime(0))
        print(time.localtime(0))
        print(time.time())
        print(time.time_ns())
        """,
        tmp_path,
    )
    assert zero == fields == (2000, 1, 1, 0, 0, 0, 5, 1)
    assert isinstance(seconds, int)
    assert abs(seconds - (time.time() - EPOCH.timestamp())) < 30
    assert 0 <= ns // 1_000_000_000 - seconds <= 1


def test_dates_there_and_back(tmp_path: Path) -> None:
    """Leap days, the ends of months and years, and moments in between, against CPython's calendar."""
    random = Random(1)
    days = (datetime(year, month, 1, tzinfo=UTC) for year in (2000, 2001, 2024, 2028, 2096) for month in range(1, 13))
    moments = [int((day - EPOCH).total_seconds()) for day in days]
    moments += [second - 1 for second in moments if second] + [random.randrange(3_155_760_000) for _ in range(200)]
    rows = printed(
        f"""
        for second in {moments}:
            print((time.gmtime(second), time.mktime(time.gmtime(second))))
        """,
        tmp_path,
    )
    assert len(rows) == len(moments)
    for second, (fields, back) in zip(moments, rows, strict=True):
        date = EPOCH + timedelta(seconds=second)
        assert fields == date.timetuple()[:8]
        assert back == second


@pytest.mark.parametrize(("unit", "us"), [("ms", 1000), ("us", 1)])
def test_ticks_wrap_and_differences_do_not_mind(tmp_path: Path, unit: str, us: int) -> None:
    """Ten units before 2**30 and ten after it."""
    before, after, difference, back, added = printed(
        f"""
        from world import world
        world.boot = world.now - (2**30 - 10) * {us}
        before = time.ticks_{unit}()
        time.sleep_{unit}(20)
        after = time.ticks_{unit}()
        print(before)
        print(after)
        print(time.ticks_diff(after, before))
        print(time.ticks_diff(before, after))
        print(time.ticks_add(before, 20))
        """,
        tmp_path,
    )
    assert (before, after) == (PERIOD - 10, 10)
    assert (difference, back, added) == (20, -20, 10)


def test_ticks_differences(tmp_path: Path) -> None:
    """Half a period forwards and backwards, from anywhere."""
    random = Random(2)
    pairs = [(random.randrange(PERIOD), random.randrange(1 - PERIOD // 2, PERIOD // 2)) for _ in range(100)]
    pairs += [(0, 1 - PERIOD // 2), (0, PERIOD // 2 - 1), (PERIOD - 1, 1), (0, -1), (0, 0)]
    rows = printed(
        f"""
        for start, delta in {pairs}:
            end = time.ticks_add(start, delta)
            print((end, time.ticks_diff(end, start)))
        """,
        tmp_path,
    )
    assert rows == [((start + delta) % PERIOD, delta) for start, delta in pairs]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("time.ticks_add(0, 1 << 29)", "OverflowError"),
        ("time.ticks_add(5, -(1 << 29))", "OverflowError"),
        ("time.sleep_ms(1.0)", "TypeError"),
        ("time.sleep_us(1.0)", "TypeError"),
        ("time.sleep(-1)", "ValueError"),
        ("time.mktime((2025, 1, 1, 0, 0, 0))", "TypeError"),
        ("time.mktime((2025, 1, 1, 0, 0, 0, 0, 0, 0, 0))", "TypeError"),
    ],
)
def test_what_time_refuses(tmp_path: Path, call: str, error: str) -> None:
    """Half a period and more, parts of a ms or us, and dates that are no dates. What a board makes of a negative
    `sleep` is undefined; here it is an error."""
    assert printed(
        f"""
        try:
            {call}
        except Exception as error:
            print(repr(type(error).__name__))
        """,
        tmp_path,
    ) == [error]


def test_sleeps_that_are_none(tmp_path: Path) -> None:
    """Negative ones pass no time; `sleep` knows milliseconds, no less."""
    assert printed(
        """
        from world import world
        seen = []
        for sleep, n in ((time.sleep_ms, -5), (time.sleep_us, -5), (time.sleep_us, 0), (time.sleep, 0.0009)):
            before = world.now
            sleep(n)
            seen.append(world.now - before)
        print(seen)
        """,
        tmp_path,
    ) == [[0, 0, 0, 0]]


def test_the_calendar_has_32_bits(tmp_path: Path) -> None:
    """Unsigned, since 1970, though the epoch is 2000."""
    assert printed(
        """
        print(time.gmtime(-1)[:6])
        print(time.gmtime(-946_684_800)[:6])
        print(time.gmtime(3_155_759_999)[:6])
        print(time.gmtime((1 << 32) - 946_684_800)[:6])
        print(time.gmtime(0.9)[:6])
        """,
        tmp_path,
    ) == [
        (1999, 12, 31, 23, 59, 59),
        (1970, 1, 1, 0, 0, 0),
        (2099, 12, 31, 23, 59, 59),
        (1970, 1, 1, 0, 0, 0),
        (2000, 1, 1, 0, 0, 0),
    ]


def test_cycles(tmp_path: Path) -> None:
    """160 in a microsecond, of 30 bits like all ticks."""
    assert printed(
        """
        from world import world
        world.boot = world.now - 10_000_000
        before = time.ticks_cpu()
        time.sleep_us(1000)
        print((before, time.ticks_diff(time.ticks_cpu(), before)))
        """,
        tmp_path,
    ) == [(10_000_000 * 160 % PERIOD, 160_000)]


def test_sleeps_pass_exactly_their_time(tmp_path: Path) -> None:
    """On the board to the microsecond; and the board is never ahead of life when nobody runs it faster."""
    *slept, ahead = printed(
        """
        import utime
        for sleep, n in ((time.sleep_ms, 70), (time.sleep_us, 3), (time.sleep, 0.03), (time.sleep_ms, 0)):
            before = time.ticks_us()
            sleep(n)
            print(time.ticks_diff(time.ticks_us(), before))
        from world import world
        print(world.now - utime.time_ns() // 1000)
        """,
        tmp_path,
    )
    assert slept == [70_000, 3, 30_000, 0]
    assert ahead <= 0


@pytest.mark.parametrize(
    "loop",
    [
        "time.ticks_diff(time.ticks_ms(), begin) < 50",
        "time.ticks_diff(time.ticks_us(), begin * 1000) < 50_000",
        "time.time_ns() < begin_ns + 50_000_000",
        "not pin.value()",
        "not pin()",
        "not uart.any()",
        "uart.read(1) is None",
        "i2c.readfrom_mem(0x76, 0xF3, 1)[0] & 8",
    ],
)
def test_a_busy_wait_sees_time_pass(tmp_path: Path, loop: str) -> None:
    """A loop that does nothing but look ends, whatever it looks at."""
    pace(tmp_path, 20)
    (passed,) = printed(
        FOLLOW
        + DEVICE
        + f"""
import machine, world as w
from chips.bme280 import BME280
from chips.pms5003 import PMS5003
ms = lambda: w.world.now // 1000
w.attach_i2c(18, 19, BME280(ms, lambda: (20, 100_000, 50)))
pms = PMS5003(ms, lambda: (1, 2, 3))
w.attach_uart(17, 16, pms)
Device([(50_000, 5, 1)])
pin, uart, i2c = machine.Pin(5), machine.UART(2), machine.I2C(0)
begin, begin_ns, start = time.ticks_ms(), time.time_ns(), w.world.now
uart.write(b"\\x42\\x4d\\xe1\\x00\\x00\\x01\\x70")
i2c.writeto(0x76, b"\\xf2\\x01\\xf4\\x25")
while {loop}:
    pass
print(w.world.now - start)
""",
        tmp_path,
    )
    assert 9_000 <= passed < 100_000


def test_the_clock_can_be_set(tmp_path: Path) -> None:
    """`RTC().datetime` there and back; it runs on from there, and gives the weekday itself."""
    pace(tmp_path, 20)
    at_once, later, seconds, ticks = printed(
        FOLLOW
        + """
from machine import RTC
before = time.ticks_ms()
RTC().datetime((2026, 3, 29, 0, 1, 59, 58, 750_000))
print(RTC().datetime())
time.sleep_ms(1500)
print(RTC().datetime())
print((time.time(), time.mktime((2026, 3, 29, 2, 0, 0, 0, 0))))
print(time.ticks_diff(time.ticks_ms(), before))
""",
        tmp_path,
    )
    assert at_once == (2026, 3, 29, 6, 1, 59, 58, 750_000)
    assert later == (2026, 3, 29, 6, 2, 0, 0, 250_000)
    assert seconds[0] == seconds[1]
    assert ticks == 1500


def test_a_board_without_a_battery_starts_in_2000(tmp_path: Path) -> None:
    """As after a loss of power."""
    pace(tmp_path, 20)
    rows = printed(
        FOLLOW + "time.lose_rtc()\nprint(time.gmtime()[:6])\ntime.sleep_ms(1000)\nprint(time.time())", tmp_path
    )
    assert rows == [(2000, 1, 1, 0, 0, 0), 1]


def test_asyncio_sleeps_over_the_wrap(tmp_path: Path) -> None:
    """Its queue keeps the order of timers, whose ticks lie on both sides of the board's wrap."""
    rows = printed(
        """
        import asyncio
        from world import world
        world.boot = world.now - (2**30 - 20) * 1000
        async def nap(ms):
            before = time.ticks_ms()
            await asyncio.sleep_ms(ms)
            print((ms, time.ticks_diff(time.ticks_ms(), before), time.ticks_ms() < before))
        async def main():
            await asyncio.gather(*(nap(ms) for ms in (50, 5, 30, 10)))
        asyncio.run(main())
        """,
        tmp_path,
    )
    assert [row[0] for row in rows] == [5, 10, 30, 50]
    assert [row[2] for row in rows] == [False, False, True, True]
    assert all(ms <= passed <= ms + 1 for ms, passed, _ in rows)
