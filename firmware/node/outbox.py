# The outbox: every pack stays here until the broker has acknowledged it. Bounded: at the bound the oldest goes, and
# is counted. Sequence numbers are given here and nowhere else, so a dropped pack shows as a gap at the gateway.
#
# Where packs are kept is behind `store`: a list-like object of [seq, time, stream, body] that may one day be flash.


_OVERHEAD = 160  # bytes that a pack takes beside its body, on the interpreter with the larger words


class Outbox:
    """Holds at most `capacity` packs, and at most `max_bytes` of them, but always one.

    `window` packs may be with the broker unacknowledged at a time.
    """

    def __init__(self, capacity=1440, window=8, store=None, max_bytes=16_384):
        self._packs = [] if store is None else store
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._bytes = sum(_size(pack) for pack in self._packs)
        self._window = window
        self._sent = []  # packet ids published on this connection and not acknowledged yet
        self._known = -1  # highest seq that was ever published: anything up to it goes again with `dup`
        self.seq = 0
        self.acked = 0
        self.dropped = 0

    def __len__(self):
        return len(self._packs)

    def put(self, time, stream, body):
        """Keep a pack. `time` is Unix seconds, or minus the seconds since boot while the clock is unknown."""
        pack = (self.seq, time, stream, body)
        room = self._max_bytes - _size(pack)
        while self._packs and (len(self._packs) >= self._capacity or self._bytes > room):
            self._drop()
        self._packs.append(pack)
        self._bytes += _size(pack)
        self.seq += 1

    def shed(self):
        """Drop the older half: the heap is full."""
        for _ in range((len(self._packs) + 1) // 2):
            self._drop()

    def lose(self):
        """A pack could not even be made: it is counted, and its number shows as a gap."""
        self.seq += 1
        self.dropped += 1

    def _drop(self):
        pack = self._packs.pop(0)
        self._bytes -= _size(pack)
        if packet_id(pack[0]) in self._sent:
            self._sent.remove(packet_id(pack[0]))
        self.dropped += 1

    def next(self):
        """The oldest pack not yet published on this connection: (seq, time, stream, body, dup), or None."""
        if len(self._sent) >= self._window:
            return None
        for seq, time, stream, body in self._packs:
            if packet_id(seq) not in self._sent:
                return seq, time, stream, body, seq <= self._known
        return None

    def stamp(self, seq, time):
        """The pack's time is known now, in Unix seconds, and stays so, however often it is published."""
        for i, pack in enumerate(self._packs):
            if pack[0] == seq:
                self._packs[i] = (seq, time) + pack[2:]
                return

    def published(self, seq):
        self._sent.append(packet_id(seq))
        self._known = max(self._known, seq)

    def acknowledged(self, number):
        """The broker has the pack with this packet id: it is no longer ours."""
        if number not in self._sent:
            return
        self._sent.remove(number)
        for i, pack in enumerate(self._packs):
            if packet_id(pack[0]) == number:
                self._bytes -= _size(self._packs.pop(i))
                self.acked += 1
                return

    def disconnected(self):
        """What was not acknowledged must be published again."""
        self._sent.clear()


def _size(pack):
    return len(pack[3]) + _OVERHEAD


def packet_id(seq):
    """A pack has the same packet id on every connection. The rest of the range is for other messages."""
    return seq % 60_000 + 1


FIRST_FREE_ID = 60_001
