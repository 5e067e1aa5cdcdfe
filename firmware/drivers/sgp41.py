# Sensirion SGP41: raw signals of a VOC and a NOx pixel over I2C (datasheet SGP41 version 1.0, chapters 3 and 4).

from time import sleep_ms

from micropython import const

from drivers.sensirion import put_word, word

_CONDITION = const(0x2612)
_MEASURE = const(0x2619)
_TEST = const(0x280E)
_HEATER_OFF = const(0x3615)

POWER_UP_MS = 1  # the chip is deaf for so long after power-on
MEASURE_MS = 55  # a measurement takes 50 ms; the chip is deaf meanwhile
TEST_MS = 320
LONGEST_CONDITION_MS = 10_000  # longer damages the NOx pixel (3.1)

_HUMIDITY = const(0x8000)  # 50 %RH and 25 Cel: what the chip takes when nothing is known
_TEMPERATURE = const(0x6666)


class SGP41:
    """Every method raises OSError when the chip does not answer, `read` and `tested` ValueError when it is garbled."""

    def __init__(self, i2c, address=0x59):
        self._i2c = i2c
        self._address = address
        self._command = bytearray(2)
        self._request = bytearray(8)
        self._word = bytearray(3)
        self._words = bytearray(6)

    def condition(self):
        """Heat the NOx pixel up, once after power-on. After LONGEST_CONDITION_MS at most, `measure` or `heater_off`."""
        self._ask(_CONDITION, None, None)

    def measure(self, humidity=None, cel=None):
        """Measure in air of this humidity (%RH) and temperature (Cel); `read` has it MEASURE_MS later."""
        self._ask(_MEASURE, humidity, cel)

    def read(self):
        """(VOC, NOx) in ticks: the logarithm of the pixels' resistance. VOC sink with more gas, NOx rise."""
        self._i2c.readfrom_into(self._address, self._words)
        return word(self._words, 0), word(self._words, 1)

    def heater_off(self):
        """Back to idle, whatever a reset of the board has left it in."""
        self._send(_HEATER_OFF)
        sleep_ms(1)

    def test(self):
        """Begin the self-test; `tested` has its result TEST_MS later."""
        self._send(_TEST)

    def tested(self):
        """0 when both pixels are well; else bit 0 for the VOC and bit 1 for the NOx pixel."""
        self._i2c.readfrom_into(self._address, self._word)
        return word(self._word, 0) & 3

    def _send(self, command):
        self._command[0], self._command[1] = command >> 8, command & 0xFF
        self._i2c.writeto(self._address, self._command)

    def _ask(self, command, humidity, cel):
        buffer = self._request
        buffer[0], buffer[1] = command >> 8, command & 0xFF
        put_word(buffer, 2, _HUMIDITY if humidity is None else ticks(humidity, 0, 100))
        put_word(buffer, 5, _TEMPERATURE if cel is None else ticks(cel, -45, 175))
        self._i2c.writeto(self._address, buffer)


def ticks(value, low, span):
    """A humidity (0, 100) or temperature (-45, 175) as the chip is told it, in 65535 parts of its span (table 11)."""
    return min(max(int((value - low) * 65535 / span + 0.5), 0), 65535)
