"""`ganglion incidents`: what the list shows is what `show` and `ack` take."""

import re
from pathlib import Path

import pytest

from gateway.journal.store import Journal
from gateway.records import Incident
from tests.gateway.commandline import CommandLine, sentence
from tests.gateway.conftest import SENT

BURST = f"burst.riverside.water-0007.{SENT}"
JAMS = [f"jam.riverside.traffic-000{number}.{SENT + number}" for number in range(10)]


def incident(name: str) -> Incident:
    kind, site, node, opened = name.split(".")
    return Incident(name, kind, site, node, "", "critical", int(opened), None, "Seen: much; expected: little.")


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """Over a journal with a burst and ten jams."""
    journal = Journal.open(tmp_path / "data", 2**20)
    journal.found(1, [incident(name) for name in [BURST, *JAMS]])
    journal.close()
    return CommandLine(tmp_path, 1)


def test_the_list_shows_ids_that_can_be_shown(line: CommandLine) -> None:
    head, *rows = (row.split() for row in line.invoke("incidents").stdout.splitlines())
    assert head[0] == "id"
    assert [row[0] for row in rows] == [BURST, *JAMS]
    for name in (row[0] for row in rows):
        assert line.invoke("incidents", "show", name).stdout.split()[0] == name


def test_the_beginning_of_an_id_is_enough(line: CommandLine) -> None:
    assert line.invoke("incidents", "show", "bur").stdout.split()[0] == BURST
    told = line.invoke("incidents", "ack", "jam.riverside.traffic-0003", "--by", "Ada")
    assert told.stdout == f"{JAMS[3]} is acknowledged by Ada\n"
    assert "acknowledged by Ada" in line.invoke("incidents", "show", JAMS[3]).stdout
    assert line.invoke("incidents").stdout.count("acknowledged") == 1


@pytest.mark.parametrize("command", [["show"], ["ack", "--by", "Ada"]])
def test_which_one_is_not_guessed(line: CommandLine, command: list[str]) -> None:
    def told(name: str) -> str:
        return sentence(line.invoke("incidents", *command, name))

    assert (
        told("jam.riverside") == f"10 incidents begin with 'jam.riverside': {', '.join(JAMS[2:])} and 2 more; say which"
    )
    assert told("burts.riverside") == f"no incident burts.riverside is known; the nearest is {BURST}"
    assert "no incident  is known" in told("")
    assert "acknowledged" not in line.invoke("incidents").stdout


def test_an_id_is_meant_whole_though_another_goes_on(line: CommandLine) -> None:
    journal = Journal.open(line.folder / "data", 2**20)
    journal.found(1, [incident(f"{BURST}0")])
    journal.close()
    assert line.invoke("incidents", "show", BURST).stdout.split()[0] == BURST


@pytest.mark.parametrize("words", [["--by", " "], ["--by", "A" * 101], ["--by", "Ada", "--note", "n" * 1001]])
def test_a_name_is_one(line: CommandLine, words: list[str]) -> None:
    """Whether a gateway runs or not."""
    answer = line.invoke("incidents", "ack", BURST, *words)
    assert answer.exit_code == 2
    assert "acknowledged" not in line.invoke("incidents").stdout


def test_a_narrow_terminal_cuts_nothing_off(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id stands in one line, to be copied; the others are folded."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    shown = line.invoke("incidents", TERM="dumb").stdout
    assert "…" not in shown
    assert all(name in shown for name in [BURST, *JAMS])
    assert max(len(row) for row in re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()) == 80
