# Sensirion SCD41: CO2, temperature, humidity over I2C (datasheet SCD4x version 1.5, chapter 3).

from time import sleep_ms

from micropython import const

from drivers.sensirion import put_word, word

_START = const(0x21B1)
_READY = const(0xE4B8)
_READ = const(0xEC05)
_STOP = const(0x3F86)
_PRESSURE = const(0xE000)

POWER_UP_MS = 30  # the chip is deaf for so long after power-on
STOP_MS = 500  # the chip is deaf for so long after `stop`
PERIOD_MS = 5000  # a new measurement comes this often
MOST = 40_000  # ppm, the end of its output range (table 1)


class SCD41:
    """Every method raises OSError when the chip does not answer, ValueError when an answer is garbled."""

    def __init__(self, i2c, address=0x62):
        self._i2c = i2c
        self._address = address
        self._command = bytearray(2)
        self._setting = bytearray(5)
        self._flag = bytearray(3)
        self._data = bytearray(9)

    def stop(self):
        """Back to idle, whatever a reset of the board has left it in. Wait STOP_MS before anything else."""
        self._send(_STOP)

    def start(self):
        """Begin to measure every PERIOD_MS."""
        self._send(_START)

    def set_pressure(self, pascal):
        """Tell the air pressure (Pa), which CO2 depends on: 1 kPa is about 1 %. Allowed while measuring."""
        buffer = self._setting
        buffer[0], buffer[1] = _PRESSURE >> 8, _PRESSURE & 0xFF
        put_word(buffer, 2, pascal // 100)
        self._write(buffer)

    def read(self):
        """(CO2 ppm, temperature Cel, humidity %RH), or None while there is nothing new."""
        self._ask(_READY, self._flag)
        if not word(self._flag, 0) & 0x7FF:
            return None
        self._ask(_READ, self._data)
        return decode(self._data)

    def _send(self, command):
        self._command[0], self._command[1] = command >> 8, command & 0xFF
        self._write(self._command)

    def _write(self, buffer):
        self._i2c.writeto(self._address, buffer)
        sleep_ms(1)  # it acknowledges nothing while it executes a command

    def _ask(self, command, answer):
        self._send(command)
        self._i2c.readfrom_into(self._address, answer)


def decode(data):
    """(CO2 ppm, temperature Cel, humidity %RH) from three checked words (3.5.2). Raises ValueError."""
    return word(data, 0), 175 * word(data, 1) / 65536 - 45, 100 * word(data, 2) / 65536
