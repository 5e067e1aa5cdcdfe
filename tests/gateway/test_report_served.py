"""Reports by the command line and over HTTP, from a real InfluxDB and a journal."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pypdf
import pytest
from fastapi import FastAPI

from gateway.config import load
from gateway.journal.store import Journal
from gateway.report import router
from gateway.web.seat import Seat
from sim_hardware.servers import InfluxDB
from tests.gateway.commandline import CommandLine, sentence
from tests.gateway.databases import write

MONDAY = 1_794_787_200
"""2026-11-16, of week 47, in UTC."""


@pytest.fixture
def line(tmp_path: Path, influx: InfluxDB, influx_db: str, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """With a counter's week in the database, and a journal that knows nothing."""
    monkeypatch.chdir(tmp_path)
    counted = (f"traffic,node=traffic-0001,site=riverside volume=5 {MONDAY + 3600 * hour}" for hour in range(1, 169))
    write(influx.url, influx_db, list(counted))
    found = CommandLine(tmp_path, 1)
    with found.file.open("a") as file:
        file.write(f'[influx]\nurl = "{influx.url}"\ndatabase = "{influx_db}"\n')
    Journal.open(tmp_path / "data", 2**20).close()
    return found


def test_a_page_by_the_command_line(line: CommandLine) -> None:
    result = line.invoke("report", "--week", "2026-W47")
    assert (result.exit_code, result.stdout) == (0, "report-riverside-2026-W47.html: the week 2026-W47 of riverside\n")
    page = (line.folder / "report-riverside-2026-W47.html").read_text()
    assert "traffic-0001" in page
    assert "EXERCISE" not in page


def test_figures_and_a_pdf_by_the_command_line(line: CommandLine) -> None:
    """The figures on standard output alone."""
    result = line.invoke("report", "--week", "2026-W47", "--site", "riverside", "--json", "--out", "week.pdf")
    figures = json.loads(result.stdout)
    assert (figures["week"], figures["hours"], figures["traffic"]["flows"][0]["vehicles"]) == ("2026-W47", 168, 840)
    assert "840" in pypdf.PdfReader(line.folder / "week.pdf").pages[0].extract_text()


def test_an_exercise_is_marked(line: CommandLine) -> None:
    line.file.write_text("exercise = true\n" + line.file.read_text())
    line.invoke("report", "--week", "2026-W47", "--out", "week.html")
    assert "EXERCISE" in (line.folder / "week.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--week", "2026-W30"), "the week 2026-W30 of riverside has no data: neither readings nor incidents"),
        (("--week", "2026-47"), "is no week"),
        (("--site", "rivrside"), "there is no site rivrside; the nearest is riverside"),
        (("--week", "2026-W47", "--out", "none/week.html"), "cannot be written"),
        (("--url", "http://127.0.0.1:1"), "127.0.0.1:1"),
    ],
    ids=["empty", "week", "site", "out", "away"],
)
def test_what_cannot_be_reported_is_said(line: CommandLine, words: tuple[str, ...], said: str) -> None:
    """The program ends with 1, and leaves no file."""
    assert said in sentence(line.invoke("report", *words))
    assert not [*line.folder.glob("*.html")]


def test_an_ending_that_is_no_form_is_a_wrong_command_line(line: CommandLine) -> None:
    assert line.invoke("report", "--out", "week.docx").exit_code == 2


@pytest.fixture
async def client(line: CommandLine) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(router.make_router(Seat(load(line.file, None))))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://seat") as found:
        yield found


async def test_each_form_over_http(client: httpx.AsyncClient) -> None:
    answers = {form: await client.get(f"/reports/riverside/2026-W47.{form}") for form in ("html", "pdf", "json")}
    assert {form: answer.status_code for form, answer in answers.items()} == dict.fromkeys(answers, 200)
    assert {form: answer.headers["content-type"] for form, answer in answers.items()} == router.TYPES
    assert answers["pdf"].content.startswith(b"%PDF-")
    assert answers["json"].json()["traffic"]["flows"][0]["vehicles"] == 840
    again = await client.get("/reports/riverside/2026-W47.html")
    assert again.content == answers["html"].content


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("riverside/2026-W30.html", 404),
        ("riverside/2026-47.html", 404),
        ("elsewhere/2026-W47.html", 404),
        ("riverside/2026-W47.html?index=mars", 422),
        ("riverside/2026-W47.docx", 404),
    ],
)
async def test_what_there_is_not(client: httpx.AsyncClient, path: str, status: int) -> None:
    assert (await client.get(f"/reports/{path}")).status_code == status


async def test_weeks_are_listed(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router.time, "time", lambda: MONDAY + 10 * 86_400)
    assert (await client.get("/reports")).json() == [
        {"site": "riverside", "week": "2026-W47"}
        | {form: f"reports/riverside/2026-W47.{form}" for form in ("html", "pdf", "json")}
    ]


async def test_a_database_that_is_away(client: httpx.AsyncClient, line: CommandLine) -> None:
    line.file.write_text(line.file.read_text().replace("[influx]\nurl", '[influx]\nurl = "http://127.0.0.1:1"\n#'))
    app = FastAPI()
    app.include_router(router.make_router(Seat(load(line.file, None))))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://seat") as away:
        answer = await away.get("/reports/riverside/2026-W47.html")
    assert answer.status_code == 503
    assert "127.0.0.1:1" in answer.json()["detail"]
    assert answer.headers["retry-after"]


async def test_many_at_once_wait_and_too_many_are_sent_away(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same week is asked of the database once; who came too soon is served once there is room."""
    asked = 0
    real = Seat.ask

    async def ask(seat: Seat, statement: str) -> object:
        nonlocal asked
        asked += 1
        return await real(seat, statement)

    monkeypatch.setattr(Seat, "ask", ask)
    path = "/reports/riverside/2026-W47.json"
    answers = await asyncio.gather(*(client.get(path) for _ in range(router.WAITING + 3)))
    assert sorted(answer.status_code for answer in answers) == [200] * router.WAITING + [503] * 3
    assert asked == 7
    assert (await client.get(path)).status_code == 200


async def test_the_openapi_document_tells_of_it(line: CommandLine) -> None:
    app = FastAPI()
    app.include_router(router.make_router(Seat(load(line.file, None))))
    paths = app.openapi()["paths"]
    assert {each for each in paths if each.startswith("/reports")} == {
        "/reports",
        *(f"/reports/{{site}}/{{week}}.{form}" for form in router.TYPES),
    }
