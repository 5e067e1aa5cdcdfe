"""What we know as entities of FIWARE's Smart Data Models, in NGSI-LD (ETSI GS CIM 009). Pure.

Units are codes of UN/CEFACT Recommendation 20. Names of attributes are the models' own; `OWN` has those that no model
has. The context is named, never fetched.
"""

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from statistics import fmean
from typing import Any, Final, NamedTuple

from gateway.north.newest import Place, Value, World
from gateway.privacy.sums import DaySum, Key
from gateway.records import Incident, NodeView

CONTEXT: Final = "https://smartdatamodels.org/context.jsonld"
CORE_CONTEXT: Final = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld"

SUBJECTS: Final[Mapping[str, str]] = {
    "AirQualityObserved": "dataModel.Environment",
    "Alert": "dataModel.Alert",
    "Device": "dataModel.Device",
    "TrafficFlowObserved": "dataModel.Transportation",
    "WaterConsumptionObserved": "dataModel.WaterConsumption",
}
"""The types there are, each with where its model is kept."""

OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "AirQualityObserved": ("vocIndex", "noxIndex", "exercise"),
    "Alert": ("state", "exercise"),
    "Device": ("exercise",),
    "TrafficFlowObserved": ("refDevice", "exercise"),
    "WaterConsumptionObserved": ("refDevice", "waterVolume", "waterFlow", "waterUsed", "homes", "exercise"),
}
"""Attributes of ours that the models do not have."""


class Attribute(NamedTuple):
    """How a quantity is told."""

    name: str
    unit: str = ""
    factor: float = 1.0
    """From our unit to that."""


ATTRIBUTES: Final[Mapping[tuple[str, str], tuple[Attribute, ...]]] = {
    ("traffic", "volume"): (Attribute("intensity"),),
    ("traffic", "occupancy"): (Attribute("occupancy", "C62", 0.01),),
    ("traffic", "speed"): (Attribute("averageVehicleSpeed", "KMH"),),
    # The model wants whole cubic metres, which loses the litres: these have an attribute of their own.
    ("water", "volume"): (Attribute("waterConsumption", "MTQ", 0.001), Attribute("waterVolume", "LTR")),
    ("water", "flow"): (Attribute("waterFlow", "E32"),),
    ("air", "pm1_0"): (Attribute("pm1", "GQ"),),
    ("air", "pm2_5"): (Attribute("pm25", "GQ"),),
    ("air", "pm10"): (Attribute("pm10", "GQ"),),
    ("air", "co2"): (Attribute("co2", "59"),),
    ("air", "voc_index"): (Attribute("vocIndex"),),
    ("air", "nox_index"): (Attribute("noxIndex"),),
    ("air", "temperature"): (Attribute("temperature", "CEL"),),
    ("air", "humidity"): (Attribute("relativeHumidity", "C62", 0.01),),
    ("air", "pressure"): (Attribute("pressure", "A97", 0.01),),
    ("health", "rssi"): (Attribute("rssi", "DBM"),),
}

MODELS: Final[Mapping[str, str]] = {
    "traffic": "TrafficFlowObserved",
    "water": "WaterConsumptionObserved",
    "air": "AirQualityObserved",
}
CONTROLLED: Final[Mapping[str, tuple[str, ...]]] = {
    "traffic": ("trafficFlow", "occupancy", "averageVelocity"),
    "water": ("waterConsumption", "waterFlow"),
    "air": ("airPollution", "temperature", "humidity", "atmosphericPressure"),
}
SEVERITIES: Final[Mapping[str, str]] = {"info": "informational", "warning": "medium", "critical": "critical"}
SUBCATEGORIES: Final[Mapping[str, str]] = {
    "jam": "trafficJam",
    "crash": "carAccident",
    "wrong_way": "carWrongDirection",
    "air_episode": "airPollution",
}
"""Of the model's; every other kind of incident goes by its own name."""

Entity = dict[str, Any]


def entities(world: World) -> list[Entity]:
    """All there are, by type and id, without a context."""
    series: dict[Key, dict[Place, Mapping[str, Value]]] = {}
    for place, values in world.newest.items():
        series.setdefault((place.site, place.node), {})[place] = values
    found: list[Entity] = []
    for view in world.nodes:
        own = series.get((view.site, view.node), {})
        where = _where(world, view.site, view.node)
        health = own.pop(Place("health", view.site, view.node, ""), {})
        found.append(_device(view, health) | where)
        found += [each | where for each in _observed(view, own)]
    found += [_zone(each, world) for each in world.used]
    kinds = {(view.site, view.node): view.kind for view in world.nodes}
    for incident in world.incidents:
        kind = kinds.get((incident.site, incident.node), "")
        found.append(_alert(incident, kind, world.exercise) | _where(world, incident.site, incident.node))
    if world.exercise:
        found = [entity | {"exercise": prop(True)} for entity in found]
    return sorted(found, key=lambda entity: (entity["type"], entity["id"]))


def simplified(entity: Entity) -> Entity:
    """The same in the simplified form (`keyValues`)."""
    return {
        name: next(each[key] for key in ("value", "object") if key in each) if isinstance(each, dict) else each
        for name, each in entity.items()
    }


def prop(value: Any, at: str = "", unit: str = "") -> dict[str, Any]:
    more = {"unitCode": unit, "observedAt": at}
    return {"type": "Property", "value": value} | {key: text for key, text in more.items() if text}


def moment(when: str) -> dict[str, Any]:
    """A time of day and year as a value."""
    return prop({"@type": "DateTime", "@value": when})


def point(latitude: float, longitude: float) -> dict[str, Any]:
    return {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [longitude, latitude]}}


def relation(urn: str) -> dict[str, Any]:
    return {"type": "Relationship", "object": urn}


def urn(kind: str, *parts: str) -> str:
    return ":".join(("urn:ngsi-ld", kind, *parts))


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def zone_names(zones: Iterable[str]) -> dict[str, str]:
    """Names of zones as parts of ids: no two the same."""
    found: dict[str, str] = {}
    for number, name in enumerate(dict.fromkeys(zones), 1):
        plain = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
        found[name] = plain if plain and plain not in found.values() else f"{plain or 'zone'}-{number}"
    return found


def _entity(kind: str, *parts: str) -> Entity:
    return {"id": urn(kind, *parts), "type": kind, "dataProvider": prop("Ganglion")}


def _device(view: NodeView, health: Mapping[str, Value]) -> Entity:
    state = {True: "online", False: "offline", None: "unknown"}[view.online]
    category = prop(["meter" if view.kind == "water" else "sensor"])
    entity = _entity("Device", view.site, view.node) | {
        "name": prop(f"{view.site} {view.node}"),
        "category": category,
        "deviceCategory": category,
        "controlledProperty": prop(list(CONTROLLED[view.kind])),
        "supportedProtocol": prop(["mqtt"]),
        "deviceState": prop(state, iso(round(view.received)) if view.received else ""),
    }
    if view.time:
        entity["dateLastValueReported"] = moment(iso(view.time))
    if view.firmware:
        entity["firmwareVersion"] = prop(view.firmware)
    if view.board:
        entity["hardwareVersion"] = prop(view.board)
    return entity | _attributes("health", health)


def _observed(view: NodeView, own: Mapping[Place, Mapping[str, Value]]) -> list[Entity]:
    """What a node has measured, as one entity; a traffic counter's lanes also each as one."""
    model, device = MODELS[view.kind], {"refDevice": relation(urn("Device", view.site, view.node))}
    lanes = {place.channel: values for place, values in own.items() if place.measurement == view.kind}
    found = []
    for channel, values in lanes.items():
        told = _attributes(view.kind, values)
        if not told:
            continue
        entity = _entity(model, view.site, view.node, *([channel] if channel else [])) | told | device
        if lane := re.fullmatch("lane([1-9][0-9]*)", channel):
            entity["laneId"] = prop(int(lane[1]))
        found.append(entity | _date(view.kind, told))
    if view.kind == "traffic" and (told := _attributes("traffic", whole(lanes))):
        found.append(_entity(model, view.site, view.node) | told | device | _date("traffic", told))
    return found


def whole(lanes: Mapping[str, Mapping[str, Value]]) -> dict[str, Value]:
    """A counter's newest window over its lanes: vehicles together, the mean share of time, the vehicles' mean speed."""
    latest = max((value.time for values in lanes.values() for value in values.values()), default="")
    now = [{name: value.value for name, value in values.items() if value.time == latest} for values in lanes.values()]
    volumes = [each["volume"] for each in now if "volume" in each]
    occupancies = [each["occupancy"] for each in now if "occupancy" in each]
    speeds = [(each["speed"], each.get("volume", 0.0)) for each in now if "speed" in each]
    found = {}
    if volumes:
        found["volume"] = Value(latest, sum(volumes))
    if occupancies:
        found["occupancy"] = Value(latest, fmean(occupancies))
    if total := sum(weight for _, weight in speeds):
        found["speed"] = Value(latest, sum(speed * weight for speed, weight in speeds) / total)
    return found


def _attributes(measurement: str, values: Mapping[str, Value]) -> Entity:
    return {
        form.name: prop(_in_unit(form, value.value), value.time, form.unit)
        for name, value in sorted(values.items())
        for form in ATTRIBUTES.get((measurement, name), ())
    }


def _in_unit(form: Attribute, value: float) -> float:
    if form.unit == "MTQ" or form.name == "intensity":
        return math.floor(value * form.factor)
    return round(value * form.factor, 6)


def _date(kind: str, told: Entity) -> Entity:
    when = max(each["observedAt"] for each in told.values())
    if kind == "water":
        return {}
    return {"dateObserved": prop(when) if kind == "traffic" else moment(when)}


def _zone(each: DaySum, world: World) -> Entity:
    name = zone_names(zone.name for zone in world.plan.zone)[each.zone]
    end = iso(each.end)
    entity = _entity("WaterConsumptionObserved", each.site, "zone", name) | {
        "name": prop(each.zone),
        "areaServed": prop(each.zone),
        "description": prop(f"Homes of the zone together, {iso(each.begin)} to {end}"),
        "waterUsed": prop(each.litres, end, "LTR"),
        "homes": prop(each.homes, end, "C62"),
    }
    middle = next((zone.at for zone in world.plan.zone if zone.name == each.zone and zone.at is not None), None)
    return entity if middle is None else entity | {"location": point(*middle)}


def _where(world: World, site: str, node: str) -> Entity:
    spot = world.plan.spot(site, node)
    return {} if spot is None else {"location": point(*spot.at)}


def _alert(incident: Incident, kind: str, exercise: bool) -> Entity:
    security = incident.kind in ("tamper", "power_fail")
    source = urn("Device", incident.site, incident.node) if incident.node else urn("Site", incident.site)
    practice = incident.drill or exercise
    entity = _entity("Alert", incident.id) | {
        "category": prop("security" if security else "traffic" if kind == "traffic" else "environment"),
        "subCategory": prop(SUBCATEGORIES.get(incident.kind, incident.kind)),
        "severity": prop(SEVERITIES[incident.severity]),
        "description": prop(f"{'EXERCISE: ' if practice else ''}{incident.summary}"),
        "alertSource": relation(source),
        "dateIssued": moment(iso(incident.opened)),
        "validFrom": moment(iso(incident.since or incident.opened)),
        "state": prop(incident.state),
    }
    if incident.closed is not None:
        entity["validTo"] = moment(iso(incident.closed))
    if practice:
        entity["exercise"] = prop(True)
    return entity
