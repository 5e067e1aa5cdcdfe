"""The tables of the air quality indices. One row is one pollutant averaged over one length of time.

Sources: US EPA, 40 CFR Part 58, Appendix G, Table 2, as of 2024-05-06; China HJ 633-2026 and HJ 633-2012; the European
Air Quality Index of the EEA, hourly.
"""

from datetime import date
from typing import Final, Literal

from msgspec import Struct

from gateway.errors import GanglionError
from gateway.near import hint

Region = Literal["us", "china", "europe"]


class AirError(GanglionError):
    """What is asked of an index cannot be answered; the message names what is wrong and the nearest that is right."""


class Row(Struct, frozen=True):
    """A pollutant's line of a table."""

    pollutant: str
    hours: int
    """That the mean covers."""
    unit: str
    bounds: tuple[float, ...]
    """The highest concentration of each class, in `unit`."""
    levels: tuple[int, ...]
    """The index at each of `bounds`."""
    digits: int = 0
    """US: decimal places that are left of a concentration."""
    floor: tuple[float, int] = (0, 0)
    """The lowest concentration that has an index by this row, and that index."""

    @property
    def name(self) -> str:
        """As in `o3_8h`."""
        return f"{self.pollutant}_{self.hours}h"


class Table(Struct, frozen=True):
    """An index: its rows, and the names of its classes."""

    region: Region
    standard: str
    since: date
    """The first day of the table."""
    classes: tuple[tuple[int, str], ...]
    """(highest index, name) in order; the last name holds above, too."""
    least_of_24: int
    """Hours that a mean over 24 must have."""
    rows: tuple[Row, ...]
    """Of several rows of a pollutant, the one that its bare name stands for comes first."""

    def row(self, name: str) -> Row:
        """By `pm2_5` or `pm2_5_24h`. Raises AirError, which names the nearest."""
        for row in self.rows:
            if name in (row.pollutant, row.name):
                return row
        known = [key for row in self.rows for key in (row.pollutant, row.name)]
        raise AirError(f"{name:.40} is no pollutant of {self.standard}{hint(name, known)}")

    def category(self, index: float) -> str:
        return next((name for most, name in self.classes if index <= most), self.classes[-1][1])


_US = (50, 100, 150, 200, 300, 500)
US_2024: Final = Table(
    "us",
    "US EPA AQI 2024",
    date(2024, 5, 6),
    (
        (50, "Good"),
        (100, "Moderate"),
        (150, "Unhealthy for Sensitive Groups"),
        (200, "Unhealthy"),
        (300, "Very Unhealthy"),
        (500, "Hazardous"),
    ),
    18,  # three quarters, as Appendix N of 40 CFR Part 50 wants of a day
    (
        Row("pm2_5", 24, "ug/m3", (9.0, 35.4, 55.4, 125.4, 225.4, 325.4), _US, digits=1),
        Row("pm10", 24, "ug/m3", (54, 154, 254, 354, 424, 604), _US),
        Row("o3", 8, "ppm", (0.054, 0.070, 0.085, 0.105, 0.200), _US[:5], digits=3),
        Row("o3", 1, "ppm", (0.164, 0.204, 0.404, 0.604), _US[2:], digits=3, floor=(0.125, 101)),
        Row("co", 8, "ppm", (4.4, 9.4, 12.4, 15.4, 30.4, 50.4), _US, digits=1),
        Row("so2", 1, "ppb", (35, 75, 185, 304), _US[:4]),
        Row("so2", 24, "ppb", (604, 1004), _US[4:], floor=(305, 201)),
        Row("no2", 1, "ppb", (53, 100, 360, 649, 1249, 2049), _US),
    ),
)

_CHINA = (50, 100, 150, 200, 300, 400, 500)
_CHINA_CLASSES = (
    (50, "Excellent"),
    (100, "Good"),
    (150, "Lightly Polluted"),
    (200, "Moderately Polluted"),
    (300, "Heavily Polluted"),
    (500, "Severely Polluted"),
)
_CHINA_GASES = (
    Row("so2", 24, "ug/m3", (50, 150, 475, 800, 1600, 2100, 2620), _CHINA),
    Row("no2", 24, "ug/m3", (40, 80, 180, 280, 565, 750, 940), _CHINA),
    Row("no2", 1, "ug/m3", (100, 200, 700, 1200, 2340, 3090, 3840), _CHINA),
    Row("co", 24, "mg/m3", (2, 4, 14, 24, 36, 48, 60), _CHINA),
    Row("o3", 8, "ug/m3", (100, 160, 215, 265, 800), _CHINA[:5]),
    Row("o3", 1, "ug/m3", (160, 200, 300, 400, 800, 1000, 1200), _CHINA),
)
CHINA_2026: Final = Table(
    "china",
    "HJ 633-2026",
    date(2026, 3, 1),
    _CHINA_CLASSES,
    20,  # GB 3095: a day's mean has 20 hours
    (
        Row("pm2_5", 24, "ug/m3", (35, 60, 115, 150, 250, 350, 500), _CHINA),
        Row("pm10", 24, "ug/m3", (50, 120, 250, 350, 420, 500, 600), _CHINA),
        *_CHINA_GASES,
    ),
)
CHINA_2012: Final = Table(
    "china",
    "HJ 633-2012",
    date.min,
    _CHINA_CLASSES,
    20,
    (
        Row("pm2_5", 24, "ug/m3", (35, 75, 115, 150, 250, 350, 500), _CHINA),
        Row("pm10", 24, "ug/m3", (50, 150, 250, 350, 420, 500, 600), _CHINA),
        *_CHINA_GASES,
    ),
)

_EUROPE = (1, 2, 3, 4, 5)
EUROPE: Final = Table(
    "europe",
    "European Air Quality Index",
    date.min,
    ((1, "Good"), (2, "Fair"), (3, "Moderate"), (4, "Poor"), (5, "Very poor"), (6, "Extremely poor")),
    18,
    (
        Row("pm2_5", 1, "ug/m3", (5, 15, 50, 90, 140), _EUROPE),
        Row("pm10", 1, "ug/m3", (15, 45, 120, 195, 270), _EUROPE),
        Row("no2", 1, "ug/m3", (10, 25, 60, 100, 150), _EUROPE),
        Row("o3", 1, "ug/m3", (60, 100, 120, 160, 180), _EUROPE),
        Row("so2", 1, "ug/m3", (20, 40, 125, 190, 275), _EUROPE),
    ),
)

TABLES: Final = (US_2024, CHINA_2026, CHINA_2012, EUROPE)
"""Of a region, the newest first."""


def table_for(region: Region, day: date) -> Table:
    """The table that is in force in a region on a day.

    The bands of Europe hold for every day: when the EEA changed them is not told here. Raises AirError for a day before
    the first table of a region.
    """
    of_region = [table for table in TABLES if table.region == region]
    for table in of_region:
        if day >= table.since:
            return table
    raise AirError(
        f"{day}: the oldest table of {region} is {of_region[-1].standard}, of {of_region[-1].since}; "
        "give a day since then to have it used for older air"
    )
