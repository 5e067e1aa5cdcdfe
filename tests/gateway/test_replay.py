"""Dead letters are taken in again: by the command, beside a gateway that runs and without one."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from gateway.control import replay as replay_module
from gateway.control.replay import Replay, replay
from gateway.forward.senml import encode_pack
from gateway.ingest.decode import decode_pack
from gateway.journal.store import DATABASE, Journal
from gateway.records import DeadLetter, Ledger, Pack
from tests.gateway.commandline import CommandLine, sentence
from tests.gateway.conftest import NOW, SENT, make_letter, merged, payload_of
from tests.gateway.test_import import Running, running

__all__ = ["running"]

TOPIC = "ganglion/v1/riverside/air-0007/telemetry"


def letter(payload: bytes, reason: str = "unit", topic: str = TOPIC) -> DeadLetter:
    return DeadLetter(topic, payload, reason, "because", float(NOW))


def pack_of(payload: bytes) -> Pack:
    return decode_pack("riverside", "air-0007", "telemetry", payload, now=SENT)


def fill(journal: Journal) -> None:
    """Letters 1 to 7: of two packs, of which one is still bad; plainly good now; bad as ever; a bare line of a file;
    one that came again by itself; then two that the database refused, one of which no node has numbered."""
    spoilt = payload_of(2).replace(b"12.5", b"-1")
    imported = Pack.of("riverside", "air-0007", "telemetry", "air", -1, -1, SENT, pack_of(payload_of(0)).readings)
    letters = [
        letter(merged(payload_of(1), spoilt)),
        letter(payload_of(3)),
        letter(b"{", "json"),
        letter(b"air,site=a co2=1", "line", "import/a.lp:7"),
        letter(payload_of(0)),
    ]
    journal.commit([pack_of(payload_of(0)), *letters, pack_of(payload_of(4))], float(NOW))
    journal.take([imported], [], float(NOW))
    refused = [letter(encode_pack(each), "influx") for each in (pack_of(payload_of(4)), imported)]
    journal.forwarded(DATABASE, 3, 1, refused)


def check(journal: Journal) -> None:
    """What is to come of them: 1, 2, 6 and 7 are packs, 5 is a duplicate, 3 and 4 stay, and 8 is the bad half of 1."""
    assert [(each.boot, each.seq) for each in journal.read(DATABASE, 99).packs] == [(1, 1), (1, 3), (1, 4), (-1, -1)]
    assert journal.ledger() == Ledger(received=9, written=1, waiting=4, dead_letters=3, duplicates=1, gaps=1)
    assert [number for number, _ in journal.dead_letters(99)] == [8, 4, 3]
    assert journal.dead_letters(1)[0][1].reason == "value"


@pytest.mark.parametrize("at_once", [1, 2, 500])
def test_each_letter_comes_to_what_it_is_now(journal: Journal, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """However many are taken at a time; and what is bad stays as it is, however often it is tried."""
    monkeypatch.setattr(replay_module, "AT_ONCE", at_once)
    fill(journal)
    for _ in range(2):
        which, refused = Replay(), []
        while True:
            done = replay(journal, which, SENT)
            refused += [(number, reason) for number, reason, _ in done.refused]
            if not done.more:
                break
            which = Replay(after=done.after, upto=done.upto)
        assert refused[:2] == [(3, "json"), (4, "topic")]
        check(journal)


def test_those_of_a_reason_or_by_number(journal: Journal) -> None:
    """The others are left alone."""
    fill(journal)
    assert replay(journal, Replay(reason="influx"), SENT).taken == 2
    assert [number for number, _ in journal.dead_letters(99)] == [5, 4, 3, 2, 1]
    assert replay(journal, Replay(numbers=(2, 99)), SENT).taken == 1
    assert [number for number, _ in journal.dead_letters(99)] == [5, 4, 3, 1]


def test_packs_of_the_database_are_no_news_after_a_crash(open_journal: type, tmp_path: Path) -> None:
    """They were heard when they came first: hearing them again at the start counts nothing."""
    journal = Journal.open(tmp_path / "own", 2**20)
    fill(journal)
    replay(journal, Replay(), SENT)
    before = journal.nodes()
    # As a crash leaves it: what is known of nodes was never saved.
    beside = Journal.open(tmp_path / "own", 2**20, read_only=True)
    assert beside.nodes() == before
    beside.close()
    journal.close()


def test_without_a_gateway(tmp_path: Path) -> None:
    """By the journal; what is left is told, and is the exit code."""
    line = CommandLine(tmp_path, 1)
    journal = Journal.open(tmp_path / "data", 2**20)
    fill(journal)
    journal.close()
    result = line.invoke("dead-letters", "replay")
    assert result.exit_code == 1, result.output
    assert result.stdout == "5 taken in, 2 still refused\n"
    assert "3 is still refused: json" in result.stderr
    result = line.invoke("dead-letters", "replay", "--json", "--reason", "json")
    assert json.loads(result.stdout) == {"taken": 0, "refused": 1, "reasons": {"json": 1}}
    assert line.invoke("dead-letters", "replay", "--reason", "influx").exit_code == 0
    unknown = line.invoke("dead-letters", "replay", "--reason", "imflux")
    assert (unknown.exit_code, "influx" in unknown.stderr) == (2, True)
    missing = line.invoke("dead-letters", "replay", "99")
    assert (missing.exit_code, "99 is not among them" in missing.stderr) == (1, True)
    journal = Journal.open(tmp_path / "data", 2**20, read_only=True)
    check(journal)
    journal.close()


def test_replay_makes_no_journal(tmp_path: Path) -> None:
    """Where there is none the configuration is most likely another one's."""
    line = CommandLine(tmp_path, 1)
    assert "there is no journal" in sentence(line.invoke("dead-letters", "replay"))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("option", [["--config", "other.toml"], ["--json"], ["--limit", "3"]])
def test_options_of_the_list_are_none_of_replay(tmp_path: Path, option: list[str]) -> None:
    """They would be passed over, and replay another journal than was meant."""
    result = CommandLine(tmp_path, 1).invoke("dead-letters", *option, "replay")
    assert (result.exit_code, "write it behind" in " ".join(result.stderr.split())) == (2, True), result.output


async def test_beside_a_gateway(running: Running) -> None:
    """By HTTP, and who forwards is told. While the journal is full the command waits."""
    await running.journal.call(fill)
    line = CommandLine(running.folder.parent, 1)
    line.file.write_text(line.file.read_text() + f'[http]\nlisten = "127.0.0.1:{running.port}"\n')
    await running.journal.call(Journal.bound, 0)
    news = running.journal.listen("packs")
    asked = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli.main", "dead-letters", "replay", "--config", str(line.file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    answer = await asyncio.to_thread(running.post, "dead-letters/replay", b"{}")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert asked.returncode is None
    await running.journal.call(Journal.bound, 2**20)
    output, errors = await asked.communicate()
    assert (asked.returncode, output) == (1, b"5 taken in, 2 still refused\n"), errors
    async with asyncio.timeout(10):
        await news.wait()
    await running.journal.call(check)
    answer = await asyncio.to_thread(running.post, "dead-letters/replay", b'{"x":1}')
    assert answer.status == 400


def test_a_letter_that_is_none_of_a_pack(journal: Journal) -> None:
    """A birth is not replayed, and what the disk has spoilt cannot be."""
    birth = letter(b'{"online":true}', "status", "ganglion/v1/riverside/air-0007/status")
    journal.commit([birth, letter(b"\x00", "damaged", ""), make_letter()], float(NOW))
    done = replay(journal, Replay(), SENT)
    assert [(number, reason) for number, reason, _ in done.refused] == [(1, "status"), (2, "topic"), (3, "json")]
