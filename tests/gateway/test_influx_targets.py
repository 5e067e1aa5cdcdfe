"""Writing to real servers: InfluxDB 1.6.7, and VictoriaMetrics for the v2 API."""

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import urllib3

from gateway.config import Influx
from gateway.errors import ConfigError, Lasting, Passing, Poison
from gateway.forward.influx_v1 import TargetV1
from gateway.forward.influx_v2 import TargetV2
from gateway.forward.server import detect_api
from gateway.forward.target import make_target
from sim_hardware.servers import InfluxDB, VictoriaMetrics, free_port
from tests.gateway.conftest import NOW
from tests.gateway.databases import exported, select

Starter = Callable[..., InfluxDB]


@pytest.fixture
def start_influx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starter]:
    """Starts an InfluxDB of the test's own, with settings by environment as InfluxDB takes them."""
    started: list[InfluxDB] = []

    def start(**settings: str) -> InfluxDB:
        with monkeypatch.context() as environ:
            for name, value in settings.items():
                environ.setenv(f"INFLUXDB_{name}", value)
            started.append(InfluxDB(tmp_path / "own").start())
        return started[-1]

    yield start
    for server in started:
        server.stop()


def target(server: InfluxDB, database: str) -> TargetV1:
    return TargetV1(Influx(server.url, "v1", database))


def value_at(server: InfluxDB, database: str, measurement: str = "m") -> dict[int, float]:
    """The field `v` by seconds after NOW."""
    return {row["time"] - NOW: row["v"] for row in select(server.url, database, f"SELECT v FROM {measurement}")}


def point(second: int, value: str = "1", measurement: str = "m") -> bytes:
    return f"{measurement} v={value} {NOW + second}".encode()


def test_prepare_creates_a_missing_database_once(influx: InfluxDB) -> None:
    """Also one whose name needs quotes; a second time changes nothing."""
    own = target(influx, 'odd "name"')
    with pytest.raises(Lasting, match="database not found"):
        own.write([point(0)])
    for _ in range(2):
        own.prepare()
        own.write([point(0)])
    assert value_at(influx, 'odd "name"') == {0: 1}


def test_writing_again_changes_nothing(influx: InfluxDB, influx_db: str) -> None:
    """Same measurement, tags and time: the same point."""
    for _ in range(3):
        target(influx, influx_db).write([point(second) for second in range(1000)])
    assert len(value_at(influx, influx_db)) == 1000


def test_a_field_of_another_type_is_refused_alone(influx: InfluxDB, influx_db: str) -> None:
    """1.6.7 says "partial write" and has written the others."""
    own = target(influx, influx_db)
    own.write([point(0)])
    with pytest.raises(Poison, match="field type conflict") as caught:
        own.write([point(1), point(2, '"text"'), point(3)])
    assert caught.value.rest_written
    assert value_at(influx, influx_db) == {0: 1, 1: 1, 3: 1}


def test_a_line_that_cannot_be_parsed_is_refused_alone(influx: InfluxDB, influx_db: str) -> None:
    """Also "partial write" in 1.6.7, unless no line of the batch can be parsed."""
    own = target(influx, influx_db)
    with pytest.raises(Poison, match="unable to parse") as caught:
        own.write([point(1), b"m v= 5", point(3)])
    assert caught.value.rest_written
    assert value_at(influx, influx_db) == {1: 1, 3: 1}
    with pytest.raises(Poison, match="unable to parse") as caught:
        own.write([b"nonsense"])
    assert not caught.value.rest_written


def test_a_dead_server_is_passing_and_the_same_target_goes_on_when_it_is_back(start_influx: Starter) -> None:
    """Nothing to prepare again: the port, the folder and the target are the same."""
    server = start_influx()
    own = target(server, "d")
    own.prepare()
    own.write([point(0)])
    server.kill()
    with pytest.raises(Passing, match="Connection refused"):
        own.write([point(1)])
    server.start()
    own.write([point(1)])
    assert value_at(server, "d") == {0: 1, 1: 1}


def test_limits_are_lasting_and_say_what_to_do(start_influx: Starter) -> None:
    """1.6.7 calls them "partial write", but these points are not bad: they wait until the limit is raised."""
    server = start_influx(DATA_MAX_SERIES_PER_DATABASE="2", DATA_MAX_VALUES_PER_TAG="1")
    own = target(server, "d")
    own.prepare()
    own.write([b"m,t=a v=1 1"])
    with pytest.raises(Lasting, match=r"max-values-per-tag.*raise the limit"):
        own.write([b"m,t=b v=1 1"])
    with pytest.raises(Lasting, match=r"max-series-per-database.*raise the limit"):
        own.write([b"n v=1 1", b"o v=1 1", b"p v=1 1"])


def test_what_is_too_large_is_sent_in_halves(start_influx: Starter) -> None:
    """A single line beyond the limit is poison."""
    server = start_influx(HTTP_MAX_BODY_SIZE="400")
    own = target(server, "d")
    own.prepare()
    own.write([point(second, f"{second}.{second * 7919 % 10_007}") for second in range(500)])
    assert len(value_at(server, "d")) == 500
    with pytest.raises(Poison, match="Too Large"):
        own.write([point(501), b'm text="%s" 1' % Random(1).randbytes(1000).hex().encode()])


def test_users_and_passwords(start_influx: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who may only write needs an existing database; a wrong password is told as such, without it."""
    server = start_influx(HTTP_AUTH_ENABLED="true")
    with urllib3.PoolManager() as pool:
        for statement, who in (
            ("CREATE USER root WITH PASSWORD 'x' WITH ALL PRIVILEGES", None),
            ("CREATE DATABASE d; CREATE USER w WITH PASSWORD 'y'; GRANT WRITE ON d TO w", "root:x"),
        ):
            headers = urllib3.make_headers(basic_auth=who)
            assert pool.request("POST", f"{server.url}/query", fields={"q": statement}, headers=headers).status == 200
    monkeypatch.setenv("TOKEN", "w:y")
    own = TargetV1(Influx(server.url, "v1", "d", token_env="TOKEN"))
    own.prepare()
    own.write([point(0)])
    with pytest.raises(Lasting, match="not authorized"):
        TargetV1(Influx(server.url, "v1", "other", token_env="TOKEN")).prepare()
    monkeypatch.setenv("TOKEN", "w:secret")
    with pytest.raises(Lasting, match="token_env") as caught:
        TargetV1(Influx(server.url, "v1", "d", token_env="TOKEN")).write([point(0)])
    assert "secret" not in str(caught.value)
    monkeypatch.delenv("TOKEN")
    with pytest.raises(ConfigError, match="TOKEN"):
        make_target(Influx(server.url, "auto", "d", token_env="TOKEN"))


def test_a_server_is_asked_what_it_is(influx: InfluxDB, influx_db: str, victoria: VictoriaMetrics) -> None:
    """InfluxDB tells; who does not tell needs `api`; who does not answer is asked again."""
    assert detect_api(influx.url) == "v1"
    own = make_target(Influx(influx.url, "auto", influx_db))
    own.prepare()
    own.write([point(0)])
    assert value_at(influx, influx_db) == {0: 1}
    with pytest.raises(Lasting, match=r"influx\.api"):
        detect_api(victoria.url)
    with pytest.raises(Passing, match="Connection refused"):
        detect_api(f"http://127.0.0.1:{free_port()}")


def test_something_that_is_no_database_is_lasting(victoria: VictoriaMetrics) -> None:
    """It answers, but not so; the message says which key to look at."""
    with pytest.raises(Lasting, match=r"influx\.url"):
        TargetV1(Influx(f"{victoria.url}/vmui/?", "v1", "d")).prepare()


def test_v2_writes_arrive(victoria: VictoriaMetrics) -> None:
    """Through influxdb-client, with our lines, in seconds."""
    own = make_target(Influx(victoria.url, "v2", "city", org="town"))
    own.prepare()
    own.write([b"v2test,node=air-0007,site=riverside pm2_5=12.5,co2=455.0 %d" % (NOW + n) for n in (0, 60)])
    (series,) = exported(victoria.url, "v2test_pm2_5")
    assert series["metric"] == {"__name__": "v2test_pm2_5", "node": "air-0007", "site": "riverside"}
    assert (series["values"], series["timestamps"]) == ([12.5, 12.5], [1000 * NOW, 1000 * (NOW + 60)])


def test_v2_errors_are_told_apart(influx: InfluxDB, tmp_path: Path) -> None:
    """1.6 has no `/api/v2/write`, which lasts; nobody at the port passes."""
    with pytest.raises(Lasting, match=r"404.*influx\.api"):
        TargetV2(Influx(influx.url, "v2", "d")).write([point(0)])
    server = VictoriaMetrics(tmp_path / "victoria").start()
    own = TargetV2(Influx(server.url, "v2", "d"))
    try:
        own.write([point(0)])
        server.kill()
        with pytest.raises(Passing, match="Connection refused"):
            own.write([point(1)])
        server.start()
        own.write([point(1)])
    finally:
        server.stop()
