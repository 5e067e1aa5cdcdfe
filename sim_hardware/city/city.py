"""The city itself: streets, pipes, air and what happens in them, minute by minute.

Deterministic: the same scenario, seed and number of nodes give the same city to the bit, because minutes are stepped
in order and each part draws from a seeded generator of its own.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.quantities import KINDS as NODE_KINDS
from sim_hardware.city.acts import Act, acts, shows_at
from sim_hardware.city.air import Air
from sim_hardware.city.incidents import CROWD_MIN, DAY_MIN, KINDS, STUCK, Calendar, Event, Plan
from sim_hardware.city.layout import Layout, lay_out
from sim_hardware.city.pipes import Pipes
from sim_hardware.city.records import Effect, Floats
from sim_hardware.city.streets import Streets
from sim_hardware.city.tables import Place, Scenario
from sim_hardware.city.truth import Run, Truth
from sim_hardware.city.weather import Weather

__all__ = ["DAY_MIN", "DRIFT", "FAULTS", "FIELDS", "STUCK", "City", "Floats", "layout_of"]

FIELDS: Final = 12
"""Numbers per place and minute: first what its kind measures, as `step` of Streets, Pipes and Air give it."""
DRIFT: Final = 10
"""The field that has the factor on what the node's sensor measures; 1 for none."""
FAULTS: Final = 11
"""The field that has the sum of a node's faults: STUCK, DEAD, TAMPER, NO_POWER of `incidents`."""


def layout_of(scenario: Scenario, places: Sequence[Place], seed: int) -> Layout:
    """The map of the city of this seed."""
    return lay_out(scenario, places, np.random.SeedSequence(seed).spawn(1)[0])


class City:
    """`minute()` gives the next minute of the city, beginning at `start` (Unix seconds, a whole minute)."""

    def __init__(self, scenario: Scenario, places: Sequence[Place], seed: int, start: int) -> None:
        self._scenario = scenario
        self._start = start
        self._elapsed = 0
        # A seed a part: another number of water meters does not change the air.
        _, streets, weather, air, pipes, calendar = np.random.SeedSequence(seed).spawn(6)
        self.layout = layout = layout_of(scenario, places, seed)
        self._weather = Weather(weather, scenario.climate)
        self.streets = Streets(streets, layout.roads, len(layout.districts), layout.street, layout.metres)
        self._air = Air(air, layout.districts, layout.stations, scenario.climate)
        self._pipes = Pipes(pipes, layout.districts, layout.meters, layout.inlet)
        self._calendar = Calendar(self._plans(), scenario.random, layout.targets(), calendar)
        self._names = [place.node for place in places]
        self._soon: list[Act] = []
        """What is yet to begin of the days that the calendar has been asked for, the latest first."""
        self._acting: list[Act] = []
        self._known = 0
        """Events of the calendar that have been looked at."""
        self._effects: dict[str, list[Effect]] = {}
        self._changes = 0
        """The minute in which the effects are no longer what they are."""

    @property
    def next_minute(self) -> int:
        """Unix seconds of the beginning of the minute that `minute()` gives next."""
        return self._start + 60 * self._elapsed

    def minute(self) -> Floats:
        """The next minute: an array of shape (places, FIELDS), in order of the places' slots."""
        if self._elapsed >= self._changes:
            self._happen()
        second, slots, effects = self.next_minute, self.layout.slots, self._effects
        out = np.zeros((len(self.layout.places), FIELDS))
        sky = self._weather.step(second)
        held = {act.event.number: act.heads for act in self._acting if len(act.heads)}
        seen = self.streets.step(second, effects["streets"], held)
        out[slots["traffic"], : seen.shape[1]] = seen
        seen = self._pipes.step(second, sky, effects["pipes"])
        out[slots["water"], : seen.shape[1]] = seen
        seen = self._air.step(second, sky, self.streets.emission(), effects["air"])
        out[slots["air"], : seen.shape[1]] = seen
        out[:, DRIFT] = 1
        for effect in effects["nodes"]:
            if bit := KINDS[effect.kind].bit:  # type: ignore[index] # an event's own kind
                out[effect.where, FAULTS] = out[effect.where, FAULTS].astype(int) | bit
            else:
                out[effect.where, DRIFT] *= 1 + (effect.size - 1) * effect.strength
        self._elapsed += 1
        return out

    def _happen(self) -> None:
        """Begin what begins now, end what ends, and say what acts on the city until `changes`."""
        now = self._elapsed
        self._calendar.reach(now + 1)
        fresh = self._calendar.events[self._known :]
        if fresh:
            self._known = len(self._calendar.events)
            self._soon += [act for event in fresh for act in acts(event, self.layout, self.streets.cells)]
            self._soon.sort(key=lambda act: (act.begin, act.event.number), reverse=True)
        while self._soon and self._soon[-1].begin <= now:
            self._acting.append(self._soon.pop())
        self._acting = [act for act in self._acting if now < act.end]
        self._effects = {domain: [] for domain in ("streets", "pipes", "air", "nodes")}
        for act in self._acting:
            self._effects[act.domain].append(act.effect_at(now))
        growing = any(not act.event.steady(now) for act in self._acting)
        moments = [(now // DAY_MIN + 1) * DAY_MIN, *(act.begin for act in self._soon[-1:])]
        self._changes = now + 1 if growing else min(moments + [act.end for act in self._acting])

    def _plans(self) -> list[Plan]:
        """The scenario's incidents, in minutes after the start; a crowd comes before its event and leaves after it."""
        start, found = self._start % (60 * DAY_MIN) // 60, []
        length = {road.name: road.length_m for road in self.layout.roads}
        for each in self._scenario.incident:
            begin, end = each.times(start)
            if each.kind == "crowd":
                begin, end = begin - CROWD_MIN, end + CROWD_MIN
            if not each.daily and end > 0:
                begin = max(begin, 0)
            along = 0.5 if each.at_m is None else each.at_m / length[each.at]
            size = KINDS[each.kind].size[2] if each.size is None else each.size
            found.append(Plan(each.kind, each.at, along, begin, end, size, each.daily))
        return found

    def run(self, until: int) -> Run:
        """What the truth up to a time is of."""
        nodes = {kind: len(self.layout.slots[kind]) for kind in NODE_KINDS}
        return Run(self._scenario.site, nodes, self._start, until)

    def truth(self, until: int) -> list[Truth]:
        """Every incident that begins before `until` (Unix seconds), in order of time.

        Which counters a queue reaches, and when it dissolves, is known as far as the city has come.
        """
        found = []
        for event in self._calendar.until(-(-(until - self._start) // 60)):
            begin, end = (self._start + 60 * minute for minute in (event.begin, event.end))
            if begin < until and (not event.at or event.at in self.layout.names):
                found.append(self._told(event, begin, end, until))
        return sorted(found, key=lambda each: each.begin)

    def _told(self, event: Event, begin: int, end: int, until: int) -> Truth:
        node = self._names
        where = (event.kind, self._scenario.site, event.at)
        if KINDS[event.kind].domain != "streets":
            slots = shows_at(event.kind, event.at, self.layout).tolist()
            return Truth(*where, tuple(node[slot] for slot in slots), begin, end, event.size)
        queues = self.streets.queues
        reached = {n: span for n, span in queues.reached.get(event.number, {}).items() if span[0] < until}
        slots = self.layout.slots["traffic"][sorted(reached)].tolist()
        first, last = queues.seen.get(event.number, (until, 0))
        begin, end = (first if first < until else begin), max(end, last + 60)
        longest = max(reached.values(), key=lambda span: span[1] - span[0], default=None)
        shown = (longest[0], longest[1] + 60) if longest else None
        return Truth(*where, tuple(node[slot] for slot in slots), begin, end, event.size, shown)
