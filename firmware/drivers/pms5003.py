# Plantower PMS5003: particles, over a UART at 9600 baud (data manual V2.3, appendix I).

from micropython import const

BAUD = 9600
WARM_UP_MS = 30_000  # the fan needs so long to draw a steady stream of air
MOST = 10_000  # ug/m3; the manual says "at least 1000" and names no end, so it is the end of what air can hold

_FRAME = const(32)
_WAKE = const(b"\x42\x4d\xe4\x00\x01\x01\x74")
_ACTIVE = const(b"\x42\x4d\xe1\x00\x01\x01\x71")


class PMS5003:
    """In active mode the chip sends a frame about every second."""

    def __init__(self, uart):
        self._uart = uart
        self._frame = bytearray(_FRAME)
        self._have = 0
        self.garbled = 0  # frames that were thrown away

    def start(self):
        """Wake it, and have it send by itself, whatever a reset of the board has left it in."""
        self._uart.write(_WAKE)
        self._uart.write(_ACTIVE)

    def read(self):
        """The next whole frame that has arrived: (PM1, PM2.5, PM10) in ug/m3; None when there is none yet."""
        while True:
            part = self._uart.read(_FRAME - self._have)
            if not part:
                return None
            if len(part) == _FRAME:
                found = decode(part)  # as a rule
                if found:
                    return found
            self._frame[self._have : self._have + len(part)] = part
            self._have += len(part)
            self._find_head()
            if self._have == _FRAME:
                found = decode(self._frame)
                if found:
                    self._have = 0
                    return found
                self.garbled += 1
                self._again()
                self._find_head()

    def _find_head(self):
        """Drop what is not the beginning of a frame: the answer to a command, or chance."""
        frame = self._frame
        while self._have:
            head = frame[0] == 0x42 and (self._have < 2 or frame[1] == 0x4D)
            if head and (self._have < 4 or frame[2] << 8 | frame[3] == 28):
                return
            self._again()

    def _again(self):
        """Look for a frame's head in what was read: half of the next frame may be in it."""
        for at in range(1, self._have):
            rest = self._have - at
            if self._frame[at] == 0x42 and (rest == 1 or self._frame[at + 1] == 0x4D):
                self._frame[:rest] = bytes(self._frame[at : self._have])
                self._have = rest
                return
        self._have = 0


def decode(frame):
    """(PM1, PM2.5, PM10) in ug/m3 as in the atmosphere; None for a frame that cannot be believed.

    That is one with a wrong check code, an error code, or the chip's known nonsense: mass without particles.
    """
    if len(frame) != _FRAME or frame[0] != 0x42 or frame[1] != 0x4D or frame[2] << 8 | frame[3] != 28 or frame[29]:
        return None
    if sum(frame) - frame[30] - frame[31] != frame[30] << 8 | frame[31]:
        return None
    pm10 = frame[14] << 8 | frame[15]
    if pm10 and not frame[16] << 8 | frame[17]:
        return None
    return frame[10] << 8 | frame[11], frame[12] << 8 | frame[13], pm10
