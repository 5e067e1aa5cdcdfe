"""SGP41: commands, check bytes, times and refusals as the datasheet version 1.0 has them (chapters 3 and 4)."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips.sensirion import crc8
from sim_hardware.chips.sgp41 import SGP41
from tests.sim_hardware.clock import Clock, not_acknowledged

DEFAULTS = bytes.fromhex("8000A2666693")
"""50 %RH and 25 Cel, as table 11 gives them."""
CONDITION, MEASURE = bytes.fromhex("2612") + DEFAULTS, bytes.fromhex("2619") + DEFAULTS
TEST, HEATER_OFF, SERIAL = bytes.fromhex("280E"), bytes.fromhex("3615"), bytes.fromhex("3682")
CLEAN = (1.0, 1.0)


def chip(clock: Clock, air: tuple[float, float] = CLEAN, seed: int = 1) -> SGP41:
    """Powered up and idle."""
    sgp = SGP41(clock, lambda: air, seed=seed)
    clock.ms += 1
    return sgp


def ask(sgp: SGP41, clock: Clock, command: bytes, ms: int, words: int) -> tuple[int, ...]:
    """The words of an answer, fetched when it is due; each has its check byte."""
    sgp.write(command)
    clock.ms += ms
    data = sgp.read(3 * words)
    for at in range(0, len(data), 3):
        assert crc8(data[at : at + 2]) == data[at + 2]
    return tuple(data[at] << 8 | data[at + 1] for at in range(0, len(data), 3))


def warm(clock: Clock, air: tuple[float, float] = CLEAN, seed: int = 1) -> SGP41:
    """Conditioned, and measuring for a minute."""
    sgp = chip(clock, air, seed)
    ask(sgp, clock, CONDITION, 9_000, 1)
    ask(sgp, clock, MEASURE, 60_000, 2)
    return sgp


def test_conditioning_answers_with_voc_alone_and_measuring_with_both() -> None:
    """50 ms after the command, and not before; meanwhile nothing is acknowledged."""
    for command, words in ((CONDITION, 1), (MEASURE, 2)):
        clock = Clock()
        sgp = chip(clock)
        sgp.write(command)
        clock.ms += 49
        with not_acknowledged():
            sgp.read(3 * words)
        with not_acknowledged():
            sgp.write(MEASURE)
        clock.ms += 1
        data = sgp.read(9)
        assert data[3 * words :] == b"\xff" * (9 - 3 * words)
        with not_acknowledged():
            sgp.read(3)


def test_more_gas_lowers_voc_and_raises_nox() -> None:
    """The ticks are the logarithm of a resistance: each doubling is the same step."""
    steps = []
    for gas in (1, 2, 4, 8):
        clock = Clock()
        steps.append(ask(warm(clock, (gas, gas)), clock, MEASURE, 50, 2))
    vocs, noxes = zip(*steps, strict=True)
    assert [b - a for a, b in pairwise(vocs)] == pytest.approx([-2_000 * math.log(2)] * 3, abs=25)
    assert [b - a for a, b in pairwise(noxes)] == pytest.approx([1_500 * math.log(2)] * 3, abs=13)


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9), st.integers(1, 2**31))
def test_ticks_do_not_wrap(voc: float, nox: float, seed: int) -> None:
    """At the ends of the range they stay there."""
    clock = Clock()
    found = ask(warm(clock, (voc, nox), seed), clock, MEASURE, 50, 2)
    assert all(0 <= each <= 0xFFFF for each in found)


def test_a_cold_hot_plate_drifts() -> None:
    """Also after it was switched off for a moment."""
    clock = Clock()
    sgp = warm(clock)
    settled = ask(sgp, clock, MEASURE, 50, 2)
    sgp.write(HEATER_OFF)
    clock.ms += 1
    cold = ask(sgp, clock, MEASURE, 50, 2)
    assert settled[0] - cold[0] > 3_000
    assert cold[1] - settled[1] > 1_500


def test_it_keeps_the_compensation_it_is_told() -> None:
    """Humidity, then temperature, in ticks."""
    clock = Clock()
    sgp = chip(clock)
    assert sgp.compensation == (0x8000, 0x6666)
    sgp.write(bytes.fromhex("2619BEEF920000 81".replace(" ", "")))
    assert sgp.compensation == (0xBEEF, 0)


@pytest.mark.parametrize(("seconds", "damaged"), [(10, False), (11, True)])
def test_conditioning_for_too_long_damages_it(seconds: int, damaged: bool) -> None:
    """Ten seconds in all, asked for once or every second; what ends it is a measurement or the heater's end."""
    for every in (1, seconds):
        for end in (MEASURE, HEATER_OFF):
            clock = Clock()
            sgp = chip(clock)
            for _ in range(0, seconds, every):
                sgp.write(CONDITION)
                clock.ms += every * 1_000
            sgp.write(end)
            assert sgp.damaged == damaged


@pytest.mark.parametrize("broken", [0, 1, 2, 3])
def test_self_test(broken: int) -> None:
    """320 ms; the low bits name the pixels that fail."""
    clock = Clock()
    sgp = chip(clock)
    sgp.broken = broken
    sgp.write(TEST)
    clock.ms += 319
    with not_acknowledged():
        sgp.read(3)
    clock.ms += 1
    assert sgp.read(2) == bytes((0xD4, broken))


def test_serial_number() -> None:
    """Three words after a millisecond."""
    clock = Clock()
    assert ask(chip(clock), clock, SERIAL, 1, 3) == (0x0000, 0x0531, 0x9A4C)


@pytest.mark.parametrize(
    "data",
    [
        "26",
        "2612",
        "2619",
        "26198000A2",
        "26198000A3666693",
        "26198000A2666692",
        "280E8000A2",
        "FFFF",
        "3615000081",
    ],
)
def test_what_is_no_command_is_refused(data: str) -> None:
    """Cut short, too long, with a wrong check byte, or unknown."""
    clock = Clock()
    sgp = chip(clock)
    with not_acknowledged():
        sgp.write(bytes.fromhex(data))
    assert sgp.compensation == (0x8000, 0x6666)
    assert len(ask(sgp, clock, MEASURE, 50, 2)) == 2


def test_deaf_while_it_powers_up() -> None:
    """0.6 ms."""
    clock = Clock(500)
    sgp = SGP41(clock, lambda: CLEAN)
    with not_acknowledged():
        sgp.write(SERIAL)
    clock.ms += 1
    sgp.write(SERIAL)


def test_faults() -> None:
    """`stuck` repeats, `dead` acknowledges nothing, `bad_crc` spoils check bytes and leaves the words alone."""
    clock = Clock()
    sgp = warm(clock)
    healthy = [ask(sgp, clock, MEASURE, 1_000, 2) for _ in range(10)]
    assert len(set(healthy)) > 5
    sgp.stuck = True
    assert {ask(sgp, clock, MEASURE, 1_000, 2) for _ in range(10)} == {healthy[-1]}
    sgp.bad_crc = True
    sgp.write(MEASURE)
    clock.ms += 50
    data = sgp.read(6)
    assert (data[0] << 8 | data[1], data[3] << 8 | data[4]) == healthy[-1]
    assert all(crc8(data[at : at + 2]) != data[at + 2] for at in (0, 3))
    sgp.write(MEASURE)
    clock.ms += 50
    sgp.dead = True
    with not_acknowledged():
        sgp.read(6)
    with not_acknowledged():
        sgp.write(HEATER_OFF)


def test_the_same_seed_measures_the_same() -> None:
    """And another one does not."""
    found = []
    for seed in (1, 1, 2):
        clock = Clock()
        found.append(ask(warm(clock, seed=seed), clock, MEASURE, 50, 2))
    assert found[0] == found[1] != found[2]


def test_a_drift_is_a_factor_on_both_gases() -> None:
    """Twice as much VOC and NOx as there is; and the address alone is acknowledged."""
    clock = Clock()
    sgp = warm(clock)
    sgp.write(b"")
    clean = ask(sgp, clock, MEASURE, 50, 2)
    sgp.drift = 2.0
    found = ask(sgp, clock, MEASURE, 50, 2)
    assert found[0] - clean[0] == pytest.approx(-2_000 * math.log(2), abs=25)
    assert found[1] - clean[1] == pytest.approx(1_500 * math.log(2), abs=13)
