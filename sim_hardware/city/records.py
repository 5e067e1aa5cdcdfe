"""What the parts of the city hand each other."""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int_]


class District(Struct, frozen=True):
    """One of the city's districts; other records name it by its position among them."""

    name: str
    x_km: float
    """Of its centre, eastward."""
    y_km: float
    """Northward."""
    homes: int
    """Households, about 2.2 people each."""
    heating: float = 1.0
    """Share of the homes that burn something for heat."""
    height_m: float = 20.0
    """Above the floor of the waterworks: the water has less pressure uphill."""


class Effect(Struct, frozen=True):
    """One incident's hand on one domain in one minute."""

    kind: str
    where: Ints
    """Indices of what it acts on: meters, districts or cells, as the kind has it."""
    size: float
    """In the kind's own unit: see `incidents.KINDS`."""
    strength: float
    """0 to 1: how far it has grown."""


class Sky(Struct, frozen=True):
    """The weather of one minute over the whole city."""

    temperature: float
    """°C."""
    humidity: float
    """%RH."""
    pressure: float
    """Pa."""
    wind: float
    """m/s."""
    wind_from: float
    """Degrees, clockwise from north: where it comes from."""
    mixing_m: float
    """Height of the mixed layer."""
    inversion: float
    """0 to 1: how firm the lid on it is."""
    rain: float
    """mm/h."""
