"""Two inductive loops in one lane and their detectors: vehicles in, edges out."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Vehicle = tuple[int, int, int]
    """(arrival of the front at the first loop in us, speed in mm/s, length in mm). One with a speed below 0 drives
    against the lane: it arrives at the second loop first."""

_CLEAR_US = 300_000  # from one vehicle's leaving a loop to the next one's coming: nobody drives closer


class LoopPair:
    """The edges of a lane's two detectors, in order of time.

    `vehicles(after_us)` gives the next vehicle, arriving after `after_us`, or None while none is known; it is asked
    again then. A vehicle that would drive into the one before it is held back until there is room.
    `spacing_mm` is from front edge to front edge; a detector pulls its pin to `active` while a vehicle is over it.
    Faults: pins named in `stuck` keep the level they have; `dead` detectors let go of theirs.
    """

    def __init__(
        self,
        pins: "tuple[int, int]",
        vehicles: "Callable[[int], Vehicle | None]",
        start_us: int = 0,
        spacing_mm: int = 4_000,
        loop_mm: int = 2_000,
        active: int = 0,
    ) -> None:
        self.stuck: tuple[int, ...] = ()
        self.dead = False
        self.drift = 1.0  # it is the street's to reckon with: which vehicles are seen at all
        self._pins = pins
        self._vehicles = vehicles
        self._spacing_mm = spacing_mm
        self._loop_mm = loop_mm
        self._active = active
        self._levels = dict.fromkeys(pins, 1 - active)
        self._events: list[tuple[int, int, int]] = []  # (us, pin, level), in order; of a few vehicles at most
        self._waiting: Vehicle | None = None
        self._after = start_us
        self._free = [start_us, start_us]  # when the last vehicle has left each loop

    def levels(self) -> "tuple[tuple[int, int], ...]":
        """(pin, level) of each pin now."""
        return tuple(self._levels.items())

    def next_us(self) -> "int | None":
        """When the next edge comes, or None while no vehicle is known."""
        while True:
            if self._waiting is None:
                self._waiting = self._fetch()
            if self._waiting and (not self._events or self._waiting[0] <= self._events[0][0]):
                self._enter(self._waiting)
                self._waiting = None
            else:
                return self._events[0][0] if self._events else None

    def fire(self) -> "tuple[int, int]":
        """(pin, level) of that edge, which is then past."""
        _, pin, level = self._events.pop(0)
        if self.dead:
            level = 1 - self._active
        if pin not in self.stuck:
            self._levels[pin] = level
        return pin, self._levels[pin]

    def _fetch(self) -> "Vehicle | None":
        vehicle = self._vehicles(self._after)
        if vehicle is None:
            return None
        us, speed, length = vehicle
        near, far = (0, 1) if speed > 0 else (1, 0)
        us = max(
            us,
            self._free[near] + _CLEAR_US,
            self._free[far] + _CLEAR_US - self._spacing_mm * 1_000_000 // abs(speed),
        )
        self._after = us
        return us, speed, length

    def _enter(self, vehicle: "Vehicle") -> None:
        us, speed, length = vehicle
        over = (length + self._loop_mm) * 1_000_000 // abs(speed)
        for loop, pin in enumerate(self._pins):
            way = self._spacing_mm * (loop if speed > 0 else 1 - loop)
            on = us + way * 1_000_000 // abs(speed)
            self._free[loop] = on + over
            self._events.append((on, pin, self._active))
            self._events.append((on + over, pin, 1 - self._active))
        self._events.sort()
