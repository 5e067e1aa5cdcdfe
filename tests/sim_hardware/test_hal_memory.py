"""What outlives a reset and what does not: NVS, RTC memory, and the resets themselves."""

from pathlib import Path

import pytest

from tests.sim_hardware.program import FOLLOW, ended, pace, printed

NVS = """
from esp32 import NVS
def refused(act, *args):
    try:
        return act(*args)
    except OSError as error:
        return error.args[0]
"""
NOT_FOUND = -4354
INVALID_LENGTH = -4364
KEY_TOO_LONG = -4361


def test_nvs_keeps_what_was_committed(tmp_path: Path) -> None:
    """In a new life of the board: the last committed value, none of the later ones, and nothing never committed."""
    assert printed(
        NVS
        + """
nvs = NVS("meter")
nvs.set_i32("pulses", 41)
nvs.set_blob("key", b"\\x00\\xff\\x7f")
nvs.commit()
nvs.set_i32("pulses", 42)
nvs.set_i32("never", 1)
nvs.erase_key("key")
print((nvs.get_i32("pulses"), nvs.get_i32("never"), refused(nvs.get_blob, "key", bytearray(9))))
""",
        tmp_path,
    ) == [(42, 1, NOT_FOUND)]
    assert printed(
        NVS
        + """
nvs, buffer = NVS("meter"), bytearray(9)
print((nvs.get_i32("pulses"), nvs.get_blob("key", buffer), bytes(buffer), refused(nvs.get_i32, "never")))
""",
        tmp_path,
    ) == [(41, 3, b"\x00\xff\x7f" + bytes(6), NOT_FOUND)]


def test_two_handles_of_a_namespace_see_the_same(tmp_path: Path) -> None:
    """Committed by either; another namespace has keys of its own."""
    assert printed(
        NVS
        + """
one, two, other = NVS("a"), NVS("a"), NVS("b")
one.set_i32("n", 5)
other.set_i32("n", 6)
print((two.get_i32("n"), NVS("a").get_i32("n"), NVS("b").get_i32("n")))
two.commit()
""",
        tmp_path,
    ) == [(5, 5, 6)]
    assert printed(NVS + "print((NVS('a').get_i32('n'), refused(NVS('b').get_i32, 'n')))", tmp_path) == [(5, NOT_FOUND)]


def test_nvs_refuses(tmp_path: Path) -> None:
    """A key that is missing, a number of more than 32 bits, a buffer that is too short."""
    missing, erased, numbers, short = printed(
        NVS
        + """
nvs = NVS("a")
print(refused(nvs.get_i32, "n"))
print(refused(nvs.erase_key, "n"))
found = []
for n in (-(1 << 31), (1 << 31) - 1, 1 << 31, -(1 << 31) - 1):
    try:
        nvs.set_i32("n", n)
        found.append(nvs.get_i32("n"))
    except OverflowError:
        found.append(None)
print(found)
nvs.set_blob("key", bytearray(4))
print(refused(nvs.get_blob, "key", bytearray(3)))
""",
        tmp_path,
    )
    assert (missing, erased) == (NOT_FOUND, NOT_FOUND)
    assert numbers == [-(1 << 31), (1 << 31) - 1, None, None]
    assert short == INVALID_LENGTH


def test_nvs_names_and_kinds(tmp_path: Path) -> None:
    """15 characters at most, of a key and of a namespace; a key of the other kind is not found, and can be replaced."""
    assert printed(
        NVS
        + """
nvs = NVS("n" * 15)
nvs.set_i32("k" * 15, 7)
print(nvs.get_i32("k" * 15))
long = "k" * 16
print([refused(act, long, *more) for act, more in (
    (nvs.set_i32, (1,)), (nvs.get_i32, ()), (nvs.set_blob, (b"",)), (nvs.get_blob, (bytearray(1),)), (nvs.erase_key, ())
)] + [refused(NVS, long)])
nvs.set_blob("n", b"1")
print((refused(nvs.get_i32, "n"), refused(nvs.get_blob, "k" * 15, bytearray(9))))
nvs.set_i32("n", 3)
print((nvs.get_i32("n"), refused(nvs.get_blob, "n", bytearray(9))))
""",
        tmp_path,
    ) == [7, [KEY_TOO_LONG] * 6, (NOT_FOUND, NOT_FOUND), (3, NOT_FOUND)]


def test_rtc_memory_outlives_a_reset(tmp_path: Path) -> None:
    """Empty at first; 2048 bytes at most; what is too long changes nothing."""
    assert printed(
        """
        from machine import RTC
        print(RTC().memory())
        RTC().memory(bytes(range(256)) * 8)
        try:
            RTC().memory(bytes(2049))
        except ValueError:
            print(len(RTC().memory()))
        """,
        tmp_path,
    ) == [b"", 2048]
    again = "from machine import RTC\nprint(RTC().memory() == bytes(range(256)) * 8)\nRTC().memory(b'')"
    assert printed(again, tmp_path) == [True]
    assert printed(again, tmp_path) == [False]


@pytest.mark.parametrize(
    ("act", "code"),
    [("machine.reset()", 82), ("machine.soft_reset()", 85), ("asyncio.run(later(machine.reset))", 82)],
)
def test_a_reset_ends_the_process(tmp_path: Path, act: str, code: int) -> None:
    """Its exit code tells the fleet the cause; nothing after it runs, nor does anything catch it."""
    program = f"""
        import asyncio, machine
        async def later(act):
            await asyncio.sleep_ms(1)
            act()
        try:
            {act}
        except Exception:
            print("caught")
        print("still there")
        """
    assert ended(program, tmp_path) == (code, [])


@pytest.mark.parametrize(
    "hang",
    [
        "time.sleep(3600)",
        "while True: time.ticks_ms()",
        "while True: time.sleep_ms(10)",
        "asyncio.run(nap())",
    ],
)
def test_the_watchdog_bites(tmp_path: Path, hang: str) -> None:
    """Exactly its timeout after it was last fed, whatever the board is doing; fed in time it rests."""
    pace(tmp_path, 60)
    program = (
        FOLLOW
        + f"""
import asyncio, machine
from world import FOREVER
async def nap():
    await asyncio.sleep(3600)
wdt = machine.WDT(timeout=300)
for _ in range(4):
    time.sleep_ms(299)
    wdt.feed()
begin = world.now
class Witness:
    at = begin + 299_999
    def fire(self):
        self.at = FOREVER
        print(world.now - begin)
world.add(Witness())
{hang}
print("not bitten")
"""
    )
    assert ended(program, tmp_path) == (83, ["299999"])


@pytest.mark.parametrize(
    ("settings", "error"), [("timeout=0", "WDT timeout too short"), ("timeout=-1", "WDT timeout too short"), ("1", "")]
)
def test_what_a_watchdog_refuses(tmp_path: Path, settings: str, error: str) -> None:
    """There is one, and it has no end: neither `deinit` nor a timeout of nothing."""
    assert printed(
        f"""
        import machine
        try:
            machine.WDT({settings})
        except ValueError as error:
            print((str(error), hasattr(machine.WDT, "deinit")))
        """,
        tmp_path,
    ) == [(error, False)]


def test_there_is_one_watchdog(tmp_path: Path) -> None:
    """Who asks for it again, as the firmware after its loader, sets its timeout anew, and feeds it."""
    pace(tmp_path, 60)
    program = (
        FOLLOW
        + """
import machine
first = machine.WDT(timeout=300)
time.sleep_ms(200)
second = machine.WDT(timeout=5_000)
time.sleep_ms(4_000)
first.feed()
print("fed")
time.sleep_ms(4_900)
print("alive")
time.sleep_ms(200)
print("not bitten")
"""
    )
    assert ended(program, tmp_path) == (83, ["fed", "alive"])


def test_figures_of_the_heap(tmp_path: Path) -> None:
    """(total, free, largest, least free): what is used is missing from what is free."""
    (before, after) = printed(
        """
        import esp32
        print(esp32.idf_heap_info(esp32.HEAP_DATA)[0])
        hold = bytearray(20_000)
        print(esp32.idf_heap_info(esp32.HEAP_DATA)[0])
        """,
        tmp_path,
    )
    assert before[0] == pytest.approx(after[0], abs=1_000)
    assert 160_000 < before[0] <= 256 * 1024
    assert before[1] - after[1] == pytest.approx(20_000, abs=1_000)
    assert all(0 < free <= total for total, free, _, _ in (before, after))
