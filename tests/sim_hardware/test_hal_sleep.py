"""Sleep as on the ESP32: by levels of pins and by a timer of its own clock; and what a deep sleep leaves."""

import struct
from pathlib import Path

import pytest

from tests.sim_hardware.program import DEVICE, FOLLOW, START, ended, pace, printed

SLEEPER = (
    FOLLOW
    + DEVICE
    + f"""
from machine import Pin, deepsleep, lightsleep, wake_reason
import esp32
world.now = world.boot = {START} * 1_000_000
reed, lid = Pin(27, Pin.IN, Pin.PULL_UP), Pin(13, Pin.IN, Pin.PULL_UP)
"""
)


def woke(folder: Path) -> tuple[int, int, int]:
    """(us since the beginning, us that the real-time clock is ahead, reason)."""
    now, ahead, reason = struct.unpack("<qqI", (folder / "sleep.bin").read_bytes())
    return now - START * 1_000_000, ahead, reason


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        ("", (3_600_000_000, 4)),
        ("esp32.wake_on_ext0(reed, True)", (70_000_001, 2)),
        ("esp32.wake_on_ext0(reed, False)", (0, 2)),
        ("esp32.wake_on_ext1((lid,), esp32.WAKEUP_ANY_HIGH)", (90_000_000, 3)),
        ("esp32.wake_on_ext1((lid, reed), esp32.WAKEUP_ANY_HIGH)", (70_000_001, 3)),
        ("esp32.wake_on_ext1((lid, reed), esp32.WAKEUP_ALL_LOW)", (0, 3)),
        ("esp32.wake_on_ext0(reed, True)\nesp32.wake_on_ext0(None, True)", (3_600_000_000, 4)),
    ],
)
def test_what_ends_a_deep_sleep(tmp_path: Path, arm: str, expected: tuple[int, int]) -> None:
    """To the microsecond; a level that is there already lets no sleep begin. Interrupts are off."""
    pace(tmp_path, 50_000)
    program = f"""
Device([(70_000_001, 27, 1), (80_000_000, 27, 0), (90_000_000, 13, 1)])
reed.irq(lambda pin: print("interrupt"))
{arm}
deepsleep(3_600_000)
print("still there")
"""
    assert ended(SLEEPER + program, tmp_path) == (84, [])
    at, ahead, reason = woke(tmp_path)
    assert (at, reason) == expected
    assert ahead == 0


def test_a_light_sleep_goes_on(tmp_path: Path) -> None:
    """In the same program, whose interrupts still work."""
    pace(tmp_path, 50_000)
    program = """
Device([(5_000_000, 27, 1), (50_000_000, 13, 1)])
esp32.wake_on_ext0(reed, True)
lightsleep(10_000)
print((world.now - world.boot, wake_reason()))
esp32.wake_on_ext0(None)
lightsleep(10_000)
print((world.now - world.boot, wake_reason()))
"""
    assert printed(SLEEPER + program, tmp_path) == [(5_000_000, 2), (15_000_000, 4)]


@pytest.mark.parametrize("ppm", [50_000, -50_000])
def test_the_clock_drifts_in_sleep(tmp_path: Path, ppm: int) -> None:
    """And with it the timer; in the next life it shows what it has gained, a boot later."""
    pace(tmp_path, 50_000)
    assert ended(SLEEPER + f"world.rtc_ppm = {ppm}\ndeepsleep(3_600_000)\n", tmp_path) == (84, [])
    at, ahead, reason = woke(tmp_path)
    assert at == pytest.approx(3_600_000_000 / (1 + ppm / 1e6), abs=1)
    assert ahead == pytest.approx(at * ppm / 1e6, abs=1)
    assert reason == 4
    program = """
import machine
world.reset_cause = 4
machine.woken()
print((machine.reset_cause(), machine.wake_reason(), world.now, time.ticks_ms(), time.time_ns() // 1000))
"""
    ((cause, reason, now, ticks, clock),) = printed(FOLLOW + program, tmp_path)
    assert (cause, reason) == (4, 4)
    assert now == START * 1_000_000 + at + 600_000
    assert ticks < 10
    assert clock - (now - 946_684_800 * 1_000_000) == pytest.approx(ahead, abs=10)


def test_a_pin_that_the_chip_does_not_watch(tmp_path: Path) -> None:
    """Not every pin belongs to the part of the chip that is awake."""
    assert (
        printed(
            """
        import esp32
        from machine import Pin
        for act in (lambda pin: esp32.wake_on_ext0(pin, False), lambda pin: esp32.wake_on_ext1((pin,), False)):
            try:
                act(Pin(18))
            except ValueError as error:
                print(repr(str(error)))
        """,
            tmp_path,
        )
        == ["invalid pin"] * 2
    )


def test_a_sleeping_board_is_bitten_by_no_watchdog(tmp_path: Path) -> None:
    """It is off in deep sleep."""
    pace(tmp_path, 50_000)
    program = "import machine\nmachine.WDT(timeout=1_000)\ndeepsleep(60_000)\n"
    assert ended(SLEEPER + program, tmp_path) == (84, [])
