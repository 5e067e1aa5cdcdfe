"""Pins: what they take, what they refuse, and what they show, on the real interpreter."""

from pathlib import Path
from typing import Any

import pytest

from tests.sim_hardware.program import DEVICE, FOLLOW, pace, printed

EDGES = [(1_000, 5, 1), (1_250, 5, 0), (70_003, 5, 1), (70_004, 6, 1), (99_999, 5, 0), (200_000, 5, 0)]
"""(us, pin, level); the last one is none: the level is as before."""


def on_board(folder: Path, program: str) -> list[Any]:
    """With `Device`, at ten times the speed of life."""
    pace(folder, 10)
    return printed(FOLLOW + DEVICE + "import machine\nfrom machine import Pin\n" + program, folder)


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


def test_an_input_drives_nothing(tmp_path: Path) -> None:
    """What is written to it shows once it is an output; an output starts low."""
    assert on_board(
        tmp_path,
        """
pin, look = Pin(4, Pin.IN), Pin(4)
world.pins[4].drive(1)
seen = [look()]
for act in (pin.off, pin.on, lambda: pin.init(Pin.OUT), pin.off, lambda: pin.init(Pin.IN), pin.on):
    act()
    seen.append(look())
print(seen)
other = Pin(5)
world.pins[5].drive(1)
other.init(Pin.OUT)
print(other())
""",
    ) == [[1, 1, 1, 1, 0, 0, 0], 0]


def test_there_is_one_of_each_pin(tmp_path: Path) -> None:
    """By its number or by itself; asked for without more it stays as it is."""
    assert on_board(
        tmp_path,
        """
pin = Pin(4, Pin.OUT, value=1)
print((Pin(4) is pin, Pin(pin) is pin, Pin(5) is pin, Pin(4)(), repr(Pin(pin))))
""",
    ) == [(True, True, False, 1, "Pin(4)")]


REFUSED = """
def refused(act):
    try:
        act()
    except Exception as error:
        return type(error).__name__, str(error)
"""


@pytest.mark.parametrize(
    ("act", "error"),
    [
        ("Pin(24)", ("ValueError", "invalid pin")),
        ("Pin(28)", ("ValueError", "invalid pin")),
        ("Pin(40)", ("ValueError", "invalid pin")),
        ("Pin(-1)", ("ValueError", "invalid pin")),
        ("Pin('D4')", ("ValueError", "invalid pin")),
        ("Pin(34, Pin.OUT)", ("ValueError", "pin can only be input")),
        ("Pin(39, Pin.OPEN_DRAIN)", ("ValueError", "pin can only be input")),
        ("Pin(33, Pin.OUT)", None),
        ("Pin(34, Pin.IN, Pin.PULL_UP)", None),
        ("Pin(4).irq(print, Pin.WAKE_LOW, wake=8)", ("ValueError", "bad wake value")),
        ("Pin(18).irq(trigger=Pin.WAKE_LOW, wake=machine.DEEPSLEEP)", ("ValueError", "invalid pin")),
    ],
)
def test_what_a_pin_refuses(tmp_path: Path, act: str, error: tuple[str, str] | None) -> None:
    """Numbers that the chip has not, and outputs on inputs. A pull that is not there is passed over in silence."""
    assert on_board(tmp_path, REFUSED + f"print(refused(lambda: {act}))") == [error]


@pytest.mark.parametrize(
    ("chip", "there", "missing"),
    [("esp32", (0, 23, 39), (24, 40, 48)), ("esp32s3", (0, 21, 48), (22, 25, 49)), ("esp32c3", (0, 13, 21), (14, 22))],
)
def test_pins_of_other_chips(tmp_path: Path, chip: str, there: tuple[int, ...], missing: tuple[int, ...]) -> None:
    """Which chip it is says `world.chip`."""
    rows = printed(
        f"from world import world\nworld.chip = {chip!r}\nfrom machine import Pin\n{REFUSED}"
        f"print([refused(lambda: Pin(n)) for n in {there}])\nprint([refused(lambda: Pin(n))[1] for n in {missing}])",
        tmp_path,
    )
    assert rows == [[None] * len(there), ["invalid pin"] * len(missing)]


def test_what_only_some_need_is_loaded_late(tmp_path: Path) -> None:
    """A heap is small. What there is not at all is an AttributeError."""
    assert on_board(
        tmp_path,
        """
import sys
def loaded():
    return sorted(name for name in sys.modules if name.startswith("machine_"))
print(loaded())
machine.UART
print(loaded())
print((hasattr(machine, "Counter"), hasattr(machine, "PWM")))
from machine import *
print(ADC, I2C, SoftI2C, deepsleep) if 0 else print(loaded())
""",
    ) == [
        [],
        ["machine_uart"],
        (True, False),
        ["machine_adc", "machine_counter", "machine_i2c", "machine_uart"],
    ]


def test_each_board_has_an_identity_of_its_own(tmp_path: Path) -> None:
    """By its folder, the same in every life; the radio's address is the same. A thousand nodes differ."""
    seen = on_board(
        tmp_path,
        """
import network
def identity(node):
    world.folder = "/somewhere/nodes/" + node
    assert machine.unique_id() == network.WLAN().config("mac")
    return machine.unique_id()
for n in list(range(1000)) + [7]:
    print(identity("water-%d" % n))
""",
    )
    assert len(set(seen)) == 1000
    assert seen[-1] == seen[7]
    assert {len(mac) for mac in seen} == {6}
    assert {mac[0] & 3 for mac in seen} == {2}, "locally administered, of one station"


def test_frequency(tmp_path: Path) -> None:
    """What the chip can."""
    assert on_board(
        tmp_path,
        REFUSED + "print((machine.freq(), machine.freq(240_000_000), machine.freq()))\n"
        "print(refused(lambda: machine.freq(100_000_000)))",
    ) == [
        (160_000_000, None, 240_000_000),
        ("ValueError", "frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz"),
    ]
