# Bosch BME280: temperature, pressure, humidity over I2C (datasheet BST-BME280-DS002, revision 1.6).

import struct

from micropython import const

_ID = const(0xD0)
_CALIBRATION_1 = const(0x88)  # 26 bytes
_CALIBRATION_2 = const(0xE1)  # 7 bytes
_CONTROL_HUMIDITY = const(0xF2)
_CONTROL = const(0xF4)
_DATA = const(0xF7)  # pressure, temperature, humidity: 3 + 3 + 2 bytes

_CHIP_ID = const(0x60)
_NOT_MEASURED = const(0x80000)  # what pressure and temperature say before the first measurement

MEASURE_MS = 10  # one sample of each takes at most 9.3 ms (9.1)


class BME280:
    """Every method raises OSError when the chip does not answer."""

    def __init__(self, i2c, address=0x76):
        self._i2c = i2c
        self._address = address
        self._byte = bytearray(1)
        self._data = bytearray(8)
        self._calibration = None

    def start(self):
        """Check that it is the right chip, and read its calibration. Raises ValueError when it is another, or garbled.

        Nothing checks the calibration but reading it twice; a wrong one would spoil every value until the next boot.
        """
        found = self._i2c.readfrom_mem(self._address, _ID, 1)[0]
        if found != _CHIP_ID:
            raise ValueError("no BME280: the chip calls itself 0x%02x" % found)
        found = self._read_calibration()
        if self._read_calibration() != found:
            raise ValueError("the calibration reads differently each time")
        self._calibration = found

    def measure(self):
        """Take one sample of each (forced mode); `read` has it MEASURE_MS later."""
        self._write(_CONTROL_HUMIDITY, 0x01)
        self._write(_CONTROL, 0x25)

    def read(self):
        """(temperature Cel, pressure Pa, humidity %RH), or None when nothing was measured since power-on."""
        self._i2c.readfrom_mem_into(self._address, _DATA, self._data)
        return decode(self._data, self._calibration)

    def _read_calibration(self):
        first = self._i2c.readfrom_mem(self._address, _CALIBRATION_1, 26)
        second = self._i2c.readfrom_mem(self._address, _CALIBRATION_2, 7)
        return calibration(first, second)

    def _write(self, register, value):
        self._byte[0] = value
        self._i2c.writeto_mem(self._address, register, self._byte)


def calibration(first, second):
    """(T1..T3, P1..P9, H1..H6) from registers 0x88..0xA1 and 0xE1..0xE7 (4.2.2)."""
    words = struct.unpack_from("<HhhHhhhhhhhh", first)
    h2, h3, e4, e5, e6, h6 = struct.unpack("<hBbBbb", second)
    return words + (first[25], h2, h3, e4 * 16 | e5 & 0xF, e6 * 16 | e5 >> 4, h6)


def decode(data, calibrated):
    """(temperature Cel, pressure Pa, humidity %RH) from registers 0xF7..0xFE; None when not measured.

    Bosch's integer formulas (4.2.3), whose intermediate results need up to 64 bits.
    """
    t1, t2, t3, p1, p2, p3, p4, p5, p6, p7, p8, p9, h1, h2, h3, h4, h5, h6 = calibrated
    raw_p = data[0] << 12 | data[1] << 4 | data[2] >> 4
    raw_t = data[3] << 12 | data[4] << 4 | data[5] >> 4
    raw_h = data[6] << 8 | data[7]
    if raw_t == _NOT_MEASURED or raw_p == _NOT_MEASURED:
        return None

    fine = ((raw_t >> 3) - (t1 << 1)) * t2 >> 11
    fine += (((raw_t >> 4) - t1) * ((raw_t >> 4) - t1) >> 12) * t3 >> 14

    a = fine - 128000
    b = a * a * p6 + (a * p5 << 17) + (p4 << 35)
    a = (a * a * p3 >> 8) + (a * p2 << 12)
    a = ((1 << 47) + a) * p1 >> 33
    if a == 0:
        return None  # would divide by zero: a chip without a calibration
    p = ((1048576 - raw_p << 31) - b) * 3125 // a
    p = (p + (p9 * (p >> 13) * (p >> 13) >> 25) + (p8 * p >> 19) >> 8) + (p7 << 4)

    h = fine - 76800
    scale = ((h * h6 >> 10) * ((h * h3 >> 11) + 32768) >> 10) + 2097152
    h = ((raw_h << 14) - (h4 << 20) - h5 * h + 16384 >> 15) * (scale * h2 + 8192 >> 14)
    h -= ((h >> 15) * (h >> 15) >> 7) * h1 >> 4
    h = min(max(h, 0), 419430400) >> 12

    return (fine * 5 + 128 >> 8) / 100, (p + 128) // 256, h / 1024
