"""`ganglion detect`: what it takes, what it prints, and that no row knows of those behind it."""

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.evaluate.adapters import Kind, detector
from gateway.evaluate.judge import Judged, judge
from gateway.evaluate.table import Columns, Table
from gateway.evaluate.times import seconds
from tests.gateway.commandline import sentence

HEADER = "time,series,value,score,alarm,reason"
AIR = Path(__file__).parents[2].parent / "shared" / "data" / "air" / "beijing_NO2_2013-2015.csv.gz"


def invoke(*arguments: str | Path, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(make_app(), ["detect", *map(str, arguments)], input=given)  # type: ignore[return-value]


def judged(text: str, *options: str) -> list[dict[str, str]]:
    """Through standard input."""
    answer = invoke("-", *options, given=text)
    assert answer.exit_code == 0, (answer.exception, answer.output)
    assert answer.stdout.splitlines()[0] == HEADER
    return list(csv.DictReader(io.StringIO(answer.stdout)))


def hourly(values: Sequence[float], name: str = "value") -> str:
    return "".join([f"time,{name}\n", *(f"{3600 * at},{value:.10g}\n" for at, value in enumerate(values))])


def days(count: int, seed: int = 1) -> list[float]:
    """Hours of something with a day's course."""
    random = np.random.default_rng(seed)
    hours = np.arange(24 * count)
    return [float(each) for each in (100 + 30 * np.sin(hours * np.pi / 12) + random.normal(0, 2, len(hours))).round(1)]


def test_the_one_row_that_is_wrong_alarms_and_says_why(tmp_path: Path) -> None:
    values = days(60)
    values[1200] = 900
    file = tmp_path / "pump.csv"
    file.write_text(hourly(values, "bar"))
    rows = list(csv.DictReader(io.StringIO(invoke(file).stdout)))
    assert [row["time"] for row in rows] == [str(3600 * at) for at in range(len(values))]
    assert {row["series"] for row in rows} == {"bar"}
    assert [at for at, row in enumerate(rows) if row["alarm"] == "1"] == [1200]
    assert "seen 900" in rows[1200]["reason"]
    assert "expected" in rows[1200]["reason"]
    assert all((row["reason"] == "") == (row["alarm"] == "0") for row in rows)
    scores = [float(row["score"]) for row in rows]
    assert max(scores) == scores[1200] <= 1
    assert min(scores) >= 0


CELL = st.one_of(st.floats(-1e3, 1e3).map("{:g}".format), st.sampled_from(["", "nan", "7", "7", "bad", "1e300"]))
STEP = st.sampled_from([0, 1, 60, 60, 60, 3600, 3600, -60, 86400, 31_536_000])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.tuples(STEP, st.lists(CELL, min_size=3, max_size=3)), min_size=2, max_size=40),
    kind=st.sampled_from(["generic", "traffic", "water", "air"]),
    wide=st.booleans(),
    data=st.data(),
)
def test_a_prefix_gives_the_prefix(
    rows: list[tuple[int, list[str]]], kind: Kind, wide: bool, data: st.DataObject
) -> None:
    time = 1_400_000_000
    lines = ["a,when,b,c\n"]
    for step, cells in rows:
        time += step
        lines.append(",".join([cells[0], str(time), *cells[1:]]) + "\n")
    columns = Columns("when", "" if wide else "b", wide=wide)
    whole = list(said(lines, kind, columns))
    assert len(whole) == (3 if wide else 1) * len(rows)
    cut = data.draw(st.integers(1, len(rows)))
    before = list(said(lines[: cut + 1], kind, columns))
    assert before == whole[: len(before)]
    assert len(before) == (3 if wide else 1) * cut


def said(lines: list[str], kind: Kind, columns: Columns) -> Iterator[Judged]:
    table = Table(iter(lines), columns)
    judges = detector(kind, len(table.layout.names), together=columns.wide)
    for part in judge(table, table.layout, judges, 7):
        yield from part


def test_a_long_file_is_judged_as_each_of_its_series(tmp_path: Path) -> None:
    """In one block, and row by row from a pipe."""
    series = {name: days(40, seed) for seed, name in enumerate(["one", "two", "three"])}
    series["two"][800] = -500
    lines = ["meter,litres,epoch\n"]
    for at in range(len(series["one"])):
        lines += [f"{name},{values[at]:g},{3600 * at}\n" for name, values in series.items() if name != "one" or at % 2]
    file = tmp_path / "long.csv"
    file.write_text("".join(lines))
    options = ["--series-column", "meter", "--value-column", "litres"]
    rows = list(csv.DictReader(io.StringIO(invoke(file, *options).stdout)))
    assert rows == judged("".join(lines), *options)
    assert [row["series"] for row in rows if row["alarm"] == "1"] == ["two"]
    alone = judged("litres,epoch\n" + "".join(line.partition(",")[2] for line in lines if line.startswith("two")))
    mine = [row for row in rows if row["series"] == "two"]
    assert [(row["score"], row["reason"]) for row in mine] == [(row["score"], row["reason"]) for row in alone]


def test_wide_columns_do_not_touch_each_other_unless_they_are_stations() -> None:
    left, right = days(40, 1), days(40, 2)
    right[700] = 1000
    lines = [f"{3600 * at},{a:g},{b:g}\n" for at, (a, b) in enumerate(zip(left, right, strict=True))]
    wide = judged("time,left,right\n" + "".join(lines), "--wide")
    assert [row["series"] for row in wide[:4]] == ["left", "right", "left", "right"]
    for name, values in (("left", left), ("right", right)):
        alone = judged(hourly(values, name))
        assert [row for row in wide if row["series"] == name] == alone
    assert [row["time"] for row in wide if row["alarm"] == "1"] == [str(3600 * 700)]


def test_a_stuck_counter_and_a_dead_one() -> None:
    counts = [max(0.0, round(each - 90)) for each in days(60)]
    counts[1000:1030] = [0.0] * 30
    found = [at for at, row in enumerate(judged(hourly(counts), "--kind", "traffic")) if row["alarm"] == "1"]
    assert found
    assert 1000 <= found[0] < 1024


@pytest.mark.parametrize("register", [True, False])
def test_a_leak_in_litres_or_on_the_register(register: bool) -> None:
    random = np.random.default_rng(3)
    hour = np.arange(24 * 60) % 24
    litres = np.where(
        (hour >= 6) & (hour < 22) & (random.random(len(hour)) < 0.6), random.integers(1, 60, len(hour)), 0
    )
    litres[1200:] += 30
    values = np.cumsum(litres) if register else litres
    rows = judged(hourly([float(each) for each in values], "litres"), "--kind", "water")
    found = [at for at, row in enumerate(rows) if row["alarm"] == "1"]
    assert found
    assert 1200 < found[0] < 1224
    assert rows[found[0]]["reason"].startswith("leak: seen at least 30")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-29T06:00:00Z", 1795932000),
        ("2026-11-29 06:00:00", 1795932000),
        ("2026-11-29T07:00:00.999+01:00", 1795932000),
        ("2026/11/29 06:00", 1795932000),
        ("11/29/2026 06:00:00 AM", 1795932000),
        ("1795932000", 1795932000),
        ("1795932000.9", 1795932000),
        ("1795932000999", 1795932000),
        ("1795932000999999", 1795932000),
        ("1795932000999999999", 1795932000),
        ("-1", -1),
        ("1969-12-31T23:59:59.5Z", -1),
    ],
)
def test_times(text: str, expected: int) -> None:
    assert seconds(text) == expected


def test_a_form_of_times_by_hand() -> None:
    rows = judged("when;flow\n29.11.2026 06:00;1,5\n29.11.2026 07:00;2,5\n", "--time-format", "%d.%m.%Y %H:%M")
    assert [(row["time"], row["series"], row["value"]) for row in rows] == [
        ("29.11.2026 06:00", "flow", "1.5"),
        ("29.11.2026 07:00", "flow", "2.5"),
    ]


@pytest.mark.parametrize("missing", ["", "NaN", "na", "null", " ", "inf"])
def test_missing_values_stay_and_score_nothing(missing: str) -> None:
    rows = judged(f"time,value\n0,1\n60,{missing}\n120,2\n")
    assert [row["value"] for row in rows] == ["1", "", "2"]
    assert (rows[1]["score"], rows[1]["alarm"], rows[1]["reason"]) == ("0", "0", "")


def test_values_that_are_no_numbers_are_missing_and_counted() -> None:
    answer = invoke("-", given="time,value\n0,1\n60,n.v.\n120,1_0\n")
    assert answer.exit_code == 0
    assert "no numbers or cannot be, taken as missing: 2, the first 'n.v.' in line 3" in answer.stderr


@pytest.mark.parametrize(
    ("header", "row", "series"),
    [
        ("value,other,timestamp", "1,2,2014-04-01 00:00:00", "value"),
        ("id,Date,count", "west,2014-04-01,2", "count"),
        ("time,2014", "5,6", "2014"),
        (",0,1", "5,6,7", "0"),
        ("\ufefftime,a", "5,6", "a"),
        ("time\ta", "5\t6", "a"),
    ],
)
def test_columns_are_found(header: str, row: str, series: str) -> None:
    assert [each["series"] for each in judged(f"{header}\n{row}\n")] == [series]


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("", [], "line 1: no header"),
        ("2014-04-01 00:00:00,5\n", [], "line 1: no header"),
        ("time,value\n", ["--value-column", "flow"], "no such column; there are time, value"),
        ("time,value\n0,1\n\n60,1,2\n", [], "line 4: 3 cells, but the header has 2"),
        ("time,value\nyesterday,1\n", [], "line 2: 'yesterday' is no time: write ISO 8601"),
        ("time,value\n03/04/2014 10:00,1\n", [], "line 2: '03/04/2014 10:00' may be month/day or day/month"),
        ("time,value\n,1\n", [], "line 2: the time is missing"),
        ("time,value\n99999999999999999999999,1\n", [], "line 2: "),
        ("time,a,a\n0,1,2\n", ["--wide"], "line 1: two columns are named a: rename one"),
        ("time,name\n0,west\n", [], "line 2: no column holds a number"),
        ('time,value\n0,"1\n', [], "mend or remove the line"),
        ("time\n0\n", [], "no column of values beside 'time'"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line_and_cure(text: str, options: list[str], told: str) -> None:
    answer = invoke("-", *options, given=text)
    assert told in sentence(answer)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file" in sentence(invoke(tmp_path / "none.csv"))
    latin = tmp_path / "latin.csv"
    latin.write_bytes("time,µg\n0,1\n".encode("latin1"))
    assert "not UTF-8" in sentence(invoke(latin))
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(b"time,value\n" + b"0,1\n" * 1000)[:-10])
    assert "gzip data are damaged" in sentence(invoke(broken))


def test_gzip_whatever_its_name(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(gzip.compress(b"time,value\n0,\n"))
    assert invoke(file).stdout.splitlines() == [HEADER, "0,value,,0,0,"]


def test_json() -> None:
    (line,) = invoke("-", "--json", given="time,value\n0,\n").stdout.splitlines()
    assert json.loads(line) == {"time": "0", "series": "value", "value": "", "score": 0.0, "alarm": 0, "reason": ""}


@pytest.mark.parametrize(
    "options", [["--kind", "noise"], ["--wide", "--value-column", "a"], ["--wide", "--series-column", "a"], ["--no"]]
)
def test_wrong_command_lines(options: list[str]) -> None:
    assert invoke("-", *options, given="time,a\n0,1\n").exit_code == 2


def test_a_drawing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out.svg"
    answer = invoke("-", "--wide", "--plot", out, given="time,a,b\n0,1,2\n60,3,\n")
    assert answer.exit_code == 0, answer.exception
    assert "<svg" in out.read_text()[:1000]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from gateway.cli.main import make_app; make_app();"
        "print([each for each in sys.modules if each.split('.')[0] == 'matplotlib' or each.startswith('gateway.eval')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "ganglion detect cpu.csv" in invoke("--help").output


@pytest.mark.skipif(not AIR.exists(), reason="real data are not beside the project")
def test_real_stations_prefix(tmp_path: Path) -> None:
    with gzip.open(AIR, "rt") as file:
        lines = [next(file) for _ in range(901)]
    whole = judged("".join(lines), "--wide", "--kind", "air")
    assert judged("".join(lines[:500]), "--wide", "--kind", "air") == whole[: 499 * 12]
    assert sum(row["alarm"] == "1" for row in whole) <= 3


def test_a_meter_that_stops_and_one_that_is_swapped() -> None:
    random = np.random.default_rng(3)
    litres = random.integers(0, 40, 24 * 120) * (np.arange(24 * 120) % 24 > 5)
    litres[24 * 60 : 24 * 100] = 0
    register = np.cumsum(litres).astype(float)
    register[24 * 110 :] += 1e6
    rows = judged(hourly(register.tolist(), "litres"), "--kind", "water")
    found = {at: row["reason"] for at, row in enumerate(rows) if row["alarm"] == "1"}
    assert [text.split(":")[0] for text in found.values()] == ["stopped", "register"]
    stopped, swapped = found
    assert 24 * 87 < stopped < 24 * 90
    assert swapped == 24 * 110
