"""Writing to real servers: InfluxDB 1.6.7, and VictoriaMetrics for the v2 API."""

import contextlib
import socket
import time
from pathlib import Path
from random import Random
from typing import Literal

import pytest
import urllib3

from gateway.config import Influx
from gateway.errors import ConfigError, Lasting, Passing, Poison, TargetError
from gateway.forward import influx_v1
from gateway.forward.influx_v1 import TargetV1
from gateway.forward.influx_v2 import TargetV2
from gateway.forward.sending import packed
from gateway.forward.server import detect_api
from gateway.forward.target import TARGETS, make_target
from sim_hardware.servers import InfluxDB, VictoriaMetrics, free_port
from tests.gateway.conftest import NOW, Starter
from tests.gateway.databases import exported, select
from tests.gateway.toxic import Parrot


def target(server: InfluxDB, database: str) -> TargetV1:
    return TargetV1(Influx(server.url, "v1", database))


def value_at(server: InfluxDB, database: str, measurement: str = "m") -> dict[int, float]:
    """The field `v` by seconds after NOW."""
    return {row["time"] - NOW: row["v"] for row in select(server.url, database, f"SELECT v FROM {measurement}")}


def write_much(own: TargetV1) -> None:
    for begin in range(0, 10_000, 100):
        own.write([point(second) for second in range(begin, begin + 100)])


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


def test_a_restart_between_two_writes_is_no_outage(start_influx: Starter) -> None:
    """The server has closed the connection that was kept; the next write opens another."""
    server = start_influx()
    own = target(server, "d")
    own.prepare()
    for second in range(3):
        own.write([point(second)])
        server.stop()
        server.start()
    assert value_at(server, "d") == {0: 1, 1: 1, 2: 1}


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


def test_gzip_is_taken(influx: InfluxDB, influx_db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As to a server elsewhere; a body damaged on the way condemns no line."""
    monkeypatch.setattr(influx_v1, "is_near", lambda url: False)
    own = target(influx, influx_db)
    own.write([point(second) for second in range(100)])
    assert len(value_at(influx, influx_db)) == 100
    monkeypatch.setattr(influx_v1, "packed", lambda lines, near: (packed(lines, near=False)[0][:-12], "gzip"))
    with pytest.raises(Passing, match="unexpected EOF"):
        own.write([point(second) for second in range(100)])


def test_a_database_without_a_default_policy_is_lasting(influx: InfluxDB, influx_db: str) -> None:
    """1.6.7 answers 500; the message says what helps."""
    select(influx.url, influx_db, f'DROP RETENTION POLICY "autogen" ON "{influx_db}"')
    with pytest.raises(Lasting, match=r"retention policy not found.*ganglion influx setup"):
        target(influx, influx_db).write([point(0)])


def test_a_point_beyond_the_retention_is_refused_alone(influx: InfluxDB, influx_db: str) -> None:
    """The others of its batch are written."""
    select(influx.url, influx_db, f'ALTER RETENTION POLICY "autogen" ON "{influx_db}" DURATION 8d')
    now = int(time.time())
    with pytest.raises(Poison, match="beyond retention") as caught:
        target(influx, influx_db).write([b"m v=1 %d" % now, b"m v=2 %d" % (now - 9 * 86_400)])
    assert caught.value.rest_written
    assert [row["v"] for row in select(influx.url, influx_db, "SELECT v FROM m")] == [1]


def test_a_full_cache_passes(start_influx: Starter) -> None:
    """The server writes it to disk by and by."""
    server = start_influx(DATA_CACHE_MAX_MEMORY_SIZE="2000", DATA_CACHE_SNAPSHOT_MEMORY_SIZE="100000000")
    own = target(server, "d")
    own.prepare()
    with pytest.raises(Passing, match="cache-max-memory-size exceeded"):
        write_much(own)


def test_a_throttled_write_passes(start_influx: Starter) -> None:
    """More at once than the server is set to take: 503."""
    server = start_influx(
        HTTP_MAX_CONCURRENT_WRITE_LIMIT="1", HTTP_MAX_ENQUEUED_WRITE_LIMIT="1", HTTP_ENQUEUED_WRITE_TIMEOUT="20000000"
    )
    target(server, "d").prepare()
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        # A write whose body does not come holds the only place.
        slow.sendall(b"POST /write?db=d HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\nm v=1 1\n")
        with pytest.raises(Passing, match="throttled"):
            write_much(target(server, "d"))


@pytest.mark.parametrize("api", ["v1", "v2"])
@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n<html>Log in!</html>\n", Lasting, "answered 200"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", None, ""),
        (b"", Passing, "closed connection without response"),
        (b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{", Passing, "does not answer"),
        (b"HTTP/1.1 500 X\r\nContent-Length: 40\r\n\r\n{", Passing, "does not answer"),
        (b"HTTP/1.1 502 X\r\nContent-Length: 1\r\n\r\n\xe9", Passing, "502|no text"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Passing, "does not answer"),
        (b"HTTP/1.1 307 X\r\nLocation: http://x/write\r\nContent-Length: 0\r\n\r\n", Lasting, "http://x/write"),
        (b"HTTP/1.1 429 X\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n", Passing, "429"),
    ],
    ids=["portal", "taken", "empty", "chunk cut", "body cut", "latin-1", "not HTTP", "redirect", "quota"],
)
def test_what_stands_between_is_told_apart(
    api: Literal["v1", "v2"], answer: bytes, expected: type[TargetError] | None, words: str
) -> None:
    """Whatever answers at that port, word for word, to however many requests: only a 204 is a success."""
    with Parrot(answer) as parrot:
        own = TARGETS[api](Influx(parrot.url, api, "d", org="o"))
        if expected is None:
            own.write([point(0)])
            return
        with pytest.raises(expected, match=words) as caught:
            own.write([point(0)])
        assert "to do: " in str(caught.value)
        if words == "429":
            assert caught.value.retry_after == 9  # type: ignore[attr-defined]


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


@pytest.mark.parametrize("api", ["auto", "v1", "v2"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:80860", "http://[::1", "http://127.0.0.1:x"])
def test_an_address_that_cannot_be_is_of_the_configuration(api: Literal["auto", "v1", "v2"], url: str) -> None:
    """Refused before anything is asked, so that a running gateway goes on with the one before."""
    with pytest.raises(ConfigError, match=r"80860|\[::1|:x"):
        make_target(Influx(url, api, "d"))


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


def answer(status: int, body: bytes, *headers: bytes) -> bytes:
    head = [b"HTTP/1.1 %d What" % status, b"Content-Length: %d" % len(body), b"Connection: close", *headers]
    return b"\r\n".join([*head, b"", body])


DEEP = b'{"version":' + b"[" * 50_000 + b"]" * 50_000 + b"}"


@pytest.mark.parametrize("api", ["v1", "v2", "auto"])
@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer(200, DEEP), id="deeper than can be read"),
        pytest.param(answer(500, DEEP), id="deeper than can be read, an error"),
        pytest.param(answer(200, b'{"version":"\xff"}'), id="no text"),
        pytest.param(answer(400, b'{"error":"\xff"}'), id="no text, an error"),
        pytest.param(answer(200, b'{"results":[{"series":[{"values":[[]]}]}]}'), id="a row of nothing"),
        pytest.param(answer(301, b"", b"Location: http://[::1"), id="moved to nowhere"),
        pytest.param(answer(200, b"xx", b"Content-Encoding: gzip"), id="not packed"),
        pytest.param(b"HTTP/1.1 200 Good\r\nContent-Length: 50\r\n\r\nabc", id="too short"),
        pytest.param(b"\x00\x01\x02\r\n\r\n", id="not HTTP"),
    ],
)
def test_whatever_answers_is_told_in_words(api: Literal["v1", "v2", "auto"], said: bytes) -> None:
    """Somebody else at the port, or a proxy before the database: nothing he says ends the gateway."""
    with Parrot(said) as parrot:
        own = make_target(Influx(parrot.url, api, "d"))
        with contextlib.suppress(Passing, Lasting):
            own.prepare()
        if api != "auto":
            with pytest.raises(TargetError):
                own.write([point(0)])
