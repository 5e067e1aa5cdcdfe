"""Setting up InfluxDB 2.x and 3 Core: requests held against the documented API, for those servers are not here."""

import json
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.errors import GanglionError
from gateway.influx.rollups import MEASUREMENTS, STEPS, flux
from gateway.quantities import measured_in
from tests.gateway.influx_standin import ORG, ORG_ID, TOKEN, Influx2, Influx3, StandInServer


def setup(server: StandInServer, tmp_path: Any, *more: str, org: str = ORG, token: str = TOKEN) -> Result:
    config = tmp_path / "ganglion.toml"
    config.write_text(
        f'sites = ["riverside"]\ndata_dir = "d"\n[influx]\nurl = "{server.url}"\ndatabase = "city"\norg = "{org}"\n'
        'token_env = "TOKEN"\n'
    )
    arguments = ["influx", "setup", "--config", str(config), *more]
    return CliRunner().invoke(make_app(), arguments, env={"TOKEN": token})  # type: ignore[return-value]


def states(server: StandInServer, tmp_path: Any, *more: str) -> dict[tuple[str, str], str]:
    result = setup(server, tmp_path, "--json", *more)
    assert result.exit_code == 0, result.exception
    rows = [json.loads(row) for row in result.stdout.splitlines()]
    return {(row["what"], row["name"]): row["state"] for row in rows}


def told(result: Result) -> str:
    assert isinstance(result.exception, GanglionError), result.output
    return str(result.exception)


def test_buckets_mappings_and_tasks_are_made_once(tmp_path: Any) -> None:
    """The roll-ups' buckets are retention policies of the same database to InfluxQL."""
    with Influx2() as server:
        dry = setup(server, tmp_path, "--dry-run")
        assert dry.exit_code == 0, dry.exception
        assert server.asked == []
        assert len(dry.stdout.splitlines()) == 4 + 4 + 12
        assert set(states(server, tmp_path).values()) == {"made"}
        kept = {each["name"]: each["retentionRules"] for each in server.buckets.values()}
        assert kept.pop("city") == [{"type": "expire", "everySeconds": 400 * 86_400}]
        five_years = [{"type": "expire", "everySeconds": 1830 * 86_400}]
        assert kept == {f"city/{each}": five_years for each in ("15m", "1h", "1d")}
        mapped = {
            (each["database"], each["retention_policy"]): (server.buckets[each["bucketID"]]["name"], each["default"])
            for each in server.dbrps.values()
        }
        assert mapped == {
            ("city", "autogen"): ("city", True),
            ("city", "15m"): ("city/15m", False),
            ("city", "1h"): ("city/1h", False),
            ("city", "1d"): ("city/1d", False),
        }
        assert len(server.tasks) == 12
        number = len(server.asked)
        assert set(states(server, tmp_path).values()) == {"exists"}
        assert len(server.asked) == number


def test_a_virtual_mapping_is_enough(tmp_path: Any) -> None:
    """2.x gives one to every bucket that has none of its own."""
    with Influx2() as server:
        states(server, tmp_path)
        server.dbrps.clear()
        assert states(server, tmp_path)["DBRP mapping", "city.15m"] == "exists"


def test_what_is_kept_longer_or_belongs_to_another_is_left(tmp_path: Any) -> None:
    """Unless --force says otherwise. A task that differs is brought up to date."""
    with Influx2() as server:
        states(server, tmp_path, "--retention", "inf")
        (raw,) = [each for each in server.buckets.values() if each["name"] == "city"]
        server.buckets["f" * 16] = {"id": "f" * 16, "name": "other", "retentionRules": []}
        for each in server.dbrps.values():
            each["bucketID"] = "f" * 16
        next(iter(server.tasks.values()))["flux"] = "other"
        found = states(server, tmp_path)
        assert (found["bucket", "city"], found["DBRP mapping", "city.1h"]) == ("kept", "kept")
        assert [state for (what, _), state in found.items() if what == "task"].count("changed") == 1
        assert raw["retentionRules"] == []
        found = states(server, tmp_path, "--force")
        assert (found["bucket", "city"], found["DBRP mapping", "city.1h"]) == ("changed", "changed")
        assert raw["retentionRules"] == [{"type": "expire", "everySeconds": 400 * 86_400}]
        assert set(states(server, tmp_path).values()) == {"exists"}
        assert states(server, tmp_path, "--retention", "inf")["bucket", "city"] == "changed"
        assert raw["retentionRules"] == [{"type": "expire", "everySeconds": 0}]
        assert states(server, tmp_path, "--retention", "inf")["bucket", "city"] == "exists"


def test_a_task_sums_up_every_quantity_as_the_table_says() -> None:
    """Each with its functions, each stream under a name of its own, as Flux demands."""
    for measurement in MEASUREMENTS:
        script = flux('ci"ty', "goal", measurement, STEPS[0])
        assert '"ci\\"ty"' in script
        streams = script.split("\n\n")[3:]
        for each in measured_in(measurement):
            for summary in each.rollup:
                (stream,) = [
                    stream
                    for stream in streams
                    if f'r._field == "{each.name}"' in stream and f"fn: {summary}," in stream
                ]
                assert (f'"_{summary}"' in stream) == (summary != each.rollup[0])
                assert 'to(bucket: "goal")' in stream
        yields = [stream.rpartition("yield(name: ")[2] for stream in streams]
        assert len(set(yields)) == len(yields)


def test_3_core_gets_a_database_and_the_truth(tmp_path: Any) -> None:
    """No roll-ups, and no change of what it keeps."""
    with Influx3() as server:
        assert (
            'POST /api/v3/configure/database {"db":"city","retention_period":"400d"}'
            in setup(server, tmp_path, "--dry-run").stdout
        )
        assert server.databases == {}
        assert states(server, tmp_path) == {("database", "city"): "made", ("roll-ups", "15m, 1h, 1d"): "missing"}
        assert server.databases == {"city": "400d"}
        assert states(server, tmp_path, "--no-rollups", "--retention", "500d") == {("database", "city"): "exists"}
        server.databases.clear()
        assert states(server, tmp_path, "--no-rollups", "--retention", "inf") == {("database", "city"): "made"}
        assert server.databases == {"city": None}


@pytest.mark.parametrize("kind", [Influx2, Influx3])
def test_a_token_that_may_not_is_told(tmp_path: Any, kind: type[StandInServer]) -> None:
    with kind() as server:
        words = told(setup(server, tmp_path, token="wrong"))
    assert "401" in words
    assert "may set up databases" in words
    assert "wrong" not in words


def test_an_organisation_is_needed_and_must_be_there(tmp_path: Any) -> None:
    """And backfill is for 1.x."""
    with Influx2() as server:
        assert "influx.org: is empty" in told(setup(server, tmp_path, org=""))
        assert "no organisation 'village'" in told(setup(server, tmp_path, org="village"))
        assert "--backfill is for 1.x" in told(setup(server, tmp_path, "--backfill"))
        assert server.asked == []
        assert ORG_ID not in server.url
