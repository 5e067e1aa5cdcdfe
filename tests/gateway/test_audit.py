"""The audit log: a chain that a stranger can check, that shows every change, and that outlives power cuts."""

import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit import log, record
from gateway.audit.asker import Asker, AuditError, at_shell
from gateway.audit.entry import KEPT_BACK, MOST_LINE, START, Entry, line, read
from gateway.audit.log import place, segments
from gateway.audit.reading import Follower, Head, last_of, verify
from tests.gateway.commandline import CommandLine, sentence


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """With seven entries."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(7):
        record(folder, "command", who="ada", of=f"riverside/air-000{number}", detail={"op": "reboot"})
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of a few entries."""
    monkeypatch.setattr(log, "SEGMENT_BYTES", MOST_LINE + 1000)
    monkeypatch.setattr(log, "MOST_SEGMENTS", 3)


def only(folder: Path) -> Path:
    (path,) = segments(folder)
    return path


def lines(folder: Path) -> list[bytes]:
    return only(folder).read_bytes().splitlines(keepends=True)


def test_a_stranger_checks_the_chain_with_sha256sum(data: Path) -> None:
    """The rule as the documents say it: `prev` is the SHA-256 of the whole line before."""
    script = 'sed -n 3p "$0" | sha256sum; tail -n 1 "$0" | sha256sum'
    third, last = subprocess.run(["sh", "-c", script, only(data)], capture_output=True, check=True).stdout.split(b"\n")[
        :2
    ]
    assert json.loads(lines(data)[3])["prev"] == third.split()[0].decode()
    assert place(data).head == last.split()[0].decode()
    assert json.loads(lines(data)[0])["prev"] == START
    assert verify(data).faults == ()


def test_it_is_for_its_owner_alone(data: Path) -> None:
    assert stat.S_IMODE((data / "audit").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (data / "audit").iterdir()} == {0o600}


CHANGES = {
    "an entry": lambda all_: [*all_[:3], all_[3].replace(b"reboot", b"sample"), *all_[4:]],
    "a space": lambda all_: [*all_[:3], all_[3].replace(b'","who"', b'", "who"'), *all_[4:]],
    "one taken out": lambda all_: all_[:3] + all_[4:],
    "the first taken out": lambda all_: all_[1:],
    "two exchanged": lambda all_: [*all_[:2], all_[3], all_[2], *all_[4:]],
    "one put in": lambda all_: [*all_[:3], line(4, 0.0, "command", "eve", "", "", {}, read(all_[3]).prev), *all_[3:]],
    "one twice": lambda all_: [*all_[:3], all_[2], *all_[3:]],
    "no entry at all": lambda all_: [*all_[:3], b"nothing\n", *all_[4:]],
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(data: Path, change: str) -> None:
    only(data).write_bytes(b"".join(CHANGES[change](lines(data))))  # type: ignore[no-untyped-call]
    faults = verify(data).faults
    assert faults
    assert all(fault.where.startswith("audit-00000001.jsonl:") and fault.why for fault in faults)


@settings(max_examples=30)
@given(st.data())
def test_every_changed_byte_is_seen(tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject) -> None:
    """But in the last line, which the head alone proves."""
    folder = tmp_path_factory.mktemp("log")
    for number in range(3):
        record(folder, "config", who="ada", detail={"n": number})
    head, whole = place(folder), bytearray(only(folder).read_bytes())
    at = draw.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= draw.draw(st.integers(1, 255))
    only(folder).write_bytes(whole)
    assert verify(folder, [Head(head.head, head.entries)]).faults
    if whole.rfind(b"\n", 0, len(whole) - 1) > at:
        assert verify(folder).faults


def test_an_end_that_was_cut_off_is_shown_by_a_head_alone(data: Path) -> None:
    head = place(data)
    record(data, "logout", who="ada")
    assert verify(data, [Head(head.head, head.entries), Head(place(data).head)]).faults == ()
    only(data).write_bytes(b"".join(lines(data)[:4]))
    assert verify(data).faults == ()
    (fault,) = verify(data, [Head(head.head)]).faults
    assert "cut off" in fault.why


def test_a_log_written_anew_is_shown_by_a_head(data: Path, tmp_path: Path) -> None:
    """Whoever is root can write a chain that holds; not one that holds what was published."""
    head = place(data)
    only(data).unlink()
    for number in range(9):
        record(data, "command", who="nobody", of=f"riverside/air-000{number}")
    assert verify(data).faults == ()
    assert verify(data, [Head(head.head, head.entries)]).faults


def test_a_power_cut_at_any_byte_is_told_and_nothing_is_dropped(data: Path) -> None:
    """What is left of the last line is in a file, an entry has its hash, and the chain goes on."""
    whole = only(data).read_bytes()
    begin = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(begin + 1, len(whole), 7):
        only(data).write_bytes(whole[:cut])
        assert verify(data).faults
        record(data, "gateway.start", who="root")
        torn, start = last_of(data, 2)
        assert (torn.act, start.act) == ("audit.torn", "gateway.start")
        kept = data / "audit" / str(torn.detail["moved_to"])
        assert kept.read_bytes() == whole[begin:cut]
        assert torn.detail["sha256"] == sha256(whole[begin:cut]).hexdigest()
        assert verify(data).faults == ()
    assert len(list((data / "audit").glob("torn-*"))) <= log.MOST_TORN


def test_a_second_power_cut_before_it_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is moved aside, then the power fails: it is told when there is power again."""
    with only(data).open("ab") as file:
        file.write(b'{"n":8')
    with monkeypatch.context() as patch:
        patch.setattr(log, "_written", lambda *_: (_ for _ in ()).throw(OSError("no power")))
        with pytest.raises(OSError, match="no power"):
            record(data, "gateway.start", who="root")
    record(data, "gateway.start", who="root")
    assert [each.act for each in last_of(data, 2)] == ["audit.torn", "gateway.start"]
    assert verify(data).faults == ()


def test_a_full_disk_leaves_no_half_entry(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = only(data).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            record(data, "logout", who="ada")
        with pytest.raises(AuditError, match="nothing was done"):
            Asker(data, "ada").asks("logout")
    assert only(data).read_bytes() == before


@pytest.mark.usefixtures("small")
def test_it_is_bounded_and_says_what_went(data: Path) -> None:
    first = place(data)
    for _ in range(40):
        record(data, "logout", who="ada")
    assert len(segments(data)) == 3
    assert sum(path.stat().st_size for path in segments(data)) < 3 * log.SEGMENT_BYTES
    verdict = verify(data)
    assert verdict.faults == ()
    assert verdict.first > 1
    dropped = last_of(data, 1, "audit.dropped")[0]
    assert dropped.detail["head"] == read(segments(data)[0].read_bytes().splitlines()[0]).prev  # type: ignore[union-attr]
    assert "proves nothing" in verify(data, [Head(first.head, first.entries)]).faults[0].why
    segments(data)[0].unlink()
    assert "gone" in verify(data).faults[0].why  # nobody said that this one goes


@pytest.mark.usefixtures("small")
def test_who_follows_gets_each_once_over_all_segments(data: Path) -> None:
    follower, seen = Follower(data), []
    for number in range(40):
        record(data, "logout", who=str(number))
        seen += [each.who for each in follower.new() if each.act == "logout"]
    assert seen == [str(number) for number in range(40)]


def test_many_processes_and_threads_make_one_chain(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\nfrom gateway.audit import record\n"
        "for n in range(25): record(pathlib.Path(sys.argv[1]), 'command', who=sys.argv[2], detail={'n': n})"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, tmp_path, str(n)]) for n in range(3)]
    threads = [
        threading.Thread(target=lambda: [record(tmp_path, "logout", who="thread") for _ in range(25)]) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    assert [process.wait(30) for process in processes] == [0, 0, 0]
    for thread in threads:
        thread.join()
    verdict = verify(tmp_path)
    assert (verdict.entries, verdict.faults) == (150, ())


def test_root_follows_no_link_into_other_folders(tmp_path: Path) -> None:
    """The folder is the gateway's: it must not have root's commands write elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "audit").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="audit"):
        record(tmp_path, "logout", who="ada")
    assert not list((tmp_path / "elsewhere").iterdir())
    (tmp_path / "audit").unlink()
    record(tmp_path, "logout", who="ada")
    only(tmp_path).rename(tmp_path / "kept")
    only_path = tmp_path / "audit" / "audit-00000001.jsonl"
    only_path.symlink_to(tmp_path / "kept")
    with pytest.raises(OSError, match=r"audit-00000001"):
        record(tmp_path, "logout", who="ada")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
def test_what_root_writes_belongs_to_the_gateway(tmp_path: Path) -> None:
    """Who may have been the first: the gateway goes on with it."""
    os.chown(tmp_path, 12345, 12345)
    record(tmp_path, "user.add", who="root@here cli", of="ada")
    made = [tmp_path / "audit", *(tmp_path / "audit").iterdir()]
    assert {(each.stat().st_uid, each.stat().st_gid) for each in made} == {(12345, 12345)}


def test_a_machine_without_the_gateway_has_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    at_shell(tmp_path / "none").asks("command")
    assert "no audit log" in caplog.text
    assert not list(tmp_path.iterdir())


SECRETS = ("password", "token", "secret", "mqtt.password", "wifi.psk", "key", "endpoint", "keys.p256dh", "keys.auth")
texts = st.text(min_size=1, max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@settings(max_examples=50)
@given(st.dictionaries(texts, values, max_size=5), texts, texts, st.text(st.characters(codec=None), max_size=400))
def test_whatever_is_told_is_one_line_of_json(detail: dict[str, Any], act: str, who: str, of: str) -> None:
    """Half characters, line breaks, numbers that JSON has not: a line is a line, and bounded."""
    data = line(1, 0.0, act, who, of, "", detail, START)
    assert data.count(b"\n") == 1
    assert data.isascii()
    assert len(data) <= MOST_LINE
    assert isinstance(read(data), Entry)


@given(st.sampled_from(SECRETS), st.text("pqrstuvwxyz", min_size=12, max_size=60), st.booleans())
def test_secrets_are_never_written(name: str, value: str, within: bool) -> None:
    detail: dict[str, Any] = {"nested": [{name: value}]} if within else {name: value}
    data = line(1, 0.0, "config", "ada", "riverside/air-0007", "", detail, START)
    assert value.encode() not in data
    assert KEPT_BACK.encode() in data


def test_a_long_detail_is_cut_and_its_hash_kept() -> None:
    entry = read(line(1, 0.0, "config", "ada", "", "", {"a": "x" * 100_000}, START))
    assert entry is not None
    assert entry.detail["bytes"] > 100_000
    assert len(entry.detail["sha256"]) == 64


# The command line.


@pytest.fixture
def cli(tmp_path: Path, data: Path) -> CommandLine:
    return CommandLine(tmp_path, 1)


def answers(result: Result) -> list[dict[str, Any]]:
    return [json.loads(each) for each in result.stdout.splitlines()]


def test_show_filters(cli: CommandLine, data: Path) -> None:
    record(data, "login.refused", who="eve", came="192.0.2.1")
    record(data, "login.ok", who="ada")
    acts = [each["act"] for each in answers(cli.invoke("audit", "show", "--act", "login", "--json"))]
    assert acts == ["login.refused", "login.ok"]
    assert [each["n"] for each in answers(cli.invoke("audit", "show", "--who", "ada", "--last", "2", "--json"))] == [
        7,
        9,
    ]
    assert cli.invoke("audit", "show", "--since", "2999-01-01").stdout == "no such entry\n"
    assert len(answers(cli.invoke("audit", "show", "--since", "1h", "--json"))) == 9
    assert "192.0.2.1" in cli.invoke("audit", "show", "--act", "login.refused").stdout
    assert cli.invoke("audit", "show", "--since", "soon").exit_code == 2


def test_verify_ends_with_1_and_says_which_entry(cli: CommandLine, data: Path) -> None:
    head = cli.invoke("audit", "head").stdout.strip()
    published = cli.folder / "heads.txt"
    published.write_text(f'{{"site":"riverside","time":1,"entries":7,"head":"{head}"}}\n{head}\n')
    good = cli.invoke("audit", "verify", "--head", str(published))
    assert (good.exit_code, "holds" in good.stdout, "2 heads" in good.stdout) == (0, True, True)
    only(data).write_bytes(only(data).read_bytes().replace(b"air-0003", b"air-0009"))
    bad = cli.invoke("audit", "verify")
    assert bad.exit_code == 1
    assert "entry 5" in bad.stdout
    assert "entry 4 is not what it was" in bad.stdout
    assert "head" in sentence(cli.invoke("audit", "verify", "--head", "abc"))


def test_a_log_that_is_being_written_is_verified_between_two_entries(data: Path) -> None:
    with (data / "audit" / "lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = threading.Event()
        thread = threading.Thread(target=lambda: (verify(data), done.set()))
        thread.start()
        assert not done.wait(0.05)
    thread.join(10)
    assert done.is_set()


def test_no_log_is_no_fault(tmp_path: Path) -> None:
    assert verify(tmp_path) == verify(tmp_path / "none")
    assert record(tmp_path, "gateway.start", who="root").entries == 1
