# The outbox: every pack stays here until the broker has acknowledged it. Bounded: at the bound the oldest goes, and
# is counted. Sequence numbers are given here and nowhere else, so a dropped pack shows as a gap at the gateway.
#
# Where packs are kept is behind `store`: a list-like object of [seq, time, stream, body] that may one day be flash.


class Outbox:
    """`window` packs may be with the broker unacknowledged at a time."""

    def __init__(self, capacity=64, window=8, store=None):
        self._packs = [] if store is None else store
        self._capacity = capacity
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
        if len(self._packs) >= self._capacity:
            seq = self._packs.pop(0)[0]
            if packet_id(seq) in self._sent:
                self._sent.remove(packet_id(seq))
            self.dropped += 1
        self._packs.append((self.seq, time, stream, body))
        self.seq += 1

    def next(self):
        """The oldest pack not yet published on this connection: (seq, time, stream, body, dup), or None."""
        if len(self._sent) >= self._window:
            return None
        for seq, time, stream, body in self._packs:
            if packet_id(seq) not in self._sent:
                return seq, time, stream, body, seq <= self._known
        return None

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
                self._packs.pop(i)
                self.acked += 1
                return

    def disconnected(self):
        """What was not acknowledged must be published again."""
        self._sent.clear()


def packet_id(seq):
    """A pack has the same packet id on every connection. The rest of the range is for other messages."""
    return seq % 60_000 + 1


FIRST_FREE_ID = 60_001
