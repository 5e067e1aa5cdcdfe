"""Sensirion SPS30 with its SEL pin to ground: the same chip on I2C (datasheet version 1.0, chapter 6).

The firmware uses its UART; no board loads this.
"""

from .sensirion import crc8, framed
from .sps30 import SPS30

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_AWAKE_MS = 100  # for so long the interface of a sleeping chip listens after a start condition (6.3.6)

# pointer -> (execution time in ms, the UART's command, its data; None for those of the host)
_COMMANDS: "dict[int, tuple[int, int, bytes | None]]" = {
    0x0010: (20, 0x00, None),  # start measurement
    0x0104: (20, 0x01, b""),  # stop measurement
    0x1001: (5, 0x10, b""),  # sleep
    0x1103: (5, 0x11, b""),  # wake-up
    0x5607: (5, 0x56, b""),  # start fan cleaning
    0x8004: (20, 0x80, None),  # set the auto cleaning interval
    0xD210: (5, 0xD2, b"\x01"),  # clear the device status register
    0xD304: (100, 0xD3, b""),  # reset
}
_READY, _VALUES = 0x0202, 0x0300
_TELLS = {  # pointer -> (the UART's command, its data, bytes of the answer)
    0x8004: (0x80, b"\x00", 4),
    0xD002: (0xD0, b"\x00", 8),
    0xD033: (0xD0, b"\x03", 32),
    0xD100: (0xD1, b"", 2),
    0xD206: (0xD2, b"\x00", 4),
}


class SPS30OnI2C(SPS30):
    """Pointers of two bytes are written, with words and their check bytes behind; words are read from there."""

    def __init__(
        self, clock_ms: "Callable[[], int]", environment: "Callable[[], tuple[float, float, float]]", seed: int = 1
    ) -> None:
        super().__init__(clock_ms, environment, seed)
        self.address = 0x69
        self._busy_until = 0
        self._pointer = 0
        self._latest = b""

    def write(self, data: bytes) -> None:
        """OSError(19) when it is not acknowledged: asleep, busy, unknown, garbled, or not allowed in this state."""
        now = self._clock_ms()
        if self.dead or now < self._busy_until:
            raise OSError(19)
        pointer = data[0] << 8 | data[1] if len(data) >= 2 else -1
        if self._asleep and (now > self._listening_until or pointer != 0x1103):
            self._listening_until = now + _AWAKE_MS
            raise OSError(19)
        if not data:
            return
        self._pointer = pointer
        words = b""
        for at in range(2, len(data), 3):
            word = data[at : at + 2]
            if len(data) < at + 3 or crc8(word) != data[at + 2]:
                raise OSError(19)
            words += word
        if pointer in _COMMANDS and (words or pointer not in _TELLS):
            duration, command, told = _COMMANDS[pointer]
            self._do(command, words if told is None else told, now)
            self._busy_until = now + duration
        elif words or (pointer not in _TELLS and pointer not in (_READY, _VALUES)):
            raise OSError(19)

    def read(self, n: int) -> bytes:
        """What the pointer shows, each word with its check byte. OSError(19) when there is nothing to show."""
        now = self._clock_ms()
        if self.dead or self._asleep or now < self._busy_until:
            raise OSError(19)
        if self._pointer == _READY:
            found = bytes((0, int(bool(self._format) and (now - self._started) // 1000 > self._taken)))
        elif self._pointer == _VALUES:
            if not self._format:
                raise OSError(19)
            found = self._latest = self._read(now) or self._latest
        elif self._pointer in _TELLS:
            command, told, size = _TELLS[self._pointer]
            found = self._do(command, told, now)[:size]
            found += bytes(size - len(found))
        else:
            raise OSError(19)
        words = tuple(found[at] << 8 | found[at + 1] for at in range(0, len(found), 2))
        return framed(words, n, self.bad_crc)

    def _do(self, command: int, data: bytes, now: int) -> bytes:
        """What the UART's command of the same meaning answers; it knows what is allowed when."""
        if command == 0x80 and data != b"\x00":
            data = b"\x00" + data
        elif command == 0x00:  # the word of the format has its own byte first, then one without a meaning
            data = b"\x01" + data[:1]
        state, answer = self._run(command, data, now)
        if state:
            raise OSError(19)
        if self._format:
            self._status |= self.broken
        return answer
