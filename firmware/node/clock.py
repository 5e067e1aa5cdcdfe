# The node's clock: Unix time in integers only (a float32 is off by minutes), and whether it can be believed.

import asyncio
import socket
import struct
import time

from machine import RTC

from node.mqtt import wire_ms

_EPOCH = 946_684_800 if time.gmtime(0)[0] == 2000 else 0
_NTP_EPOCH = 2_208_988_800  # 1900 to 1970
_BELIEVABLE = 1_735_689_600  # 2025-01-01: no board with this firmware is older

_NTP_WAIT_MS = 3_000
_RESYNC_S = 6 * 3600  # a crystal of 20 ppm is off by less than half a second after six hours
_RETRY_S = 30


class Clock:
    """Time for windows and packs. `error_s` is the last correction in whole seconds, None before the first."""

    def __init__(self, server=None, log=print):
        self._server = server
        self._log = log
        self._ticks = time.ticks_ms()
        self._uptime_ms = 0
        self.error_s = None
        self.on_step = lambda: None

    def uptime_ms(self):
        """Milliseconds since boot, over the wrap of the ticks. Must be called at least every six days."""
        now = time.ticks_ms()
        self._uptime_ms += time.ticks_diff(now, self._ticks)
        self._ticks = now
        return self._uptime_ms

    def unix_ms(self):
        return time.time_ns() // 1_000_000 + _EPOCH * 1000

    def known(self):
        return self.unix_ms() >= _BELIEVABLE * 1000

    def stamp(self, seconds):
        """Unix seconds of what was `-seconds` after boot, before the clock was known."""
        return (self.unix_ms() - self.uptime_ms()) // 1000 - seconds

    def step(self, offset_ms):
        """Correct the clock by `offset_ms` milliseconds."""
        ms = self.unix_ms() + offset_ms
        y, mo, d, h, mi, s, wd = time.gmtime(ms // 1000 - _EPOCH)[:7]
        RTC().datetime((y, mo, d, wd, h, mi, s, ms % 1000 * 1000))
        self.on_step()

    async def run(self):
        """Keep the clock right by NTP, if a server is configured."""
        while True:
            wait = _RESYNC_S
            if self._server:
                try:
                    offset = await sntp_offset_ms(self._server, self.unix_ms)
                    self.error_s = (offset + 500) // 1000 if self.known() else 0
                    if abs(offset) > 100:
                        self.step(offset)
                        self._log("clock", "corrected by %d ms" % offset)
                except (OSError, ValueError) as error:
                    self._log("clock", "no time from %s: %s" % (self._server, error))
                    wait = _RETRY_S
            await asyncio.sleep_ms(wait * 1000)


async def sntp_offset_ms(server, unix_ms, port=123):
    """Ask an SNTP server (RFC 5905 §14): milliseconds by which our clock is behind, the way there and back halved.

    Raises OSError when there is no answer, ValueError when the answer cannot be used.
    """
    host, _, own_port = server.partition(":")
    address = socket.getaddrinfo(host, int(own_port or port))[0][-1]
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        question = bytearray(48)
        question[0] = 0x23  # version 4, client
        sent = unix_ms()
        # The server repeats our transmit time as its origin time: an answer to something else is not taken.
        struct.pack_into(">II", question, 40, sent // 1000 % (1 << 32), sent % 1000)
        sock.sendto(question, address)
        answer = await _receive(sock, wire_ms(_NTP_WAIT_MS))
        received = unix_ms()
    finally:
        sock.close()
    if len(answer) < 48 or answer[0] & 7 != 4 or answer[24:32] != question[40:48]:
        raise ValueError("not an answer to our question")
    if not 1 <= answer[1] <= 15 or answer[0] >> 6 == 3:
        raise ValueError("the server has no time itself")
    there, back = _ntp_ms(answer, 32), _ntp_ms(answer, 40)
    return ((there - sent) + (back - received)) // 2


def _ntp_ms(packet, at):
    seconds, fraction = struct.unpack_from(">II", packet, at)
    # The 32 bits begin anew in 2036; counted from 1970 they last to 2106.
    return (seconds - _NTP_EPOCH) % (1 << 32) * 1000 + (fraction * 1000 >> 32)


async def _receive(sock, limit_ms):
    waited = 0
    while waited < limit_ms:
        try:
            return sock.recv(48)
        except OSError as error:
            if error.errno not in (11, 35):  # EAGAIN
                raise
        step = max(20, limit_ms // 100)
        await asyncio.sleep_ms(step)
        waited += step
    raise OSError(110, "no answer")
