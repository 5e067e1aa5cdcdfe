"""SCD41: words, check bytes, times and refusals as the datasheet SCD4x version 1.5 has them (chapter 3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips.scd41 import SCD41
from sim_hardware.chips.sensirion import crc8
from tests.sim_hardware.clock import Clock, not_acknowledged

START, LOW_POWER, STOP = (bytes.fromhex(code) for code in ("21B1", "21AC", "3F86"))
READY, READ, SINGLE, SINGLE_RHT = (bytes.fromhex(code) for code in ("E4B8", "EC05", "219D", "2196"))
PRESSURE, SERIAL, REINIT = (bytes.fromhex(code) for code in ("E000", "3682", "3646"))
OFFSET, SET_OFFSET, ALTITUDE, SET_ALTITUDE = (bytes.fromhex(code) for code in ("2318", "241D", "2322", "2427"))

AIR = (500.0, 25.0, 37.0)
POWER_UP_MS = 30


def chip(clock: Clock, air: tuple[float, float, float] = AIR, seed: int = 1) -> SCD41:
    """Powered up and idle."""
    scd = SCD41(clock, lambda: air, seed=seed)
    clock.ms += POWER_UP_MS
    return scd


def ask(scd: SCD41, clock: Clock, command: bytes, words: int = 1) -> tuple[int, ...]:
    """The words of an answer, fetched a millisecond after the command; each has its check byte."""
    scd.write(command)
    clock.ms += 1
    data = scd.read(3 * words)
    assert len(data) == 3 * words
    for at in range(0, len(data), 3):
        assert crc8(data[at : at + 2]) == data[at + 2]
    return tuple(data[at] << 8 | data[at + 1] for at in range(0, len(data), 3))


def ready(scd: SCD41, clock: Clock) -> bool:
    return ask(scd, clock, READY)[0] & 0x7FF != 0


def measured(scd: SCD41, clock: Clock) -> tuple[float, float, float]:
    """(CO2 ppm, Cel, %RH) by the formulas of 3.5.2."""
    co2, temperature, humidity = ask(scd, clock, READ, 3)
    return co2, -45 + 175 * temperature / 2**16, 100 * humidity / 2**16


def test_check_byte() -> None:
    """The datasheet's example (3.12), and those of its commands."""
    assert crc8(b"\xbe\xef") == 0x92
    assert [crc8(bytes.fromhex(word)) for word in ("01F4", "6667", "5EB9", "03DB")] == [0x33, 0xA2, 0x3C, 0x42]


def test_serial_number() -> None:
    """The datasheet's example, to the byte."""
    clock = Clock()
    scd = chip(clock)
    scd.write(SERIAL)
    clock.ms += 1
    assert scd.read(9) == bytes.fromhex("F896319F07C23BBE89")


# measuring --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "period"), [(START, 5_000), (LOW_POWER, 30_000)], ids=["normal", "low power"])
def test_a_measurement_comes_each_period_and_is_read_once(start: bytes, period: int) -> None:
    """Not a millisecond before; the second read of it is not acknowledged."""
    clock = Clock()
    scd = chip(clock)
    scd.write(start)
    begin = clock.ms
    for number in (1, 2, 3):
        clock.ms = begin + number * period - 2
        assert not ready(scd, clock)
        clock.ms = begin + number * period
        assert ready(scd, clock)
        assert measured(scd, clock)[0] == pytest.approx(500, abs=5)
        assert not ready(scd, clock)
        scd.write(READ)
        clock.ms += 1
        with not_acknowledged():
            scd.read(9)


def test_what_was_not_read_is_overwritten() -> None:
    """After a long absence there is one measurement, and the next comes at its usual time."""
    clock = Clock()
    scd = chip(clock)
    scd.write(START)
    begin = clock.ms
    clock.ms = begin + 17_000
    assert ready(scd, clock)
    assert measured(scd, clock)
    assert not ready(scd, clock)
    clock.ms = begin + 20_000
    assert ready(scd, clock)


@given(st.floats(0, 40_000), st.floats(-10, 60), st.floats(0, 100), st.integers(1, 2**31))
def test_it_tells_the_air(co2: float, cel: float, humidity: float, seed: int) -> None:
    """Within its noise and resolution, over its whole range, without wrapping at the ends."""
    clock = Clock()
    scd = chip(clock, (co2, cel, humidity), seed)
    scd.write(SINGLE)
    clock.ms += 5_000
    found = measured(scd, clock)
    assert found[0] == pytest.approx(co2, abs=4.5)
    assert found[1] == pytest.approx(cel, abs=0.06)
    assert found[2] == pytest.approx(humidity, abs=0.21)


def test_single_shot() -> None:
    """Five deaf seconds, then one measurement; the short one has no CO2."""
    clock = Clock()
    scd = chip(clock)
    scd.write(SINGLE)
    for _ in range(5):
        with not_acknowledged():
            scd.write(READY)
        with not_acknowledged():
            scd.read(3)
        clock.ms += 1_000
    assert measured(scd, clock)[0] == pytest.approx(500, abs=5)
    assert not ready(scd, clock)
    clock.ms += 1
    scd.write(SINGLE_RHT)
    clock.ms += 50
    assert measured(scd, clock) == (0, pytest.approx(25, abs=0.1), pytest.approx(37, abs=0.3))


def changing(start: tuple[float, float, float], clock: Clock) -> tuple[SCD41, list[float]]:
    """(a chip that measures, what is around it)"""
    air = list(start)
    scd = SCD41(clock, lambda: (air[0], air[1], air[2]))
    clock.ms += POWER_UP_MS
    scd.write(START)
    clock.ms += 5_000
    measured(scd, clock)
    return scd, air


def test_air_needs_time_to_come_in() -> None:
    """63 % of a step after 60 s (CO2), 120 s (temperature) and 90 s (humidity): tables 1 to 3."""
    for seconds, place, start, end in ((60, 0, 500, 1_500), (120, 1, 10, 30), (90, 2, 30, 80)):
        clock = Clock()
        scd, air = changing((500, 10, 30), clock)
        air[:] = [1_500, 30, 80]
        for _ in range(seconds // 5):
            clock.ms += 4_999
            found = measured(scd, clock)
        assert found[place] == pytest.approx(start + 0.632 * (end - start), rel=0.02)


@pytest.mark.parametrize(("co2", "shown"), [(50_000.0, 40_000), (-9.0, 0)])
def test_its_output_ends(co2: float, shown: int) -> None:
    """0 to 40000 ppm (table 1)."""
    clock = Clock()
    scd = chip(clock, (co2, 20, 50))
    scd.write(SINGLE)
    clock.ms += 5_000
    assert measured(scd, clock)[0] == pytest.approx(shown, abs=4)
    assert measured_words(scd, clock) <= 40_000


def measured_words(scd: SCD41, clock: Clock) -> int:
    clock.ms += 1
    scd.write(SINGLE)
    clock.ms += 5_000
    return ask(scd, clock, READ, 3)[0]


def test_a_temperature_offset_shifts_what_it_shows() -> None:
    """Told that it is 8 Cel too warm, not 4, it shows 4 less, and the humidity of that; the CO2 stays (3.7.1)."""
    clock = Clock()
    scd = chip(clock)
    value = round(8 * 65536 / 175)
    word = bytes((value >> 8, value & 0xFF))
    scd.write(SET_OFFSET + word + bytes((crc8(word),)))
    clock.ms += 1
    scd.write(SINGLE)
    clock.ms += 5_000
    co2, cel, humidity = measured(scd, clock)
    assert co2 == pytest.approx(500, abs=5)
    assert cel == pytest.approx(21, abs=0.1)
    # 31.7 hPa saturate air of 25 Cel, 24.9 hPa that of 21
    assert humidity == pytest.approx(37 * 31.7 / 24.9, abs=0.5)


def test_a_wrong_pressure_makes_a_wrong_reading() -> None:
    """1 kPa is about 1 %; told the right one it is right."""
    clock = Clock()
    scd = chip(clock)
    scd.pressure_hpa = 912.0
    assert measured_words(scd, clock) == pytest.approx(450, abs=5)
    clock.ms += 1
    word = bytes((912 >> 8, 912 & 0xFF))
    scd.write(PRESSURE + word + bytes((crc8(word),)))
    assert measured_words(scd, clock) == pytest.approx(500, abs=5)


def test_it_ages_and_drifts() -> None:
    """At most 5 ppm + 0.5 % in a year after the fifth, each chip its own way; a drift is a factor on the CO2 alone."""
    off = []
    for seed in range(30):
        clock = Clock()
        scd = chip(clock, seed=seed)
        scd.age_h = 5 * 8_766
        assert measured_words(scd, clock) == pytest.approx(500, abs=4.5)
        scd.age_h *= 3
        clock.ms += 1_000_000
        off.append(measured_words(scd, clock) - 500)
    assert all(abs(each) <= 75 + 5 for each in off)
    assert min(off) < -25
    assert max(off) > 25
    clock = Clock()
    scd = chip(clock)
    scd.drift = 1.3
    scd.write(SINGLE)
    clock.ms += 5_000
    found = measured(scd, clock)
    assert found == (pytest.approx(650, abs=7), pytest.approx(25, abs=0.1), pytest.approx(37, abs=0.3))


def test_its_address_alone_is_acknowledged() -> None:
    """As a scan of the bus asks; not while it is busy."""
    clock = Clock()
    scd = chip(clock)
    scd.write(b"")
    scd.write(SINGLE)
    with not_acknowledged():
        scd.write(b"")


def test_the_same_seed_measures_the_same() -> None:
    """And another one does not."""
    found = []
    for seed in (1, 1, 2):
        clock = Clock()
        scd = chip(clock, seed=seed)
        scd.write(START)
        clock.ms += 5_000
        found.append(measured(scd, clock))
    assert found[0] == found[1] != found[2]


# refusals ---------------------------------------------------------------------------------------------------------


def test_deaf_while_it_powers_up() -> None:
    """30 ms."""
    clock = Clock(1_000)
    scd = SCD41(clock, lambda: AIR)
    clock.ms += POWER_UP_MS - 1
    with not_acknowledged():
        scd.write(SERIAL)
    clock.ms += 1
    scd.write(SERIAL)


def test_deaf_for_500_ms_after_stop() -> None:
    """Then it is idle, and what had been measured is gone."""
    clock = Clock()
    scd = chip(clock)
    scd.write(START)
    clock.ms += 7_000
    scd.write(STOP)
    clock.ms += 499
    with not_acknowledged():
        scd.write(READY)
    clock.ms += 1
    assert not ready(scd, clock)
    scd.write(START)


def test_an_answer_needs_its_millisecond() -> None:
    """Too early it is not acknowledged; nor is a read that nobody asked for, or a second one."""
    clock = Clock()
    scd = chip(clock)
    with not_acknowledged():
        scd.read(3)
    scd.write(PRESSURE)
    with not_acknowledged():
        scd.read(3)
    clock.ms += 1
    assert scd.read(3)
    with not_acknowledged():
        scd.read(3)


@pytest.mark.parametrize("command", [START, LOW_POWER, SINGLE, SINGLE_RHT, SERIAL, REINIT, OFFSET, ALTITUDE])
def test_while_measuring_only_some_commands_are_allowed(command: bytes) -> None:
    """And a refused one does not disturb the measurement."""
    clock = Clock()
    scd = chip(clock)
    scd.write(START)
    clock.ms += 5_000
    with not_acknowledged():
        scd.write(command)
    assert ready(scd, clock)
    clock.ms += 1
    assert ask(scd, clock, PRESSURE) == (1013,)


@pytest.mark.parametrize("data", ["21", "FFFF", "0000", "21B100", "E00003DB", "E00003DB43", "EC0503DB42"])
def test_what_is_no_command_is_refused(data: str) -> None:
    """Unknown, cut short, with a wrong check byte, or with a word where none belongs."""
    clock = Clock()
    scd = chip(clock)
    with not_acknowledged():
        scd.write(bytes.fromhex(data))
    assert ask(scd, clock, PRESSURE) == (1013,)


@pytest.mark.parametrize(
    ("put", "get", "default"),
    [(PRESSURE, PRESSURE, 1013), (SET_OFFSET, OFFSET, 1498), (SET_ALTITUDE, ALTITUDE, 0)],
    ids=["pressure", "offset", "altitude"],
)
def test_settings(put: bytes, get: bytes, default: int) -> None:
    """What is set with a right check byte is what is got; 1498 is 4 degrees."""
    clock = Clock()
    scd = chip(clock)
    assert ask(scd, clock, get) == (default,)
    scd.write(put + bytes.fromhex("03DB42"))
    clock.ms += 1
    assert ask(scd, clock, get) == (987,)


def test_pressure_may_be_set_while_it_measures() -> None:
    """As a station does that has a barometer beside it."""
    clock = Clock()
    scd = chip(clock)
    scd.write(START)
    scd.write(PRESSURE + bytes.fromhex("03DB42"))
    clock.ms += 1
    assert ask(scd, clock, PRESSURE) == (987,)


# faults -----------------------------------------------------------------------------------------------------------


def series(scd: SCD41, clock: Clock, count: int) -> list[tuple[float, float, float]]:
    found = []
    for _ in range(count):
        clock.ms += 5_000
        found.append(measured(scd, clock))
    return found


def test_stuck_repeats_the_last_reading() -> None:
    """A healthy one never has the same three numbers for long."""
    clock = Clock()
    scd = chip(clock)
    scd.write(START)
    healthy = series(scd, clock, 20)
    assert len(set(healthy)) > 10
    scd.stuck = True
    assert set(series(scd, clock, 20)) == {healthy[-1]}
    scd.stuck = False
    assert len(set(series(scd, clock, 20))) > 10


def test_dead_acknowledges_nothing() -> None:
    """Neither a command nor a read."""
    clock = Clock()
    scd = chip(clock)
    scd.write(PRESSURE)
    clock.ms += 1
    scd.dead = True
    with not_acknowledged():
        scd.read(3)
    with not_acknowledged():
        scd.write(STOP)


def test_bad_crc_spoils_every_check_byte() -> None:
    """And leaves the words alone."""
    clock = Clock()
    scd = chip(clock)
    scd.bad_crc = True
    scd.write(SERIAL)
    clock.ms += 1
    data = scd.read(9)
    assert data[0:2] + data[3:5] + data[6:8] == bytes.fromhex("F8969F073BBE")
    assert all(crc8(data[at : at + 2]) != data[at + 2] for at in (0, 3, 6))


def test_a_long_read_is_filled_up() -> None:
    """An idle bus reads as ones."""
    clock = Clock()
    scd = chip(clock)
    scd.write(PRESSURE)
    clock.ms += 1
    assert scd.read(6) == bytes((0x03, 0xF5, crc8(b"\x03\xf5"))) + b"\xff" * 3
