"""`ganglion score`: a truth against a file of incidents, or against a gateway's journal."""

import json
from pathlib import Path

import pytest
import typer
from msgspec.json import encode
from typer.testing import CliRunner, Result

from gateway.journal.store import Journal
from gateway.records import Incident
from sim_hardware.city.score_command import score
from sim_hardware.city.truth import Run, Truth, write

HOUR = 3600
DAY = 24 * HOUR
RUN = Run("a", {"traffic": 10, "water": 10, "air": 10}, 0, 30 * DAY)
TRUTHS = [
    Truth("crash", "a", "high street", ("traffic-0001",), 0, HOUR, 0.3),
    Truth("burst", "a", "water-0001", ("water-0001",), 0, HOUR, 900.0),
]
JAM = Incident("jam.a.traffic-0001.240", "jam", "a", "traffic-0001", "", "warning", 240, None, "full")
FALSE = Incident("jam.a.traffic-0002.240", "jam", "a", "traffic-0002", "", "warning", 240, None, "full")


def run(*words: str | Path) -> Result:
    app = typer.Typer()
    app.command()(score)
    return CliRunner().invoke(app, [str(word) for word in words], env={"GANGLION_CONFIG": "", "COLUMNS": "200"})


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    write(tmp_path / "truth.jsonl", TRUTHS, RUN)
    return tmp_path / "truth.jsonl"


@pytest.fixture
def heard(tmp_path: Path) -> Path:
    (tmp_path / "incidents.jsonl").write_bytes(encode(JAM) + b"\n" + encode(FALSE) + b"\n")
    return tmp_path / "incidents.jsonl"


def test_one_object(truth: Path, heard: Path) -> None:
    """For programs: everything, in all and by kind."""
    answer = run(truth, "--incidents", heard, "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert (found["injected"], found["detected"], found["raised"], found["false"]) == (2, 1, 2, 1)
    assert (found["precision"], found["recall"]) == (0.5, 0.5)
    assert found["kinds"]["jam"]["delay_s"] == {"median": 240, "max": 240}
    assert found["kinds"]["jam"]["false_per_node_month"] == 0.1
    assert found["causes"] == {"crash": [1, 1], "burst": [1, 0]}


def test_a_table(truth: Path, heard: Path) -> None:
    """For people."""
    lines = [line.split() for line in run(truth, "--incidents", heard).stdout.splitlines()]
    assert ["all", "2", "1", "2", "1", "0.500", "0.500", "-", "-", "0.0333"] in lines
    assert ["jam", "1", "1", "2", "1", "0.500", "1.000", "4.0", "4.0", "0.1000"] in lines
    assert ["burst", "1", "0", "0", "0", "-", "0.000", "-", "-", "0.0000"] in lines
    assert ["burst", "1", "0"] in lines


def test_until_and_nodes(truth: Path, heard: Path) -> None:
    """Only what is before counts; the number of nodes may be told."""
    found = json.loads(run(truth, "--incidents", heard, "--json", "--until", "239", "--nodes", "4").stdout)
    assert (found["injected"], found["raised"]) == (0, 0)
    found = json.loads(run(truth, "--incidents", heard, "--json", "--nodes", "4").stdout)
    assert found["kinds"]["jam"]["false_per_node_month"] == 0.5, "two of four count traffic"
    write(truth, TRUTHS)
    found = json.loads(run(truth, "--incidents", heard, "--json").stdout)
    assert found["kinds"]["jam"]["false_per_node_month"] is None


def test_a_journal(tmp_path: Path, truth: Path) -> None:
    """As the gateway left it."""
    journal = Journal.open(tmp_path / "journal", 2**26)
    journal.found(0, [JAM])
    journal.close()
    config = tmp_path / "ganglion.toml"
    config.write_text('sites = ["a"]\ndata_dir = "journal"\n')
    found = json.loads(run(truth, "--config", config, "--json").stdout)
    assert (found["detected"], found["false"]) == (1, 0)


def test_bad_input_ends_with_2(tmp_path: Path, truth: Path, heard: Path) -> None:
    """One sentence on standard error, with file and line."""
    (tmp_path / "bad").write_text('{"kind": "crash"}\n')
    for words, said in (
        ([tmp_path / "bad", "--incidents", heard], "bad:1: this is no line of a truth file: "),
        ([truth, "--incidents", truth], "truth.jsonl:1: this is no incident: "),
        ([tmp_path / "none", "--incidents", heard], "none cannot be read: No such file"),
        ([truth, "--config", tmp_path / "none"], "none cannot be read: No such file"),
        ([truth], "nothing to hold against the truth"),
    ):
        answer = run(*words)
        assert answer.exit_code == 2, words
        assert said in answer.stderr
        assert answer.stdout == ""


def test_nothing_at_all(tmp_path: Path) -> None:
    """Is told, not shown as a table of nothing."""
    for name in ("truth", "incidents"):
        (tmp_path / name).write_text("")
    answer = run(tmp_path / "truth", "--incidents", tmp_path / "incidents")
    assert (answer.exit_code, answer.stdout) == (0, "nothing happened, and nothing was raised\n")
