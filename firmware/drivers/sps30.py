# Sensirion SPS30: particles, over a UART at 115200 baud in SHDLC frames (datasheet SPS30 version 1.0, chapter 5).

import struct

from micropython import const

BAUD = 115_200
WARM_UP_MS = 30_000  # the longest start-up time, in clean air (table 1)
ANSWER_MS = 40  # an answer takes 20 ms, and its 92 bytes, were all of them stuffed, 8 ms on the line
MOST = 1000  # ug/m3 (table 1)

# Requests, whole: 7E, address, command, length, data, check code, 7E. 11 is a byte that must be stuffed.
START = b"\x7e\x00\x00\x02\x01\x03\xf9\x7e"  # with values as floats
STOP = b"\x7e\x00\x01\x00\xfe\x7e"
READ = b"\x7e\x00\x03\x00\xfc\x7e"
SLEEP = b"\x7e\x00\x10\x00\xef\x7e"
WAKE = b"\xff\x7e\x00\x7d\x31\x00\xee\x7e"  # the first byte wakes the interface, which must be told within 100 ms
CLEAN = b"\x7e\x00\x56\x00\xa9\x7e"  # the fan, for 10 s; by itself it does so once a week
INFORMATION = b"\x7e\x00\xd0\x01\x03\x2b\x7e"  # the serial number
CLEAR = b"\x7e\x00\xd2\x01\x01\x2b\x7e"  # read the status register, and forget what it holds

_READ = const(0x03)
_VALUES = const(40)  # bytes: ten floats
_LONGEST = const(45)  # address, command, state, length, values, check code
_FRAME = const(0x7E)
_STUFFED = const(0x7D)
_FAULT = const(0x80)  # of fan or laser, as bit of the state
_EIO = const(5)


class SPS30:
    """It measures once a second, and says nothing that it is not asked for.

    Put it to work with the requests of `WAKE_UP`, ANSWER_MS apart, and `check`; then `ask`, and `read` ANSWER_MS later.
    """

    def __init__(self, uart):
        self._uart = uart
        self._part = bytearray(32)
        self._frame = bytearray(_LONGEST)
        self._have = 0
        self._escaped = False
        self.garbled = 0  # frames that were thrown away

    def send(self, request):
        """Send a request; answers to earlier ones are forgotten."""
        while self._uart.any():
            self._uart.readinto(self._part)
        self._have, self._escaped = 0, False
        self._uart.write(request)

    def check(self):
        """The data that answer the request last sent. Raises OSError when it was refused or not answered."""
        length = self._receive()
        if length is None:
            raise OSError(110, "no answer")
        return bytes(self._frame[4 : 4 + length])

    def ask(self):
        self.send(READ)

    def read(self):
        """(PM1, PM2.5, PM10) in ug/m3 once for each measurement; None when there is none, or none to be believed.

        Raises OSError when the chip refuses, as one that lost its power does, or reports a fault.
        """
        length = self._receive()
        if not length:
            return None  # no answer, or nothing new
        found = decode(self._frame, length) if self._frame[1] == _READ else None
        if found is None:
            self.garbled += 1
        return found

    def _receive(self):
        """The length of the data in the next whole frame that has arrived; None when there is none."""
        while self._uart.any():
            got = self._uart.readinto(self._part, 1)
            if not got:
                break
            byte = self._part[0]
            if byte == _FRAME:
                # A frame's end, or the next one's beginning: two that follow each other may share it.
                have, self._have, self._escaped = self._have, 0, False
                if have:
                    length = whole(self._frame, have)
                    if length is not None:
                        self._believe(self._frame[2])
                        return length
                    self.garbled += 1
            elif byte == _STUFFED:
                self._escaped = True
            else:
                if self._have < _LONGEST:
                    self._frame[self._have] = byte ^ 0x20 if self._escaped else byte
                self._have = min(self._have + 1, _LONGEST + 1)  # one too many marks a frame that is too long
                self._escaped = False
        return None

    def _believe(self, state):
        if state & _FAULT:
            raise OSError(_EIO, "the chip reports a fault of its fan or laser")
        if state:
            raise OSError(_EIO, "the chip refuses: state 0x%02x" % state)


WAKE_UP = (WAKE, STOP, START)  # whatever a reset of the board has left it in


def whole(frame, have):
    """The length of the data in an answer of `have` bytes, stuffing undone; None when it is spoilt (5.1)."""
    if not 5 <= have <= _LONGEST or frame[0] or frame[3] != have - 5:
        return None
    total = 0
    for i in range(have):
        total += frame[i]
    return frame[3] if total & 0xFF == 0xFF else None


def decode(frame, length):
    """(PM1, PM2.5, PM10) in ug/m3; None when it is of another form or a value cannot be, NaN among them.

    Floats, big-endian: PM1, PM2.5, PM4, PM10, then number concentrations and the typical size (5.3.3).
    """
    if length != _VALUES:
        return None
    pm1, pm2_5, _, pm10 = struct.unpack_from(">ffff", frame, 4)
    if 0 <= pm1 <= MOST and 0 <= pm2_5 <= MOST and 0 <= pm10 <= MOST:
        return pm1, pm2_5, pm10
    return None
