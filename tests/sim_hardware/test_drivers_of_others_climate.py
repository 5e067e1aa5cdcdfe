"""BME280 and DS18B20 through drivers that others wrote: Adafruit's, and Richard Hull's for the Raspberry Pi."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from sim_hardware.chips.bme280 import BME280
from sim_hardware.chips.ds18b20 import DS18B20
from tests.sim_hardware.adapters import Bus, Time, Wire, load, moved

basic, advanced = load("adafruit_bme280.basic"), load("adafruit_bme280.advanced")
raspberry = load("bme280")
onewire, ds18x20 = load("adafruit_onewire.bus"), load("adafruit_ds18x20")

CLIMATES = [(21.5, 101_325.0, 47.0), (-38.0, 40_000.0, 3.0), (0.0, 87_000.0, 99.0), (60.0, 105_000.0, 20.0)]
"""(Cel, Pa, %RH)"""
WITHIN = (0.5, 100, 3)
"""How exact the chip is at 25 Cel, from 300 to 1100 hPa and from 20 to 80 % (tables 2 to 4): Cel, Pa, %RH."""


@pytest.fixture
def time() -> Iterator[Time]:
    """Moves as the drivers sleep."""
    clock = Time()
    with moved(clock, basic, raspberry, ds18x20):
        yield clock


def chip(time: Time, air: tuple[float, float, float] = CLIMATES[0], address: int = 0x77) -> BME280:
    bme = BME280(time, lambda: air, address=address)
    time.sleep(0.002)
    return bme


def near(found: Any, air: tuple[float, float, float]) -> None:
    """Hectopascal, as these drivers have it."""
    for shown, real, most in zip((found[0], found[1] * 100, found[2]), air, WITHIN, strict=True):
        assert shown == pytest.approx(real, abs=most)


@pytest.mark.parametrize("air", CLIMATES)
def test_adafruit_basic_reads_the_air(time: Time, air: tuple[float, float, float]) -> None:
    """Each property is a measurement of its own, in forced mode, whose end it polls for."""
    driver = basic.Adafruit_BME280_I2C(Bus(chip(time, air)))
    near((driver.temperature, driver.pressure, driver.relative_humidity), air)
    height = 44_330 * (1 - (air[1] / 101_325) ** 0.1903)
    assert driver.altitude == pytest.approx(height, abs=8)


@pytest.mark.parametrize("air", CLIMATES)
def test_adafruit_advanced_reads_the_air(time: Time, air: tuple[float, float, float]) -> None:
    """In normal mode, with the most samples and the slowest filter."""
    driver = advanced.Adafruit_BME280_I2C(Bus(chip(time, air)))
    driver.overscan_temperature = driver.overscan_humidity = advanced.OVERSCAN_X16
    driver.iir_filter = advanced.IIR_FILTER_X16
    driver.standby_period = advanced.STANDBY_TC_10
    driver.mode = advanced.MODE_NORMAL
    time.sleep(driver.measurement_time_max / 1000 + 0.001)
    near((driver.temperature, driver.pressure, driver.humidity), air)


def test_the_filter_smooths_as_the_driver_is_told(time: Time) -> None:
    """22 samples to 75 % of a step with coefficient 16, 2 with coefficient 2 (table 6)."""
    for strength, samples in ((advanced.IIR_FILTER_X16, 22), (advanced.IIR_FILTER_X2, 2)):
        air = [20.0, 100_000.0, 50.0]
        driver = advanced.Adafruit_BME280_I2C(Bus(BME280(time, lambda air=air: tuple(air), address=0x77)))
        driver.iir_filter = strength
        assert driver.pressure == pytest.approx(1000, abs=0.1)
        air[1] = 101_000.0
        seen = [driver.pressure for _ in range(samples + 2)]
        assert seen[samples - 2] < 1007.5 + 0.3
        assert seen[samples + 1] > 1007.5 - 0.3


@pytest.mark.parametrize("air", CLIMATES)
@pytest.mark.parametrize("samples", [1, 3, 5])
def test_the_raspberrys_reads_the_air(time: Time, air: tuple[float, float, float], samples: int) -> None:
    """Its own translation of the floating point formulas; one block of eight bytes."""
    bus = Bus(chip(time, air, 0x76))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # utcnow, from Python 3.12 on
        found = raspberry.sample(bus, 0x76, raspberry.load_calibration_params(bus, 0x76), samples)
    near((found.temperature, found.pressure, found.humidity), air)


def test_another_chip_is_not_taken_for_it(time: Time) -> None:
    """Nor is an address at which there is none, or one that is dead."""
    bme = chip(time)
    with pytest.raises(ValueError, match="No I2C device"):
        basic.Adafruit_BME280_I2C(Bus(bme), 0x76)
    driver = basic.Adafruit_BME280_I2C(Bus(bme))
    bme.dead = True
    with pytest.raises(OSError, match="19"):
        _ = driver.temperature
    with pytest.raises(ValueError, match="No I2C device"):
        basic.Adafruit_BME280_I2C(Bus(bme))


# DS18B20 ----------------------------------------------------------------------------------------------------------


def thermometers(time: Time, *cels: float) -> tuple[list[DS18B20], list[Any]]:
    """(chips, their drivers) on one bus, both in the order of their codes as a search finds them."""
    chips = [DS18B20(time, lambda cel=cel: cel, serial=0x1000 + 7 * n) for n, cel in enumerate(cels)]
    bus = onewire.OneWireBus(Wire(*chips))
    found = {bytes(address.rom): ds18x20.DS18X20(bus, address) for address in bus.scan()}
    return chips, [found[each.rom] for each in chips]


@pytest.mark.parametrize("cel", [-55.0, -10.25, 0.0, 21.5, 84.9, 125.0])
def test_adafruit_reads_the_temperature(time: Time, cel: float) -> None:
    """Bit by bit; it polls for the end of the conversion. Half a degree (from -10 to 85), two at the ends."""
    _, (driver,) = thermometers(time, cel)
    assert driver.address.family_code == 0x28
    assert driver.temperature == pytest.approx(cel, abs=0.5)


def test_a_search_finds_each_chip_of_a_bus(time: Time) -> None:
    """By their codes, whose check bytes are right; each is asked by its own."""
    _, drivers = thermometers(time, 3.0, 50.0, -20.0, 7.0)
    assert all(onewire.OneWireBus.crc8(driver.address.rom) == 0 for driver in drivers)
    assert [driver.temperature for driver in drivers] == [pytest.approx(cel, abs=0.5) for cel in (3, 50, -20, 7)]


@pytest.mark.parametrize(("bits", "ms"), [(9, 94), (10, 188), (11, 375), (12, 750)])
def test_its_resolution_is_set_and_kept(time: Time, bits: int, ms: int) -> None:
    """With the time that a conversion takes; before its end there is still the old reading."""
    _, (driver,) = thermometers(time, 21.437)
    driver.resolution = bits
    assert driver.resolution == bits
    assert driver.start_temperature_read() == pytest.approx(ms / 1000, abs=0.001)
    time.sleep((ms - 2) / 1000)
    assert driver.read_temperature() == 85
    time.sleep(0.004)
    found = driver.read_temperature()
    assert found == pytest.approx(21.437, abs=0.5)
    assert found * 2 ** (bits - 8) == int(found * 2 ** (bits - 8))


def test_a_spoilt_check_byte_is_seen(time: Time) -> None:
    """And a chip that is not there."""
    (ds,), (driver,) = thermometers(time, 20.0)
    ds.bad_crc = True
    with pytest.raises(RuntimeError, match="CRC"):
        _ = driver.temperature
    ds.dead = True
    assert onewire.OneWireBus(Wire(ds)).scan() == []
