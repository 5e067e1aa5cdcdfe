"""All modelled nodes of a kind: where each is in its life, and the messages that come out of it."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from sim_hardware.city.city import Floats
from sim_hardware.city.incidents import NO_POWER
from sim_hardware.city.tables import Place
from sim_hardware.fleet import packs
from sim_hardware.fleet.line import Message, topic
from sim_hardware.fleet.models import Column, Event, Mask, Model, faulty

NAME: Final = "modelled"
_PART: Final = 10
"""A window of which less than nine tenths were watched is left out (firmware/node/node.py)."""

# What an emulated board says of itself an hour after its start, by its kind where it is told so. Nothing of it moves
# but its uptime; one pack is always on its way, that of the window.
_HEAP: Final = {"traffic": 73_000, "water": 79_000, "air": 42_000}
_HEALTH: Final = (
    (Column("heap_free", "B", "%d"), 0),
    (Column("heap_largest", "B", "%d"), 0),
    (Column("flash_free", "B", "%d"), 1_020_000),
    (Column("rssi", "dBm", "%d"), -61),
    (Column("outbox_packs", "count", "%d"), 1),
    (Column("outbox_dropped", "count", "%d"), 0),
    (Column("uptime", "s", "%d"), 0),
    (Column("tasks_failing", "count", "%d"), 0),
    (Column("temperature", "Cel", "%.7g"), 47.2),
)
_UPTIME: Final = 6


class Kind:
    """All nodes of a kind: their sensors, and where each is in its life."""

    def __init__(
        self, site: str, kind: str, where: Sequence[Place], model: Model, window_s: int, health_every: int
    ) -> None:
        n = len(where)
        self._window_s, self._health_every = window_s, health_every
        self._kind, self._model = kind, model
        self.slots = [place.slot for place in where]
        self._heads = [packs.head(site, place.node) for place in where]
        self._topics = {
            stream: [topic(f"ganglion/v1/{site}/{place.node}/{stream}") for place in where]
            for stream in ("telemetry", "event", "health", "status")
        }
        self._telemetry = packs.Writer(model.columns)
        self._health = packs.Writer([column for column, _ in _HEALTH])
        self._says = np.tile([float(value) for _, value in _HEALTH], (n, 1))
        self._says[:, :2] = _HEAP[kind]
        self.on: Mask = np.zeros(n, bool)
        self._boot, self._seq, self._closed = (np.zeros(n, np.int64) for _ in range(3))
        self._uptime, self._lasted = np.zeros(n), np.zeros(n)

    def power(self, second: int, fields: Floats) -> list[Message]:
        """Who has power from now on: births of those who get it, wills of those who lose it."""
        on = ~faulty(fields, NO_POWER)
        fresh, gone = np.flatnonzero(on & ~self.on), np.flatnonzero(self.on & ~on)
        if len(fresh):
            self._model.begin(on & ~self.on, second)
            self._boot[fresh] += 1
            for each in (self._seq, self._closed, self._uptime, self._lasted):
                each[fresh] = 0
        self.on = on
        birth = {"online": True, "kind": self._kind, "firmware": NAME, "board": NAME}
        birth |= {"reset_cause": "power_on", "clock": True}
        said = [(i, {**birth, "boot": int(self._boot[i])}) for i in fresh.tolist()]
        said += [(i, {"online": False}) for i in gone.tolist()]
        return self._said(said)

    def wills(self) -> list[Message]:
        """What the broker would say of nodes that are switched off now."""
        return self._said([(i, {"online": False}) for i in np.flatnonzero(self.on).tolist()])

    def _said(self, what: Iterable[tuple[int, dict[str, Any]]]) -> list[Message]:
        return [(self.slots[i], self._topics["status"][i], msgspec.json.encode(each)) for i, each in what]

    def powered(self) -> list[int]:
        """Slots of those that have power."""
        return [self.slots[i] for i in np.flatnonzero(self.on).tolist()]

    def step(self, second: int, seconds: int, fields: Floats) -> list[Message]:
        """So many seconds pass; the packs that the nodes make in them."""
        self._model.step(second, seconds, fields, self.on)
        self._uptime[self.on] += seconds
        self._lasted[self.on] += seconds
        made = []
        for told in self._model.events():
            made.append(self._tell(told))
            self._seq[told.node] += 1
        if (second + seconds) % self._window_s == 0:
            made += self._close(second + seconds)
        return made

    def _tell(self, told: Event) -> Message:
        i = told.node
        body = packs.event(self._heads[i], int(self._boot[i]), int(self._seq[i]), told)
        return self.slots[i], self._topics["event"][i], body

    def _close(self, end: int) -> list[Message]:
        readings = self._model.close(np.maximum(self._lasted, 1))
        whole = self.on & (self._lasted * _PART >= self._window_s * (_PART - 1))
        made = self._write(self._telemetry, "telemetry", end, readings, whole)
        due = whole & (self._closed % self._health_every == 0)
        if due.any():
            self._says[:, _UPTIME] = self._uptime
            made += self._write(self._health, "health", end, self._says, due)
        self._closed += whole
        self._lasted[:] = 0
        return made

    def _write(self, writer: packs.Writer, stream: str, end: int, readings: Floats, which: Mask) -> list[Message]:
        some = np.flatnonzero(which).tolist()
        texts = writer.write(self._heads, end, self._boot.tolist(), self._seq.tolist(), readings, some)
        self._seq += which
        slots, topics = self.slots, self._topics[stream]
        return [(slots[i], topics[i], text) for i, text in zip(some, texts, strict=True)]
