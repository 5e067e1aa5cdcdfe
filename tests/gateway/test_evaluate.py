"""`ganglion evaluate`: the scorer against the published one, injections, windows, and the command."""

import json
import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.evaluate import nab
from gateway.evaluate.inject import FAULTS, inject_fault, inject_leak
from gateway.evaluate.sets import read_nab
from gateway.evaluate.windows import hold
from tests.gateway.commandline import sentence
from tests.gateway.test_detect_cli import days, hourly

pytestmark = pytest.mark.soak

SHARED = Path(__file__).parents[2].parent / "shared"
SCORER = SHARED / "score" / "nabscore.py"


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(make_app(), ["evaluate", *map(str, arguments)])  # type: ignore[return-value]


def told(*arguments: str | Path) -> list[dict[str, Any]]:
    answer = invoke(*arguments, "--json")
    assert answer.exit_code == 0, (answer.exception, answer.output)
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_a_score_calculated_by_hand() -> None:
    """100 rows, the first 15 on probation; one window of 10 rows, 40 to 49."""
    files = {"a": nab.Labelled(100, [(40, 49)])}
    scores = np.zeros(100)
    scores[[5, 42, 46, 60]] = 1  # one on probation, two in the window, of which the earlier counts, one behind it
    found = nab.score(files, {"a": scores}, nab.PROFILES["standard"], threshold=0.5)

    def sigmoid(x: float) -> float:
        return 2 / (1 + math.exp(5 * x)) - 1

    hit = sigmoid(-8 / 10) / sigmoid(-1)
    false = 0.11 * sigmoid(11 / 9)
    assert found.score == pytest.approx(100 * (hit + false + 1) / 2, abs=1e-12)
    assert (found.windows, found.hit, found.false) == (1, 1, 1)
    nothing = nab.score(files, {"a": np.zeros(100)}, nab.PROFILES["low-FN"], threshold=0.5)
    assert (nothing.score, nothing.hit) == (0, 0)
    scores[:] = 0
    scores[40] = 1
    assert nab.score(files, {"a": scores}, nab.PROFILES["low-FP"]).score == pytest.approx(100, abs=1e-12)


def test_the_threshold_is_the_best_there_is() -> None:
    files = {"a": nab.Labelled(100, [(40, 49)])}
    scores = np.zeros(100)
    scores[[20, 44, 80]] = [0.9, 0.5, 0.4]
    found = nab.score(files, {"a": scores}, nab.PROFILES["standard"])
    assert (found.threshold, found.hit, found.false) == (0.5, 1, 1)
    assert nab.score(files, {"a": np.zeros(100)}, nab.PROFILES["standard"]).threshold == math.inf
    worse = np.zeros(100)
    worse[20:40] = 1
    assert nab.score({"a": nab.Labelled(100, [])}, {"a": worse}, nab.PROFILES["standard"]).threshold == math.inf


def test_scores_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="a has 10 rows, but 9 scores"):
        nab.score({"a": nab.Labelled(10, [])}, {"a": np.zeros(9)}, nab.PROFILES["standard"])


@pytest.mark.skipif(not SCORER.exists(), reason="the published scorer is not beside the project")
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # it leaves files to be closed by themselves
@pytest.mark.parametrize("seed", range(2))
def test_scores_are_those_of_the_published_rules(seed: int) -> None:
    theirs = runpy.run_path(str(SCORER))
    corpus = theirs["Corpus"](str(SHARED / "data" / "nab"))
    _, labelled = read_nab(SHARED / "data" / "nab")
    random = np.random.default_rng(seed)
    scores = {name: random.random(each.rows) ** 8 for name, each in labelled.items()}
    for each in scores.values():
        if seed == 1:
            each[:] = each.round(1)  # many equal ones
        each[random.random(len(each)) < 0.01] = np.nan
    names = {"standard": "standard", "low-FP": "reward_low_FP_rate", "low-FN": "reward_low_FN_rate"}
    for ours, its in names.items():
        for threshold in (None, 0.5, 0.999):
            mine = nab.score(labelled, scores, nab.PROFILES[ours], threshold)
            expected = corpus.score(scores, its, threshold=threshold)
            assert mine.score == pytest.approx(expected["norm"], abs=1e-9)
            assert (mine.windows, mine.hit, mine.false) == tuple(
                expected[each] for each in ("windows", "detected", "fp_rows")
            )


@settings(max_examples=50, deadline=None, derandomize=True)
@given(litres=st.lists(st.integers(0, 50), min_size=2, max_size=60), begin=st.integers(0, 59), rate=st.floats(0.1, 200))
def test_a_leak_adds_what_leaks_in_whole_litres(litres: list[int], begin: int, rate: float) -> None:
    begin = min(begin, len(litres) - 1)
    before = np.array(litres, np.float64)
    seconds = np.full(len(litres), 3600.0)
    after = inject_leak(before, seconds, begin, rate)
    assert (after[:begin] == before[:begin]).all()
    added = after - before
    assert (added >= 0).all()
    assert (added == added.round()).all()
    hours = len(litres) - begin
    assert added.sum() == pytest.approx(rate * hours, abs=1)
    register = inject_leak(np.cumsum(before), seconds, begin, rate, register=True)
    assert np.allclose(np.diff(register, prepend=0.0), after)


def test_faults() -> None:
    time = np.arange(1000) * 3600
    values = np.full(1000, 10.0)
    values[[99, 500]] = np.nan
    for fault in FAULTS:
        faulty = inject_fault(values, time, fault, 100)
        assert np.array_equal(faulty[:100], values[:100], equal_nan=True)
        assert np.isnan(faulty[500])
    end = {fault: inject_fault(values, time, fault, 100)[-1] for fault in FAULTS}
    assert end == {"offset": 50, "gain": 20, "zero": 0, "stuck": 10, "drift": 20}
    assert inject_fault(values, time, "drift", 100)[100 + 360] == 15
    assert values[100] == 10


def test_alarms_and_windows() -> None:
    time = np.arange(0, 86_400 * 60, 3600)
    alarm = np.zeros(len(time), np.bool_)
    alarm[[5, 12, 14, 700]] = True
    held = hold(time, alarm, [(10 * 3600, 20 * 3600), (100 * 3600, 200 * 3600)])
    assert (held.windows, held.hit, held.delays_h, held.alarms, held.false) == (2, 1, [2.0], 4, 2)
    assert 1.7 < held.months < 2


def test_a_file_with_its_windows(tmp_path: Path) -> None:
    values = days(60)
    values[1200] = 900
    file, labels = tmp_path / "pump.csv", tmp_path / "known.json"
    file.write_text(hourly(values))
    labels.write_text(json.dumps([["1970-02-19T22:00:00", "1970-02-20 05:00"], [3600 * 400, 3600 * 500]]))
    (row,) = told(file, "--windows", labels)
    assert (row["series"], row["windows"], row["hit"], row["median_delay_h"], row["false"]) == ("value", 2, 1, 2, 0)
    labels.write_text(json.dumps({"pump.csv": [[0, 3600]]}))
    (row,) = told(file, "--windows", labels)
    assert (row["windows"], row["hit"], row["false"]) == (1, 0, 1)
    assert "false a month" in invoke(file, "--windows", labels).stdout


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("{", "is not JSON"),
        ("5", "neither a list"),
        ('{"other": []}', "'other' is no series of pump.csv; there are value"),
        ("[[1]]", "is no window"),
        ('[["then", "now"]]', "'then' is no time"),
        ("[[2, 1]]", "ends before it begins"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, labels: str, said: str) -> None:
    (tmp_path / "pump.csv").write_text(hourly([1, 2]))
    (tmp_path / "known.json").write_text(labels)
    assert said in sentence(invoke(tmp_path / "pump.csv", "--windows", tmp_path / "known.json"))


def test_quiet_counts_alarms_a_month(tmp_path: Path) -> None:
    values = days(60)
    values[1200] = 900
    lines = [f"{3600 * at},{value:g},7\n" for at, value in enumerate(values)]
    (tmp_path / "pumps.csv").write_text("time,a,b\n" + "".join(lines))
    rows = told("quiet", "--data", tmp_path / "pumps.csv", "--wide")
    assert [(row["series"], row["alarms"]) for row in rows] == [("a", 1), ("b", 0), ("all", 1)]
    assert rows[0]["alarms_a_month"] == pytest.approx(30.4375 / (60 - 1 / 24))


def test_leaks_are_put_in_and_found(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    random = np.random.default_rng(3)
    hour = np.arange(24 * 150) % 24
    awake = (hour >= 6) & (hour < 22) & (random.random(len(hour)) < 0.6)
    litres = np.where(awake, random.integers(1, 60, len(hour)), 0)
    (tmp_path / "meter.csv").write_text(hourly([float(each) for each in litres]))
    rows = told("leaks", "--data", tmp_path / "meter.csv", "--plots", tmp_path / "drawings")
    assert [row["what"] for row in rows[:4]] == ["1 l/h", "5 l/h", "25 l/h", "100 l/h"]
    assert all(row["injected"] == 3 and row["found"] == 3 for row in rows[:4])
    assert rows[3]["median_h"] < 12
    assert rows[4]["alarms"] == 0
    assert len(list((tmp_path / "drawings").glob("*.svg"))) == 12


def test_faults_are_put_in_and_found(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    hours = np.arange(24 * 130)
    city = 50 * np.exp(np.cumsum(random.normal(0, 0.1, len(hours))) * 0.0 + 0.5 * np.sin(hours / 40))
    stations = (city[:, None] * np.exp(random.normal(0, 0.1, (len(hours), 4)))).round(1)
    lines = [",".join([str(3600 * at), *map(str, row)]) + "\n" for at, row in enumerate(stations.tolist())]
    (tmp_path / "pm.csv").write_text("time,a,b,c,d\n" + "".join(lines))
    rows = told("air-faults", "--data", tmp_path / "pm.csv", "--wide")
    assert [row["what"] for row in rows[:5]] == list(FAULTS)
    shares = {row["what"]: row["share"] for row in rows[:5]}
    assert min(shares[fault] for fault in ("offset", "gain", "zero", "stuck")) == 1, shares
    assert rows[-1]["series"] == "all"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nab"],
        ["unknown.csv"],
        ["nab", "--data", ".", "--windows", "w.json"],
        ["f.csv", "--windows", "w.json", "--data", "."],
        ["quiet", "--data", ".", "--kind", "noise"],
    ],
)
def test_wrong_command_lines(arguments: list[str]) -> None:
    assert invoke(*arguments).exit_code == 2


def test_what_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot be read" in sentence(invoke("nab", "--data", tmp_path))
    assert "cannot be read" in sentence(invoke("quiet", "--data", tmp_path))
    (tmp_path / "empty.csv").write_text("time,value\n")
    assert "no rows" in sentence(invoke("quiet", "--data", tmp_path / "empty.csv"))
    (tmp_path / "short.csv").write_text(hourly([1, 2]))
    assert "120 days" in sentence(invoke("leaks", "--data", tmp_path / "short.csv"))


def test_help_has_examples() -> None:
    assert "ganglion evaluate leaks --data" in invoke("--help").output
