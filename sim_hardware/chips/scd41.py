"""Sensirion SCD41 CO2 sensor on I2C (datasheet SCD4x version 1.5, chapter 3)."""

from .noise import Noise
from .sensirion import crc8, framed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_POWER_UP_MS = 30

# command -> (execution time in ms, also during periodic measurement)
_COMMANDS = {
    0x21B1: (0, False),  # start_periodic_measurement
    0x21AC: (0, False),  # start_low_power_periodic_measurement
    0xEC05: (1, True),  # read_measurement
    0x3F86: (500, True),  # stop_periodic_measurement
    0xE4B8: (1, True),  # get_data_ready_status
    0xE000: (1, True),  # set_ambient_pressure, or get with no argument
    0x3682: (1, False),  # get_serial_number
    0x219D: (5000, False),  # measure_single_shot
    0x2196: (50, False),  # measure_single_shot_rht_only
    0x3646: (30, False),  # reinit
    0x241D: (1, False),  # set_temperature_offset
    0x2318: (1, False),  # get_temperature_offset
    0x2427: (1, False),  # set_sensor_altitude
    0x2322: (1, False),  # get_sensor_altitude
    0x2416: (1, False),  # set_automatic_self_calibration_enabled
    0x2313: (1, False),  # get_automatic_self_calibration_enabled
}
_SETTINGS = {0xE000: 0xE000, 0x241D: 0x2318, 0x2427: 0x2322, 0x2416: 0x2313}  # what sets -> what gets
_PERIODS_MS = {0x21B1: 5_000, 0x21AC: 30_000}


class SCD41:
    """`environment()` gives (CO2 ppm, temperature Cel, humidity %RH); `clock_ms()` any running milliseconds.

    Faults: `stuck` repeats the last reading, `dead` acknowledges nothing, `bad_crc` spoils every check byte.
    """

    def __init__(
        self,
        clock_ms: "Callable[[], int]",
        environment: "Callable[[], tuple[float, float, float]]",
        serial: int = 0xF896_9F07_3BBE,
        seed: int = 1,
    ) -> None:
        self.address = 0x62
        self.stuck = self.dead = self.bad_crc = False
        self._clock_ms = clock_ms
        self._environment = environment
        self._noise = Noise(seed)
        self._serial = serial
        self._busy_until = clock_ms() + _POWER_UP_MS
        self._reply: tuple[int, ...] = ()  # words
        self._period = 0  # 0 when idle
        self._started = 0
        self._taken = 0  # measurements since the start that were read, or are too late to be
        self._single: tuple[int, ...] = ()
        self._words: tuple[int, ...] = ()
        self._settings = {0xE000: 1013, 0x2318: 1498, 0x2322: 0, 0x2313: 1}

    def write(self, data: bytes) -> None:
        """A command, with or without a word and its check byte. OSError(19) when it is not acknowledged."""
        now = self._clock_ms()
        code = data[0] << 8 | data[1] if len(data) in (2, 5) else -1
        duration, always = _COMMANDS.get(code, (0, False))
        if self.dead or now < self._busy_until or code not in _COMMANDS or (self._period and not always):
            raise OSError(19)
        if len(data) == 5:
            if code not in _SETTINGS or crc8(data[2:4]) != data[4]:
                raise OSError(19)
            self._settings[_SETTINGS[code]] = data[2] << 8 | data[3]
            self._reply = ()
        else:
            self._reply = self._run(code, now)
        self._busy_until = now + duration

    def read(self, n: int) -> bytes:
        """The answer to the last command, each word with its check byte. OSError(19) when there is none (yet)."""
        if self.dead or self._clock_ms() < self._busy_until or not self._reply:
            raise OSError(19)
        words, self._reply = self._reply, ()
        return framed(words, n, self.bad_crc)

    def _run(self, code: int, now: int) -> "tuple[int, ...]":
        """Do a command without an argument; the words it answers with."""
        if code in _PERIODS_MS:
            self._period, self._started, self._taken, self._single = _PERIODS_MS[code], now, 0, ()
        elif code in (0x3F86, 0x3646):
            self._period, self._single = 0, ()
        elif code == 0xE4B8:
            return (0x8006 if self._ready(now) else 0x8000,)
        elif code == 0xEC05:
            return self._take(now)
        elif code == 0x3682:
            return self._serial >> 32, self._serial >> 16 & 0xFFFF, self._serial & 0xFFFF
        elif code == 0x219D:
            self._single = self._measure()
        elif code == 0x2196:
            self._single = (0,) + self._measure()[1:]
        elif code in self._settings:
            return (self._settings[code],)
        return ()

    def _ready(self, now: int) -> bool:
        return bool(self._single) or (self._period > 0 and (now - self._started) // self._period > self._taken)

    def _take(self, now: int) -> "tuple[int, ...]":
        """A measurement can be read once; without a new one the read that follows is not acknowledged."""
        if not self._ready(now):
            return ()
        if self._single:
            words, self._single = self._single, ()
            return words
        self._taken = (now - self._started) // self._period
        return self._measure()

    def _measure(self) -> "tuple[int, ...]":
        if not (self.stuck and self._words):
            co2, cel, humidity = self._environment()
            around = self._noise.around
            self._words = (
                _word(around(co2, 4)),
                _word((around(cel, 0.05) + 45) * 65536 / 175),
                _word(around(humidity, 0.2) * 65536 / 100),
            )
        return self._words


def _word(value: float) -> int:
    return min(max(int(value + 0.5), 0), 0xFFFF)
