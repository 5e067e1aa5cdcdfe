# The outbox: every pack stays here until the broker has acknowledged it, and a little longer.
#
# New packs are in RAM, and go to flash when they have not been acknowledged after some seconds, or at once while there
# is no connection: flash is for outages, so that it lasts. What is on flash is older than what is in RAM, always, and
# all leaves in the order in which it was made.
#
# A broker that dies may take with it what it acknowledged last. So a pack lingers for some seconds after its
# acknowledgement, and is sent again should the connection break before; the gateway knows a duplicate when it sees one.
#
# Bounded: at the bound the oldest goes, and is counted. Sequence numbers are given here and nowhere else, so a dropped
# pack shows as a gap at the gateway.

from time import ticks_diff, ticks_ms

from micropython import const

from node.clock import BELIEVABLE
from node.net import wire_ms
from node.pack import HEAD_MAX, MESSAGE_MAX

STREAMS = ("telemetry", "event", "health")
FIRST_FREE_ID = 60_001  # packet ids from here on are for other messages

_KEEP_MS = 5_000  # a pack that is not acknowledged by then goes to flash
_LINGER_MS = 10_000  # twice what a broker may lose: docs/operating.md has it save its queue every 5 s
_LINGERING = 16  # messages under way or lingering at most; no node in life comes near it
_STALLED_MS = const(120_000)
_OVERHEAD = 200  # bytes that a pack in RAM takes beside its body, on the interpreter with the larger words
_NO_SPACE = const(28)  # ENOSPC
_SPARE = const(2)  # files that may go for room: where their blocks do not suffice, all the others' would not either


class Pack:
    """One pack in RAM."""

    def __init__(self, seq, time, stream, body):
        self.seq, self.time, self.stream, self.body = seq, time, stream, body
        self.put_at = ticks_ms()
        self.acked = False

    def size(self):
        return len(self.body) + _OVERHEAD


class Message:
    """What goes out at once: `packs` are (boot, seq, Unix seconds, body), of one stream, one after another.

    Once it is published only (boot, seq) are kept of them: it is remembered for longer than there is room for bodies.
    """

    def __init__(self, number, stream, packs, dup, end):
        self.number = number  # the MQTT packet id
        self.stream, self.packs, self.dup = stream, packs, dup
        self.end = end  # the place behind it; once it is published, the position behind those on flash
        self.stored = 0  # so many of its packs, the first, are on flash
        self.sent_at = self.acked_at = None  # ticks in ms

    def own(self, boot):
        """How many of those on flash are of this boot."""
        return sum([each == boot for each, _ in self.packs[: self.stored]])


class Outbox:
    """`boot` is this boot's number, `era` that of the boot with which power came. `window` messages may be with the
    broker unacknowledged. RAM holds `max_bytes` of packs, but always one; the store has a bound of its own.

    Times are what the clock says: Unix seconds, or less than BELIEVABLE while it is not known. Those wait, and with
    them what is behind them, until `learn` tells what to add.
    """

    def __init__(self, boot=1, era=1, store=None, window=8, max_bytes=16_384):
        self._boot, self._era, self._store = boot, era, store
        self._window, self._max_bytes = window, max_bytes
        self._fresh = []  # in RAM, oldest first
        self._lingering = 0  # of them so many, that are acknowledged
        self._bytes = 0
        self._flying = 0  # so many of them, the first, are in messages of this connection
        self._sent = []  # messages of this connection, until they are forgotten
        self._cursor = self._tail = store.begin() if store else None  # the first unsent, the first unforgotten on flash
        self._passed = 0  # packs on flash that are acknowledged, and go when their file goes
        self._ahead = self._own_ahead = 0  # of those the ones behind the tail, and of this boot
        self._known = -1  # highest seq of this boot that was ever published
        self._offset = None
        self._spare = _SPARE
        self._untold = False  # whether flash did not take what was learnt
        self.online = False
        self.trouble = None  # why the flash does not take packs
        self.seq = self.dropped = 0
        self.acked = 0  # packs of this boot; what was acknowledged to an earlier one is not always known any more
        self.acks = 0  # acknowledgements, of whatever

    def __len__(self):
        """Packs that are not acknowledged."""
        stored = max(0, self._store.packs - self._passed) if self._store else 0
        return stored + len(self._fresh) - self._lingering

    def empty(self):
        """Whether all is acknowledged, and has lingered."""
        return not self._sent and not len(self)

    def resting(self):
        """Whether nothing is under way or lingers, whatever waits."""
        return not self._sent

    def put(self, time, stream, body):
        """Keep a pack. `body` is text."""
        self._fresh.append(Pack(self.seq, time, stream, body.encode()))
        self.seq += 1
        self._bytes += self._fresh[-1].size()
        if not self.online:
            self.settle()
        while self._bytes > self._max_bytes and len(self._fresh) > 1:
            if not self._move():
                self._drop_fresh()

    def shed(self):
        """The heap is full: the older half of what is in RAM goes to flash, or, where that takes it not, is dropped."""
        for _ in range((len(self._fresh) + 1) // 2):
            if not self._move():
                self._drop_fresh()

    def lose(self):
        """A pack could not even be made: it is counted, and its number shows as a gap."""
        self.seq += 1
        self.dropped += 1

    def learn(self, offset):
        """The clock of this era is known: add so many seconds to what it said before.

        It is told to later boots on flash, for a loss of power takes the clock, but not the packs.
        """
        self._offset = offset
        store = self._store
        if not store or store.earliest.get(self._era, BELIEVABLE) >= BELIEVABLE or self._era in store.eras:
            return  # nothing on flash waits for it
        self._untold = True
        try:
            while store.full(0):
                self._drop_file()
            store.learn(self._era, offset)
            self._untold = False
        except OSError as error:
            self.trouble = error

    # From RAM to flash.

    def keep(self):
        """Move what has waited too long, forget what has lingered long enough. Call it about once a second."""
        self._forget()
        if self._untold:
            self.learn(self._offset)
        if not self.online:
            self.settle()
            return
        now, limit = ticks_ms(), wire_ms(_KEEP_MS)
        while self._fresh and not self._fresh[0].acked and ticks_diff(now, self._fresh[0].put_at) > limit:
            if not self._move():
                break

    def settle(self):
        """Move all that is not acknowledged. Whether none of it is left in RAM."""
        while self._fresh:
            if not self._move():
                return False
        return True

    def _move(self):
        """The oldest pack in RAM goes to flash; False when that does not take it, which is why in `trouble`."""
        pack = self._fresh[0]
        if not pack.acked:
            if not self._store:
                return False
            end = self._append(pack)
            if end is None:
                return False
            if self._flying:
                self._cursor = end
                for message in self._sent:
                    if (self._boot, pack.seq) in message.packs:
                        message.stored += 1
                        message.end = end
        self._remove_fresh(0)
        return True

    def _append(self, pack):
        """Keep a pack on flash, at the cost of the oldest there; the position behind it, or None."""
        # Stamped if it can be: the record of what was learnt may be gone before this pack is.
        time = self._stamped(self._era, pack.time) or pack.time
        stream = STREAMS.index(pack.stream)
        while True:
            try:
                while self._store.full(len(pack.body)):
                    self._drop_file()
                end = self._store.append(self._boot, self._era, pack.seq, time, stream, pack.body)
                self.trouble = None
                self._spare = _SPARE
                return end
            except MemoryError as error:
                self.trouble = error
                return None
            except OSError as error:
                self.trouble = error
                if not self._spare or error.errno != _NO_SPACE or not self._store.packs:
                    return None
            # Something else fills the flash: the oldest goes, as at our own bound.
            self._spare -= 1
            try:
                self._drop_file()
            except OSError as error:
                self.trouble = error
                return None

    def _drop_file(self):
        count = self._store.drop()
        # Its packs in their order: those that are forgotten, those in messages, those that were never sent.
        forgotten = min(count, self._passed - self._ahead)
        self._passed -= forgotten
        count -= forgotten
        for message in self._sent:
            some = min(count, message.stored)
            count -= some
            if message.acked_at is None:
                self.dropped += some
            else:
                self._passed -= some
                self._ahead -= some
                self._own_ahead -= sum([boot == self._boot for boot, _ in message.packs[:some]])
            message.packs = message.packs[some:]
            message.stored -= some
        self.dropped += count
        self._sent = [message for message in self._sent if message.packs]
        begin = self._store.begin()
        self._cursor, self._tail = max(self._cursor, begin), max(self._tail, begin)

    def _drop_fresh(self):
        self.dropped += not self._fresh[0].acked
        self._remove_fresh(0)

    def _remove_fresh(self, i):
        pack = self._fresh.pop(i)
        self._bytes -= pack.size()
        self._lingering -= pack.acked
        if i < self._flying:
            self._flying -= 1

    # The way out.

    def next(self, merge=False):
        """The oldest Message that may go now, or None. With `merge` it has as many packs as fit."""
        if sum([message.acked_at is None for message in self._sent]) >= self._window:
            return None
        packs, size, stream, at, end = [], 0, None, (self._cursor, self._flying), None
        while True:
            found = self._peek(at)
            if found is None:
                break
            boot, seq, time, name, body, at = found
            if time is None:
                break
            # What is together in a message is of one stream, and all on flash or all in RAM.
            if packs and (name, at[1] > self._flying) != (stream, end[1] > self._flying):
                break
            if packs and size + len(body) + HEAD_MAX > MESSAGE_MAX:
                break
            if time == 0:
                if packs or self._sent:
                    break
                at = self._skip(at)
                continue
            packs.append((boot, seq, time, body))
            stream, end, size = name, at, size + len(body) + HEAD_MAX
            if not merge:
                break
        if not packs:
            return None
        boot, seq = packs[0][:2]
        return Message(self._free_id(seq), stream, packs, boot == self._boot and seq <= self._known, end)

    def _peek(self, at):
        """(boot, seq, time, stream, body, the place behind it) of the pack at a place, or None.

        The time is None while it is not known, and 0 when it never will be. A place is (position in the store, index
        in RAM).
        """
        cursor, i = at
        if self._store and cursor < self._store.end():
            before = self._store.packs
            record, after = self._store.read(cursor)
            self.dropped += before - self._store.packs  # what cannot be read any more
            if record:
                boot, era, seq, time, stream, body = record
                return boot, seq, self._stamped(era, time), STREAMS[stream], body, (after, i)
        if i < len(self._fresh):
            pack = self._fresh[i]
            return self._boot, pack.seq, self._stamped(self._era, pack.time), pack.stream, pack.body, (cursor, i + 1)
        return None

    def _stamped(self, era, time):
        if time >= BELIEVABLE:
            return time
        offset = self._offset if era == self._era else self._store.eras.get(era, 0)
        if offset is None:
            return None
        time += offset
        return time if time >= BELIEVABLE else 0

    def _skip(self, at):
        """Power went before the time was known: nobody can say any more when the pack at the tail was."""
        if at[1] > self._flying:
            self._drop_fresh()
            return self._cursor, self._flying
        self.dropped += 1
        self._passed += 1
        self._release(at[0])
        self._cursor = self._tail
        return at

    def published(self, message):
        """It is on its way."""
        position, flying = message.end
        message.packs = [pack[:2] for pack in message.packs]
        if flying == self._flying:
            message.stored = len(message.packs)
        self._cursor, self._flying = position, flying
        message.end = position
        message.sent_at = ticks_ms()
        self._sent.append(message)
        for boot, seq in message.packs:
            if boot == self._boot:
                self._known = max(self._known, seq)

    def acknowledged(self, number):
        """The broker has the message with this packet id."""
        for message in self._sent:
            if message.number == number and message.acked_at is None:
                message.acked_at = ticks_ms()
                self.acks += 1
                own = message.own(self._boot)
                self.acked += own
                self._own_ahead += own
                self._passed += message.stored
                self._ahead += message.stored
                for pack in self._fresh:
                    if not pack.acked and (self._boot, pack.seq) in message.packs:
                        pack.acked = True
                        self._lingering += 1
                        self.acked += 1
                self._forget()
                return

    def stalled(self):
        """Whether a message has been on its way for so long that this connection will not bring it any more."""
        now, limit = ticks_ms(), wire_ms(_STALLED_MS)
        return any(each.acked_at is None and ticks_diff(now, each.sent_at) > limit for each in self._sent)

    def _forget(self):
        """Let go of what was acknowledged long enough ago, or has too much behind it."""
        now, limit = ticks_ms(), wire_ms(_LINGER_MS)
        while self._sent and self._sent[0].acked_at is not None:
            message = self._sent[0]
            if ticks_diff(now, message.acked_at) <= limit and len(self._sent) <= _LINGERING:
                break
            self._sent.pop(0)
            while self._fresh and self._fresh[0].acked and (self._boot, self._fresh[0].seq) in message.packs:
                self._remove_fresh(0)
            if message.stored:
                self._ahead -= message.stored
                self._own_ahead -= message.own(self._boot)
                self._release(message.end)

    def _release(self, position):
        self._tail = max(self._tail, position)
        before = self._store.packs
        try:
            self._store.release(self._tail)
        except OSError as error:
            self.trouble = error
        self._passed -= before - self._store.packs

    def disconnected(self):
        """What was not acknowledged goes again, and what was only just."""
        self.online = False
        self._sent = []
        self._flying = 0
        for pack in self._fresh:
            if pack.acked:
                pack.acked = False
                self.acked -= 1
        self._lingering = 0
        self.acked -= self._own_ahead
        self._passed -= self._ahead
        self._ahead = self._own_ahead = 0
        self._cursor = self._tail

    def _free_id(self, seq):
        """A pack has the same packet id on every connection, unless another has it at the moment."""
        number = packet_id(seq)
        taken = [message.number for message in self._sent if message.acked_at is None]
        while number in taken:
            number = number % (FIRST_FREE_ID - 1) + 1
        return number


def packet_id(seq):
    return seq % (FIRST_FREE_ID - 1) + 1
