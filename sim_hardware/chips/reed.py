"""A water meter with a reed contact: flow in, closures with bounce out."""

from .noise import Noise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Flow = tuple[int, int]
    """(ml/h, until when it holds in us)"""

_HOUR_US = 3_600_000_000
_CLOSED_PERCENT = 40  # of a turn the magnet is near the contact
_BOUNCES = 2  # times that the contact opens again after closing, and closes after opening
_BOUNCE_US = 900


class ReedMeter:
    """The contact's edges, in order of time. It pulls its pin to 0 while closed, once per `ml_per_pulse`.

    `flow(us)` gives the flow at a time and until when it holds, or None while that is not known; it is asked again
    then. Times only grow. Fault: `stuck` keeps the contact as it is, while the water runs on.
    """

    def __init__(
        self,
        pin: int,
        flow: "Callable[[int], Flow | None]",
        ml_per_pulse: int = 1_000,
        start_us: int = 0,
        seed: int = 1,
    ) -> None:
        self.stuck = False
        self._pin = pin
        self._flow = flow
        self._noise = Noise(seed)
        self._level = 1
        self._at = start_us
        # Volume is counted in ml/h times us, so that nothing is ever rounded away.
        turn = ml_per_pulse * _HOUR_US
        self._parts = (turn * _CLOSED_PERCENT // 100, turn - turn * _CLOSED_PERCENT // 100)
        self._closed = False
        self._left = self._parts[1] // 2
        self._due: int | None = None
        self._bounces: list[tuple[int, int]] = []  # (us, level)

    def levels(self) -> "tuple[tuple[int, int], ...]":
        """(pin, level) now."""
        return ((self._pin, self._level),)

    def next_us(self) -> "int | None":
        """When the next edge comes, or None while it cannot be known."""
        if self._bounces:
            return self._bounces[0][0]
        while self._due is None:
            flow = self._flow(self._at)
            if flow is None:
                return None
            rate, until = flow
            if rate * (until - self._at) < self._left:
                self._left -= rate * (until - self._at)
                self._at = until
            else:
                self._due = self._at + (self._left + rate - 1) // rate
        return self._due

    def fire(self) -> "tuple[int, int]":
        """(pin, level) of that edge, which is then past."""
        level = self._bounces.pop(0)[1] if self._bounces else self._turn()
        if not self.stuck:
            self._level = level
        return self._pin, self._level

    def _turn(self) -> int:
        """The magnet comes or goes, at `_due`."""
        due = self._due
        assert due is not None
        self._closed = not self._closed
        level = 0 if self._closed else 1
        at = due
        for _ in range(_BOUNCES):
            for each in (1 - level, level):
                at += 100 + self._noise.below(_BOUNCE_US)
                self._bounces.append((at, each))
        # What ran through during the bounces is still to be accounted for, and is: time goes on from `due`.
        rate = self._flow(self._at)
        assert rate is not None
        self._left += self._parts[0 if self._closed else 1] - rate[0] * (due - self._at)
        self._at, self._due = due, None
        return level
