"""What we know as the entities of OGC SensorThings 1.1 (Sensing), but observations. Pure.

A node is a Thing; where the plan says it stands, a Location; each quantity of each of its channels a Datastream. Ids
are made of names, which have no `:`, so they can be taken apart, and are the same tomorrow.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from gateway.north.newest import Place, World
from gateway.quantities import KINDS, Quantity, measured_in
from gateway.records import NodeView

OM: Final = "http://www.opengis.net/def/observationType/OGC-OM/2.0/"
UCUM: Final = "http://www.opengis.net/def/uom/UCUM/"
GEOJSON: Final = "application/geo+json"

UNITS: Final[Mapping[str, tuple[str, str, str]]] = {
    "count": ("count", "1", "1"),
    "%": ("percent", "%", "%"),
    "km/h": ("kilometre per hour", "km/h", "km/h"),
    "l": ("litre", "L", "L"),
    "l/h": ("litre per hour", "L/h", "L/h"),
    "Cel": ("degree Celsius", "°C", "Cel"),
    "ug/m3": ("microgram per cubic metre", "µg/m³", "ug/m3"),
    "ppm": ("part per million", "ppm", "[ppm]"),
    "%RH": ("percent of relative humidity", "%RH", "%"),
    "Pa": ("pascal", "Pa", "Pa"),
    "": ("index", "1", "1"),
}
"""Name, symbol and UCUM code of each unit of the table of quantities, but of health."""

RELATIONS: Final[Mapping[str, Mapping[str, tuple[str, bool]]]] = {
    "Things": {
        "Datastreams": ("Datastreams", True),
        "Locations": ("Locations", True),
        "HistoricalLocations": ("HistoricalLocations", True),
    },
    "Locations": {"Things": ("Things", True), "HistoricalLocations": ("HistoricalLocations", True)},
    "HistoricalLocations": {"Thing": ("Things", False), "Locations": ("Locations", True)},
    "Datastreams": {
        "Thing": ("Things", False),
        "Sensor": ("Sensors", False),
        "ObservedProperty": ("ObservedProperties", False),
        "Observations": ("Observations", True),
    },
    "Sensors": {"Datastreams": ("Datastreams", True)},
    "ObservedProperties": {"Datastreams": ("Datastreams", True)},
    "Observations": {"Datastream": ("Datastreams", False), "FeatureOfInterest": ("FeaturesOfInterest", False)},
    "FeaturesOfInterest": {"Observations": ("Observations", True)},
}
"""From each set: name of the link, where it leads, and whether to several."""

SENSORS: Final[Mapping[str, str]] = {
    "traffic": "Vehicles by induction loops or radar, summed up in windows",
    "water": "Pulses of a water meter, kept as its register",
    "air": "Optical particle counter, and chips for gases, temperature, humidity and pressure",
}
QUANTITIES: Final[Mapping[tuple[str, str], Quantity]] = {
    (kind, each.name): each for kind in KINDS for each in measured_in(kind) if each.name != "calibration"
}
"""Of what there are datastreams, by kind and name."""

Entity = dict[str, Any]


def thing_id(site: str, node: str) -> str:
    return f"{site}:{node}"


def stream_id(place: Place, quantity: str) -> str:
    return f"{place.site}:{place.node}:{place.channel}:{quantity}"


class Catalogue:
    """All entities but observations, by set and id; without links."""

    def __init__(self, world: World) -> None:
        self.streams: dict[str, tuple[Place, str]] = {}
        self.sets: dict[str, dict[str, Entity]] = {name: {} for name in RELATIONS}
        self._related: dict[tuple[str, str, str], list[str]] = {}
        for view in world.nodes:
            spot = world.plan.spot(view.site, view.node)
            self._thing(view, spot.at if spot else None, world.exercise)
        kinds = {(view.site, view.node): view.kind for view in world.nodes}
        for place, values in sorted(world.newest.items()):
            for quantity in sorted(values):
                if kinds.get((place.site, place.node)) == place.measurement:
                    self._stream(place, quantity)

    def related(self, name: str, key: str, link: str) -> Sequence[str]:
        """Ids of where a link leads."""
        return self._related.get((name, key, link), ())

    def _thing(self, view: NodeView, at: tuple[float, float] | None, exercise: bool) -> None:
        key = thing_id(view.site, view.node)
        properties = {"site": view.site, "node": view.node, "kind": view.kind, "online": view.online}
        more = {"firmware": view.firmware, "board": view.board, "exercise": exercise}
        self.sets["Things"][key] = {
            "name": f"{view.site} {view.node}",
            "description": f"A node that measures {view.kind}",
            "properties": properties | {name: value for name, value in more.items() if value},
        }
        geometry = None if at is None else {"type": "Point", "coordinates": [at[1], at[0]]}
        self.sets["FeaturesOfInterest"][key] = {
            "name": f"Around {view.site} {view.node}",
            "description": "What the node measures at its place",
            "encodingType": GEOJSON,
            "feature": geometry or {"type": "Feature", "geometry": None, "properties": {}},
        }
        if geometry is not None:
            self.sets["Locations"][key] = {
                "name": f"Place of {view.site} {view.node}",
                "description": "Where the plan says it stands",
                "encodingType": GEOJSON,
                "location": geometry,
            }
            self._tie("Things", key, "Locations", key, "Things")

    def _stream(self, place: Place, quantity: str) -> None:
        known = QUANTITIES.get((place.measurement, quantity))
        if known is None:
            return
        key, thing = stream_id(place, quantity), thing_id(place.site, place.node)
        name, symbol, code = UNITS[known.unit]
        unit = {"name": name, "symbol": symbol, "definition": f"{UCUM}{quote(code, safe='')}"}
        what = f"{place.channel} {quantity}".strip()
        self.streams[key] = place, quantity
        self.sets["Datastreams"][key] = {
            "name": f"{place.site} {place.node} {what}",
            "description": known.meaning,
            "observationType": f"{OM}{'OM_TruthObservation' if known.flag else 'OM_Measurement'}",
            "unitOfMeasurement": {"name": None, "symbol": None, "definition": None} if known.flag else unit,
            "properties": {"kind": place.measurement, "channel": place.channel, "quantity": quantity},
        }
        prop = f"{place.measurement}:{quantity}"
        self.sets["ObservedProperties"][prop] = {
            "name": quantity,
            "definition": f"urn:ganglion:{prop}",
            "description": known.meaning,
        }
        self.sets["Sensors"][place.measurement] = {
            "name": f"Sensors of {place.measurement}",
            "description": SENSORS[place.measurement],
            "encodingType": "text/plain",
            "metadata": SENSORS[place.measurement],
        }
        self._tie("Datastreams", key, "Thing", thing, "Datastreams")
        self._tie("Datastreams", key, "ObservedProperty", prop, "Datastreams")
        self._tie("Datastreams", key, "Sensor", place.measurement, "Datastreams")

    def _tie(self, name: str, key: str, link: str, other: str, back: str) -> None:
        self._related.setdefault((name, key, link), []).append(other)
        self._related.setdefault((RELATIONS[name][link][0], other, back), []).append(key)
