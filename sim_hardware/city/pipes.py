"""The water network: a tree of mains from the waterworks to the districts, and what every meter in it sees.

Head loss by Hazen and Williams (the form of EPANET: h = 10.67 L Q^1.852 / (C^1.852 d^4.871), m and m³/s),
leaks as orifices and cracks (FAVAD, May 1994: flow ~ pressure^N), taps that give less below a service pressure
(Wagner et al. 1988). A minute is one step towards the balance of flow and pressure: water hammer is over sooner.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from sim_hardware.city import demand
from sim_hardware.city.demand import HOME_L_DAY, Crowd, Homes, Mood
from sim_hardware.city.records import District, Effect, Floats, Ints, Sky
from sim_hardware.city.weather import Climate

_EXPONENT: Final = {"leak": 1.15, "main_leak": 1.15, "burst": 0.5, "main_burst": 0.5}
"""Of pressure: 1.15 is the mean of Japan's field tests, where cracks widen under it; 0.5 a hole in a rigid pipe."""
_BACKFLOW_HEAD = 2.0
"""What turns a meter backwards (a pump, a tank uphill) has this many times the usual pressure."""
_MAINS: Final = ("main_leak", "main_burst")

_BACKGROUND_LH = 3.0
"""A home's share of the leaks too small to find, at usual pressure: our choice, a fifth of what flows in, so that the
night's flow is a third of the day's. They have the exponent of `leak`."""

_SERVICE_M = 20.0
"""Below this pressure homes get less than they want: the usual minimum for houses of two floors."""
_END_M = 32.0
"""At the highest or farthest district in a peak hour: what the waterworks' pumps are set for."""
_FLOOR_M = 0.05
"""A main is never quite empty: what is left keeps the equations from dividing by nothing."""

_ROUGHNESS = 130.0
"""Hazen-Williams C of ductile iron that has some years behind it."""
_PEAK = 2.6
"""Of the mean flow: what mains are laid for."""
_MAIN_SLOPE = 2.5e-3
"""m of head a metre that mains between districts may lose then: 1 to 3 ‰ is usual ..."""
_INLET_SLOPE = 4e-3
"""... and 2 to 5 ‰ within them."""
_DIAMETERS = np.array([80, 100, 125, 150, 200, 250, 300, 350, 400, 500, 600, 700, 800, 900, 1000, 1200, 1400, 1600])
"""mm, of EN 545."""
_TRUNK_M = 2000.0
"""From the waterworks to the first district."""
_INLET_M = 500.0
"""From a district's inlet to where most of its homes are."""
_WINDING = 1.25
"""Streets are longer than the crow's flight."""

_YEAR_D = 365.2425
_SOIL = 0.55
"""Share of the air's yearly swing that reaches the mains, a metre down ..."""
_SOIL_LATE_D = 28
"""... and how many days later (damping depth of moist soil about 2 m)."""
_WEATHER_MIN = 10 * 1440.0
"""The ground remembers unusual weather for some ten days."""
_DRY_MIN = 2 * 1440.0
_DRY_MM = 1.0
_WARM = 16.0
"""°C at which gardens are watered, if less than `_DRY_MM` is left of the last days' rain."""
_HOLIDAYS_D = (12, 43)
"""From so many days after the warmest to so many, all of August in the north ..."""
_HOLIDAYS_AWAY = 0.11
"""... this share of the homes is away, as in Alicante."""
_CELLAR = 16.0
_PIPE_L = 2.0
"""Litres between the main and the meter, which stand still between two uses."""
_STILL_MIN = 90.0
"""In so many minutes the water in the meter takes on the cellar's temperature."""


class Balance(Struct, frozen=True):
    """Where the water of each district went in one minute, l/h: inflow = metered + unmetered + lost."""

    inflow: Floats
    metered: Floats
    """Through the homes' meters, leaks behind them too; less what came back."""
    unmetered: Floats
    """To homes without a meter."""
    lost: Floats
    """Before any meter: background losses, leaks and bursts of the main."""


class Pipes:
    """`step()` gives what the water meters see in one minute; minutes come in order, the first may be any."""

    def __init__(
        self,
        seed: np.random.SeedSequence,
        districts: Sequence[District],
        of: Ints,
        role: NDArray[np.bool_],
        climate: Climate | None = None,
    ) -> None:
        """`of`: each meter's district. `role`: True where it sits at its district's inlet, False in a home."""
        # Not spawn(), which gives others to the next who asks.
        words = seed.generate_state(3, np.uint64).astype(np.uint64)
        self._of, self._inlet = of, np.flatnonzero(role)
        self._home = np.flatnonzero(~role)
        self._homes_of = of[self._home]
        self._n = len(districts)
        metered = np.bincount(self._homes_of, minlength=self._n)
        built = np.maximum([each.homes for each in districts], metered)
        self._homes = Homes(demand.keys(words[:1], self._home))
        self._crowd = Crowd(words[1:], built - metered)
        self._mains = Mains(districts, built)
        self._pressure = self._mains.usual.copy()
        self._background = built * _BACKGROUND_LH
        self._ground = _Ground(climate or Climate())
        self._warmth: Floats | None = None
        self._balance = Balance(*np.zeros((4, self._n)))

    def step(self, second: int, sky: Sky, effects: Sequence[Effect] = ()) -> Floats:
        """(meters, 2): flow in l/h, below 0 backwards; temperature of the water in the meter, °C.

        Raises ValueError for an effect that is none of the water's.
        """
        minute = second // 60
        mood = self._ground.step(minute, sky)
        relative = self._pressure / self._mains.usual
        share = np.sqrt(np.minimum(self._pressure / _SERVICE_M, 1))
        flow = np.zeros(len(self._of))
        flow[self._home] = self._homes.wanted(minute, mood) * share[self._homes_of]
        lost = self._background * relative ** _EXPONENT["leak"]
        for effect in effects:
            size = effect.size * effect.strength
            if effect.kind in _MAINS:
                lost[effect.where] += size * relative[effect.where] ** _EXPONENT[effect.kind]
            elif effect.kind == "backflow":
                push = (_BACKFLOW_HEAD - relative[self._of[effect.where]]) / (_BACKFLOW_HEAD - 1)
                flow[effect.where] -= size * np.sqrt(np.maximum(push, 0))
            elif effect.kind in _EXPONENT:
                flow[effect.where] += size * relative[self._of[effect.where]] ** _EXPONENT[effect.kind]
            else:
                raise ValueError(f"water knows no effect {effect.kind!r}: give it {', '.join(_EXPONENT)} or backflow")
        metered = np.bincount(self._of, flow, self._n).astype(np.float64)
        unmetered = self._crowd.wanted(minute, mood) * share
        inflow = metered + unmetered + lost
        self._balance = Balance(inflow, metered, unmetered, lost)
        flow[self._inlet] = inflow[self._of[self._inlet]]
        self._pressure = self._mains.settle(self._pressure, inflow / 1000)
        return np.stack((flow, self._temperature(flow, mood.ground, sky.temperature)), axis=1)

    def balance(self) -> Balance:
        """Of the last minute."""
        return self._balance

    def inflow(self) -> Floats:
        """Into each district in the last minute, leaks included: m³/h."""
        return self._balance.inflow / 1000

    def pressure(self) -> Floats:
        """In the middle of each district at the end of the last minute: m of head."""
        return self._pressure

    def _temperature(self, flow: Floats, ground: float, air: float) -> Floats:
        """Fresh water comes as cold as the ground; what stands in the meter becomes as warm as the cellar is."""
        cellar = 0.5 * ground + 0.25 * air + 0.25 * _CELLAR
        if self._warmth is None:
            self._warmth = np.full(len(flow), ground)
        fresh = np.minimum(np.abs(flow) * (1 / 60 / _PIPE_L), 1)
        warmth = self._warmth
        warmth += (cellar - warmth) * (1 / _STILL_MIN)
        warmth += (ground - warmth) * fresh
        warmth[self._inlet] = ground
        return warmth


class Mains:
    """The tree: the waterworks lie by the lowest district; each other hangs on the nearest that is supplied already."""

    def __init__(self, districts: Sequence[District], homes: Ints) -> None:
        n = len(districts)
        place = np.array([(each.x_km, each.y_km) for each in districts]).reshape(n, 2)
        height = np.array([each.height_m for each in districts])
        mean = homes * (HOME_L_DAY / 24 + _BACKGROUND_LH) / 1000
        self._feeds, length = _tree(place, height)
        self._feeds_t = np.ascontiguousarray(self._feeds.T)
        self._main = _resistance(length, _PEAK * (self._feeds_t @ mean), _MAIN_SLOPE)
        self._inlet = _resistance(np.full(n, _INLET_M), _PEAK * mean, _INLET_SLOPE)
        pumps = float((self._loss(_PEAK * mean) + height).max(initial=0)) + _END_M
        self._still = pumps - height
        self.usual = self._still - self._loss(mean)
        """m of head in each district at its mean flow."""

    def settle(self, pressure: Floats, inflow: Floats) -> Floats:
        """The pressure (m) after a minute with this inflow (m³/h).

        Flow falls with pressure and pressure with flow, so a full step would swing where the loss is large. This
        step is Newton's for a flow that goes with the root of the pressure.
        """
        loss = self._loss(inflow)
        step = pressure / (pressure + np.maximum(loss, 0))
        settled: Floats = np.maximum(pressure + step * (self._still - loss - pressure), _FLOOR_M)
        # To the millimetre: the last bits of a power are not the same on every processor, and must not add up.
        return settled.round(3)

    def _loss(self, inflow: Floats) -> Floats:
        """Of head (m), from the waterworks to the middle of each district."""
        through = self._feeds_t @ inflow
        main = self._main * np.abs(through) ** 0.852 * through
        inlet = self._inlet * np.abs(inflow) ** 0.852 * inflow
        loss: Floats = self._feeds @ main + inlet
        return loss


def _tree(place: Floats, height: Floats) -> tuple[Floats, Floats]:
    """Prim's shortest tree, from the lowest district.

    Returns (n, n) with 1 where the main of the column's district feeds the row's, and the length of the mains (m).
    """
    n = len(place)
    feeds, length = np.eye(n), np.full(n, _TRUNK_M)
    if not n:
        return feeds, length
    root = int(np.argmin(height))
    apart = np.hypot(*(place[:, None] - place).transpose(2, 0, 1)) * (1000 * _WINDING)
    supplied = np.arange(n) == root
    parent, nearest = np.full(n, root), apart[root].copy()
    for _ in range(n - 1):
        new = int(np.argmin(np.where(supplied, np.inf, nearest)))
        supplied[new] = True
        feeds[new] += feeds[parent[new]]
        length[new] = nearest[new]
        closer = ~supplied & (apart[new] < nearest)
        parent[closer], nearest[closer] = new, apart[new][closer]
    return feeds, length


def _resistance(length: Floats, design: Floats, slope: float) -> Floats:
    """Head loss (m) of mains at 1 m³/h, each of the least diameter that carries its design flow (m³/h) so."""
    a_metre = 10.67 / _ROUGHNESS**1.852 / (_DIAMETERS / 1000) ** 4.871 / 3600**1.852
    fits = a_metre * design[:, None] ** 1.852 <= slope
    fits[:, -1] = True
    resistance: Floats = a_metre[np.argmax(fits, axis=1)] * length
    return resistance


class _Ground:
    """What weather and season do to the ground, and to people."""

    def __init__(self, climate: Climate) -> None:
        self._mean, self._swing = climate.mean_temperature, climate.yearly_swing / 2
        self._warmest_d = 200 if climate.hemisphere == "north" else 18
        self._unusual = 0.0
        self._wet_mm = 0.0

    def step(self, minute: int, sky: Sky) -> Mood:
        day = minute / 1440
        usual = self._season(day)
        self._unusual += (sky.temperature - usual - self._unusual) / _WEATHER_MIN
        self._wet_mm += sky.rain / 60 - self._wet_mm / _DRY_MIN
        ground = self._mean + _SOIL * (self._season(day - _SOIL_LATE_D) - self._mean + self._unusual)
        mood = Mood(max(ground, 1.0), self._wet_mm < _DRY_MM and sky.temperature > _WARM)
        if _HOLIDAYS_D[0] <= (day - self._warmest_d) % _YEAR_D < _HOLIDAYS_D[1]:
            mood = structs.replace(mood, away=_HOLIDAYS_AWAY)
        return mood

    def _season(self, day: float) -> float:
        """Usual temperature of the air; 1970 began with a first of January."""
        return self._mean + self._swing * float(np.cos(2 * np.pi * (day - self._warmest_d) / _YEAR_D))
