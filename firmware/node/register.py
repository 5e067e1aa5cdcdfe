# A water meter's register: pulses forwards and backwards, over resets and losses of power.
#
# Whenever a contact has settled, counts and contacts go into RTC memory together, in one record that is either the old
# or the new one. So after a reset the record is always of one moment, and what a contact has done since then shows in
# its level: nothing is counted twice, and nothing is lost but a closing and opening that both fell into the reset.
# Flash would not bear that often a write: it gets a checkpoint at a window's end, which is what there is after a loss
# of power.

import struct

from node.scratch import REGISTER

_RECORD = "<QQBBbbB"  # pulses forwards, backwards; contacts, levels, place, run (drivers/reed.py); restored, not told
_SIZE = 21
_KEYS = ("pulses", "reverse")  # of the checkpoint: 32-bit numbers; `pulses` is as old as the firmware
_BIG = "_big"  # follows a key whose number needs more than 31 bits: a blob
_LARGEST = (1 << 31) - 1


class Register:
    """`forward` and `reverse` in pulses. `contacts` are those of the last `note` before a reset, or None.

    `restored` is True when they come from the checkpoint, so that what came after it is missing, until `told` is
    called.
    """

    def __init__(self, scratch, nvs):
        self._scratch = scratch
        self._nvs = nvs
        self._record = bytearray(_SIZE)
        self._saved = [_load(nvs, key) for key in _KEYS]
        self.forward, self.reverse = self._saved
        self.contacts = None
        self.restored = any(self._saved)
        kept = scratch.read(REGISTER)
        if kept and len(kept) == _SIZE:
            forward, reverse, count, levels, place, run, restored = struct.unpack(_RECORD, kept)
            # One that is behind the checkpoint is not this register's newest: then its contacts are as old.
            if forward >= self.forward and reverse >= self.reverse:
                self.forward, self.reverse = forward, reverse
                self.contacts = count, levels, place, run
                self.restored = bool(restored)

    def note(self, turn, contacts):
        """Count a turn (1, -1; 0 for none) that left the contacts so. Never call it in the middle of itself."""
        if turn > 0:
            self.forward += 1
        elif turn < 0:
            self.reverse += 1
        struct.pack_into(_RECORD, self._record, 0, self.forward, self.reverse, *contacts, self.restored)
        self._scratch.write(REGISTER, self._record)

    def told(self, contacts):
        """It has been reported that the register was restored; `contacts` as they are."""
        self.restored = False
        self.note(0, contacts)

    def checkpoint(self):
        """Keep the counts over a loss of power, if they have changed. Raises OSError when the flash does not."""
        counts = [self.forward, self.reverse]
        if counts == self._saved:
            return
        for key, count, saved in zip(_KEYS, counts, self._saved):
            if count != saved:
                _store(self._nvs, key, count)
        self._nvs.commit()
        self._saved = counts


# Of one key each write is whole or not at all, and a count that was ever written has been true: the largest is right,
# wherever power was lost between the two forms of a key.


def _load(nvs, key):
    count = 0
    try:
        count = nvs.get_i32(key)
    except OSError:
        pass  # there is none yet
    big = bytearray(8)
    try:
        if nvs.get_blob(key + _BIG, big) == 8:
            count = max(count, struct.unpack("<Q", big)[0])
    except OSError:
        pass
    return max(count, 0)


def _store(nvs, key, count):
    if count <= _LARGEST:
        nvs.set_i32(key, count)
    else:
        nvs.set_blob(key + _BIG, struct.pack("<Q", count))
