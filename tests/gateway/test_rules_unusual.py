"""`unusual`: the generic core over the hours of live windows."""

import numpy as np

from gateway.detect.rule import Finding, Windows
from gateway.detect.unusual import Unusual
from tests.gateway.ruled import T0

STEP = 1200
DAYS = 60


def lived(nodes: int, jump: tuple[int, int, float], cut: int | None = None) -> list[Finding]:
    """Counts of 20 minutes for two months; `jump` is (node, step, factor) for a day. `cut`: nodes are fed apart."""
    dice = np.random.default_rng(5)
    rule = Unusual("traffic")
    rule.grow(nodes)
    found = []
    for step in range(1, DAYS * 86_400 // STEP):
        time = T0 + STEP * step
        level = 40 + 30 * np.sin(2 * np.pi * (time % 86_400) / 86_400)
        volume = dice.poisson(level, nodes).astype(float)
        if jump[1] <= step < jump[1] + 72:
            volume[jump[0]] *= jump[2]
        for part in np.split(np.arange(nodes), [] if cut is None else [cut]):
            gap = np.full(len(part), STEP if step > 1 else 0)
            found += rule.feed(Windows(part, part, np.full(len(part), time), gap, {"volume": volume[part]}))
    return found


def test_a_day_unlike_all_before_is_told_of_its_node_alone() -> None:
    """With what was seen and what was expected; it ends by the next day."""
    begin = 50 * 72
    found = lived(8, (3, begin, 4.0))
    opened = [each for each in found if each.state == "open" and each.time >= T0 + begin * STEP]
    assert {each.series for each in opened} == {3}
    assert 0 <= opened[0].time - (T0 + begin * STEP) <= 3 * 3600
    evidence = opened[0].evidence[0]
    assert evidence.seen > 2 * evidence.expected > 0
    closed = [each for each in found if each.state == "close" and each.series == 3]
    assert closed
    assert closed[0].time > opened[0].time


def test_ordinary_months_raise_next_to_nothing() -> None:
    """Eight counters for two months."""
    found = lived(8, (0, 10**9, 1.0))
    assert sum(each.state == "open" for each in found) <= 2


def test_what_is_fed_together_does_not_matter() -> None:
    """Each series by its own past."""
    whole, parts = (lived(5, (2, 50 * 72, 5.0), cut) for cut in (None, 2))
    assert sorted(map(repr, whole)) == sorted(map(repr, parts)) != []


def test_it_is_saved_whole() -> None:
    """Hours and core."""
    rule, again = Unusual("water"), Unusual("water")
    rule.grow(3)
    for step in range(1, 100):
        part = np.arange(3)
        rule.feed(Windows(part, part, np.full(3, T0 + 600 * step), np.full(3, 600), {"flow": np.full(3, step % 7.0)}))
    again.load(rule.save())
    assert again.save() == rule.save()
