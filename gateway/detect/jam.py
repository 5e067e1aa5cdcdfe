"""`jam`: a lane is full and slow."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from gateway.detect.spell import Cases, Rule, Window, place_of
from gateway.records import Incident, Pack

FULL: Final = 30.0
"""%: the occupancy from which California algorithm #8 takes traffic for congested, not for merely dense (FHWA, Payne
and Tignor 1978). Free rush-hour traffic in town stays below about 15 %."""
SLOW: Final = 30.0
"""km/h: our choice, 60 % of a limit of 50. Tells a queue from a crowd of long vehicles at speed."""
RULE: Final = Rule("jam", "warning", opens_after=3 * 60, closes_after=5 * 60)


class Jam(Struct):
    """One series a counter, over all of its lanes, which it sends in one pack."""

    cases: Cases

    def feed(self, pack: Pack, windows: Sequence[Window]) -> Iterator[Incident]:
        """Incidents that open or close with this pack, which holds these windows."""
        place = place_of(pack)
        for time, lanes in windows:
            jammed = {lane: _jammed(values) for lane, values in sorted(lanes.items()) if "occupancy" in values}
            full = [lane for lane, yes in jammed.items() if yes]
            free = all(yes is False for yes in jammed.values())
            if not jammed or not self.cases.turns(RULE, place, time, True if full else False if free else None):
                continue
            seen = " and ".join(
                f"{lane} {lanes[lane]['occupancy']:.0f} % at {lanes[lane]['speed']:.0f} km/h" for lane in full
            )
            summary = (
                f"Occupied at {FULL:.0f} % or more and no faster than {SLOW:.0f} km/h for 3 minutes, now {seen}; "
                "expected: one of both at most."
            )
            yield self.cases.turn(RULE, place, time, next(iter(lanes)) if len(lanes) == 1 else "", summary)


def _jammed(values: Mapping[str, float]) -> bool | None:
    """None when the window does not tell: a full lane without a speed, in which nothing may have moved at all."""
    if values["occupancy"] < FULL:
        return False
    return None if "speed" not in values else values["speed"] <= SLOW
