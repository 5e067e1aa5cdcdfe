"""What can happen in the city: the kinds of incident, and the calendar of those of one run."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

import numpy as np
from msgspec import Struct

STUCK: Final = 1
DEAD: Final = 2
TAMPER: Final = 4
NO_POWER: Final = 8

IncidentKind = Literal[
    "crash", "roadworks", "crowd",
    "leak", "burst", "backflow", "main_leak", "main_burst",
    "smoke", "fire",
    "stuck", "drift", "dead", "tamper", "power_cut",
]  # fmt: skip

Target = Literal["street", "district", "traffic", "water", "air", "node", "city"]
"""What an incident can be at; `node` is one of any kind, `city` all of it, which has no name."""

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY_MIN: Final = 24 * 60


class Kind(Struct, frozen=True):
    """One line of the table."""

    domain: Literal["streets", "pipes", "air", "nodes"]
    at: tuple[Target, ...]
    """Where it can be; the first is where `[random]` puts it."""
    shows_as: str
    """The kind of incident the gateway calls it."""
    size: tuple[float, float, float]
    """Least, most, and when nothing is said."""
    unit: str
    """Of the size; what it means."""
    ramp: int
    """Minutes until it has grown to its size; 0: all of its time."""
    lasts: int
    """Minutes that it usually takes: for `[random]`."""
    shows_after_s: int
    """How long it must show before a gateway can fairly be expected to have noticed."""
    bit: int = 0
    """Of the faults of the nodes it is at."""


_NO_SIZE: Final = (0.0, 0.0, 0.0)

# How long each must last: a burst is 30 minutes of high flow by Kamstrup's rule, a stuck sensor 30 equal minutes; five
# more are for it to grow. A leak is a day without an hour at rest (Kamstrup's and Diehl's info code LEAK), one in a
# main two nights of a minimum that has risen; a sensor's drift shows over days. Jams and bad air show in minutes.
KINDS: Final[Mapping[IncidentKind, Kind]] = {
    "crash": Kind("streets", ("street", "traffic"), "jam", (0.1, 0.95, 0.35), "share of capacity left", 1, 35, 8 * 60),
    "roadworks": Kind(
        "streets", ("street", "traffic"), "jam", (0.1, 0.95, 0.5), "share of capacity left", 1, 3 * DAY_MIN, 8 * 60
    ),
    "crowd": Kind(
        "streets",
        ("street", "traffic"),
        "jam",
        (50, 20_000, 1800),
        "vehicles an hour, before and after",
        1,
        150,
        8 * 60,
    ),
    "leak": Kind("pipes", ("water",), "leak", (1, 2000, 40), "l/h at usual pressure", 60, 5 * DAY_MIN, 25 * HOUR),
    "burst": Kind("pipes", ("water",), "burst", (50, 50_000, 1800), "l/h at usual pressure", 1, 180, 35 * MINUTE),
    "backflow": Kind("pipes", ("water",), "backflow", (1, 5000, 300), "l/h backwards", 1, 45, 10 * MINUTE),
    "main_leak": Kind(
        "pipes", ("district",), "main_leak", (50, 100_000, 3000), "l/h at usual pressure", 120, 10 * DAY_MIN, 50 * HOUR
    ),
    "main_burst": Kind(
        "pipes", ("district",), "main_burst", (1000, 1e6, 60_000), "l/h at usual pressure", 2, 240, HOUR
    ),
    "smoke": Kind("air", ("city",), "air_episode", (10, 2000, 95), "µg/m³ of PM2.5", 5, 240, 20 * MINUTE),
    "fire": Kind("air", ("district",), "air_episode", (10, 5000, 250), "µg/m³ of PM2.5", 5, 120, 20 * MINUTE),
    "stuck": Kind("nodes", ("air",), "stuck", _NO_SIZE, "no size", 1, 360, 35 * MINUTE, STUCK),
    "drift": Kind(
        "nodes", ("air", "water", "traffic"), "drift", (0.1, 10, 1.4), "factor at its end", 0, 20 * DAY_MIN, 168 * HOUR
    ),
    "dead": Kind("nodes", ("node",), "silent", _NO_SIZE, "no size", 1, DAY_MIN, 15 * MINUTE, DEAD),
    "tamper": Kind("nodes", ("node",), "tamper", _NO_SIZE, "no size", 1, 20, 5 * MINUTE, TAMPER),
    "power_cut": Kind("nodes", ("district", "node"), "silent", _NO_SIZE, "no size", 1, 60, 15 * MINUTE, NO_POWER),
}
assert tuple(KINDS) == get_args(IncidentKind)

CROWD_MIN: Final = 45
"""Minutes before an event in which its crowd comes, and after it, in which it goes."""
MONTH_D: Final = 30


class Event(Struct, frozen=True):
    """One incident of one run. Minutes after the city's start."""

    number: int
    """Its own among those of the run."""
    kind: IncidentKind
    at: str
    """Name of a street, a district or a node; empty for the whole city."""
    along: float
    """How far along a street, as a share of its length."""
    begin: int
    end: int
    size: float

    def strength(self, minute: int) -> float:
        """0 to 1 in any minute."""
        if not self.begin <= minute < self.end:
            return 0.0
        return min(1.0, (minute - self.begin + 1) / (KINDS[self.kind].ramp or self.end - self.begin))

    def steady(self, minute: int) -> bool:
        """Whether its strength stays as it is in this minute until it ends."""
        return minute - self.begin + 1 >= (KINDS[self.kind].ramp or self.end - self.begin)


class Plan(Struct, frozen=True):
    """What the scenario wants to happen, in minutes after the start."""

    kind: IncidentKind
    at: str
    along: float
    begin: int
    end: int
    size: float
    daily: bool


class Calendar:
    """All incidents of a run, day by day, without end: what is planned, and what chance brings."""

    def __init__(
        self,
        plans: Sequence[Plan],
        rates: Mapping[IncidentKind, float],
        targets: Mapping[Target, Sequence[str]],
        seed: np.random.SeedSequence,
    ) -> None:
        """`rates` are a month and place, `targets` the names of all places of a sort."""
        self._plans = plans
        self._rates = rates
        self._targets = targets
        self._seed = seed
        self._days = 0
        self._taken: dict[tuple[str, str], int] = {}
        self.events: list[Event] = []
        """Of all days that have been asked for, in order of their numbers."""

    def until(self, minute: int) -> list[Event]:
        """All that begin before a minute."""
        self.reach(minute)
        return [each for each in self.events if each.begin < minute]

    def reach(self, minute: int) -> None:
        """Have `events` of all days before a minute. A day is the same whenever it is asked for."""
        while self._days * DAY_MIN < minute:
            for plan in self._plans:
                # Not to be delayed by an older one: it is asked for.
                offset = (self._days - plan.begin // DAY_MIN) * DAY_MIN
                if offset == 0 or (plan.daily and offset > 0):
                    self._add(plan.kind, plan.at, plan.along, plan.begin + offset, plan.end + offset, plan.size)
            for index, kind in enumerate(KINDS):
                if self._rates.get(kind):
                    self._by_chance(kind, index)
            self._days += 1

    def _by_chance(self, kind: IncidentKind, index: int) -> None:
        """A Poisson number of incidents of a day, each with a size and a length around the usual."""
        line = KINDS[kind]
        names = self._targets[line.at[0]]
        # Dice of its own for each day and kind: another rate of one changes nothing of the others.
        key = (*self._seed.spawn_key, self._days, index)
        dice = np.random.default_rng(np.random.SeedSequence(self._seed.entropy, spawn_key=key))
        for moment in np.sort(dice.integers(0, DAY_MIN, dice.poisson(self._rates[kind] * len(names) / MONTH_D))):
            place, along = names[int(dice.integers(len(names)))], float(dice.random())
            size = float(np.clip(line.size[2] * dice.lognormal(0, 0.35), *line.size[:2]))
            begin = self._days * DAY_MIN + int(moment)
            end = begin + max(5, round(line.lasts * dice.lognormal(0, 0.4)))
            if begin >= self._taken.get((kind, place), 0):
                self._add(kind, place, along, begin, end, size)

    def _add(self, kind: IncidentKind, at: str, along: float, begin: int, end: int, size: float) -> None:
        self._taken[kind, at] = max(end, self._taken.get((kind, at), 0))
        self.events.append(Event(len(self.events), kind, at, along, begin, end, size))
