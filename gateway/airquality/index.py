"""An air quality index by region and date: of each pollutant, and the worst of them."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Final

import numpy as np
from msgspec import Struct

from gateway.airquality.china import PRIMARY_ABOVE, china_index
from gateway.airquality.europe import europe_index
from gateway.airquality.tables import AirError, Region, Row, Table, table_for
from gateway.airquality.us import us_index
from gateway.detect.memory import Bools, Floats

MOST: Final = 1e9
"""Of any unit: a cubic metre of air weighs 1.2e9 µg, and the whole of it is 1e9 ppb."""
METHODS: Final[dict[Region, Callable[[Row, Floats], tuple[Floats, Bools]]]] = {
    "us": us_index,
    "china": china_index,
    "europe": europe_index,
}


class Part(Struct, frozen=True):
    """One pollutant's own index."""

    pollutant: str
    hours: int
    concentration: float
    """As it was given, in `unit`."""
    unit: str
    index: int | None
    """None where the table has none for so little (US: O3 over 1 h below 0.125 ppm, SO2 over 24 h below 305 ppb)."""
    category: str | None
    above: bool
    """The concentration is above the table's last bound."""
    nowcast: bool = False
    """The concentration is a NowCast, which stands for a mean over 24 hours."""


class Index(Struct, frozen=True):
    region: Region
    standard: str
    index: int | None
    """The worst of `parts`; Europe: a band from 1 to 6."""
    category: str | None
    responsible: tuple[str, ...]
    """The pollutants with the worst index; in China none up to 50."""
    above: bool
    """One of those is above the table."""
    parts: tuple[Part, ...]


def air_index(region: Region, day: date, concentrations: Mapping[str, float]) -> Index:
    """Of means by pollutant, in the units of the region's table; a name may say which mean it is: `o3_1h`.

    Raises AirError for a pollutant that the table does not have, a value that is not a number from 0 to `MOST`, one
    mean given twice, none at all, and a day before the region's first table.
    """
    table = table_for(region, day)
    if not concentrations:
        raise AirError("an index needs one pollutant at least")
    given: dict[str, tuple[Row, float]] = {}
    for name, value in concentrations.items():
        row = table.row(name)
        if not 0 <= value <= MOST:
            raise AirError(f"{name} is {value:g}: it must be a number from 0 to {MOST:g}")
        if row.name in given:
            raise AirError(f"{name} is given twice: {row.pollutant} stands for {row.name}")
        given[row.name] = (row, value)
    return whole(table, [part_of(table, row, value) for row, value in given.values()])


def part_of(table: Table, row: Row, concentration: float, *, nowcast: bool = False) -> Part:
    """`concentration` may be NaN: without an index."""
    indices, above = METHODS[table.region](row, np.array([concentration], float))
    index = None if np.isnan(indices[0]) else int(indices[0])
    category = None if index is None else table.category(index)
    return Part(row.pollutant, row.hours, concentration, row.unit, index, category, bool(above[0]), nowcast)


def whole(table: Table, parts: list[Part]) -> Index:
    """The index of these pollutants."""
    worst = max((part.index for part in parts if part.index is not None), default=None)
    if worst is None:
        return Index(table.region, table.standard, None, None, (), False, tuple(parts))
    those = [part for part in parts if part.index == worst]
    named = dict.fromkeys(part.pollutant for part in those) if worst > least_named(table) else ()
    return Index(
        table.region,
        table.standard,
        worst,
        table.category(worst),
        tuple(named),
        any(part.above for part in those),
        tuple(parts),
    )


def least_named(table: Table) -> int:
    """Above this index somebody is responsible."""
    return PRIMARY_ABOVE if table.region == "china" else -1
