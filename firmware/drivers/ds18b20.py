# Dallas DS18B20: a thermometer on a 1-Wire bus that it has for itself (datasheet DS18B20, 19-7487 revision 6).

from machine import Pin
from micropython import const

_SKIP_ROM = const(0xCC)
_CONVERT = const(0x44)
_READ = const(0xBE)

_SIZE = const(9)  # of the scratchpad, with its check byte
_CONFIGURATION = const(4)
_POWER_ON = const(0x0550)  # +85 Cel: what it says before its first conversion
_LOWEST = const(-55 * 16)
_HIGHEST = const(125 * 16)

CONVERT_MS = const(750)  # at 12 bits, the longest


def bus(pin):
    """The 1-Wire bus on a pin. Frozen in MicroPython's image for the board; imported only where it is needed."""
    from onewire import OneWire

    return OneWire(Pin(pin))


class DS18B20:
    """Every method raises OSError when there is no chip on the bus."""

    def __init__(self, wire):
        self._wire = wire
        self._data = bytearray(_SIZE)

    def start(self):
        """Begin to measure; `read` has it CONVERT_MS later."""
        self._command(_CONVERT)

    def read(self):
        """The temperature in Cel. Raises ValueError, saying why, when what the chip tells is no reading."""
        self._command(_READ)
        self._wire.readinto(self._data)
        return decode(self._data)

    def _command(self, command):
        if not self._wire.reset():
            raise OSError(19, "no thermometer on the bus")
        self._wire.writebyte(_SKIP_ROM)
        self._wire.writebyte(command)


def crc8(data, length):
    """Dallas's: polynomial x8 + x5 + x4 + 1, lowest bit first, start 0 (datasheet, CRC Generation)."""
    crc = 0
    for i in range(length):
        crc ^= data[i]
        for _ in range(8):
            crc = crc >> 1 ^ 0x8C if crc & 1 else crc >> 1
    return crc


def decode(data):
    """The temperature in Cel from a scratchpad. Raises ValueError."""
    if crc8(data, _SIZE - 1) != data[_SIZE - 1]:
        raise ValueError("check byte is wrong")
    configuration = data[_CONFIGURATION]
    # A bus that is held down reads as zeros, whose check byte is right; but five of these bits are always set.
    if configuration & 0x9F != 0x1F:
        raise ValueError("not a thermometer's scratchpad")
    raw = data[0] | data[1] << 8
    if raw == _POWER_ON:
        raise ValueError("nothing measured since power-on")
    if raw & 0x8000:
        raw -= 1 << 16
    if not _LOWEST <= raw <= _HIGHEST:
        raise ValueError("%d/16 Cel is out of the chip's range" % raw)
    undefined = 3 - (configuration >> 5 & 3)  # at 9 to 11 bits the lowest 3 to 1 are
    return (raw >> undefined << undefined) / 16
