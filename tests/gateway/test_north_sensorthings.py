"""SensorThings, read by a client of others' against a running server, with real data behind it."""

from collections.abc import Iterator

import frost_sta_client as fsc
import pytest
import requests

from gateway.north.ngsi_ld import iso
from gateway.north.things import QUANTITIES, RELATIONS, UNITS
from sim_hardware.servers import InfluxDB
from tests.gateway.conftest import NOW
from tests.gateway.north_city import MINUTES, get, served

pytestmark = pytest.mark.filterwarnings("ignore:furl.pathstr:DeprecationWarning")  # of the client's own
LANE = "riverside:traffic-1:lane1:volume"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, influx: InfluxDB) -> Iterator[str]:
    requests.post(f"{influx.url}/query", data={"q": "CREATE DATABASE things"}, timeout=20).raise_for_status()
    with served(tmp_path_factory.mktemp("things") / "city", influx, "things") as address:
        yield f"{address}/sensorthings/v1.1"


@pytest.fixture(scope="module")
def service(url: str) -> fsc.SensorThingsService:
    return fsc.SensorThingsService(url)


def test_every_unit_of_a_quantity_has_its_code() -> None:
    assert {each.unit for each in QUANTITIES.values()} == set(UNITS)


def test_the_root_names_every_set(url: str) -> None:
    said = get(url)
    assert [each["name"] for each in said["value"]] == list(RELATIONS)
    assert all(requests.get(each["url"], timeout=20).status_code in (200, 501) for each in said["value"])
    assert said["serverSettings"]["conformance"]


def test_nodes_are_things_and_homes_are_not(service: fsc.SensorThingsService) -> None:
    things = service.things().query().count().orderby("name", "ASC").list()
    assert things.count == 3
    assert [thing.id for thing in things] == ["riverside:air-1", "riverside:traffic-1", "riverside:water-main"]
    assert things.get(1).properties["firmware"] == "0.1.0"


def test_a_client_finds_its_way_from_a_thing_to_its_readings(service: fsc.SensorThingsService) -> None:
    thing = service.things().find("riverside:traffic-1")
    streams = {stream.id: stream for stream in thing.get_datastreams().query().list()}
    assert len(streams) == 6
    stream = streams[LANE]
    unit = stream.unit_of_measurement
    assert (unit.symbol, unit.definition) == ("1", "http://www.opengis.net/def/uom/UCUM/1")
    readings = stream.get_observations().query().orderby("phenomenonTime", "ASC").list()
    assert [reading.result for reading in readings] == [float(minute) for minute in range(MINUTES)]
    assert readings.get(MINUTES - 1).phenomenon_time == iso(NOW)
    place = thing.get_locations().query().list().get(0)
    assert place.location["coordinates"] == [8.71, 47.51]


def test_readings_of_a_range_in_pages(url: str, service: fsc.SensorThingsService) -> None:
    """A client reads through all pages by itself; each is as short as was asked for."""
    stream = service.datastreams().find(LANE)
    all_of_them = get(f"{url}/Datastreams('{LANE}')/Observations")["value"]
    begin, end = all_of_them[4]["phenomenonTime"], all_of_them[15]["phenomenonTime"]
    condition = f"phenomenonTime ge {begin} and phenomenonTime lt {end}"
    query = stream.get_observations().query().filter(condition).orderby("phenomenonTime", "DESC").top(4).count()
    page = query.list()
    assert (len(page.entities), page.count) == (4, 11)
    assert [reading.result for reading in page] == [float(minute) for minute in range(14, 3, -1)]
    last = get(
        f"{url}/Datastreams('{LANE}')/Observations",
        **{"$top": 4, "$skip": 16, "$filter": "phenomenonTime lt 2099-01-01T00:00:00Z"},
    )
    assert [reading["result"] for reading in last["value"]] == [16.0, 17.0, 18.0, 19.0]
    assert "@iot.nextLink" not in last


def test_an_observation_is_found_by_its_id_and_knows_where_it_belongs(url: str) -> None:
    stream = f"{url}/Datastreams('{LANE}')"
    first = get(f"{stream}/Observations", **{"$top": 1})["value"][0]
    again = get(first["@iot.selfLink"])
    assert {**again, "result": 0.0} == first
    assert get(f"{first['@iot.selfLink']}/Datastream")["@iot.id"] == LANE
    assert get(f"{first['@iot.selfLink']}/FeatureOfInterest")["feature"]["type"] == "Point"
    assert get(f"{first['@iot.selfLink']}/result") == {"result": 0.0}
    assert requests.get(f"{first['@iot.selfLink']}/result/$value", timeout=20).text == "0"


def test_a_state_is_true_or_false(url: str) -> None:
    stream = f"{url}/Datastreams('riverside:air-1::tamper')"
    assert get(stream)["observationType"].endswith("OM_TruthObservation")
    assert [each["result"] for each in get(f"{stream}/Observations")["value"]] == [True]


def test_one_level_is_expanded_and_properties_selected(url: str) -> None:
    said = get(
        f"{url}/Datastreams('{LANE}')", **{"$expand": "Thing,Sensor,ObservedProperty,Observations", "$select": "name"}
    )
    assert said["Thing"]["@iot.id"] == "riverside:traffic-1"
    assert said["Sensor"]["@iot.id"] == "traffic"
    assert said["ObservedProperty"]["definition"] == "urn:ganglion:traffic:volume"
    assert len(said["Observations"]) == MINUTES
    assert "unitOfMeasurement" not in said
    things = get(f"{url}/Things", **{"$expand": "Datastreams", "$top": 1, "$orderby": "name desc"})
    assert {each["properties"]["quantity"] for each in things["value"][0]["Datastreams"]} == {"volume", "flow"}
    assert things["@iot.nextLink"].startswith(f"{url}/Things?")
    back = get(f"{url}/ObservedProperties('traffic:volume')/Datastreams", **{"$count": "true"})
    assert back["@iot.count"] == 2


@pytest.mark.parametrize(
    ("path", "options", "status", "words"),
    [
        ("Things", {"$filter": "name eq 'a'"}, 501, "$filter is supported on Observations, by phenomenonTime"),
        ("Things", {"$expand": "Datastreams/Observations"}, 501, "one level can be expanded"),
        ("Things", {"$expand": "Observations"}, 400, "Datastreams, Locations"),
        ("Things", {"$expand": "Datastreams($top=1)"}, 501, "one level"),
        ("Things", {"$search": "x"}, 501, "options are $top, $skip"),
        ("Things", {"top": "1"}, 400, "options are $top, $skip"),
        ("Things", {"$top": "-1"}, 400, "a whole number from 0"),
        ("Things", {"$select": "size"}, 400, "description"),
        ("Things", {"$orderby": "description"}, 501, "ordered by name asc or desc"),
        ("Things('riverside:traffic-1')", {"$top": "1"}, 400, "$select and $expand"),
        ("Things('riverside:water-h00')", {}, 404, "there is no Things('riverside:water-h00')"),
        ("Things('nobody')/Datastreams", {}, 404, "there is no Things('nobody')"),
        ("Things/Datastreams", {}, 404, "Things('id')/Datastreams"),
        ("Animals", {}, 404, "sets are Things, Locations"),
        ("Observations", {}, 501, "Datastreams('id')/Observations"),
        ("Datastreams('riverside:water-h00::volume')/Observations", {}, 404, "there is no Datastreams"),
        ("Observations('riverside:water-h00::volume:1795430400')", {}, 404, "there is no Observations"),
        (f"Datastreams('{LANE}')/Observations", {"$filter": "result gt 5"}, 501, "phenomenonTime ge"),
        (f"Datastreams('{LANE}')/Observations", {"$filter": "phenomenonTime gt 2026-99-01"}, 400, "is no time"),
        (f"Datastreams('{LANE}')/Observations", {"$count": "yes"}, 400, "true or false"),
    ],
)
def test_what_is_not_supported_says_what_is(
    url: str, path: str, options: dict[str, str], status: int, words: str
) -> None:
    said = get(f"{url}/{path}", status, **options)
    assert said["code"] == status
    assert words in said["message"]
