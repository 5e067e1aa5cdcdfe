"""NGSI-LD: what is served, against the catalogue of the Smart Data Models, which `pysmartdatamodels` brings along.

Its own `validate_payload` fetches schemas from the network; the catalogue has every attribute's kind, type and values.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from pysmartdatamodels import pysmartdatamodels as sdm

from gateway.detect.plan import Plan, Zone
from gateway.north.newest import Value
from gateway.north.ngsi_ld import ATTRIBUTES, CONTEXT, MODELS, OWN, SUBJECTS, iso, simplified, whole, zone_names
from gateway.north.shown import inlets
from gateway.records import NodeView
from sim_hardware.servers import InfluxDB
from tests.gateway.conftest import NOW
from tests.gateway.north_city import DAY, FEW, HOMES, get, served

JSON_TYPES = {"string": str, "number": (int, float), "boolean": bool, "array": list, "object": dict}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, influx: InfluxDB) -> Iterator[str]:
    requests.post(f"{influx.url}/query", data={"q": "CREATE DATABASE ngsi"}, timeout=20).raise_for_status()
    with served(tmp_path_factory.mktemp("ngsi") / "city", influx, "ngsi") as address:
        yield f"{address}/ngsi-ld/v1"


@pytest.fixture(scope="module")
def catalogue() -> dict[tuple[str, str], dict[str, Any]]:
    """Attributes of the models used here, by model and name."""
    return {
        (each["dataModel"], each["property"]): each
        for each in sdm.load_all_attributes()
        if SUBJECTS.get(each["dataModel"]) == each["repoName"] and "parentId" not in each
    }


def value(entity: dict[str, Any], name: str) -> Any:
    return entity[name]["value"]


def one(url: str, urn: str) -> dict[str, Any]:
    found: dict[str, Any] = get(f"{url}/entities/{urn}")
    return found


def test_every_entity_keeps_to_its_model(url: str, catalogue: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Each attribute is the model's, of its kind, type and values; or is one of those we own to have added."""
    entities = get(f"{url}/entities", type=",".join(SUBJECTS), limit=1000)
    assert {entity["type"] for entity in entities} == set(SUBJECTS)
    seen = set()
    for entity in entities:
        plain = simplified(entity)
        for name, each in entity.items():
            if name in ("id", "type"):
                continue
            model = catalogue.get((entity["type"], name))
            assert (model is None) == (name in OWN[entity["type"]]), (entity["type"], name)
            seen.add((entity["type"], name))
            if model is None:
                continue
            assert each["type"] == model["typeNGSI"], (name, model)
            told = plain[name]["@value"] if model.get("format") == "date-time" else plain[name]
            assert isinstance(told, JSON_TYPES[model["type"]]), (name, told, model["type"])
            assert told in model.get("enum", [told]), (name, told)
    numbers = {(MODELS.get(kind, "Device"), form.name) for (kind, _), forms in ATTRIBUTES.items() for form in forms}
    measured = {(MODELS.get(kind, "Device"), form.name) for kind, form in _not_here()}
    assert numbers - measured <= seen


def _not_here() -> list[tuple[str, Any]]:
    names = ("pm1", "pm10", "vocIndex", "noxIndex", "temperature")
    return [(kind, form) for (kind, _), forms in ATTRIBUTES.items() for form in forms if form.name in names]


def test_attributes_that_the_city_does_not_have_are_the_models_too(
    catalogue: dict[tuple[str, str], dict[str, Any]],
) -> None:
    for (kind, _), forms in ATTRIBUTES.items():
        for form in forms:
            model = MODELS.get(kind, "Device")
            assert ((model, form.name) in catalogue) != (form.name in OWN[model]), form


def test_a_lane_and_its_counter(url: str) -> None:
    lane = one(url, "urn:ngsi-ld:TrafficFlowObserved:riverside:traffic-1:lane2")
    assert lane["intensity"] == {"type": "Property", "value": 38, "observedAt": iso(NOW)}
    assert lane["occupancy"] == {"type": "Property", "value": 0.05, "unitCode": "C62", "observedAt": iso(NOW)}
    assert (value(lane, "laneId"), value(lane, "dateObserved")) == (2, iso(NOW))
    assert lane["location"]["value"] == {"type": "Point", "coordinates": [8.71, 47.51]}
    counter = one(url, "urn:ngsi-ld:TrafficFlowObserved:riverside:traffic-1")
    assert (value(counter, "intensity"), value(counter, "occupancy")) == (57, 0.15)
    assert value(counter, "averageVehicleSpeed") == 70.0  # 19 with 50 km/h, 38 with 80 km/h
    assert "laneId" not in counter


def test_a_counter_is_its_lanes_of_one_window() -> None:
    lanes = {"lane1": {"volume": Value("b", 4.0), "speed": Value("b", 50.0)}, "lane2": {"volume": Value("a", 9.0)}}
    assert whole(lanes) == {"volume": Value("b", 4.0), "speed": Value("b", 50.0)}
    assert whole({"lane1": {"speed": Value("b", 50.0)}}) == {}  # no vehicle is known of


def test_air_is_in_the_models_units(url: str) -> None:
    air = one(url, "urn:ngsi-ld:AirQualityObserved:riverside:air-1")
    told = {
        name: (each["value"], each.get("unitCode"))
        for name, each in air.items()
        if isinstance(each, dict) and "observedAt" in each
    }
    assert told == {
        "pm25": (31.3, "GQ"),
        "co2": (455.0, "59"),
        "relativeHumidity": (0.54, "C62"),
        "pressure": (965.0, "A97"),
    }
    assert value(air, "dateObserved") == {"@type": "DateTime", "@value": iso(NOW)}
    device = one(url, air["refDevice"]["object"])
    assert device["rssi"] == {"type": "Property", "value": -71.0, "unitCode": "DBM", "observedAt": iso(NOW)}


def test_an_inlet_keeps_its_litres(url: str) -> None:
    inlet = one(url, "urn:ngsi-ld:WaterConsumptionObserved:riverside:water-main")
    litres = inlet["waterVolume"]["value"]
    assert (inlet["waterVolume"]["unitCode"], inlet["waterConsumption"]["unitCode"]) == ("LTR", "MTQ")
    assert (value(inlet, "waterConsumption"), litres) == (17, 17_375.5)


def test_homes_are_told_of_as_zones_alone(url: str) -> None:
    """What one home uses is in no entity, neither by name nor by taking one sum from another."""
    everything = requests.get(f"{url}/entities", params={"type": ",".join(SUBJECTS), "limit": 1000}, timeout=20).text
    for meter in (*HOMES, *FEW, "water-three"):
        assert meter not in everything
    water = get(f"{url}/entities", type="WaterConsumptionObserved", options="keyValues")
    assert [entity["id"].rpartition(":")[2] for entity in water] == ["water-main", "mill-lane"]
    zone = one(url, water[1]["id"])
    assert zone["waterUsed"] == {"type": "Property", "value": 240, "unitCode": "LTR", "observedAt": iso(DAY[2])}
    assert (value(zone, "homes"), zone["location"]["value"]["coordinates"]) == (12, [8.7, 47.5])


def _meters(*names: str) -> list[NodeView]:
    return [NodeView(site="s", node=name, kind="water") for name in names]


def test_an_inlet_of_few_homes_is_theirs() -> None:
    few = [f"m{number}" for number in range(9)]
    plan = Plan(zone=(Zone("z", tuple(few), inlet=("in",), full=True),))
    assert inlets(plan, _meters(*few, "in")) == frozenset()
    assert inlets(Plan(zone=(Zone("z", (*few, "m9"), ("in",), True),)), _meters(*few, "m9", "in")) == {("s", "in")}
    assert inlets(Plan(zone=(Zone("z", tuple(few), ("in",)),)), _meters(*few, "in")) == {("s", "in")}


def test_alerts_are_the_told_incidents_of_what_is_shown(url: str) -> None:
    alerts = {each["id"].rpartition("Alert:")[2]: each for each in get(f"{url}/entities", type="Alert")}
    assert set(alerts) == {"jam.1", "main.1", "tamper.1"}
    jam, drill, main = (simplified(alerts[name]) for name in ("jam.1", "tamper.1", "main.1"))
    assert (jam["category"], jam["subCategory"], jam["severity"], jam["state"]) == (
        "traffic",
        "trafficJam",
        "medium",
        "confirmed",
    )
    assert (jam["validFrom"]["@value"], jam["dateIssued"]["@value"]) == (iso(NOW - 900), iso(NOW - 600))
    assert jam["alertSource"] == "urn:ngsi-ld:Device:riverside:traffic-1"
    assert (drill["description"], drill["exercise"], drill["category"]) == ("EXERCISE: Open.", True, "security")
    assert main["validTo"]["@value"] == iso(NOW + 9)


def test_pages_types_and_forms(url: str) -> None:
    answer = requests.get(f"{url}/entities", params={"type": "Device", "limit": 2, "count": "true"}, timeout=20)
    assert answer.headers["NGSILD-Results-Count"] == "3"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.links["http://www.w3.org/ns/json-ld#context"]["url"] == CONTEXT
    after = requests.get(answer.links["next"]["url"], timeout=20)
    assert [len(each.json()) for each in (answer, after)] == [2, 1]
    assert "next" not in after.links
    assert after.links["prev"]["url"].endswith("offset=0&limit=2")
    ld = requests.get(f"{url}/entities?type=Device", headers={"Accept": "application/ld+json"}, timeout=20)
    assert ld.headers["Content-Type"] == "application/ld+json"
    assert ld.json()[0]["@context"][0] == CONTEXT
    assert "Link" not in ld.headers
    assert get(f"{url}/types")["typeList"] == sorted(SUBJECTS)
    few = get(f"{url}/entities", attrs="pm25", options="keyValues")
    assert few == [{"id": "urn:ngsi-ld:AirQualityObserved:riverside:air-1", "type": "AirQualityObserved", "pm25": 31.3}]
    assert get(f"{url}/entities", id=few[0]["id"])[0]["co2"]["value"] == 455.0


@pytest.mark.parametrize(
    ("path", "options", "status", "kind", "words"),
    [
        ("entities", {}, 400, "BadRequestData", "name a type"),
        ("entities", {"type": "Device", "limit": "0"}, 400, "BadRequestData", "limit"),
        ("entities", {"type": "Device", "q": "a==1"}, 422, "OperationNotSupported", "type, id, attrs"),
        ("entities", {"type": "Device", "options": "concise"}, 400, "BadRequestData", "normalized, keyValues"),
        ("entities/urn:ngsi-ld:Device:riverside:water-h00", {}, 404, "ResourceNotFound", "type=Device"),
    ],
)
def test_what_is_not_answered_says_why(
    url: str, path: str, options: dict[str, str], status: int, kind: str, words: str
) -> None:
    said = get(f"{url}/{path}", status, **options)
    assert said["type"] == f"https://uri.etsi.org/ngsi-ld/errors/{kind}"
    assert words in said["detail"]


def test_zones_have_names_of_their_own_in_ids() -> None:
    assert list(zone_names(["Mill Lane", "Mill-Lane", "水", "Hill"]).values()) == [
        "mill-lane",
        "mill-lane-2",
        "zone-3",
        "hill",
    ]


def test_everything_of_a_simulated_city_is_an_exercise(
    tmp_path_factory: pytest.TempPathFactory, influx: InfluxDB, influx_db: str
) -> None:
    with served(tmp_path_factory.mktemp("exercise") / "city", influx, influx_db, exercise=True) as address:
        found = get(f"{address}/ngsi-ld/v1/entities", type=",".join(SUBJECTS), limit=1000, options="keyValues")
        assert all(entity["exercise"] is True for entity in found)
        things = get(f"{address}/sensorthings/v1.1/Things")["value"]
        assert all(thing["properties"]["exercise"] is True for thing in things)
        influx.stop()
        try:
            said = get(f"{address}/sensorthings/v1.1/Datastreams('riverside:air-1::co2')/Observations", 503)
        finally:
            influx.start()
        assert influx.url in said["message"]
