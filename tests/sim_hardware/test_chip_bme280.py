"""BME280: registers, modes and numbers as datasheets BST-BME280-DS002 and BST-BMP280-DS001 have them."""

from statistics import pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.chips.bme280 import BME280, CALIBRATION, humidity, pressure, raw, temperature
from tests.sim_hardware.clock import Clock, not_acknowledged

AIR = (21.5, 100_250.0, 47.0)
NOT_MEASURED = bytes.fromhex("8000008000008000")
MEASURE_MS = 10
"""The longest time of one sample of each: 9.3 ms (9.1)."""


def chip(clock: Clock, air: tuple[float, float, float] = AIR, seed: int = 1) -> BME280:
    bme = BME280(clock, lambda: air, seed=seed)
    clock.ms += 2
    return bme


def registers(bme: BME280, first: int, count: int) -> bytes:
    bme.write(bytes((first,)))
    return bme.read(count)


def measure(bme: BME280, clock: Clock) -> None:
    """One sample of each, in forced mode."""
    bme.write(b"\xf2\x01\xf4\x25")
    clock.ms += MEASURE_MS


def signed(low: int, high: int) -> int:
    return int.from_bytes((low, high), "little", signed=True)


def reading(bme: BME280) -> tuple[float, float, float]:
    """(Cel, Pa, %RH) by Bosch's integer formulas (4.2.3), from nothing but registers."""
    c = registers(bme, 0x88, 26)
    e = registers(bme, 0xE1, 7)
    data = registers(bme, 0xF7, 8)
    t1, p1 = c[0] | c[1] << 8, c[6] | c[7] << 8
    t2, t3 = signed(c[2], c[3]), signed(c[4], c[5])
    p2, p3, p4, p5, p6, p7, p8, p9 = (signed(c[at], c[at + 1]) for at in range(8, 24, 2))
    h1, h2, h3, h6 = c[25], signed(e[0], e[1]), e[2], int.from_bytes(e[6:], "little", signed=True)
    h4 = int.from_bytes(e[3:4], "little", signed=True) * 16 | e[4] & 0xF
    h5 = int.from_bytes(e[5:6], "little", signed=True) * 16 | e[4] >> 4
    adc_p, adc_t = (int.from_bytes(data[at : at + 3], "big") >> 4 for at in (0, 3))
    adc_h = int.from_bytes(data[6:], "big")

    fine = (((adc_t >> 3) - (t1 << 1)) * t2 >> 11) + ((((adc_t >> 4) - t1) ** 2 >> 12) * t3 >> 14)

    var1 = fine - 128_000
    var2 = var1 * var1 * p6 + (var1 * p5 << 17) + (p4 << 35)
    var1 = ((1 << 47) + (var1 * var1 * p3 >> 8) + (var1 * p2 << 12)) * p1 >> 33
    p = ((1_048_576 - adc_p << 31) - var2) * 3125 // var1
    p = (p + (p9 * (p >> 13) * (p >> 13) >> 25) + (p8 * p >> 19) >> 8) + (p7 << 4)

    v = fine - 76_800
    left = (adc_h << 14) - (h4 << 20) - h5 * v + 16_384 >> 15
    right = (((v * h6 >> 10) * ((v * h3 >> 11) + 32_768) >> 10) + 2_097_152) * h2 + 8192 >> 14
    v = left * right
    v -= ((v >> 15) * (v >> 15) >> 7) * h1 >> 4
    return (fine * 5 + 128 >> 8) / 100, p / 256, min(max(v, 0), 419_430_400) / 2**22


# numbers ----------------------------------------------------------------------------------------------------------


def test_the_worked_example() -> None:
    """BMP280 datasheet 3.12: raw 519888 and 415148 are 25.08 Cel and 100653.27 Pa."""
    cel, fine = temperature(CALIBRATION, 519_888)
    assert round(cel, 2) == 25.08
    assert round(fine) == 128_422
    assert pressure(CALIBRATION, 415_148, fine) == pytest.approx(100_653.27, abs=0.01)


@given(st.floats(-40, 85), st.floats(30_000, 110_000), st.floats(0, 100))
def test_raw_values_are_the_inverse_of_the_formulas(cel: float, pa: float, rh: float) -> None:
    """Over the chip's whole range."""
    raw_t, raw_p, raw_h = raw(CALIBRATION, cel, pa, rh)
    found, fine = temperature(CALIBRATION, raw_t)
    assert found == pytest.approx(cel, abs=1e-6)
    assert pressure(CALIBRATION, raw_p, fine) == pytest.approx(pa, abs=1e-4)
    assert humidity(CALIBRATION, raw_h, fine) == pytest.approx(rh, abs=1e-6)


@given(st.floats(-40, 85), st.floats(30_000, 110_000), st.floats(0, 100), st.integers(1, 2**31))
def test_integers_find_the_air_in_the_registers(cel: float, pa: float, rh: float, seed: int) -> None:
    """Within the chip's noise and resolution."""
    clock = Clock()
    bme = chip(clock, (cel, pa, rh), seed)
    measure(bme, clock)
    found = reading(bme)
    assert found[0] == pytest.approx(cel, abs=0.04)
    assert found[1] == pytest.approx(pa, abs=10)
    assert found[2] == pytest.approx(rh, abs=0.35)


def test_a_healthy_chip_does_not_repeat_itself() -> None:
    """And the same seed is the same chip."""
    streams = []
    for seed in (1, 1, 2):
        clock = Clock()
        bme = chip(clock, seed=seed)
        data = []
        for _ in range(50):
            measure(bme, clock)
            data.append(registers(bme, 0xF7, 8))
        streams.append(data)
    assert len(set(streams[0])) > 40
    assert streams[0] == streams[1] != streams[2]


# registers --------------------------------------------------------------------------------------------------------


def test_identity_and_calibration() -> None:
    """D0 says 60; the calibration lies where 4.2.2 puts it."""
    bme = chip(Clock())
    assert registers(bme, 0xD0, 1) == b"\x60"
    words = registers(bme, 0x88, 24)
    assert words[:6] == (27_504).to_bytes(2, "little") + (26_435).to_bytes(2, "little") + b"\x18\xfc"
    assert signed(words[6], words[7]) & 0xFFFF == 36_477
    assert registers(bme, 0xA1, 1) == bytes(CALIBRATION[12:13])
    # H4 = 334 = 0x14E and H5 = 50 = 0x032 share E5
    assert registers(bme, 0xE1, 7) == bytes((0x6A, 0x01, 0, 0x14, 0x2E, 0x03, 30))


def test_nothing_is_measured_at_first() -> None:
    """80000 and 8000, and asleep."""
    clock = Clock()
    bme = chip(clock)
    clock.ms += 60_000
    assert registers(bme, 0xF7, 8) == NOT_MEASURED
    assert registers(bme, 0xF4, 1) == b"\0"


def test_a_read_goes_on_where_the_last_ended() -> None:
    """As a burst in two parts."""
    bme = chip(Clock())
    whole = registers(bme, 0x88, 26)
    assert registers(bme, 0x88, 10) + bme.read(16) == whole


def test_start_up_is_shown() -> None:
    """`im_update` for 2 ms, after power-on and after a reset, which forgets everything."""
    clock = Clock()
    bme = BME280(clock, lambda: AIR)
    assert registers(bme, 0xF3, 1) == b"\x01"
    clock.ms += 2
    assert registers(bme, 0xF3, 1) == b"\0"
    measure(bme, clock)
    bme.write(b"\xf5\xa0\xe0\xb6")
    assert registers(bme, 0xF3, 1) == b"\x01"
    clock.ms += 2
    assert registers(bme, 0xF2, 6) == bytes(5) + b"\x80"
    assert registers(bme, 0xF7, 8) == NOT_MEASURED
    measure(bme, clock)
    bme.write(b"\xe0\x00")
    assert registers(bme, 0xF7, 8) != NOT_MEASURED


# modes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("humid", "control", "ms"),
    [(1, 0x25, 10), (1, 0x26, 10), (0, 0x21, 4), (5, 0xB5, 113), (2, 0x49, 17)],
)
def test_forced_mode_measures_once_and_sleeps(humid: int, control: int, ms: int) -> None:
    """As long as 9.1 says for these samples; meanwhile F3 says `measuring` and the old data stay."""
    clock = Clock()
    bme = chip(clock)
    bme.write(bytes((0xF2, humid, 0xF4, control)))
    clock.ms += ms - 1
    assert registers(bme, 0xF3, 2) == bytes((8, control))
    assert registers(bme, 0xF7, 8) == NOT_MEASURED
    clock.ms += 1
    assert registers(bme, 0xF3, 2) == bytes((0, control & 0xFC))
    first = registers(bme, 0xF7, 8)
    assert first != NOT_MEASURED
    clock.ms += 60_000
    assert registers(bme, 0xF7, 8) == first


def test_normal_mode_goes_on() -> None:
    """Samples of each, then a pause of `t_sb`: 1000 ms."""
    clock = Clock()
    bme = chip(clock)
    bme.write(b"\xf5\xa0\xf2\x01\xf4\x27")
    clock.ms += MEASURE_MS
    seen = [registers(bme, 0xF7, 8)]
    for _ in range(5):
        clock.ms += 1000
        assert registers(bme, 0xF7, 8) == seen[-1]
        clock.ms += MEASURE_MS
        seen.append(registers(bme, 0xF7, 8))
    assert len(set(seen)) == 6
    bme.write(b"\xf4\x24")
    clock.ms += 60_000
    assert registers(bme, 0xF7, 8) == seen[-1]


def test_sleep_ends_a_measurement() -> None:
    """Half-way it leaves no result, and the chip does not say that it is busy."""
    clock = Clock()
    bme = chip(clock)
    bme.write(b"\xf2\x01\xf4\x25")
    clock.ms += 5
    bme.write(b"\xf4\x24")
    assert registers(bme, 0xF3, 1) == b"\0"
    clock.ms += 60_000
    assert registers(bme, 0xF7, 8) == NOT_MEASURED


def test_what_is_not_sampled_is_not_measured() -> None:
    """Humidity's setting counts from the next write of F4 on (5.4.3)."""
    clock = Clock()
    bme = chip(clock)
    bme.write(b"\xf4\x25\xf2\x01")
    clock.ms += MEASURE_MS
    assert registers(bme, 0xFD, 2) == b"\x80\x00"
    assert registers(bme, 0xF7, 3) != b"\x80\x00\x00"
    bme.write(b"\xf4\x21")
    clock.ms += MEASURE_MS
    data = registers(bme, 0xF7, 8)
    assert data[:3] == b"\x80\x00\x00"
    assert data[3:6] != b"\x80\x00\x00"
    assert data[6:] != b"\x80\x00"


def spread(control: int, config: int, humid: int) -> tuple[float, float, float]:
    """Standard deviations of 400 measurements in still air: Cel, Pa, %RH."""
    clock = Clock()
    bme = chip(clock)
    bme.write(bytes((0xF5, config)))
    found = []
    for _ in range(400):
        bme.write(bytes((0xF2, humid, 0xF4, control)))
        clock.ms += 120
        found.append(reading(bme))
    cel, pa, rh = zip(*found[100:], strict=True)
    return pstdev(cel), pstdev(pa), pstdev(rh)


def test_more_samples_have_less_noise() -> None:
    """RMS of chapter 3.6: 3.3 Pa and 0.07 %RH with one sample, 1.3 Pa and 0.02 %RH with 16; the filter leaves less."""
    one, many, filtered = spread(0x25, 0, 1), spread(0xB5, 0, 5), spread(0x25, 4 << 2, 1)
    assert one == (pytest.approx(0.005, abs=0.002), pytest.approx(3.3, rel=0.2), pytest.approx(0.07, rel=0.2))
    assert many == (pytest.approx(0.002, abs=0.002), pytest.approx(1.3, rel=0.2), pytest.approx(0.02, rel=0.2))
    assert filtered[1] < one[1] / 4
    assert filtered[2] == pytest.approx(0.07, rel=0.2), "humidity is not filtered"


@pytest.mark.parametrize(("setting", "bits"), [(1, 16), (2, 17), (3, 18), (5, 20), (7, 20)])
def test_the_resolution_grows_with_the_samples(setting: int, bits: int) -> None:
    """16 bits and one for each doubling, of temperature and pressure; 20 with the filter (3.4.2 to 3.4.4)."""
    for config, wanted in ((0, bits), (1 << 2, 20)):
        clock = Clock()
        bme = chip(clock)
        bme.write(bytes((0xF5, config)))
        raws = []
        for _ in range(64):
            bme.write(bytes((0xF4, setting << 5 | setting << 2 | 1)))
            clock.ms += 120
            data = registers(bme, 0xF7, 6)
            raws += [int.from_bytes(data[at : at + 3], "big") >> 4 for at in (0, 3)]
        lowest = 1 << 20 - wanted
        assert all(raw % lowest == 0 for raw in raws)
        assert any(raw % (2 * lowest) for raw in raws)


def test_humidity_needs_a_second() -> None:
    """63 % of a step (table 2); temperature and pressure are there at once."""
    clock = Clock()
    air = [20.0, 100_000.0, 20.0]
    bme = BME280(clock, lambda: (air[0], air[1], air[2]))
    clock.ms += 2
    measure(bme, clock)
    reading(bme)
    air[:] = [30.0, 90_000.0, 70.0]
    clock.ms += 990 - MEASURE_MS
    measure(bme, clock)
    found = reading(bme)
    assert found[0] == pytest.approx(30, abs=0.03)
    assert found[1] == pytest.approx(90_000, abs=11)
    assert found[2] == pytest.approx(20 + 50 * 0.63, abs=1)


@pytest.mark.parametrize(("air", "ends"), [((999.0, 1e9, 999.0), 100), ((-999.0, -1e9, -999.0), 0)])
def test_beyond_all_measure_it_shows_the_end(air: tuple[float, float, float], ends: float) -> None:
    """Of the converter, or of the numbers that it can have; and does not wrap."""
    clock = Clock()
    bme = chip(clock, air)
    measure(bme, clock)
    assert reading(bme)[2] == pytest.approx(ends, abs=1)
    cel = reading(bme)[0]
    assert cel > 100 if ends else cel < -90


def test_it_ages() -> None:
    """At most 1 hPa and 0.5 %RH in a year, each chip its own way (tables 2 and 3)."""
    off = []
    for seed in range(30):
        clock = Clock()
        old = chip(clock, seed=seed)
        old.age_h = 10 * 8_766
        measure(old, clock)
        _, pa, rh = reading(old)
        off.append(rh - AIR[2])
        assert abs(pa - AIR[1]) < 1_000 + 12
        assert (pa > AIR[1] + 12) <= (rh > AIR[2]), "both the same way"
    assert all(abs(each) < 5.3 for each in off)
    assert min(off) < -1.5
    assert max(off) > 1.5


def test_a_drift_is_a_factor() -> None:
    """On all three."""
    clock = Clock()
    bme = chip(clock)
    bme.drift = 1.05
    measure(bme, clock)
    found = reading(bme)
    assert found == (pytest.approx(22.575, abs=0.03), pytest.approx(105_262, abs=12), pytest.approx(49.35, abs=0.3))


# faults -----------------------------------------------------------------------------------------------------------


def test_stuck_repeats_the_last_reading() -> None:
    """But a chip that never measured has none to repeat."""
    clock = Clock()
    bme = chip(clock)
    bme.stuck = True
    measure(bme, clock)
    first = registers(bme, 0xF7, 8)
    assert first != NOT_MEASURED
    measure(bme, clock)
    assert registers(bme, 0xF7, 8) == first
    bme.stuck = False
    measure(bme, clock)
    assert registers(bme, 0xF7, 8) != first


def test_dead_acknowledges_nothing() -> None:
    """Neither a write nor a read."""
    bme = chip(Clock())
    bme.dead = True
    with not_acknowledged():
        bme.write(b"\xd0")
    with not_acknowledged():
        bme.read(1)
