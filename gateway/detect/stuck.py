"""`stuck`: a sensor repeats itself. What it measures is noisy, so equal values in row after row are no measurements."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from gateway.detect.spell import Cases, Rule, Window, place_of
from gateway.quantities import QUANTITIES
from gateway.records import Incident, Pack

RULE: Final = Rule("stuck", "warning", opens_after=30 * 60, closes_after=5 * 60)
LOOP_RULE: Final = Rule("stuck", "warning", opens_after=10 * 60, closes_after=5 * 60)
"""Of a loop that says "occupied" for ever; a parked car is gone sooner, mostly."""
OCCUPIED: Final = 99.9
"""%: always, but for rounding."""

# What one chip measures is one sensor: all of it has to stand still, and it is one incident. Left out is what may
# rest by nature: water flow (a leak is constant), temperature, voc_index and nox_index (at rest: 100 and 1).
SENSORS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "air": {
        "particles": ("pm1_0", "pm2_5", "pm10"),
        "co2": ("co2",),
        "climate": ("humidity", "pressure"),
    },
    "traffic": {"speed": ("speed",)},
}
# At zero or at a limit a sensor that rests may be right: clean air, fog.
_LIMITS: Final = {
    (each.measurement, each.name): (0.0, each.low, each.high) for each in QUANTITIES if each.measurement in SENSORS
}


class Stuck(Struct):
    """One series a sensor of each node; for counters, per lane. An incident's channel is the sensor, or the lane."""

    cases: Cases
    loops: Cases
    last: dict[str, tuple[float, ...]] = {}
    """The newest values by place."""

    def feed(self, pack: Pack, windows: Sequence[Window]) -> Iterator[Incident]:
        """Incidents that open or close with this pack, which holds these windows."""
        sensors = SENSORS.get(pack.measurement, {})
        for time, channels in windows:
            for lane, values in sorted(channels.items()):
                for sensor, quantities in sensors.items():
                    present = {name: values[name] for name in quantities if name in values}
                    if present and self._repeats(pack, lane or sensor, time, present):
                        yield self._turn(pack, lane or sensor, time, present)
                if "occupancy" in values and "volume" in values:
                    place = place_of(pack, lane)
                    occupied = values["occupancy"] >= OCCUPIED and values["volume"] == 0
                    if self.loops.turns(LOOP_RULE, place, time, occupied):
                        summary = "Always occupied and no vehicle leaves, for 10 minutes; expected: vehicles that pass."
                        yield self.loops.turn(LOOP_RULE, place, time, lane, summary)

    def _repeats(self, pack: Pack, channel: str, time: int, values: Mapping[str, float]) -> bool:
        """True when the sensor's incident opens or closes with this window."""
        place = place_of(pack, channel)
        spell = self.cases.spells.get(place)
        if spell is not None and time <= spell.time:
            return False  # late or again, and not to be compared with
        now = tuple(values.values())
        condition: bool | None = now == self.last.get(place)
        self.last[place] = now
        if condition and all(value in _LIMITS[pack.measurement, name] for name, value in values.items()):
            condition = None
        return self.cases.turns(RULE, place, time, condition)

    def _turn(self, pack: Pack, channel: str, time: int, values: Mapping[str, float]) -> Incident:
        said = " and ".join(f"{name} {value:g}" for name, value in values.items())
        summary = f"Exactly {said} in every window for 30 minutes; expected: noise, from window to window."
        return self.cases.turn(RULE, place_of(pack, channel), time, channel, summary)
