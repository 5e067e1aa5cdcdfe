"""What detectors outlive: years between packs, nodes that never come back, other rules, other programs, a stop."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.detect import runner
from gateway.detect.detectors import Detectors, Settings
from gateway.detect.minutes import KNOWN, Clock
from gateway.detect.rule import Finding, NodeRule, Windows
from gateway.detect.runner import Runner
from gateway.detect.site import GONE, Rules
from gateway.errors import ConfigError
from gateway.journal.access import JournalAccess
from gateway.journal.store import DETECT, Journal
from gateway.records import Incident, Pack, Reading
from tests.gateway.ruled import RULES, High, Mean
from tests.gateway.streets import START, detect, pack

YEAR = 365 * 86_400


class Never(NodeRule):
    """A rule that a newer program has."""

    def feed(self, windows: Windows) -> Sequence[Finding]:
        return []


class Watched(Clock):
    """Counts the minutes that it was told were decided."""

    steps: int = 0

    def advance(self, pending: int | None) -> None:
        self.steps += 1
        super().advance(pending)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.integers(1, 3 * KNOWN), min_size=1, max_size=9), st.integers(-30, 30))
def test_a_clock_passes_over_minutes_without_readings_as_if_one_by_one(times: list[int], begin: int) -> None:
    """Whatever the nodes' times: it stops at the first minute that is not due."""
    clock = Clock(next=START + 60 * begin, newest=START + max(times), times=[START + each for each in times])
    clock._count()
    if not clock.due():
        return
    slow = structs.replace(clock)
    while slow.due():
        slow.next += 60
        slow._count()
    clock.advance(None)
    assert structs.asdict(clock) == structs.asdict(slow)


def test_years_between_two_packs_are_no_work() -> None:
    """An import of what was measured long ago, and then what is measured today."""
    detectors = Detectors(Settings(), RULES)
    detect([pack("water-0001", minute, {"flow": 10.0}) for minute in range(3)], detectors)
    group = detectors._site("riverside").group("water")
    clock = group.clock = Watched(**structs.asdict(group.clock))
    later = [structs.replace(each, time=each.time + 6 * YEAR) for each in high("water-0002", 30)]
    found = detect(later, detectors)
    assert ("mean", START + 6 * YEAR + 120) in {(each.kind, each.opened) for each in found.values()}
    assert clock.steps < 100


def high(node: str, minutes: int) -> list[Pack]:
    return [pack(node, minute, {"flow": 150.0}) for minute in range(1, minutes + 1)]


def test_what_is_open_of_a_node_that_never_comes_back_ends_after_a_month() -> None:
    """Also that it is silent."""
    detectors = Detectors(Settings(), RULES)
    both = [*high("water-0001", 30), *high("water-0002", 30)]
    found = detect(sorted(both, key=lambda each: each.time), detectors)
    last = START + 30 * 60
    later = [structs.replace(pack("water-0002", 31, {"flow": 10.0}), time=last + 60 * n) for n in range(20, 27)]
    found |= detect(later, detectors)
    assert {each.kind for each in found.values() if each.node == "water-0001" and not each.closed} == {"high", "silent"}
    just = [structs.replace(pack("water-0002", 31, {"flow": 10.0}), time=last + GONE + 60 * n) for n in range(-1, 6)]
    found |= detect(just, detectors)
    assert {each.closed for each in found.values() if each.node == "water-0001"} == {last + GONE}


def test_a_new_rule_leaves_the_others_what_they_have_learnt() -> None:
    """Wherever it stands in the table."""
    old = Detectors(Settings(), RULES)
    found = detect(high("water-0001", 10), old)
    more = {"water": Rules((Never, High), (Mean,))}
    end = [pack("water-0001", minute, {"flow": 10.0}) for minute in range(11, 20)]
    found |= detect(end, Detectors.load(old.save(), Settings(), more))
    assert {each.kind: bool(each.closed) for each in found.values()} == {"high": True, "mean": True}


def test_a_rule_that_is_gone_would_leave_what_it_had_open() -> None:
    old = Detectors(Settings(), RULES)
    old.feed(high("water-0001", 10))
    with pytest.raises(ConfigError, match="no rule High any more"):
        Detectors.load(old.save(), Settings(), {"water": Rules((), (Mean,))})


BURST = Incident("burst.a", "burst", "a", "water-1", "", "critical", START, None, "Seen: much.", updated=START + 60)
OWN = Incident("journal.a", "journal", "a", "", "", "critical", START, None, "Full.")


async def test_a_state_that_cannot_be_used_lets_the_detectors_begin_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The gateway runs, says so, ends what was open, and finds again what comes after the place of the state."""
    journal = await JournalAccess.open(tmp_path, 2**26)
    packs = [structs.replace(each, seq=n) for n, each in enumerate(tampered())]
    await journal.call(Journal.commit, packs[:1], float(START))
    await journal.call(Journal.detected, 1, msgspec.msgpack.encode({"version": 99}))
    await journal.call(Journal.commit, packs[1:], float(START))
    await journal.call(Journal.found, len(packs), [BURST])
    await journal.call(Journal.report, [OWN])
    task = asyncio.create_task(Runner(journal, Settings()).run())
    async with asyncio.timeout(10):
        while (await journal.call(Journal.read, DETECT, 1)).more:  # noqa: ASYNC110 another task
            await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait([task])
    found = {each.kind: each for each in await journal.call(Journal.incidents)}
    await journal.close()
    assert "begin anew" in caplog.text
    assert found.keys() == {"burst", "journal", "tamper"}
    assert (found["burst"].closed, found["journal"].closed) == (START + 60, None)
    assert "began anew" in found["burst"].summary


def tampered() -> list[Pack]:
    event = Pack.of("a", "water-1", "event", "water", 1, 1, START + 90, [Reading(START + 90, "", "tamper", 1.0)])
    return [pack("water-1", 1, {"flow": 10.0}), event, pack("water-1", 2, {"flow": 10.0})]


async def test_after_a_stop_at_most_half_a_minute_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long packs come without a rest; one a second here, by a clock of its own."""
    now = [time.monotonic()]
    monkeypatch.setattr(runner.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(runner, "PACE", 0.0)
    monkeypatch.setattr(runner, "GIVE_WAY", 0.0)
    monkeypatch.setattr(runner, "REST_BYTES", 1e-6)  # it never rests long enough
    taken = asyncio.Event()

    class Counting(Runner):
        async def _feed(self, detectors: Detectors, packs: list[Pack]) -> list[Incident]:
            changed = await super()._feed(detectors, packs)
            taken.set()
            return changed

    journal = await JournalAccess.open(tmp_path, 2**26)
    task = asyncio.create_task(Counting(journal, Settings()).run())
    behind = []
    for second in range(100):
        now[0] += 1.0
        taken.clear()
        await journal.call(Journal.commit, [pack("water-1", second, {"flow": 10.0})], float(START))
        async with asyncio.timeout(10):
            await taken.wait()
        _, place, _ = await journal.call(Journal.detector_state)
        behind.append(second + 1 - place)
    task.cancel()
    await asyncio.wait([task])
    await journal.close()
    assert 25 < max(behind) <= runner.SAVE_SECONDS + 2
