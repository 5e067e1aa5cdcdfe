"""The journal: nothing twice, nothing lost, everything counted, all of it bounded."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import ConfigError, JournalFull
from gateway.journal import batches, cases, letters, migration, registry, schema, spool
from gateway.journal.store import DATABASE, DETECT, Journal
from gateway.records import Acknowledged, Incident, Ledger, Pack, Reading, Status
from tests.gateway.conftest import NOW, make_letter, make_pack

Opener = Callable[..., Journal]


def incident(name: str, closed: int | None = None) -> Incident:
    return Incident(name, "burst", "riverside", "water-1", "", "critical", NOW, closed, "much water")


def test_new_packs_come_out_in_order_with_their_places(journal: Journal) -> None:
    """Both consumers read the same packs, each from its own place."""
    packs = [make_pack(seq) for seq in range(5)]
    assert journal.commit(packs, NOW).packs == packs
    assert journal.read(DATABASE, 3) == (3, packs[:3], True)
    journal.forwarded(DATABASE, 3, 3)
    assert journal.read(DATABASE, 10) == (5, packs[3:], True)
    assert journal.read(DETECT, 10) == (5, packs, True)
    journal.forwarded(DATABASE, 5, 2)
    assert journal.read(DATABASE, 10) == (5, [], False)


def test_reading_is_the_same_from_memory_and_from_the_disk(open_journal: Opener) -> None:
    """After a restart the packs come from SQLite, bit for bit."""
    journal = open_journal()
    journal.commit([make_pack(seq, value=0.1 * seq) for seq in range(50)], NOW)
    from_memory = journal.read(DETECT, 50)
    assert open_journal().read(DETECT, 50) == from_memory


def test_a_consumer_behind_the_memory_misses_nothing(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tail is bounded; what fell out of it is read from the disk, then the tail goes on."""
    monkeypatch.setattr(spool, "TAIL_PACKS", 4)
    for seq in range(0, 12, 3):
        journal.commit([make_pack(seq + n) for n in range(3)], NOW)
    seen = []
    while (span := journal.read(DATABASE, 5)).more:
        seen += [pack.seq for pack in span.packs]
        journal.forwarded(DATABASE, span.last, len(span.packs))
    assert seen == list(range(12))


def test_duplicates_are_known_within_a_batch_and_over_restarts(open_journal: Opener) -> None:
    """Site, node, boot and seq decide; another boot is another pack."""
    journal = open_journal()
    assert journal.commit([make_pack(0), make_pack(0), make_pack(1)], NOW).duplicates == 1
    journal = open_journal()
    again = journal.commit([make_pack(1), make_pack(0), make_pack(0, boot=2), make_pack(0, node="air-0008")], NOW)
    assert (again.duplicates, len(again.packs)) == (2, 2)
    assert journal.ledger() == Ledger(received=7, written=0, waiting=4, dead_letters=0, duplicates=3, gaps=0)


def test_a_node_that_lost_its_count_of_boots_is_heard(journal: Journal) -> None:
    """A newer pack under an old number is a new life, not a duplicate; an old one that comes again still is."""
    journal.commit([make_pack(seq) for seq in range(10)], NOW)
    later = NOW + 86_400
    assert journal.commit([make_pack(0, time=later), make_pack(1, time=later + 60)], NOW).duplicates == 0
    assert journal.commit([make_pack(0, time=later), make_pack(1)], NOW).duplicates == 2
    assert journal.nodes()[0].seq == 1


def test_what_a_birth_says_of_clock_and_safe_mode(open_journal: Opener) -> None:
    """Is kept over a restart and a will. A pack of the same boot proves that the node has learnt the time."""
    journal = open_journal()
    birth = Status(True, "air", boot=2, clock=False, safe="3 crashes, the last while: send")
    journal.commit([make_pack(0)], NOW, [("riverside", "air-0007", birth)])
    journal.commit([], NOW, [("riverside", "air-0007", Status(False))])
    journal = open_journal()
    assert (journal.nodes()[0].clock, journal.nodes()[0].safe) == (False, birth.safe)
    assert (journal.figures().nodes_safe, journal.figures().nodes_without_time) == (1, 0)
    journal.commit([], NOW, [("riverside", "air-0007", birth)])
    assert journal.figures().nodes_without_time == 1
    journal.commit([make_pack(0, boot=2)], NOW)
    assert journal.nodes()[0].clock is True
    journal.commit([], NOW, [("riverside", "air-0007", Status(True, "air", boot=3))])
    assert (journal.nodes()[0].clock, journal.nodes()[0].safe) == (None, "")


def test_whose_clock_the_gateway_keeps_is_remembered(open_journal: Opener) -> None:
    """Over a restart, and over births; also of a node that has said nothing else yet."""
    journal = open_journal()
    journal.guide([("riverside", "air-0007", True), ("riverside", "air-0008", True)])
    journal.commit([], NOW, [("riverside", "air-0007", Status(True, "air", clock=True))])
    journal = open_journal()
    assert [view.guided for view in journal.nodes()] == [True, True]
    journal.guide([("riverside", "air-0007", False)])
    assert [view.guided for view in open_journal().nodes()] == [False, True]


def test_how_far_off_a_clock_was_is_known_from_its_health(open_journal: Opener) -> None:
    """The newest that was told, also after a restart; other packs and late ones say nothing."""
    journal = open_journal()

    def health(seq: int, time: int, error: float) -> Pack:
        reading = Reading(time, "", "clock_error", error)
        return Pack.of("riverside", "air-0007", "health", "health", 1, seq, time, [reading])

    journal.commit([make_pack(0, time=NOW)], NOW)
    assert journal.nodes()[0].clock_error is None
    journal.commit([health(2, NOW + 120, -3.5), health(1, NOW + 60, 9.0), make_pack(3, time=NOW + 180)], NOW)
    assert journal.nodes()[0].clock_error == open_journal(read_only=True).nodes()[0].clock_error == -3.5


def test_gaps_are_counted_per_node_and_closed_by_late_packs(journal: Journal) -> None:
    """Numbers start at 0 in each boot."""
    journal.commit([make_pack(2), make_pack(5), make_pack(1, node="air-0008")], NOW)
    assert [(view.node, view.gaps) for view in journal.nodes()] == [("air-0007", 4), ("air-0008", 1)]
    journal.commit([make_pack(3), make_pack(0, boot=2)], NOW)
    assert [view.gaps for view in journal.nodes()] == [3, 1]
    assert journal.ledger().gaps == 4


def test_boots_kept_for_a_node_are_bounded(journal: Journal) -> None:
    """Beyond the bound the oldest is forgotten; its packs are taken, and make no gaps."""
    for boot in range(registry.MAX_BOOTS + 1):
        journal.commit([make_pack(0, boot=boot)], NOW)
    assert journal.commit([make_pack(7, boot=0)], NOW).duplicates == 0
    assert journal.commit([make_pack(0, boot=registry.MAX_BOOTS)], NOW).duplicates == 1
    assert journal.ledger().gaps == 0


def test_the_registry_knows_births_wills_and_packs(open_journal: Opener) -> None:
    """A will takes nothing but the presence; the node's kind comes from its birth or from what it measures."""
    journal = open_journal()
    birth = Status(True, "water", 3, "0.1.0", "esp32", "power")
    journal.commit([make_pack(4)], NOW, [("riverside", "water-1", birth)])
    journal.commit([], NOW + 9, [("riverside", "water-1", Status(False))])
    air, water = open_journal().nodes()
    assert (air.kind, air.online, air.boot, air.seq, air.packs, air.time) == ("air", None, 1, 4, 1, NOW + 240)
    assert (water.kind, water.online, water.firmware, water.board) == ("water", False, "0.1.0", "esp32")
    assert (water.received, water.packs, water.boot) == (NOW + 9, 0, -1)


def test_a_batch_goes_when_all_have_passed_it(journal: Journal) -> None:
    """Bytes are freed with the slowest, down to nothing."""
    journal.commit([make_pack(seq) for seq in range(4)], NOW)
    held = journal.figures().bytes
    journal.forwarded(DATABASE, 4, 4)
    assert journal.figures().bytes == held
    journal.detected(2, b"state")
    assert journal.figures().bytes == held
    journal.detected(4, b"state")
    assert journal.figures().bytes == held, "the registry's memory is not saved yet"
    journal.checkpoint()
    assert journal.figures().bytes == 0
    assert journal.read(DATABASE, 1) == journal.read(DETECT, 1) == (4, [], False)


def test_places_are_never_used_twice(open_journal: Opener) -> None:
    """Also when the journal was empty at the restart: a consumer would skip the new packs."""
    journal = open_journal()
    journal.commit([make_pack(0)], NOW)
    journal.forwarded(DATABASE, 1, 1)
    journal.detected(1, b"")
    journal = open_journal()
    journal.commit([make_pack(1)], NOW)
    assert journal.read(DATABASE, 9) == (2, [make_pack(1)], True)


def test_a_full_journal_changes_nothing_and_takes_again_after_space(open_journal: Opener) -> None:
    """What was refused is not counted and is new when it comes again."""
    journal = open_journal(max_bytes=1)
    journal.commit([make_pack(0)], NOW)
    before = journal.ledger(), journal.nodes()
    with pytest.raises(JournalFull, match="max_bytes"):
        journal.commit([make_pack(1), make_letter()], NOW)
    assert (journal.ledger(), journal.nodes()) == before
    journal.forwarded(DATABASE, 1, 1)
    journal.detected(1, b"")
    assert journal.commit([make_pack(1)], NOW).packs == [make_pack(1)]


def test_a_full_disk_is_a_full_journal(journal: Journal) -> None:
    """SQLite's own 'full' takes back the batch, in memory too."""
    journal.commit([make_pack(0)], NOW)
    before = journal.ledger(), journal.nodes()
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(JournalFull, match="disk"):
        journal.commit([make_pack(seq) for seq in range(1, 5000)], NOW)
    assert (journal.ledger(), journal.nodes()) == before
    journal._db.execute("PRAGMA max_page_count = 100000")
    assert len(journal.commit([make_pack(seq) for seq in range(5000)], NOW).packs) == 4999


def test_dead_letters_are_kept_whole_and_counted(journal: Journal) -> None:
    """Those refused on arrival and those refused by the database are in one list and one count."""
    journal.commit([make_pack(0), make_letter(b"\x00\xff"), make_pack(1)], NOW)
    journal.forwarded(DATABASE, 2, 1, [make_letter(b"line", "influx")])
    assert journal.dead_letters(9) == [(2, make_letter(b"line", "influx")), (1, make_letter(b"\x00\xff"))]
    assert journal.ledger() == Ledger(received=3, written=1, waiting=0, dead_letters=2, duplicates=0, gaps=0)
    assert journal.dead_letters(1)[0][0] == 2


@pytest.mark.parametrize(("rows", "size"), [(3, 2**20), (100, 12)])
def test_dead_letters_are_bounded_and_stay_counted(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, rows: int, size: int
) -> None:
    """By number or by bytes: the oldest go, the ledger forgets none."""
    monkeypatch.setattr(letters, "MOST", rows)
    monkeypatch.setattr(letters, "MOST_BYTES", size)
    for _ in range(5):
        journal.commit([make_letter(b"1234"), make_letter(b"5678")], NOW)
    assert [number for number, _ in journal.dead_letters(99)] == [10, 9, 8]
    assert journal.ledger().dead_letters == 10
    assert journal.ledger().balanced


def test_the_forwarder_cannot_make_the_ledger_lie(journal: Journal) -> None:
    """Places passed and packs answered for must agree."""
    journal.commit([make_pack(0), make_pack(1)], NOW)
    before = journal.ledger()
    for place, written in ((2, 1), (3, 3)):
        with pytest.raises(ValueError, match="passed"):
            journal.forwarded(DATABASE, place, written)
    assert journal.forwarded(DATABASE, 1, 2) is False
    assert journal.ledger() == before
    with pytest.raises(ValueError, match="between"):
        journal.detected(3, b"")


def test_detector_state_and_place_are_one(open_journal: Opener) -> None:
    """What a restart finds is the state after exactly the packs that were passed."""
    journal = open_journal()
    assert journal.detector_state() == (None, 0, 0)
    journal.commit([make_pack(0), make_pack(1)], NOW)
    journal.detected(1, b"after one")
    journal.found(2, [incident("a")])
    journal = open_journal()
    assert journal.detector_state() == (b"after one", 1, 2)
    assert journal.read(DETECT, 9) == (2, [make_pack(1)], True)
    assert journal.read(DETECT, 9, after=2) == (2, [], False)
    assert journal.incidents(open_only=True) == [incident("a")]


def test_each_outlet_hears_of_every_change_in_its_newest_form(journal: Journal) -> None:
    """An incident that changed twice before an outlet looked is delivered once, as it is now."""
    journal.found(0, [incident("a"), incident("b")])
    assert journal.incidents_for("mqtt", 9) == [(1, incident("a")), (2, incident("b"))]
    journal.incidents_delivered("mqtt", 2)
    journal.found(0, [incident("a", closed=NOW + 60)])
    assert journal.incidents_for("mqtt", 9) == [(3, incident("a", closed=NOW + 60))]
    assert journal.incidents_for("influx", 9) == [(2, incident("b")), (3, incident("a", closed=NOW + 60))]
    assert journal.incidents(open_only=True) == [incident("b")]
    assert journal.figures().incidents_open == {"burst": 1}


def test_closed_incidents_are_bounded_but_none_undelivered_goes(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open ones and those an outlet has yet to hear of stay."""
    monkeypatch.setattr(cases, "MOST_CLOSED", 2)
    journal.found(0, [incident("open"), *(incident(f"closed-{n}", closed=NOW) for n in range(5))])
    assert len(journal.incidents()) == 6
    journal.incidents_delivered("mqtt", 6)
    journal.incidents_delivered("influx", 4)
    journal.found(0, [incident("another")])
    assert [each.id for each in journal.incidents()] == ["open", "closed-3", "closed-4", "another"]


def test_a_mirror_that_is_away_keeps_no_incidents(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be away for ever."""
    monkeypatch.setattr(cases, "MOST_CLOSED", 2)
    journal.mirrors(["mirror.cloud"])
    for number in range(5):
        journal.report([incident(f"closed-{number}", closed=NOW)])
        journal.incidents_delivered("mqtt", number + 1)
        journal.incidents_delivered("influx", number + 1)
    assert [each.id for each in journal.incidents()] == ["closed-3", "closed-4"]
    assert [place for place, _ in journal.incidents_for("mirror.cloud", 9)] == [4, 5]


def test_a_second_gateway_is_refused(journal: Journal, tmp_path: Path) -> None:
    """Two writers would each believe in their own memory."""
    with pytest.raises(ConfigError, match="in use by another gateway"):
        Journal.open(tmp_path / "journal", 1)


def test_looking_works_beside_the_gateway_and_after_it(open_journal: Opener) -> None:
    """Read-only sees the last commit, whether somebody writes or nobody does."""
    with pytest.raises(ConfigError, match="no journal"):
        open_journal(read_only=True)
    journal = open_journal()
    journal.commit([make_pack(0), make_letter()], NOW)
    beside = open_journal(read_only=True)
    assert beside.ledger() == journal.ledger()
    assert beside.nodes() == journal.nodes()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        beside.commit([make_pack(1)], NOW)
    beside.close()
    journal.close()
    assert open_journal(read_only=True).dead_letters(1) == [(1, make_letter())]


def test_a_journal_of_a_newer_version_is_refused(journal: Journal, tmp_path: Path) -> None:
    """Neither written nor misread."""
    journal._db.execute(f"PRAGMA user_version = {len(migration.STEPS) + 1}")
    journal.close()
    for read_only in (False, True):
        with pytest.raises(ConfigError, match="version"):
            Journal.open(tmp_path / "journal", 1, read_only=read_only)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    """With the folder named."""
    (tmp_path / schema.FILE_NAME).write_bytes(b"something else" * 100)
    with pytest.raises(ConfigError, match="cannot be opened"):
        Journal.open(tmp_path, 1)


WRITER = """
import random, sys
from pathlib import Path
from gateway.journal.store import DATABASE, Journal
from tests.gateway.conftest import NOW, make_letter, make_pack
journal = Journal.open(Path(sys.argv[1]), 2**30)
seq = max((view.seq for view in journal.nodes()), default=-1) + 1
while True:
    journal.commit([make_pack(max(0, seq + n - 3)) for n in range(20)] + [make_letter()], NOW)
    seq += 17
    span = journal.read(DATABASE, 7)
    journal.forwarded(DATABASE, span.last, len(span.packs) - 1, [make_letter()])
    journal.detected(span.last, b"state")
    sys.stdout.write(".")
    sys.stdout.flush()
"""


def test_the_ledger_balances_after_kill_9(tmp_path: Path) -> None:
    """Killed again and again between and within transactions: every figure still describes the rows."""
    dice = random.Random(1)
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.curdir},
        )
        assert writer.stdout is not None
        assert len(writer.stdout.read(dice.randrange(1, 30))) > 0
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        journal = Journal.open(tmp_path, 2**30)
        ledger = journal.ledger()
        assert ledger.balanced
        assert ledger.gaps == 0
        size, newest, oldest = journal._db.execute(
            "SELECT total(length(body) + ?), max(last), min(first) FROM batches", (batches.ROW_BYTES,)
        ).fetchone()
        assert size == journal.figures().bytes
        assert newest - oldest + 1 >= ledger.waiting, "what waits is on the disk"
        assert len(journal.dead_letters(10**6)) == ledger.dead_letters
        assert journal.nodes()[0].packs == ledger.waiting + ledger.written + (
            ledger.dead_letters - ledger.received // 21
        )
        journal.close()


def test_who_acknowledged_an_incident_stays(open_journal: Opener) -> None:
    """Those who find it do not know of it: what they say of it later does not take it back."""
    journal = open_journal()
    journal.found(0, [incident("a")])
    who = Acknowledged("Ada", NOW, "on my way")
    acknowledged = journal.acknowledge("a", who)
    assert acknowledged is not None
    assert acknowledged.acknowledged == who
    assert journal.acknowledge("b", who) is None
    assert journal.incidents_for("mqtt", 9) == [(2, acknowledged)]
    journal.found(0, [incident("a", closed=NOW + 60)])
    assert open_journal().incidents()[0].acknowledged == who
