"""`ganglion doctor` and databases that have something wrong: InfluxDB 1.6.7, and what 2.x says by a stand-in.

InfluxDB 2 cannot be had here; the stand-in gives the answers of its API reference, "Buckets" and "Query with InfluxQL".
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from gateway.records import Status
from sim_hardware.servers import InfluxDB, VictoriaMetrics
from tests.gateway.conftest import Starter, make_pack
from tests.gateway.databases import select
from tests.gateway.faulty import Installation
from tests.gateway.influx_standin import TOKEN, Refusal, StandInServer
from tests.system.gateway_process import NOBODY

WEEK = 7 * 86_400


def installation(folder: Path, url: str, **influx: object) -> Installation:
    return Installation(folder / "gateway", influx={"url": url} | influx)


def ask(server: InfluxDB, statement: str, who: str | None = None) -> None:
    with urllib3.PoolManager() as pool:
        headers = urllib3.make_headers(basic_auth=who)
        answer = pool.request("POST", f"{server.url}/query", fields={"q": statement}, headers=headers)
    assert answer.status == 200, answer.data
    assert b"error" not in answer.data, answer.data


def test_a_sound_database(tmp_path: Path, influx: InfluxDB, influx_db: str) -> None:
    """Also with the probe, which leaves nothing."""
    own = installation(tmp_path, influx.url, database=influx_db)
    for check in ("database", "database place", "database clock"):
        assert own.says(check)[0] == "ok", own.doctor(check)
    assert own.says("database write")[0] == "not asked"
    assert own.says("database write", own.context(write=True))[0] == "ok"
    assert select(influx.url, influx_db, "SHOW SERIES") == []


def test_homes_kept_for_ever(tmp_path: Path, influx: InfluxDB, influx_db: str) -> None:
    """Once there are water meters: of counters and stations it may."""
    own = installation(tmp_path, influx.url, database=influx_db)
    journal = own.journal()
    journal.commit([make_pack(0)], time.time())
    journal.close()
    assert own.says("database place")[0] == "ok"
    journal = own.journal()
    journal.commit([], time.time(), [("riverside", "water-0001", Status(True, "water"))])
    journal.close()
    level, words = own.says("database place")
    assert (level, "for ever" in words, "ganglion influx setup" in words) == ("warning", True, True), words
    ask(influx, f"ALTER RETENTION POLICY autogen ON {influx_db} DURATION 400d")
    assert own.says("database place")[0] == "ok"


def test_nobody_there(tmp_path: Path) -> None:
    own = installation(tmp_path, f"http://127.0.0.1:{NOBODY}")
    level, words = own.says("database")
    assert (level, "does not answer: Connection refused -> start it" in words) == ("fault", True), words
    assert own.says("database clock") == ("not asked", "`database` has a fault -> ")


def test_no_such_database(tmp_path: Path, influx: InfluxDB) -> None:
    """Which the gateway makes at its first start; later somebody has dropped it."""
    own = installation(tmp_path, influx.url, database="nowhere")
    level, words = own.says("database place")
    assert (level, "shows no database nowhere" in words) == ("warning", True), words
    own.journal().close()
    assert own.says("database place")[0] == "fault"
    level, words = own.says("database write", own.context(write=True))
    assert (level, "create the database" in words) == ("fault", True), words


def test_tokens(tmp_path: Path, start_influx: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong, without the right to write, and right."""
    server = start_influx(HTTP_AUTH_ENABLED="true")
    ask(server, "CREATE USER root WITH PASSWORD 'x' WITH ALL PRIVILEGES")
    rights = (
        "CREATE USER r WITH PASSWORD 'y'; GRANT READ ON d TO r; CREATE USER w WITH PASSWORD 'z'; GRANT ALL ON d TO w"
    )
    ask(server, f"CREATE DATABASE d; {rights}", "root:x")
    own = installation(tmp_path, server.url, database="d", token_env="TOKEN")
    monkeypatch.delenv("TOKEN", raising=False)
    level, words = own.says("database token")
    assert (level, "names TOKEN, which is not set" in words) == ("fault", True), words
    monkeypatch.setenv("TOKEN", "w:wrong")
    level, words = own.says("database place")
    assert (level, "401" in words, "influx.token_env" in words, "wrong" in words) == ("fault", True, True, False), words
    monkeypatch.setenv("TOKEN", "r:y")
    level, words = own.says("database write", own.context(write=True))
    assert (level, "the right to write" in words) == ("fault", True), words
    monkeypatch.setenv("TOKEN", "w:z")
    assert own.says("database write", own.context(write=True))[0] == "ok"


def test_retention_shorter_than_what_waits(tmp_path: Path, influx: InfluxDB, influx_db: str) -> None:
    """Infinite at first; then a week, and a pack that waits for longer."""
    own = installation(tmp_path, influx.url, database=influx_db)
    journal = own.journal()
    journal.commit([make_pack(0)], time.time() - WEEK - 3600)
    journal.close()
    assert own.says("database place")[0] == "ok"
    ask(influx, f'ALTER RETENTION POLICY autogen ON "{influx_db}" DURATION 7d DEFAULT')
    level, words = own.says("database place")
    assert (level, "keeps 7 d, but packs wait that came 7 d ago" in words) == ("fault", True), words


def test_a_journal_that_cannot_be_read_is_told_once(tmp_path: Path, influx: InfluxDB, influx_db: str) -> None:
    """What waits in it is only a part of what is looked at."""
    own = installation(tmp_path, influx.url, database=influx_db)
    own.data.mkdir()
    (own.data / "journal.sqlite3").write_bytes(b"no journal" * 100)
    assert own.says("journal")[0] == "fault"
    assert own.says("database place") == ("ok", f"{influx_db} keeps everything -> ")


def test_the_wrong_api(tmp_path: Path, influx: InfluxDB, victoria: VictoriaMetrics) -> None:
    """1.6 has no v2; and a server that is no InfluxDB, taken at the configuration's word or not."""
    level, words = installation(tmp_path, influx.url, api="v2").says("database")
    assert (level, "does not know /api/v2/write" in words) == ("fault", True), words
    level, words = installation(tmp_path, victoria.url).says("database")
    assert (level, "does not say which InfluxDB it is" in words) == ("fault", True), words
    assert installation(tmp_path, victoria.url, api="v2").says("database")[0] == "ok"


def test_mirrors(tmp_path: Path, influx: InfluxDB, influx_db: str) -> None:
    """One that is well, and one that is not there; each by its name."""
    own = installation(tmp_path, influx.url, database=influx_db)
    assert own.says("mirrors")[0] == "ok"
    with own.file.open("a") as file:
        file.write(f'[[mirror]]\nname = "near"\nurl = "{influx.url}"\ndatabase = "{influx_db}"\n')
    assert own.says("mirrors")[0] == "ok"
    with own.file.open("a") as file:
        file.write(f'[[mirror]]\nname = "far"\nurl = "http://127.0.0.1:{NOBODY}"\n')
    levels = {each.seen.partition(":")[0]: each.level for each in own.doctor("mirrors")}
    assert levels == {"mirror near": "ok", "mirror far": "fault"}
    assert own.says("mirrors")[1].endswith("-> start it, or check the mirror's url")


def test_clocks_apart(tmp_path: Path, influx: InfluxDB, influx_db: str) -> None:
    """A few seconds are told, minutes are a fault."""
    own = installation(tmp_path, influx.url, database=influx_db)
    for off, level, says in ((60, "warning", "ahead of the database's"), (-900, "fault", "behind the database's")):
        said, words = own.says("database clock", own.context(clock=lambda off=off: time.time() + off))
        assert (said, says in words) == (level, True), words


class Two(StandInServer):
    """As much of 2.7 as doctor asks for: a bucket, and whether it is mapped for InfluxQL."""

    version = "v2.7.11"
    scheme = "Token"

    def __init__(self) -> None:
        super().__init__()
        self.buckets: list[dict[str, Any]] = []
        self.mapped = True

    def answer(self, method: str, path: str, fields: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/query":
            return (200, {"results": [{}]}) if self.mapped else (404, {"error": "database not found"})
        if path != "/api/v2/buckets":
            raise Refusal(405, "method not allowed")
        if not self.buckets:
            raise Refusal(404, 'bucket "ganglion" not found')
        return 200, {"buckets": self.buckets}


@pytest.fixture
def two() -> Iterator[Two]:
    with Two() as server:
        yield server


def test_influxdb_2(tmp_path: Path, two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fault after the other, and then none."""
    own = installation(tmp_path, two.url, api="v1", token_env="TOKEN", org="city")
    monkeypatch.setenv("TOKEN", "wrong")
    level, words = own.says("database")
    assert (level, 'is an InfluxDB 2 or 3, influx.api is "v1"' in words) == ("fault", True), words
    own = installation(tmp_path, two.url, token_env="TOKEN", org="city")
    assert own.says("database")[0] == "ok"
    level, words = own.says("database place")
    assert (level, "does not know the token" in words) == ("fault", True), words
    monkeypatch.setenv("TOKEN", TOKEN)
    level, words = own.says("database place")
    assert (level, "shows no bucket ganglion in organisation city" in words) == ("fault", True), words
    two.buckets = [{"id": "0123", "retentionRules": [{"type": "expire", "everySeconds": WEEK}]}]
    two.mapped = False
    level, words = own.says("database place")
    assert (level, "`ganglion query` will not work" in words) == ("warning", True), words
    two.mapped = True
    assert own.says("database place")[0] == "ok"
    journal = own.journal()
    journal.commit([make_pack(0)], time.time() - 2 * WEEK)
    journal.close()
    assert own.says("database place")[0] == "fault"
