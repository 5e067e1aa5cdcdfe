"""Plantower PMS5003 particle counter on a UART at 9600 baud (data manual V2.3, technical index, appendix I and II)."""

from math import exp
from struct import pack, pack_into

from .noise import Noise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_WARM_UP_MS = 30_000
_ACTIVE_MS = 1_000
_ANSWER_MS = 50
_RESPONSE_MS = 4_300  # until 63 % of a step: the manual's "total response time" of 10 s taken for 90 %
_VERSION = b"\x97\x00"  # and no error
_OLD = int(exp(-_ACTIVE_MS / _RESPONSE_MS) * 1024)  # what is left of a difference after a frame's time
_MOST = 0xFFFF  # of a field. The manual calls 500 ug/m3 the effective range, and names no end but "at least 1000"


def _closed(body: bytes) -> bytes:
    """`body` with its check code: the sum of all bytes."""
    return body + pack(">H", sum(body) & 0xFFFF)


class PMS5003:
    """The chip begins in active mode, switched on.

    `environment()` gives (PM1.0, PM2.5, PM10) in ug/m3 as the atmosphere has it; `clock_ms()` any running milliseconds.
    Faults: `drift` is a factor on what it measures, as of a laser that fades; `stuck` repeats the last reading, `dead`
    says nothing, `bad_crc` spoils the check code.
    """

    def __init__(
        self, clock_ms: "Callable[[], int]", environment: "Callable[[], tuple[float, float, float]]", seed: int = 1
    ) -> None:
        self.drift = 1.0
        self.stuck = self.dead = self.bad_crc = False
        self._clock_ms = clock_ms
        self._environment = environment
        self._noise = Noise(seed)
        self._received = b""
        self._awake_since = clock_ms()
        self._awake = self._active = True
        self._next = self._awake_since + _ACTIVE_MS
        self._answer = b""  # to a command; sent before anything else
        self._answer_due = 0
        self._asked: int | None = None  # when a frame that was asked for is due
        self._frame = bytearray(b"BM\x00\x1c" + bytes(24) + _VERSION + bytes(2))
        # What has been drawn into the chip: PM1.0, PM2.5, PM10 in ng/m3 at a time.
        self._pm1 = self._pm2_5 = self._pm10 = 0
        self._drawn: int | None = None

    def receive(self, data: bytes) -> None:
        """Bytes from the host. A command is `42 4D`, one of E1 E2 E4, two bytes, and its check code."""
        self._received += data
        while len(self._received) >= 7:
            frame = self._received[:7]
            if frame[:2] == b"BM" and _closed(frame[:5]) == frame:
                self._received = self._received[7:]
                if not self.dead:
                    self._obey(frame[2], frame[4])
            else:
                self._received = self._received[1:]

    def _obey(self, command: int, data: int) -> None:
        now = self._clock_ms()
        if command == 0xE4:
            if self._awake and not data:
                self._say(command, data, now)
            elif data and not self._awake:
                self._awake_since = now
                self._drawn = None
            self._awake = bool(data)
            self._asked = None
        elif not self._awake:
            return
        elif command == 0xE1:
            self._active = bool(data)
            self._say(command, data, now)
        elif command == 0xE2 and not self._active:
            self._asked = now + _ANSWER_MS
        self._next = now + _ACTIVE_MS

    def _say(self, command: int, data: int, now: int) -> None:
        self._answer = _closed(bytes((0x42, 0x4D, 0, 4, command, data)))
        self._answer_due = now + _ANSWER_MS

    def due_ms(self) -> "int | None":
        """When `transmit` has bytes next, or None."""
        if self.dead:
            return None
        if self._answer:
            return self._answer_due
        if not self._awake:
            return None
        return self._next if self._active else self._asked

    def transmit(self, now: int) -> bytes:
        """The bytes that are due at `now`; empty when none are."""
        due = self.due_ms()
        if due is None or due > now:
            return b""
        if self._answer:
            answer, self._answer = self._answer, b""
            return answer
        self._asked = None
        # A host that was away for long has missed frames: they are not sent late.
        self._next += (now - self._next) // _ACTIVE_MS * _ACTIVE_MS + _ACTIVE_MS
        if not (self.stuck and self._frame[16] | self._frame[17]):
            self._measure(now)
        frame = bytes(self._frame)
        return frame[:-1] + bytes((frame[-1] ^ 1,)) if self.bad_crc else frame

    def _measure(self, now: int) -> None:
        """Fill the frame: PM as by CF=1, PM as in the atmosphere, counts above 0.3, 0.5, 1, 2.5, 5 and 10 um.

        It reckons in whole ng/m3: it does so every second, and each float would take a piece of the board's heap.
        """
        air = self._environment()
        a, b, c = int(air[0] * 1000), int(air[1] * 1000), int(air[2] * 1000)
        if self._drawn is not None:
            gone = now - self._drawn
            old = _OLD if gone == _ACTIVE_MS else int(exp(-gone / _RESPONSE_MS) * 1024)
            a += (self._pm1 - a) * old >> 10
            b += (self._pm2_5 - b) * old >> 10
            c += (self._pm10 - c) * old >> 10
        self._drawn, self._pm1, self._pm2_5, self._pm10 = now, a, b, c
        about = self._noise.about
        a, b, c = about(a, 1200 + a // 50), about(b, 1200 + b // 50), about(c, 1200 + c // 50)
        if self.drift != 1.0:
            a, b, c = int(a * self.drift), int(b * self.drift), int(c * self.drift)
        warm = now - self._awake_since
        if warm < _WARM_UP_MS:  # the fan has to draw its first air through
            a, b, c = a * warm // _WARM_UP_MS, b * warm // _WARM_UP_MS, c * warm // _WARM_UP_MS
        pm1 = max((a + 500) // 1000, 0)
        pm2_5 = max((b + 500) // 1000, pm1)
        pm10 = max((c + 500) // 1000, pm2_5)
        # Counts in 0.1 l: a few hundred per ug/m3, each size roughly a third of the one below. A particle counts in
        # every size that it exceeds.
        coarse = pm10 - pm2_5
        large = pm2_5 // 2 + coarse
        least = 60 + self._noise.below(40) + 180 * pm2_5 + large
        # Units agree with the atmosphere's figure up to about 30 ug/m3, and show half as much again far above.
        s1, s2_5, s10 = pm1, pm2_5, pm10
        if pm10 > 30:
            s1 += max(0, pm1 - 30) // 2
            s2_5 += max(0, pm2_5 - 30) // 2
            s10 += (pm10 - 30) // 2
        n0_5, n1 = 20 + 52 * pm2_5 + large, 5 + 9 * pm2_5 + large
        if least > _MOST or s10 > _MOST:
            fields = [s1, s2_5, s10, pm1, pm2_5, pm10, least, n0_5, n1, large, coarse]
            s1, s2_5, s10, pm1, pm2_5, pm10, least, n0_5, n1, large, coarse = [min(each, _MOST) for each in fields]
        frame = self._frame
        pack_into(">12H", frame, 4, s1, s2_5, s10, pm1, pm2_5, pm10, least, n0_5, n1, large, coarse, coarse // 2)
        frame[30] = frame[31] = 0
        pack_into(">H", frame, 30, sum(frame))
