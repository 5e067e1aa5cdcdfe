"""PMS5003 and SPS30 through drivers that others wrote: Adafruit's, Philip Basford's, Sensirion's for UART and I2C."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest

from sim_hardware.chips.pms5003 import PMS5003
from sim_hardware.chips.sps30 import SPS30
from sim_hardware.chips.sps30_i2c import SPS30OnI2C
from tests.sim_hardware.adapters import Line, Time, Transceiver, load, moved

adafruit = load("adafruit_pm25.uart")
plantower = load("plantower.plantower")
connection, errors, crc = (load(f"sensirion_i2c_driver.{name}") for name in ("connection", "errors", "crc_calculator"))
i2c_channels = load("sensirion_driver_adapters.i2c_adapter.i2c_channel")
shdlc_channels = load("sensirion_driver_adapters.shdlc_adapter.shdlc_channel")
port, shdlc_errors = load("sensirion_shdlc_driver.port"), load("sensirion_shdlc_driver.errors")
on_uart, uart_commands = load("sensirion_uart_sps30.device"), load("sensirion_uart_sps30.commands")
on_i2c, i2c_commands = load("sensirion_i2c_sps30.device"), load("sensirion_i2c_sps30.commands")

AIRS = [(3.0, 5.0, 9.0), (12.0, 31.0, 52.0), (180.0, 320.0, 450.0)]
"""(PM1, PM2.5, PM10) in ug/m3"""


class Calendar:
    """The date as `plantower` asks for it, to see how long it has waited."""

    def __init__(self, time: Time) -> None:
        self._time = time

    def utcnow(self) -> datetime:
        return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=self._time.monotonic())


@pytest.fixture
def time() -> Iterator[Time]:
    """Moves as the drivers sleep, and while they wait for bytes."""
    clock = Time()
    with (
        moved(clock, adafruit, plantower, connection, port, shdlc_channels),
        patch.object(plantower, "datetime", Calendar(clock)),
    ):
        yield clock


def near(found: Any, air: tuple[float, ...], at_least: float = 10, share: float = 0) -> None:
    """Within the PMS5003's consistency error (technical index): 10 ug/m3, from 100 on 10 %."""
    for shown, real in zip(found, air, strict=True):
        assert shown == pytest.approx(real, abs=0.1 * real if real > 100 else at_least + share * real)


def precise(found: Any, air: tuple[float, ...]) -> None:
    """Within the SPS30's precision (table 1), as for PM2.5: 5 ug/m3 and 5 %, from 100 on 10 %."""
    near(found, air, at_least=5, share=0.05)


# PMS5003 ----------------------------------------------------------------------------------------------------------


def warm(time: Time, air: tuple[float, float, float] = AIRS[0]) -> PMS5003:
    pms = PMS5003(time, lambda: air)
    time.sleep(30)
    return pms


def basford(time: Time, pms: PMS5003) -> Any:
    """A driver that opens its port by itself."""
    with patch.object(plantower, "Serial", lambda port, baudrate, timeout: Line(time, pms, timeout)):
        return plantower.Plantower(log_level=logging.CRITICAL)


@pytest.mark.parametrize("air", AIRS)
def test_adafruit_reads_the_particles(time: Time, air: tuple[float, float, float]) -> None:
    """Sizes nest; the figures by CF=1 are never below those of the atmosphere."""
    found = adafruit.PM25_UART(Line(time, warm(time, air), 2)).read()
    mass = [found[f"pm{size} env"] for size in (10, 25, 100)]
    near(mass, air)
    assert all(found[f"pm{size} standard"] >= found[f"pm{size} env"] for size in (10, 25, 100))
    counts = [found[f"particles {size}um"] for size in ("03", "05", "10", "25", "50", "100")]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 0


@pytest.mark.parametrize("air", AIRS)
def test_basfords_driver_reads_the_particles(time: Time, air: tuple[float, float, float]) -> None:
    """What it calls `std` is what the manual calls atmospheric. Active and passive."""
    driver = basford(time, warm(time, air))
    found = driver.read()
    near((found.pm10_std, found.pm25_std, found.pm100_std), air)
    driver.mode_change(plantower.PMS_PASSIVE_MODE)
    found = driver.read_in_passive()
    near((found.pm10_std, found.pm25_std, found.pm100_std), air)
    with pytest.raises(plantower.PlantowerException, match="No message"):
        driver.read()
    driver.mode_change(plantower.PMS_ACTIVE_MODE)
    assert driver.read()


def test_a_sleeping_counter_is_silent_and_warms_up_again(time: Time) -> None:
    """As the driver puts it to sleep and wakes it."""
    driver = basford(time, warm(time, AIRS[2]))
    driver.set_to_sleep()
    with pytest.raises(plantower.PlantowerException, match="No message"):
        driver.read()
    driver.set_to_wakeup()
    assert driver.read().pm25_std < 60
    time.sleep(30)
    found = driver.read()
    near((found.pm10_std, found.pm25_std, found.pm100_std), AIRS[2])


def test_faults_of_the_counter(time: Time) -> None:
    """A wrong check code, and silence; what is stuck repeats itself; a drift is in every figure."""
    pms = warm(time, AIRS[1])
    one, two = adafruit.PM25_UART(Line(time, pms, 2)), basford(time, pms)
    pms.bad_crc = True
    with pytest.raises(RuntimeError, match="checksum"):
        one.read()
    with pytest.raises(plantower.PlantowerException, match="Checksum"):
        two.read()
    pms.bad_crc = False
    pms.stuck = True
    assert len({str(sorted(one.read().items())) for _ in range(5)}) == 1
    pms.stuck = False
    pms.drift = 2.0
    near([one.read()[f"pm{size} env"] for size in (10, 25, 100)], tuple(2 * value for value in AIRS[1]))
    pms.dead = True
    time.sleep(5)
    one._uart.reset_input_buffer()
    with pytest.raises(RuntimeError, match="no start of frame"):
        one.read()
    with pytest.raises(plantower.PlantowerException, match="No message"):
        two.read()


# SPS30 ------------------------------------------------------------------------------------------------------------


def uart(time: Time, sps: SPS30) -> Any:
    """Sensirion's driver, over its own frames (SHDLC)."""
    with patch.object(port.serial, "Serial", lambda **settings: Line(time, sps, settings["timeout"])):
        # As the driver has it by default it gives up only after the 100 ms that a woken interface listens.
        line = port.ShdlcSerialPort("emulated", 115_200, additional_response_time=0.02)
    return on_uart.Sps30Device(shdlc_channels.ShdlcChannel(line))


def i2c(time: Time, sps: SPS30OnI2C) -> Any:
    """Sensirion's driver, over I2C."""
    link = connection.I2cConnection(Transceiver(time, sps))
    return on_i2c.Sps30Device(i2c_channels.I2cChannel(link, 0x69, crc.CrcCalculator(8, 0x31, 0xFF, 0x0)))


UART_FORMATS, I2C_FORMATS = uart_commands.OutputFormat, i2c_commands.OutputFormat


@pytest.mark.parametrize("air", AIRS)
def test_sensirion_reads_the_particles_over_uart(time: Time, air: tuple[float, float, float]) -> None:
    """Floats and whole numbers."""
    driver = uart(time, SPS30(time, lambda: air))
    driver.start_measurement(UART_FORMATS.OUTPUT_FORMAT_FLOAT)
    time.sleep(30)
    found = driver.read_measurement_values_float()
    precise((found[0], found[1], found[3]), air)
    assert list(found[:4]) == sorted(found[:4])
    assert list(found[4:9]) == sorted(found[4:9])
    driver.stop_measurement()
    driver.start_measurement(UART_FORMATS.OUTPUT_FORMAT_UINT16)
    time.sleep(30)
    found = driver.read_measurement_values_uint16()
    precise((found[0], found[1], found[3]), air)


@pytest.mark.parametrize("air", AIRS)
def test_sensirion_reads_the_particles_over_i2c(time: Time, air: tuple[float, float, float]) -> None:
    """The flag says when there is something new; what is not new is told again."""
    driver = i2c(time, SPS30OnI2C(time, lambda: air))
    driver.start_measurement(I2C_FORMATS.OUTPUT_FORMAT_FLOAT)
    assert driver.read_data_ready_flag() == 0
    time.sleep(30)
    assert driver.read_data_ready_flag() == 1
    found = driver.read_measurement_values_float()
    precise((found[0], found[1], found[3]), air)
    assert driver.read_data_ready_flag() == 0
    assert driver.read_measurement_values_float() == found
    time.sleep(1)
    assert driver.read_measurement_values_float() != found
    driver.stop_measurement()
    driver.start_measurement(I2C_FORMATS.OUTPUT_FORMAT_UINT16)
    time.sleep(30)
    found = driver.read_measurement_values_uint16()
    precise((found[0], found[1], found[3]), air)


def test_it_is_identified_over_both(time: Time) -> None:
    """Product type, serial number, version."""
    one, two = uart(time, SPS30(time, lambda: AIRS[0])), i2c(time, SPS30OnI2C(time, lambda: AIRS[0]))
    assert one.read_product_type().startswith("00080000")
    assert two.read_product_type() == "00080000"
    assert one.read_serial_number() == two.read_serial_number() == "4E1AD1BB796C64C5"
    assert tuple(one.read_version())[:2] == tuple(two.read_firmware_version()) == (2, 2)


def test_its_settings_and_states_over_both(time: Time) -> None:
    """Interval of cleaning; status; cleaning itself; sleep, from which it is woken in two steps; reset."""
    chips = SPS30(time, lambda: AIRS[1]), SPS30OnI2C(time, lambda: AIRS[1])
    one, two = uart(time, chips[0]), i2c(time, chips[1])
    for driver in (one, two):
        assert driver.read_auto_cleaning_interval() == 604_800
        driver.write_auto_cleaning_interval(86_400)
        assert driver.read_auto_cleaning_interval() == 86_400
        driver.sleep()
        driver.wake_up_sequence()
        driver.device_reset()
        time.sleep(0.1)
    one.start_measurement(UART_FORMATS.OUTPUT_FORMAT_FLOAT)
    two.start_measurement(I2C_FORMATS.OUTPUT_FORMAT_FLOAT)
    for chip in chips:
        chip.broken = 1 << 4
    time.sleep(2)
    one.start_fan_cleaning()
    two.start_fan_cleaning()
    assert one.read_device_status_register(False)[0] == 1 << 4
    assert two.read_device_status_register() == 1 << 4
    for chip in chips:
        chip.broken = 0
    one.read_device_status_register(True)
    two.clear_device_status_register()
    assert one.read_device_status_register(False)[0] == two.read_device_status_register() == 0


def test_what_it_refuses(time: Time) -> None:
    """To be read while it is idle, to be started twice; a sleeping chip does not answer."""
    one, two = uart(time, SPS30(time, lambda: AIRS[0])), i2c(time, SPS30OnI2C(time, lambda: AIRS[0]))
    with pytest.raises(shdlc_errors.ShdlcDeviceError):
        one.read_measurement_values_float()
    with pytest.raises(errors.I2cNackError):
        two.read_measurement_values_float()
    for driver, formats in ((one, UART_FORMATS), (two, I2C_FORMATS)):
        driver.start_measurement(formats.OUTPUT_FORMAT_FLOAT)
        with pytest.raises((shdlc_errors.ShdlcDeviceError, errors.I2cNackError)):
            driver.start_measurement(formats.OUTPUT_FORMAT_FLOAT)
        driver.stop_measurement()
        driver.sleep()
        with pytest.raises((shdlc_errors.ShdlcTimeoutError, errors.I2cNackError)):
            driver.read_product_type()


def test_spoilt_frames_and_silence_are_errors(time: Time) -> None:
    """Over both."""
    chips = SPS30(time, lambda: AIRS[1]), SPS30OnI2C(time, lambda: AIRS[1])
    one, two = uart(time, chips[0]), i2c(time, chips[1])
    for chip in chips:
        chip.bad_crc = True
    with pytest.raises(shdlc_errors.ShdlcResponseError):
        one.read_product_type()
    with pytest.raises(errors.I2cChecksumError):
        two.read_product_type()
    for chip in chips:
        chip.dead = True
    with pytest.raises(shdlc_errors.ShdlcTimeoutError):
        one.read_product_type()
    with pytest.raises(errors.I2cNackError):
        two.read_product_type()
