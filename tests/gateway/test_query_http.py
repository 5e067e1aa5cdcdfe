"""`/api/v1` of the operators' port, by HTTP on a real server, against a real InfluxDB; and its OpenAPI document."""

import asyncio
import contextlib
import csv
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from fastapi import FastAPI
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pyarrow import parquet

from gateway.config import Config, Http, Influx, load
from gateway.http import HttpServer
from gateway.quantities import QUANTITIES
from gateway.web.api import MOST_ROWS, NOTE, make_router
from gateway.web.careful import Refused, Turns
from gateway.web.seat import Seat
from sim_hardware.servers import InfluxDB, free_port
from tests.gateway.filled import DAY, HOUR, NOW, fill, level
from tests.test_docs import DOCS

DAY_BEFORE = {"from": str(NOW - DAY), "to": str(NOW)}


@pytest.fixture(scope="module")
def city(influx: InfluxDB, tmp_path_factory: pytest.TempPathFactory) -> Config:
    return load(fill(influx.url, "http_fortnight", tmp_path_factory.mktemp("http_fortnight")))


def make_app(seat: Seat) -> FastAPI:
    app = FastAPI(title="Ganglion", openapi_url="/api/v1/openapi.json")
    app.include_router(make_router(seat))
    return app


@contextlib.asynccontextmanager
async def serving(config: Config) -> AsyncIterator[httpx.AsyncClient]:
    """A server that has looked at the journal, and a client of it."""
    settings = Http(f"127.0.0.1:{free_port()}")
    seat = Seat(config)
    server = HttpServer(settings, make_app(seat))
    before = seat.snapshot
    tasks = [asyncio.create_task(each.run()) for each in (seat, server)]
    try:
        if config.data_dir:
            await seat.newer(before)
        async with httpx.AsyncClient(base_url=f"{settings.url}/api/v1", timeout=30, trust_env=False) as client:
            yield client
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        seat.close()


async def test_a_question_is_answered_as_on_the_command_line(city: Config) -> None:
    """Rows, notes, and what was asked."""
    async with serving(city) as client:
        found = (await client.get("/query", params={"quantity": "pm2_5", "every": "1h", **DAY_BEFORE})).json()
        assert found["columns"] == ["time", "site", "node", "mean"]
        assert [row["mean"] for row in found["rows"] if row["node"] == "air-0001"] == [
            level(NOW - DAY + n * HOUR) for n in range(24)
        ]
        assert found["statement"].startswith('SELECT mean("pm2_5") FROM "air" WHERE')
        assert found["notes"] == []
        more = await client.get(
            "/query", params={"quantity": "pm2_5", "every": "1h", "compare": "1w", "band": True, **DAY_BEFORE}
        )
        assert more.json()["rows"][5].keys() == {
            "time", "site", "node", "mean", "mean_1w_before", "low", "expected", "high",
        }  # fmt: skip


async def test_formats(city: Config) -> None:
    """By `format`, or by what the client accepts; what was thinned is said in a header."""
    asked = {"quantity": "pm2_5", "from": str(NOW - 10 * DAY), "to": str(NOW), "most": "100"}
    async with serving(city) as client:
        as_csv = await client.get("/query", params={**asked, "format": "csv"})
        assert as_csv.headers["content-type"].startswith("text/csv")
        assert as_csv.headers["content-disposition"] == 'attachment; filename="pm2_5.csv"'
        assert as_csv.headers[NOTE].startswith("thinned: means of 3 hours from the roll-up of 15 minutes")
        rows = list(csv.DictReader(io.StringIO(as_csv.text)))
        assert len(rows) == 2 * 80
        accepted = await client.get("/query", params=asked, headers={"Accept": "text/csv, */*;q=0.1"})
        assert accepted.content == as_csv.content
        packed = await client.get("/query", params=asked, headers={"Accept": "application/vnd.apache.parquet"})
        assert parquet.read_table(io.BytesIO(packed.content)).num_rows == 2 * 80
        browser = await client.get("/query", params=asked, headers={"Accept": "text/html,*/*"})
        assert len(browser.json()["rows"]) == 2 * 80


async def test_influxql_that_reads(city: Config) -> None:
    async with serving(city) as client:
        found = await client.get("/query", params={"influxql": "select count(pm2_5) from air"})
        assert found.json()["rows"][0]["count"] == 2 * 15 * 288


async def test_a_page_gets_all_that_it_draws_in_one_answer(city: Config) -> None:
    """Curves, bands and what was before on times of their own; the alarms of those nodes."""
    asked = {"quantity": "pm2_5", "node": "air-0001", "every": "1h", "compare": "1w", "band": "true", **DAY_BEFORE}
    async with serving(city) as client:
        found = (await client.get("/series", params=asked)).json()
        (line,) = found["lines"]
        assert (found["unit"], found["aggregate"], found["every"]) == ("ug/m3", "mean", "1h")
        assert line["label"] == "riverside/air-0001"
        assert line["times"] == [NOW - DAY + n * HOUR for n in range(24)]
        assert line["values"] == [level(each) for each in line["times"]]
        assert line["earlier"]["times"] == line["times"]
        assert {a - b for a, b in zip(line["values"], line["earlier"]["values"], strict=True)} == {1.0}
        band = line["expected"]
        assert (band["basis"], band["times"]) == ("week", line["times"])
        assert all(low <= high for low, high in zip(band["low"], band["high"], strict=True))
        assert [alarm["id"] for alarm in found["alarms"]] == ["smoke"]
        thin = (await client.get("/series", params={"quantity": "pm2_5", "last": "14d", "points": "100"})).json()
        assert max(len(each["values"]) for each in thin["lines"]) <= 101
        assert thin["notes"][0].startswith("thinned")
        bare = (await client.get("/series", params={"quantity": "co2"})).json()
        assert (bare["lines"], bare["notes"]) == (
            [],
            ["there is no co2 at all"],
        )
        early = {"quantity": "pm2_5", "band": "1", "from": str(NOW - 14 * DAY), "to": str(NOW - 13 * DAY)}
        assert "too little" in (await client.get("/series", params=early)).json()["lines"][0]["no_expected"]


async def test_what_the_journal_knows(city: Config) -> None:
    async with serving(city) as client:
        (node,) = (await client.get("/nodes")).json()
        assert (node["node"], node["at"], node["label"]) == ("air-0001", [51.5, 7.25], "Mill Lane 3, basement")
        assert (await client.get("/nodes", params={"kind": "water"})).json() == []
        one = (await client.get("/nodes/riverside/air-0001")).json()
        assert one["missing"] == [{"boot": 1, "first": 1, "last": 2}]
        assert [each["id"] for each in (await client.get("/incidents")).json()] == ["other", "smoke"]
        assert len((await client.get("/incidents", params={"held": "true"})).json()) == 3
        assert [each["id"] for each in (await client.get("/incidents", params={"open": "1"})).json()] == ["other"]
        assert (await client.get("/incidents", params={"node": "air-0001"})).json()[0]["id"] == "smoke"
        assert (await client.get("/incidents", params={"kind": "leak"})).json() == []
        assert (await client.get("/incidents/smoke")).json()["acknowledged"]["by"] == "Ada"
        ledger = (await client.get("/ledger")).json()
        assert (ledger["received"], ledger["dead_letters"], ledger["balanced"]) == (3, 1, True)
        (letter,) = (await client.get("/dead-letters")).json()
        assert (letter["encoding"], letter["payload"], letter["bytes"]) == ("base64", "e/8=", 2)
        names = {each["name"] for each in (await client.get("/quantities")).json()}
        assert names == {each.name for each in QUANTITIES}


WRONG: list[tuple[str, int, str, list[str]]] = [
    ("/query", 400, "name a quantity", []),
    ("/query?quantity=pm25", 400, "the nearest are pm2_5", []),
    ("/query?quantity=pm2_5&node=air-001", 404, "there is no node 'air-001'", ["air-0001", "air-0002"]),
    ("/series?quantity=pm2_5&site=rivarside", 404, "there is no site 'rivarside'", ["riverside"]),
    ("/query?quantity=pm2_5&nod=air-0001", 400, "there is no parameter 'nod'; the nearest is node", ["node"]),
    ("/query?quantity=pm2_5&aggregate=average", 400, "aggregate: Input should be", []),
    ("/query?quantity=pm2_5&last=1y", 400, "'1y' is no duration", []),
    ("/query?quantity=pm2_5&most=0", 400, "most: ", []),
    ("/query?influxql=DROP+DATABASE+x", 400, "only reads", []),
    ("/query?influxql=select+from", 400, "error parsing query", []),
    ("/query?influxql=show+databases&node=x", 400, "leave out", []),
    ("/query?influxql=show+databases&nodes=x", 400, "'nodes'", ["node"]),
    ("/nodes/riverside/air-0002", 404, "there is no node riverside/air-0002", ["riverside/air-0001"]),
    ("/incidents/smok", 404, "there is no incident smok; the nearest: smoke", ["smoke"]),
    ("/ledger?x=1", 400, "there is none here", []),
    ("/dead-letters?limit=1000", 400, "limit: ", []),
]
"""What is asked, the status, what is said, and the names that are near."""


async def test_what_is_wrong_is_a_problem(city: Config) -> None:
    """JSON with what is wrong, and with names that are near."""
    async with serving(city) as client:
        for path, status, says, near in WRONG:
            answer = await client.get(path)
            assert answer.status_code == status, (path, answer.text)
            assert says in answer.json()["error"]
            assert answer.json()["near"] == near, path


async def test_what_is_not_the_askers_fault(city: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A database that is away or refuses, an answer that is too large, a journal that is not there."""
    import msgspec

    away = msgspec.structs.replace(city, influx=Influx(f"http://127.0.0.1:{free_port()}"))
    async with serving(away) as client:
        answer = await client.get("/query", params={"quantity": "pm2_5"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "Connection refused" in answer.json()["error"]
    async with serving(city) as client:
        monkeypatch.setattr("gateway.web.seat.ASK_BYTES", 10_000)
        answer = await client.get("/query", params={"influxql": "select * from air"})
        assert (answer.status_code, "more than 10,000 bytes" in answer.json()["error"]) == (413, True)
        elsewhere = await client.get(
            "/query", params={"influxql": 'select * from "nowhere".."air"; select * from "x"."y"."z"'}
        )
        assert elsewhere.status_code == 400
    none = msgspec.structs.replace(city, data_dir=str(tmp_path))
    seat = Seat(none)
    transport = httpx.ASGITransport(make_app(seat))
    async with httpx.AsyncClient(transport=transport, base_url="http://x/api/v1") as client:
        for path in ("/ledger", "/nodes", "/incidents", "/dead-letters", "/nodes/a/b", "/incidents/x"):
            answer = await client.get(path)
            assert answer.status_code == 503, path
            assert answer.json()["error"]
    seat.close()


async def test_all_series_together_are_bounded(city: Config) -> None:
    """Whatever the asker would like."""
    async with serving(city) as client:
        found = await client.get("/query", params={"quantity": "pm2_5", "most": MOST_ROWS + 1})
        assert found.status_code == 400


async def test_nobody_waits_in_an_endless_line() -> None:
    """Who comes when too many wait is told to come again."""
    turns, gate = Turns(2), asyncio.Event()

    async def work() -> Any:
        await gate.wait()

    waiting = [asyncio.create_task(turns.take(work)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        await turns.take(work)
    assert refused.value.status == 503
    gate.set()
    await asyncio.gather(*waiting)
    await turns.take(work)


REAL = {"site": "riverside", "node": "air-0001", "id": "smoke"}


async def test_the_document_is_right(city: Config) -> None:
    """A validator agrees; each path answers as it says, in success and when it refuses."""
    async with serving(city) as client:
        document = (await client.get("/openapi.json")).json()
        OpenAPIV31SpecValidator(document).validate()
        assert set(document["paths"]) == {
            f"/api/v1/{each}"
            for each in (
                "query", "series", "nodes", "nodes/{site}/{node}", "incidents", "incidents/{id}", "ledger",
                "quantities", "dead-letters",
            )
        }  # fmt: skip
        for path, operations in document["paths"].items():
            answers = operations["get"]["responses"]
            assert "422" not in answers
            asked = {"quantity": "pm2_5", "every": "6h", "last": "3d"} if path.endswith(("query", "series")) else {}
            right = await client.get(path.removeprefix("/api/v1").format(**REAL), params=asked)
            assert right.status_code == 200, path
            check(right.json(), answers["200"])
            wrong = await client.get(path.removeprefix("/api/v1").format(**REAL), params={"nonsense": 1})
            assert wrong.status_code == 400
            check(wrong.json(), answers.get("400", answers["default"]))
            for parameter in operations["get"].get("parameters", []):
                assert parameter["in"] == "path" or parameter.get("description"), (path, parameter["name"])


def check(body: Any, answer: dict[str, Any]) -> None:
    OAS31Validator(answer["content"]["application/json"]["schema"]).validate(body)


async def test_the_page_is_as_the_document(city: Config) -> None:
    """Every path is told; every example is answered; every status is one that there is."""
    page = (DOCS / "query.md").read_text()
    async with serving(city) as client:
        document = (await client.get("/openapi.json")).json()
        told = re.findall(r"^\| `(/api/v1/[^`]+)` \|", page, re.MULTILINE)
        assert set(told) == set(document["paths"])
        statuses = {code for each in document["paths"].values() for code in each["get"]["responses"] if code.isdigit()}
        assert set(re.findall(r"^\| (\d{3}) \|", page, re.MULTILINE)) == statuses - {"200"} | {"401"}
        examples = re.findall(r"'http://localhost:8090/api/v1(/[^']+)'", page)
        assert len(examples) > 4
        names = {"node": "air-0001", "quantity": "pm2_5", "kind": "air"}
        for example in examples:
            path, _, query = example.partition("?")
            asked = {key: names.get(key, value) for key, value in parse_qsl(query)}
            answer = await client.get(path, params=asked)
            assert answer.status_code == 200, (example, answer.text)
