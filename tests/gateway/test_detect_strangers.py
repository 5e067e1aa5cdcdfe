"""`ganglion detect` on files as they come: no header, values that cannot be, many series from a pipe."""

import csv
import gzip
import io
import subprocess
import sys
from collections.abc import Sequence
from io import BufferedReader, BytesIO

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.detect.air.neighbours import MOST
from gateway.detect.memory import Floats, Ints, Rows
from gateway.evaluate.adapters import Kind, detector
from gateway.evaluate.judge import judge
from gateway.evaluate.table import Columns, Table
from gateway.evaluate.verdict import Verdict
from gateway.lines import Lines
from tests.gateway.commandline import sentence

pytestmark = pytest.mark.soak

HOUR = 3600


def invoke(*arguments: str, given: str | bytes) -> Result:
    return CliRunner().invoke(make_app(), ["detect", "-", *arguments], input=given)  # type: ignore[return-value]


def rows_of(answer: Result) -> list[dict[str, str]]:
    assert answer.exit_code == 0, (answer.exception, answer.output)
    return list(csv.DictReader(io.StringIO(answer.stdout)))


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        ("1795932000,5\n1795935600,6\n", []),
        ("0,5,5\n60,6,7\n", ["--wide"]),
        ("1795932000,\n1795935600,6\n", []),
        ("1795932000,nan,5\n1795935600,6,1\n", ["--wide"]),
        ("1795932000,west,5\n1795935600,west,6\n", []),
        ("7,2026-11-29T06:00:00Z\n8,2026-11-29T07:00:00Z\n", []),
        ("29.11.2026 06:00;1\n29.11.2026 07:00;2\n", ["--time-format", "%d.%m.%Y %H:%M"]),
    ],
)
def test_a_file_without_a_header_loses_no_row(rows: str, options: list[str]) -> None:
    first = rows.partition("\n")[0].replace(";", ",").split(",")[0]
    assert f"line 1: no header: '{first}' is a value and no name, and its row would be lost: name" in sentence(
        invoke(*options, given=rows)
    )


def test_numbers_that_are_names_are_told_by_naming_one() -> None:
    rows = rows_of(invoke("--wide", "--time-column", "0", given="0,1,2\n60,6,7\n"))
    assert [(row["time"], row["series"], row["value"]) for row in rows] == [("60", "1", "6"), ("60", "2", "7")]


@pytest.mark.parametrize("kind", ["water", "air"])
@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("register", [True, False])
def test_values_that_cannot_be_are_missing_and_told(kind: str, wide: bool, register: bool) -> None:
    """Without a warning (which fails a test), and as if the cell were empty."""
    random = np.random.default_rng(1)
    litres = random.integers(1, 60, (400, 4 if wide else 1))
    cells = (litres.cumsum(0) if register else litres).astype("U20")
    cells[[200, 201, 300], 0] = ["1e308", "-1e308", "1.1e10"]

    def file() -> str:
        lines = (f"{HOUR * at},{','.join(row)}\n" for at, row in enumerate(cells))
        return "".join(["time,a,b,c,d\n" if wide else "time,a\n", *lines])

    options = ["--kind", kind, *(["--wide"] if wide else [])]
    answer = invoke(*options, given=file())
    assert "taken as missing: 3, the first '1e308' in line 202" in answer.stderr
    cells[[200, 201, 300], 0] = ""
    assert rows_of(answer) == rows_of(invoke(*options, given=file()))


@pytest.mark.parametrize("kind", ["water", "air"])
@pytest.mark.parametrize("extreme", [1e10, -1e10, 110_000])
def test_values_that_can_just_be_give_no_warning(kind: Kind, extreme: float) -> None:
    values = np.random.default_rng(1).integers(1, 60, 400).astype(float)
    values[[200, 201, 300]] = extreme
    lines = [f"{HOUR * at},{value:g},20,30,{at % 7}\n" for at, value in enumerate(values)]
    for options in ([], ["--wide"]):
        answer = invoke("--kind", kind, *options, given="time,a,b,c,d\n" + "".join(lines))
        scores = [float(row["score"]) for row in rows_of(answer)]
        assert all(0 <= score <= 1 for score in scores)
        assert max(scores) > 0


class Counting:
    """How often it is asked, and of how many rows."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def grow(self, series: int) -> None:
        pass

    def step(self, rows: Rows, time: Ints, values: Floats) -> Verdict:
        self.steps.append(len(time))
        return Verdict(np.zeros(len(time)), np.zeros(len(time), np.bool_), str)


def test_what_a_pipe_has_ready_is_judged_together() -> None:
    """Not row by row: of each chunk that was read, every series once."""
    text = "time,node,value\n" + "".join(f"{HOUR * at},n{series},7\n" for at in range(4) for series in range(5000))
    lines = Lines(BufferedReader(BytesIO(text.encode())))  # type: ignore[arg-type]
    table = Table(lines, Columns(series="node"))
    counting = Counting()
    told = [row for part in judge(table, table.layout, counting, 10**6, lines.wait) for row in part]
    assert [row.series for row in told] == [f"n{series}" for series in range(5000)] * 4
    assert sum(counting.steps) == len(told)
    assert len(counting.steps) < 2 * len(text) / 8192


def test_a_row_is_told_before_the_next_one_comes() -> None:
    """By a pipe whose other end waits for each answer."""
    for options in ([], ["--series-column", "node"], ["--wide"]):
        command = [sys.executable, "-m", "gateway.cli.main", "detect", "-", *options]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as live:
            assert live.stdin is not None
            assert live.stdout is not None
            live.stdin.write("time,value,node\r\n")
            for at in range(3):
                live.stdin.write(f"{HOUR * at},7,5\r\n")
                if at == 0:
                    assert live.stdout.readline().startswith("time,series,value")
                assert live.stdout.readline().startswith(f"{HOUR * at},")
                if "--wide" in options:
                    assert live.stdout.readline().startswith(f"{HOUR * at},node,5")
            live.stdin.close()
            assert live.stdout.read() == ""
        assert live.returncode == 0


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("packed", [True, False])
def test_lines_of_any_end_are_whole_however_they_are_read(end: str, packed: bool) -> None:
    wanted = [f"{at},{'µ' * (at % 300)}{end}" for at in range(3000)] + ["last"]
    data = "".join(wanted).encode()
    found = Lines(BufferedReader(BytesIO(gzip.compress(data) if packed else data)))  # type: ignore[arg-type]
    assert list(found) == wanted


def test_a_large_site_is_judged_as_its_parts() -> None:
    """Of 70 stations 24, 23 and 23, each by itself."""
    random = np.random.default_rng(5)
    common = random.lognormal(3.5, 0.6, 24 * 30)
    values = common[:, None] * random.lognormal(0, 0.1, (len(common), 2 * MOST + 6))
    values[600:, 30] *= 4
    whole = scores(values)
    parts = [values[:, :24], values[:, 24:47], values[:, 47:]]
    assert np.array_equal(whole, np.concatenate([scores(part) for part in parts], axis=1))
    assert whole[:, 30].max() == 1


def scores(values: Floats) -> Floats:
    judges = detector("air", values.shape[1], together=True)
    return np.array(
        [judges.step(slice(None), np.full(len(row), HOUR * at), row).score for at, row in enumerate(values)]
    )


@pytest.mark.parametrize(
    ("times", "options", "late"),
    [
        ([0, 60, 60, 30, 90], [], "2, the first in line 4"),
        ([120, 60, 0], ["--wide"], "2, the first in line 3"),
        ([0, 60, 120], [], None),
    ],
)
def test_rows_that_are_not_in_order_are_told(times: Sequence[int], options: list[str], late: str | None) -> None:
    answer = invoke(*options, given="time,a\n" + "".join(f"{time},1\n" for time in times))
    assert len(rows_of(answer)) == len(times)
    if late is None:
        assert answer.stderr == ""
    else:
        assert f"not later than those above, passed over by detectors: {late}; sort them" in answer.stderr


def test_each_series_has_an_order_of_its_own() -> None:
    text = "time,node,value\n0,a,1\n60,a,1\n0,b,1\n60,b,1\n"
    assert invoke("--series-column", "node", given=text).stderr == ""
    assert "passed over by detectors: 2, the first in line 4" in invoke(given=text).stderr


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("time,value\n0,1\n", ["--series-column", "time"], "--series-column time is the column of the times: name"),
        ("\0" * 200_000, [], "field larger than field limit (131072): is it a CSV file?"),
        ("\x1b[2J\n0\n", [], r"no column of values beside '\x1b[2J': is the file"),
        ("\0" * (2**24 + 2**17), [], "a line of more than 16777216 characters: is it a CSV file?"),
    ],
)
def test_what_is_no_table_is_said_in_a_sentence(text: str, options: list[str], told: str) -> None:
    words = sentence(invoke(*options, given=text))
    assert told in words
    assert len(words) < 200
