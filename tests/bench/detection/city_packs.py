"""The packs of months of a city: what modelled nodes send, without the text in between, kept on disk to be read again.

The modelled nodes are those of `sim_hardware/fleet`, with their noise, events and health; what they would write as
text and the gateway would read from it is put into packs directly. `tests/gateway/test_city_packs.py` holds both ways
against each other.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gateway.quantities import KINDS
from gateway.records import Pack, Shape, Stream
from sim_hardware.city import truth
from sim_hardware.city.city import City
from sim_hardware.city.scenario import Scenario, places
from sim_hardware.city.tables import Place
from sim_hardware.fleet import kind as kind_of_nodes
from sim_hardware.fleet.counters import Traffic
from sim_hardware.fleet.fitted import fitted
from sim_hardware.fleet.kind import Kind
from sim_hardware.fleet.line import Message
from sim_hardware.fleet.meters import Water
from sim_hardware.fleet.models import Column, Event, Mask, Model
from sim_hardware.fleet.packs import Writer
from sim_hardware.fleet.stations import Air

WINDOW_S: Final = 60
HEALTH_EVERY: Final = 10
"""Windows (firmware/node/config.py: health_s 600)."""
DAY_MIN: Final = 24 * 60
TRUTH: Final = "truth.jsonl"
"""Of the folder of a city."""
_SOURCES: Final = Path(kind_of_nodes.__file__).parents[1]
_NOTHING: Final[Message] = (0, b"", b"")


class Months(Struct, frozen=True):
    """Which city."""

    scenario: Scenario
    nodes: int
    days: int
    seed: int
    start: int
    """Unix seconds, a midnight."""

    def key(self) -> str:
        """The same for the same city, as long as nobody changes how a city or a node is modelled."""
        found = hashlib.sha256(msgspec.json.encode(self))
        for folder in ("city", "fleet"):
            for path in sorted((_SOURCES / folder).glob("*.py")):
                found.update(path.read_bytes())
        return found.hexdigest()[:16]


class _Rows:
    """Packs of one stream of one kind as arrays: of each pack the minute's end, node, boot, seq, time and values."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = [column.name for column in columns]
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []

    def add(self, numbers: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """`numbers`: [packs, 5], in the order above; `values`: [packs, columns]."""
        self._parts.append((numbers, values))

    def take(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """All that were added since the last call."""
        if not self._parts:
            return np.zeros((0, 5), np.int64), np.zeros((0, len(self.columns)))
        numbers, values = (np.concatenate(each) for each in zip(*self._parts, strict=True))
        self._parts.clear()
        return numbers, values


class Recorded(Kind):
    """All modelled nodes of a kind, whose packs are noted instead of written."""

    def __init__(
        self, site: str, kind: str, where: Sequence[Place], model: Model, window_s: int, health_every: int
    ) -> None:
        super().__init__(site, kind, where, model, window_s, health_every)
        self._end = 0
        health = [column for column, _ in kind_of_nodes._HEALTH]
        self.rows = {
            "event": _Rows([Column("", "", "")] * 2),
            "telemetry": _Rows(model.columns),
            "health": _Rows(health),
        }
        self.flags: list[str] = []
        """Names of events by their number."""

    def minute(self, second: int, fields: NDArray[np.float64]) -> None:
        self._end = second + 60
        self.power(second, fields)
        self.step(second, 60, fields)

    def _tell(self, told: Event) -> Message:
        i = told.node
        if told.name not in self.flags:
            self.flags.append(told.name)
        numbers = np.array([[self._end, i, self._boot[i], self._seq[i], told.second]])
        self.rows["event"].add(numbers, np.array([[self.flags.index(told.name), float(told.on)]]))
        return _NOTHING

    def _write(
        self, writer: Writer, stream: str, end: int, readings: NDArray[np.float64], which: Mask
    ) -> list[Message]:
        some = np.flatnonzero(which)
        fill = np.full(len(some), end)
        numbers = np.stack([fill, some, self._boot[some], self._seq[some], fill], axis=1)
        self.rows[stream].add(numbers, readings[some])
        self._seq += which
        return []


def live(months: Months, folder: Path, minutes: int = DAY_MIN) -> Iterator[list[Pack]]:
    """The packs of each day, or of so many minutes at once, in the order in which they come; kept in `folder`."""
    where = places(months.nodes)
    town = City(months.scenario, where, months.seed, months.start)
    dice = [np.random.default_rng(each) for each in np.random.SeedSequence(months.seed, spawn_key=(7,)).spawn(3)]
    fit = fitted(months.scenario)
    models: list[Model] = [
        Traffic(len(where[0::3]), dice[0]),
        Water(len(where[1::3]), dice[1], fit),
        Air(len(where[2::3]), dice[2]),
    ]
    site = months.scenario.site
    kinds = [Recorded(site, kind, where[i::3], models[i], WINDOW_S, HEALTH_EVERY) for i, kind in enumerate(KINDS)]
    for day in range(months.days):
        for _ in range(minutes):
            second, fields = town.next_minute, town.minute()
            for i, nodes in enumerate(kinds):
                nodes.minute(second, fields[i::3])
        arrays: dict[str, Any] = {}
        for kind, nodes in zip(KINDS, kinds, strict=True):
            arrays[f"{kind}_flags"] = np.array(nodes.flags, "U32")
            for stream, rows in nodes.rows.items():
                arrays[f"{kind}_{stream}_names"] = np.array(rows.columns, "U32")
                arrays[f"{kind}_{stream}"], arrays[f"{kind}_{stream}_values"] = rows.take()
        np.savez(folder / f"{day:04d}.npz", **arrays)
        yield packs(site, months.nodes, arrays)
    until = town.next_minute
    # The last file: what is there only when all others are.
    truth.write(folder / "new", town.truth(until), town.run(until))
    (folder / "new").rename(folder / TRUTH)


def kept(months: Months, folder: Path) -> Iterator[list[Pack]]:
    """The same from disk."""
    for day in range(months.days):
        with np.load(folder / f"{day:04d}.npz") as arrays:
            yield packs(months.scenario.site, months.nodes, dict(arrays))


def packs(site: str, nodes: int, arrays: dict[str, Any]) -> list[Pack]:
    """One day's: minute by minute, of each minute the kinds in turn, of each kind events, telemetry, health."""
    where = places(nodes)
    parts: list[tuple[NDArray[np.int64], list[Pack]]] = []
    for i, kind in enumerate(KINDS):
        names = [place.node for place in where[i :: len(KINDS)]]
        for stream in ("event", "telemetry", "health"):
            numbers, values = arrays[f"{kind}_{stream}"], arrays[f"{kind}_{stream}_values"]
            if stream == "event":
                flags = [Shape(kind, (("", name),)) for name in arrays[f"{kind}_flags"].tolist()]
                shapes = [flags[int(number)] for number in values[:, 0].tolist()]
                rows = [(value,) for value in values[:, 1].tolist()]
            else:
                columns = arrays[f"{kind}_{stream}_names"].tolist()
                shapes, rows = _readings("health" if stream == "health" else kind, columns, values)
            parts.append((numbers[:, 0], _made(site, names, stream, numbers, shapes, rows)))  # type: ignore[arg-type]
    ends = np.unique(np.concatenate([times for times, _ in parts]))
    marks = [np.searchsorted(times, ends, "right").tolist() for times, _ in parts]
    found: list[Pack] = []
    begins = [0] * len(parts)
    for minute in range(len(ends)):
        for part, (_, own) in enumerate(parts):
            found += own[begins[part] : marks[part][minute]]
            begins[part] = marks[part][minute]
    return found


def _readings(
    measurement: str, columns: list[str], values: NDArray[np.float64]
) -> tuple[list[Shape], list[tuple[float, ...]]]:
    """Shape and values of each row; what is NaN is left out."""
    known = ~np.isnan(values)
    masks, which = np.unique(known @ (1 << np.arange(len(columns))), return_inverse=True)
    whole = (1 << len(columns)) - 1
    shapes = []
    for mask in masks.tolist():
        there = [name.rpartition("/")[::2] for bit, name in enumerate(columns) if mask >> bit & 1]
        shapes.append(Shape(measurement, tuple(there)))
    rows: list[tuple[float, ...]] = [tuple(row) for row in values.tolist()]
    partly = masks[which] != whole
    for at in np.flatnonzero(partly).tolist():
        rows[at] = tuple([value for value in rows[at] if value == value])
    return [shapes[number] for number in which.tolist()], rows


def _made(
    site: str,
    names: list[str],
    stream: Stream,
    numbers: NDArray[np.int64],
    shapes: list[Shape],
    rows: list[tuple[float, ...]],
) -> list[Pack]:
    return [
        Pack(site, names[node], stream, shape, boot, seq, time, row)
        for (_, node, boot, seq, time), shape, row in zip(numbers.tolist(), shapes, rows, strict=True)
    ]
