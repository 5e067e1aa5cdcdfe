"""What the public is told of, and what never: notices, figures and the page made of them."""

import re
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cap.area import Places
from gateway.cap.kinds import KINDS
from gateway.cap.message import render
from gateway.citizens.figures import Figures, air_bands, water_of
from gateway.citizens.notices import KEPT, Board, Notice, Works
from gateway.citizens.page import Page
from gateway.citizens.pump import words
from gateway.citizens.view import View, areas_shown, view
from gateway.detect.plan import Plan, Zone
from gateway.privacy.sums import day_sums, used
from gateway.query.client import Series
from gateway.records import Earlier, Incident, NodeView
from tests.gateway.citizens_work import HARBOUR, HILL, NODES, NOW, PLAN, incident
from tests.gateway.drawn import LABELS, START, incidents, plans
from tests.gateway.drawn import NODES as ANY_NODES

BERLIN = ZoneInfo("Europe/Berlin")
PAGE = Page()
BURST = KINDS["burst"].public
DAY = date(2026, 11, 22)


def told_of(*found: Incident, works: tuple[Works, ...] = (), now: float = NOW, exercise: bool = False) -> list[Notice]:
    board = Board(Places(PLAN), "city.example", "https://city.example", exercise=exercise)
    return list(board.notices(found, works, NODES, now))


def view_of(told: Any, figures: Figures, plan: Plan = PLAN, **changes: Any) -> View:
    places = Places(plan)
    given: dict[str, Any] = {"exercise": False, "trouble": False, "now": NOW} | changes
    return view(
        title="City news",
        contact="mailto:duty@city.example",
        told=told,
        areas=areas_shown(places, ("riverside",), told),
        figures=figures,
        zone=BERLIN,
        **given,
    )


def grown(litres: dict[str, float], begin: float = 1e5) -> list[Series]:
    columns = ["time", "first", "last", "min", "max", "count"]
    return [
        Series(columns, "water", {"site": "riverside", "node": node}, [["", begin, begin + n, begin, begin + n, 24]])
        for node, n in litres.items()
    ]


@pytest.mark.parametrize(
    ("kind", "node", "area"),
    [
        ("jam", "traffic-0001", "Market Street"),
        ("crash", "traffic-0001", "Market Street"),
        ("wrong_way", "traffic-0002", "Market Street"),
        ("air_episode", "air-0003", "Hill"),
        ("air_episode", "", "riverside"),
        ("main_burst", "water-0001", "Harbour"),
        ("main_leak", "water-0001", "Harbour"),
        ("burst", "water-0002", "Harbour"),
        ("jam", "traffic-0009", "riverside"),
    ],
)
def test_what_is_told_and_of_where(kind: str, node: str, area: str) -> None:
    (notice,) = told_of(incident(kind, node))
    assert notice.area.name == area
    assert not notice.over


@pytest.mark.parametrize(
    ("kind", "node"),
    [
        ("burst", HILL[0]),  # nine homes
        ("burst", "water-0099"),  # of no zone
        ("leak", HARBOUR[0]),
        ("backflow", HARBOUR[0]),
        ("tamper", HARBOUR[0]),
        ("silent", "traffic-0001"),
        ("stuck", "air-0001"),
        ("flooding", "air-0001"),  # by messages, not by water
        ("journal", ""),
        ("of tomorrow", "air-0001"),
    ],
)
def test_what_is_never_told(kind: str, node: str) -> None:
    assert told_of(incident(kind, node, severity="critical")) == []


def test_held_and_unconfirmed_ones_are_not_told() -> None:
    assert told_of(incident("jam", "traffic-0001", held=True), incident("jam", "traffic-0002", confirmed=None)) == []


def test_a_notice_ends_and_leaves_after_a_week() -> None:
    jam = incident("jam", "traffic-0001", closed=START + 1800)
    (notice,) = told_of(jam)
    assert (notice.over, notice.until) == (True, START + 1800)
    assert [each.type for each in notice.documents] == ["Alert", "Update"]
    assert told_of(jam, now=START + 1800 + KEPT + 1) == []


def test_a_notice_follows_its_incident_and_the_homes_of_its_zone() -> None:
    board = Board(Places(PLAN), "city.example", "", exercise=False)
    burst = incident("burst", HARBOUR[0])
    assert len(board.notices([burst], (), NODES, NOW)) == 1
    assert board.notices([burst], (), NODES[:12], NOW) == ()
    assert len(board.notices([burst], (), NODES, NOW)) == 1
    over = msgspec.structs.replace(burst, closed=NOW)
    assert [each.over for each in board.notices([over], (), NODES, NOW)] == [True]
    assert board.notices([over], (), NODES, NOW + KEPT + 1) == ()


def test_two_that_look_the_same_are_one() -> None:
    told = told_of(
        incident("burst", HARBOUR[0], closed=START + 1200),
        incident("burst", HARBOUR[1]),
        incident("burst", HARBOUR[2], closed=START + 900),
    )
    assert [each.over for each in told] == [False]


def test_what_gets_worse_is_worth_telling_again() -> None:
    leak = incident("main_leak", "water-0001")
    burst = msgspec.structs.replace(
        leak, kind="main_burst", severity="critical", was=(Earlier("main_leak", START + 900, "water-0001"),)
    )
    (before,), (after,) = told_of(leak), told_of(burst)
    assert before.id == after.id
    assert before.version != after.version
    assert (before.serious, after.serious) == (False, True)
    assert [each.event for each in after.documents] == ["Leak in a water main", "Burst water main"]


def test_works_are_told_from_when_they_are_announced() -> None:
    works = Works(1, "zone-harbour", "New main in Quay Street.", NOW + 7200, NOW + 14400, NOW - 60)
    lost = Works(2, "zone-gone", "Of an area that is none.", NOW, NOW + 100, NOW)
    (notice,) = told_of(works=(works, lost))
    assert (notice.newest.onset, notice.newest.expires) == (NOW + 7200, NOW + 14400)
    shown = view_of([notice], Figures())
    assert [each.when for each in shown.planned] == ["from 23 November, 14:40 until 23 November, 16:40"]
    assert shown.now == ()
    assert view_of([notice], Figures(), now=NOW + 7200).now[0].headline == "Works"
    assert told_of(works=(works,), now=NOW + 14400)[0].over


@pytest.mark.parametrize(("exercise", "drill"), [(True, False), (False, True), (False, False)])
def test_an_exercise_says_so_everywhere(exercise: bool, drill: bool) -> None:
    told = told_of(incident("jam", "traffic-0001", drill=drill), exercise=exercise)
    html = PAGE.write(view_of(told, Figures(), exercise=exercise)).decode()
    marked = exercise or drill
    assert ("is an exercise" in html) == marked
    assert ("nothing on this page is real" in html) == exercise
    assert ("<title>EXERCISE: City news</title>" in html) == marked
    assert all((b"EXERCISE" in word.payload) == marked for word in words(told))
    assert ('<h3><span class="sign" aria-hidden="true">▲</span> EXERCISE: Traffic jam' in html) == marked


def test_the_page_escapes_what_a_plan_says() -> None:
    plan = Plan(zone=(Zone('<script>alert("1")</script>'),))
    html = PAGE.write(view_of([], Figures(), plan)).decode()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def hourly(node: str, *values: tuple[int, float | None]) -> Series:
    """(hours before `UNTIL`, PM2.5)."""
    rows = [
        [datetime.fromtimestamp(UNTIL - 3600 * hours + 1, UTC).isoformat().replace("+00:00", "Z"), value, None]
        for hours, value in values
    ]
    return Series(["time", "pm2_5", "pm10"], "air", {"site": "riverside", "node": node}, rows)


UNTIL = START // 3600 * 3600


def test_the_air_of_a_zone_is_the_mean_of_its_stations() -> None:
    zones = Places(PLAN).areas[:2]
    series = [hourly("air-0001", (2, 200.0), (1, 10.0)), hourly("air-0002", (1, 60.0)), hourly("air-0003", (2, 10.0))]
    found = air_bands(series, zones, set(), UNTIL, "europe", BERLIN)
    assert set(found) == {"zone-harbour"}  # Hill's newest hour is missing
    band = found["zone-harbour"]
    assert (band.index, band.category, band.steps, band.stations) == (3, "Moderate", 6, 2)
    healthy = air_bands(series, zones, {("riverside", "air-0002")}, UNTIL, "europe", BERLIN)["zone-harbour"]
    assert (healthy.category, healthy.stations) == ("Fair", 1)


def test_another_region_has_its_own_index() -> None:
    zones = Places(PLAN).areas[:1]
    day = hourly("air-0001", *((hours, 40.0) for hours in range(24, 0, -1)))
    american = air_bands([day], zones, set(), UNTIL, "us", BERLIN)["zone-harbour"]
    assert (american.category, american.step) == ("Unhealthy for Sensitive Groups", 3)
    chinese = air_bands([day], zones, set(), UNTIL, "china", BERLIN)["zone-harbour"]
    assert (chinese.standard, chinese.category) == ("HJ 633-2026", "Good")
    html = PAGE.write(view_of([], Figures({"zone-harbour": american}))).decode()
    assert "■■■□□□" in html
    assert re.search(r"Unhealthy for Sensitive Groups \(index 1\d\d\), until 11:00, 1 station", html)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(incidents(), max_size=12),
    plans(),
    st.dictionaries(st.sampled_from(ANY_NODES[:15]), st.floats(0, 5000), max_size=15),
    st.booleans(),
)
def test_nothing_that_is_public_points_to_a_home_or_a_node(
    found: list[Incident], plan: Plan, litres: dict[str, float], exercise: bool
) -> None:
    """No text of page, feeds, CAP and push names a node, its label or where it is; no zone of less than ten homes has
    a sum or a burst."""
    places = Places(plan)
    nodes = [NodeView(site="riverside", node=name, kind=name.partition("-")[0]) for name in ANY_NODES]
    board = Board(places, "city.example", "https://city.example", exercise=exercise)
    told = board.notices(found, (), nodes, NOW)
    assert board.notices(found, (), nodes, NOW) == told
    zones = [area for area in places.areas if area.sort == "zone"]
    sums = water_of(day_sums(plan, ("riverside",), nodes, used(grown(litres)), (DAY, 0, 1)))
    shown = view_of(told, Figures(water=sums), plan, exercise=exercise)
    texts = [PAGE.write(shown), *(word.payload for word in words(told))]
    texts += [f"{word.topic} {word.key}".encode() for word in words(told)]
    texts += [render(document, BERLIN) for notice in told for document in notice.documents]
    where = [f"{number:.2f}" for spot in plan.node for number in spot.at]
    for word in (*ANY_NODES, *LABELS, *where, "l/h"):
        assert not any(word.encode() in text for text in texts), word
    homes = {area.slug: (area.nodes - area.inlet) & set(ANY_NODES[:15]) for area in zones}
    for slug in sums:
        assert len(homes[slug] & litres.keys()) >= 10
    assert BURST is not None
    for notice in told:
        if any(document.event == BURST.headline for document in notice.documents):
            assert len(homes[notice.area.slug]) >= 10
