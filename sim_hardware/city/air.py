"""The air over the city: a box a district, which emissions fill, the wind empties and the mixed layer dilutes.

Nothing is painted on: the peak of a morning is there because many drive while the mixed layer is still shallow, a
night fills up because it gets shallower, and an episode of days is a wind that does not come. Around the city lies the
region, one box more, of a mixed layer and of what was left above it by the day before: what it holds is the background.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from sim_hardware.city.boxes import Boxes
from sim_hardware.city.records import District, Effect, Floats, Ints, Sky
from sim_hardware.city.weather import Climate, sunshine

fields: Final = ("pm1", "pm2_5", "pm10", "co2", "temperature", "humidity", "pressure", "voc", "nox")
"""Columns of `Air.step()`: µg/m³, ppm, °C, %RH and Pa; gases against the usual of the last days, which is 1."""

_STEP_S: Final = 60.0
_HOUR: Final = 3600.0

# Species of a box: particles below 1, from 1 to 2.5 and from 2.5 to 10 µm; CO2 above that of the hemisphere (ppm);
# NOx; volatile organics; PM2.5 of a smoke that an incident makes. All but CO2 in µg/m³.
_SPECIES: Final = 7
_COARSE: Final = 2
_CO2: Final = 3
_GASES: Final = slice(4, 6)
_SMOKE: Final = 6

_PPM_M3_PER_G: Final = 546.0
"""CO2: 1 ppm is 1.83 mg/m³ at 20 °C."""

# What one unit of each activity gives off in a second, in µg and ppm m³. Of the order of the EMEP/EEA air pollutant
# emission inventory guidebook: 1.A.3.b with wear of tyres, brakes and roads; 1.A.4.b with a home in five burning wood.
_SOURCES: Final = np.array(
    [
        # vehicle-km a minute; for each on a street that is counted, five on streets that are not
        [6 * each / 60 for each in (18e3, 12e3, 40e3, 200 * _PPM_M3_PER_G, 400e3, 90e3, 0)],
        # home that heats, and K that it is colder than 15.5 °C: 150 W/K
        [24, 6, 1, 0.0083 * _PPM_M3_PER_G, 2.5, 10, 0],
        # home, at the mean of its cooking
        [8, 2, 2, 0.002 * _PPM_M3_PER_G, 1, 12, 0],
        # home, always: 2.2 people breathe 1 kg a day each
        [0.5, 0.5, 2, 0.025 * _PPM_M3_PER_G, 0, 8, 0],
    ]
)
_HEATED_BELOW: Final = 15.5

# By hour from midnight, mean 1: stoves are lit for the evening; what is cooked is cooked at noon and for dinner.
_STOVES: Final = (0.9, 0.6, 0.5, 0.4, 0.4, 0.6, 1.0, 1.1, 1.0, 0.8, 0.7, 0.7,
                  0.7, 0.7, 0.7, 0.8, 1.0, 1.4, 1.8, 2.0, 2.0, 1.8, 1.5, 1.2)  # fmt: skip
_KITCHENS: Final = (0.1, 0.05, 0.05, 0.05, 0.1, 0.3, 0.8, 1.1, 0.8, 0.5, 0.7, 1.6,
                    2.1, 1.2, 0.5, 0.5, 0.9, 2.0, 3.5, 3.4, 1.9, 0.9, 0.5, 0.25)  # fmt: skip

# Losses of each species: to the ground (m/s), by rain of 1 mm/h (1/s), by chemistry (1/s). Orders of magnitude of
# Seinfeld and Pandis, Atmospheric Chemistry and Physics, 19 and 20.
_DEPOSITION: Final = np.array([0.001, 0.001, 0.008, 0, 0.002, 0.0005, 0.001])
_WASHOUT: Final = np.array([3e-5, 3e-5, 2e-4, 0, 1e-5, 0, 3e-5])
_CHEMISTRY: Final = np.array([2e-6, 2e-6, 0, 0, 4.6e-5, 2.8e-5, 0])

# The region: what its air has in the mean, against the climate's PM2.5 where that is meant, and the box it is in.
_RURAL_OF_PM: Final = np.array([0.72, 0.28, 0.3, 0, 0.5, 1.2, 0])
_RURAL: Final = np.array([0, 0, 2.5, 0, 3, 10, 0])
_REGION_M: Final = 80e3
_TOP_M: Final = 1800.0
_FAR: Final = 0.3
"""Of the region's mean comes from beyond it, most with wind from the climate's dirty side."""
_BREATH: Final = 0.08
"""ppm m/s of CO2 that plants and soil give off at 10 °C; twice that 10 °C higher; by day they take it up again."""

_PATCHY: Final = (0.3, 0.6)
"""Spread of the logarithm of what a district's homes give off, and of what is in the air that comes over its edge."""
_ALIKE_KM: Final = 12.0
"""Over which these become different, from one district to another."""
_ONLY_SMOKE: Final = np.eye(_SPECIES)[_SMOKE]
_FILLS_M: Final = 540.0
"""Depth that the region's emissions fill in the mean; found by letting years pass."""
_KERB_S: Final = 20.0
"""How long, at 0 m/s beside the 1 m/s that vehicles stir, a street's own exhaust stays around a station in it."""
_KERBSIDE: Final = slice(0, 4)
_AT_KERB: Final = np.array([_SOURCES[0, 0], _SOURCES[0, :2].sum(), _SOURCES[0, :3].sum(), _SOURCES[0, 3]])

_SMOKE_HAS: Final = np.array([0.85, 0.15, 0.15, 0.08, 0.1, 6.0])
"""Of the other species, for each µg/m³ of PM2.5 in smoke."""


class Air:
    """`step()` gives what the stations measure, minute by minute."""

    def __init__(self, seed: np.random.SeedSequence, districts: Sequence[District], of: Ints, climate: Climate) -> None:
        """`of` is the district of each station."""
        # Two, so that another number of stations changes no air. Not spawn(), which gives others to the next who asks.
        words = seed.generate_state(8)
        self._dice, self._noise = np.random.default_rng(words[:4]), np.random.default_rng(words[4:])
        self._climate = climate
        self._of = np.asarray(of, int)
        self.boxes = Boxes(districts)
        self._per_m2 = np.array([(0.0, d.homes * d.heating, d.homes, d.homes) for d in districts])
        self._per_m2 /= self.boxes.areas[:, None]
        self._island = np.clip(1e6 * self._per_m2[:, 2] / 1500, 0, 2)
        self._thinner = np.exp(np.array([-d.height_m / 8430 for d in districts]))
        count, stations = len(districts), len(self._of)
        self._count = count
        self._keep, self._spread = _memory(np.array([3.0] * count + [8.0] * count + [24.0]))
        at = np.array([(d.x_km, d.y_km) for d in districts])
        alike = np.exp(-np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1)) / _ALIKE_KM)
        self._alike = alike / np.sqrt((alike**2).sum(axis=1, keepdims=True))
        self._moods = self._news()
        """Of the homes of each district, of the patches of air that the wind brings there, of what comes from afar."""
        self._patchy = np.repeat(_PATCHY, count)[:, None]
        self._near = np.clip(self._noise.lognormal(-0.3, 0.7, stations), 0.1, 4)
        self._shade = self._noise.normal(0, 0.25, stations)
        self._station_keep, self._station_spread = _memory(np.array(1.5))
        self._local = self._noise.standard_normal(stations)
        self._at_kerb = climate.emissions * _AT_KERB[:, None]
        self._gas_at_kerb = climate.emissions * _SOURCES[0, [5, 4]]
        self._cold = math.nan
        self._mixing = 0.0
        self._usual = np.zeros(2)
        level = math.exp(0.4 * self._dice.standard_normal())
        self._region = (_RURAL_OF_PM * climate.pm2_5 + _RURAL) * level
        self._aloft = 0.6 * self._region
        self._air = np.tile(self._region, (count, 1))

    def step(self, second: int, sky: Sky, emission: Floats, effects: Sequence[Effect]) -> Floats:
        """The minute that begins at `second` (Unix seconds) at the stations, of shape (stations, len(fields)).

        `emission` is of the district's traffic, as of `Streets.emission()`. `effects` may be `smoke` (size: µg/m³ of
        PM2.5 in a plume that the wind brings over the city's edge in the districts `where`) and `fire` (size: µg/m³
        of PM2.5 that it comes to in the district, and leaves with the wind). Other kinds have no effect.
        """
        first = math.isnan(self._cold)
        if first:
            self._cold, self._mixing = sky.temperature, sky.mixing_m
        else:
            self._moods = self._keep * self._moods + self._spread * self._news()
            self._local *= self._station_keep
            self._local += self._station_spread * self._noise.standard_normal(len(self._local))
        # The districts come to what the first minute's weather makes of them: three hours of it are enough.
        for _ in range(180 if first else 1):
            self._minute(second, sky, emission, effects)
        return self._seen(sky)

    def _news(self) -> Floats:
        """New draws of variance 1 for all moods: of districts, the more alike the nearer they are."""
        drawn = self._dice.standard_normal(1 + 2 * self._count)
        drawn[:-1] = (drawn[:-1].reshape(2, -1) @ self._alike.T).ravel()
        return drawn

    def _minute(self, second: int, sky: Sky, emission: Floats, effects: Sequence[Effect]) -> None:
        hour = (second % 86_400) / _HOUR
        self._cold += (sky.temperature - self._cold) * _STEP_S / (12 * _HOUR)
        degrees = max(0.0, _HEATED_BELOW - self._cold)
        lit = _by_hour(_STOVES, hour)
        lost = np.exp(-_STEP_S * (_DEPOSITION / sky.mixing_m + _WASHOUT * sky.rain**0.7 + _CHEMISTRY))
        grown = max(0.0, 1 - self._mixing / sky.mixing_m)  # share of the layer that was not in it a minute ago
        dust = _dust(sky)

        everywhere = self._change_region(second, sky, degrees, lit, lost, grown, dust)
        moods = np.exp(self._patchy * (self._moods[:-1, None] - self._patchy / 2))
        outside = self._region * moods[self._count :]
        smoke = [each for each in effects if each.kind == "smoke"]
        for each in smoke:
            outside[each.where, _SMOKE] += each.size * each.strength
        wind = max(sky.wind, 0.5)
        self._air = self.boxes.carry(self._air, outside, wind, sky.wind_from, _STEP_S)

        self._per_m2[:, 0] = emission / self.boxes.areas
        rates = np.array([[1.0], [degrees * lit], [_by_hour(_KITCHENS, hour)], [1.0]])
        given = self._per_m2 @ (_SOURCES * (self._climate.emissions * _STEP_S / sky.mixing_m * rates))
        self._air += given * moods[: self._count] + everywhere * (_STEP_S / sky.mixing_m)
        for each in effects:
            if each.kind == "fire":
                renewed = self.boxes.renewal(wind, sky.wind_from)[each.where]
                self._air[each.where, _SMOKE] += _STEP_S * renewed * each.size * each.strength
        self._air *= lost
        if grown:
            # A plume fills all of the height: no clean air comes from above it.
            above = self._aloft + outside * _ONLY_SMOKE if smoke else self._aloft
            self._air += grown * (above - self._air)
        self._mixing = sky.mixing_m

    def _change_region(
        self, second: int, sky: Sky, degrees: float, lit: float, lost: Floats, grown: float, dust: float
    ) -> Floats:
        """The background: what the region emits stays the longer, the less wind there is to replace its air.

        Gives what is emitted and formed everywhere, in the city too, per m² and second.
        """
        climate, mixing = self._climate, sky.mixing_m
        sun, daily_sun, _ = sunshine(second, climate)
        dirty = math.cos(math.radians(sky.wind_from - climate.dirty_from))
        side = climate.dirty_by ** (dirty / 2)
        mean = _RURAL_OF_PM * climate.pm2_5 + _RURAL
        far = _FAR * mean * side * math.exp(self._moods[-1] - 0.5)
        # Emissions that hold the mean at the climate's mean wind.
        source: Floats = mean * climate.mean_wind / _REGION_M * _FILLS_M
        formed = 0.035 * max(0.0, self._cold - 5) * sun / daily_sun
        source *= 0.55 * side**0.5 + 0.032 * degrees * lit + formed
        self._aloft += _STEP_S / _TOP_M * source * formed
        source[_COARSE] += dust
        source[_CO2] = _BREATH * 2 ** ((sky.temperature - 10) / 10) * (1 - sun / daily_sun)
        self._region = (self._region + _STEP_S / mixing * source) * lost
        if grown:
            self._region += grown * (self._aloft - self._region)
        else:  # the layer's upper part stays behind, above it
            left = (self._mixing - mixing) / max(_TOP_M - mixing, 100.0)
            self._aloft += max(0.0, left) * (self._region - self._aloft)
        replaced = _STEP_S * climate.mean_wind / _REGION_M * (sky.wind / climate.mean_wind) ** 1.6
        self._region += replaced * (far - self._region)
        self._aloft += 1.5 * replaced * (far - self._aloft)
        self._aloft *= np.exp(-_STEP_S * (_WASHOUT * sky.rain**0.7 + _CHEMISTRY))
        return source

    def _seen(self, sky: Sky) -> Floats:
        air = self._air[:, :_SMOKE] + self._air[:, _SMOKE:] * _SMOKE_HAS
        small, fine, coarse, co2, nox, voc = air.T
        usual: Floats = air[:, _GASES].sum(axis=0) / self._count + 1e-3
        self._usual = self._usual + (usual - self._usual) * _STEP_S / (48 * _HOUR) if self._usual.all() else usual
        warmer = self._island * (0.3 + 1.6 * sky.inversion)
        of_district = np.array(
            [
                small,
                small + fine,
                small + fine + coarse,
                self._climate.co2 + co2,
                sky.temperature + warmer,
                # 17.62 * 243.12 / (243.12 + T)²: what a degree does to the logarithm of the saturation pressure
                sky.humidity * np.exp(-4284 / (243.12 + sky.temperature) ** 2 * warmer),
                sky.pressure * self._thinner,
                voc / self._usual[1],
                nox / self._usual[0],
            ]
        )
        seen = of_district.take(self._of, axis=1)
        kerb = self._near * (self._per_m2[:, 0] * (_KERB_S / (sky.wind + 1))).take(self._of)
        seen[:3] *= np.maximum(1 + 0.08 * self._local, 0.5)
        seen[_KERBSIDE] += self._at_kerb * kerb
        seen[7:] += (self._gas_at_kerb / self._usual[::-1])[:, None] * kerb
        seen[4] += self._shade
        np.minimum(seen[5], 100, out=seen[5])
        result: Floats = seen.T
        return result


def _memory(hours: Floats) -> tuple[Floats, Floats]:
    """(factor on the last minute's value, factor on a new draw) of an AR(1) of variance 1 that forgets in `hours`."""
    keep = np.exp(-_STEP_S / (_HOUR * hours))
    return keep, np.sqrt(1 - keep**2)


def _by_hour(table: tuple[float, ...], hour: float) -> float:
    """Of a table by whole hours, straight between them."""
    before = int(hour)
    return table[before] + (hour - before) * (table[(before + 1) % 24] - table[before])


def _dust(sky: Sky) -> float:
    """µg/(m² s) of coarse particles that the wind lifts from dry ground; none below 5 m/s."""
    dry = max(0.0, 1 - sky.humidity / 80) * (sky.rain < 0.05)
    return 0.4 * dry * max(0.0, sky.wind - 5) ** 2
