"""A water meter with one or two reed contacts: flow in, closures with bounce out."""

from .noise import Noise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Flow = tuple[int, int]
    """(ml/h, below 0 backwards, until when it holds in us)"""

    State = tuple[int, int, int, int, int]
    """See `ReedMeter.state`."""

_HOUR_US = 3_600_000_000
_CLOSED_PERCENT = 40  # of a turn the magnet is near a contact
_BOUNCES = 2  # times that a contact opens again after closing, and closes after opening
_BOUNCE_US = 900


class ReedMeter:
    """The contacts' edges, in order of time. Each pulls its pin to 0 while closed, once per turn of `ml_per_pulse`.

    `second` is the pin of a contact a quarter of a turn behind the first, which tells the direction. `flow(us)` gives
    the flow at a time and until when it holds, or None while that is not known; it is asked again then. Times only
    grow.

    The meter is a thing of its own, which turns on while its board is off. `keep(*state)` is called at the start and
    whenever the magnet has moved past a contact, before the edge is seen; with that `state` a later meter is the same
    one, and has turned unseen until `start_us`.
    `forward` and `backward` count its true turns: a turn is complete when the magnet comes to the first contact's edge,
    the mark, and the last time it was the mark before or behind. Turning back over the same mark is no turn.

    Faults: `stuck` keeps the contacts as they are, while the water runs on; `dead` contacts never close.
    """

    def __init__(
        self,
        pin: int,
        flow: "Callable[[int], Flow | None]",
        ml_per_pulse: int = 1_000,
        start_us: int = 0,
        seed: int = 1,
        second: "int | None" = None,
        state: "State | None" = None,
        keep: "Callable[..., None] | None" = None,
    ) -> None:
        self.stuck = self.dead = False
        self.drift = 1.0  # it is the city's to reckon with: how much of the water turns the wheels
        self._flow = flow
        self._keep = keep
        self._noise = Noise(seed)
        # Volume is counted in ml/h times us, so that nothing is ever rounded away.
        self._whole = turn = ml_per_pulse * _HOUR_US
        closed, quarter = turn * _CLOSED_PERCENT // 100, turn // 4
        # Places in the turn where a contact changes, and which one; upwards it closes first.
        edges = [(0, 0), (closed, 0)]
        if second is not None:
            edges += [(quarter, 1), (quarter + closed, 1)]
        edges.sort()
        self._edges = [place for place, _ in edges] + [turn]
        self._contacts = [contact for _, contact in edges]
        self._pins = (pin,) if second is None else (pin, second)
        if state is None:
            # Half-way from the first contact's opening to its next closing, having come forwards.
            state = (start_us, turn - (turn - closed) // 2, 0, 0, 0)
        self._state = state
        self._at, self._place, self._over, self.forward, self.backward = state
        self._part = max(i for i, place in enumerate(self._edges[:-1]) if place <= self._place)
        self._rate = 0
        self._due: int | None = None
        while True:
            due = self._next_move()
            if due is None or due > start_us:
                break
            self._move()
        self._closed = [self._is_closed(contact) for contact in range(len(self._pins))]
        self._levels = [0 if closed else 1 for closed in self._closed]
        self._bounces: list[tuple[int, int, int]] = []  # (us, contact, level)
        if keep:
            keep(*self.state())

    def levels(self) -> "tuple[tuple[int, int], ...]":
        """(pin, level) now, of each contact."""
        return tuple(zip(self._pins, self._levels))  # noqa: B905 - MicroPython knows no `strict`

    def state(self) -> "State":
        """Where its wheels were at the last edge, or at the start: (us, place in the turn in ml/h times us, 1 if the
        mark before it was passed last and 0 if the one behind, turns forward, turns backward).
        """
        return self._state

    def next_us(self) -> "int | None":
        """When the next edge comes, or None while it cannot be known."""
        due = self._next_move()
        if self._bounces and (due is None or self._bounces[0][0] <= due):
            return self._bounces[0][0]
        return due

    def fire(self) -> "tuple[int, int]":
        """(pin, level) of that edge, which is then past."""
        if self._bounces and self.next_us() == self._bounces[0][0]:
            _, contact, level = self._bounces.pop(0)
        else:
            contact, level = self._turn()
        if self.dead:
            level = 1
        if not self.stuck:
            self._levels[contact] = level
        return self._pins[contact], self._levels[contact]

    def _next_move(self) -> "int | None":
        """When the magnet next passes an edge."""
        while self._due is None:
            flow = self._flow(self._at)
            if flow is None:
                return None
            rate, until = flow
            # Forwards an edge is passed as soon as it is reached, backwards when it is left.
            wait = until - self._at + 1
            if rate > 0:
                wait = (self._edges[self._part + 1] - self._place + rate - 1) // rate
            elif rate < 0:
                wait = (self._place - self._edges[self._part]) // -rate + 1
            if wait > until - self._at:
                self._place += rate * (until - self._at)
                self._at = until
            else:
                self._rate, self._due = rate, self._at + wait
        return self._due

    def _move(self) -> int:
        """The magnet passes the edge at `_due`; the contact that this changes."""
        due, rate = self._due, self._rate
        assert due is not None
        # What runs through during the bounces is accounted for too: time goes on from `due`.
        self._place += rate * (due - self._at)
        self._at, self._due = due, None
        if rate < 0:
            contact = self._contacts[self._part]
            self._part -= 1
            if self._part < 0:
                self._part += len(self._contacts)
                self._place += self._whole
                self.backward += self._over
                self._over = 1
        else:
            self._part += 1
            if self._part == len(self._contacts):
                self._part = 0
                self._place -= self._whole
                self.forward += 1 - self._over
                self._over = 0
            contact = self._contacts[self._part]
        self._state = self._at, self._place, self._over, self.forward, self.backward
        return contact

    def _is_closed(self, contact: int) -> bool:
        """By the place alone: an odd number of its edges lies at or before it."""
        return self._contacts[: self._part + 1].count(contact) == 1

    def _turn(self) -> "tuple[int, int]":
        """(contact, level) of a change, which is followed by bounces."""
        contact = self._move()
        if self._keep:
            self._keep(*self.state())
        self._closed[contact] = not self._closed[contact]
        level = 0 if self._closed[contact] else 1
        bounces = [each for each in self._bounces if each[1] != contact]
        at = self._at
        for _ in range(_BOUNCES):
            for each in (1 - level, level):
                at += 100 + self._noise.below(_BOUNCE_US)
                bounces.append((at, contact, each))
        self._bounces = sorted(bounces)
        return contact, level
