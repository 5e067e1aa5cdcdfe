"""Plantower PMS5003 particle counter on a UART at 9600 baud (data manual V2.3, appendix I and II)."""

from .noise import Noise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_WARM_UP_MS = 30_000
_ACTIVE_MS = 1_000
_ANSWER_MS = 50


def _closed(body: bytes) -> bytes:
    """`body` with its check code: the sum of all bytes."""
    total = sum(body)
    return body + bytes((total >> 8 & 0xFF, total & 0xFF))


class PMS5003:
    """The chip begins in active mode, switched on.

    `environment()` gives (PM1.0, PM2.5, PM10) in ug/m3 as the atmosphere has it; `clock_ms()` any running milliseconds.
    Faults: `stuck` repeats the last reading, `dead` says nothing, `bad_crc` spoils the check code.
    """

    def __init__(
        self, clock_ms: "Callable[[], int]", environment: "Callable[[], tuple[float, float, float]]", seed: int = 1
    ) -> None:
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
        self._fields: tuple[int, ...] = ()

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
        return self._frame(now)

    def _frame(self, now: int) -> bytes:
        if not (self.stuck and self._fields):
            self._fields = self._measure(now)
        body = bytearray(b"BM\x00\x1c")
        for field in self._fields:
            body += bytes((field >> 8 & 0xFF, field & 0xFF))
        body += b"\x97\x00"  # version, and no error
        frame = _closed(bytes(body))
        return frame[:-1] + bytes((frame[-1] ^ 1,)) if self.bad_crc else frame

    def _measure(self, now: int) -> "tuple[int, ...]":
        """Twelve numbers: PM as by CF=1, PM as in the atmosphere, counts above 0.3, 0.5, 1, 2.5, 5 and 10 um."""
        warm = min(now - self._awake_since, _WARM_UP_MS)  # the fan has to draw its first air through
        pm = []
        for value in self._environment():
            noisy = self._noise.around(value, 1.2 + 0.02 * value)
            pm.append(max(0, int(noisy + 0.5)) * warm // _WARM_UP_MS)
        pm[1] = max(pm[1], pm[0])
        pm[2] = max(pm[2], pm[1])
        # Units agree with the atmosphere's figure up to about 30 ug/m3, and show half as much again far above.
        standard = [value + max(0, value - 30) // 2 for value in pm]
        # Counts in 0.1 l: a few hundred per ug/m3, each size roughly a third of the one below. A particle counts in
        # every size that it exceeds.
        coarse = pm[2] - pm[1]
        large = pm[1] // 2 + coarse
        fine = [60 + 180 * pm[1] + self._noise.below(40), 20 + 52 * pm[1], 5 + 9 * pm[1]]
        counts = [count + large for count in fine] + [large, coarse, coarse // 2]
        return tuple(min(value, 0xFFFF) for value in standard + pm + counts)
