"""The weather over the city, minute by minute: season, day and passing fronts.

Slow states are first-order autoregressive (the discrete Ornstein-Uhlenbeck process); fronts pass every few days and
bring what they bring in the mid-latitudes: falling pressure and rain, then wind that has turned, colder and clean air.
The sun stands as it does at the climate's latitude, and what it heats decides how deep the air is mixed.
"""

import math
from typing import Annotated, Final, Literal

import numpy as np
from msgspec import Meta, Struct

from sim_hardware.city.records import Sky

_YEAR_DAYS: Final = 365.2425
_STEP_S: Final = 60.0
_HOUR: Final = 3600.0

_STATES: Final = {
    "high": 60.0,
    "air_mass": 80.0,
    "wind_slow": 30.0,
    "wind_fast": 3.0,
    "turn": 18.0,
    "meander": 0.5,
    "cloud": 9.0,
    "showers": 0.7,
    "moisture": 45.0,
}
"""Autoregressive states of variance 1, and the hours after which each has forgotten all but 1/e of itself."""

_LAPSE_K_M: Final = 0.005
"""Of the air above the mixed layer; anticyclones, which sink and warm, make it steeper."""


_STORM: Final = 25.0
"""m/s that the mean wind of a minute comes near to and never reaches."""


class Climate(Struct, frozen=True, forbid_unknown_fields=True):
    """What the city's weather and air are like in the mean. The defaults are a temperate European river city."""

    mean_temperature: Annotated[float, Meta(ge=-20, le=35)] = 11.0
    """°C, of the year."""
    yearly_swing: Annotated[float, Meta(ge=0, le=50)] = 18.0
    """°C between the means of the coldest and the warmest month."""
    daily_swing: Annotated[float, Meta(ge=0, le=25)] = 8.0
    """°C between sunrise and afternoon, mean of the year."""
    hemisphere: Literal["north", "south"] = "north"
    latitude: Annotated[float, Meta(ge=0, le=65)] = 50.0
    """Degrees from the equator."""
    mean_wind: Annotated[float, Meta(ge=0.5, le=12)] = 3.0
    """m/s."""
    wind_from: Annotated[float, Meta(ge=0, lt=360)] = 240.0
    """Degrees: where the wind mostly comes from. Behind a front it comes from some 70 degrees further clockwise."""
    humidity: Annotated[float, Meta(ge=20, le=95)] = 74.0
    """%RH, mean of the year, about."""
    cloud: Annotated[float, Meta(ge=0, le=1)] = 0.6
    """Share of the sky that is covered, mean of the year."""
    yearly_rain: Annotated[float, Meta(ge=0, le=4000)] = 700.0
    """mm, about."""
    front_days: Annotated[float, Meta(ge=2, le=60)] = 4.5
    """Mean time between two fronts."""
    pm2_5: Annotated[float, Meta(ge=0, le=300)] = 10.0
    """µg/m³ in the air of the region around the city, mean of the year, about. The city adds its own."""
    dirty_from: Annotated[float, Meta(ge=0, lt=360)] = 90.0
    """Degrees: wind from there brings the most of what others emit, wind from the opposite the least."""
    dirty_by: Annotated[float, Meta(ge=1, le=100)] = 8.0
    """How many times as much wind from there brings as wind from the opposite side."""
    co2: Annotated[float, Meta(ge=300, le=1000)] = 425.0
    """ppm, over the sea."""
    emissions: Annotated[float, Meta(ge=0, le=100)] = 1.0
    """Of the city's homes and vehicles, against those of a European city of the 2020s."""


class Weather:
    """`step(second)` gives the weather of one minute. Minutes come in order; the first may be any."""

    def __init__(self, seed: np.random.SeedSequence, climate: Climate) -> None:
        self._climate = climate
        self._rng = np.random.default_rng(seed)
        self._keep = np.exp(-_STEP_S / (_HOUR * np.array(list(_STATES.values()))))
        self._spread = np.sqrt(1 - self._keep**2)
        self._states = self._rng.standard_normal(len(_STATES))
        self._front: tuple[float, float] | None = None
        self._next: tuple[float, float] = (0.0, 0.0)
        self._wake = self._sunned = self._stirred = self._inversion = self._wet = 0.0
        self._mixing = 0.0

    def step(self, second: int) -> Sky:
        """The weather of the minute that begins at `second` (Unix seconds, UTC, which is the sun's time here)."""
        first = self._front is None
        if first:
            before = second - self._rng.uniform(0, self._climate.front_days) * 86_400
            self._front = (before, self._rng.uniform(0.5, 1.3))
            self._next = self._after(before)
        else:
            self._states = self._keep * self._states + self._spread * self._rng.standard_normal(len(_STATES))
        sky = self._minute(second)
        # The day's own states have no value to begin with: they come to one under the weather of the first minute.
        for _ in range(720 if first else 0):
            sky = self._minute(second)
        return sky

    def _after(self, last: float) -> tuple[float, float]:
        """(Unix seconds at which it passes, strength) of the front that follows one at `last`, 36 h later or more."""
        days = 1.5 + self._rng.exponential(self._climate.front_days - 1.5)
        return (last + 86_400 * days, self._rng.uniform(0.5, 1.3))

    def _passing(self, second: int) -> tuple[float, float, float]:
        """(trough, band of rain, wake of a front) now, each 0 to about 1."""
        assert self._front is not None
        if second > (self._front[0] + self._next[0]) / 2:  # both are far away then: nothing jumps
            self._front, self._next = self._next, self._after(self._next[0])
        passed, strength = self._front
        hours = (second - passed) / _HOUR
        if 0 <= hours < 4:
            self._wake += (strength - self._wake) * _STEP_S / (1.5 * _HOUR)
        else:
            self._wake *= 1 - _STEP_S / (18 * _HOUR)
        return strength * math.exp(-((hours / 9) ** 2)), strength * math.exp(-((hours / 2.5) ** 2)), self._wake

    def _minute(self, second: int) -> Sky:
        climate = self._climate
        high, air_mass, wind_slow, wind_fast, turn, meander, cloud, showers, moisture = self._states.tolist()
        trough, band, wake = self._passing(second)
        sun, daily_sun, season = sunshine(second, climate)
        calmer = wake - 0.15 * 4.5 / climate.front_days  # the mean is taken off, so that the climate's stays

        covered = _within(climate.cloud + 0.38 * cloud - 0.1 * high + 0.5 * band - 0.3 * calmer, 0, 1)
        rain = max(0.0, 0.75 * showers + 0.35 * (cloud - high) + 1.8 * band - 1.5) ** 1.5
        rain *= climate.yearly_rain / 260
        self._wet += (min(rain, 1.0) - self._wet) * _STEP_S / ((1 if rain > self._wet else 6) * _HOUR)

        # What the sun warms lags behind it by hours: the warmest is the afternoon, the coldest is sunrise.
        clear = 1 - 0.65 * covered
        self._sunned += (clear * (sun - daily_sun) - self._sunned) * _STEP_S / (4 * _HOUR)
        of_day = climate.mean_temperature + season * climate.yearly_swing / 2 + 3.0 * air_mass - 5 * calmer
        temperature = of_day + 3 * climate.daily_swing * self._sunned - 1.5 * self._wet

        # Kinematic heat flux, K m/s: some 0.2 on a summer noon; the ground loses a little at any time.
        heat = 0.22 * sun * (1 - 0.7 * covered) * (1 - 0.4 * self._wet) - 0.012
        self._stirred += (_within(heat / 0.1, 0, 1) - self._stirred) * _STEP_S / (1.5 * _HOUR)
        wind = climate.mean_wind * (0.86 + 0.75 * self._stirred)
        wind *= math.exp(0.38 * wind_slow + 0.3 * wind_fast - 0.2 * high + 0.75 * calmer + 0.3 * band - 0.15)
        wind = max(0.2, _STORM * math.tanh(wind / _STORM))
        came = climate.wind_from + 40 * turn + 30 * meander / (1 + wind) - 30 * trough + 75 * wake
        self._mix(wind, heat, covered, high)

        # The dew point belongs to the air mass, so a warmer afternoon is a drier one.
        dew = of_day - (100 - climate.humidity) / 5 + 2.2 * moisture - 1.5 * calmer
        dew = min(dew + self._wet * (temperature - dew) * 0.8, temperature - 0.1)
        return Sky(
            temperature=temperature,
            humidity=100 * math.exp(vapour(dew) - vapour(temperature)),
            pressure=101_500 + 750 * high - 1100 * trough + 250 * wake,
            wind=wind,
            wind_from=came % 360,
            mixing_m=self._mixing,
            inversion=self._inversion,
            rain=rain,
        )

    def _mix(self, wind: float, heat: float, covered: float, high: float) -> None:
        """Deepen the mixed layer by what heats it from below, or let it fall to what the wind alone can stir.

        Heated from below it grows by encroachment, d(h²)/dt = 2 (1 + 2A) F / lapse with the entrainment A = 0.2
        (Tennekes 1973; Stull, An Introduction to Boundary Layer Meteorology, 11.2).
        """
        firm = (1 - covered) ** 0.5 * math.exp(-((wind / 2.5) ** 2)) * math.exp(-max(heat, 0) / 0.015)
        self._inversion += (firm - self._inversion) * _STEP_S / (1.5 * _HOUR)
        stirred = min(90 + 130 * wind * (1 - 0.75 * self._inversion), 1500.0)
        if self._mixing < stirred or heat <= 0:
            self._mixing += (stirred - self._mixing) * _STEP_S / (0.7 * _HOUR)
        if heat > 0:
            lapse = _LAPSE_K_M * (1 + 0.5 * max(high, 0))
            self._mixing = min(math.sqrt(self._mixing**2 + 2.8 * heat / lapse * _STEP_S), 2500.0)


def sunshine(second: int, climate: Climate) -> tuple[float, float, float]:
    """(sine of the sun's elevation or 0 by night, its mean over this day, season from -1 to 1) at a time.

    The season is that of the temperature, which is a month behind the sun. Declination to a third of a degree
    (Cooper 1969); mean over the day: Duffie and Beckman, Solar Engineering of Thermal Processes, 1.10.
    """
    days = second / 86_400
    year = 2 * math.pi * ((days - 10_957) % _YEAR_DAYS) / _YEAR_DAYS  # 10957 days: 2000-01-01
    hemisphere = 1 if climate.hemisphere == "north" else -1
    declination = -hemisphere * math.radians(23.45) * math.cos(year + 2 * math.pi * 10 / _YEAR_DAYS)
    latitude = math.radians(climate.latitude)
    high = math.sin(latitude) * math.sin(declination)
    wide = math.cos(latitude) * math.cos(declination)
    half_day = math.acos(_within(-high / wide, -1, 1))
    sun = high - wide * math.cos(2 * math.pi * (days % 1))
    daily = (half_day * high + wide * math.sin(half_day)) / math.pi
    season = -hemisphere * math.cos(year - 2 * math.pi * 20 / _YEAR_DAYS)
    return max(sun, 0.0), daily, season


def vapour(temperature: float) -> float:
    """Logarithm of the saturation pressure of water at °C, but for a constant (Magnus formula, WMO-No. 8)."""
    return 17.62 * temperature / (243.12 + temperature)


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
