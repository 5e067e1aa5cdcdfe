"""What people read: the place as they call it, their own time, and what to do."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from gateway.detect.plan import Plan, Spot, Street, Zone
from gateway.notify.told import Told
from gateway.notify.words import MOST_SHOWN, body, moment, place, subject, title
from gateway.records import Acknowledged, Earlier, Evidence, Incident

ZURICH = ZoneInfo("Europe/Zurich")
AT = int(datetime(2026, 11, 24, 7, 31, tzinfo=UTC).timestamp())
CITY = Plan(
    street=(Street("Market Street", ("traffic-1", "traffic-2")),),
    zone=(Zone("Old Town", ("water-7", "traffic-1")), Zone("Old Town of hill", ("water-7",), site="hill")),
    node=(Spot("water-7", (47.0, 8.0), "Mill Lane 3, basement"), Spot("traffic-1", (47.0, 8.0))),
)
BURST = Incident(
    id=f"leak.riverside.water-7.{AT}",
    kind="burst",
    site="riverside",
    node="water-7",
    channel="",
    severity="critical",
    opened=AT,
    closed=None,
    summary="Seen: 900 l/h;\nexpected: at most 300 l/h.",
    confirmed=AT + 600,
    since=AT - 3600,
    nodes=("water-8",),
    evidence=(Evidence("flow", 900, 300, "l/h", "flow was 900 l/h for 5 min"),),
    reopened=2,
    acknowledged=Acknowledged("Ada", AT + 900, "on my way"),
    was=(Earlier("leak", AT + 300, "Seen: 20 l/h all night."),),
)


def told(*incidents: Incident, event: str = "opened", exercise: bool = False) -> Told:
    return Told("k", "duty", event, incidents, AT, exercise)  # type: ignore[arg-type]


def text(message: Told, console: str = "https://console.example/") -> str:
    return body(message, CITY, ZURICH, console)


def test_all_that_is_known_of_one() -> None:
    where = "Mill Lane 3, basement, Old Town, riverside"
    assert subject(told(BURST), CITY) == f"Pipe burst at a meter (critical): {where}"
    assert text(told(BURST)) == (
        "What:       Pipe burst at a meter, critical\n"
        "Where:      Mill Lane 3, basement, Old Town, riverside\n"
        "Node:       riverside/water-7\n"
        "Also at:    water-8\n"
        "When:       since Tue 24 Nov 2026, 07:31 CET, found Tue 24 Nov 2026, 08:31 CET, "
        "confirmed Tue 24 Nov 2026, 08:41 CET\n"
        "Came again: 2 times\n"
        "Was:        Leak at a meter, until Tue 24 Nov 2026, 08:36 CET: Seen: 20 l/h all night.\n"
        "Why:        Seen: 900 l/h; expected: at most 300 l/h.\n"
        "Evidence:   flow was 900 l/h for 5 min\n"
        "Noted by:   Ada, Tue 24 Nov 2026, 08:46 CET: on my way\n"
        "To do:      Call the place, and have the water shut off.\n"
        f"More:       https://console.example/incidents/{BURST.id}\n"
        f"Id:         {BURST.id}\n"
    )


def test_what_is_over_has_nothing_to_be_done() -> None:
    over = structs.replace(BURST, closed=AT + 7200)
    assert subject(told(over, event="closed"), CITY).startswith("Over: Pipe burst")
    assert "over Tue 24 Nov 2026, 10:31 CET" in text(told(over, event="closed"))
    assert "To do" not in text(told(over, event="closed"))
    assert "More:" not in text(told(over), console="")


@pytest.mark.parametrize("event", ["opened", "confirmed", "turned", "closed", "acknowledged", "digest", "test"])
def test_an_exercise_says_so_first(event: str) -> None:
    incidents = () if event == "test" else (BURST, BURST) if event == "digest" else (BURST,)
    message = told(*incidents, event=event, exercise=True)
    assert subject(message, CITY).startswith("EXERCISE: ")
    assert text(message).startswith("EXERCISE. This is an exercise. Nothing of it is real.\n\n")
    assert "EXERCISE" not in subject(told(*incidents, event=event), CITY)


def test_a_digest_tells_of_each_and_marks_the_drill() -> None:
    drill = structs.replace(BURST, drill=True, id="drill.1")
    message = told(BURST, drill, event="digest")
    assert subject(message, CITY) == "2 incidents, 2 of them critical"
    first, second = text(message).split("\n\n")
    assert first.startswith("Pipe burst at a meter (critical): Mill Lane 3")
    assert second.startswith("EXERCISE: Pipe burst at a meter")
    assert "https://console.example/incidents/drill.1" in second
    many = text(told(*[BURST] * (MOST_SHOWN + 3), event="digest"))
    assert many.count("Mill Lane") == MOST_SHOWN
    assert many.endswith("... and 3 more.\n")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"site": "hill"}, "Mill Lane 3, basement, Old Town of hill, hill"),
        ({"node": "traffic-1", "channel": "lane2"}, "traffic-1, lane2, Market Street, Old Town, riverside"),
        ({"node": "air-1", "nodes": ()}, "air-1, riverside"),
        ({"node": "air-1", "nodes": ("water-7",)}, "air-1, Old Town, riverside"),
        ({"node": "", "nodes": ()}, "riverside"),
    ],
)
def test_a_place_is_what_people_call_it(changes: dict[str, object], words: str) -> None:
    plan = structs.replace(CITY, zone=(structs.replace(CITY.zone[0], site="riverside"), CITY.zone[1]))
    assert place(structs.replace(BURST, **changes), plan) == words


def test_what_nodes_and_people_write_does_not_end_a_header() -> None:
    nasty = structs.replace(BURST, kind="so\r\nBcc: x@y.example", summary="a\x1b[2J\r\nb", evidence=())
    assert "\n" not in subject(told(nasty), CITY)
    assert "\r" not in subject(told(nasty), CITY)
    assert "Why:        a [2J b\n" in text(told(nasty))


def test_a_kind_of_a_newer_program_has_words_too() -> None:
    assert title("main_burst") == "Burst water main"
    assert title("new_kind") == "New kind"


def test_local_time_says_its_zone() -> None:
    assert moment(AT, ZURICH) == "Tue 24 Nov 2026, 08:31 CET"
    assert moment(AT - 180 * 86_400, ZURICH) == "Thu 28 May 2026, 09:31 CEST"
