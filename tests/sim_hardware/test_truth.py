"""Ground truth: what was raised against what happened, and the file that says it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.errors import ConfigError
from gateway.records import Earlier, Incident
from sim_hardware.city.incidents import KINDS, MONTH_D
from sim_hardware.city.truth import (
    AFTERMATH_S,
    Delay,
    KindScore,
    Run,
    Score,
    Truth,
    read,
    read_incidents,
    score,
    write,
)

HOUR = 3600
LATER = 1000 * HOUR


def truth(
    kind: str = "crash",
    nodes: str = "traffic-0001",
    begin: int = 0,
    end: int = HOUR,
    site: str = "a",
    shown: tuple[int, int] | None = None,
) -> Truth:
    return Truth(kind, site, "there", tuple(nodes.split()), begin, end, 0.3, shown)  # type: ignore[arg-type]


def raised(opened: int, kind: str = "jam", node: str = "traffic-0001", site: str = "a", **more: Any) -> Incident:
    return Incident(f"{kind}.{site}.{node}.{opened}", kind, site, node, "", "warning", opened, None, "", **more)


def counted(found: Score) -> tuple[int, int, int]:
    return found.injected, found.detected, found.false


@pytest.mark.parametrize(
    ("truths", "incidents", "counts"),
    [
        ([], [], (0, 0, 0)),
        ([truth()], [raised(300)], (1, 1, 0)),
        ([truth("roadworks")], [raised(300)], (1, 1, 0)),
        ([truth()], [], (1, 0, 0)),
        ([], [raised(300)], (0, 0, 1)),
        # of another kind, place, site or time: both missed and false
        ([truth()], [raised(300, kind="burst")], (1, 0, 1)),
        ([truth()], [raised(300, node="traffic-0002")], (1, 0, 1)),
        ([truth()], [raised(300, site="b")], (1, 0, 1)),
        ([truth(begin=600)], [raised(599)], (1, 0, 1)),
        # at the first and the last moment, and in the aftermath
        ([truth()], [raised(0)], (1, 1, 0)),
        ([truth()], [raised(HOUR + AFTERMATH_S)], (1, 1, 0)),
        ([truth()], [raised(HOUR + AFTERMATH_S + 1)], (1, 0, 1)),
        # at any of its nodes, or for the whole site
        ([truth(nodes="traffic-0001 traffic-0002")], [raised(300, node="traffic-0002")], (1, 1, 0)),
        ([truth("smoke", "air-0001")], [raised(300, "air_episode", node="")], (1, 1, 0)),
        ([truth("smoke", "air-0001")], [raised(300, "air_episode", node="", site="b")], (1, 0, 1)),
        # what no node could see is not owed
        ([truth(nodes="")], [], (0, 0, 0)),
        ([truth(nodes="")], [raised(300)], (0, 0, 1)),
        # raised again for the same truth is not false, and one incident may be of two truths at one node
        ([truth()], [raised(300), raised(900)], (1, 1, 0)),
        ([truth(), truth(nodes="traffic-0001 traffic-0002")], [raised(300)], (2, 2, 0)),
        ([truth(), truth(begin=2 * HOUR, end=3 * HOUR)], [raised(300), raised(5400), raised(7800)], (2, 2, 1)),
    ],
)
def test_matches(truths: list[Truth], incidents: list[Incident], counts: tuple[int, int, int]) -> None:
    """Kind, site, node and time decide."""
    assert counted(score(truths, incidents, LATER)) == counts


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_ripe_does_not_count(kind: str) -> None:
    """Found early it is not false, not found it is not missed; a second later it counts."""
    line = KINDS[kind]  # type: ignore[index]
    truths = [truth(kind, "node", begin=1000, end=1000 + 300 * HOUR)]
    early = raised(1060, line.shows_as, "node")
    ripe = 1000 + line.shows_after_s
    assert score(truths, [], ripe - 1) == score(truths, [early], ripe - 1) == Score(0, 0, 0, {})
    assert counted(score(truths, [], ripe)) == (1, 0, 0)
    found = score(truths, [early], ripe)
    assert (counted(found), found.delay_s) == ((1, 1, 0), {line.shows_as: Delay(60, 60)})


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_too_short_never_counts(kind: str) -> None:
    """An incident that ended before its kind shows is neither owed nor false."""
    line = KINDS[kind]  # type: ignore[index]
    truths = [truth(kind, "node", begin=0, end=line.shows_after_s - 1)]
    assert score(truths, [raised(60, line.shows_as, "node")], LATER) == score(truths, [], LATER) == Score(0, 0, 0, {})


def test_a_queue_counts_from_when_a_counter_saw_it() -> None:
    """What held the traffic up may be long over, or the queue may only have touched a counter."""
    assert counted(score([truth(shown=(600, 600 + 8 * 60))], [], LATER)) == (1, 0, 0)
    assert counted(score([truth(shown=(600, 600 + 8 * 60))], [], 600 + 8 * 60 - 1)) == (0, 0, 0)
    assert counted(score([truth(shown=(600, 660))], [], LATER)) == (0, 0, 0)


def test_delays_are_of_the_first_to_notice() -> None:
    """Median and longest of each kind's ripe truths, in order of kinds; missed ones have none."""
    truths = [truth(nodes=f"traffic-000{n}", begin=n * HOUR, end=(n + 1) * HOUR) for n in range(1, 6)]
    truths += [truth("burst", "water-0001"), truth("stuck", "air-0001"), truth(begin=LATER - 60, end=LATER)]
    incidents = [
        raised(2 * HOUR + 900, node="traffic-0002"),
        raised(2 * HOUR + 120, node="traffic-0002"),
        raised(2 * HOUR + 500, node="traffic-0002"),
        raised(1 * HOUR + 60, node="traffic-0001"),
        raised(3 * HOUR + 600, node="traffic-0003"),
        raised(4 * HOUR + 180, node="traffic-0004"),
        raised(1860, "burst", "water-0001"),
        raised(LATER - 30),
    ]
    found = score(truths, iter(incidents), LATER)
    assert counted(found) == (7, 5, 0)
    assert found.delay_s == {"burst": Delay(1860, 1860), "jam": Delay(150, 600)}
    assert list(found.delay_s) == ["burst", "jam"]


def test_two_truths_at_once_have_an_incident_each_where_there_are_two() -> None:
    """So that the second is not told the delay of the first's."""
    truths = [truth(nodes="traffic-0001 traffic-0002"), truth("crowd", "traffic-0002", begin=60)]
    found = score(truths, [raised(240), raised(360, node="traffic-0002")], LATER)
    assert found.delay_s == {"jam": Delay(270, 300)}


def test_kinds_causes_and_rates() -> None:
    """Precision of what was raised, recall of what happened, false ones a month of the nodes that can raise them."""
    month = MONTH_D * 24 * HOUR
    run = Run("a", {"traffic": 4, "water": 2, "air": 2}, 0, month)
    truths = [truth(), truth("crowd", "traffic-0002"), truth("dead", "water-0001"), truth("stuck", "air-0001")]
    incidents = [
        raised(300),
        raised(400),
        raised(9999),
        raised(9999, node="traffic-0003"),
        raised(5, "odd", "air-0001"),
    ]
    found = score(truths, [*incidents, raised(2400, "stuck", "air-0001")], month, run)
    assert found.kinds == {
        "jam": KindScore(2, 1, 4, 2, 0.5, 0.5, Delay(300, 300), 0.5),
        "odd": KindScore(0, 0, 1, 1, 0.0, None, None, 0.125),
        "silent": KindScore(1, 0, 0, 0, None, 0.0, None, 0.0),
        "stuck": KindScore(1, 1, 1, 0, 1.0, 1.0, Delay(2400, 2400), 0.0),
    }
    assert found.causes == {"crash": (1, 1), "crowd": (1, 0), "dead": (1, 0), "stuck": (1, 1)}
    assert (found.raised, found.precision, found.recall, found.false_per_node_month) == (6, 0.5, 0.5, 0.375)
    assert score(truths, incidents, month).false_per_node_month is None, "nobody knows how many nodes"


def turned(opened: int, until: int, *kinds: str, node: str = "water-0001") -> Incident:
    """Told as one kind, an hour later as the next ..."""
    was = [Earlier(kind, until + HOUR * n, "") for n, kind in enumerate(kinds[:-1])]
    return replace(raised(opened, kinds[0], node), kind=kinds[-1], was=tuple(was))


def test_what_turned_out_to_be_the_truth_is_one_found_incident_and_none_that_is_false() -> None:
    """Found when it was told as what it is; balance is neither missed nor false, and no line of its own."""
    leak = truth("main_leak", "water-0001 water-0002", 0, 200 * HOUR)
    found = score([leak], [turned(10 * HOUR, 50 * HOUR, "balance", "main_leak")], LATER)
    assert (counted(found), found.raised, found.delay_s) == ((1, 1, 0), 1, {"main_leak": Delay(50 * HOUR, 50 * HOUR)})
    assert list(found.kinds) == ["main_leak"]


def test_what_may_turn_out_to_be_the_truth_is_not_false_but_has_not_found_it() -> None:
    """Water is lost, as was said; that it is the main nobody was told."""
    leak = truth("main_leak", "water-0001", 0, 200 * HOUR)
    found = score([leak], [raised(10 * HOUR, "balance", "water-0001")], LATER)
    assert (counted(found), found.precision, found.recall) == ((1, 0, 0), 1.0, 0.0)
    assert counted(score([leak], [raised(10 * HOUR, "leak", "water-0001")], LATER)) == (1, 0, 1)
    assert counted(score([], [turned(10 * HOUR, 50 * HOUR, "balance", "main_leak")], LATER)) == (0, 0, 1)


def test_a_leak_that_bursts_and_leaks_on_is_of_both_truths() -> None:
    """One incident for two; it is counted as what it was last."""
    both = [truth("leak", "water-0001", 0, 200 * HOUR), truth("burst", "water-0001", 90 * HOUR, 92 * HOUR)]
    found = score(both, [turned(30 * HOUR, 90 * HOUR + 600, "leak", "burst", "leak")], LATER)
    assert (counted(found), found.raised) == ((2, 2, 0), 1)
    assert found.delay_s == {"burst": Delay(600, 600), "leak": Delay(30 * HOUR, 30 * HOUR)}
    assert (found.kinds["leak"].raised, found.kinds["burst"].raised) == (1, 0)
    wrong = score(both[:1], [turned(30 * HOUR, 90 * HOUR, "leak", "burst")], LATER)
    assert (counted(wrong), list(wrong.kinds)) == ((1, 1, 0), ["leak"]), "a burst that was none"


SPANS = st.tuples(st.integers(0, 40), st.integers(1, 40), st.integers(1, 3))


@given(st.lists(SPANS, max_size=8), st.lists(st.tuples(st.integers(0, 100), st.integers(1, 3)), max_size=12))
def test_counts_add_up(spans: list[tuple[int, int, int]], heard: list[tuple[int, int]]) -> None:
    """Whatever happens: nothing is found twice, what is raised is right, false, or too early to tell."""
    truths = [truth(nodes=f"traffic-000{n}", begin=60 * b, end=60 * (b + d)) for b, d, n in spans]
    incidents = [raised(60 * at, node=f"traffic-000{n}") for at, n in heard]
    found = score(truths, incidents, LATER)
    assert found.injected == sum(duration >= 8 for _, duration, _ in spans)
    assert 0 <= found.detected <= found.injected
    assert found.false == sum(not any(each.told_by(one) for each in truths) for one in incidents)
    assert found.false <= found.raised <= len(incidents)
    assert score(truths[::-1], incidents[::-1], LATER) == found, "in whatever order they are told"
    shared = score(truths, [*incidents, raised(10**6, node="traffic-0009")], LATER)
    assert (shared.detected, shared.false) == (found.detected, found.false + 1)


# files ------------------------------------------------------------------------------------------------------------


def test_a_file_has_one_truth_a_line(tmp_path: Path) -> None:
    """As JSON, which anything can read; first the run, where it is known."""
    truths = [truth(shown=(120, 600)), truth("burst", "water-0001 water-0002", 60, 120)]
    write(tmp_path / "truth.jsonl", truths)
    first = {"kind": "crash", "site": "a", "place": "there", "nodes": ["traffic-0001"], "begin": 0, "end": HOUR}
    rows = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert rows[0] == {**first, "size": 0.3, "shown": [120, 600]}
    assert [row["nodes"] for row in rows] == [["traffic-0001"], ["water-0001", "water-0002"]]
    assert read(tmp_path / "truth.jsonl") == (None, truths)
    run = Run("a", {"traffic": 3}, 0, HOUR)
    write(tmp_path / "truth.jsonl", truths, run)
    assert json.loads((tmp_path / "truth.jsonl").read_text().splitlines()[0])["run"]["nodes"] == {"traffic": 3}
    assert read(tmp_path / "truth.jsonl") == (run, truths)


def test_incidents_are_read_in_their_newest_form(tmp_path: Path) -> None:
    """A file may tell an incident when it opens and again when it closes."""
    path = tmp_path / "incidents.jsonl"
    line = {"id": "x", "kind": "jam", "site": "a", "node": "n", "channel": "", "severity": "info", "opened": 5}
    line |= {"closed": None, "summary": ""}
    path.write_text(json.dumps(line) + "\n\n" + json.dumps(line | {"closed": 9}) + "\n")
    (incident,) = read_incidents(path)
    assert (incident.opened, incident.closed) == (5, 9)


@pytest.mark.parametrize("reader", [read, read_incidents])
@pytest.mark.parametrize("bad", ["{", "3", '{"kind": "earthquake"}'])
def test_what_is_not_a_line_of_the_file(tmp_path: Path, reader: Any, bad: str) -> None:
    """File and line are named."""
    path = tmp_path / "x.jsonl"
    path.write_text(f"\n{bad}\n")
    with pytest.raises(ConfigError, match=r"x\.jsonl:2: this is no "):
        reader(path)
    with pytest.raises(ConfigError, match=r"none cannot be read: No such file"):
        reader(tmp_path / "none")
