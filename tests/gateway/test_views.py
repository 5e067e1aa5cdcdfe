"""`ganglion nodes`, `incidents` and `ledger`, by a journal that nobody else has open."""

import json
from pathlib import Path

import pytest

from gateway.journal.store import Journal
from gateway.records import Status
from tests.gateway.commandline import CommandLine, sentence
from tests.gateway.conftest import SENT, make_pack


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """Over a journal with one node, of whose boot the packs 0, 2 and 3 never came."""
    journal = Journal.open(tmp_path / "data", 2**20)
    journal.commit([make_pack(1), make_pack(4)], float(SENT))
    journal.close()
    return CommandLine(tmp_path, 1)


def test_one_node_with_what_it_misses(line: CommandLine) -> None:
    """By its name, with its site or without."""
    for name in ("air-0007", "riverside/air-0007"):
        shown = [row.split() for row in line.invoke("nodes", name).stdout.splitlines()]
        assert shown[0][:4] == ["node", "kind", "online", "trouble"]
        assert shown[2:] == [
            ["boot", "first", "missing", "last", "missing", "packs"],
            ["1", "0", "0", "1"],
            ["1", "2", "3", "2"],
        ]
    (said,) = map(json.loads, line.invoke("nodes", "air-0007", "--json").stdout.splitlines())
    assert [(each["first"], each["last"]) for each in said["missing"]] == [(0, 0), (2, 3)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["air-07"], "no node air-07 was heard of; the nearest is riverside/air-0007"),
        (["hill/air-0007"], "no node hill/air-0007 was heard of; the nearest is riverside/air-0007"),
        (["air-0007", "--site", "hill"], "no node hill/air-0007 was heard of; the nearest is riverside/air-0007"),
    ],
)
def test_a_node_that_was_never_heard_of(line: CommandLine, arguments: list[str], words: str) -> None:
    assert sentence(line.invoke("nodes", *arguments)) == words


def test_a_node_cannot_steer_the_terminal(line: CommandLine) -> None:
    """By what its birth says."""
    evil = Status(online=True, kind="air", firmware="\x1b[31m1.0", board="b\r", safe="\x9bJ")
    journal = Journal.open(line.folder / "data", 2**20)
    journal.commit([], float(SENT), [("riverside", "air-0007", evil)])
    journal.close()
    shown = line.invoke("nodes").stdout
    assert r"SAFE MODE: \x9bJ" in shown
    assert r"\x1b[31m1.0" in shown
    assert all(each.isprintable() for row in shown.splitlines() for each in row)


def test_nobody_was_heard_there(line: CommandLine) -> None:
    """The others are not denied."""
    assert line.invoke("nodes", "--site", "hill").stdout == "no node of hill was heard yet\n"
    assert line.invoke("nodes", "--site", "hill", "--json").stdout == ""


def test_nothing_is_wrong_and_nothing_lost(line: CommandLine) -> None:
    assert line.invoke("incidents").stdout == "no incident so far\n"
    assert line.invoke("incidents", "--open").stdout == "no incident is open\n"
    said = json.loads(line.invoke("ledger", "--json").stdout)
    assert (said["received"], said["waiting"], said["gaps"], said["balanced"]) == (2, 2, 3, True)
