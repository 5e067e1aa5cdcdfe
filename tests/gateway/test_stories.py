"""Incidents from findings: what belongs together is one, what comes and goes is one, the budget is kept."""

import msgspec
import pytest

from gateway.detect.neighbourhood import Neighbourhood
from gateway.detect.plan import Plan, Street, Zone
from gateway.detect.relations import SHARPENS, TURNS, Place
from gateway.detect.rule import Finding
from gateway.detect.stories import FLAP, LASTED, MONTH, Stories
from gateway.records import Earlier, Evidence, Incident, Severity

T = 1_795_417_200
PLAN = Plan(
    street=(Street("Quay", ("traffic-1", "traffic-2", "traffic-3", "traffic-4")), Street("Lane", ("traffic-9",))),
    zone=(Zone("Harbour", ("water-1", "water-2")), Zone("Hill", ("water-3",))),
)


class Teller:
    """Stories, told findings one by one; knows every incident in its newest form."""

    def __init__(self, budget: float = 100.0, nodes: int = 10) -> None:
        self.stories, self.budget, self.nodes = Stories(), budget, nodes
        self.near = Neighbourhood(PLAN, "a")
        self.known: dict[str, Incident] = {}
        self.minute(0)

    def tell(
        self,
        kind: str,
        state: str,
        node: str,
        minute: float,
        severity: Severity = "warning",
        evidence: tuple[Evidence, ...] = (),
        *,
        confirmed: bool = False,
    ) -> list[Incident]:
        finding = Finding(
            kind, state, 0, T + round(60 * minute), severity, f"{kind}; expected: none.", evidence, confirmed=confirmed
        )  # type: ignore[arg-type]
        changed = list(self.stories.take(finding, Place("a", node, ""), self.near, self.budget))
        self.known |= {each.id: each for each in changed}
        return changed

    def minute(self, minute: float) -> list[Incident]:
        changed = list(self.stories.tick("a", T + round(60 * minute), self.nodes, self.near, self.budget))
        self.known |= {each.id: each for each in changed}
        return changed

    @property
    def one(self) -> Incident:
        (incident,) = self.known.values()
        return incident


def test_a_queue_that_grows_along_a_street_is_one_incident() -> None:
    """Told by its first counter, with the others; it ends when none of them is in it any more."""
    teller = Teller()
    teller.tell("jam", "open", "traffic-3", 0)
    teller.tell("jam", "open", "traffic-2", 4)
    assert (teller.one.node, teller.one.nodes, teller.one.confirmed) == ("traffic-3", ("traffic-2",), T + 240)
    teller.tell("jam", "close", "traffic-3", 20)
    assert teller.one.closed is None
    teller.tell("jam", "close", "traffic-2", 25)
    assert teller.one.closed == T + 25 * 60


@pytest.mark.parametrize(("node", "minute"), [("traffic-9", 1), ("traffic-1", 25)])
def test_jams_elsewhere_or_much_later_are_others(node: str, minute: int) -> None:
    """In another street; or after more than twenty minutes without news."""
    teller = Teller()
    teller.tell("jam", "open", "traffic-3", 0)
    teller.tell("jam", "open", node, minute)
    assert len(teller.known) == 2


def test_the_nodes_of_a_zone_that_fall_silent_together_are_one_incident() -> None:
    """A fuse; not those of the next district."""
    teller = Teller()
    for node in ("water-1", "water-2", "water-3"):
        teller.tell("silent", "open", node, 0)
    assert sorted((each.node, each.nodes) for each in teller.known.values()) == [
        ("water-1", ("water-2",)),
        ("water-3", ()),
    ]


def test_what_comes_and_goes_is_one_incident_that_ends_when_it_stays_away() -> None:
    """It may end at once the first time, then only after half an hour without, at the time when it was last there."""
    teller = Teller()
    teller.tell("jam", "open", "traffic-1", 0)
    teller.tell("jam", "close", "traffic-1", 10)
    assert teller.one.closed == T + 600
    for begin in (15, 30, 45):
        teller.tell("jam", "open", "traffic-1", begin)
        teller.tell("jam", "close", "traffic-1", begin + 5)
        assert teller.one.closed is None
    assert teller.one.reopened == 3
    assert teller.minute(50 + FLAP / 60 - 1) == []
    (ended,) = teller.minute(50 + FLAP / 60)
    assert (ended.closed, ended.opened) == (T + 50 * 60, T)


def test_what_comes_again_after_long_is_another() -> None:
    """And the first is forgotten."""
    teller = Teller()
    teller.tell("jam", "open", "traffic-1", 0)
    teller.tell("jam", "close", "traffic-1", 10)
    teller.minute(10 + FLAP / 60)
    assert teller.stories.stories == {} == teller.stories.of
    teller.tell("jam", "open", "traffic-1", 41)
    assert len(teller.known) == 2


def test_what_turns_out_to_be_something_else_is_the_same_incident() -> None:
    """A zone's balance does not close, then its main leaks: one id, told again, and what it was stays known."""
    teller = Teller()
    (loss,) = (Evidence("loss", 900, 100, "l/h", "900 l/h are lost"),)
    night = Evidence("least flow of a day", 3000, 2000, "l/h", "the least hour was 3 m³/h")
    teller.tell("balance", "open", "water-1", 0, evidence=(loss,))
    first = teller.one
    (turned,) = teller.tell("main_leak", "open", "water-1", 600, evidence=(night,))
    assert (turned.id, turned.kind, turned.opened) == (first.id, "main_leak", first.opened)
    assert turned.summary.startswith("main_leak")
    assert turned.was == (Earlier("balance", T + 36_000, first.summary),)
    assert turned.told == (("balance", T), ("main_leak", T + 36_000))
    assert turned.evidence == (loss, night)
    teller.tell("main_leak", "close", "water-1", 2000)
    assert (teller.one.kind, teller.one.closed) == ("main_leak", None), "the balance does not close yet"
    teller.tell("balance", "close", "water-1", 2400)
    assert (teller.one.kind, teller.one.closed) == ("main_leak", T + 144_000)


def test_the_sharper_found_first_stays_what_it_is() -> None:
    """What it might have been taken for is its evidence, and keeps it open."""
    teller = Teller()
    teller.tell("main_leak", "open", "water-1", 0)
    loss = Evidence("loss", 900, 100, "l/h", "900 l/h are lost")
    teller.tell("balance", "open", "water-1", 60, evidence=(loss,))
    teller.tell("main_leak", "close", "water-1", 600)
    assert (teller.one.kind, teller.one.closed, teller.one.was, teller.one.evidence) == ("main_leak", None, (), (loss,))
    teller.tell("balance", "close", "water-1", 700)
    assert (teller.one.kind, teller.one.closed) == ("main_leak", T + 42_000)


def test_each_burst_of_a_leaking_pipe_is_told() -> None:
    """While it lasts the incident is a burst, and critical; then what is left of it. It ends with the last of it."""
    teller = Teller()
    teller.tell("leak", "open", "water-1", 0)
    steps = []
    for begin in (100, 200):
        for state, at in (("open", begin), ("close", begin + 30)):
            (changed,) = teller.tell("burst", state, "water-1", at, "critical")
            steps.append((changed.kind, changed.severity, changed.closed))
    assert steps == [("burst", "critical", None), ("leak", "warning", None)] * 2
    minutes = [(kind, (time - T) // 60) for kind, time in teller.one.told]
    assert minutes == [("leak", 0), ("burst", 100), ("leak", 130), ("burst", 200), ("leak", 230)]
    assert teller.one.summary.startswith("leak")
    teller.tell("leak", "close", "water-1", 300)
    assert (teller.one.kind, teller.one.closed) == ("leak", T + 18_000)


def test_an_incident_does_not_turn_for_ever() -> None:
    """A tap that is opened every hour beside a leak: what it was told as is bounded, and its end is not lost."""
    teller = Teller()
    teller.tell("leak", "open", "water-1", 0)
    for hour in range(1, TURNS + 3):
        teller.tell("burst", "open", "water-1", 60 * hour, "critical")
        teller.tell("burst", "close", "water-1", 60 * hour + 30)
    assert TURNS - 2 < len(teller.one.was) <= TURNS
    assert (teller.one.kind, teller.one.closed) == ("burst", None)
    teller.tell("leak", "close", "water-1", 6000)
    assert teller.one.closed == T + 360_000


def test_a_main_that_leaks_on_after_its_burst_goes_by_the_sharpest_that_is_left() -> None:
    teller = Teller()
    teller.tell("main_burst", "open", "water-1", 0, "critical")
    teller.tell("balance", "open", "water-1", 300, "critical")
    teller.tell("main_leak", "open", "water-1", 3000)
    assert (teller.one.kind, teller.one.was) == ("main_burst", ())
    teller.tell("main_burst", "close", "water-1", 4000)
    assert [kind for kind, _ in teller.one.told] == ["main_burst", "main_leak"]
    assert teller.one.severity == "critical", "as the balance that keeps it open"


def test_what_is_over_while_its_burst_lasts_ends_with_the_burst() -> None:
    """It may come again and again meanwhile; told twice, as by a rule that has begun anew, it is still one."""
    teller = Teller()
    teller.tell("burst", "open", "water-1", 0, "critical")
    for state, at in (("open", 5), ("close", 10), ("open", 15), ("open", 16), ("close", 20)):
        teller.tell("leak", state, "water-1", at)
    teller.tell("burst", "close", "water-1", 30, "critical")
    one = teller.one
    assert (one.kind, one.was, one.reopened, one.closed) == ("burst", (), 0, T + 1800)


@pytest.mark.parametrize(("node", "minute"), [("water-2", 10), ("water-1", 21)])
def test_what_is_elsewhere_or_comes_after_the_end_is_another(node: str, minute: int) -> None:
    """At the second of its end it is not: a rule that changes its mind closes the one as it opens the other."""
    teller = Teller()
    teller.tell("leak", "open", "water-1", 0)
    teller.tell("leak", "close", "water-1", 20)
    teller.tell("burst", "open", node, minute, "critical")
    assert {each.kind: each.closed for each in teller.known.values()} == {"leak": T + 1200, "burst": None}


def test_a_rule_that_changes_its_mind_is_one_incident() -> None:
    teller = Teller()
    teller.tell("gain", "open", "air-1", 0)
    teller.tell("gain", "close", "air-1", 20)
    teller.tell("stuck", "open", "air-1", 20)
    one = teller.one
    assert (one.kind, one.closed, one.reopened, one.told) == ("stuck", None, 0, (("gain", T), ("stuck", T + 1200)))
    teller.tell("stuck", "close", "air-1", 50)
    assert teller.one.closed == T + 3000


def test_parts_of_a_node_are_not_taken_for_each_other() -> None:
    """A counter of CO2 that is off is none of particles that repeat themselves."""
    teller = Teller()
    for kind, channel in (("gain", "co2"), ("stuck", "particles"), ("stuck", "co2")):
        finding = Finding(kind, "open", 0, T, summary=f"{kind}.")
        changed = teller.stories.take(finding, Place("a", "air-1", channel), teller.near, teller.budget)
        teller.known |= {each.id: each for each in changed}
    assert sorted((each.kind, each.channel) for each in teller.known.values()) == [
        ("stuck", "co2"),
        ("stuck", "particles"),
    ]


def test_a_zone_of_several_inlets_is_one_place() -> None:
    """Its balance is told at its first inlet, the main's leak at the one behind which it is."""
    teller = Teller()
    finding = Finding("balance", "open", 0, T, summary="balance.")
    changed = teller.stories.take(finding, Place("a", "water-1", "", ("water-2",)), teller.near, teller.budget)
    teller.known |= {each.id: each for each in changed}
    teller.tell("main_leak", "open", "water-2", 600)
    assert (teller.one.kind, teller.one.node, teller.one.nodes) == ("main_leak", "water-1", ("water-2",))
    teller.tell("main_leak", "open", "water-1", 660)
    teller.tell("main_leak", "close", "water-2", 700)
    assert (teller.one.kind, teller.one.closed) == ("main_leak", None)


def test_an_obstacle_that_jams_the_street_is_its_jam() -> None:
    teller = Teller()
    teller.tell("crash", "open", "traffic-3", 0)
    teller.tell("jam", "open", "traffic-3", 4)
    teller.tell("crash", "close", "traffic-3", 9)
    teller.tell("jam", "open", "traffic-2", 10)
    one = teller.one
    assert (one.kind, one.nodes, [each.kind for each in one.was]) == ("jam", ("traffic-2",), ["crash"])


def test_every_kind_can_turn_out_in_one_way_only() -> None:
    """Else which one an incident goes by would depend on what was found first; and no way leads back."""
    for kind, others in SHARPENS.items():
        assert kind not in others
        for other in others:
            assert set(SHARPENS.get(other, ())) <= set(others), f"{kind} may be {other}, and what that may be"


def test_what_is_held_back_and_turns_out_worse_is_told() -> None:
    teller = Teller(budget=0.0)
    teller.tell("leak", "open", "water-1", 0)
    assert teller.one.held
    teller.tell("burst", "open", "water-1", 60, "critical")
    assert (teller.one.kind, teller.one.held) == ("burst", False)


def test_new_evidence_takes_the_place_of_the_old() -> None:
    """By what it is about; severity grows and does not fall."""
    teller = Teller()
    teller.tell("jam", "open", "traffic-1", 0, evidence=(Evidence("speed", 20, 50, "km/h", "slow"),))
    slower = Evidence("speed", 5, 50, "km/h", "slower")
    teller.tell("jam", "update", "traffic-1", 5, "critical", (slower,), confirmed=True)
    teller.tell("jam", "update", "traffic-1", 6, "info")
    assert (teller.one.evidence, teller.one.severity, teller.one.confirmed) == ((slower,), "critical", T + 300)


def test_what_lasts_is_confirmed() -> None:
    """A rule would have taken it back."""
    teller = Teller()
    teller.tell("stuck", "open", "air-1", 0)
    teller.minute(LASTED / 60 - 1)
    assert teller.one.state == "open"
    teller.minute(LASTED / 60)
    assert (teller.one.state, teller.one.confirmed) == ("confirmed", T + LASTED)


def test_the_budget_is_kept_over_months() -> None:
    """At 1 alarm a node-month ten nodes raise 10 at once and then one every three days; what is held is known."""
    teller = Teller(budget=1.0)
    for day in range(90):
        for hour in (1, 13):
            at = 24 * 60 * day + 60 * hour
            teller.minute(at)
            teller.tell("stuck", "open", "air-1", at)
            teller.tell("stuck", "close", "air-1", at + 10)
    told = [each for each in teller.known.values() if not each.held]
    assert len(teller.known) == 180
    assert 3 * 10 <= len(told) <= 4 * 10
    assert 3 * MONTH == 90 * 86_400


def test_the_budget_is_for_what_matters_first() -> None:
    """What is of interest stops at half of it; what is critical is always told."""
    teller = Teller(budget=1.0)
    for number in range(12):
        teller.tell("unusual", "open", f"air-{number}", number, "info")
    assert sum(not each.held for each in teller.known.values()) == 5
    for number in range(12):
        teller.tell("stuck", "open", f"air-{number}", number, "warning")
        teller.tell("burst", "open", f"water-{number}", number, "critical")
    held = {(each.kind, each.held) for each in teller.known.values()}
    assert ("burst", True) not in held
    assert {("stuck", True), ("unusual", True), ("burst", False)} <= held


def test_held_back_and_then_confirmed_or_critical_is_told() -> None:
    """As far as the budget has grown again, or in any case."""
    teller = Teller(budget=0.0)
    teller.tell("stuck", "open", "air-1", 0)
    assert teller.one.held
    teller.tell("stuck", "update", "air-1", 5, confirmed=True)
    assert teller.one.held
    teller.tell("stuck", "update", "air-1", 6, "critical")
    assert not teller.one.held


def test_what_comes_again_worse_is_told_as_it_is_now() -> None:
    """With its own severity and evidence, and no longer held back."""
    teller = Teller(budget=0.0)
    teller.tell("stuck", "open", "air-1", 0)
    teller.tell("stuck", "close", "air-1", 5)
    fast = Evidence("speed", 5, 50, "km/h", "slow")
    teller.tell("stuck", "open", "air-1", 10, "critical", (fast,))
    one = teller.one
    assert (one.severity, one.evidence, one.held, one.reopened, one.closed) == ("critical", (fast,), False, 1, None)


def test_held_back_and_then_found_by_another_as_critical_is_told() -> None:
    teller = Teller(budget=0.0)
    teller.tell("jam", "open", "traffic-1", 0)
    assert teller.one.held
    teller.tell("jam", "open", "traffic-2", 3)
    assert teller.one.held, "confirmed, but there is no budget at all"
    teller.tell("jam", "open", "traffic-3", 4, "critical")
    assert (teller.one.held, teller.one.severity) == (False, "critical")


def test_held_back_and_then_confirmed_by_having_lasted_is_told_where_the_budget_allows() -> None:
    """The budget of five grows by one in six days."""
    teller = Teller(budget=0.1)
    for number in range(6):
        teller.tell("stuck", "open", f"air-{number}", number / 60)
    assert sum(each.held for each in teller.known.values()) == 1
    teller.minute(16)
    assert sum(each.held for each in teller.known.values()) == 1
    teller = Teller(budget=0.1)
    for number in range(6):
        teller.tell("stuck", "open", f"air-{number}", number / 60)
    teller.minute(7 * 24 * 60)
    assert not any(each.held for each in teller.known.values())


@pytest.mark.parametrize(("seen", "expected"), [(float("nan"), 1.0), (1.0, float("inf"))])
def test_evidence_without_a_number_is_left_out(seen: float, expected: float) -> None:
    """JSON would keep it as null, which nobody could read again."""
    teller = Teller()
    good, bad = Evidence("flow", 2.0, 1.0, "l/h", "high"), Evidence("mean", seen, expected, "l/h", "unknown")
    teller.tell("stuck", "open", "air-1", 0, evidence=(bad, good))
    assert teller.one.evidence == (good,)
    teller.tell("stuck", "update", "air-1", 1, evidence=(bad,))
    assert teller.one.evidence == (good,)
    assert msgspec.json.decode(msgspec.json.encode(teller.one), type=Incident) == teller.one


def test_what_is_open_of_a_node_that_is_gone_ends() -> None:
    """Nothing would end it any more; what others keep open stays."""
    teller = Teller()
    teller.tell("stuck", "open", "air-1", 0)
    teller.tell("jam", "open", "traffic-1", 0)
    teller.tell("jam", "open", "traffic-2", 0)
    changed = list(teller.stories.tick("a", T + 6000, 10, teller.near, 1.0, ("air-1", "traffic-1")))
    ends = {each.kind: each.closed for each in changed}
    assert ends["stuck"] == T + 6000
    assert ends.get("jam") is None
    teller.tell("jam", "close", "traffic-2", 101)
    assert {each.kind: each.closed for each in teller.known.values()}["jam"] == T + 6060
