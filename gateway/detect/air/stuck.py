"""`stuck`: a chip repeats itself. What it measures is noisy, so equal values in row after row are no measurements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.detect.memory import Floats, Memory, column
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.detect.spells import Patience, Spells, speaks
from gateway.quantities import measured_in, units
from gateway.records import Evidence

PATIENCE: Final = Patience(opens_after=30 * 60, closes_after=5 * 60)
"""Our choice: means of a minute of a sound chip repeat for some minutes at most. Windows of more than ten minutes
are not judged (`max_gap`): whole hours of clean air may well be equal in the digits that are told."""

# What one chip measures is one sensor: all of it has to stand still, and it is one incident. Left out is what may rest
# by nature: temperature, voc_index and nox_index (at rest: 100 and 1).
CHIPS: Final[Mapping[str, tuple[str, ...]]] = {
    "particles": ("pm1_0", "pm2_5", "pm10"),
    "co2": ("co2",),
    "climate": ("humidity", "pressure"),
}
_NAMES: Final = tuple(name for its in CHIPS.values() for name in its)
_BEGINS: Final = np.cumsum([0, *(len(its) for its in CHIPS.values())])[:-1]
# At zero or at a limit a sensor that rests may be right: clean air, fog.
_UNITS: Final = units("air")
_LIMITS: Final = {each.name: (0.0, each.low, each.high) for each in measured_in("air")}
_AT_REST: Final = np.array([_LIMITS[name] for name in _NAMES])


@dataclass(slots=True)
class Last(Memory):
    """Of each series, its newest values."""

    values: Floats = column(np.float64, np.nan, (len(_NAMES),))


class AirStuck(NodeRule):
    """One spell a chip of each station; a finding's channel is the chip."""

    def __init__(self) -> None:
        self.last = Last.blank(0)
        self.spells = Spells.blank(0)
        """Of chip c of series s at s * chips + c."""

    def grow(self, series: int) -> None:
        self.last.grow(series)
        self.spells.grow(len(CHIPS) * len(self.last))

    def feed(self, windows: Windows) -> Sequence[Finding]:
        value = np.stack([windows.get(name) for name in _NAMES], axis=1)
        missing = np.isnan(value)
        present = ~np.logical_and.reduceat(missing, _BEGINS, axis=1)
        if not present.any():
            return ()
        last = self.last.values[windows.series]
        same = np.logical_and.reduceat((value == last) | (missing & np.isnan(last)), _BEGINS, axis=1)
        resting = (value[..., None] == _AT_REST).any(axis=2) | missing
        rests = np.logical_and.reduceat(resting, _BEGINS, axis=1)
        of = np.repeat(present, np.diff([*_BEGINS, len(_NAMES)]), axis=1)
        self.last.values[windows.series] = np.where(of, value, last)

        row, chip = np.nonzero(present)
        places = len(CHIPS) * windows.series[row] + chip
        condition = speaks(same & ~rests, ~same)[row, chip]
        opened, closed = self.spells.turn(places, PATIENCE, windows.time[row], condition)
        return [
            self._turn(windows, value, row[at], chip[at], opened[at]) for at in np.flatnonzero(opened | closed).tolist()
        ]

    def _turn(self, windows: Windows, value: Floats, row: np.intp, chip: np.intp, opened: np.bool_) -> Finding:
        channel, names = list(CHIPS.items())[chip]
        series, time = int(windows.series[row]), int(windows.time[row])
        if not opened:
            return Finding("stuck", "close", series, time, channel=channel)
        begin = int(_BEGINS[chip])
        shown = [(name, float(value[row, begin + at])) for at, name in enumerate(names)]
        shown = [(name, each) for name, each in shown if not np.isnan(each)]
        said = " and ".join(f"{name} {each:g}" for name, each in shown)
        summary = f"Exactly {said} in every window for 30 minutes; expected: noise, from window to window."
        evidence = tuple(
            Evidence(name, each, each, _UNITS[name], f"{name} was exactly {each:g} {_UNITS[name]} for 30 minutes")
            for name, each in shown
        )
        since = time - PATIENCE.opens_after
        return Finding("stuck", "open", series, time, "warning", summary, evidence, channel, since)
