# Two inductive loops in one lane, one behind the other, and their detectors' outputs on two pins.

from time import ticks_diff, ticks_us

from machine import Pin

_FASTEST_CM_S = 6_945  # 250 km/h: what seems faster was not the same vehicle
_LONGEST_US = 60_000_000  # from loop to loop: what takes longer has left the lane, or stood in a queue
_MEASURED_CM_S = 139  # 5 km/h: below it vehicles stop over the loops, and time over them says nothing of length
_FILTER_NS = 12_000  # close to the longest that the hardware can: spikes on the wire are no vehicles
_LONGEST_CM = 4_000  # no road train is longer: what seems so came fast, and then stopped over the loops


class Passages:
    """From the loops' states to vehicles. Pure: fed with ticks in us.

    `on_vehicle(cm_s, length_cm)` is called once for each vehicle that both loops have seen; the length is None where
    it cannot be measured. Below 0 is the speed of one that drove against the lane, from the second loop to the first.
    Whichever edges were missed, the loops' states alone are believed.
    """

    def __init__(self, spacing_cm, loop_cm, on_vehicle, now):
        self._spacing = spacing_cm  # from front edge to front edge
        self._loop = loop_cm
        self._on_vehicle = on_vehicle
        self.over = [False, False]
        self._since = [now, now]  # since when the loop is as it is; for the first, or since when it is counted
        self._seen = []  # [came, time over it or 0] of the first loop's vehicles that the second has not seen yet
        self._matched = None  # the one of them that is over the second loop
        self._back = [0, 0, 0]  # when the edges came of what may drive against the lane
        self._backs = 0  # how many of them have come
        self._occupied = 0
        self.left = 0  # vehicles that have left the first loop

    def feed(self, loop, over, now):
        """`loop` (0 or 1) is, or is not, under a vehicle from `now` on."""
        if over == self.over[loop]:
            return
        if loop == 0:
            self._at_first(over, now)
        else:
            self._at_second(over, now)
        # No call for nothing here either.
        if self._backs or (loop and over and not self.over[0]):
            self._against(loop, over, now)
        self.over[loop] = over
        self._since[loop] = now

    def poll(self, now):
        """Let time pass: what took too long is forgotten, before its ticks wrap. Call it at least once a minute."""
        if self.over[0]:
            self._occupied += ticks_diff(now, self._since[0])
            self._since[0] = now
        while self._seen and ticks_diff(now, self._seen[0][0]) > _LONGEST_US:
            del self._seen[0]
        if self._matched and ticks_diff(now, self._since[1]) > _LONGEST_US:
            self._matched = None
        if self._backs and ticks_diff(now, self._back[0]) > _LONGEST_US:
            self._backs = 0

    def take(self, now):
        """(vehicles that left the first loop, how long it was occupied in us) since the last call."""
        self.poll(now)
        taken = self.left, self._occupied
        self.left = self._occupied = 0
        return taken

    def now(self, now):
        """(vehicles that left the first loop since `take`, whether one is over it)."""
        return self.left, self.over[0]

    def _at_first(self, over, now):
        if over:
            # Between the loops there is room for two at most; older ones have left the lane.
            self._seen = self._seen[-1:] + [[now, 0]]
            return
        self._occupied += ticks_diff(now, self._since[0])
        self.left += 1
        for vehicle in (self._seen and self._seen[-1], self._matched):
            if vehicle and not vehicle[1]:
                vehicle[1] = ticks_diff(now, vehicle[0])
                break

    def _at_second(self, over, now):
        if over:
            # The newest that is not too fast for it. One before it has left the lane, or was missed here: taken by
            # age, it would pair every vehicle after it with the wrong one.
            for i in range(len(self._seen) - 1, -1, -1):
                if ticks_diff(now, self._seen[i][0]) * _FASTEST_CM_S >= self._spacing * 1_000_000:
                    self._matched = self._seen[i]
                    self._seen = self._seen[i + 1 :]
                    break
            return
        vehicle, self._matched = self._matched, None
        if vehicle is None:
            return
        came, time_over = vehicle
        cm_s = self._spacing * 1_000_000 // ticks_diff(self._since[1], came)
        length = None
        if cm_s >= _MEASURED_CM_S and time_over:
            # Over both loops alike; their mean halves the error of a late edge.
            mean = (time_over + ticks_diff(now, self._since[1])) // 2
            length = max(0, cm_s * mean // 1_000_000 - self._loop)
            if length > _LONGEST_CM:
                length = None
        self._on_vehicle(cm_s, length)

    def _against(self, loop, over, now):
        """A normal passage in the mirror: on the second loop while the first is free, on both, on the first, on none.

        It must be over both at a time: of two vehicles, of which each loop missed one, that is seldom so. A vehicle
        that comes close behind such a one reaches the second loop before it has left the first.
        """
        n = self._backs
        if n == 0:
            if not self._matched:
                self._back[0] = now
                self._backs = 1
        elif loop == n & 1 or over != (n < 2):
            self._backs = 0
        elif n < 3:
            self._back[n] = now
            self._backs = n + 1
        else:
            self._backs = 0
            second, first, left = self._back
            # From loop to loop, by its front and by its rear.
            front, rear = ticks_diff(first, second), ticks_diff(now, left)
            if front * 3 > rear * 4 or rear * 3 > front * 4 or front * _FASTEST_CM_S < self._spacing * 1_000_000:
                return  # not one vehicle: even one that brakes hard from 50 km/h would be nearer to itself
            cm_s = self._spacing * 1_000_000 // front
            longest = (_LONGEST_CM + self._loop) * 1_000_000 // cm_s
            if cm_s >= _MEASURED_CM_S and ticks_diff(now, first) <= longest:
                del self._seen[-1]  # it does not come to the second loop any more
                self._on_vehicle(-cm_s, None)


class LoopPair:
    """Watches two pins, which the detectors pull down while a vehicle is over their loop.

    With `unit`, one of the chip's pulse counters counts who leaves the first loop: interrupts are handed to the program
    one by one, and those of vehicles that pass while it is held up, by a TLS handshake say, are gone.
    """

    def __init__(self, pins, spacing_cm, loop_cm, on_vehicle, unit=None):
        self._passages = Passages(spacing_cm, loop_cm, on_vehicle, ticks_us())
        self._first, self._second = [Pin(pin, Pin.IN, Pin.PULL_UP) for pin in pins]
        self._busy = self._missed = False
        self._counter = None if unit is None else _counter(unit, self._first)
        self._counted = 0
        self._look()
        for pin in (self._first, self._second):
            pin.irq(self._edge, Pin.IRQ_FALLING | Pin.IRQ_RISING)

    def _edge(self, pin):
        # A soft interrupt may come in the middle of anything below, which then looks once more.
        if self._busy:
            self._missed = True
        else:
            self._look()

    def _look(self, work=None):
        """Take note of both loops' states, then do `work(ticks)`, undisturbed by interrupts; what it returned."""
        found = None
        passages = self._passages
        while True:
            self._busy, self._missed = True, False
            now = ticks_us()
            # No call for nothing: this runs at each edge.
            over = not self._first.value()
            if over != passages.over[0]:
                passages.feed(0, over, now)
            over = not self._second.value()
            if over != passages.over[1]:
                passages.feed(1, over, now)
            if work:
                found, work = work(now), None
            self._busy = False
            if not self._missed:
                return found

    def poll(self):
        """Take note of a state whose edge was missed. Call it every few seconds."""
        self._look(self._passages.poll)

    def take(self):
        """(vehicles that left the first loop, how long it was occupied in us) since the last call."""
        left, occupied = self._look(self._passages.take)
        if self._counter:
            counted = self._counter.value()
            left, self._counted = counted - self._counted, counted
        return left, occupied

    def now(self):
        """(vehicles that left the first loop since `take`, whether one is over it)."""
        return self._look(self._passages.now)


def _counter(unit, pin):
    try:
        from machine import Counter
    except ImportError:  # MicroPython before 1.26
        return None
    return Counter(unit, pin, edge=Counter.RISING, filter_ns=_FILTER_NS)
