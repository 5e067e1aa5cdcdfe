"""Sensirion SGP41 VOC and NOx sensor on I2C (datasheet SGP41 version 1.0, chapters 3 and 4)."""

import math

from .noise import Noise
from .sensirion import crc8, framed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_POWER_UP_MS = 1  # 0.6 ms
_MOST_CONDITIONING_MS = 10_000
_WARM_UP_MS = 45_000  # until a hot plate that was cold no longer drifts

# command -> (execution time in ms, words of arguments)
_COMMANDS = {
    0x2612: (50, 2),  # sgp41_execute_conditioning
    0x2619: (50, 2),  # sgp41_measure_raw_signals
    0x280E: (320, 0),  # sgp41_execute_self_test
    0x3615: (1, 0),  # sgp4x_turn_heater_off
    0x3682: (1, 0),  # sgp4x_get_serial_number
}
_VOC_CLEAN, _NOX_CLEAN = 30_000, 15_000  # ticks of this chip in clean air


class SGP41:
    """`environment()` gives (VOC, NOx) as multiples of clean air's; `clock_ms()` any running milliseconds.

    `compensation` is the last (humidity, temperature) it was told, in ticks; `damaged` whether it was ever conditioned
    for longer than it stands. Faults: `drift` is a factor on both gases, `stuck` repeats the last reading, `dead`
    acknowledges nothing, `bad_crc` spoils every check byte, `broken` are the pixels that fail the self-test (bit 0 VOC,
    bit 1 NOx).
    """

    def __init__(
        self,
        clock_ms: "Callable[[], int]",
        environment: "Callable[[], tuple[float, float]]",
        serial: int = 0x0000_0531_9A4C,
        seed: int = 1,
    ) -> None:
        self.address = 0x59
        self.drift = 1.0
        self.stuck = self.dead = self.bad_crc = self.damaged = False
        self.broken = 0
        self.compensation = (0x8000, 0x6666)
        self._clock_ms = clock_ms
        self._environment = environment
        self._noise = Noise(seed)
        self._serial = serial
        self._busy_until = clock_ms() + _POWER_UP_MS
        self._reply: tuple[int, ...] = ()  # words
        self._heated_since: int | None = None
        self._conditioned_since: int | None = None
        self._words: tuple[int, ...] = ()

    def write(self, data: bytes) -> None:
        """A command with its words and their check bytes. OSError(19) when it is not acknowledged."""
        now = self._clock_ms()
        code = data[0] << 8 | data[1] if len(data) >= 2 else -1
        duration, words = _COMMANDS.get(code, (0, -1))
        if self.dead or now < self._busy_until or (data and len(data) != 2 + 3 * words):
            raise OSError(19)
        if not data:
            return  # its address alone is acknowledged
        for at in range(2, len(data), 3):
            if crc8(data[at : at + 2]) != data[at + 2]:
                raise OSError(19)
        if words:
            self.compensation = data[2] << 8 | data[3], data[5] << 8 | data[6]
        self._watch_conditioning(code, now)
        self._reply = self._run(code, now)
        self._busy_until = now + duration

    def read(self, n: int) -> bytes:
        """The answer to the last command, each word with its check byte. OSError(19) when there is none (yet)."""
        if self.dead or self._clock_ms() < self._busy_until or not self._reply:
            raise OSError(19)
        words, self._reply = self._reply, ()
        return framed(words, n, self.bad_crc)

    def _watch_conditioning(self, code: int, now: int) -> None:
        since = self._conditioned_since
        if since is not None and now - since > _MOST_CONDITIONING_MS:
            self.damaged = True
        if code != 0x2612:
            self._conditioned_since = None
        elif since is None:
            self._conditioned_since = now

    def _run(self, code: int, now: int) -> "tuple[int, ...]":
        """Do a command; the words it answers with."""
        if code == 0x3682:
            return self._serial >> 32, self._serial >> 16 & 0xFFFF, self._serial & 0xFFFF
        if code == 0x280E:
            return (0xD400 | self.broken,)
        if code == 0x3615:
            self._heated_since = None
            return ()
        if self._heated_since is None:
            self._heated_since = now
        found = self._measure(now - self._heated_since)
        return found[:1] if code == 0x2612 else found

    def _measure(self, heated_ms: int) -> "tuple[int, ...]":
        if not (self.stuck and self._words):
            voc, nox = self._environment()
            cold = max(0, _WARM_UP_MS - heated_ms) / _WARM_UP_MS
            around = self._noise.around
            # The logarithm of the resistance: gases that are oxidised lower it, those that oxidise raise it.
            self._words = (
                _ticks(around(_VOC_CLEAN - 2_000 * math.log(voc * self.drift) - 4_000 * cold, 12)),
                _ticks(around(_NOX_CLEAN + 1_500 * math.log(nox * self.drift) + 2_000 * cold, 6)),
            )
        return self._words


def _ticks(value: float) -> int:
    return min(max(int(value + 0.5), 0), 0xFFFF)
