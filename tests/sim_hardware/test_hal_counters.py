"""Pulse counters and converters: PCNT, Counter and ADC, on the real interpreter."""

from pathlib import Path
from typing import Any

import pytest

from tests.sim_hardware.program import DEVICE, FOLLOW, pace, printed

PULSES = """
import machine
from machine import ADC, Counter, Pin
from esp32 import PCNT
from world import line
def pulses(n, pin=5):
    for _ in range(n):
        line(pin).drive(1)
        line(pin).drive(0)
def refused(act, *settings, **more):
    try:
        act(*settings, **more)
    except Exception as error:
        return type(error).__name__, str(error)
"""


def on_board(folder: Path, program: str) -> list[Any]:
    """With pulses on pins, at ten times the speed of life."""
    pace(folder, 10)
    return printed(FOLLOW + DEVICE + PULSES + program, folder)


# Counter ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "each"),
    [
        ("", 1),
        ("edge=Counter.FALLING", 1),
        ("edge=Counter.RISING | Counter.FALLING", 2),
        ("direction=Counter.DOWN", -1),
    ],
)
def test_a_counter_is_wider_than_its_hardware(tmp_path: Path, settings: str, each: int) -> None:
    """The 16 bits of the PCNT fall to zero at 32000; nothing is lost, however seldom it is read."""
    steps = [1, 31_998, 1, 1, 70_000, 0, 64_000]
    rows = on_board(
        tmp_path,
        f"""
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


def test_a_counter_that_falls_while_the_program_is_away(tmp_path: Path) -> None:
    """Its interrupt may even be dropped: `value` asks the hardware itself."""
    assert on_board(
        tmp_path,
        """
class Pulses(Device):
    def fire(self):
        pulses(32_001)
        return super().fire()
Pulses([(1000, 6, 1)])
Device([(100 + n, 7, (n + 1) % 2) for n in range(20)])
counter = Counter(0, Pin(5))
Pin(7).irq(lambda pin: None)
machine.stall(5_000)
print((machine.lost, counter.value()))
""",
    ) == [(13, 32_001)]


def test_there_is_one_counter_of_each_unit(tmp_path: Path) -> None:
    """Asked for without more it is as it was; with settings it begins anew. `filter_ns` is as long as the chip can."""
    assert on_board(
        tmp_path,
        """
first = Counter(1, Pin(5))
pulses(3)
print((Counter(1) is first, Counter(1).value()))
Counter(1, Pin(5), filter_ns=1_000_000)
pulses(2)
print(first.value())
first.init(Pin(5), edge=Counter.FALLING, direction=Counter.DOWN)
pulses(2)
print(first.value())
first.deinit()
pulses(2)
print(refused(first.value))
print(refused(Counter, 2))
""",
    ) == [
        (True, 3),
        2,
        -2,
        ("RuntimeError", "not initialised"),
        ("TypeError", "function missing required positional argument #1"),
    ]


@pytest.mark.parametrize(("chip", "units"), [("esp32", 8), ("esp32s3", 4)])
def test_each_chip_has_its_units(tmp_path: Path, chip: str, units: int) -> None:
    """And no more."""
    assert printed(
        f"""
        from world import world
        world.chip = {chip!r}
        from machine import Counter, Pin
        Counter({units - 1}, Pin(5))
        try:
            Counter({units}, Pin(5))
        except ValueError as error:
            print(repr(str(error)))
        """,
        tmp_path,
    ) == ["invalid id"]


def test_a_chip_without(tmp_path: Path) -> None:
    """Its image has no such classes: firmware that may run there must do without."""
    assert printed(
        """
        from world import world
        world.chip = "esp32c3"
        import esp32
        try:
            from machine import Counter
        except ImportError:
            print(hasattr(esp32, "PCNT"))
        """,
        tmp_path,
    ) == [False]


# PCNT -------------------------------------------------------------------------------------------------------------


def test_pcnt_falls_to_zero_at_its_limits(tmp_path: Path) -> None:
    """At either one; it counts what it is told to, once it is started, and rests when stopped."""
    assert on_board(
        tmp_path,
        """
unit = PCNT(0, pin=Pin(5), rising=PCNT.INCREMENT, min=-10, max=10)
seen = []
def note(n):
    pulses(n)
    seen.append(unit.value())
note(2)
unit.start()
for n in (9, 1, 5):
    note(n)
unit.stop()
note(7)
unit.start()
note(1)
unit.init(pin=Pin(5), falling=PCNT.DECREMENT, value=0)
for n in (9, 1, 3):
    note(n)
unit.init(rising=PCNT.INCREMENT, falling=PCNT.INCREMENT, min=-32768, max=32767, value=0)
note(2)
seen.append(unit.value(0))
seen.append(unit.value())
unit.deinit()
note(2)
print(seen)
""",
    ) == [[0, 9, 0, 5, 5, 6, -9, 0, -3, 4, 4, 0, 0]]


def test_pcnt_tells_what_has_happened(tmp_path: Path) -> None:
    """Only what was asked for; its flags are cleared by reading them, and `value` waits for them."""
    assert on_board(
        tmp_path,
        """
unit = PCNT(0, pin=Pin(5), rising=PCNT.INCREMENT, max=10, threshold0=3)
told = []
irq = unit.irq(lambda pcnt: told.append(pcnt.irq().flags()), PCNT.IRQ_MAX | PCNT.IRQ_THRESHOLD0)
unit.start()
pulses(13)
print((told, irq.flags(), PCNT.IRQ_THRESHOLD0, PCNT.IRQ_MAX))
state = machine.disable_irq()
pulses(10)
print((len(told), unit.value(), told[-1], irq.flags()))
machine.enable_irq(state)
unit.irq(None)
pulses(10)
print((len(told), irq.flags()))
""",
    ) == [([2, 16, 2], 0, 2, 16), (3, 3, 18, 0), (5, 0)]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ("8", "invalid id"),
        ("-1", "invalid id"),
        ("0, filter=1024", "filter"),
        ("0, value=1", "value"),
        ("0, max=32768", "maximum"),
        ("0, max=0", "maximum"),
        ("0, min=-32769", "minimum"),
    ],
)
def test_what_pcnt_refuses(tmp_path: Path, settings: str, error: str) -> None:
    """16 bits, 1023 cycles, and no count but zero can be set."""
    assert on_board(tmp_path, f"print(refused(PCNT, {settings}))") == [("ValueError", error)]


# ADC --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attenuation", "least", "most"),
    [("", 100, 950), ("atten=ADC.ATTN_2_5DB", 100, 1250), ("atten=2", 150, 1750), ("atten=ADC.ATTN_11DB", 150, 2450)],
)
def test_adc_steps_and_range(tmp_path: Path, attenuation: str, least: int, most: int) -> None:
    """Whole millivolts, within what the attenuation lets it see; without one that is little."""
    given = (0, 99_999, 500_999, 1_234_567, 3_100_000)
    rows = on_board(
        tmp_path,
        f"""
adc = ADC(Pin(34), {attenuation})
for microvolts in {given}:
    world.adc[34] = microvolts
    print((adc.read_uv(), adc.read_u16(), adc.read()))
""",
    )
    seen = [min(max(uv // 1000, least), most) for uv in given]
    assert rows == [(mv * 1000, mv * 65_535 // most, mv * 65_535 // most >> 4) for mv in seen]


def test_what_the_adc_refuses(tmp_path: Path) -> None:
    """Pins without a converter, attenuations that are none."""
    assert on_board(tmp_path, "print([refused(ADC, 5), refused(ADC, 34, atten=4)])") == [
        [("ValueError", "invalid pin"), ("ValueError", "invalid atten")]
    ]


@pytest.mark.parametrize("pin", [0, 2, 4, 12, 13, 14, 15, 25, 26, 27])
def test_adc2_belongs_to_the_radio(tmp_path: Path, pin: int) -> None:
    """While that is on, its pins cannot be read."""
    assert on_board(
        tmp_path,
        f"""
adc = ADC(Pin({pin}))
world.adc[{pin}] = 700_000
seen = [adc.read_uv()]
import network
seen.append(adc.read_uv())
network.WLAN().active(True)
seen.append(refused(adc.read_uv))
network.WLAN().active(False)
print(seen + [adc.read_uv()])
""",
    ) == [[700_000, 700_000, ("OSError", "(116, 'ESP_ERR_TIMEOUT')"), 700_000]]
