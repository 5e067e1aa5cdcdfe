"""SCD41 through drivers that others wrote: Sensirion's own, old and new, and Adafruit's."""

from collections.abc import Iterator
from typing import Any

import pytest

from sim_hardware.chips.scd41 import SCD41
from sim_hardware.chips.scd41_service import ServicedSCD41
from tests.sim_hardware.adapters import Bus, Time, Transceiver, load, moved

adafruit_scd = load("adafruit_scd4x")
connection, errors, crc = (load(f"sensirion_i2c_driver.{name}") for name in ("connection", "errors", "crc_calculator"))
old_scd, scd_types, new_scd = (
    load("sensirion_i2c_scd"),
    load("sensirion_i2c_scd.scd4x.data_types"),
    load("sensirion_i2c_scd4x.device"),
)
channels = load("sensirion_driver_adapters.i2c_adapter.i2c_channel")

AIRS = [(420.0, 21.5, 47.0), (1_950.0, -8.0, 88.0), (4_900.0, 55.0, 5.0)]
"""(CO2 ppm, Cel, %RH)"""
SERIAL = 0xF896_9F07_3BBE


@pytest.fixture
def time() -> Iterator[Time]:
    """Moves as the drivers sleep."""
    clock = Time()
    with moved(clock, adafruit_scd, connection, new_scd):
        yield clock


def near(found: Any, air: tuple[float, float, float]) -> None:
    """Within 50 ppm and 2.5 %, 0.8 Cel and 6 %RH: what the datasheet states (tables 1 to 3)."""
    assert found[0] == pytest.approx(air[0], abs=50 + 0.025 * air[0])
    assert found[1] == pytest.approx(air[1], abs=0.8)
    assert found[2] == pytest.approx(air[2], abs=6)


def chip(time: Time, air: Any = AIRS[0]) -> ServicedSCD41:
    scd = ServicedSCD41(time, lambda: tuple(air), SERIAL)
    time.sleep(0.03)
    return scd


def adafruit(time: Time, scd: SCD41) -> Any:
    return adafruit_scd.SCD4X(Bus(scd))


def old(time: Time, scd: SCD41) -> Any:
    """Sensirion's of 2021."""
    return old_scd.Scd4xI2cDevice(connection.I2cConnection(Transceiver(time, scd)))


def new(time: Time, scd: SCD41) -> Any:
    """Sensirion's of 2025."""
    link = connection.I2cConnection(Transceiver(time, scd))
    return new_scd.Scd4xDevice(channels.I2cChannel(link, slave_address=0x62, crc=crc.CrcCalculator(8, 0x31, 0xFF, 0x0)))


@pytest.mark.parametrize("air", AIRS)
def test_adafruit_reads_the_air(time: Time, air: tuple[float, float, float]) -> None:
    """Not ready for five seconds, then ready until it is read."""
    driver = adafruit(time, chip(time, air))
    driver.start_periodic_measurement()
    time.sleep(4.9)
    assert not driver.data_ready
    assert driver.CO2 is None
    time.sleep(0.1)
    assert driver.data_ready
    near((driver.CO2, driver.temperature, driver.relative_humidity), air)
    assert not driver.data_ready


@pytest.mark.parametrize("air", AIRS)
def test_sensirions_old_driver_reads_the_air(time: Time, air: tuple[float, float, float]) -> None:
    """Both periods; what is not there yet is not acknowledged."""
    driver = old(time, chip(time, air))
    for mode, period in ((scd_types.Scd4xPowerMode.HIGH, 5), (scd_types.Scd4xPowerMode.LOW, 30)):
        driver.start_periodic_measurement(mode)
        time.sleep(period - 0.1)
        assert not driver.get_data_ready_status()
        with pytest.raises(errors.I2cNackError):
            driver.read_measurement()
        time.sleep(0.1)
        assert driver.get_data_ready_status()
        co2, temperature, humidity = driver.read_measurement()
        near((co2.co2, temperature.degrees_celsius, humidity.percent_rh), air)
        driver.stop_periodic_measurement()


@pytest.mark.parametrize("air", AIRS)
def test_sensirions_new_driver_reads_the_air(time: Time, air: tuple[float, float, float]) -> None:
    """Once, on demand."""
    driver = new(time, chip(time, air))
    near([signal.value for signal in driver.measure_and_read_single_shot()], air)
    driver.measure_single_shot_rht_only()
    co2, temperature, humidity = (signal.value for signal in driver.read_measurement())
    assert co2 == 0
    near((air[0], temperature, humidity), air)


def test_each_driver_identifies_it(time: Time) -> None:
    """Serial number, variant, self-test."""
    scd = chip(time)
    one, two, three = adafruit(time, scd), old(time, scd), new(time, scd)
    assert bytes(one.serial_number) == SERIAL.to_bytes(6, "big")
    assert two.read_serial_number() == three.get_serial_number() == SERIAL
    assert one.sensor_variant_name == "SCD41"
    assert three.get_sensor_variant().name == "SCD41"
    one.self_test()
    assert two.perform_self_test() == three.perform_self_test() == 0
    scd.broken = 4
    with pytest.raises(RuntimeError, match="Self test failed"):
        one.self_test()
    assert two.perform_self_test() == three.perform_self_test() == 4


def test_settings_are_kept_when_they_are_persisted(time: Time) -> None:
    """Over a loss of power; a factory reset brings back those of the factory."""
    scd = chip(time)
    driver = adafruit(time, scd)
    settings = {
        "temperature_offset": (4, 1.5),
        "altitude": (0, 800),
        "self_calibration_enabled": (True, False),
        "self_calibration_target": (400, 425),
        "self_calibration_initial_period": (44, 48),
        "self_calibration_standard_period": (156, 160),
    }
    factory, changed = ([pytest.approx(each[i], abs=0.01) for each in settings.values()] for i in (0, 1))

    def told() -> list[float]:
        return [getattr(driver, name) for name in settings]

    def change() -> None:
        for name, (_, value) in settings.items():
            setattr(driver, name, value)

    assert told() == factory
    change()
    assert told() == changed
    scd.power_on()
    time.sleep(0.03)
    assert told() == factory
    change()
    driver.persist_settings()
    scd.power_on()
    time.sleep(0.03)
    assert told() == changed
    driver.altitude = 0
    driver.reinit()
    assert told() == changed
    driver.factory_reset()
    assert told() == factory
    assert scd.writes == 2


def test_settings_of_sensirions_drivers(time: Time) -> None:
    """Each reads what the other wrote."""
    scd = chip(time)
    one, two = old(time, scd), new(time, scd)
    one.set_temperature_offset(2.5)
    assert two.get_temperature_offset().value == pytest.approx(2.5, abs=0.01)
    two.set_sensor_altitude(1_200)
    assert one.get_sensor_altitude() == 1_200
    assert two.get_ambient_pressure().value == pytest.approx(87_700, abs=300), "the standard atmosphere's"
    one.set_automatic_self_calibration(False)
    assert two.get_automatic_self_calibration_enabled() == 0
    two.set_automatic_self_calibration_standard_period(160)
    assert two.get_automatic_self_calibration_standard_period() == 160
    two.start_periodic_measurement()
    two.set_ambient_pressure(98_700)
    assert two.get_ambient_pressure().value == 98_700


def test_what_is_not_allowed_while_it_measures_is_refused(time: Time) -> None:
    """As each driver says it."""
    scd = chip(time)
    one, two, three = adafruit(time, scd), old(time, scd), new(time, scd)
    one.start_periodic_measurement()
    with pytest.raises(RuntimeError, match="periodic measurement mode"):
        _ = one.serial_number
    with pytest.raises(errors.I2cNackError):
        two.read_serial_number()
    with pytest.raises(errors.I2cNackError):
        three.get_sensor_variant()


def test_a_sleeping_chip_is_deaf_until_it_is_woken(time: Time) -> None:
    """It never acknowledges that."""
    scd = chip(time)
    one, three = adafruit(time, scd), new(time, scd)
    three.power_down()
    with pytest.raises(errors.I2cNackError):
        three.get_serial_number()
    three.wake_up()
    assert three.get_serial_number() == SERIAL
    one.power_down()
    with pytest.raises(RuntimeError):
        _ = one.serial_number
    one.wake_up()
    assert one.sensor_variant_name == "SCD41"


def test_a_forced_recalibration_takes_a_drift_away(time: Time) -> None:
    """After three minutes of operation; before it fails."""
    scd = chip(time)
    driver = adafruit(time, scd)
    with pytest.raises(RuntimeError, match="recalibration failed"):
        driver.force_calibration(420)
    scd.drift = 1.2
    driver.start_periodic_measurement()
    time.sleep(185)
    shown = driver.CO2
    assert shown == pytest.approx(504, abs=6)
    assert driver.force_calibration(420) == pytest.approx(-84, abs=6)
    driver.start_periodic_measurement()
    time.sleep(5)
    shown = driver.CO2
    assert shown == pytest.approx(420, abs=10)
    scd.power_on()
    time.sleep(0.03)
    assert old(time, scd).perform_forced_recalibration(420) == 0xFFFF
    assert new(time, scd).perform_forced_recalibration(420) == 0xFFFF


@pytest.mark.parametrize("enabled", [True, False])
def test_it_calibrates_itself_by_the_lowest_of_a_period(time: Time, enabled: bool) -> None:
    """First after 44 hours, then after 156: what was lowest is taken for 400 ppm."""
    air = [600.0, 20.0, 50.0]
    scd = chip(time, air)
    driver = old(time, scd)
    driver.set_automatic_self_calibration(enabled)
    scd.drift = 1.1
    driver.start_periodic_measurement()
    shown = []
    for hour in range(203):
        air[0] = 400.0 if hour in (20, 100) else 600.0
        time.sleep(3_600)
        shown.append(driver.read_measurement()[0].co2)
    assert shown[43] == pytest.approx(660, abs=6)
    assert shown[45] == pytest.approx(620 if enabled else 660, abs=12)
    assert shown[199] == pytest.approx(620 if enabled else 660, abs=12)
    assert shown[202] == pytest.approx(620 if enabled else 660, abs=16)


def test_spoilt_check_bytes_and_silence_are_errors(time: Time) -> None:
    """Of each driver its own."""
    scd = chip(time)
    one, two, three = adafruit(time, scd), old(time, scd), new(time, scd)
    scd.bad_crc = True
    with pytest.raises(RuntimeError, match="CRC"):
        _ = one.serial_number
    for driver in (two.read_serial_number, three.get_serial_number):
        with pytest.raises(errors.I2cChecksumError):
            driver()
    scd.dead = True
    for driver in (two.read_serial_number, three.get_serial_number):
        with pytest.raises(errors.I2cNackError):
            driver()
    with pytest.raises(ValueError, match="No I2C device"):
        adafruit(time, scd)
