"""Draws the pictures of reports.md: two weeks of the simulated city, reported as a gateway's database would be.

Run `python docs/week.py docs/images` after a change to `gateway/report/`. The same to the byte each time.
"""

import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from gateway.report.figures import Measured, Remembered, Week, week_of
from gateway.report.hourly import LEAD, Hourly
from gateway.report.plots import Drawing, traffic_plot, water_plot
from gateway.report.weeks import HOUR, IsoWeek, Span
from sim_hardware.city.city import City
from sim_hardware.city.plan import plan_of
from sim_hardware.city.scenario import Scenario, places

NODES = 240
SPAN = Span(IsoWeek(2026, 47), ZoneInfo("UTC"))


def week() -> Week:
    """The second of two weeks of a city, by the minute."""
    begin = SPAN.before.begin - LEAD * HOUR
    town = City(Scenario("week"), places(NODES), seed=1, start=begin)
    hours = LEAD + 2 * SPAN.hours
    counted, litres = np.zeros((2, NODES, hours))
    for minute in range(60 * hours):
        seen = town.minute()
        counted[:, minute // 60] += (seen[:, 0] + seen[:, 2]) / 60
        litres[:, minute // 60] += seen[:, 0] / 60
    names = {kind: [(p.slot, p.node) for p in places(NODES) if p.kind == kind] for kind in ("traffic", "water", "air")}

    def hourly(kind: str, column: str, values: np.ndarray, lead: int) -> Hourly:  # type: ignore[type-arg]
        slots = [slot for slot, _ in names[kind]]
        halves = values[slots, LEAD - lead : LEAD + SPAN.hours], values[slots, LEAD + SPAN.hours - lead :]
        before, now = ({column: half, "windows": np.full(half.shape, 60.0)} for half in halves)
        return Hourly(tuple(name for _, name in names[kind]), now, before, lead)

    none = np.zeros((0, SPAN.hours))
    kinds = {
        "traffic": hourly("traffic", "vehicles", np.round(counted), 0),
        "water": hourly("water", "register", np.floor(np.cumsum(litres, axis=1)), LEAD),
        "air": Hourly((), {"windows": none}, {"windows": none}),
    }
    plan = plan_of(town.layout)
    return week_of(Measured(kinds, {}), Remembered(), plan, "riverside", SPAN, now=SPAN.end, exercise=True)


def drawings(found: Week) -> dict[str, Drawing]:
    """By name of its file."""
    traffic, water = found.traffic, found.water
    shown = [zone for zone in water.zones if not zone.withheld] if water else []
    return {
        "report-traffic": traffic_plot(traffic.flows[:4] if traffic else (), SPAN),
        "report-water": water_plot(shown[:4], SPAN),
    }


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, drawing in drawings(week()).items():
        (out / f"{name}.svg").write_text(drawing.svg)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/week.py OUT_FOLDER")
    main(Path(sys.argv[1]))
