"""What waits for whom, by a clock that is handed in: nothing lost over a kill, nothing told twice, all bounded."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from gateway.detect.plan import Plan
from gateway.errors import ConfigError
from gateway.notify import outbox as module
from gateway.notify.outbox import Outbox
from gateway.notify.rules import Rules
from gateway.notify.settings import Ntfy
from gateway.notify.state import FILE_NAME, Standing, standing
from gateway.notify.told import Told
from gateway.records import Acknowledged, Incident

NOW = 1_795_521_600
"""A Tuesday, noon in UTC."""
MINUTE, HOUR = 60, 3600
MIDNIGHT = NOW + 12 * HOUR
Opener = Callable[..., Outbox]


def rules(name: str = "duty", **keys: object) -> Rules:
    return Rules.of(Ntfy(name=name, topic="t", **keys), Plan(), "UTC")  # type: ignore[arg-type]


def incident(name: str = "leak.1", opened: int = NOW, **changes: object) -> Incident:
    return structs.replace(Incident(name, "leak", "a", "b", "", "warning", opened, None, "s" * 50), **changes)


@pytest.fixture
def opener(tmp_path: Path) -> Iterator[Opener]:
    """Opens the test's outbox for some rules; one that is open is left as a kill would leave it."""
    with contextlib.ExitStack() as stack:

        def open_it(*of: Rules, **keys: bool) -> Outbox:
            outbox = Outbox.open(tmp_path, of, ["ntfy"] * len(of), console="http://c", **keys)  # type: ignore[arg-type]
            stack.callback(outbox.close)
            return outbox

        yield open_it


def drain(outbox: Outbox, now: float, target: str = "duty") -> list[Told]:
    """All that a target that takes everything is told now."""
    messages = []
    while (waiting := outbox.next(target, now)[0]) is not None:
        outbox.sent(waiting, now)
        messages.append(waiting.told)
    return messages


def brief(messages: list[Told]) -> list[tuple[str, list[str]]]:
    return [(told.event, [each.id for each in told.incidents]) for told in messages]


def test_a_story_is_told_in_order_and_once(opener: Opener) -> None:
    outbox = opener(rules())
    story = incident(), incident(updated=NOW + 5), incident(kind="burst", severity="critical"), incident(closed=NOW + 9)
    for change in story:
        outbox.take([change], NOW)
        outbox.take([change], NOW)  # as when the gateway was killed before the journal knew
    opened, turned, closed = drain(outbox, NOW)
    assert [each.event for each in (opened, turned, closed)] == ["opened", "turned", "closed"]
    assert opened.thread == ""
    assert turned.thread == closed.thread == opened.key
    assert len({opened.key, turned.key, closed.key}) == 3
    assert (opened.link, opened.time, opened.exercise) == ("http://c/incidents/leak.1", NOW, False)
    assert outbox.standing() == [Standing("duty", "ntfy", sent=3, success=NOW)]


def test_what_was_not_sent_is_there_after_a_kill_the_same(opener: Opener, tmp_path: Path) -> None:
    outbox = opener(rules(), rules("other", quiet="22:00-06:00"))
    outbox.take([incident(opened=MIDNIGHT)], MIDNIGHT)
    waiting, _ = outbox.next("duty", MIDNIGHT)
    again = opener(rules(), rules("other", quiet="22:00-06:00"))
    assert again.next("duty", MIDNIGHT + 5) == (waiting, None)
    assert again.next("other", MIDNIGHT) == (None, MIDNIGHT + 6 * HOUR)
    assert [(each.name, each.waiting, each.later) for each in standing(tmp_path)] == [("duty", 1, 0), ("other", 0, 1)]


def test_the_night_becomes_one_message(opener: Opener) -> None:
    outbox = opener(rules(quiet="22:00-06:00"))
    outbox.take([incident("a", MIDNIGHT), incident("b", MIDNIGHT), incident("c", MIDNIGHT)], MIDNIGHT)
    outbox.take(
        [incident("d", MIDNIGHT, severity="critical"), incident("b", MIDNIGHT, closed=MIDNIGHT + 9)], MIDNIGHT + 9
    )
    assert brief(drain(outbox, MIDNIGHT + HOUR)) == [("opened", ["d"])]
    # One that becomes critical meanwhile does not wait, and is not told again in the morning.
    outbox.take([incident("c", MIDNIGHT, severity="critical")], MIDNIGHT + HOUR)
    assert brief(drain(outbox, MIDNIGHT + HOUR)) == [("opened", ["c"])]
    assert drain(outbox, MIDNIGHT + 6 * HOUR - 1) == []
    (morning,) = drain(outbox, MIDNIGHT + 6 * HOUR)
    assert brief([morning]) == [("digest", ["a", "b"])]
    assert morning.incidents[1].closed == MIDNIGHT + 9
    assert (morning.thread, morning.link) == ("", "http://c/incidents")
    outbox.take([incident("a", MIDNIGHT, closed=MIDNIGHT + 7 * HOUR)], MIDNIGHT + 7 * HOUR)
    (closed,) = drain(outbox, MIDNIGHT + 7 * HOUR)
    assert closed.event == "closed"
    assert drain(outbox, MIDNIGHT + 24 * HOUR) == []


def test_a_gateway_that_was_away_in_the_morning_waits_for_the_next(opener: Opener) -> None:
    """It comes back in the night after: what waited for the end of the one before wakes nobody either."""
    outbox = opener(rules(quiet="22:00-06:00"))
    outbox.take([incident("a", MIDNIGHT), incident("b", MIDNIGHT)], MIDNIGHT)
    outbox.take([incident("b", MIDNIGHT, severity="warning", updated=MIDNIGHT + 1)], MIDNIGHT + 1)
    assert outbox.next("duty", MIDNIGHT + 24 * HOUR) == (None, MIDNIGHT + 30 * HOUR)
    assert brief(drain(outbox, MIDNIGHT + 30 * HOUR)) == [("digest", ["a", "b"])]


def test_a_message_of_the_morning_is_the_same_over_a_kill(opener: Opener) -> None:
    outbox = opener(rules(digest="15m"))
    outbox.take([incident("a"), incident("b", severity="critical")], NOW)
    first, _ = outbox.next("duty", NOW + 900)
    again, _ = opener(rules(digest="15m")).next("duty", NOW + 1000)
    assert first == again
    assert first is not None
    assert brief([first.told]) == [("digest", ["b", "a"])]  # the worst first


def test_the_next_one_hears_only_of_what_nobody_has_taken(opener: Opener) -> None:
    outbox = opener(rules(), rules("second", after="15m"), rules("third", after="30m"))
    outbox.take([incident("a"), incident("b"), incident("c")], NOW)
    assert len(drain(outbox, NOW)) == 3
    noted = incident("a", acknowledged=Acknowledged("Ada", NOW + MINUTE))
    outbox.take([noted, incident("b", closed=NOW + MINUTE), incident("c", updated=NOW + MINUTE)], NOW + MINUTE)
    assert outbox.next("second", NOW + 15 * MINUTE - 1) == (None, NOW + 15 * MINUTE)  # the update does not put it off
    assert brief(drain(outbox, NOW + 15 * MINUTE, "second")) == [("opened", ["c"])]
    outbox.take([incident("c", acknowledged=Acknowledged("Bob", NOW + 20 * MINUTE))], NOW + 20 * MINUTE)
    assert drain(outbox, NOW + HOUR, "third") == []
    outbox.take([incident("c", closed=NOW + HOUR)], NOW + HOUR)
    assert brief(drain(outbox, NOW + HOUR, "second")) == [("closed", ["c"])]
    assert drain(outbox, NOW + HOUR, "third") == []
    assert {each.later for each in outbox.standing()} == {0}


def test_what_is_open_when_the_hours_begin_is_told_then(opener: Opener) -> None:
    outbox = opener(rules(hours="06:00-18:00"))
    outbox.take([incident("a", MIDNIGHT), incident("b", MIDNIGHT)], MIDNIGHT)
    outbox.take([incident("b", MIDNIGHT, closed=MIDNIGHT + 5)], MIDNIGHT + 5)
    assert brief(drain(outbox, MIDNIGHT + 6 * HOUR)) == [("opened", ["a"])]


def test_a_replay_wakes_nobody(opener: Opener) -> None:
    """What it leaves open is told a while after, in one message."""
    outbox = opener(rules())
    days = [incident(f"day-{n}", NOW - n * 86_400, severity="critical") for n in range(1, 30)]
    outbox.take(days, NOW)
    outbox.take([structs.replace(each, closed=each.opened + 60) for each in days[2:]], NOW + 5)
    assert drain(outbox, NOW + 14 * MINUTE) == []
    (one,) = drain(outbox, NOW + 15 * MINUTE)
    assert sorted(each.id for each in one.incidents) == ["day-1", "day-2"]


def test_what_still_goes_on_is_told_when_its_packs_have_come_to_the_present(opener: Opener) -> None:
    outbox = opener(rules())
    outbox.take([incident("a", NOW - 86_400)], NOW)
    outbox.take([incident("a", NOW - 86_400, updated=NOW - MINUTE)], NOW + MINUTE)
    assert brief(drain(outbox, NOW + MINUTE)) == [("opened", ["a"])]
    assert outbox.next("duty", NOW + HOUR) == (None, None)


def test_held_ones_are_told_to_nobody_until_they_are_let_go(opener: Opener) -> None:
    outbox = opener(rules(), rules("digest", digest="15m"))
    outbox.take([incident(held=True)], NOW)
    assert (outbox.next("duty", NOW), outbox.next("digest", NOW)) == ((None, None), (None, None))
    outbox.take([incident(severity="critical")], NOW + 5)
    assert brief(drain(outbox, NOW + 5)) == [("opened", ["leak.1"])]


def test_drills_and_exercises_are_marked(opener: Opener) -> None:
    outbox = opener(rules(), rules("digest", digest="15m"))
    outbox.take([incident("a", drill=True), incident("b")], NOW)
    assert [told.exercise for told in drain(outbox, NOW)] == [True, False]
    assert [told.exercise for told in drain(outbox, NOW + 900, "digest")] == [False]  # one of the two is real
    city = opener(rules(), rules("digest", digest="15m"), exercise=True)
    city.take([incident("c")], NOW)
    assert [told.exercise for told in drain(city, NOW)] == [True]
    assert [told.exercise for told in drain(city, NOW + 900, "digest")] == [True]


def test_too_much_drops_the_oldest_of_the_least_severe_and_counts_it(
    opener: Opener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 4)
    outbox = opener(rules(), rules("digest", digest="1d"), rules("other", kinds=("burst",)))
    severe = ["critical", "warning", "info", "warning", "info", "critical", "warning"]
    outbox.take([incident(f"{n}-{each}", severity=each) for n, each in enumerate(severe)], NOW)
    waiting, _ = outbox.next("duty", NOW)
    assert waiting is not None
    assert waiting.told.incidents[0].id == "0-critical"
    assert brief(drain(outbox, NOW)) == [("opened", [f"{n}-{severe[n]}"]) for n in (0, 3, 5, 6)]
    (digest,) = drain(outbox, NOW + 86_400, "digest")
    assert [each.id for each in digest.incidents] == ["0-critical", "5-critical", "3-warning", "6-warning"]
    assert [(each.name, each.dropped) for each in outbox.standing()] == [("digest", 3), ("duty", 3), ("other", 0)]
    assert "too much waits for duty" in caplog.text


def test_a_change_of_what_waits_already_drops_nothing(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    outbox = opener(rules(digest="15m"))
    outbox.take([incident("a"), incident("b"), incident("a", updated=NOW + 1), incident("b", updated=NOW + 2)], NOW)
    assert outbox.standing()[0].dropped == 0


def test_poison_is_set_aside_and_the_next_one_sent(
    opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ASIDE", 2)
    outbox = opener(rules())
    outbox.take([incident(f"{n}") for n in range(4)], NOW)
    for _ in range(3):
        waiting, _ = outbox.next("duty", NOW)
        assert waiting is not None
        outbox.set_aside(waiting, "422 no", NOW)
    assert brief(drain(outbox, NOW + 1)) == [("opened", ["3"])]
    (stand,) = standing(tmp_path)
    assert (stand.refused, stand.sent, stand.trouble, stand.failure, stand.failing) == (3, 1, "422 no", NOW, False)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        assert db.execute("SELECT count(*) FROM aside").fetchone() == (2,)


def test_what_is_known_of_the_past_is_bounded(opener: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KNOWN", 3)
    outbox = opener(rules())
    for number in range(10):
        outbox.take([incident(f"{number}"), incident(f"{number}", closed=NOW + 1)], NOW)
    outbox.take([incident("open")], NOW)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        assert [row[0] for row in db.execute("SELECT id FROM known ORDER BY rowid")] == ["7", "8", "9", "open"]


def test_a_target_that_is_gone_takes_with_it_what_waits(opener: Opener, caplog: pytest.LogCaptureFixture) -> None:
    opener(rules(), rules("other")).take([incident()], NOW)
    outbox = opener(rules("other"))
    assert [each.name for each in outbox.standing()] == ["other"]
    assert "duty is no target any more: 1 messages that waited for it are gone" in caplog.text
    assert drain(opener(rules(), rules("other")), NOW) == []


def test_a_file_that_cannot_be_used_is_said_so(opener: Opener, tmp_path: Path) -> None:
    assert standing(tmp_path) == []
    opener(rules()).close()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="has version 99"):
        opener(rules())
    with pytest.raises(ConfigError, match="has version 99"):
        standing(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"no database, " * 100)
    with pytest.raises(ConfigError, match="cannot be read: file is not a database"):
        standing(tmp_path)
