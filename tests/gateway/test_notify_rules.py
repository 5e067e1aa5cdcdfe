"""Who is told what, and when: by incidents and times that are handed in."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.cap.kinds import KINDS
from gateway.detect.plan import Plan, Zone
from gateway.errors import ConfigError
from gateway.notify.drill import usual_severity
from gateway.notify.hours import Span, Week, next_allowed, next_digest
from gateway.notify.rules import SETTLE, Decision, Rules, concerns, due, happened, holds, plan
from gateway.notify.settings import Ntfy
from gateway.records import Acknowledged, Earlier, Incident
from tests.test_docs import kinds_of_incidents

ZURICH = "Europe/Zurich"
NOON = int(datetime(2026, 11, 24, 12, 0, tzinfo=ZoneInfo(ZURICH)).timestamp())
"""A Tuesday."""
HOUR = 3600
CITY = Plan(zone=(Zone("Old Town", ("water-1",), ("water-9",)), Zone("Hill", ("water-5",), site="hill")))


def rules(zone: str = ZURICH, **keys: object) -> Rules:
    return Rules.of(Ntfy(name="duty", topic="t", **keys), CITY, zone)  # type: ignore[arg-type]


def incident(**changes: object) -> Incident:
    one = Incident(f"leak.riverside.water-1.{NOON}", "leak", "riverside", "water-1", "", "warning", NOON, None, "s")
    return structs.replace(one, **changes)


def at(hour: int, minute: int = 0, day: int = 24) -> int:
    return int(datetime(2026, 11, day, hour, minute, tzinfo=ZoneInfo(ZURICH)).timestamp())


# Of which incidents.


@pytest.mark.parametrize(
    ("keys", "changes", "wanted"),
    [
        ({}, {}, True),
        ({"kinds": ("leak", "burst")}, {}, True),
        ({"kinds": ("burst",)}, {}, False),
        ({"severity": "warning"}, {}, True),
        ({"severity": "critical"}, {}, False),
        ({"severity": "critical"}, {"severity": "critical"}, True),
        ({"sites": ("hill",)}, {}, False),
        ({"nodes": ("water-2",)}, {}, False),
        ({"nodes": ("water-2",)}, {"nodes": ("water-2",)}, True),
        ({"zones": ("Old Town",)}, {}, True),
        ({"zones": ("Old Town",)}, {"node": "water-9"}, True),
        ({"zones": ("Old Town",)}, {"node": "water-5"}, False),
        ({"zones": ("Hill",)}, {"node": "water-5"}, False),
        ({"zones": ("Hill",)}, {"node": "water-5", "site": "hill"}, True),
        ({"zones": ("Old Town",)}, {"node": ""}, True),
        ({"zones": ("Hill",)}, {"node": ""}, False),
    ],
)
def test_only_those_that_concern_it(keys: dict[str, object], changes: dict[str, object], wanted: bool) -> None:
    assert concerns(rules(**keys), incident(**changes)) == wanted
    assert (plan(rules(**keys), None, incident(**changes), NOON) is not None) == wanted


def test_a_zone_that_is_not_in_the_plan_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"notify\.duty\.zones: there is no 'Old Twon'; the nearest is Old Town"):
        rules(zones=("Old Twon",))


def test_each_kind_is_known_with_its_severity() -> None:
    """Those that the rules of the gateway can raise, and its own."""
    raised = kinds_of_incidents()
    assert KINDS.keys() == raised.keys() | {"journal"}
    assert all(usual_severity(kind) in severities for kind, severities in raised.items())


# Of which of their changes.

OVER = {"closed": NOON + HOUR}
NOTED = {"acknowledged": Acknowledged("Ada", NOON + 60)}
TURNED = {"kind": "burst", "was": (Earlier("leak", NOON + 60, "s"),)}


@pytest.mark.parametrize(
    ("before", "changes", "events"),
    [
        (None, {}, ("opened",)),
        (None, OVER, ("closed", "opened")),
        ({}, {}, ()),
        ({}, {"updated": NOON + 60, "nodes": ("water-2",)}, ()),
        ({}, {"confirmed": NOON + 60}, ("confirmed",)),
        ({}, TURNED, ("turned",)),
        ({}, {"severity": "critical"}, ("turned",)),
        ({"severity": "critical"}, {"severity": "warning"}, ()),
        ({}, NOTED, ("acknowledged",)),
        (NOTED, NOTED, ()),
        ({}, NOTED | OVER, ("closed", "acknowledged")),
        (OVER, {"reopened": 1}, ("opened",)),
        (OVER, {"closed": NOON + 2 * HOUR, "reopened": 1}, ()),
    ],
)
def test_what_is_new(before: dict[str, object] | None, changes: dict[str, object], events: tuple[str, ...]) -> None:
    assert happened(None if before is None else incident(**before), incident(**changes)) == events


def test_what_is_not_told_is_not_gone_on_with() -> None:
    """But who wants to know of ends alone hears of them."""
    assert plan(rules(), None, incident(held=True), NOON) is None
    assert plan(rules(updates=("closed",)), None, incident(), NOON) is None
    assert plan(rules(updates=("closed",)), None, incident(**OVER), NOON) == Decision("closed", NOON)
    assert plan(rules(updates=("confirmed", "closed")), None, incident(**OVER), NOON) is None
    told = plan(rules(updates=("confirmed", "closed")), None, incident(confirmed=NOON), NOON)
    assert told == Decision("confirmed", NOON)
    assert plan(rules(), incident(), incident(**NOTED), NOON) is None
    assert plan(rules(updates=("acknowledged",)), None, incident(**NOTED), NOON) == Decision("acknowledged", NOON)


def test_who_was_told_once_hears_how_it_goes_on() -> None:
    """Also when it has become something that it would not be told of."""
    calm = rules(kinds=("leak",))
    assert plan(calm, incident(), incident(**TURNED), NOON) == Decision("turned", NOON)
    assert plan(calm, None, incident(**TURNED), NOON) is None


# When.


def test_at_once_by_night_only_what_is_critical() -> None:
    quiet = rules(quiet="22:00-06:00")
    assert plan(quiet, None, incident(opened=at(21)), at(21, 59)) == Decision("opened", at(21, 59))
    assert plan(quiet, None, incident(opened=at(22)), at(22)) == Decision("opened", at(6, day=25))
    assert plan(quiet, None, incident(opened=at(22), severity="critical"), at(22)) == Decision("opened", at(22))
    assert plan(quiet, incident(), incident(severity="critical"), at(22)) == Decision("turned", at(22))
    # What is over by the morning is among what is told then.
    assert plan(quiet, None, incident(opened=at(22), closed=at(23)), at(23)) == Decision("closed", at(6, day=25))


def test_outside_of_its_hours_nobody_is_told_but_of_what_lasts() -> None:
    day = rules(hours="07:00-19:00", days=("mon", "tue", "wed", "thu", "fri"))
    assert plan(day, None, incident(), NOON) == Decision("opened", NOON)
    evening = plan(day, None, incident(opened=at(20), severity="critical"), at(20))
    assert evening == Decision("opened", at(7, day=25), "open")
    friday = plan(day, None, incident(opened=at(20, day=27)), at(20, day=27))
    assert friday == Decision("opened", at(7, day=30), "open")
    assert plan(day, None, incident(opened=at(20), closed=at(21)), at(21)) is None
    assert plan(day, incident(), incident(closed=at(21)), at(21)) == Decision("closed", at(7, day=25))


def test_the_night_that_begins_on_friday_is_fridays() -> None:
    night = Week(ZURICH, Span(22 * 60, 6 * 60), frozenset({4}))
    moments = ((21, 27), (22, 27), (5, 28), (6, 28), (22, 28), (5, 27))
    assert [night.on_duty(at(hour, day=day)) for hour, day in moments] == [False, True, True, False, False, False]


def test_a_digest_brings_all_together() -> None:
    assert plan(rules(digest="07:30"), None, incident(), NOON) == Decision("opened", at(7, 30, day=25))
    assert plan(rules(digest="15m"), None, incident(), NOON + 1) == Decision("opened", NOON + 900)
    assert plan(rules(digest="15m"), None, incident(), NOON) == Decision("opened", NOON + 900)
    late = rules(digest="15m", quiet="22:00-06:00")
    assert due(late, incident(), at(22, 1)) == at(6, day=25)
    assert due(late, incident(severity="critical"), at(22, 1)) == at(22, 15)


def test_the_next_one_is_told_when_nobody_has_taken_note() -> None:
    second = rules(after="15m")
    assert plan(second, None, incident(), NOON) == Decision("opened", NOON + 900, "unacknowledged")
    assert plan(second, None, incident(**NOTED), NOON) is None
    assert plan(second, None, incident(**OVER), NOON) is None
    assert plan(second, incident(), incident(**OVER), NOON) == Decision("closed", NOON)  # once told, at once
    night = rules(after="15m", quiet="22:00-06:00")
    assert plan(night, None, incident(opened=at(21, 50)), at(21, 50)) == Decision(
        "opened", at(6, day=25), "unacknowledged"
    )
    for changes, still in (({}, True), (NOTED, False), (OVER, False)):
        assert holds("unacknowledged", incident(**changes)) == still
    assert [holds("open", incident(**changes)) for changes in ({}, NOTED, OVER)] == [True, True, False]
    assert holds("always", incident(**OVER))


def test_the_past_wakes_nobody() -> None:
    """A replay brings what is long over; what is not may end yet with the next pack."""
    late = NOON + 7 * HOUR
    assert plan(rules(), None, incident(**OVER), late) is None
    assert plan(rules(), None, incident(), late) == Decision("opened", late + SETTLE, "open")
    assert plan(rules(), None, incident(updated=late - 60), late) == Decision("opened", late)
    assert plan(rules(late=""), None, incident(), late) == Decision("opened", late)
    assert plan(rules(late="8h"), None, incident(), late) == Decision("opened", late)
    # Over at first sight, however young: nobody can do anything any more.
    assert plan(rules(), None, incident(closed=NOON + 60), NOON + 61) is None
    quiet = rules(quiet="22:00-06:00")
    old = plan(quiet, None, incident(severity="critical"), at(23))
    assert old == Decision("opened", at(6, day=25), "open")  # not even what is critical, as it has been so for long
    assert plan(rules(digest="07:30"), None, incident(**OVER), late + 1) is None


# Hours, whatever the clocks do.

ZONES = st.sampled_from(
    [ZURICH, "UTC", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]
)
SPANS = st.none() | st.builds(Span, st.integers(0, 1439), st.integers(0, 1439))
MOMENTS = st.one_of(
    st.integers(1_767_225_600, 1_830_297_600),
    # About the changes of 2026 and 2027 in Europe, Newfoundland and Lord Howe.
    *(
        st.integers(at - 90_000, at + 90_000)
        for at in (1_774_746_000, 1_792_890_000, 1_806_195_600, 1_772_947_800, 1_793_507_400, 1_775_314_800)
    ),
)


def minutes(begin: float, end: float) -> Iterator[float]:
    if begin < end:
        yield begin
    at = begin // 60 * 60 + 60
    while at < end:
        yield at
        at += 60


def clock(moment: float, zone: str) -> datetime:
    return datetime.fromtimestamp(moment, ZoneInfo(zone))


def inside(span: Span | None, local: datetime) -> bool:
    """By the clock on the wall, said otherwise than the code says it."""
    if span is None:
        return True
    now = local.hour * 60 + local.minute
    if span.begin < span.end:
        return span.begin <= now < span.end
    return now >= span.begin or now < span.end


def begun(span: Span | None, local: datetime) -> int:
    """The day of the week on which the span that it is in began."""
    before = span is not None and span.begin >= span.end and local.hour * 60 + local.minute < span.end
    if span is not None and span.begin == span.end:
        before = local.hour * 60 + local.minute < span.begin
    return (local.date() - timedelta(days=before)).weekday()


@given(ZONES, SPANS, st.frozensets(st.integers(0, 6)), SPANS, MOMENTS, st.booleans())
def test_nobody_is_told_too_early_or_later_than_need_be(
    zone: str, hours: Span | None, days: frozenset[int], quiet: Span | None, now: int, urgent: bool
) -> None:
    week = Week(zone, hours, days, quiet)

    def allowed(moment: float) -> bool:
        local = clock(moment, zone)
        duty = inside(hours, local) and (not days or begun(hours, local) in days)
        return duty and (urgent or quiet is None or not inside(quiet, local))

    found = next_allowed(week, now, at_night=urgent)
    if found == now and not allowed(now):  # there is no such minute in a week
        assert not any(allowed(moment) for moment in minutes(now, now + 7 * 86_400))
        return
    assert found >= now
    assert allowed(found)
    assert not any(allowed(moment) for moment in minutes(now, found))


@given(ZONES, st.integers(0, 1439), MOMENTS)
def test_a_digest_leaves_once_a_day(zone: str, minute: int, now: int) -> None:
    """Twice in the hour that a clock shows twice, and at the first minute after one that it leaves out."""
    text = f"{minute // 60:02}:{minute % 60:02}"
    found = next_digest(text, zone, now)
    assert now < found <= now + 25.5 * HOUR
    local = clock(found, zone)
    wall = local.hour * 60 + local.minute
    assert wall == minute or (
        0 < (wall - minute) % 1440 <= 60 and local.utcoffset() != clock(found - 60, zone).utcoffset()
    )
    assert not any(clock(each, zone).strftime("%H:%M") == text for each in minutes(now // 60 * 60 + 60, found))
