"""Pins, their interrupts, pulse counters and the ADC, on the real interpreter."""

from pathlib import Path
from typing import Any

import pytest

from tests.sim_hardware.program import DEVICE, FOLLOW, pace, printed

EDGES = [(1_000, 5, 1), (1_250, 5, 0), (70_003, 5, 1), (70_004, 6, 1), (99_999, 5, 0), (200_000, 5, 0)]
"""(us, pin, level); the last one is none: the level is as before."""


def on_board(folder: Path, program: str) -> list[Any]:
    """With `Device`, at ten times the speed of life."""
    pace(folder, 10)
    return printed(FOLLOW + DEVICE + "from machine import *\n" + program, folder)


@pytest.mark.parametrize(
    ("trigger", "levels"),
    [
        ("Pin.IRQ_RISING", [1, 1]),
        ("Pin.IRQ_FALLING", [0, 0]),
        ("Pin.IRQ_RISING | Pin.IRQ_FALLING", [1, 0, 1, 0]),
    ],
)
def test_interrupts(tmp_path: Path, trigger: str, levels: list[int]) -> None:
    """At the edges that were asked for, each with its pin, whose value is the new level."""
    (seen,) = on_board(
        tmp_path,
        f"""
Device({EDGES})
pin, seen = Pin(5, Pin.IN, Pin.PULL_UP), []
pin.irq(lambda source: seen.append((repr(source), source.value())), {trigger})
time.sleep_ms(300)
print(seen)
""",
    )
    assert seen == [("Pin(5)", level) for level in levels]


def test_an_interrupt_can_be_taken_away(tmp_path: Path) -> None:
    """And its pin goes on moving."""
    assert on_board(
        tmp_path,
        f"""
Device({EDGES})
pin, seen = Pin(5), []
pin.irq(lambda pin: seen.append(pin.value()), Pin.IRQ_RISING | Pin.IRQ_FALLING)
time.sleep_ms(2)
pin.irq(None)
time.sleep_ms(80)
print(seen)
print(pin.value())
""",
    ) == [[1, 0], 1]


@pytest.mark.parametrize("more", ["hard=True", "priority=1"])
def test_what_the_esp32_cannot(tmp_path: Path, more: str) -> None:
    """Its interrupts are soft and have no priority: the arguments are refused, as on the board."""
    with pytest.raises(AssertionError, match="TypeError"):
        on_board(tmp_path, f"Pin(5).irq(print, {more})")


def test_outputs(tmp_path: Path) -> None:
    """Every way to set a level, seen through another object of the same pin."""
    assert on_board(
        tmp_path,
        """
out, look = Pin(4, Pin.OUT, value=1), Pin(4)
seen = [look()]
for act in (out.off, out.on, out.toggle, lambda: out.value(1), lambda: out(0), lambda: out.init(Pin.OUT, value=1)):
    act()
    seen.append(look.value())
print(seen)
""",
    ) == [[1, 0, 1, 0, 1, 0, 1]]


# counters ---------------------------------------------------------------------------------------------------------

PULSES = """
from world import line
def pulses(n):
    for _ in range(n):
        line(5).drive(1)
        line(5).drive(0)
"""


@pytest.mark.parametrize(
    ("settings", "each"),
    [
        ("", 1),
        ("edge=Counter.FALLING", 1),
        ("direction=Counter.DOWN", -1),
    ],
)
def test_a_counter_is_wider_than_its_hardware(tmp_path: Path, settings: str, each: int) -> None:
    """The 16 bits of the PCNT fall to zero at 32000; nothing is lost, however seldom it is read."""
    steps = [1, 31_998, 1, 1, 70_000, 0, 64_000]
    rows = on_board(
        tmp_path,
        PULSES
        + f"""
counter = Counter(0, Pin(5), {settings})
for n in {steps}:
    pulses(n)
    print(counter.value())
print(counter.value(5))
pulses(3)
print(counter.value())
""",
    )
    total = sum(steps)
    assert rows == [*(each * sum(steps[: n + 1]) for n in range(len(steps))), each * total, 5 + 3 * each]


def test_a_counter_sees_every_edge(tmp_path: Path) -> None:
    """A burst of 200 pulses 20 us apart, while the program sleeps."""
    assert on_board(
        tmp_path,
        """
Device([(1000 + 10 * n, 5, (n + 1) % 2) for n in range(400)])
counter = Counter(3, Pin(5))
time.sleep_ms(100)
print(counter.value())
""",
    ) == [200]


def test_pcnt_falls_to_zero_at_its_limits(tmp_path: Path) -> None:
    """At either one; it counts what it is told to, and rests when stopped."""
    assert on_board(
        tmp_path,
        PULSES
        + """
from esp32 import PCNT
unit = PCNT(0, pin=Pin(5), rising=PCNT.INCREMENT, min=-10, max=10)
seen = []
def note(n):
    pulses(n)
    seen.append(unit.value())
for n in (9, 1, 5):
    note(n)
unit.stop()
note(7)
unit.start()
note(1)
unit.init(pin=Pin(5), falling=PCNT.DECREMENT, min=-10, max=10)
for n in (9, 1, 3):
    note(n)
unit.init(pin=Pin(5), rising=PCNT.INCREMENT, falling=PCNT.INCREMENT, value=100)
note(2)
print(seen)
""",
    ) == [[9, 0, 5, 5, 6, -9, 0, -3, 104]]


def test_there_are_eight_units(tmp_path: Path) -> None:
    """And no more."""
    with pytest.raises(AssertionError, match="ValueError: PCNT unit"):
        on_board(tmp_path, "Counter(7, Pin(5))\nCounter(8, Pin(5))")


# ADC --------------------------------------------------------------------------------------------------------------


def test_adc_steps_and_floor(tmp_path: Path) -> None:
    """Whole millivolts, and nothing below a tenth of a volt."""
    rows = on_board(
        tmp_path,
        """
for microvolts in (0, 99_999, 100_999, 1_234_567, 3_100_000, 5_000_000):
    world.adc[34] = microvolts
    print((ADC(Pin(34)).read_uv(), ADC(34, atten=ADC.ATTN_11DB).read_u16()))
print(ADC(35).read_uv())
""",
    )
    microvolts = [100_000, 100_000, 100_000, 1_234_000, 3_100_000, 5_000_000]
    assert rows[:-1] == [(uv, min(65_535, uv * 65_535 // 3_100_000)) for uv in microvolts]
    assert rows[-1] == 100_000


@pytest.mark.parametrize("pin", [0, 2, 4, 12, 13, 14, 15, 25, 26, 27])
def test_adc2_belongs_to_the_radio(tmp_path: Path, pin: int) -> None:
    """Its pins cannot be read."""
    with pytest.raises(AssertionError, match=r"OSError: .*ESP_ERR_INVALID_STATE"):
        on_board(tmp_path, f"ADC(Pin({pin})).read_uv()")
