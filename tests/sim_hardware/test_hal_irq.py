"""Interrupts as MicroPython schedules them: one at a time, eight waiting, none told of what is lost."""

from pathlib import Path
from typing import Any

import pytest

from tests.micropython import run
from tests.sim_hardware.program import DEVICE, FOLLOW, ended, pace, printed

EDGES = """
import machine
from machine import Pin
def burst(pin, n, gap_us=100, first_us=1000):
    Device([(first_us + gap_us * i, pin, (i + 1) % 2) for i in range(n)])
seen = []
begin = world.now
def note(pin):
    seen.append((pin.number, world.now - begin, pin()))
"""


def on_board(folder: Path, program: str) -> list[Any]:
    """With bursts of edges on pins, at ten times the speed of life."""
    pace(folder, 10)
    return printed(FOLLOW + DEVICE + EDGES + program, folder)


def test_a_sleeping_program_is_interrupted_at_every_edge(tmp_path: Path) -> None:
    """`sleep_ms` runs what is scheduled."""
    assert on_board(
        tmp_path,
        """
burst(5, 20)
Pin(5).irq(note)
time.sleep_ms(10)
print(seen == [(5, 1000 + 100 * i, (i + 1) % 2) for i in range(20)])
print(machine.lost)
""",
    ) == [True, 0]


@pytest.mark.parametrize(("edges", "handled"), [(3, 3), (8, 8), (9, 8), (40, 8)])
def test_a_program_within_c_is_handed_eight(tmp_path: Path, edges: int, handled: int) -> None:
    """When it comes out of it, with the levels as they are then; what came beyond is gone. Hardware has counted all."""
    assert on_board(
        tmp_path,
        f"""
from machine import Counter
burst(5, {edges})
counter = Counter(0, Pin(5), edge=Counter.RISING | Counter.FALLING)
Pin(5).irq(note)
machine.stall(20_000)
print([at for _, at, _ in seen])
print({{level for _, _, level in seen}} == {{{edges} % 2}})
print((machine.lost, counter.value()))
""",
    ) == [[20_000] * handled, True, (edges - handled, edges)]


@pytest.mark.parametrize("how", ["machine.stall(20_000, False)", "off()"])
def test_without_interrupts_a_pin_has_one_mark(tmp_path: Path, how: str) -> None:
    """However many edges come; the pins' handlers follow by their numbers. Hardware has counted all."""
    assert on_board(
        tmp_path,
        f"""
from machine import Counter
def off():
    state = machine.disable_irq()
    inner = machine.disable_irq()
    time.sleep_ms(20)
    machine.enable_irq(inner)
    assert not seen, "it is off still"
    machine.enable_irq(state)
burst(26, 30)
burst(5, 7, first_us=5000)
counter = Counter(0, Pin(26))
for number in (26, 5):
    Pin(number).irq(note)
{how}
print([(number, at >= 20_000, level) for number, at, level in seen])
print((machine.lost, counter.value()))
time.sleep_ms(1)
print(len(seen))
""",
    ) == [[(5, True, 1), (26, True, 0)], (35, 15), 2]


def test_handlers_do_not_interrupt_each_other(tmp_path: Path) -> None:
    """What comes during one follows it; so its work can be lost to a burst that is longer than the queue."""
    assert on_board(
        tmp_path,
        """
burst(5, 12, 1000)
depth = most = 0
def slow(pin):
    global depth, most
    depth += 1
    most = max(most, depth)
    seen.append(world.now - begin)
    if len(seen) == 1:
        time.sleep_ms(20)
    depth -= 1
Pin(5).irq(slow)
time.sleep_ms(50)
print(most)
print(seen)
print(machine.lost)
""",
    ) == [1, [1000] + [21_000] * 8, 3]


def test_an_error_in_a_handler_is_printed(tmp_path: Path) -> None:
    """And the program, and the next handler, go on."""
    pace(tmp_path, 10)
    program = """
burst(5, 2)
def bad(pin):
    raise ValueError("bad")
Pin(5).irq(bad)
time.sleep_ms(5)
print("went on")
"""
    rows = run(FOLLOW + DEVICE + EDGES + program, tmp_path)
    assert [row for row in rows if row[0] not in " T"] == ["ValueError: bad", "ValueError: bad", "went on"]


def test_a_handler_may_reset(tmp_path: Path) -> None:
    """An exit is no error."""
    with pytest.raises(AssertionError, match="ended with 82"):
        on_board(tmp_path, "burst(5, 1)\nPin(5).irq(lambda pin: machine.reset())\ntime.sleep_ms(5)\nprint(1)")


def test_a_watchdog_bites_within_c(tmp_path: Path) -> None:
    """And what waited for the program's return is gone with it."""
    pace(tmp_path, 10)
    program = """
burst(5, 3)
Pin(5).irq(lambda pin: print("handled"))
machine.WDT(timeout=10)
machine.stall(20_000)
print("not bitten")
"""
    assert ended(FOLLOW + DEVICE + EDGES + program, tmp_path) == (83, [])


def test_what_is_scheduled_outlives_its_interrupt(tmp_path: Path) -> None:
    """The queue holds the handler itself."""
    assert on_board(
        tmp_path,
        """
burst(5, 1)
def both(pin):
    Pin(5).irq(note)
    time.sleep_ms(10)
    Pin(5).irq(None)
Device([(500, 6, 1)])
Pin(6).irq(both)
time.sleep_ms(20)
print(seen)
""",
    ) == [[(5, 10_500, 1)]]


def test_the_irq_object(tmp_path: Path) -> None:
    """Called it does as an edge does; its trigger can be told and set. Asked for it changes nothing."""
    assert on_board(
        tmp_path,
        """
pin = Pin(5)
irq = pin.irq(note, Pin.IRQ_RISING)
irq()
print((len(seen), irq.trigger(), pin.irq().trigger(), irq.trigger(Pin.IRQ_FALLING), irq.trigger()))
burst(5, 4)
time.sleep_ms(5)
print([level for _, _, level in seen[1:]])
""",
    ) == [(1, 1, 1, 1, 2), [0, 0]]


def test_a_busy_flash_hides_edges(tmp_path: Path) -> None:
    """45 ms an erase, 0.7 ms a page begun; a busy pin is noticed once each. Without `take_time` it takes none."""
    assert on_board(
        tmp_path,
        """
import flash
from machine import Counter
chip = flash.Flash("flash", 2)
times = []
def timed(act, *arguments):
    before = world.now
    act(*arguments)
    times.append(world.now - before)
timed(chip.ioctl, 6, 0)
chip.take_time()
burst(5, 90, 1000, 500)
counter = Counter(0, Pin(5), edge=3)
Pin(5).irq(note)
timed(chip.ioctl, 6, 0)
for offset, n in ((0, 1), (0, 256), (255, 2), (0, 4096)):
    timed(chip.writeblocks, 0, bytes(n), offset)
timed(chip.readblocks, 0, bytearray(4096))
print(times)
print([at for _, at, _ in seen])
print(counter.value())
""",
    ) == [[0, 45_000, 700, 700, 1400, 11_200, 0], [45_000, 45_700, 47_800, 59_000], 59]


def test_a_light_sleep_hides_edges(tmp_path: Path) -> None:
    """Pins, counters and the watchdog stand still in it; a pin that has changed is one edge afterwards."""
    assert on_board(
        tmp_path,
        """
from machine import Counter
burst(5, 7)
burst(26, 8)
counters = [Counter(unit, Pin(pin)) for unit, pin in enumerate((5, 26))]
for pin in (5, 26):
    Pin(pin).irq(note)
machine.WDT(timeout=50)
machine.lightsleep(1000)
print(seen)
print([counter.value() for counter in counters])
time.sleep_ms(49)
print(world.now - begin)
""",
    ) == [[(5, 1_000_000, 1)], [1, 0], 1_049_000]


def test_a_pin_can_wake_by_its_own_irq(tmp_path: Path) -> None:
    """`wake=` sets the chip's first waker."""
    assert on_board(
        tmp_path,
        """
Device([(7000, 27, 1)])
Pin(27).irq(trigger=Pin.WAKE_HIGH, wake=machine.SLEEP | machine.DEEPSLEEP)
machine.lightsleep(1000)
print((world.now - begin, machine.wake_reason() == machine.EXT0_WAKE))
""",
    ) == [(7000, True)]


def test_what_the_firmware_makes_of_it(tmp_path: Path) -> None:
    """Fast vehicles pass while the program is away for 300 ms at a time, as in a TLS handshake: a lane with a pulse
    counter misses none of them, one without does."""
    ((driven, counted, interrupted),) = on_board(
        tmp_path,
        """
import world as hardware
from chips.loop import LoopPair as Detectors
from drivers.loops import LoopPair
from machine import Counter
lanes = (32, 33), (25, 26)
for pins in lanes:
    detectors = Detectors(pins, lambda after: (after + 1, 40_000, 1_500), start_us=world.now)
    for pin, level in detectors.levels():
        hardware.line(pin).drive(level)
    hardware.attach_pins(detectors)
driven = Counter(7, Pin(32), edge=Counter.RISING)
both = [LoopPair(pins, 400, 200, lambda cm_s, length_cm: None, unit) for pins, unit in zip(lanes, (0, None))]
for _ in range(30):
    machine.stall(300_000, False)
    time.sleep_ms(20)
print([driven.value()] + [pair.take()[0] for pair in both])
""",
    )
    assert driven > 20
    assert counted == driven
    assert 0 < interrupted < driven
