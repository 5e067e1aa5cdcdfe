"""The index at many stations at once, as of now, from their hourly means."""

import dataclasses
from collections.abc import Mapping
from typing import Final

import numpy as np

from gateway.airquality.hours import Hours
from gateway.airquality.index import METHODS, least_named
from gateway.airquality.nowcast import nowcast
from gateway.airquality.tables import Row, Table
from gateway.detect.memory import Bools, Floats

LEAST_OF_8: Final = 6
"""Hours that a mean over 8 must have (40 CFR 50, App. U; GB 3095)."""
PARTICLES: Final = ("pm2_5", "pm10")


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """Of all stations; the first axis of arrays."""

    rows: tuple[Row, ...]
    """The rows of the table whose pollutants are measured."""
    concentrations: Floats
    """(stations, rows): the mean or the NowCast that each row wants, NaN where too few hours are known."""
    indices: Floats
    """(stations, rows)"""
    index: Floats
    """(stations,): the worst of them, NaN where there is none."""
    above: Bools
    """(stations,): a pollutant that is responsible is above its table."""
    responsible: Bools
    """(stations, rows): who has the worst; in China nobody up to 50."""


def by_nowcast(row: Row, table: Table) -> bool:
    return table.region == "us" and row.pollutant in PARTICLES


def mean(row: Row, table: Table, hourly: Floats) -> Floats:
    """(stations, 24) hourly means, the newest first -> (stations,) of what a row wants as of now.

    Over an hour, the newest; over 8 or 24, the mean of so many; for particles in the US instead of 24 their NowCast.
    """
    if by_nowcast(row, table):
        return nowcast(hourly)
    least = {1: 1, 8: LEAST_OF_8, 24: table.least_of_24}[row.hours]
    part = hourly[:, : row.hours]
    known = np.isfinite(part)
    count = known.sum(axis=1)
    return np.where(count >= least, np.where(known, part, 0).sum(axis=1) / np.maximum(count, 1), np.nan)


def standing(table: Table, measured: Mapping[str, Hours], now: int) -> Standing:
    """At `now` (Unix seconds), of whole hours alone; `measured` is by pollutant, in the table's units.

    Every `Hours` has the same stations in the same order. Pollutants that the table lacks are left out.
    Raises ValueError where it has none of them.
    """
    rows = tuple(row for row in table.rows if row.pollutant in measured)
    if not rows:
        raise ValueError(f"{table.standard} has none of {', '.join(measured) or 'nothing'}")
    hourly = {name: measured[name].last(now) for name in {row.pollutant for row in rows}}
    concentrations = [mean(row, table, hourly[row.pollutant]) for row in rows]
    found = [METHODS[table.region](row, value) for row, value in zip(rows, concentrations, strict=True)]
    indices = np.stack([index for index, _ in found], axis=1)
    above = np.stack([each for _, each in found], axis=1)
    known = np.isfinite(indices)
    worst = np.where(known, indices, -np.inf).max(axis=1)
    those = known & (indices == worst[:, None])
    return Standing(
        rows,
        np.stack(concentrations, axis=1),
        indices,
        np.where(known.any(axis=1), worst, np.nan),
        (above & those).any(axis=1),
        those & (worst > least_named(table))[:, None],
    )
