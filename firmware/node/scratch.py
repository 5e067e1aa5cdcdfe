# What survives a reset, but not a loss of power: small records in the memory of the real-time clock.
#
# The memory is written as a whole, and a reset may come in the middle of that. So each record has two copies, written
# in turn: the one that was not being written is the same before, while and after, and is found by its count and CRC.

import struct
from binascii import crc32

from machine import RTC
from micropython import const

# (offset of the first copy, most bytes in it)
CLOCK = (0, 24)
REGISTER = (64, 32)
CRUMB = (144, 96)
COMMAND = (352, 40)
SLEEP = (448, 64)
TRACE = (592, 400)

_HEAD = const("<HHI")  # count, length, CRC of count, length and data
_HEAD_SIZE = const(8)
_SIZE = const(1408)  # RTC().memory() takes 2048


class Scratch:
    """`survived` tells whether anything of an earlier boot was found: power was never gone for long since then."""

    def __init__(self, rtc=None):
        self._rtc = rtc or RTC()
        self._memory = bytearray(_SIZE)
        # Of any length: a firmware of another layout may have written it, and each record proves itself.
        kept = self._rtc.memory()[:_SIZE]
        self._memory[: len(kept)] = kept
        self.survived = any(self._newest(slot) for slot in (CLOCK, REGISTER, CRUMB, COMMAND, SLEEP, TRACE))

    def read(self, slot):
        """The record last written whole, or None."""
        newest = self._newest(slot)
        return newest[2] if newest else None

    def write(self, slot, data):
        """Raises ValueError when the record is longer than its slot."""
        if len(data) > slot[1]:
            raise ValueError("%d bytes for a slot of %d" % (len(data), slot[1]))
        newest = self._newest(slot)
        copy, count = (1 - newest[0], newest[1] + 1 & 0xFFFF) if newest else (0, 0)
        at = _at(slot, copy)
        struct.pack_into("<HH", self._memory, at, count, len(data))
        self._memory[at + _HEAD_SIZE : at + _HEAD_SIZE + len(data)] = data
        struct.pack_into("<I", self._memory, at + 4, _crc(self._memory, at, len(data)))
        self._rtc.memory(self._memory)

    def _newest(self, slot):
        """(copy, count, data) of the newer of the whole copies, or None."""
        found = None
        for copy in (0, 1):
            at = _at(slot, copy)
            count, length, crc = struct.unpack_from(_HEAD, self._memory, at)
            if length > slot[1] or crc != _crc(self._memory, at, length):
                continue
            # Counts wrap; of two that follow each other the later is the one that is one ahead.
            if found is None or count == found[1] + 1 & 0xFFFF:
                found = copy, count, bytes(self._memory[at + _HEAD_SIZE : at + _HEAD_SIZE + length])
        return found


def _at(slot, copy):
    return slot[0] + copy * (_HEAD_SIZE + slot[1])


def _crc(memory, at, length):
    # Not of zeros alone: memory that is all zero would be a valid empty record.
    return crc32(memory[at : at + 4], crc32(memory[at + _HEAD_SIZE : at + _HEAD_SIZE + length], 0x474E474C))
