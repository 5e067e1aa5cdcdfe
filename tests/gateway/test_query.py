"""`ganglion query` against a real InfluxDB, and what becomes of a person's words on the way."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.config import Influx
from gateway.errors import GanglionError, Passing
from gateway.forward.influx_v1 import TargetV1
from gateway.forward.lines import line, pack_lines
from gateway.query.influxql import Aggregate, By, QueryError, Question, measurement, moment, seconds, statement
from sim_hardware.servers import InfluxDB, free_port
from tests.gateway.streets import START, pack

ODD = 'o\'brien \\ "x"; DROP DATABASE d --'


@pytest.fixture(scope="module")
def town(influx: InfluxDB, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration whose database holds half an hour of two air nodes and of a counter with two lanes."""
    target = TargetV1(Influx(influx.url, "v1", "town"))
    target.prepare()
    packs = []
    for minute in range(30):
        packs += [pack(f"air-000{n}", minute, {"pm2_5": 10.0 * n + minute, "temperature": 11.5}) for n in (1, 2)]
        lanes = {f"lane{n}/{name}": 10.0 * n + minute for n in (1, 2) for name in ("speed", "volume")}
        packs.append(pack("traffic-0001", minute, lanes))
    lines = [each for one in packs for each in pack_lines(one)]
    target.write([*lines, line("air", {"site": "riverside", "node": ODD}, {"co2": 455.0}, START)])
    config = tmp_path_factory.mktemp("town") / "ganglion.toml"
    config.write_text(f'sites = ["riverside"]\ndata_dir = "data"\n[influx]\nurl = "{influx.url}"\ndatabase = "town"\n')
    return config


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(make_app(), ["query", *arguments, "--config", str(config)])


def found(config: Path, *arguments: str, since: bool = True) -> list[dict[str, Any]]:
    """The rows, from START on unless told otherwise."""
    span = ["--from", str(START)] if since else []
    result = run(config, *arguments, *span, "--format", "json")
    assert result.exit_code == 0, result.exception or result.output
    return [json.loads(row) for row in result.stdout.splitlines()]


def error(config: Path, *arguments: str) -> str:
    """What a person is told."""
    exception = run(config, *arguments).exception
    assert isinstance(exception, GanglionError), exception
    return str(exception)


def test_readings_come_with_all_that_tells_them_apart(town: Path) -> None:
    """Time in UTC, site, node and, where there is one, channel."""
    rows = found(town, "pm2_5", "--node", "air-0002", "--to", str(START + 120))
    assert rows == [
        {"time": "2026-11-23T07:00:00Z", "site": "riverside", "node": "air-0002", "pm2_5": 20},
        {"time": "2026-11-23T07:01:00Z", "site": "riverside", "node": "air-0002", "pm2_5": 21},
    ]
    (lane,) = found(town, "speed", "--channel", "lane2", "--to", "2026-11-23T07:01")
    assert (lane["channel"], lane["speed"]) == ("lane2", 20)


def test_intervals_are_of_the_mean_by_node_unless_told(town: Path) -> None:
    """Each node a series of its own."""
    rows = found(town, "pm2_5", "--every", "10m")
    assert [(row["node"], row["time"][11:16], row["mean"]) for row in rows] == [
        *(("air-0001", f"07:{n}0", 14.5 + 10 * n) for n in range(3)),
        *(("air-0002", f"07:{n}0", 24.5 + 10 * n) for n in range(3)),
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("pm2_5", "--by", "none", "--aggregate", "max"), [{"max": 49}]),
        (("pm2_5", "--by", "site", "--aggregate", "min"), [{"site": "riverside", "min": 10}]),
        (("speed", "--by", "channel", "--aggregate", "count"), [{"channel": f"lane{n}", "count": 30} for n in (1, 2)]),
        (("volume", "--kind", "traffic", "--aggregate", "sum"), [{"node": "traffic-0001", "sum": 2 * 435 + 900}]),
        (("pm2_5", "--node", "air-0001", "--aggregate", "median"), [{"node": "air-0001", "median": 24.5}]),
        (("pm2_5", "--node", "air-0001", "--aggregate", "first"), [{"first": 10}]),
        (("pm2_5", "--node", "air-0001", "--aggregate", "last"), [{"last": 39}]),
        (("pm2_5", "--node", "air-0001", "--aggregate", "spread"), [{"spread": 29}]),
        (("pm2_5", "--node", "air-0001", "--aggregate", "stddev"), [{"stddev": 8.803408430829505}]),
        (("pm2_5", "--node", "air-0001", "--aggregate", "p5"), [{"p5": 11}]),
        (("pm2_5", "--node", "air-0001", "--aggregate", "p95"), [{"p95": 38}]),
        (("pm2_5", "--node", "air-0001", "--aggregate", "p99"), [{"p99": 39}]),
    ],
)
def test_each_aggregate_and_grouping(town: Path, arguments: tuple[str, ...], expected: list[dict[str, Any]]) -> None:
    """Over the whole time where no interval is given."""
    rows = found(town, *arguments)
    assert [{key: row[key] for key in want} for row, want in zip(rows, expected, strict=True)] == expected


def test_the_three_formats_say_the_same(town: Path) -> None:
    """A table for people, CSV with a header, JSON with one object a line."""
    arguments = ("pm2_5", "--every", "30m", "--from", str(START))
    as_json = found(town, *arguments, since=False)
    as_csv = list(csv.DictReader(io.StringIO(run(town, *arguments, "--format", "csv").stdout)))
    assert as_csv == [{key: str(value) for key, value in row.items()} for row in as_json]
    header, *table = run(town, *arguments).stdout.splitlines()
    assert header.split() == ["time", "site", "node", "mean"]
    assert [row.split() for row in table] == [list(row.values()) for row in as_csv]


def test_a_statement_goes_as_it_is(town: Path) -> None:
    """Also one that shows no series; several measurements are told apart."""
    assert found(town, "--influxql", "select count(pm2_5) from air", since=False)[0]["count"] == 60
    names = found(town, "--influxql", "show measurements", since=False)
    assert [row["name"] for row in names] == ["air", "traffic"]
    both = found(town, "--influxql", "select last(temperature), last(speed) from air, traffic", since=False)
    assert {row["measurement"] for row in both} == {"air", "traffic"}


def test_quotes_in_a_name_are_part_of_the_name(town: Path) -> None:
    """No word of a person becomes a word of the statement."""
    (row,) = found(town, "co2", "--node", ODD)
    assert row["node"] == ODD
    assert "there is no node" in error(town, "co2", "--node", "x' OR 'a' = 'a")
    assert "there is no site" in error(town, "co2", "--site", "\\' OR 1=1 --")


def test_nothing_found_is_told_apart_from_nothing_asked(town: Path) -> None:
    """Empty on standard output in each format; the statement on standard error."""
    for form in ("table", "csv", "json"):
        result = run(town, "pm2_5", "--to", "2020-01-01", "--format", form)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "nothing found by SELECT" in result.stderr
        assert "pm2_5 is there from 2026-11-23T07:00:00Z to 2026-11-23T07:29:00Z" in result.stderr


@pytest.mark.parametrize(
    "text",
    [
        "DROP DATABASE town",
        "drop measurement air",
        "DELETE FROM air",
        "SELECT pm2_5 INTO copy FROM air",
        "SELECT pm2_5*1.5INTO copy FROM air",
        "SELECT pm2_5/**/INTO/**/copy FROM air",
        "EXPLAIN ANALYZE SELECT pm2_5 INTO copy FROM air",
        "SELECT 1 FROM air; DROP DATABASE town",
        ";;DROP DATABASE town",
        "-- a word\nDROP DATABASE town",
        "-- a word\rDROP DATABASE town",
        "-- a word\0DROP DATABASE town",
        "/* a word */ DROP DATABASE town",
        "SELECT 1 FROM air;/* ; SELECT */-- SELECT\nDROP DATABASE town",
        "SELECT pm2_5 FROM air WHERE node =~ /'/; DROP DATABASE town; SELECT pm2_5 FROM air WHERE node =~ /'/",
        "CREATE DATABASE other",
        "KILL QUERY 1",
        "SET PASSWORD FOR a = 'b'",
    ],
)
def test_a_statement_that_changes_something_is_refused(town: Path, text: str) -> None:
    """However it is dressed; and nothing has changed."""
    assert "this command only reads" in error(town, "--influxql", text)
    names = found(town, "--influxql", "show databases", since=False)
    assert "other" not in [row["name"] for row in names]
    names = found(town, "--influxql", "show measurements", since=False)
    assert [row["name"] for row in names] == ["air", "traffic"]


@pytest.mark.parametrize(
    "text",
    [
        "/* how many? */ SELECT count(pm2_5) FROM air -- all\n;",
        "SHOW MEASUREMENTS; SELECT count(pm2_5) FROM air;",
        "EXPLAIN SELECT pm2_5 FROM air",
        "SELECT count(pm2_5) AS drop_into FROM air WHERE node =~ /^air/",
    ],
)
def test_a_statement_that_reads_is_asked(town: Path, text: str) -> None:
    """With comments, several at once, and words that only look like others."""
    assert found(town, "--influxql", text, since=False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pm25",), "the nearest are pm2_5"),
        (("temperature",), "choose with --kind one of air, health, water"),
        (("volume",), "traffic, water"),
        (("tamper",), "--kind"),
        (("pm2_5", "--kind", "water"), "measured in: air"),
        (("pm2_5", "--last", "1y"), "'1y' is no duration"),
        (("pm2_5", "--every", "0m"), "no duration"),
        (("pm2_5", "--every", "10m) fill(0); DROP DATABASE town --"), "no duration"),
        (("pm2_5", "--from", "yesterday"), "ISO 8601"),
        (("pm2_5", "--from", "2026-11-23", "--last", "1h"), "--last ends now"),
        (("pm2_5", "--influxql", "select 1"), "leave out the quantity"),
        ((), "name a quantity"),
        (("--influxql", "select from"), "error parsing query"),
        (("--influxql", "select * from air", "--database", "nowhere"), "database not found: nowhere"),
    ],
)
def test_what_cannot_be_asked_is_explained(town: Path, arguments: tuple[str, ...], says: str) -> None:
    """With what to write instead."""
    assert says in error(town, *arguments)


def test_a_database_by_url_needs_no_configuration(town: Path, influx: InfluxDB) -> None:
    """And one that is not there is named."""
    nowhere = town.with_name("missing.toml")
    rows = found(nowhere, "pm2_5", "--url", influx.url, "--database", "town", "--aggregate", "count")
    assert [row["count"] for row in rows] == [30, 30]
    result = run(nowhere, "pm2_5", "--url", f"http://127.0.0.1:{free_port()}")
    assert isinstance(result.exception, Passing)
    assert "Connection refused" in str(result.exception)
    assert "missing.toml" in error(nowhere, "pm2_5")


def test_durations_and_times() -> None:
    """Compound durations; times of any zone, or none, which is UTC."""
    assert [seconds(text) for text in ("90s", "10m", "24h", "7d", "2w", "1h30m")] == [
        90, 600, 86_400, 604_800, 1_209_600, 5400,
    ]  # fmt: skip
    assert moment("1795417200") == moment("2026-11-23T07:00:00Z") == moment("2026-11-23T08:00+01:00")
    assert moment("2026-11-23") == "'2026-11-23T00:00:00Z'"
    for text in ("-1h", "1.5h", "h", "10 m", "10m\n", "١h"):
        with pytest.raises(QueryError):
            seconds(text)
    for text in ("99999999999999", "2026-13-01", "'; DROP", "0001-01-01T00:00+14:00"):
        with pytest.raises(QueryError):
            moment(text)


def test_the_statement_of_a_question() -> None:
    """As a person would write it."""
    question = Question(
        quantity="pm2_5", site="riverside", last="24h", every="10m", by=By.SITE, aggregate=Aggregate.MAX
    )
    assert statement(question) == (
        'SELECT max("pm2_5") FROM "air" WHERE time >= now() - 86400s AND "site" = \'riverside\' '
        'GROUP BY time(600s), "site" fill(none)'
    )
    assert measurement("tamper", "water") == "water"
