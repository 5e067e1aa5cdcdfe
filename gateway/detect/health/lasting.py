"""What a node's own figures tell when they last: `weak_radio` and `clock_drift`."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.detect.memory import Floats, Ints
from gateway.detect.readings import readings
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.detect.spells import Patience, Spells, speaks
from gateway.records import Evidence

WEAK_DBM: Final = -85.0
"""About where an ESP32 loses 802.11n and retries all the time; its sensitivity ends at -98 at 1 Mbit/s. Our choice."""
GOOD_DBM: Final = -80.0
RADIO: Final = Patience(opens_after=3 * 3600, closes_after=3600, least_windows=6, max_gap=3 * 3600)
"""Three hours, in every health pack: doors, lorries and rain pass. Our choice."""

ERROR_S: Final = 5.0
"""Of a correction: windows of a minute are told apart by it no more than by a tenth. Our choice."""
DRIFT_PPM: Final = 500.0
"""43 s a day. An ESP32's crystal keeps 10 ppm, its RC oscillator in deep sleep some hundreds after calibration."""
CLOCK: Final = Patience(opens_after=86_400, closes_after=12 * 3600, least_windows=3, max_gap=86_400)
"""A day: several corrections. Our choice."""


class WeakRadio(NodeRule):
    """One series a node: `rssi`."""

    def __init__(self) -> None:
        self.spells = Spells.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        given = readings(windows, "rssi")
        if given is None:
            return []
        rssi = given.value
        condition = speaks(rssi <= WEAK_DBM, rssi > GOOD_DBM)
        opened, closed = self.spells.turn(given.series, RADIO, given.time, condition)
        found = []
        for at in np.flatnonzero(opened | closed).tolist():
            series, time, seen = int(given.series[at]), int(given.time[at]), float(rssi[at])
            if closed[at]:
                found.append(Finding("weak_radio", "close", series, time, "info"))
                continue
            text = f"its radio has heard the access point at {WEAK_DBM:.0f} dBm or less for hours, now at {seen:.0f}"
            evidence = (Evidence("rssi", seen, GOOD_DBM, "dBm", text),)
            summary = f"Seen: {text}; expected: above {GOOD_DBM:.0f} dBm."
            since = int(self.spells.since[series])
            found.append(Finding("weak_radio", "open", series, time, "info", summary, evidence, since=since))
        return found


class ClockDrift(NodeRule):
    """One series a node: `clock_error`, the last correction, and `clock_drift`; one of them suffices."""

    def __init__(self) -> None:
        self.spells = Spells.blank(0)

    def feed(self, windows: Windows) -> Sequence[Finding]:
        error, drift = np.abs(windows.get("clock_error")), np.abs(windows.get("clock_drift"))
        known = np.isfinite(error) | np.isfinite(drift)
        if not known.any():
            return []
        rows, time = windows.series[known], windows.time[known]
        error, drift = np.nan_to_num(error[known]), np.nan_to_num(drift[known])
        wrong, right = (error >= ERROR_S) | (drift >= DRIFT_PPM), (error < ERROR_S / 2) & (drift < DRIFT_PPM / 2)
        opened, closed = self.spells.turn(rows, CLOCK, time, speaks(wrong, right))
        return _clocks(rows, time, error, drift, np.flatnonzero(opened | closed).tolist(), opened.tolist())


def _clocks(
    rows: Ints, time: Ints, error: Floats, drift: Floats, changed: Sequence[int], opened: Sequence[bool]
) -> list[Finding]:
    found = []
    for at in changed:
        series, when = int(rows[at]), int(time[at])
        if not opened[at]:
            found.append(Finding("clock_drift", "close", series, when, "info"))
            continue
        text = f"its clock was corrected by {error[at]:.1f} s and goes wrong by {drift[at]:.0f} ppm"
        evidence = (
            Evidence("clock_error", float(error[at]), ERROR_S, "s", text),
            Evidence("clock_drift", float(drift[at]), DRIFT_PPM, "ppm", text),
        )
        summary = f"Seen: {text}, for a day; expected: less than {ERROR_S:.0f} s and {DRIFT_PPM:.0f} ppm."
        found.append(Finding("clock_drift", "open", series, when, "info", summary, evidence))
    return found
