"""Scores: what was raised against what happened."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.records import Incident
from sim_hardware.city.scenario import SHOWS_AFTER_S
from sim_hardware.city.truth import AFTERMATH_S, Delay, Score, Truth, score, write

HOUR = 3600
LATER = 100 * HOUR


def truth(kind: str = "jam", nodes: str = "traffic-0001", begin: int = 0, end: int = HOUR, site: str = "a") -> Truth:
    return Truth(kind, site, tuple(nodes.split()), begin, end, 9.0)  # type: ignore[arg-type]


def raised(opened: int, kind: str = "jam", node: str = "traffic-0001", site: str = "a", **more: Any) -> Incident:
    return Incident(f"{kind}.{site}.{node}.{opened}", kind, site, node, "", "warning", opened, None, "", **more)


@pytest.mark.parametrize(
    ("truths", "incidents", "injected", "detected", "false"),
    [
        ([], [], 0, 0, 0),
        ([truth()], [raised(300)], 1, 1, 0),
        ([truth()], [], 1, 0, 0),
        ([], [raised(300)], 0, 0, 1),
        # of another kind, place, site or time: both missed and false
        ([truth()], [raised(300, kind="burst")], 1, 0, 1),
        ([truth()], [raised(300, node="traffic-0002")], 1, 0, 1),
        ([truth()], [raised(300, site="b")], 1, 0, 1),
        ([truth(begin=600, end=HOUR)], [raised(599)], 1, 0, 1),
        # at the first and the last moment, and in the aftermath
        ([truth()], [raised(0)], 1, 1, 0),
        ([truth()], [raised(HOUR)], 1, 1, 0),
        ([truth()], [raised(HOUR + AFTERMATH_S)], 1, 1, 0),
        ([truth()], [raised(HOUR + AFTERMATH_S + 1)], 1, 0, 1),
        # at any of its nodes, or for the whole site
        ([truth(nodes="traffic-0001 traffic-0002")], [raised(300, node="traffic-0002")], 1, 1, 0),
        ([truth("air_episode", "air-0001")], [raised(300, "air_episode", node="")], 1, 1, 0),
        ([truth("air_episode", "air-0001")], [raised(300, "air_episode", node="", site="b")], 1, 0, 1),
        # several incidents of one truth, and one incident of several truths, are all right
        ([truth()], [raised(300), raised(900)], 1, 1, 0),
        ([truth(), truth(nodes="traffic-0001 traffic-0002")], [raised(300)], 2, 2, 0),
        ([truth(), truth(begin=2 * HOUR, end=3 * HOUR)], [raised(300), raised(5400), raised(7800)], 2, 2, 1),
    ],
)
def test_matches(truths: list[Truth], incidents: list[Incident], injected: int, detected: int, false: int) -> None:
    """Kind, site, node and time decide."""
    found = score(truths, incidents, LATER)
    assert (found.injected, found.detected, found.false) == (injected, detected, false)


@pytest.mark.parametrize("kind", SHOWS_AFTER_S)
def test_what_is_not_ripe_does_not_count(kind: str) -> None:
    """Found early it is not false, not found it is not missed; a second later it counts."""
    needs = SHOWS_AFTER_S[kind]  # type: ignore[index]
    truths = [truth(kind, "node", begin=1000, end=1000 + 10 * HOUR)]
    early = raised(1060, kind, "node")
    assert score(truths, [], 1000 + needs - 1) == Score(0, 0, 0, {})
    assert score(truths, [early], 1000 + needs - 1) == Score(0, 0, 0, {})
    assert score(truths, [], 1000 + needs) == Score(1, 0, 0, {})
    assert score(truths, [early], 1000 + needs) == Score(1, 1, 0, {kind: Delay(60, 60)})


@pytest.mark.parametrize("kind", SHOWS_AFTER_S)
def test_what_was_too_short_never_counts(kind: str) -> None:
    """An incident that ended before its kind shows is neither owed nor false."""
    truths = [truth(kind, "node", begin=0, end=SHOWS_AFTER_S[kind] - 1)]  # type: ignore[index]
    assert score(truths, [], LATER) == Score(0, 0, 0, {})
    assert score(truths, [raised(60, kind, "node")], LATER) == Score(0, 0, 0, {})


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
    assert found == Score(7, 5, 0, {"burst": Delay(1860, 1860), "jam": Delay(150, 600)})
    assert list(found.delay_s) == ["burst", "jam"]


def test_a_report_has_one_truth_a_line(tmp_path: Path) -> None:
    """As JSON, which anything can read."""
    truths = [truth(), truth("burst", "water-0001 water-0002", 60, 120)]
    write(tmp_path / "truth.jsonl", truths)
    assert [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()] == [
        {"kind": "jam", "site": "a", "nodes": ["traffic-0001"], "begin": 0, "end": HOUR, "size": 9.0},
        {"kind": "burst", "site": "a", "nodes": ["water-0001", "water-0002"], "begin": 60, "end": 120, "size": 9.0},
    ]
