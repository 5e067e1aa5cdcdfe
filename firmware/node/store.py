# The outbox's part on flash: a log of packs in small files, which are only ever appended to and removed.
#
# littlefs shows an append either whole or not at all, and spreads the writing over the free blocks. Each record has a
# CRC of its own all the same: flash ages. After a boot the log goes on in its last file if the end of that is whole,
# else in a new one: never behind a doubtful end.
#
# A position is (number of the file, offset of a record in it); the end of the log is a position too.

import os
import struct
from binascii import crc32

from micropython import const

_HEAD = const("<HHIIIIB")  # magic, length of the body, boot, era, seq, time, stream
_HEAD_SIZE = const(21)
_CRC_SIZE = const(4)
_MAGIC = const(0x4750)
_FILE_MAX = 8_192  # two blocks of littlefs: a file takes whole ones
_CLOCK = const(255)  # not a stream but what was learnt of an era's clock; `seq` is its offset


class Store:
    """At most `max_bytes` of flash. A record is (boot, era, seq, time, stream, body); see `Outbox` for its fields.

    `eras` has {era: seconds to add to its times}, as far as `learn` was told. What writes raises OSError when the flash
    does not take it. What cannot be read is passed over, and no longer among the `packs`.
    """

    def __init__(self, folder="outbox", max_bytes=524_288):
        self._folder = folder
        self._max_files = max(2, max_bytes // _FILE_MAX)
        self.eras = {}
        self.earliest = {}  # the least time of each era's packs
        self.damaged = 0  # records and files that could not be read
        self.packs = 0
        try:
            os.mkdir(folder)
        except OSError:
            pass  # it is there
        self._numbers = sorted([int(name) for name in os.listdir(folder) if name.isdigit()])
        self._counts = {}  # packs in each file
        self._spoiled = []  # places of records that were found damaged
        self._last = self._numbers[-1] if self._numbers else 0
        self._size = _FILE_MAX  # of the last file: as if it were full
        self._ended = 0  # where the records of the file that was counted last end; 0 when that is doubtful
        for number in self._numbers:
            self._counts[number] = self._count(number)
            self.packs += self._counts[number]
        if self._numbers and self._ended:
            self._size = self._ended

    def _count(self, number):
        packs = at = self._ended = 0
        try:
            with open(self._path(number), "rb") as f:
                while True:
                    found = self._record(f, at, False)
                    if found is None:
                        self._ended = at if f.seek(0, 2) == at else 0
                        break
                    record, behind = found
                    if record[4] != _CLOCK:
                        packs += 1
                        self._note(record[1], record[3])
                    elif self._record(f, at, True)[0]:
                        self.eras[record[1]] = record[2]
                    else:
                        self._spoiled.append((number, at))  # not among the packs that were counted
                        self.damaged += 1
                    at = behind
        except OSError:
            self.damaged += 1
        return packs

    def begin(self):
        return (self._numbers[0], 0) if self._numbers else self.end()

    def end(self):
        return (self._last, self._size) if self._size < _FILE_MAX else (self._last + 1, 0)

    def full(self, length):
        """Whether a body of so many bytes needs a file more than there may be: `drop` the oldest first."""
        return len(self._numbers) >= self._max_files and not self._place(length)[1]

    def _place(self, length):
        number, at = self.end()
        return (number, at) if at + _HEAD_SIZE + length + _CRC_SIZE <= _FILE_MAX else (number + 1, 0)

    def append(self, boot, era, seq, time, stream, body):
        """Keep a record; the position behind it. When this returns no loss of power can take it away."""
        number, at = self._place(len(body))
        head = struct.pack(_HEAD, _MAGIC, len(body), boot, era, seq, time, stream)
        crc = struct.pack("<I", crc32(body, crc32(head)))
        with open(self._path(number), "ab" if at else "wb") as f:
            # Nothing here may need the heap: full in between, it would leave half a record.
            f.write(head)
            f.write(body)
            f.write(crc)
        if not at:
            self._numbers.append(number)
            self._counts[number] = 0
        self._last, self._size = number, at + _HEAD_SIZE + len(body) + _CRC_SIZE
        if stream != _CLOCK:
            self._counts[number] += 1
            self.packs += 1
            self._note(era, time)
        return self.end()

    def _note(self, era, time):
        self.earliest[era] = min(time, self.earliest.get(era, time))

    def learn(self, era, offset):
        """The clock of an era is known now: what was kept before can be stamped, over any loss of power."""
        self.append(0, era, offset, 0, _CLOCK, b"")
        self.eras[era] = offset

    def read(self, position):
        """(record, position behind it) of the first pack from `position` on that is whole; (None, end) without one."""
        for number in self._numbers:
            if number < position[0]:
                continue
            at = position[1] if number == position[0] else 0
            try:
                with open(self._path(number), "rb") as f:
                    while True:
                        found = self._record(f, at, True)
                        if found is None:
                            break
                        record, behind = found
                        if record is None:
                            self._spoil(number, at)
                        elif record[4] != _CLOCK:
                            return record, (number, behind) if behind < _FILE_MAX else (number + 1, 0)
                        at = behind
            except OSError:
                self.damaged += 1
                self.packs -= self._counts[number]
                self._counts[number] = 0
        return None, self.end()

    def _spoil(self, number, at):
        if (number, at) not in self._spoiled:
            self._spoiled.append((number, at))
            self.damaged += 1
            self._counts[number] -= 1
            self.packs -= 1

    def release(self, position):
        """What is before `position` may go. It goes file by file; the last one when no pack is behind."""
        whole = position >= self.end() or self.read(position)[0] is None
        while self._numbers and (self._numbers[0] < position[0] or whole):
            self.drop()

    def drop(self):
        """Remove the oldest file; how many packs were in it."""
        number = self._numbers[0]
        os.remove(self._path(number))
        self._numbers.pop(0)
        count = self._counts.pop(number)
        self.packs -= count
        if number == self._last:
            self._size = _FILE_MAX
        return count

    def _path(self, number):
        return "%s/%08d" % (self._folder, number)

    def _record(self, f, at, whole):
        """(record, offset behind it) of what is at `at` in a file; None at its end. A record is None when damaged.

        Unless `whole`, the body is neither read nor checked.
        """
        f.seek(at)
        head = f.read(_HEAD_SIZE)
        if len(head) < _HEAD_SIZE:
            return None
        magic, length, boot, era, seq, time, stream = struct.unpack(_HEAD, head)
        if magic != _MAGIC or length > _FILE_MAX:
            return None  # where the next one begins cannot be known
        end = at + _HEAD_SIZE + length + _CRC_SIZE
        if not whole:
            return (boot, era, seq, time, stream, b""), end
        body = f.read(length)
        crc = f.read(_CRC_SIZE)
        if len(crc) < _CRC_SIZE or struct.unpack("<I", crc)[0] != crc32(body, crc32(head)):
            return None, end
        return (boot, era, seq, time, stream, body), end
