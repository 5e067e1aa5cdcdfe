"""Bosch BME280 on I2C (datasheet BST-BME280-DS002 revision 1.6): registers, and raw values that the given
calibration turns back into the surroundings."""

from math import exp, sqrt

from .noise import Noise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# T1-T3, P1-P9: the example of the BMP280's datasheet (3.12); H1-H6: of an ordinary chip.
CALIBRATION = (27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000, 75, 362, 0, 334, 50, 30)

_START_UP_MS = 2
_STANDBY_MS = (1, 63, 125, 250, 500, 1000, 10, 20)  # t_sb, 5.4.6
_HUMIDITY_MS = 1_000  # until 63 % of a step (table 2)
_HOURS = 8_766  # of a year
_MOST = 0xFFFFF  # where the converter ends, well beyond -40 to 85 Cel and 300 to 1100 hPa, its operating range

# Noise for 0, 1, 2, 4, 8, 16 samples, its bounds being 2.45 times the RMS of chapter 3.6: 0.1 mCel, 0.1 Pa, m%RH.
_NOISE_T = bytes((0, 120, 100, 75, 75, 50))
_NOISE_P = bytes((0, 80, 64, 51, 39, 32))
_NOISE_H = bytes((0, 170, 120, 100, 75, 50))


def temperature(calibration: "tuple[int, ...]", raw: int) -> "tuple[float, float]":
    """(Cel, t_fine): the floating point formula of 8.1, so that a driver's integers are held against another way."""
    t1, t2, t3 = calibration[:3]
    fine = (raw / 16384 - t1 / 1024) * t2 + (raw / 131072 - t1 / 8192) ** 2 * t3
    return fine / 5120, fine


def pressure(calibration: "tuple[int, ...]", raw: int, fine: float) -> float:
    """Pa (8.1)."""
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = calibration[3:12]
    half = fine / 2 - 64000
    offset = (half * half * p6 / 32768 + half * p5 * 2) / 4 + p4 * 65536
    scale = (1 + (p3 * half * half / 524288 + p2 * half) / 524288 / 32768) * p1
    pa = (1048576 - raw - offset / 4096) * 6250 / scale
    return pa + (p9 * pa * pa / 2147483648 + pa * p8 / 32768 + p7) / 16


def humidity(calibration: "tuple[int, ...]", raw: int, fine: float) -> float:
    """%RH (8.1), not limited to 0..100."""
    h1, h2, h3, h4, h5, h6 = calibration[12:]
    warm = fine - 76800
    bent = h2 / 65536 * (1 + h6 / 67108864 * warm * (1 + h3 / 67108864 * warm))
    rh = (raw - (h4 * 64 + h5 / 16384 * warm)) * bent
    return rh * (1 - h1 * rh / 524288)


def raw(calibration: "tuple[int, ...]", cel: float, pa: float, rh: float) -> "tuple[float, float, float]":
    """(temperature, pressure, humidity) as the chip converts them: the three formulas above, solved for `raw`."""
    t1, t2, t3, p1, p2, p3, p4, p5, p6, p7, p8, p9, h1, h2, h3, h4, h5, h6 = calibration
    fine = cel * 5120
    raw_t = 32768 * fine / (t2 + sqrt(t2 * t2 + t3 * fine / 16)) + t1 * 16

    # The last line of `pressure` is a quadratic in what the line before it gave.
    slope = 1 + p8 / 524288
    pa = 2 * (pa - p7 / 16) / (slope + sqrt(slope * slope + p9 * (pa - p7 / 16) / 8589934592))
    half = fine / 2 - 64000
    scale = (1 + half * (p2 + half * p3 / 524288) / 17179869184) * p1
    raw_p = 1048576 - p4 * 16 - half * (p5 + half * p6 / 65536) / 8192 - pa * scale / 6250

    warm = fine - 76800
    bent = h2 / 65536 * (1 + h6 / 67108864 * warm * (1 + h3 / 67108864 * warm))
    rh = 2 * rh / (1 + sqrt(1 - h1 * rh / 131072))
    return raw_t, raw_p, rh / bent + h4 * 64 + h5 / 16384 * warm


class BME280:
    """`environment()` gives (temperature Cel, pressure Pa, humidity %RH); `clock_ms()` any running milliseconds.

    `age_h` is how long it has been in use: 1 hPa and 0.5 %RH are the most it is off after a year (tables 2 and 3).
    Faults: `drift` is a factor on all that it measures, `stuck` repeats the last reading, `dead` acknowledges nothing.
    The chip has no check bytes.
    """

    def __init__(
        self,
        clock_ms: "Callable[[], int]",
        environment: "Callable[[], tuple[float, float, float]]",
        calibration: "tuple[int, ...]" = CALIBRATION,
        seed: int = 1,
        address: int = 0x76,
    ) -> None:
        self.address = address
        self.drift = 1.0
        self.stuck = self.dead = False
        self.age_h = 0.0
        self._clock_ms = clock_ms
        self._environment = environment
        self._calibration = calibration
        self._noise = Noise(seed)
        self._ageing = self._noise.around(0, 1 / _HOURS)  # of the year's most, in an hour
        self._damp: float | None = None  # %RH within, at a time
        self._damp_at = 0
        self._pointer = 0
        self._reset()

    def _reset(self) -> None:
        self._registers = r = bytearray(256)
        r[0xD0] = 0x60
        for i, value in enumerate(self._calibration[:12]):
            r[0x88 + 2 * i], r[0x89 + 2 * i] = value & 0xFF, value >> 8 & 0xFF
        h1, h2, h3, h4, h5, h6 = self._calibration[12:]
        r[0xA1] = h1
        r[0xE1], r[0xE2], r[0xE3] = h2 & 0xFF, h2 >> 8 & 0xFF, h3 & 0xFF
        r[0xE4], r[0xE5], r[0xE6] = h4 >> 4 & 0xFF, h4 & 0xF | (h5 & 0xF) << 4, h5 >> 4 & 0xFF
        r[0xE7] = h6 & 0xFF
        r[0xF7], r[0xFA], r[0xFD] = 0x80, 0x80, 0x80
        self._humidity_sampling = 0  # what ctrl_hum was at the last write of ctrl_meas (5.4.3)
        self._memory: list[float | None] = [None, None]  # of the filter: pressure, temperature (3.4.4)
        self._ready_at = self._clock_ms() + _START_UP_MS
        self._measuring = False

    def write(self, data: bytes) -> None:
        """A register's number, then pairs of value and next number (6.2.1). OSError(19) when not acknowledged."""
        if self.dead:
            raise OSError(19)
        if self._measuring and self._clock_ms() >= self._ready_at:
            self._finish()
        n = len(data)
        if n > 1:
            for i in range(0, n - 1, 2):
                self._set(data[i], data[i + 1])
        if n & 1:
            self._pointer = data[-1]

    def read(self, n: int) -> bytes:
        """`n` registers from where the last write points."""
        if self.dead:
            raise OSError(19)
        if self._measuring and self._clock_ms() >= self._ready_at:
            self._finish()
        start = self._pointer
        self._pointer = (start + n) & 0xFF
        if start <= 0xF3 < start + n:
            self._registers[0xF3] = self._status()
        return bytes(self._registers[start : start + n])

    def _status(self) -> int:
        """Bit 3 while it measures, bit 0 while it copies its calibration after power-on and reset (5.4.4)."""
        if self._clock_ms() >= self._ready_at:
            return 0
        if self._measuring:
            return 0 if self._registers[0xF4] & 3 == 3 else 8
        return 1

    def _set(self, register: int, value: int) -> None:
        if register == 0xE0:
            if value == 0xB6:
                self._reset()
        elif register == 0xF2:
            self._registers[0xF2] = value & 7
        elif register == 0xF5:
            self._registers[0xF5] = value
            self._memory = [None, None]
        elif register == 0xF4:
            self._registers[0xF4] = value
            self._humidity_sampling = self._registers[0xF2]
            if self._measuring or value & 3:  # a measurement that runs is given up
                self._ready_at = self._clock_ms() + (self._duration_ms() if value & 3 else 0)
            self._measuring = bool(value & 3)

    def _duration_ms(self) -> int:
        """The longest time of one measurement (9.1), rounded up."""
        control = self._registers[0xF4]
        us = 1250 + 2300 * _samples(control >> 5)
        for setting in (control >> 2, self._humidity_sampling):
            samples = _samples(setting)
            us += 2300 * samples + 575 if samples else 0
        return us // 1000 + 1

    def _finish(self) -> None:
        now = self._clock_ms()
        self._measure(now)
        if self._registers[0xF4] & 3 == 3:  # normal mode goes on, forced mode falls asleep
            self._ready_at = now + self._duration_ms() + _STANDBY_MS[self._registers[0xF5] >> 5]
        else:
            self._measuring = False
            self._registers[0xF4] &= 0xFC

    def _measure(self, now: int) -> None:
        r = self._registers
        if self.stuck and r[0xFB] | r[0xF8]:
            return
        cel, pa, rh = self._environment()
        if self._damp is not None:
            rh += (self._damp - rh) * exp((self._damp_at - now) / _HUMIDITY_MS)
        self._damp, self._damp_at = rh, now
        control = r[0xF4]
        of_p, of_t, of_h = min(control >> 2 & 7, 5), min(control >> 5, 5), min(self._humidity_sampling, 5)
        around, drift, old = self._noise.around, self.drift, self._ageing * self.age_h
        raw_t, raw_p, raw_h = raw(
            self._calibration,
            min(max(around(cel, _NOISE_T[of_t] / 10_000) * drift, -100), 200),
            min(max(around(pa, _NOISE_P[of_p] / 10) * drift + 100 * old, 0), 200_000),
            min(max(around(rh, _NOISE_H[of_h] / 1000) * drift + 0.5 * old, 0), 100),
        )
        self._show(0xF7, 0, raw_p, of_p)
        self._show(0xFA, 1, raw_t, of_t)
        shown = min(max(int(raw_h + 0.5), 0), 0xFFFF) if of_h else 0x8000
        r[0xFD], r[0xFE] = shown >> 8, shown & 0xFF

    def _show(self, at: int, place: int, value: float, sampling: int) -> None:
        """Put 20 bits into three registers: filtered, or with 16 bits and one more for each doubling of samples."""
        shown = 0x80000
        if sampling:
            strength = self._registers[0xF5] >> 2 & 7
            if strength:
                before = self._memory[place]
                if before is not None:
                    value = before + (value - before) / (1 << min(strength, 4))
                self._memory[place] = value
                sampling = 5
            shown = min(max(int(value + (16 >> sampling or 0.5)), 0), _MOST) >> 5 - sampling << 5 - sampling
        r = self._registers
        r[at], r[at + 1], r[at + 2] = shown >> 12, shown >> 4 & 0xFF, shown << 4 & 0xF0


def _samples(setting: int) -> int:
    """How many samples an oversampling setting of three bits takes (5.4.3)."""
    setting &= 7
    return min(1 << setting >> 1, 16) if setting else 0
