"""`burst`: a home's water runs so fast for so long that no tap explains it."""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from gateway.detect.spell import Cases, Rule, Window, place_of
from gateway.records import Incident, Pack

Q3: Final = 2500.0
"""l/h: permanent flow rate of the common home meter (2.5 m³/h, OIML R 49)."""
HIGH_FLOW: Final = 0.2 * Q3
"""Kamstrup's info code BURST: above 5, 10 or 20 % of Q3 for 30 minutes; the highest alarms a long shower least."""
RULE: Final = Rule("burst", "critical", opens_after=30 * 60, closes_after=5 * 60)


class Burst(Struct):
    """One series a water meter: `flow`."""

    cases: Cases

    def feed(self, pack: Pack, windows: Sequence[Window]) -> Iterator[Incident]:
        """Incidents that open or close with this pack, which holds these windows."""
        place = place_of(pack)
        for time, channels in windows:
            flow = channels.get("", {}).get("flow")
            if flow is None or not self.cases.turns(RULE, place, time, flow >= HIGH_FLOW):
                continue
            summary = (
                f"Water has run at {HIGH_FLOW:.0f} l/h or more for 30 minutes without a pause, now at {flow:.0f} l/h; "
                "expected in a home: draws of minutes."
            )
            yield self.cases.turn(RULE, place, time, "", summary)
