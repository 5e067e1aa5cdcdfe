"""What is too old goes, and all that is of one node: from the journal, the outbox and what detectors have learnt."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec import structs

from gateway.config import Config, Privacy
from gateway.detect.detectors import Detectors, Settings
from gateway.detect.plan import Plan, Zone
from gateway.detect.runner import Runner, alias
from gateway.journal.access import JournalAccess
from gateway.journal.forget import About
from gateway.journal.store import DATABASE, DETECT, MQTT, Journal
from gateway.notify.erase import about, erase, expire
from gateway.notify.outbox import Outbox
from gateway.notify.state import FILE_NAME
from gateway.privacy.keeping import DAY, Keeper
from gateway.records import DeadLetter, Earlier, Evidence, Incident, Pack, Reading, Status
from tests.gateway.conftest import NOW
from tests.gateway.test_notify_outbox import rules

HOME, OTHER = "water-0003", "water-0004"
SITE = "riverside"


def pack(node: str, seq: int, flow: float = 20.0, site: str = SITE) -> Pack:
    when = NOW + 60 * seq
    readings = (Reading(when, "", "volume", 100.0 + seq * flow / 60), Reading(when, "", "flow", flow))
    return Pack.of(site, node, "telemetry", "water", 1, seq, when, readings)


def incident(name: str, node: str, closed: int | None = None, site: str = SITE, **changes: object) -> Incident:
    found = Incident(name, "leak", site, node, "", "warning", NOW, closed, f"{node} leaks.")
    return structs.replace(found, **changes)


OWN = incident(f"leak.{SITE}.{HOME}.1", HOME, summary="It leaks there.")
NAMING = incident(
    f"balance.{SITE}.inlet.1",
    "inlet",
    summary=f"More runs in than out: {HOME}, {HOME}-b.",
    nodes=(HOME, OTHER),
    evidence=(Evidence("flow", 1.0, 2.0, "l/h", f"{HOME} saw 12 l/h"),),
    was=(Earlier("leak", NOW, f"near {HOME}"),),
)
ELSEWHERE = incident(f"leak.hill.{HOME}.1", HOME, site="hill")


def letter(topic: str, payload: bytes = b"{", received: float = NOW) -> DeadLetter:
    return DeadLetter(topic, payload, "json", "because", received)


def fill(journal: Journal) -> None:
    """Packs, dead letters and incidents of the home, of others, and of a node of its name elsewhere."""
    letters = [
        letter(f"ganglion/v1/{SITE}/{HOME}/telemetry"),
        letter(f"ganglion/v1/hill/{HOME}/telemetry"),
        letter("import/a.lp:7", f'[{{"bn":"{SITE}/{HOME}/"}}]'.encode()),
        letter("", msgspec.msgpack.encode([[SITE, HOME]])),
        letter(f"ganglion/v1/{SITE}/{HOME}-b/telemetry"),
    ]
    packs = [pack(HOME, 0), pack(OTHER, 0), pack(HOME, 2), pack(HOME, 0, site="hill")]
    journal.commit([*packs, *letters], float(NOW), [(SITE, HOME, Status(True, "water", 1))])
    journal.found(4, [OWN, NAMING, ELSEWHERE])


def deliver(journal: Journal) -> None:
    journal.forwarded(DATABASE, 4, 4)
    journal.detected(4, b"")
    for outlet in (DATABASE, MQTT):
        journal.incidents_delivered(outlet, journal.incidents_for(outlet, 99)[-1][0])


def test_all_of_a_node_goes_and_the_ledger_stays(open_journal: Callable[..., Journal], tmp_path: Path) -> None:
    journal = open_journal()
    fill(journal)
    assert journal.erase(SITE, HOME).waiting == 3  # two packs and a birth
    assert journal.about(SITE, HOME).known
    deliver(journal)
    before = journal.ledger()
    gone = journal.erase(SITE, HOME)
    assert gone == About(0, True, (1, 3, 4), (OWN.id,), (NAMING.id,))
    for again in (False, True):
        assert journal.about(SITE, HOME) == About(0, False)
        ledger = journal.ledger()
        assert ledger.balanced
        assert structs.replace(ledger, gaps=before.gaps) == before
        assert [(each.site, each.node) for each in journal.nodes()] == [("hill", HOME), (SITE, OTHER)]
        assert [each.topic for _, each in journal.dead_letters(9)] == [
            f"ganglion/v1/{SITE}/{HOME}-b/telemetry",
            f"ganglion/v1/hill/{HOME}/telemetry",
        ]
        assert journal.incident(OWN.id) is None
        assert journal.incident(ELSEWHERE.id) == ELSEWHERE
        assert journal.incidents_for(MQTT, 9)[-1][1] == journal.incident(NAMING.id)  # it is told anew
        left = journal.incident(NAMING.id)
        assert left is not None
        assert left.nodes == (OTHER,)
        assert left.summary == f"More runs in than out: (deleted), {HOME}-b."
        assert left.evidence[0].text == "(deleted) saw 12 l/h"
        assert left.was[0].summary == "near (deleted)"
        if not again:
            journal = open_journal()
    # Nothing of it is readable in the files either: what was deleted was overwritten.
    journal.close()
    data = b"".join(path.read_bytes() for path in (tmp_path / "journal").iterdir() if path.is_file())
    assert OWN.summary.encode() not in data
    assert f"{SITE}/{HOME}/".encode() not in data


def test_one_that_comes_again_is_new(journal: Journal) -> None:
    """No pack of it is a duplicate of one that nobody remembers."""
    fill(journal)
    deliver(journal)
    journal.erase(SITE, HOME)
    assert len(journal.commit([pack(HOME, 0)], float(NOW)).packs) == 1
    assert journal.about(SITE, HOME).waiting == 1


def test_detectors_forget_a_node_alone() -> None:
    """Neither its name nor what was learnt of it is in what they save; others are judged as if nothing had been."""
    plan = Plan(zone=(Zone("z", (HOME, OTHER), ("inlet",), full=True),))
    nodes = (HOME, OTHER, "inlet")
    dice = np.random.default_rng(3)
    packs = [pack(node, seq, float(dice.uniform(5, 50))) for seq in range(200) for node in nodes]
    kept, cut = Detectors(Settings(plan)), Detectors(Settings(plan))
    for each in (kept, cut):
        each.feed(packs)
    cut.forget(SITE, HOME, alias())
    cut.forget(SITE, "water-9999", alias())
    state = cut.save()
    assert HOME.encode() in kept.save()
    assert HOME.encode() not in state
    blank = Detectors(Settings(plan))
    blank.feed([pack(OTHER, 0), pack(HOME, 0), pack("inlet", 0)])
    for name, rule in cut._sites[SITE].groups["water"]._rules().items():
        fresh = blank._sites[SITE].groups["water"]._rules()[name]
        for key, memory in rule.memories().items():
            if memory.by == "series" and len(memory) == len(cut._sites[SITE].groups["water"]._last):
                learnt, unlearnt = memory.take(slice(0, 1)).save(), type(memory).blank(1).save()
                assert learnt == unlearnt, (name, key)
                assert key in fresh.memories()
    later = [pack(OTHER, seq, 4000.0) for seq in range(200, 300)]
    found = {each.id for each in kept.feed(later)}
    assert found == {each.id for each in cut.feed(later)}
    assert any("burst" in each for each in found)
    cut.feed([pack(HOME, 400)])
    assert HOME in Detectors.load(cut.save(), Settings(plan))._sites[SITE].nodes


def test_stories_of_a_node_are_told_no_more() -> None:
    """What is open of it ends without a word; it opens anew only for what is sent anew."""
    detectors = Detectors()
    tampered = Pack.of(SITE, HOME, "event", "water", 1, 0, NOW, (Reading(NOW, "", "tamper", 1.0),))
    (opened,) = detectors.feed([tampered])
    assert opened.node == HOME
    detectors.forget(SITE, HOME, alias())
    assert HOME.encode() not in detectors.save()
    others = [pack(OTHER, seq) for seq in range(60)]
    assert all(each.node != HOME and "gone-" not in each.id for each in detectors.feed(others))


async def test_the_running_detectors_forget_at_once(tmp_path: Path) -> None:
    """Also while no pack comes, and on disk when it returns."""
    journal = await JournalAccess.open(tmp_path, 2**20)
    runner = Runner(journal, Settings())
    running = asyncio.create_task(runner.run())
    try:
        await journal.call(Journal.commit, [pack(HOME, seq) for seq in range(9)], float(NOW))
        async with asyncio.timeout(10):
            await runner.forget([(SITE, HOME), (SITE, "water-9999")])
            while (await journal.call(Journal.read, DETECT, 1)).more:
                await runner.forget([(SITE, HOME)])
            await runner.forget([(SITE, HOME)])
        state, place, _ = await journal.call(Journal.detector_state)
        assert state is not None
        assert (place, HOME.encode() in state) == (9, False)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await journal.close()


def outbox_of(folder: Path) -> Outbox:
    return Outbox.open(folder, [rules(), rules("later", digest="07:30")], ["ntfy", "ntfy"])


def test_the_outbox_forgets_a_node(tmp_path: Path) -> None:
    """While the gateway has it open: messages of it, those that wait for quiet hours to end, and refused ones."""
    outbox = outbox_of(tmp_path)
    outbox.take([OWN, NAMING, ELSEWHERE], NOW)
    waiting, _ = outbox.next("duty", NOW)
    assert waiting is not None
    outbox.set_aside(waiting, "no", NOW)
    found = about(tmp_path, SITE, HOME)
    assert {table: len(rows) for table, rows in found.items()} == {"outgoing": 1, "later": 2, "known": 2, "aside": 1}
    assert erase(tmp_path, SITE, HOME) == 6
    assert about(tmp_path, SITE, HOME) == {}
    assert len(about(tmp_path, "hill", HOME)) == 3
    left = outbox.next("duty", NOW)[0]
    assert left is not None
    assert left.told.incidents[0].summary == f"More runs in than out: (deleted), {HOME}-b."
    outbox.close()
    assert erase(tmp_path / "none", SITE, HOME) == 0
    (tmp_path / "new").mkdir()
    sqlite3.connect(tmp_path / "new" / FILE_NAME).execute("PRAGMA journal_mode = WAL")
    assert erase(tmp_path / "new", SITE, HOME) == expire(tmp_path / "new", NOW, NOW, 9).total() == 0


def test_messages_do_not_wait_for_ever(tmp_path: Path) -> None:
    outbox = outbox_of(tmp_path)
    for day in (0, 1, 40):
        when = NOW + day * DAY
        for closed in (None, when + 60):
            outbox.take([incident(f"leak.{day}", HOME, closed, opened=when)], when)
    old = outbox.next("duty", NOW)[0]
    assert old is not None
    outbox.set_aside(old, "no", NOW)
    assert dict(expire(tmp_path, NOW + 30 * DAY, NOW + 20 * DAY, 1)) == {"outgoing": 1, "aside": 1, "known": 1}
    assert dict(expire(tmp_path, NOW + 30 * DAY, NOW + 20 * DAY, 9)) == {"outgoing": 2, "aside": 0, "known": 1}
    left = outbox.next("duty", NOW)[0]
    assert left is not None
    assert left.told.time == NOW + 40 * DAY
    assert outbox.standing()[0].dropped == 3  # they were never told: that is counted
    outbox.close()


async def test_what_is_too_old_goes_in_small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead letters sooner than the rest; what is open, or not delivered, stays. It is counted, over a restart."""
    monkeypatch.setattr("gateway.privacy.keeping.STEP", 3)
    monkeypatch.setattr("gateway.privacy.keeping.REST_SECONDS", 0)
    now = NOW + 500 * DAY
    journal = Journal.open(tmp_path, 2**20)
    old = [letter(f"ganglion/v1/{SITE}/{HOME}/telemetry", received=NOW + day * DAY) for day in (*range(10), 480, 499)]
    journal.commit([pack(HOME, 0), *old], float(NOW))
    journal.commit([pack(OTHER, 0)], now - 10.0)
    ended = [incident(f"leak.{number}", HOME, closed=NOW + 9) for number in range(7)]
    journal.found(0, [OWN, *ended, incident("leak.new", HOME, closed=now)])
    journal.forwarded(DATABASE, 2, 2)
    journal.detected(2, b"")
    before = journal.ledger()
    access = JournalAccess(journal, ThreadPoolExecutor(1))
    forgotten: list[tuple[str, str]] = []

    async def forget(nodes: object) -> None:
        forgotten.extend(nodes)  # type: ignore[call-overload]

    keeper = Keeper(access, Config(("riverside",), str(tmp_path), privacy=Privacy(400, 30)), forget)
    await keeper.round(now)
    assert len(await access.call(Journal.incidents)) == 9  # nobody was told of them yet
    for outlet in (DATABASE, MQTT):
        changes = await access.call(Journal.incidents_for, outlet, 99)
        await access.call(Journal.incidents_delivered, outlet, changes[-1][0])
    await keeper.round(now)
    assert {each.id for each in await access.call(Journal.incidents)} == {OWN.id, "leak.new"}
    assert [number for number, _ in await access.call(Journal.dead_letters, 99)] == [12, 11]
    assert [each.node for each in await access.call(Journal.nodes)] == [OTHER]
    assert forgotten == [(SITE, HOME)]
    await access.close()
    journal = Journal.open(tmp_path, 2**20)
    assert journal.figures().expired == {"letters": 10, "incidents": 7, "nodes": 1}
    assert journal.ledger() == before
    assert [each.node for each in journal.nodes()] == [OTHER]
    journal.close()
