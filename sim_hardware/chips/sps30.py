"""Sensirion SPS30 particle counter on a UART at 115200 baud (datasheet SPS30 version 1.0, chapters 1 and 5)."""

import struct

from .noise import Noise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_START_UP_MS = 8_000  # until the fan draws a steady stream of air
_PERIOD_MS = 1_000
_CLEANING_MS = 10_000
_ANSWER_MS = 5  # of the 20 it may take
_LISTENING_MS = 100  # the interface of a sleeping chip stays awake for so long after any byte

_STUFFED = ((b"\x7d", b"\x7d\x5d"), (b"\x7e", b"\x7d\x5e"), (b"\x11", b"\x7d\x31"), (b"\x13", b"\x7d\x33"))
_PLAIN = {second[1]: first for first, second in _STUFFED}
_HOURS = 8_766  # of a year

_WRONG_LENGTH, _UNKNOWN, _WRONG_PARAMETER, _NOT_NOW, _FAULT = 0x01, 0x02, 0x04, 0x43, 0x80
_LENGTHS = {
    0x00: (2,),  # start measurement
    0x01: (0,),  # stop measurement
    0x03: (0,),  # read measured values
    0x10: (0,),  # sleep
    0x11: (0,),  # wake up
    0x56: (0,),  # start fan cleaning
    0x80: (1, 5),  # read or write the auto cleaning interval
    0xD0: (1,),  # device information
    0xD1: (0,),  # read version
    0xD2: (1,),  # read device status register, and clear it
    0xD3: (0,),  # device reset
}
_INFORMATION = {0x00: b"00080000\x00", 0x03: b"4E1AD1BB796C64C5\x00"}
_FORMATS = (0x03, 0x05)  # floats, whole numbers


def stuffed(body: bytes) -> bytes:
    """A whole frame: `body`, which begins with the address, its check code, bytes stuffed, between two 7E (5.1)."""
    inside = body + bytes((~sum(body) & 0xFF,))
    for byte, pair in _STUFFED:  # 7D first, for it is in the others' pairs
        inside = inside.replace(byte, pair)
    return b"\x7e" + inside + b"\x7e"


def plain(inside: bytes) -> bytes:
    """What stood between two 7E, stuffing undone and check code taken off; empty when it is spoilt."""
    out, *parts = inside.split(b"\x7d")
    for part in parts:
        if not part or part[0] not in _PLAIN:
            return b""
        out += _PLAIN[part[0]] + part[1:]
    return out[:-1] if len(out) >= 4 and sum(out) & 0xFF == 0xFF else b""


class SPS30:
    """The chip begins idle.

    `environment()` gives (PM1.0, PM2.5, PM10) in ug/m3; `clock_ms()` any running milliseconds. `age_h` is how long it
    has been in use: 1.25 ug/m3, above 100 1.25 %, are the most it is off after a year (table 1).
    Faults: `drift` is a factor on what it measures, `stuck` repeats the last reading, `dead` says nothing, `bad_crc`
    spoils the check code, `broken` are bits that the status register shows from the next measurement on (4 fan, 5
    laser, 21 fan speed), and keeps until it is cleared.
    """

    def __init__(
        self, clock_ms: "Callable[[], int]", environment: "Callable[[], tuple[float, float, float]]", seed: int = 1
    ) -> None:
        self.drift = 1.0
        self.stuck = self.dead = self.bad_crc = False
        self.broken = 0
        self.age_h = 0.0
        self._clock_ms = clock_ms
        self._environment = environment
        self._noise = Noise(seed)
        self._ageing = self._noise.around(0, 0.0125 / _HOURS)
        self._received = b""
        self._answers: list[tuple[int, bytes]] = []  # (due, frame)
        self._interval_s = 604_800
        self._listening_until = 0
        self._values: tuple[float, ...] = ()
        self._reset()

    def _reset(self) -> None:
        self._asleep = False
        self._format = 0  # 0 when idle
        self._started = 0
        self._taken = 0  # measurements since the start that were read, or are too late to be
        self._cleaning_until = 0
        self._status = 0

    def receive(self, data: bytes) -> None:
        """Bytes from the host."""
        if self.dead or not data:
            return
        now = self._clock_ms()
        if self._asleep and now > self._listening_until:
            data = b"\xff" + data[1:]  # the first one wakes the interface, and is not heard
            self._listening_until = now + _LISTENING_MS
        *frames, self._received = (self._received + data).split(b"\x7e")
        self._received = self._received[-64:]
        for inside in frames:
            body = plain(inside)
            if len(body) >= 3 and body[0] == 0 and body[2] == len(body) - 3:
                self._obey(body[1], body[3:], now)

    def due_ms(self) -> "int | None":
        """When `transmit` has bytes next, or None."""
        return self._answers[0][0] if self._answers and not self.dead else None

    def transmit(self, now: int) -> bytes:
        """The bytes that are due at `now`; empty when none are."""
        due = self.due_ms()
        return self._answers.pop(0)[1] if due is not None and due <= now else b""

    def _obey(self, command: int, data: bytes, now: int) -> None:
        if self._asleep and command != 0x11:
            return
        state, answer = self._run(command, data, now)
        if self._format and self.broken:
            self._status |= self.broken
        state |= _FAULT if self._status else 0
        frame = stuffed(bytes((0, command, state, len(answer))) + answer)
        if self.bad_crc:
            frame = frame[:-2] + bytes((frame[-2] ^ 0x40,)) + frame[-1:]
        self._answers.append((now + _ANSWER_MS, frame))

    def _run(self, command: int, data: bytes, now: int) -> "tuple[int, bytes]":
        """Do a command; (state, data of the answer)."""
        refused = self._refuse(command, data)
        if refused:
            return refused, b""
        if command == 0x00:
            self._format, self._started, self._taken = data[1], now, 0
        elif command == 0x01:
            self._format = 0
        elif command == 0x03:
            return 0, self._read(now)
        elif command in (0x10, 0x11):
            self._asleep = command == 0x10
            self._listening_until = 0
        elif command == 0x56:
            self._cleaning_until = now + _CLEANING_MS
        elif command == 0xD3:
            self._reset()
        else:
            return self._tell(command, data)
        return 0, b""

    def _refuse(self, command: int, data: bytes) -> int:
        """Why the command cannot be done; 0 if it can."""
        if command not in _LENGTHS:
            return _UNKNOWN
        if len(data) not in _LENGTHS[command]:
            return _WRONG_LENGTH
        # Some need the chip to measure, some to be idle, one to sleep.
        if (
            (command in (0x01, 0x03, 0x56) and not self._format)
            or (command in (0x00, 0x10) and self._format)
            or (command == 0x11 and not self._asleep)
        ):
            return _NOT_NOW
        wrong_start = command == 0x00 and (data[0] != 0x01 or data[1] not in _FORMATS)
        wrong_question = (command == 0xD0 and data[0] not in _INFORMATION) or (command == 0x80 and data[0])
        return _WRONG_PARAMETER if wrong_start or wrong_question else 0

    def _tell(self, command: int, data: bytes) -> "tuple[int, bytes]":
        """What the chip says of itself."""
        if command == 0xD1:
            return 0, bytes((2, 2, 0, 7, 0, 2, 0))  # firmware, reserved, hardware, reserved, SHDLC
        if command == 0xD0:
            return 0, _INFORMATION[data[0]]
        if command == 0xD2:
            status = self._status
            self._status = 0 if data[0] else status
            return 0, struct.pack(">IB", status, 0)
        if len(data) == 5:
            self._interval_s = struct.unpack(">I", data[1:])[0]
            return 0, b""
        return 0, struct.pack(">I", self._interval_s)

    def _read(self, now: int) -> bytes:
        done = (now - self._started) // _PERIOD_MS
        if done == self._taken or now < self._cleaning_until:
            return b""
        self._taken = done
        if not (self.stuck and self._values):
            self._values = self._measure(now)
        if self._format == 0x05:
            return struct.pack(">10H", *[min(int(value + 0.5), 0xFFFF) for value in self._values])
        return struct.pack(">10f", *self._values)

    def _measure(self, now: int) -> "tuple[float, ...]":
        """Masses up to 1, 2.5, 4, 10 um, counts up to 0.5, 1, 2.5, 4, 10 um in 1/cm3, typical size in um."""
        warm = min(now - self._started, _START_UP_MS) / _START_UP_MS
        gain, old, around = self.drift * warm, self._ageing * self.age_h, self._noise.around
        a, b, c = self._environment()
        pm1 = max(around(a, 0.3 + 0.02 * a) * gain + max(a, 100) * old, 0)
        pm2_5 = max(around(b, 0.3 + 0.02 * b) * gain + max(b, 100) * old, pm1)
        pm10 = max(around(c, 0.3 + 0.02 * c) * gain + max(c, 100) * old, pm2_5)
        pm4 = pm2_5 + (pm10 - pm2_5) * 0.4
        grown = pm4 - pm1
        n1, n4 = 6.6 * pm1, 6.7 * pm1 + 0.3 * grown
        size = 0.5 + 0.05 * self._noise.below(5)
        n2_5, n10 = n1 + 0.3 * (pm2_5 - pm1), n4 + 0.01 * (pm10 - pm4)
        return pm1, pm2_5, pm4, pm10, 5.6 * pm1, n1, n2_5, n4, n10, size
