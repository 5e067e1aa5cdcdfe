# The world behind an emulated board: its time, its wires, and what happens on them.
#
# Time here is an event queue that is paced by the real clock. The board's time never runs ahead of
# `start + real time x speed`, nor of what the city has told of itself; and it stops at every hardware event on the
# way, so an edge is handled at exactly the microsecond at which it happened, however fast the fleet runs or however
# busy the machine is: a slow machine makes a board late, never wrong. Only what arrives through sockets comes at real
# moments.
#
# All times in this file are integer microseconds since 1970; the interpreter has 63-bit small integers.

import struct

import utime

# start of the city (us), monotonic start (us), speed, end of the city (us), recheck and nap (real ms)
PACE = "<qqdqqq"
FOREVER = 1 << 62
# us of the board's time between looks at sockets: 20 ms of real time, but no less and no more than this. A board that
# makes a window a minute must see between two of them that the broker has acknowledged the one before.
LOOK, LOOK_AT_SPEED = 100_000, 15_000_000
_ASK = 1_000_000  # us
SPIN = 200  # reads of the clock without a pause, after which a busy-waiting loop is given its time


class World:
    def __init__(self):
        self._pace_file = None
        self.start = self.mono = 0
        self.speed = 1.0
        self.end = FOREVER
        self.recheck = 1000  # real ms that it sleeps at most
        self.nap = 0  # and at least
        self.look_us = LOOK  # of its own time, after which it looks at what comes from outside
        self.limit = 0  # how far the real clock allowed the board's time to come at the last look
        self.look_by = 0  # when it looks outside again, whatever is due
        self.stirred = False  # whether hardware has done something that a program may wait for
        self.next = 0  # when hardware next does something, as far as that is known; 0 when it has to be asked
        self.now = self.boot = utime.time_ns() // 1000
        self.sources = []  # each has `at` (us) and fire()
        self.pins = {}  # number -> Line
        self.i2c = {}  # (scl, sda) -> {address: chip}
        self.uart = {}  # (tx, rx) -> Wire
        self.adc = {}  # pin number -> microvolts
        self.link_up = True
        self.reset_cause = 1
        self.rtc_ppm = 0  # by which the real-time clock is fast while the board sleeps
        self.folder = "."
        self.held = False  # time stands still while what was measured cannot leave as fast as time runs
        self.observer = None  # called whenever the program pauses, and when it has been idle for a while
        self.wounds = None  # called whenever the pace has been read: what is done to the board
        self.reads = 0
        self._checked = 0

    def follow(self, path):
        """Take the pace from the fleet's file, which may also change while the board runs."""
        self._pace_file = open(path, "rb")  # noqa: SIM115 - kept open for the life of the board
        self._read_pace()
        self.now = self.boot = self.real()

    def _read_pace(self):
        self._checked = utime.ticks_ms()  # before: what is written meanwhile may have been missed
        self._pace_file.seek(0)
        fields = struct.unpack(PACE, self._pace_file.read(struct.calcsize(PACE)))
        self.start, self.mono, self.speed, self.end, self.recheck, self.nap = fields
        self.look_us = min(max(LOOK, int(self.speed * 20_000)), LOOK_AT_SPEED)
        self.next = 0  # the city is known for longer, and with it what comes
        if self.wounds:
            self.wounds()

    def real(self):
        """How far the real clock allows the board's time to have come."""
        if self._pace_file is None:
            return utime.time_ns() // 1000
        if self.held:
            return self.now
        now = self.start + int((utime.ticks_us() - self.mono) * self.speed)
        # A city that runs faster than life ends up at the present; from there on it lives at its pace.
        if self.speed > 1:
            now = min(now, utime.time_ns() // 1000)
        # The end is as far as the city is known: it moves on with it, until the fleet stops the city's time.
        if now > self.end or utime.ticks_ms() - self._checked > self.recheck:
            self._read_pace()
        return min(now, self.end)

    def read(self):
        """The board reads its clock. A loop that does nothing else must see time pass."""
        self.reads += 1
        if self.reads > SPIN:
            self.pause(self.now + 100)
        return self.now

    def pause(self, until):
        """Blocking sleep: hardware goes on, the program does not."""
        self.wait(until, None)

    def wait(self, until, ready, inside=None):
        """Let time pass until `until`, or until `ready(ms, due)` returns something; it polls the outside for
        so long. Returns what it found, or None.

        Hardware events on the way are handled at their own microsecond. The real clock and the outside are looked at
        only when all is done that was due at the last look, and `look_us` of the board's time at the latest: each look
        costs as much as the work of some seconds. `inside()` is asked when hardware may have done what a program waits
        for.
        """
        self.reads = 0
        sources = self.sources
        while True:
            source, due = None, FOREVER
            for each in sources:
                if each.at < due:
                    source, due = each, each.at
            self.next = due
            if due > until or source is None:
                source, due = None, until
            if due > self.limit or (ready and due > self.look_by):
                found = self._look(due, ready)
                if found:
                    return found
                if due > self.limit:
                    continue
            if due > self.now:
                self.now = due
            if source is None:
                return None
            self.reads = 0
            source.fire()
            if inside and self.stirred:
                self.stirred = False
                found = inside()
                if found:
                    return found

    def _look(self, due, ready):
        """Look at the real clock and at the outside; sleep when nothing is due."""
        if self.observer:
            self.observer()
        ms = 0
        if due > self.now:
            behind = due - self.real()
            if behind > 0:
                # One that is idle is not woken for every trifle: what came due meanwhile is handled in one go.
                nap = self.nap if ready else 0
                ms = min(max(int(behind / self.speed) // 1000 + 1, nap), self.recheck)
        found = None
        if ready:
            found = ready(ms, due)
        elif ms:
            utime.sleep_ms(ms)
        real = self.real()
        self.limit = max(real, self.now)
        if found:
            self.now = max(self.now, min(real, due))  # time has passed outside
        elif due > real:
            self.now = max(self.now, real)
        self.look_by = max(self.now, due) + self.look_us
        return found

    def add(self, source):
        """From now on its events happen: `at` is when the next one does (us), and `fire()` has it happen.

        What changes `at` but in `fire` says so by `soon`.
        """
        self.sources.append(source)
        self.next = 0

    def soon(self, at):
        """An event of a source has been brought forward."""
        if at < self.next:
            self.next = at

    def pass_by(self, ms):
        """Let so much time pass if nothing happens meanwhile, and there is no need to look outside; whether it did."""
        until = self.now + ms * 1000
        if until >= self.next or until > self.limit or until >= self.look_by:
            return False
        self.now = until
        self.reads = 0
        return True


class Line:
    """One pin: its level, and who wants to know."""

    def __init__(self, level=0):
        self.level = level
        self.watch = None  # called with (rising: bool)
        self.counters = []  # hardware counters see every edge, whatever the program does

    def drive(self, level):
        if level == self.level:
            return
        self.level = level
        for counter in self.counters:
            counter.edge(level)
        if self.watch:
            self.watch(level)


class Wire:
    """A serial line to a chip: what the chip sends lands in the board's receive buffer, or is lost beyond it.

    As a rule it is asked when the board reads. Only a board that waits for bytes has them come as events (`awaited`).
    """

    def __init__(self, chip):
        self.chip = chip
        self.size = 256
        self.buffer = b""
        self.awaited = False
        self.at = FOREVER
        self._heard = 0  # until when (ms)

    def due(self):
        """When the chip next sends (us)."""
        ms = self.chip.due_ms()
        # One that is silent is asked again: what makes it speak may not have come over the wire.
        return world.now + _ASK if ms is None else ms * 1000

    def wait(self):
        """From now on bytes are events."""
        if not self.awaited:
            self.awaited = True
            world.add(self)
        self.at = self.due()
        world.soon(self.at)

    def hear(self):
        """What has come until now is in the buffer; how much that is."""
        chip, now = self.chip, world.now // 1000
        while True:
            ms = chip.due_ms()
            if ms is None or ms > now:
                self._heard = now
                return len(self.buffer)
            if len(self.buffer) < self.size:
                # What was due while it had nothing to say, dead perhaps, it has not sent.
                self.buffer = (self.buffer + chip.transmit(max(ms, self._heard)))[: self.size]
            else:
                chip.transmit(now)  # all that was missed meanwhile

    def fire(self):
        before = len(self.buffer)
        world.stirred = self.hear() > before or world.stirred
        self.at = self.due()

    def send(self, data):
        """Bytes from the board."""
        self.hear()
        self.chip.receive(data)
        if self.awaited:
            self.wait()

    def take(self, n):
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data


class Stimulus:
    """A device on pins that knows its next edge: next_us() and fire() -> (pin number, level)."""

    def __init__(self, device):
        self._next, self._fire = device.next_us, device.fire
        self._unknown = False
        self._look()

    def _look(self):
        at = self._next()
        self._unknown = at is None
        # What is not known yet is asked for again when the city goes on.
        self.at = world.end + 1 if at is None else at

    def fire(self):
        if self._unknown:
            self._look()
            return
        pin, level = self._fire()
        self._look()
        line(pin).drive(level)


def line(number):
    if number not in world.pins:
        world.pins[number] = Line()
    return world.pins[number]


def attach_i2c(scl, sda, chip):
    world.i2c.setdefault((scl, sda), {})[chip.address] = chip


def attach_uart(tx, rx, chip):
    world.uart[(tx, rx)] = Wire(chip)


def attach_pins(device):
    if hasattr(device, "levels"):  # that it begins with
        for pin, level in device.levels():
            line(pin).drive(level)
    world.add(Stimulus(device))


world = World()
