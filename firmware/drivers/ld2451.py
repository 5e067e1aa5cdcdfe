# HLK-LD2451 traffic radar, over a UART at 115200 baud (serial protocol V1.03), and who is who in what it sees.

from micropython import const

BAUD = 115_200
RX_BYTES = 1_024  # two seconds and more of the fullest frames
FRAME_MS = 100
AWAY, APPROACHING, BOTH = 0, 1, 2

_ENVELOPE = const(10)  # head, length of the body, tail
_SIZE = const(64)  # the chip's own buffer is no larger
_FASTEST_KMH = const(250)
_SENSITIVITY = b"\x01\x04"  # the factory's: report at the first sight, threshold 4 of 3 to 8; two more are reserved
_HEADS = {0xF4: b"\xf4\xf3\xf2\xf1", 0xFD: b"\xfd\xfc\xfb\xfa"}  # of a report, of an answer
_TAILS = {0xF4: b"\xf8\xf7\xf6\xf5", 0xFD: b"\x04\x03\x02\x01"}

_ENABLE, _END = const(0xFF), const(0xFE)
_SET, _SET_SENSITIVITY, _GET, _GET_SENSITIVITY = const(0x02), const(0x03), const(0x12), const(0x13)
# What to say after a command that was obeyed, but for the two that get: they are followed by what is wrong, or by these
_NEXT = {_ENABLE: _GET, _SET: _GET, _GET: _GET_SENSITIVITY, _SET_SENSITIVITY: _GET_SENSITIVITY, _GET_SENSITIVITY: _END}


class LD2451:
    """`configured` is True from when the chip is known to have the wanted settings until `start` is called again."""

    def __init__(self, uart, max_m, direction, min_kmh):
        self._uart = uart
        self._max_m = max_m
        # No delay: what the chip does not see any more it shall not report.
        self._wanted = {_GET: bytes((max_m, direction, min_kmh, 0)), _GET_SENSITIVITY: _SENSITIVITY}
        self._frame = bytearray(_SIZE)
        self._view = memoryview(self._frame)
        self._have = 0
        self._asked = None  # the command that an answer is due to
        self._written = 0  # settings changed since `start`
        self.configured = False
        self.garbled = 0  # frames that were thrown away

    def start(self):
        """Begin to look at the settings, and to change those that are not as wanted; `read` goes on with it.

        It does no harm at any time: the chip's memory, which wears, is only written to when something is wrong.
        """
        self.configured = False
        self._written = 0
        self._say(_ENABLE, b"\x01\x00")

    def read(self):
        """The next report that has arrived: a list of (angle, m, approaching, km/h) each; None when there is none yet.

        Reports from before it is configured are passed over. Raises OSError when the chip does not take a setting.
        """
        while True:
            size = self._arrive()
            if not size:
                return None
            body = bytes(self._view[6 : size - 4])
            is_report = self._frame[0] == 0xF4
            targets = decode(body, self._max_m) if is_report else None
            # What cannot be believed may be a head by chance, with whole reports behind it.
            self._drop(1 if is_report and targets is None else size)
            if not is_report:
                self._answered(body)
            elif targets is None:
                self.garbled += 1
            elif self.configured:
                return targets

    def more(self):
        """Whether another report waits, or most of one."""
        return self._have + self._uart.any() >= _ENVELOPE

    def _say(self, command, value=b""):
        self._asked = command
        self._uart.write(_HEADS[0xFD] + bytes((2 + len(value), 0, command, 0)) + value + _TAILS[0xFD])

    def _answered(self, body):
        if len(body) < 4 or body[0] != self._asked or body[1] != 1:
            return  # to something that was asked before
        if body[2] | body[3]:
            raise OSError(5, "the radar refuses command 0x%02x" % body[0])
        if body[0] == _END:
            self._asked = None
            self.configured = True
            return
        wanted = self._wanted.get(body[0])
        if wanted and body[4 : 4 + len(wanted)] != wanted:
            if self._written == 2:
                raise OSError(5, "the radar does not keep its settings")
            self._written += 1
            self._say(_SET if body[0] == _GET else _SET_SENSITIVITY, (wanted + b"\x00\x00")[:4])
        else:
            self._say(_NEXT[body[0]])

    def _arrive(self):
        """Bring the next whole frame to the buffer's beginning; its size, 0 when there is none yet."""
        while True:
            need = self._need()
            if need <= self._have:
                return need
            got = self._uart.readinto(self._view[self._have : need])
            if not got:
                return 0
            self._have += got

    def _need(self):
        """How many bytes the frame takes that the buffer begins with. What cannot begin one is dropped."""
        while self._have:
            head = _HEADS.get(self._frame[0])
            if head and head.startswith(bytes(self._view[: min(self._have, 4)])):
                if self._have < 6:
                    return _ENVELOPE
                need = _ENVELOPE + (self._frame[4] | self._frame[5] << 8)
                if need <= _SIZE and (self._have < need or self._frame[need - 4 : need] == _TAILS[self._frame[0]]):
                    return need
                self.garbled += 1
            # The next frame may begin in what was taken for this one.
            at = 1
            while at < self._have and self._frame[at] not in _HEADS:
                at += 1
            self._drop(at)
        return _ENVELOPE

    def _drop(self, n):
        self._have -= n
        self._frame[: self._have] = bytes(self._view[n : n + self._have])


def decode(body, max_m):
    """[(angle in degrees, m, approaching, km/h)] of a report's body; None for one that cannot be believed.

    Frames have no check code. What the chip was told not to report, or what no vehicle does, was garbled on the way.
    """
    if not body:
        return []
    if len(body) < 2 or len(body) != 2 + 5 * body[0]:
        return None
    targets = []
    for at in range(2, len(body), 5):
        angle, metres, direction, kmh = body[at] - 0x80, body[at + 1], body[at + 2], body[at + 3]
        if not -90 <= angle <= 90 or metres > max_m or direction > APPROACHING or not 1 <= kmh <= _FASTEST_KMH:
            return None
        targets.append((angle, metres, direction == APPROACHING, kmh))
    return targets


_TRACKS = const(16)
_HITS = const(5)  # what is seen so often and moves so far, and about as far as its speed tells, is a vehicle
_MOVED_CM = const(1_000)
_NEW_MS = const(400)  # unseen for so long, what is not known for one yet is forgotten
_COAST_MS = const(2_000)  # and a vehicle, which until then is taken to drive on
_SLOW_CM_S = const(560)  # but below 20 km/h, unseen for more than two reports, it is taken to stop
_MISSED_MS = const(250)
_STOP_MS = const(180_000)  # and is waited for
_NEAR_CM = const(600)  # if it is not farther beyond the line
_ALMOST_MS = const(1_000)  # what comes into sight beyond the line was before it so long ago, if it is to be counted
_ONE_CM, _ONE_CM_S, _ONE_DEG = const(400), const(150), const(8)  # so near to one, it is another part of that


class Track:
    """What may be one vehicle. It moves towards and beyond the counting line: `at` grows, and is 0 there."""

    def __init__(self):
        self.hits = 0  # 0: nobody's

    def begin(self, approaching, at, cm_s, angle):
        self.approaching = approaching
        self.at = self.first = at  # cm
        self.moved = self.gone = 0  # cm: seen to, and going by its speed
        self.cm_s = cm_s
        self.angle = angle << 3  # in eighths of a degree
        self.unseen = 0  # ms
        self.hits = 1
        self.due = at <= cm_s * _ALMOST_MS // 1000  # to be counted at the line

    def vehicle(self):
        return self.hits >= _HITS and self.moved >= _MOVED_CM and self.moved * 2 >= self.gone

    def go(self, ms):
        """Time passes."""
        if self.unseen > _MISSED_MS and self.cm_s < _SLOW_CM_S:
            self.cm_s -= self.cm_s * min(ms, 400) // 400
        self.unseen += ms
        way = self.cm_s * min(ms, _COAST_MS) // 1000
        self.at += way
        self.gone += way
        if self.unseen > self.patience():
            self.hits = 0

    def patience(self):
        """For how long (ms) it is kept unseen."""
        if not self.vehicle():
            return _NEW_MS
        # Well beyond the line it is not counted when it moves on, known or not.
        return _STOP_MS if self.cm_s < _SLOW_CM_S and (self.due or self.at < _NEAR_CM) else _COAST_MS

    def cost(self, at, cm_s, angle):
        """How badly a target fits; None when it cannot be this one."""
        # 7 m/s2 is hard braking; where it got to meanwhile is half as uncertain. Near the radar an angle changes fast.
        more = min(self.unseen * 7 // 10, 500)
        off, off_speed, off_angle = abs(at - self.at), abs(cm_s - self.cm_s), abs(angle - (self.angle >> 3))
        if off > 250 + (more >> 1) or off_speed > 220 + more or off_angle > 12:
            return None
        return off + off_speed + off_angle * 8 + more

    def hit(self, at, cm_s, angle):
        self.at += (at - self.at) >> 2
        self.cm_s += (cm_s - self.cm_s) >> 1
        self.angle += ((angle << 3) - self.angle) >> 1
        self.unseen = 0
        self.hits += 1
        self.moved = min(at, self.at) - self.first


class Tracker:
    """From reports to vehicles. Pure: fed with reports and the ms between them.

    The chip does not say which target is which, so each is given to the track that it fits best: where that should be
    by now, going that way, about as fast. `on_vehicle(approaching, cm_s)` is called once for each vehicle that passes
    the line, `line_m` from the radar: seen, or on its way there when last seen. Its speed is that along the road, if
    that is where the radar looks. What does not move as fast as it says, as trees do, is none.
    """

    def __init__(self, line_m, max_m, on_vehicle):
        self._line = line_m * 100
        self._end = max_m * 100
        self._on_vehicle = on_vehicle
        self._tracks = [Track() for _ in range(_TRACKS)]
        self._pairs = []

    def feed(self, targets, ms):
        """A report that came `ms` after the one before, or no target when none came. Call it a few times a second."""
        for track in self._tracks:
            if track.hits:
                track.go(ms)
        self._assign(targets)
        for track in self._tracks:
            if track.hits:
                self._look(track)

    def _assign(self, targets):
        pairs, tracks = self._pairs, self._tracks
        pairs.clear()
        for i, (angle, metres, approaching, kmh) in enumerate(targets):
            at, cm_s = self._place(metres, approaching), kmh * 250 // 9
            for j, track in enumerate(tracks):
                if track.hits and track.approaching == approaching:
                    cost = track.cost(at, cm_s, angle)
                    if cost is not None:
                        pairs.append(cost << 8 | i << 4 | j)
        pairs.sort()
        free_targets, free_tracks = (1 << len(targets)) - 1, (1 << _TRACKS) - 1
        for pair in pairs:
            i, j = pair >> 4 & 15, pair & 15
            if free_targets >> i & 1 and free_tracks >> j & 1:
                free_targets ^= 1 << i
                free_tracks ^= 1 << j
                angle, metres, approaching, kmh = targets[i]
                tracks[j].hit(self._place(metres, approaching), kmh * 250 // 9, angle)
        for i, (angle, metres, approaching, kmh) in enumerate(targets):
            if free_targets >> i & 1:
                self._begin(approaching, self._place(metres, approaching), kmh * 250 // 9, angle)

    def _place(self, metres, approaching):
        return self._line - metres * 100 if approaching else metres * 100 - self._line

    def _begin(self, approaching, at, cm_s, angle):
        free = None
        for track in self._tracks:
            if not track.hits:
                free = track
            elif (
                track.approaching == approaching
                and track.unseen <= _ALMOST_MS
                and abs(track.at - at) < _ONE_CM
                and abs(track.cm_s - cm_s) < _ONE_CM_S
                and abs((track.angle >> 3) - angle) < _ONE_DEG
            ):
                return
        if free is None:
            # The least loss: it would be found again before it comes to the line, or has passed it.
            free = max(self._tracks, key=lambda track: track.unseen and abs(track.at))
        free.begin(approaching, at, cm_s, angle)

    def _look(self, track):
        if track.due and track.at >= 0 and track.vehicle():
            track.due = False
            # The radar sees the part of the speed that is along its line of sight: v cos a; a cosine is 1 - a2 / 2.
            angle = track.angle >> 3
            self._on_vehicle(track.approaching, track.cm_s + track.cm_s * angle * angle // 6566)
        if track.at > (self._line if track.approaching else self._end + 1_000 - self._line):
            track.hits = 0  # gone by, or out of reach
