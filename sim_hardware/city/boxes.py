"""The districts as boxes of air, and the wind that carries what is in one into the next.

A district is the part of the city's rectangle that is nearer to its centre than to any other (its Voronoi cell), so
faces between neighbours are shared and every box is closed. Through each face goes what the wind takes from the box
upwind of it (the donor-cell or first-order upwind scheme; LeVeque, Finite Volume Methods for Hyperbolic Problems, 4.8):
what leaves one box enters its neighbour, and air that is equally dirty everywhere stays so under any wind.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from sim_hardware.city.records import District, Floats, Ints

_LEAST_KM: Final = 0.5
"""From the outermost centres to the city's edge, at least."""

_Polygon = list[tuple[float, float, int]]
"""Corners (km), each with the box beyond the side that begins there; -1 is outside of the city."""


class Boxes:
    """The boxes of `districts`; `areas` are in m², one per district."""

    def __init__(self, districts: Sequence[District]) -> None:
        centres = np.array([(d.x_km, d.y_km) for d in districts]).reshape(-1, 2)
        margin = max(_LEAST_KM, _spacing_km(centres) / 2)
        (left, low), (right, high) = centres.min(0) - margin, centres.max(0) + margin
        whole: _Polygon = [(left, low, -1), (right, low, -1), (right, high, -1), (left, high, -1)]
        cells = [_cell(number, centres, whole) for number in range(len(centres))]
        sides = [(number, *side) for number, cell in enumerate(cells) for side in _sides(cell)]
        self.count = len(cells)
        self.areas = 1e6 * np.array([_area(cell) for cell in cells])
        self._cell = np.array([side[0] for side in sides])
        self._area_within = self.areas[self._cell]
        self._starts = np.searchsorted(self._cell, np.arange(self.count))
        self._outward = 1000.0 * np.array([side[1:3] for side in sides])  # m of face, along its outward normal
        beyond = np.array([side[3] for side in sides])
        self._beyond: Ints = np.where(beyond < 0, self.count + self._cell, beyond)

    def carry(self, air: Floats, outside: Floats, wind: float, wind_from: float, seconds: float) -> Floats:
        """What is in the boxes after `seconds` of wind (m/s, degrees).

        `air` and `outside` have the shape (boxes, species), in anything per m³ and of air equally deep everywhere;
        `outside` is what the wind brings into a box that lies at the city's edge.
        """
        blows = math.radians(wind_from + 180)
        flow = self._outward @ np.array([wind * math.sin(blows), wind * math.cos(blows)])  # m²/s out of each face
        out = np.maximum(flow, 0)
        gone = np.add.reduceat(out, self._starts) / self.areas
        steps = max(1, math.ceil(seconds * float(gone.max()) / 0.9))  # stable, and never below zero
        entering = ((out - flow) / self._area_within)[:, None]
        left = 1 - seconds / steps * gone[:, None]
        for _ in range(steps):
            beyond = np.concatenate((air, outside)).take(self._beyond, axis=0)
            air = left * air + seconds / steps * np.add.reduceat(entering * beyond, self._starts)
        return air

    def renewal(self, wind: float, wind_from: float) -> Floats:
        """How often per second the wind exchanges the air of each box."""
        blows = math.radians(wind_from + 180)
        flow = self._outward @ np.array([wind * math.sin(blows), wind * math.cos(blows)])
        renewed: Floats = np.add.reduceat(np.maximum(flow, 0), self._starts) / self.areas
        return renewed


def _spacing_km(centres: Floats) -> float:
    """Mean distance of a centre to the nearest other; 1 for a city of one district."""
    if len(centres) < 2:
        return 1.0
    away = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
    np.fill_diagonal(away, np.inf)
    return float(away.min(axis=1).mean())


def _cell(number: int, centres: Floats, whole: _Polygon) -> _Polygon:
    """The city cut back to what is nearest to one centre, by the perpendicular bisector with each other."""
    here, cell = centres[number], whole
    away = np.hypot(*(centres - here).T)
    for other in np.argsort(away, kind="stable"):
        if other == number:
            continue
        if away[other] > 2 * max(math.hypot(x - here[0], y - here[1]) for x, y, _ in cell):
            break  # this one and all that are farther away cannot cut anything
        if away[other] == 0:
            raise ValueError(f"districts {number} and {other} have the same centre: move one of them")
        middle, towards = (here + centres[other]) / 2, centres[other] - here
        cell = _cut(cell, float(towards[0]), float(towards[1]), float(towards @ middle), int(other))
    return cell


def _cut(cell: _Polygon, a: float, b: float, limit: float, beyond: int) -> _Polygon:
    """The part of a convex cell where a x + b y <= limit (Sutherland and Hodgman); the cut looks at `beyond`."""
    kept: _Polygon = []
    for (x, y, side), (to_x, to_y, _) in zip(cell, cell[1:] + cell[:1], strict=True):
        over, to_over = a * x + b * y - limit, a * to_x + b * to_y - limit
        if over <= 0:
            kept.append((x, y, side))
        if (over <= 0) != (to_over <= 0):
            share = over / (over - to_over)
            kept.append((x + share * (to_x - x), y + share * (to_y - y), beyond if over <= 0 else side))
    return kept


def _sides(cell: _Polygon) -> list[tuple[float, float, int]]:
    """Of each side its outward normal as long as the side (corners go counter-clockwise), and what is beyond."""
    return [(to_y - y, x - to_x, side) for (x, y, side), (to_x, to_y, _) in zip(cell, cell[1:] + cell[:1], strict=True)]


def _area(cell: _Polygon) -> float:
    return sum(x * to_y - to_x * y for (x, y, _), (to_x, to_y, _) in zip(cell, cell[1:] + cell[:1], strict=True)) / 2
