"""Faults of the fleet: a TOML file that says what fails when, and the calendar of those of one run."""

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
import numpy as np
from msgspec import Meta, Struct

from gateway.errors import ConfigError
from gateway.near import hint
from gateway.quantities import KINDS as NODE_KINDS
from sim_hardware.city.checks import Wrong, lines_told
from sim_hardware.city.incidents import MINUTE
from sim_hardware.city.layout import Layout
from sim_hardware.city.tables import Clock, Span, clock, span

FaultKind = Literal[
    "kill", "power_cut", "link_loss", "link_dead", "latency", "broker_restart", "clock_jump", "flash_full"
]
DAY_S: Final = 86_400


class Kind(Struct, frozen=True):
    """One line of the table."""

    at: Literal["board", "link", "broker"]
    lasts_s: int
    """Of the city, when nothing is said; 0: it is over at once, and has no length."""
    size: tuple[float, float, float]
    """Least, most, and when nothing is said; all 0: it has none."""
    unit: str
    per_day: float
    """How often `random` has it, a day and node, or a day for what is no node's."""


_NO_SIZE: Final = (0.0, 0.0, 0.0)
_YEAR_S: Final = 365 * DAY_S

KINDS: Final[Mapping[FaultKind, Kind]] = {
    "kill": Kind("board", 0, _NO_SIZE, "no size", 1.0),
    "power_cut": Kind("board", 20 * MINUTE, _NO_SIZE, "no size", 1.0),
    "link_loss": Kind("link", 10 * MINUTE, _NO_SIZE, "no size", 2.0),
    "link_dead": Kind("link", 10 * MINUTE, _NO_SIZE, "no size", 1.0),
    "latency": Kind("link", 60 * MINUTE, (1, 60_000, 400), "ms in each direction", 1.0),
    "broker_restart": Kind("broker", MINUTE, _NO_SIZE, "no size", 4.0),
    "clock_jump": Kind("board", 0, (-_YEAR_S, _YEAR_S, 90), "s, ahead or back", 0.25),
    "flash_full": Kind("board", 60 * MINUTE, _NO_SIZE, "no size", 0.25),
}
assert tuple(KINDS) == get_args(FaultKind)
WITHIN: Final[frozenset[FaultKind]] = frozenset(("clock_jump", "flash_full"))
"""What happens within a board, which has to look for it."""

_SHARE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%")
_TRACK: Final = 6
"""Behind the six parts of the city, which spawn their dice from the same seed."""


class Planned(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[fault]]`."""

    kind: FaultKind
    at: Clock
    nodes: str | tuple[str, ...] = ()
    """Nodes, kinds of nodes, districts, or a share such as "10 %"; for what is no board's all when not said."""
    lasts: Span | None = None
    """Of the city's time; the usual when not said."""
    seconds: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    """The same for what is shorter than a minute."""
    size: float | None = None
    """In the unit of its kind; the usual when not said."""

    @property
    def named(self) -> tuple[str, ...]:
        return (self.nodes,) if isinstance(self.nodes, str) else self.nodes

    def lasts_s(self) -> int:
        """Raises ValueError."""
        if self.seconds is not None:
            return self.seconds
        return KINDS[self.kind].lasts_s if self.lasts is None else span(self.lasts) * MINUTE


class Faults(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    fault: tuple[Planned, ...] = ()
    random: dict[FaultKind, Annotated[float, Meta(ge=0, le=1000)]] = {}
    """Faults by chance: so many a day and node; of the broker so many a day."""

    def kinds(self) -> set[FaultKind]:
        """What may happen."""
        return {each.kind for each in self.fault} | {kind for kind, rate in self.random.items() if rate}


class Happening(Struct, frozen=True):
    """One fault of one run."""

    kind: FaultKind
    slots: tuple[int, ...]
    """Of the nodes that it is at; none for the broker's."""
    begin: int
    """Unix seconds of the city."""
    end: int
    size: float = 0.0


def load(given: str, layout: Layout, start: int, broker: bool) -> Faults:
    """What `--faults` says: `random`, or a file.

    `start` is the city's, in minutes of its day; `broker` is whether there is one that may be restarted. Raises
    ConfigError naming file, line, key, reason and cure.
    """
    if given == "random":
        return Faults(random={kind: line.per_day for kind, line in KINDS.items() if broker or line.at != "broker"})
    try:
        text = Path(given).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--faults {given}: {error}; name a file that is there, or `random`") from error
    return parse(text, given, layout, start, broker)


def parse(text: str, name: str, layout: Layout, start: int, broker: bool) -> Faults:
    """The text of a file; `name` is that of it, for messages. Raises ConfigError as `load` does."""
    with lines_told(text, name, "; change it"):
        given = tomllib.loads(text)
        _check_keys(given)
        faults = msgspec.convert(given, Faults)
        _check(faults, layout, start, broker)
    return faults


def _check_keys(given: Mapping[str, Any]) -> None:
    """Raises Wrong for a key that no table has, and a kind that there is not."""
    _refuse_unknown((), given, Faults.__struct_fields__, "key")
    tables, rates = given.get("fault"), given.get("random")
    for number, table in enumerate(tables if isinstance(tables, list) else ()):
        if isinstance(table, dict):
            _refuse_unknown(("fault", number), table, Planned.__struct_fields__, "key")
            if isinstance(kind := table.get("kind"), str) and kind not in KINDS:
                raise Wrong(("fault", number, "kind"), f"there is no fault {kind!r}{hint(kind, KINDS)}")
    if isinstance(rates, dict):
        _refuse_unknown(("random",), rates, KINDS, "fault")


def _refuse_unknown(path: Sequence[str | int], keys: Iterable[str], known: Collection[str], what: str) -> None:
    for key in keys:
        if key not in known:
            raise Wrong((*path, key), f"there is no such {what}{hint(key, known)}")


def _check(faults: Faults, layout: Layout, start: int, broker: bool) -> None:
    """Raises Wrong for the first thing that cannot be."""
    for number, each in enumerate(faults.fault):
        path, line = ("fault", number), KINDS[each.kind]
        if line.at == "broker" and not broker:
            raise Wrong((*path, "kind"), _NOT_OURS)
        if line.at == "broker" and each.named:
            raise Wrong((*path, "nodes"), "a broker_restart is at no node; remove it")
        if line.at == "board" and not each.named:
            raise Wrong(path, f'nodes: a {each.kind} is at boards; say at which, such as nodes = "10 %"')
        for name in each.named:
            _check_name((*path, "nodes"), name, layout)
        for key in ("lasts", "seconds"):
            if getattr(each, key) is not None and not line.lasts_s:
                raise Wrong((*path, key), f"a {each.kind} is over at once; remove it")
        if each.lasts is not None and each.seconds is not None:
            raise Wrong((*path, "seconds"), "says what lasts says already; remove one of them")
        least, most, _ = line.size
        if each.size is not None and not least <= each.size <= most:
            said = f"a {each.kind} is {least:g} to {most:g} ({line.unit})" if most else f"a {each.kind} has no size"
            raise Wrong((*path, "size"), f"{said}; {'change' if most else 'remove'} it")
        key = "at"
        try:
            if clock(each.at, start) < 0:
                raise ValueError("is before the city starts; choose a later time")
            key = "lasts"
            each.lasts_s()
        except ValueError as error:
            raise Wrong((*path, key), str(error)) from error
    if faults.random.get("broker_restart") and not broker:
        raise Wrong(("random", "broker_restart"), _NOT_OURS)


_NOT_OURS: Final = "the broker is not this command's own; remove it, or use ganglion demo, which has one"


def _check_name(path: Sequence[str | int], name: str, layout: Layout) -> None:
    if found := _SHARE.fullmatch(name.strip()):
        if not 0 < float(found[1]) <= 100:
            raise Wrong(path, f"{name!r} is no share; write more than 0 %, and 100 % at most")
    elif not _known(name, layout):
        known = [*NODE_KINDS, *(each for each, (sort, _) in layout.names.items() if sort != "street")]
        raise Wrong(path, f"this fleet has no node, kind of node or district {name!r}{hint(name, known)}")


def _known(name: str, layout: Layout) -> bool:
    return name in NODE_KINDS or layout.names.get(name, ("street", 0))[0] != "street"


def at_nodes(names: Iterable[str], layout: Layout, dice: np.random.Generator) -> tuple[int, ...]:
    """The slots that are meant, in order; a share is drawn from all. No name stands for all of them."""
    whole, found = len(layout.places), set[int]()
    for name in names:
        if share := _SHARE.fullmatch(name.strip()):
            count = max(1, round(whole * float(share[1]) / 100))
            found |= set(dice.choice(whole, count, replace=False).tolist())
        elif name in NODE_KINDS:
            found |= set(layout.slots[name].tolist())
        else:
            sort, index = layout.names[name]
            found |= set(np.flatnonzero(layout.district_of() == index).tolist()) if sort == "district" else {index}
    return tuple(sorted(found)) or (() if names else tuple(range(whole)))


class Calendar:
    """All faults of a run, day by day, without end. The same seed gives the same."""

    def __init__(self, faults: Faults, layout: Layout, start: int, seed: int) -> None:
        """`start` is the city's, in Unix seconds."""
        self._faults, self._start, self._seed = faults, start, seed
        self._nodes = len(layout.places)
        self._days = 0
        self._soon = [self._planned(number, each, layout) for number, each in enumerate(faults.fault)]
        self._sort()

    def reachable(self) -> tuple[int, ...]:
        """The slots of all nodes whose link may fail."""
        links = [kind for kind, line in KINDS.items() if line.at == "link"]
        if any(self._faults.random.get(kind) for kind in links):
            return tuple(range(self._nodes))
        return tuple(sorted({slot for each in self._soon if each.kind in links for slot in each.slots}))

    def due(self, now: int) -> list[Happening]:
        """Those that have begun by `now` (Unix seconds) and have not been given yet, in order."""
        while self._start + self._days * DAY_S <= now:
            for index, kind in enumerate(KINDS):
                self._by_chance(kind, index)
            self._days += 1
            self._sort()
        found = []
        while self._soon and self._soon[-1].begin <= now:
            found.append(self._soon.pop())
        return found

    def _sort(self) -> None:
        """The first comes last."""
        self._soon.sort(key=lambda each: (each.begin, list(KINDS).index(each.kind), each.slots), reverse=True)

    def _dice(self, *track: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(_TRACK, *track)))

    def _planned(self, number: int, each: Planned, layout: Layout) -> Happening:
        begin = self._start + MINUTE * clock(each.at, self._start % DAY_S // MINUTE)
        size = KINDS[each.kind].size[2] if each.size is None else each.size
        slots = at_nodes(each.named, layout, self._dice(0, number)) if KINDS[each.kind].at != "broker" else ()
        return Happening(each.kind, slots, begin, begin + each.lasts_s(), size)

    def _by_chance(self, kind: FaultKind, index: int) -> None:
        """A Poisson number of a day, each with a length and a size around the usual."""
        line, rate = KINDS[kind], self._faults.random.get(kind, 0.0)
        # Dice of its own for each day and kind: another rate of one changes nothing of the others.
        dice = self._dice(1, self._days, index)
        for second in dice.integers(0, DAY_S, dice.poisson(rate * (1 if line.at == "broker" else self._nodes))):
            begin = self._start + self._days * DAY_S + int(second)
            slots = () if line.at == "broker" else (int(dice.integers(self._nodes)),)
            lasts = max(1, round(line.lasts_s * dice.lognormal(0, 0.5))) if line.lasts_s else 0
            size = line.size[2] * dice.lognormal(0, 0.5) * (dice.choice((-1, 1)) if line.size[0] < 0 else 1)
            self._soon.append(
                Happening(kind, slots, begin, begin + lasts, round(float(np.clip(size, *line.size[:2])), 1))
            )
