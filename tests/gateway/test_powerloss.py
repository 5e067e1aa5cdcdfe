"""The journal after power was lost in the middle of what it does: nothing is missing that had been confirmed."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from gateway.errors import ConfigError
from tests.gateway.disk_log import Call
from tests.gateway.journal_work import REOPENED, Recording, Steps, Work
from tests.gateway.powerloss import check, images
from tests.micropython import ROOT

STEPS = 240
IMAGES = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("powerloss")


@pytest.fixture(scope="module")
def recording(folder: Path) -> Recording:
    """Of a process of its own: its SQLite is looked at from within."""
    command = [sys.executable, "-m", "tests.gateway.journal_work", folder / "journal", folder / "record", str(STEPS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return msgspec.msgpack.decode((folder / "record").read_bytes(), type=Recording)


@pytest.fixture(scope="module")
def plan(folder: Path, recording: Recording) -> Steps:
    """The steps that were taken, taken again."""
    plan, work = Steps(), Work(folder / "again")
    for step, state in enumerate(recording.states):
        work = plan.take(work, step) if step else work
        assert work.state() == state, step
    work.close()
    return plan


def test_the_recording_is_whole(recording: Recording, folder: Path) -> None:
    """Done over, it gives the very files that SQLite left; and all that can happen to a journal is in it."""
    (last,) = images(recording.calls, 0, 0, every=len(recording.calls))
    left = {name: (folder / "left" / name).read_bytes() for name in ("journal.sqlite3", "journal.sqlite3-wal")}
    assert last.files == left
    syncs = [call.file for call in recording.calls if call.what == "sync"]
    assert syncs.count("journal.sqlite3") > STEPS // REOPENED + 1, "the write-ahead log has not come full by itself"
    assert syncs.count("journal.sqlite3-wal") > STEPS / 2
    assert {"unlink", "create"} <= {call.what for call in recording.calls}


@pytest.mark.parametrize("seed", range(4))
def test_nothing_confirmed_is_lost(recording: Recording, plan: Steps, tmp_path: Path, seed: int) -> None:
    assert _all_well(recording.calls, recording, plan, tmp_path, IMAGES // 4, seed) == IMAGES // 4


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_nothing_confirmed_is_lost_at_length(recording: Recording, plan: Steps, tmp_path: Path) -> None:
    """And no whole prefix of what the disk was told is a journal that loses something."""
    assert _all_well(recording.calls, recording, plan, tmp_path, 5_000, 99, every=1) == 5_000 + len(recording.calls)


def test_a_journal_that_does_not_wait_for_the_disk_is_found_out(
    recording: Recording, plan: Steps, tmp_path: Path
) -> None:
    """The same calls as if nobody had waited for the write-ahead log: what is looked for here is there to be found."""
    loose = [call for call in recording.calls if (call.what, call.file) != ("sync", "journal.sqlite3-wal")]
    with pytest.raises(AssertionError, match="as it was after step"):
        _all_well(loose, recording, plan, tmp_path, IMAGES, 1)


def _all_well(
    calls: Sequence[Call], recording: Recording, plan: Steps, folder: Path, count: int, seed: int, every: int = 0
) -> int:
    """How many images were right. One that is not is left below the folder."""
    number = 0
    for number, image in enumerate(images(calls, count, seed, every), start=1):
        where = folder / str(number)
        try:
            check(image, where, recording.states, plan)
        except ConfigError as error:
            raise AssertionError(f"{image.name}: refused: {error}") from error
        shutil.rmtree(where)
    return number
