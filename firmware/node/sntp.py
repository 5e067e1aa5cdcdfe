# The time from a server, for nodes that are configured to ask one.

import asyncio
import socket
import struct

from micropython import const

from node.clock import rtc_ms
from node.net import wire_ms

_EPOCH = 2_208_988_800  # 1900 to 1970
_WAIT_MS = 3_000
_WAY_MS = 1_000  # longest way there and back: what the clock is set to may be wrong by half of it
_RESYNC_S = const(6 * 3600)  # a crystal of 20 ppm is off by less than half a second after six hours
_RETRY_S = const(30)


async def keep(clock, server, log):
    """Set the clock right, again and again."""
    while True:
        wait = _RESYNC_S
        try:
            clock.correct(await offset_ms(server, rtc_ms))
        except (OSError, ValueError) as error:
            log("clock", "no time from %s: %s" % (server, error))
            wait = _RETRY_S
        await asyncio.sleep_ms(wait * 1000)


async def offset_ms(server, unix_ms, port=123):
    """Ask an SNTP server (RFC 5905 §14): milliseconds by which our clock is behind, the way there and back halved.

    Raises OSError when there is no answer, ValueError when the answer cannot be used, or took too long to come.
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
        answer = await _receive(sock, wire_ms(_WAIT_MS))
        received = unix_ms()
    finally:
        sock.close()
    if len(answer) < 48 or answer[0] & 7 != 4 or answer[24:32] != question[40:48]:
        raise ValueError("not an answer to our question")
    if not 0 <= received - sent <= wire_ms(_WAY_MS):  # or the clock was set meanwhile
        raise ValueError("the answer took %d ms" % (received - sent))
    if not 1 <= answer[1] <= 15 or answer[0] >> 6 == 3:
        raise ValueError("the server has no time itself")
    there, back = _unix_ms(answer, 32), _unix_ms(answer, 40)
    return ((there - sent) + (back - received)) // 2


def _unix_ms(packet, at):
    seconds, fraction = struct.unpack_from(">II", packet, at)
    # The 32 bits begin anew in 2036; counted from 1970 they last to 2106.
    return (seconds - _EPOCH) % (1 << 32) * 1000 + (fraction * 1000 >> 32)


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
