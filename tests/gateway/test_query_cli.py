"""What `ganglion query` draws, compares, writes and explains, against a real InfluxDB."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from click.testing import Result
from PIL import Image
from pyarrow import parquet
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.cli.query import Format
from gateway.config import Influx
from gateway.errors import GanglionError
from gateway.forward.influx_v1 import TargetV1
from gateway.forward.lines import line
from gateway.influx.plan import Wish
from gateway.influx.setup_v1 import SetupV1
from gateway.query.answer import Answered, answered, answering
from gateway.query.client import TooMuch, ask
from gateway.query.fit import MOST_POINTS, Fitted
from gateway.query.influxql import Aggregate, By, Question, Rollup
from sim_hardware.servers import InfluxDB
from tests.gateway.filled import DAY, DAYS, HOUR, NOW, fill, level
from tests.test_docs import DOCS


@pytest.fixture(scope="module")
def city(influx: InfluxDB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration whose database holds fifteen days of two air nodes; see `filled`."""
    return fill(influx.url, "fortnight", tmp_path_factory.mktemp("fortnight"))


def run(config: Path, *arguments: str) -> Result:
    span = [] if {"--last", "--from", "--influxql"} & {*arguments} else ["--from", str(NOW - DAY), "--to", str(NOW)]
    return CliRunner().invoke(make_app(), ["query", *arguments, *span, "--config", str(config)])


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.exception or result.output
    return [json.loads(row) for row in result.stdout.splitlines()]


def told(config: Path, question: Question, **how: Any) -> Answered:
    settings = Influx(config.read_text().partition('url = "')[2].partition('"')[0], database="fortnight")
    return answered(answering(question, now=NOW, **how), lambda text: ask(settings, text))


def test_more_points_than_anybody_looks_at_are_thinned_and_said(city: Path) -> None:
    """By what was counted, not by what is usual; --most gives all."""
    span = ("--from", str(NOW - 15 * DAY), "--to", str(NOW))
    whole = run(city, "pm2_5", "--node", "air-0001", "--format", "json", *span)
    assert (len(rows(whole)), whole.stderr) == (DAYS * 288, ""), "5 minutes apart they fit; minutes would not"
    thin = run(city, "pm2_5", "--node", "air-0001", "--format", "json", "--most", "400", *span)
    assert thin.stderr.startswith(
        "thinned: means of an hour from the roll-up of 15 minutes, as about 4,320 points would come"
    )
    assert [row["mean"] for row in rows(thin)] == [level(NOW - DAYS * DAY + n * HOUR) for n in range(DAYS * 24)]


def test_seconds_are_counted(city: Path) -> None:
    """An hour of seconds does not fit into a thousand points, whatever nodes usually do."""
    question = Question(quantity="rssi", begin=str(NOW - 3 * HOUR), end=str(NOW))
    answer = told(city, question, most=1000)
    assert answer.question.every == "10s", "there is but an hour of it"
    assert "in each" not in answer.notes[0]
    late = told(city, Question(quantity="rssi", begin=str(NOW - HOUR), end=str(NOW)), most=1000)
    assert (late.question.every, "thinned" in late.notes[0]) == ("10s", True), "it was asked, and was too much"


def test_a_roll_up_that_lacks_the_beginning_is_not_asked(influx: InfluxDB, influx_db: str) -> None:
    """Set up without --backfill it holds what came since; the readings hold all."""
    settings = Influx(influx.url, "v1", influx_db)
    TargetV1(settings).prepare()
    for planned in SetupV1(settings).plan(Wish(0)):
        planned.do()
    TargetV1(settings).write([line("air", {"node": "a"}, {"co2": 1.0}, NOW - n * DAY) for n in range(30)])
    into = 'SELECT mean(co2) AS co2 INTO "1h"."air" FROM "air" WHERE time > 0 GROUP BY time(1h), node'
    ask(settings, into)
    question = Question(quantity="co2", begin=str(NOW - 40 * DAY), end=str(NOW + 1))
    answer = answered(answering(question, now=NOW, most=10), lambda text: ask(settings, text))
    assert (answer.question.rollup, answer.question.every) == (Rollup.HOUR, "1w"), "it begins where the readings do"
    newer = Question(quantity="co2", begin=str(NOW - 40 * DAY), end=str(NOW + 1), node="b")
    TargetV1(settings).write([line("air", {"node": "b"}, {"co2": 1.0}, NOW - n * DAY) for n in range(30)])
    other = answered(answering(newer, now=NOW, most=10), lambda text: ask(settings, text))
    assert other.question.rollup is None
    assert sum(len(each.values) for each in other.series) == 5


def test_a_week_before_stands_beside(city: Path) -> None:
    """Each row with the value of the same time a week before, which was one less."""
    found = rows(run(city, "pm2_5", "--every", "1h", "--compare", "1w", "--format", "json"))
    assert len(found) == 48
    assert {row["mean"] - row["mean_1w_before"] for row in found} == {1.0}
    assert "nothing of 52w before" in run(city, "pm2_5", "--every", "1h", "--compare", "52w").stderr


def test_what_is_expected_stands_beside(city: Path) -> None:
    """By the two weeks before; what lies a week before the beginning of all has none, and says why."""
    found = rows(run(city, "pm2_5", "--node", "air-0001", "--every", "1h", "--band", "--format", "json"))
    assert len(found) == 24
    for row in found[1:-1]:
        assert row["low"] <= row["expected"] <= row["high"] <= row["mean"] + 5
    early = run(
        city, "pm2_5", "--from", str(NOW - 14 * DAY), "--to", str(NOW - 13 * DAY), "--every", "1h", "--band",
        "--format", "json",
    )  # fmt: skip
    assert "no expected band of riverside/air-0001: there is too little history" in early.stderr
    assert "low" not in rows(early)[0]


def test_many_series_get_no_band_at_once(city: Path) -> None:
    """Rather than a question that takes minutes."""
    question = Question(quantity="pm2_5", every="1h", begin=str(NOW - DAY), end=str(NOW))
    answer = told(city, question, band=True, total=1000)
    assert answer.notes == ("no expected band of 2 series at once: ask for fewer nodes, or longer intervals",)


def test_the_plot_without_a_terminal_is_plain(city: Path) -> None:
    """80 columns, 20 lines, no colours, the wall clock of the city, and the legend."""
    result = run(city, "pm2_5", "--site", "riverside", "--every", "1h", "--plot")
    assert result.exit_code == 0, result.exception
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == 21
    assert "\x1b" not in result.stdout
    assert "riverside/air-0001" in result.stdout
    assert lines[-1] == "ug/m3, times of Europe/Berlin"
    assert any("\u2800" < each < "\u28ff" for each in result.stdout), "braille"


def test_the_plot_is_as_wide_as_the_terminal(city: Path) -> None:
    """And has colours there."""
    ours, theirs = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    command = [sys.executable, "-m", "gateway.cli.main", "query", "pm2_5", "--from", str(NOW - DAY), "--to", str(NOW)]
    with subprocess.Popen(
        [*command, "--every", "1h", "--plot", "--config", str(city)],
        stdout=theirs, env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""},
    ) as process:  # fmt: skip
        os.close(theirs)
        text = b""
        while True:
            try:
                text += os.read(ours, 65_536)
            except OSError:
                break
    os.close(ours)
    assert process.returncode == 0
    assert b"\x1b[" in text
    assert max(len(row) for row in _without_colours(text.decode()).splitlines()) == 120


def _without_colours(text: str) -> str:
    import plotext

    return str(plotext.uncolorize(text))


def test_a_recent_beginning_is_not_thinned_for_the_time_before_it(city: Path) -> None:
    """A year is asked for, but there are fifteen days of it."""
    answer = told(city, Question(quantity="pm2_5", begin=str(NOW - 365 * DAY), end=str(NOW)))
    assert (answer.notes, answer.question.every) == ((), "")


def test_the_picture_has_alarms_bands_and_the_period_before(city: Path, tmp_path: Path) -> None:
    """It differs by what is drawn, and is written whole."""
    plain, full = tmp_path / "plain.png", tmp_path / "full.png"
    arguments = ("pm2_5", "--node", "air-0001", "--every", "1h")
    assert run(city, *arguments, "--png", str(plain)).exit_code == 0
    result = run(city, *arguments, "--band", "--compare", "1w", "--png", str(full))
    assert (result.exit_code, result.stdout) == (0, ""), result.exception
    assert f"the picture is {full}" in result.stderr
    with Image.open(plain) as one, Image.open(full) as two:
        assert one.size == two.size == (1320, 600)
        assert _has(two.convert("RGB"), (0xB3, 0x26, 0x1E)), "the alarm's line"
        assert np.asarray(one.convert("L")).std() > 5
    assert run(city, *arguments, "--png", str(tmp_path / "no" / "x.png")).exit_code == 1


def _has(image: Image.Image, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(np.asarray(image).astype(int) - colour).sum(axis=2) < 60).any())


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_files(city: Path, tmp_path: Path, form: str) -> None:
    """By their end, or by --format; the same rows as on standard output."""
    file = tmp_path / f"out.{form}"
    result = run(city, "pm2_5", "--every", "6h", "--out", str(file))
    assert (result.exit_code, result.stdout) == (0, ""), result.exception
    assert f"8 rows are in {file}" in result.stderr
    shown = run(city, "pm2_5", "--every", "6h", "--format", form)
    assert shown.stdout_bytes == file.read_bytes()


def test_parquet_has_types(city: Path) -> None:
    """Times are times; names are text; values are numbers."""
    table = parquet.read_table(io.BytesIO(run(city, "pm2_5", "--every", "6h", "--format", "parquet").stdout_bytes))
    assert {field.name: str(field.type) for field in table.schema} == {
        "time": "timestamp[ns, tz=UTC]", "site": "string", "node": "string", "mean": "double",
    }  # fmt: skip
    assert table["time"][0].as_py().timestamp() == NOW - DAY
    assert table.num_rows == 8


def test_without_pyarrow_the_extra_is_named(city: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run(city, "pm2_5", "--every", "6h", "--format", "parquet")
    assert "pip install 'ganglion[parquet]'" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--site", "rivarside"), "there is no site 'rivarside'; the nearest: riverside"),
        (("--node", "air-001"), "there is no node 'air-001'; the nearest: air-0001, air-0002"),
        (("--channel", "lane1"), "there is no channel 'lane1'; nor any other"),
        (("--kind", "aire"), "it is measured in: air"),
        (("--compare", "soon"), "'soon' is no duration"),
        (("--from", "2026-01-02", "--to", "2026-01-01"), "ends before it begins"),
        (("--influxql", "show databases", "--band"), "leave out"),
        (("--influxql", "show databases", "--plot"), "nothing to draw"),
    ],
)
def test_what_is_wrong_is_explained(city: Path, arguments: tuple[str, ...], says: str) -> None:
    """With what is near; and the command ends with 1."""
    quantity = () if "--influxql" in arguments else ("pm2_5",)
    result = run(city, *quantity, *arguments)
    assert isinstance(result.exception, GanglionError), result.exception
    assert says in str(result.exception)


def test_a_name_that_is_there_says_when(city: Path) -> None:
    """And nothing is wrong, so it ends with 0."""
    result = run(city, "pm2_5", "--node", "air-0001", "--from", str(NOW + DAY), "--to", str(NOW + 2 * DAY))
    assert result.exit_code == 0
    assert "nothing in that time: pm2_5 of air-0001 is there from" in result.stderr
    other = run(city, "co2", "--node", "air-0001")
    assert "there is no co2 of air-0001 at all" in other.stderr


@pytest.mark.parametrize(
    "arguments", [("--out", "x.txt"), ("--out", "x.csv", "--format", "table"), ("--most", "0"), ("--by", "street")]
)
def test_a_wrong_command_line_ends_with_2(city: Path, arguments: tuple[str, ...]) -> None:
    assert run(city, "pm2_5", *arguments).exit_code == 2


def test_an_answer_is_bounded(city: Path) -> None:
    """In bytes, whatever was asked; and who waits hears how much has come."""
    settings = Influx(city.read_text().partition('url = "')[2].partition('"')[0], database="fortnight")
    heard: list[int] = []
    ask(settings, "SELECT * FROM air", told=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] > 100_000
    with pytest.raises(TooMuch, match="more than 100,000 bytes"):
        ask(settings, "SELECT * FROM air", most_bytes=100_000)


def test_all_series_together_are_counted(city: Path) -> None:
    """Whether they report now or did long ago."""
    for begin, end in ((NOW - 10 * DAY, NOW), (NOW - 10 * DAY, NOW + 3 * DAY)):
        asking = answering(Question(quantity="pm2_5", begin=str(begin), end=str(end), by=By.NODE), now=NOW, most=5)
        settings = Influx(city.read_text().partition('url = "')[2].partition('"')[0], database="fortnight")
        assert "in each of 2 series" in answered(asking, lambda text: ask(settings, text)).notes[0]  # noqa: B023


def test_what_fits_needs_no_word(city: Path) -> None:
    answer = told(city, Question(quantity="pm2_5", begin=str(NOW - DAY), end=str(NOW)))
    assert answer.notes == ()
    assert Fitted(answer.question) == Fitted(Question(quantity="pm2_5", begin=str(NOW - DAY), end=str(NOW)))


def test_the_page_tells_every_option() -> None:
    """And every value of those that have some; and the default number of points."""
    page = (DOCS / "query.md").read_text()
    program: Any = typer.main.get_command(make_app())
    options = {each.opts[0] for each in program.commands["query"].params if each.param_type_name == "option"}
    told = dict(re.findall(r"^\| `(--[\w-]+)` \| (.+) \|$", page, re.MULTILINE))
    assert told.keys() == options - {"--help"}
    values = {"--aggregate": Aggregate, "--by": By, "--rollup": Rollup, "--format": Format}
    for name, choices in values.items():
        assert set(re.findall(r"`(\w+)`", told[name].rpartition("|")[2])) == set(choices), name
    assert f"{MOST_POINTS:,}".replace(",", " ") in told["--most"]
