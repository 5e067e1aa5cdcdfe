"""SGP41 through drivers that others wrote: Sensirion's own, and Adafruit's with its gas index algorithm."""

from collections.abc import Iterator
from typing import Any

import pytest

from sim_hardware.chips.sgp41 import SGP41
from tests.sim_hardware.adapters import Bus, Time, Transceiver, load, moved

adafruit_sgp = load("adafruit_sgp41.sgp41")
connection, errors = load("sensirion_i2c_driver.connection"), load("sensirion_i2c_driver.errors")
sensirion_sgp = load("sensirion_i2c_sgp4x.sgp41.device")


@pytest.fixture
def time() -> Iterator[Time]:
    """Moves as the drivers sleep."""
    clock = Time()
    with moved(clock, adafruit_sgp, connection):
        yield clock


def sniffer(time: Time, gas: Any = (1.0, 1.0)) -> SGP41:
    sgp = SGP41(time, lambda: tuple(gas), serial=0x0000_0531_9A4C)
    time.sleep(0.001)
    return sgp


def sensirion(time: Time, sgp: SGP41) -> Any:
    return sensirion_sgp.Sgp41I2cDevice(connection.I2cConnection(Transceiver(time, sgp)))


def test_the_gas_sensor_is_identified_and_tested(time: Time) -> None:
    """By both drivers."""
    sgp = sniffer(time)
    one, two = adafruit_sgp.SGP41(Bus(sgp)), sensirion(time, sgp)
    assert one.serial_number == (0, 0x0531, 0x9A4C)
    assert two.get_serial_number() == 0x0000_0531_9A4C
    assert one.self_test_passed
    assert two.measure_test() == 0xD400
    sgp.broken = 2
    assert not one.self_test_passed
    assert two.measure_test() & 0xF == 2


@pytest.mark.parametrize(("gas", "voc", "nox"), [((1, 1), 0, 0), ((4, 2), -2_773, 1_040), ((0.5, 1), 1_386, 0)])
def test_both_drivers_read_the_same_ticks(time: Time, gas: tuple[float, float], voc: int, nox: int) -> None:
    """Conditioned for ten seconds and warm; the climate that they tell reaches the chip alike."""
    sgp = sniffer(time, gas)
    one, two = adafruit_sgp.SGP41(Bus(sgp)), sensirion(time, sgp)
    for _ in range(9):
        assert 20_000 < one.conditioning() < 40_000
        time.sleep(0.95)
    for _ in range(50):
        one.measure_raw()
        time.sleep(0.95)
    assert one.measure_raw(80, -10) == (pytest.approx(30_000 + voc, abs=15), pytest.approx(15_000 + nox, abs=10))
    told = sgp.compensation
    found = [signal.ticks for signal in two.measure_raw(80, -10)]
    assert found == [pytest.approx(30_000 + voc, abs=15), pytest.approx(15_000 + nox, abs=10)]
    assert sgp.compensation == pytest.approx(told, abs=1)
    two.turn_heater_off()
    assert two.conditioning().ticks < 27_000 + max(voc, 0), "cold again"
    assert not sgp.damaged


def test_the_index_of_adafruits_algorithm_follows_the_gas(time: Time) -> None:
    """Sensirion's published algorithm: 100 and 1 in the air that it knows, far above in worse."""
    gas = [1.0, 1.0]
    driver = adafruit_sgp.SGP41(Bus(sniffer(time, gas)))

    def seconds(count: int) -> tuple[int, int]:
        for _ in range(count):
            found = driver.measure_index()
            time.sleep(0.95)
        return found

    assert seconds(40) == (0, 0), "its blackout"
    voc, nox = seconds(2_000)
    assert voc == pytest.approx(100, abs=15)
    assert nox == 1
    gas[:] = [6.0, 8.0]
    voc, nox = seconds(40)
    assert voc > 250
    assert nox > 10


def test_faults_of_the_gas_sensor(time: Time) -> None:
    """Check bytes; busy; dead."""
    sgp = sniffer(time)
    one, two = adafruit_sgp.SGP41(Bus(sgp)), sensirion(time, sgp)
    sgp.bad_crc = True
    with pytest.raises(RuntimeError, match="CRC"):
        one.measure_raw()
    with pytest.raises(errors.I2cChecksumError):
        two.measure_raw()
    sgp.bad_crc = False
    sgp.write(b"\x28\x0e")
    with pytest.raises(errors.I2cNackError):
        two.get_serial_number()
    sgp.dead = True
    with pytest.raises(OSError, match="19"):
        one.measure_raw()
    with pytest.raises(ValueError, match="No I2C device"):
        adafruit_sgp.SGP41(Bus(sgp))
