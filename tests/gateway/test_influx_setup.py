"""`ganglion influx setup` on a real InfluxDB 1.6.7 whose continuous queries run; sums and means against numpy."""

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.config import Influx
from gateway.errors import GanglionError, Poison
from gateway.forward.influx_v1 import TargetV1
from gateway.forward.lines import line
from gateway.influx.plan import FOR_EVER, unspell
from gateway.influx.rollups import MEASUREMENTS, STEPS, field
from gateway.quantities import measured_in
from sim_hardware.servers import InfluxDB, VictoriaMetrics, wait_until
from tests.gateway.databases import select

NUMPY: dict[str, Any] = {
    "mean": np.mean,
    "sum": np.sum,
    "min": np.min,
    "max": np.max,
    "last": lambda values: values[-1],
}
SECONDS = {"15m": 900, "1h": 3600, "1d": 86_400}

Rows = dict[tuple[str, int, str], dict[str, float]]
"""Values by measurement, time and channel."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    """A server that looks each second whether a continuous query is due."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("INFLUXDB_CONTINUOUS_QUERIES_ENABLED", "true")
        environ.setenv("INFLUXDB_CONTINUOUS_QUERIES_RUN_INTERVAL", "1s")
        server = InfluxDB(tmp_path_factory.mktemp("setup") / "influx").start()
    yield server
    server.stop()


_names = itertools.count(1)


@pytest.fixture
def name() -> str:
    """Of a database that is not there yet; it needs quotes."""
    return f'city "{next(_names)}"'


def setup(server: InfluxDB, database: str, *more: str) -> Result:
    arguments = ["influx", "setup", "--url", server.url, "--database", database, *more]
    return CliRunner().invoke(make_app(), arguments, env={"GANGLION_CONFIG": ""})  # type: ignore[return-value]


def states(server: InfluxDB, database: str, *more: str) -> dict[tuple[str, str], str]:
    """What and name to state."""
    result = setup(server, database, "--json", *more)
    assert result.exit_code == 0, result.exception
    rows = [json.loads(row) for row in result.stdout.splitlines()]
    return {(row["what"], row["name"]): row["state"] for row in rows}


def keeps(server: InfluxDB, database: str) -> dict[str, str]:
    quoted = database.replace('"', '\\"')
    rows = select(server.url, database, f'SHOW RETENTION POLICIES ON "{quoted}"')
    return {row["name"]: row["duration"] for row in rows}


def fill(server: InfluxDB, database: str, begin: int, end: int) -> Rows:
    """A reading of every quantity each five minutes, of two channels where there are any; what was written."""
    dice = Random(begin)
    written: Rows = {}
    lines = []
    for when in range(begin, end, 300):
        for measurement in MEASUREMENTS:
            for channel in ("lane1", "lane2") if measurement == "traffic" else ("",):
                values = {each.name: round(dice.uniform(0, 100), 3) for each in measured_in(measurement)}
                written[measurement, when, channel] = values
                tags = {"site": "riverside", "node": f"{measurement}-0001", "channel": channel}
                lines.append(line(measurement, tags, values, when))
    TargetV1(Influx(server.url, "v1", database)).write(lines)
    return written


def rolled(server: InfluxDB, database: str, rollup: str) -> Rows:
    """What a roll-up holds."""
    found: Rows = {}
    for measurement in MEASUREMENTS:
        for row in select(server.url, database, f'SELECT * FROM "{rollup}"."{measurement}"'):
            place = (measurement, row.pop("time"), row.pop("channel", ""))
            assert (row.pop("site"), row.pop("node")) == ("riverside", f"{measurement}-0001")
            found[place] = row
    return found


def by_numpy(written: Rows, rollup: str) -> Rows:
    """What it should hold."""
    groups: dict[tuple[str, int, str], list[dict[str, float]]] = {}
    for (measurement, when, channel), values in written.items():
        begin = when // SECONDS[rollup] * SECONDS[rollup]
        groups.setdefault((measurement, begin, channel), []).append(values)
    return {
        place: {
            field(each, summary): NUMPY[summary]([values[each.name] for values in group])
            for each in measured_in(place[0])
            for summary in each.rollup
        }
        for place, group in groups.items()
    }


def assert_close(found: Rows, wanted: Rows) -> None:
    assert found.keys() == wanted.keys()
    for place, values in wanted.items():
        assert found[place] == pytest.approx(values), place


def test_the_second_time_changes_nothing(running: InfluxDB, name: str) -> None:
    """A dry run changes nothing either, and prints what a run would send."""
    dry = setup(running, name, "--dry-run")
    assert dry.exit_code == 0, dry.exception
    assert dry.stdout.startswith("CREATE DATABASE ")
    assert dry.stdout.count("CREATE CONTINUOUS QUERY") == 12
    assert name not in [row["name"] for row in select(running.url, "", "SHOW DATABASES")]
    assert set(states(running, name).values()) == {"made"}
    assert keeps(running, name) == {"autogen": "9600h0m0s", "15m": "43920h0m0s", "1h": "43920h0m0s", "1d": "43920h0m0s"}
    again = states(running, name)
    assert set(again.values()) == {"exists"}
    assert len(again) == 1 + 4 + 12
    assert setup(running, name, "--dry-run").stdout == "nothing is to be changed\n"
    assert "keeps 400d" in setup(running, name).stdout


def test_continuous_queries_fill_the_rollups(running: InfluxDB, name: str) -> None:
    """They run by themselves, over what lies back as far as they reach and is complete."""
    TargetV1(Influx(running.url, "v1", name)).prepare()
    now = int(time.time())
    written = fill(running, name, now // 900 * 900 - 5 * 3600, now)
    assert states(running, name)["continuous query", "ganglion_air_15m"] == "made"
    for rollup in ("15m", "1h"):
        length = SECONDS[rollup]
        # What is complete when they run first, and what may be when they run while we look.
        wanted = {place: row for place, row in by_numpy(written, rollup).items() if place[1] + length <= now}
        wait_until(
            lambda rollup=rollup, wanted=wanted: rolled(running, name, rollup).keys() >= wanted.keys(),  # type: ignore[misc]
            60,
            f"the continuous queries of {rollup}",
        )
        found = rolled(running, name, rollup)
        assert_close({place: found[place] for place in wanted}, wanted)


def test_readings_that_are_too_old_vanish_and_sums_stay(tmp_path: Path, name: str) -> None:
    """InfluxDB drops whole shards that ended longer ago than is kept, and refuses what is older from the beginning."""
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("INFLUXDB_RETENTION_CHECK_INTERVAL", "1s")
        server = InfluxDB(tmp_path / "influx").start()
    try:
        TargetV1(Influx(server.url, "v1", name)).prepare()
        now = int(time.time())
        old, older, new = now - 60 * 86_400, now - 500 * 86_400, now - 3600
        meter = {"site": "riverside", "node": "water-0001"}
        target = TargetV1(Influx(server.url, "v1", name))
        target.write([line("water", meter, {"flow": 20.0}, when) for when in (older, old, new)])
        setup(server, name, "--force", "--backfill")

        def flows(policy: str) -> set[int]:
            rows = select(server.url, name, f'SELECT flow FROM "{policy}".water WHERE flow > 0')
            return {row["time"] for row in rows}

        days = {when // 86_400 * 86_400 for when in (older, old, new)}
        wait_until(lambda: flows("autogen") == {old, new}, 20, "readings of more than 400 days to be dropped")
        assert keeps(server, name)["1d"] == "43920h0m0s"
        assert flows("1d") | {new // 86_400 * 86_400} == days  # the present day is not over
        assert setup(server, name, "--retention", "30d").exit_code == 0  # nothing goes without --force
        assert flows("autogen") == {old, new}
        assert setup(server, name, "--retention", "30d", "--force").exit_code == 0
        wait_until(lambda: flows("autogen") == {new}, 20, "readings of more than 30 days to be dropped")
        assert flows("1d") | {new // 86_400 * 86_400} == days
        with pytest.raises(Poison, match="beyond retention policy"):
            target.write([line("water", meter, {"flow": 20.0}, old)])
    finally:
        server.stop()


def test_what_is_there_is_summed_up_by_backfill(influx: InfluxDB, name: str) -> None:
    """Days that no continuous query reaches; again changes nothing. The short form of a query reads it."""
    TargetV1(Influx(influx.url, "v1", name)).prepare()
    begin = int(time.time()) // 86_400 * 86_400 - 20 * 86_400
    written = fill(influx, name, begin + 3 * 3600, begin + 2 * 86_400 + 1)
    assert states(influx, name)["service", "continuous queries"] == "missing"
    for _ in range(2):
        assert states(influx, name, "--backfill")["backfill", "water 1d"] == "made"
        for step in STEPS:
            assert_close(rolled(influx, name, step.rollup), by_numpy(written, step.rollup))
    result = CliRunner().invoke(
        make_app(),
        [
            *[
                "query",
                "volume",
                "--kind",
                "traffic",
                "--channel",
                "lane2",
                "--rollup",
                "1d",
                "--format",
                "json",
                "--from",
            ],
            *(str(begin), "--url", influx.url, "--database", name),
        ],
        env={"GANGLION_CONFIG": ""},
    )
    assert result.exit_code == 0, result.exception
    found = [json.loads(row)["volume"] for row in result.stdout.splitlines()]
    wanted = [
        values["volume"] for place, values in by_numpy(written, "1d").items() if place[::2] == ("traffic", "lane2")
    ]
    assert found == pytest.approx(wanted)


def test_nothing_is_kept_shorter_without_force(influx: InfluxDB, name: str) -> None:
    """Longer it is at once; for ever is the longest."""
    TargetV1(Influx(influx.url, "v1", name)).prepare()
    raw = ("retention policy", "autogen")
    assert states(influx, name, "--no-rollups")[raw] == "kept"
    assert keeps(influx, name) == {"autogen": "0s"}
    assert states(influx, name, "--no-rollups", "--force")[raw] == "changed"
    assert states(influx, name, "--no-rollups", "--retention", "500d")[raw] == "changed"
    assert states(influx, name, "--no-rollups", "--retention", "30d")[raw] == "kept"
    assert keeps(influx, name) == {"autogen": "12000h0m0s"}
    assert states(influx, name, "--no-rollups", "--retention", "5h", "--force")[raw] == "changed"
    assert states(influx, name, "--no-rollups", "--retention", "inf")[raw] == "changed"
    assert states(influx, name, "--rollup-retention", "90d", "--retention", "inf")["retention policy", "1h"] == "made"
    assert keeps(influx, name) == {"autogen": "0s", "15m": "2160h0m0s", "1h": "2160h0m0s", "1d": "2160h0m0s"}


def test_a_foreign_query_of_the_same_name_is_replaced_and_a_lost_default_given_back(
    influx: InfluxDB, name: str
) -> None:
    """What differs from what it should be is changed, and told."""
    states(influx, name)
    quoted = name.replace('"', '\\"')
    select(influx.url, name, f'DROP CONTINUOUS QUERY ganglion_air_1h ON "{quoted}"')
    other = 'SELECT mean(co2) INTO "1h".air FROM air GROUP BY time(1h)'
    select(influx.url, name, f'CREATE CONTINUOUS QUERY ganglion_air_1h ON "{quoted}" BEGIN {other} END')
    select(influx.url, name, f'DROP RETENTION POLICY autogen ON "{quoted}"')
    found = states(influx, name)
    assert found.pop(("continuous query", "ganglion_air_1h")) == "changed"
    assert found.pop(("retention policy", "autogen")) == "made"
    assert "made" not in found.values()
    assert "changed" not in found.values()
    TargetV1(Influx(influx.url, "v1", name)).write([b"m v=1 %d" % time.time()])


def test_what_cannot_be_set_up_is_told(influx: InfluxDB, victoria: VictoriaMetrics, name: str) -> None:
    """A duration that is none, one that is too short, and a server that is no InfluxDB."""
    for server, more, words in (
        (influx, ["--retention", "often"], "--retention: 'often' is no duration"),
        (influx, ["--retention", "5m"], "an hour at least"),
        (victoria, [], "VictoriaMetrics, are told by their own command line"),
    ):
        result = setup(server, name, *more)  # type: ignore[arg-type]
        assert isinstance(result.exception, GanglionError)
        assert words in str(result.exception)


@pytest.mark.parametrize("measurement", MEASUREMENTS)
def test_names_in_rollups_are_unique(measurement: str) -> None:
    """`flow_min` is a quantity of its own, and no minimum of `flow`."""
    names = [field(each, summary) for each in measured_in(measurement) for summary in each.rollup]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("text", "number"), [("0s", FOR_EVER), ("168h0m0s", 604_800), ("1h30m5s", 5405)])
def test_durations_as_influxdb_tells_them(text: str, number: int) -> None:
    assert unspell(text) == number
