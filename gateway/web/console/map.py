"""The site's map as SVG: streets, zones and nodes where the plan has them. Pure.

Drawn here once for all who look; a page then changes nothing but the classes of the symbols.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from markupsafe import Markup
from msgspec import Struct

from gateway.detect.plan import Plan, Point, Zone
from gateway.records import NodeView
from gateway.web.console.markup import html, join, node_url
from gateway.web.console.states import BY_NAME, Key

WIDTH: Final = 1000.0
"""Of the picture, in its own units."""
LEAST: Final = 0.45
"""Height for each of its width, at least."""
MARGIN: Final = 40.0
_EARTH: Final = 111_195.0
"""Metres a degree of latitude."""

# What a node measures is its symbol's shape, around 0, 0; a unit is its size.
_SHAPES: Final = {
    "traffic": '<rect x="-.9" y="-.9" width="1.8" height="1.8" rx=".25"/>',
    "water": '<path d="M0-1.25C.55-.5 1 0 1 .45A1 .95 0 0 1-1 .45C-1 0-.55-.5 0-1.25Z"/>',
    "air": '<circle r="1"/>',
    "": '<path d="M0-1.1 1.1 0 0 1.1-1.1 0Z"/>',
}


class Drawn(Struct, frozen=True):
    svg: Markup
    ids: dict[str, Key]
    """Of each symbol's element, whose it is."""


def element(site: str, node: str) -> str:
    """The id of a node's symbol."""
    return f"n-{site}-{node}"


def draw(plan: Plan, nodes: Sequence[NodeView], state: Mapping[Key, str]) -> Drawn:
    """Nodes that the plan has no place for stand in rows below."""
    where = {(view.site, view.node): spot.at for view in nodes if (spot := plan.spot(view.site, view.node)) is not None}
    zones = [zone for zone in plan.zone if zone.at is not None]
    flat = _Flat([*where.values(), *(corner for zone in zones for corner in _corners(zone))])
    rest = {key: number for number, key in enumerate((v.site, v.node) for v in nodes if (v.site, v.node) not in where)}
    size = max(4.0, min(11.0, 190.0 / math.sqrt(max(1, len(nodes)))))
    columns = max(1, int((WIDTH - 2 * MARGIN) / (3 * size)))
    height = flat.height + (3 * size * math.ceil(len(rest) / columns) + MARGIN if rest else 0.0)
    parts = [
        *(_zone(zone.name, flat(zone.at), zone.radius_m * flat.scale) for zone in zones if zone.at is not None),
        *_streets(plan, where, flat),
    ]
    ids: dict[str, Key] = {}
    for view in sorted(nodes, key=lambda each: state.get((each.site, each.node), "ok") != "ok"):
        key = (view.site, view.node)
        if key in where:
            x, y = flat(where[key])
        else:
            row, column = divmod(rest[key], columns)
            x, y = MARGIN + (column + 0.5) * 3 * size, flat.height + (row + 0.5) * 3 * size
        spot = plan.spot(*key)
        ids[element(*key)] = key
        parts.append(_symbol(view, spot.label if spot else "", state.get(key, "ok"), x, y, size))
    svg = html(
        '<svg id="map" viewBox="0 0 {width:.0f} {height:.0f}" role="group" aria-label="Map of the site">'
        '<g id="map-all">{parts}</g></svg>',
        width=WIDTH,
        height=height,
        parts=join(parts),
    )
    return Drawn(svg, ids)


def _corners(zone: Zone) -> Iterator[Point]:
    """Of the square around its circle."""
    if zone.at is not None:
        lat, lon = zone.at
        high = zone.radius_m / _EARTH
        wide = high / max(0.01, math.cos(math.radians(lat)))
        yield lat - high, lon - wide
        yield lat + high, lon + wide


class _Flat:
    """Degrees to the picture's units; north is up."""

    def __init__(self, points: Iterable[Point]) -> None:
        found = list(points)
        self._lats, self._lons = [lat for lat, _ in found] or [0.0], [lon for _, lon in found] or [0.0]
        self._shrink = math.cos(math.radians((min(self._lats) + max(self._lats)) / 2))
        wide = max((max(self._lons) - min(self._lons)) * self._shrink * _EARTH, 1.0)
        high = max((max(self._lats) - min(self._lats)) * _EARTH, 1.0)
        most = WIDTH * 0.8
        self.scale = min((WIDTH - 2 * MARGIN) / wide, most / high)
        """Units a metre."""
        self.height = max(high * self.scale + 2 * MARGIN, WIDTH * LEAST) if found else MARGIN
        self._left = (WIDTH - wide * self.scale) / 2
        self._top = (self.height - high * self.scale) / 2

    def __call__(self, point: Point) -> tuple[float, float]:
        lat, lon = point
        x = (lon - min(self._lons)) * self._shrink * _EARTH * self.scale
        return self._left + x, self._top + (max(self._lats) - lat) * _EARTH * self.scale


def _zone(name: str, at: tuple[float, float], radius: float) -> Markup:
    x, y = at
    return html(
        '<g class="zone"><circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"/>'
        '<text x="{x:.1f}" y="{top:.1f}">{name}</text></g>',
        x=x,
        y=y,
        r=max(radius, 8.0),
        top=y - max(radius, 8.0) - 4,
        name=name,
    )


def _streets(plan: Plan, where: Mapping[Key, Point], flat: _Flat) -> Iterable[Markup]:
    by_name = {**{("", node): at for (_, node), at in where.items()}, **where}
    for street in plan.street:
        points = [flat(by_name[street.site, name]) for name in street.counters if (street.site, name) in by_name]
        if len(points) > 1:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            yield html(
                '<g class="street"><polyline points="{line}"/><text x="{x:.1f}" y="{y:.1f}">{name}</text></g>',
                line=line,
                x=points[-1][0] + 10,
                y=points[-1][1] + 16,
                name=street.name,
            )


def _symbol(view: NodeView, label: str, state: str, x: float, y: float, size: float) -> Markup:
    """A link to the node. Only those that need a look are reached by the keyboard: for the others there is the list."""
    name = f"{view.node}{f' ({label})' if label else ''}: {BY_NAME[state].words}"
    return html(
        '<a id="{id}" class="node s-{state}" href="{href}" tabindex="{tab}" aria-label="{name}" '
        'transform="translate({x:.1f} {y:.1f}) scale({size:.1f})"><title>{name}</title>{shape}'
        '<text y=".42">{sign}</text></a>',
        id=element(view.site, view.node),
        state=state,
        href=node_url(view.site, view.node),
        tab=-1 if state == "ok" else 0,
        name=name,
        x=x,
        y=y,
        size=size,
        shape=Markup(_SHAPES.get(view.kind, _SHAPES[""])),
        sign=BY_NAME[state].sign,
    )


def legend() -> Markup:
    """What shapes and colours mean."""
    shapes = join(
        html(
            '<li><svg viewBox="-1.4 -1.4 2.8 2.8" class="key" aria-hidden="true">{shape}</svg> {words}</li>',
            shape=Markup(_SHAPES[kind]),
            words=words,
        )
        for kind, words in (("traffic", "traffic counter"), ("water", "water meter"), ("air", "air station"))
    )
    colours = join(
        html('<li><span class="badge s-{name}"><b aria-hidden="true">{sign}</b> {words}</span></li>',
             name=state.name, sign=state.sign, words=state.words)
        for state in BY_NAME.values()
    )  # fmt: skip
    return html('<ul class="legend" aria-label="Legend">{shapes}{colours}</ul>', shapes=shapes, colours=colours)
