"""HLK-LD2451 traffic radar on a UART at 115200 baud (serial protocol V1.03), and a lane of vehicles before it."""

from math import atan2, degrees, sqrt

from .noise import Noise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Place = tuple[float, float, float]
    """(metres along the road before the radar, metres to its right, m/s along the road: below 0 coming nearer)"""
    Target = tuple[int, int, int, int, int]
    """(strength of its echo, angle, metres, direction, km/h) as the chip measures them"""

_FRAME_MS = 100
_ANSWER_MS = 20
_TARGETS = 5  # a frame has room for so many: the strongest
_BEAM_DEG = 20
_NEAREST_M = 2.0
_AWAY, _APPROACHING, _BOTH = 0, 1, 2
_FACTORY_DETECTION = b"\x64\x01\x00\x02"  # 100 m, approaching only, any speed, 2 s
_FACTORY_SENSITIVITY = b"\x01\x04\x00\x00"
_VERSION = b"\x51\x24\x01\x01\x10\x15\x05\x24"


def _frame(head: bytes, body: bytes, tail: bytes) -> bytes:
    return head + bytes((len(body) & 0xFF, len(body) >> 8)) + body + tail


def answer(command: int, status: int, data: bytes = b"") -> bytes:
    """What the chip answers to a command; status 0 is success."""
    return _frame(b"\xfd\xfc\xfb\xfa", bytes((command, 1, status, 0)) + data, b"\x04\x03\x02\x01")


def report(targets: "list[tuple[int, int, int, int, int]]") -> bytes:
    """A report of (angle, metres, direction, km/h, signal to noise) each; without any it has no body at all."""
    body = b""
    if targets:
        body = bytes((len(targets), int(any(target[2] == _APPROACHING for target in targets))))
    for angle, metres, direction, kmh, snr in targets:
        body += bytes((angle + 0x80, metres, direction, kmh, snr))
    return _frame(b"\xf4\xf3\xf2\xf1", body, b"\xf8\xf7\xf6\xf5")


def _alike(one: "Target", other: "Target") -> bool:
    """Whether two echoes are one to the radar: same direction, within 2 m, 2 km/h and 6 degrees."""
    return (
        one[3] == other[3] and abs(one[1] - other[1]) < 6 and abs(one[2] - other[2]) < 2 and abs(one[4] - other[4]) < 2
    )


class LD2451:
    """Reports ten times a second, in the order of strength, what moves in its beam.

    `vehicles(ms)` gives their places at that time; `clock_ms()` any running milliseconds. The radar sees distance and
    speed along its own line of sight.
    What makes its life hard: `drop` (of 1000 echoes so many are missed), `ghosts` (of 1000 frames so many have an echo
    of nothing), `split` (of 1000 echoes so many come twice, as of a lorry), `clutter` (Places that stay where they are
    though they move: trees in the wind). `quiet` chips send nothing while they see nothing; some in the field do.
    Faults: `drift` is a factor on speed and distance, `stuck` repeats the last report, `dead` says nothing, `garbled`
    spoils a byte of each frame.
    """

    def __init__(
        self, clock_ms: "Callable[[], int]", vehicles: "Callable[[int], Iterable[Place]]", seed: int = 1
    ) -> None:
        self.drift = 1.0
        self.stuck = self.dead = self.garbled = self.quiet = False
        self.drop = self.ghosts = self.split = 0
        self.clutter: list[Place] = []
        self.detection = _FACTORY_DETECTION  # max distance, direction, min speed, delay; kept over a loss of power
        self.sensitivity = _FACTORY_SENSITIVITY
        self.writes = 0  # to the memory of the two, which wears
        self._clock_ms = clock_ms
        self._vehicles = vehicles
        self._noise = Noise(seed)
        self._received = b""
        self._answers: list[tuple[int, bytes]] = []  # (due, frame)
        self._configuring = False
        self._next = clock_ms() + _FRAME_MS
        self._last = report([])

    def receive(self, data: bytes) -> None:
        """Bytes from the host: `FD FC FB FA`, length, command and its value, `04 03 02 01`."""
        self._received += data
        while len(self._received) >= 12:
            size = 10 + (self._received[4] | self._received[5] << 8)
            if self._received[:4] != b"\xfd\xfc\xfb\xfa" or not 12 <= size <= 64:
                self._received = self._received[1:]
            elif len(self._received) < size:
                return
            elif self._received[size - 4 : size] != b"\x04\x03\x02\x01":
                self._received = self._received[1:]
            else:
                command, value = self._received[6], self._received[8 : size - 4]
                self._received = self._received[size:]
                if not self.dead:
                    self._answers.append((self._clock_ms() + _ANSWER_MS, self._obey(command, value)))

    def _obey(self, command: int, value: bytes) -> bytes:
        if command == 0xFF:
            self._configuring = True
            return answer(command, 0, b"\x01\x00\x40\x00")  # version of the protocol, size of its buffer
        if not self._configuring:
            return answer(command, 1)
        known = {0x12: self.detection, 0x13: self.sensitivity, 0xA0: _VERSION}
        if command in known:
            return answer(command, 0, known[command])
        if command == 0xFE:
            self._configuring = False
            self._next = self._clock_ms() + _FRAME_MS
        elif command == 0x02 and len(value) == 4 and value[0] >= 10 and value[1] <= _BOTH and value[2] <= 120:
            self.detection = value
            self.writes += 1
        elif command == 0x03 and len(value) == 4 and (value[1] == 0 or 3 <= value[1] <= 8):
            self.sensitivity = value
            self.writes += 1
        elif command == 0xA2:
            self.detection, self.sensitivity = _FACTORY_DETECTION, _FACTORY_SENSITIVITY
        elif command == 0xA3:
            self._configuring = False
        else:
            return answer(command, 1)
        return answer(command, 0)

    def due_ms(self) -> "int | None":
        """When `transmit` has bytes next, or None. A quiet chip may have none then."""
        if self.dead:
            return None
        if self._answers:
            return self._answers[0][0]
        return None if self._configuring else self._next

    def transmit(self, now: int) -> bytes:
        """The bytes that are due at `now`; empty when none are."""
        due = self.due_ms()
        if due is None or due > now:
            return b""
        if self._answers:
            return self._on_the_line(self._answers.pop(0)[1])
        # A host that was away for long has missed frames: they are not sent late.
        self._next += (now - self._next) // _FRAME_MS * _FRAME_MS + _FRAME_MS
        if not self.stuck:
            targets = self._look(now)
            self._last = b"" if self.quiet and not targets else report(targets)
        return self._on_the_line(self._last)

    def _on_the_line(self, frame: bytes) -> bytes:
        if not (self.garbled and frame):
            return frame
        at = self._noise.below(len(frame))
        return frame[:at] + bytes((frame[at] ^ 1 + self._noise.below(255),)) + frame[at + 1 :]

    def _look(self, now: int) -> "list[tuple[int, int, int, int, int]]":
        echoes: list[Target] = []
        for along, across, m_s in self._vehicles(now):
            self._echo(echoes, along, across, m_s)
        for along, across, m_s in self.clutter:
            self._echo(echoes, along, across, m_s if self._noise.below(2) else -m_s)
        if self._happens(self.ghosts):
            speed = (5 + self._noise.below(100)) / 3.6
            metres, angle = 3.0 + self._noise.below(97), self._noise.below(40) - 20.0
            self._measure(echoes, metres, angle, speed if self._noise.below(2) else -speed)
        # What it cannot tell apart is one target: the stronger.
        echoes.sort(reverse=True)
        told: list[Target] = []
        for one in echoes:
            if len(told) < _TARGETS and not any(_alike(one, other) for other in told):
                told.append(one)
        return [(angle, metres, direction, kmh, strength) for strength, angle, metres, direction, kmh in told]

    def _echo(self, echoes: "list[Target]", along: float, across: float, m_s: float) -> None:
        metres = sqrt(along * along + across * across)
        angle = degrees(atan2(across, along))
        if abs(angle) > _BEAM_DEG or self._happens(self.drop):
            return
        self._measure(echoes, metres, angle, m_s * along / metres)
        if self._happens(self.split):
            self._measure(echoes, metres + self._noise.below(3000) / 1000, angle, m_s * along / metres)

    def _happens(self, of_1000: int) -> bool:
        return self._noise.below(1000) < of_1000

    def _measure(self, echoes: "list[Target]", metres: float, angle: float, m_s: float) -> None:
        """Whole metres within 1.5 m, whole km/h within 1.3, degrees within 2.5."""
        direction = _APPROACHING if m_s < 0 else _AWAY
        kmh = int(self._noise.around(abs(m_s) * 3.6, 0.8) * self.drift + 0.5)
        shown = int(self._noise.around(metres, 1.0) * self.drift + 0.5)
        farthest, wanted, slowest, _ = self.detection
        if shown > farthest or shown < _NEAREST_M or kmh < max(1, slowest) or kmh > 255:
            return
        if wanted in (direction, _BOTH):
            strength = int(40 - metres / 4 + self._noise.below(7))
            echoes.append((strength, round(self._noise.around(angle, 2.0)), shown, direction, kmh))


class Lane:
    """Vehicles one behind the other, as they drive past a radar at the roadside; none overtakes, none is driven into.

    `vehicles(after_us)` is that of a `LoopPair`: (when it comes in us, mm/s that it would like, mm long). They come
    into sight at the lane's beginning: at `span_m` before the radar when they approach, 5 m behind it when not.
    `across_m` is how far the lane is to the radar's right. `closed` is a distance along the road at which a red light
    holds those that have not passed it and can still brake, or None. `passed` is how many came by `line_m`, `speeds`
    the sum of their m/s there.
    """

    _STEP_MS = 100
    _BEHIND_M = 5.0

    def __init__(
        self,
        vehicles: "Callable[[int], tuple[int, int, int] | None]",
        approaching: bool,
        across_m: float = 3.0,
        line_m: float = 25.0,
        start_ms: int = 0,
        span_m: float = 120.0,
    ) -> None:
        self.closed: float | None = None
        self.passed = 0
        self.speeds = 0.0
        self._vehicles = vehicles
        self._approaching = approaching
        self._across = across_m
        self._line = sqrt(line_m * line_m - across_m * across_m)
        self._now = start_ms
        self._span = span_m
        self._length = span_m + self._BEHIND_M
        self._after = start_ms * 1000
        self._coming: tuple[int, int, int] | None = None
        # [metres since the beginning, m/s, m/s wanted, metres long] of each, the first first
        self._road: list[list[float]] = []

    def __call__(self, ms: int) -> "list[Place]":
        """Where they are at that time, which never goes back."""
        while self._now + self._STEP_MS <= ms:
            self._now += self._STEP_MS
            self._drive(self._STEP_MS / 1000)
            self._enter()
        sign = -1.0 if self._approaching else 1.0
        return [(self._along(at), self._across, sign * m_s) for at, m_s, _, _ in self._road if m_s > 0]

    def _along(self, at: float) -> float:
        return self._span - at if self._approaching else at - self._BEHIND_M

    def _enter(self) -> None:
        if self._coming is None:
            self._coming = self._vehicles(self._after)
        if self._coming is None or self._coming[0] > self._now * 1000:
            return
        us, mm_s, mm = self._coming
        m_s = mm_s / 1000
        if self._road:
            free = self._road[-1][0] - self._road[-1][3] - 2.0
            if free < 2.0:
                return
            m_s = min(m_s, self._safe(free, self._road[-1][1]))
        self._after, self._coming = us, None
        self._road.append([0.0, m_s, mm_s / 1000, mm / 1000])

    def _drive(self, s: float) -> None:
        ahead, next_m_s = 1e9, 0.0
        stop = None
        if self.closed is not None:
            stop = self._span - self.closed if self._approaching else self.closed + self._BEHIND_M
        for vehicle in self._road:
            at, m_s, wanted, long = vehicle
            m_s = min(wanted, m_s + 2.0 * s, self._safe(ahead - at - 2.0, next_m_s))
            if stop is not None and at < stop and self._safe(stop - at, 0.0) > m_s - 6.0 * s:
                m_s = min(m_s, self._safe(stop - at, 0.0))
            if m_s < 0.1:
                m_s = 0.0
            vehicle[0], vehicle[1] = at + m_s * s, m_s
            before, after = self._along(at) - self._line, self._along(vehicle[0]) - self._line
            if (before > 0) != (after > 0):
                self.passed += 1
                self.speeds += m_s
            ahead, next_m_s = vehicle[0] - long, m_s
        if self._road and self._road[0][0] > self._length:
            self._road.pop(0)

    @staticmethod
    def _safe(free: float, next_m_s: float) -> float:
        """How fast one may drive who needs a second to react and brakes with 3.5 m/s2, as the one ahead (Gipps)."""
        return sqrt(3.5 * 3.5 + next_m_s * next_m_s + 7.0 * free) - 3.5 if free > 0 else 0.0
