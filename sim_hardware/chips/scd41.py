"""Sensirion SCD41 CO2 sensor on I2C (datasheet SCD4x versions 1.5 and 1.7, chapters 1 and 3).

What a workshop asks of it - recalibration, self-test, sleep - is in scd41_service.py, which no board loads.
"""

from math import exp

from .noise import Noise
from .sensirion import crc8, framed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_POWER_UP_MS = 30
_CO2_MS, _CEL_MS, _RH_MS = 60_000, 120_000, 90_000  # until 63 % of a step (tables 1 to 3)
_MOST_PPM = 40_000  # the end of its output range (table 1); from 400 to 5000 it keeps its accuracy
_HOURS = 8_766  # of a year
_LASTS_H = 5 * _HOURS  # until it begins to age
_MAGNUS = 17.62  # of the pressure at which vapour is saturated, over water; with 243.12 Cel

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
_DEFAULTS = {0xE000: 1013, 0x2318: 1498, 0x2322: 0, 0x2313: 1}
_UNKNOWN = (-1, False)
_PERIOD_MS = 5_000
_PERIODS_MS = {0x21B1: _PERIOD_MS, 0x21AC: 30_000}


def _left(gone_ms: int) -> "tuple[int, int, int]":
    """What is left of a difference in CO2, temperature, humidity after that time: parts of 1024."""
    return int(1024 * exp(-gone_ms / _CO2_MS)), int(1024 * exp(-gone_ms / _CEL_MS)), int(1024 * exp(-gone_ms / _RH_MS))


_OLD = _left(_PERIOD_MS)


class SCD41:
    """`environment()` gives (CO2 ppm, temperature Cel, humidity %RH); `clock_ms()` any running milliseconds.

    `pressure_hpa` is the air's, for one who wants to see what a wrong ambient pressure does; None leaves it out.
    `age_h` is how long it has been in use: from the sixth year on 5 ppm + 0.5 % more each year are the most it is off
    (table 1).
    Faults: `drift` is a factor on the CO2, `stuck` repeats the last reading, `dead` acknowledges nothing, `bad_crc`
    spoils every check byte.
    """

    _commands = _COMMANDS
    _setters = _SETTINGS

    def __init__(
        self,
        clock_ms: "Callable[[], int]",
        environment: "Callable[[], tuple[float, float, float]]",
        serial: int = 0xF896_9F07_3BBE,
        seed: int = 1,
    ) -> None:
        self.address = 0x62
        self.drift = 1.0
        self.stuck = self.dead = self.bad_crc = False
        self.age_h = 0.0
        self.pressure_hpa: float | None = None
        self._clock_ms = clock_ms
        self._environment = environment
        self._noise = Noise(seed)
        self._serial = serial
        self._ageing = self._noise.around(0, 1 / _HOURS)  # of the year's most, in an hour
        self._busy_until = clock_ms() + _POWER_UP_MS
        self._reply: tuple[int, ...] = ()  # words
        self._period = 0  # 0 when idle
        self._started = 0
        self._taken = 0  # measurements since the start that were read, or are too late to be
        self._single: tuple[int, ...] = ()
        self._words: tuple[int, ...] = ()
        self._co2 = self._cel = self._humidity = 0  # ppm, Cel, %RH inside it at a time, in thousandths
        self._within_at: int | None = None
        self._correction = 0  # ppm, of a calibration in the field
        self._settings = dict(_DEFAULTS)

    def write(self, data: bytes) -> None:
        """A command, with or without a word and its check byte. OSError(19) when it is not acknowledged."""
        now = self._clock_ms()
        code = data[0] << 8 | data[1] if len(data) in (2, 5) else -1
        duration, always = self._commands.get(code, _UNKNOWN)
        if self.dead or now < self._busy_until:
            raise OSError(19)
        if not data:
            return  # its address alone is acknowledged
        if duration < 0 or (self._period and not always):
            raise OSError(19)
        if len(data) == 5:
            if code not in self._setters or crc8(data[2:4]) != data[4]:
                raise OSError(19)
            self._reply = self._set(code, data[2] << 8 | data[3])
        else:
            self._reply = self._run(code, now)
        self._busy_until = now + duration

    def read(self, n: int) -> bytes:
        """The answer to the last command, each word with its check byte. OSError(19) when there is none (yet)."""
        if self.dead or self._clock_ms() < self._busy_until or not self._reply:
            raise OSError(19)
        words, self._reply = self._reply, ()
        return framed(words, n, self.bad_crc)

    def _set(self, code: int, value: int) -> "tuple[int, ...]":
        self._settings[self._setters[code]] = value
        return ()

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
            self._single = self._measure(now)
        elif code == 0x2196:
            self._single = (0,) + self._measure(now)[1:]
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
        return self._measure(self._started + self._taken * self._period)

    def _measure(self, now: int) -> "tuple[int, ...]":
        if self.stuck and self._words:
            return self._words
        # In thousandths, as whole numbers: each float would take a piece of the board's heap.
        air = self._environment()
        co2, cel, humidity = int(air[0] * 1000), int(air[1] * 1000), int(air[2] * 1000)
        if self._within_at is not None:
            gone = now - self._within_at
            old = _OLD if gone == _PERIOD_MS else _left(gone)
            co2 += (self._co2 - co2) * old[0] >> 10
            cel += (self._cel - cel) * old[1] >> 10
            humidity += (self._humidity - humidity) * old[2] >> 10
        self._within_at, self._co2, self._cel, self._humidity = now, co2, cel, humidity
        offset = self._settings[0x2318]
        if offset != _DEFAULTS[0x2318]:  # its own warmth, as it was told, is more or less than it is (3.7.1)
            real = cel / 1000
            cel += (_DEFAULTS[0x2318] - offset) * 175_000 >> 16
            shown = cel / 1000
            humidity = int(humidity * exp(_MAGNUS * (real / (243.12 + real) - shown / (243.12 + shown))))
        about = self._noise.about
        ppm = about(co2, 4_000)
        if self.drift != 1.0 or self.age_h or self.pressure_hpa is not None:
            ppm = int(self._astray(ppm))
        self._words = (
            min(max((ppm + 500) // 1000 + self._correction, 0), _MOST_PPM),
            min(max((about(cel, 50) + 45_000) * 65_536 // 175_000, 0), 0xFFFF),
            min(max(about(humidity, 200) * 65_536 // 100_000, 0), 0xFFFF),
        )
        return self._words

    def _astray(self, ppm: float) -> float:
        """What is shown of a CO2 when something is amiss."""
        if self.pressure_hpa is not None:
            ppm *= self.pressure_hpa / self._settings[0xE000]
        return ppm * self.drift + (5_000 + 0.005 * ppm) * self._ageing * max(0, self.age_h - _LASTS_H)
