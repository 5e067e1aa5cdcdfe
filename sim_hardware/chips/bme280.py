"""Bosch BME280 on I2C (datasheet BST-BME280-DS002 revision 1.6): registers, and raw values that the given
calibration turns back into the surroundings."""

from .noise import Noise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# T1-T3, P1-P9: the example of the BMP280's datasheet (3.12); H1-H6: of an ordinary chip.
CALIBRATION = (27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000, 75, 362, 0, 334, 50, 30)

_START_UP_MS = 2
_STANDBY_MS = (1, 63, 125, 250, 500, 1000, 10, 20)  # t_sb, 5.4.6


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


def invert(formula: "Callable[[int], float]", wanted: float, top: int) -> int:
    """The raw value in 0..top for which a monotonic, nearly straight `formula` comes closest to `wanted`."""
    low, high = 0, top
    at_low, at_high = formula(low), formula(high)
    for _ in range(12):
        if high - low <= 1 or at_low == at_high:
            break
        guess = low + int((wanted - at_low) * (high - low) / (at_high - at_low) + 0.5)
        guess = min(max(guess, low + 1), high - 1)
        value = formula(guess)
        # Two steps that bracket the answer closely are better than one that creeps up on it from a side.
        if (value < wanted) == (at_low < at_high):
            low, at_low = guess, value
            near = min(guess + 4, high)
            if near < high and (formula(near) < wanted) != (at_low < at_high):
                high, at_high = near, formula(near)
        else:
            high, at_high = guess, value
            near = max(guess - 4, low)
            if near > low and (formula(near) < wanted) == (at_low < at_high):
                low, at_low = near, formula(near)
    return low if abs(at_low - wanted) < abs(at_high - wanted) else high


class BME280:
    """`environment()` gives (temperature Cel, pressure Pa, humidity %RH); `clock_ms()` any running milliseconds.

    Faults: `stuck` repeats the last reading, `dead` acknowledges nothing. The chip has no check bytes.
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
        self.stuck = self.dead = False
        self._clock_ms = clock_ms
        self._environment = environment
        self._calibration = calibration
        self._noise = Noise(seed)
        self._registers = bytearray(256)
        self._pointer = 0
        self._reset()

    def _reset(self) -> None:
        r = self._registers
        for i in range(256):
            r[i] = 0
        r[0xD0] = 0x60
        for i, value in enumerate(self._calibration[:12]):
            r[0x88 + 2 * i], r[0x89 + 2 * i] = value & 0xFF, value >> 8 & 0xFF
        h1, h2, h3, h4, h5, h6 = self._calibration[12:]
        r[0xA1] = h1
        r[0xE1], r[0xE2], r[0xE3] = h2 & 0xFF, h2 >> 8 & 0xFF, h3
        r[0xE4], r[0xE5], r[0xE6] = h4 >> 4 & 0xFF, h4 & 0xF | (h5 & 0xF) << 4, h5 >> 4 & 0xFF
        r[0xE7] = h6 & 0xFF
        r[0xF7], r[0xFA], r[0xFD] = 0x80, 0x80, 0x80
        self._humidity_sampling = 0  # what ctrl_hum was at the last write of ctrl_meas (5.4.3)
        self._ready_at = self._clock_ms() + _START_UP_MS
        self._measuring = False

    def write(self, data: bytes) -> None:
        """A register's number, then pairs of value and next number (6.2.1). OSError(19) when not acknowledged."""
        if self.dead:
            raise OSError(19)
        self._pass_time()
        for i in range(0, len(data) - 1, 2):
            self._set(data[i], data[i + 1])
        if len(data) % 2:
            self._pointer = data[-1]

    def read(self, n: int) -> bytes:
        """`n` registers from where the last write points."""
        if self.dead:
            raise OSError(19)
        self._pass_time()
        start = self._pointer
        self._pointer = (start + n) & 0xFF
        return bytes(self._registers[start : start + n])

    def _set(self, register: int, value: int) -> None:
        if register == 0xE0:
            if value == 0xB6:
                self._reset()
        elif register == 0xF2:
            self._registers[0xF2] = value & 7
        elif register == 0xF5:
            self._registers[0xF5] = value
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
        for samples in (_samples(control >> 2), _samples(self._humidity_sampling)):
            us += (2300 * samples + 575) if samples else 0
        return us // 1000 + 1

    def _pass_time(self) -> None:
        now = self._clock_ms()
        done = now >= self._ready_at
        if done and self._measuring:
            self._measure()
            self._measuring = self._registers[0xF4] & 3 == 3  # normal mode goes on, forced mode falls asleep
            if self._measuring:
                self._ready_at = now + self._duration_ms() + _STANDBY_MS[self._registers[0xF5] >> 5]
            else:
                self._registers[0xF4] &= 0xFC
        forced = self._measuring and self._registers[0xF4] & 3 != 3
        self._registers[0xF3] = (8 if forced else 0) | (0 if done or self._measuring else 1)

    def _measure(self) -> None:
        if self.stuck and self._registers[0xFB] | self._registers[0xF8]:
            return
        cel, pa, rh = self._environment()
        around, c, r = self._noise.around, self._calibration, self._registers
        raw_t = invert(lambda raw: temperature(c, raw)[0], around(cel, 0.03), 0xFFFFF)
        fine = temperature(c, raw_t)[1]
        raw_p = invert(lambda raw: pressure(c, raw, fine), around(pa, 4), 0xFFFFF)
        raw_h = invert(lambda raw: humidity(c, raw, fine), around(rh, 0.2), 0xFFFF)
        control = r[0xF4]
        for at, raw, sampling in ((0xF7, raw_p, control >> 2), (0xFA, raw_t, control >> 5)):
            shown = raw if sampling & 7 else 0x80000
            r[at], r[at + 1], r[at + 2] = shown >> 12, shown >> 4 & 0xFF, shown << 4 & 0xF0
        raw_h = raw_h if self._humidity_sampling else 0x8000
        r[0xFD], r[0xFE] = raw_h >> 8, raw_h & 0xFF


def _samples(setting: int) -> int:
    """How many samples an oversampling setting of three bits takes (5.4.3)."""
    setting &= 7
    return min(1 << setting >> 1, 16) if setting else 0
