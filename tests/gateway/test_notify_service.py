"""The part of the gateway: from the journal to those who are told, each by itself; and the test button and drills."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from msgspec import structs

from gateway.config import Config, Console, Http
from gateway.control import token as tokens
from gateway.control.door import Door
from gateway.control.telling import telling_routes
from gateway.detect.plan import Plan
from gateway.errors import ConfigError
from gateway.forward.patience import Patience
from gateway.http import HttpServer, Metrics, make_app
from gateway.journal import cases
from gateway.journal.access import JournalAccess
from gateway.journal.store import NOTIFY, Journal
from gateway.notify import drill as drills
from gateway.notify import service as module
from gateway.notify.drill import Drill, Drills, NoDrill
from gateway.notify.service import Notify
from gateway.notify.settings import Notify as Table
from gateway.notify.settings import Webhook
from gateway.notify.state import FILE_NAME, standing
from gateway.notify.told import Told
from gateway.records import Incident
from sim_hardware.servers import free_port
from tests.gateway.conftest import make_pack
from tests.gateway.hooked import Hook
from tests.gateway.receiving import until

QUICK = Patience(first=0.02, most=0.05, lasting=0.05)


def incident(number: int, **changes: object) -> Incident:
    now = int(time.time())
    one = Incident(f"burst-{number}", "burst", "riverside", "water-1", "", "critical", now, None, "much water")
    return structs.replace(one, **changes)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[JournalAccess]:
    opened = await JournalAccess.open(tmp_path, 2**20)
    yield opened
    await opened.close()


def configuration(folder: Path, *tables: Table) -> Config:
    return Config(("riverside",), str(folder), notify=tables, console=Console(link="https://console.example"))


@contextlib.asynccontextmanager
async def running(journal: JournalAccess, config: Config) -> AsyncIterator[Notify]:
    """A part at work; ended as the gateway ends its parts."""
    part = Notify(journal, config, Plan(), QUICK)
    task = asyncio.create_task(part.run())

    async def begun() -> bool:
        assert not task.done(), task
        there = NOTIFY in await journal.call(lambda of: of._outlets)
        return part._outbox is not None or (not config.notify and not there)

    try:
        await until(begun)
        yield part
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def when(condition: Callable[[], bool]) -> Any:
    async def ask() -> bool:
        return condition()

    return until(ask)


async def test_a_dead_target_never_delays_another(journal: JournalAccess, tmp_path: Path) -> None:
    """One answers, one refuses the connection, one takes it and says nothing. Each has its own queue in order."""
    with Hook() as living, Hook() as hanging:
        hanging.silent.set()
        dead = free_port()
        tables = (
            Webhook(name="dead", url=f"http://127.0.0.1:{dead}"),
            Webhook(name="hanging", url=hanging.url),
            Webhook(name="living", url=living.url),
        )
        async with running(journal, configuration(tmp_path, *tables)) as part:
            for number in range(5):
                await journal.call(Journal.found, number, [incident(number)])
            await when(lambda: len(living.posted) == 5)
            assert living.told() == [("incident.opened", [f"burst-{number}"]) for number in range(5)]

            async def counted() -> bool:
                return (await part.figures())["living"].sent == 5

            await until(counted)
            figures = await part.figures()
            assert {name: (each.waiting, each.sent) for name, each in figures.items()} == {
                "dead": (5, 0), "hanging": (5, 0), "living": (0, 5),
            }  # fmt: skip

            async def noticed() -> bool:
                return (await part.figures())["dead"].failing

            await until(noticed)
            with Hook(dead) as revived:
                await when(lambda: len(revived.posted) == 5)
                assert revived.told() == living.told()
            assert len({each.headers["webhook-id"] for each in (*revived.posted, *living.posted)}) == 10


async def test_poison_does_not_stop_the_queue(
    journal: JournalAccess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Hook() as hook:
        hook.answer = (422, {})
        async with running(journal, configuration(tmp_path, Webhook(name="duty", url=hook.url))) as part:
            await journal.call(Journal.found, 0, [incident(0)])
            await when(lambda: len(hook.posted) == 1)

            async def aside() -> bool:
                return (await part.figures())["duty"].refused == 1

            await until(aside)
            hook.answer = (204, {})
            await journal.call(Journal.found, 1, [incident(1)])
            await when(lambda: len(hook.posted) == 2)
            assert hook.told()[1] == ("incident.opened", ["burst-1"])
    assert "duty will never take message" in caplog.text
    assert f"{hook.url} answered 422" in caplog.text


async def test_a_message_that_cannot_be_made_stops_nothing(
    journal: JournalAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is wrong with it: it is set aside with its traceback in the log, and the next one is sent."""

    def subject(told: Told, plan: Plan) -> str:
        return {"burst-1": "fine"}[told.incidents[0].id]

    monkeypatch.setattr(module, "subject", subject)
    with Hook() as hook:
        async with running(journal, configuration(tmp_path, Webhook(name="duty", url=hook.url))):
            await journal.call(Journal.found, 0, [incident(0)])
            await journal.call(Journal.found, 1, [incident(1)])
            await when(lambda: standing(tmp_path)[0].sent == 1)
    assert hook.told() == [("incident.opened", ["burst-1"])]
    assert standing(tmp_path)[0].refused == 1
    assert "KeyError: 'burst-0'" in caplog.text


async def test_a_target_that_never_comes_to_an_end_has_not_answered(
    journal: JournalAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DELIVER_SECONDS", 0.05)
    with Hook() as hook:
        hook.silent.set()
        async with running(journal, configuration(tmp_path, Webhook(name="duty", url=hook.url))):
            await journal.call(Journal.found, 0, [incident(0)])
            await when(lambda: standing(tmp_path)[0].failing)
            assert standing(tmp_path)[0].trouble.startswith("no answer within 0.05 s")


async def test_what_only_a_person_can_mend_waits_for_him(journal: JournalAccess, tmp_path: Path) -> None:
    with Hook() as hook:
        hook.answer = (401, {})
        async with running(journal, configuration(tmp_path, Webhook(name="duty", url=hook.url))):
            await journal.call(Journal.found, 0, [incident(0)])
            await when(lambda: len(hook.posted) > 2)
            (stand,) = standing(tmp_path)
            assert stand.failing
            assert "check the token" in stand.trouble
            hook.answer = (204, {})
            await when(lambda: standing(tmp_path)[0].sent == 1)
            assert len({each.headers["webhook-id"] for each in hook.posted}) == 1


async def test_a_part_that_ends_and_begins_anew_goes_on_where_it_was(journal: JournalAccess, tmp_path: Path) -> None:
    """As with a changed configuration: what had been taken waits in the outbox, what comes meanwhile in the journal."""
    port = free_port()
    config = configuration(tmp_path, Webhook(name="duty", url=f"http://127.0.0.1:{port}"))
    async with running(journal, config):
        await journal.call(Journal.found, 0, [incident(0)])
        await when(lambda: standing(tmp_path)[0].waiting == 1)
    await journal.call(Journal.found, 1, [incident(1)])
    with Hook(port) as hook:
        async with running(journal, config):
            await when(lambda: len(hook.posted) == 2)
    assert [ids for _, ids in hook.told()] == [["burst-0"], ["burst-1"]]


async def settle(journal: JournalAccess) -> None:
    """All others have had what there is."""
    changes = await journal.call(Journal.incidents_for, "mqtt", 1000)
    for outlet in ("mqtt", "influx"):
        await journal.call(Journal.incidents_delivered, outlet, changes[-1][0])


async def test_nobody_to_tell_holds_nothing_back(
    journal: JournalAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither closed incidents nor the quiet; and who comes later is not told what was before."""
    monkeypatch.setattr(cases, "MOST_CLOSED", 2)
    async with running(journal, configuration(tmp_path)):
        await journal.call(Journal.found, 0, [incident(number, closed=int(time.time())) for number in range(5)])
        await settle(journal)
        await journal.call(Journal.found, 0, [incident(9)])
        assert len(await journal.call(Journal.incidents)) == 3
        await settle(journal)
        assert await journal.call(Journal.settled)
    with Hook() as hook:
        async with running(journal, configuration(tmp_path, Webhook(name="duty", url=hook.url))):
            assert await journal.call(Journal.settled)
            await journal.call(Journal.found, 0, [incident(10)])
            await when(lambda: len(hook.posted) == 1)
            assert hook.told() == [("incident.opened", ["burst-10"])]
            await settle(journal)

            async def settled() -> bool:
                return await journal.call(Journal.settled)

            await until(settled)
    await journal.call(Journal.found, 0, [incident(11)])
    await settle(journal)
    assert not await journal.call(Journal.settled)  # it waits for whom it is to be told
    async with running(journal, configuration(tmp_path)):
        assert await journal.call(Journal.settled)
        await when(lambda: standing(tmp_path) == [])
    await journal.call(Journal.notifying, True)
    assert await journal.call(Journal.incidents_for, NOTIFY, 10) == []


async def test_a_closed_incident_stays_until_its_targets_have_it(
    journal: JournalAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases, "MOST_CLOSED", 1)
    await journal.call(Journal.notifying, True)
    await journal.call(Journal.found, 0, [incident(number, closed=int(time.time())) for number in range(5)])
    await settle(journal)
    await journal.call(Journal.found, 0, [incident(9)])
    assert len(await journal.call(Journal.incidents)) == 6


async def test_an_outbox_that_cannot_be_used_stops_no_pack(
    journal: JournalAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said, and tried again; incidents wait in the journal meanwhile."""
    monkeypatch.setattr(module, "MEND_SECONDS", 0.02)
    (tmp_path / FILE_NAME).write_bytes(b"no database, " * 100)
    with Hook() as hook:
        part = Notify(journal, configuration(tmp_path, Webhook(name="duty", url=hook.url)), Plan(), QUICK)
        task = asyncio.create_task(part.run())
        await when(lambda: caplog.text.count("nobody is told of incidents") > 1)
        assert await part.figures() == {}
        await journal.call(Journal.commit, [make_pack(1)], 0.0)
        await journal.call(Journal.found, 0, [incident(0)])
        (tmp_path / FILE_NAME).unlink()
        await when(lambda: len(hook.posted) == 1)
        # The same in the middle of its work, once that is kept: a message of which it is not would come again.
        await when(lambda: standing(tmp_path)[0].sent == 1)
        assert part._outbox is not None
        part._outbox._db.close()
        await journal.call(Journal.found, 0, [incident(1)])
        await when(lambda: len(hook.posted) == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_target_that_is_due_later_is_told_then(
    journal: JournalAccess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the clock has come to it; it is looked at it now and then."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)
    with Hook() as hook:
        table = Webhook(name="duty", url=hook.url, after="15m")
        async with running(journal, configuration(tmp_path, table)):
            await journal.call(Journal.found, 0, [incident(0)])
            await when(lambda: standing(tmp_path)[0].later == 1)
            assert hook.posted == []
            now = time.time
            monkeypatch.setattr(module.time, "time", lambda: now() + 901)
            await when(lambda: len(hook.posted) == 1)


def test_a_target_that_cannot_work_is_refused_before_it_begins(tmp_path: Path) -> None:
    journal: Any = None
    for keys, words in (({"secret_env": "NOT_SET"}, "NOT_SET is not set"), ({"zones": ("x",)}, "there is no 'x'")):
        with pytest.raises(ConfigError, match=words):
            Notify(journal, configuration(tmp_path, Webhook(name="duty", url="http://x", **keys)), Plan())  # type: ignore[arg-type]


# The test button and drills, over HTTP.


@pytest.fixture
async def ask(journal: JournalAccess, tmp_path: Path) -> AsyncIterator[Callable[[Config], Any]]:
    """Serves the routes for a configuration; gives who posts to them."""
    serving: list[asyncio.Task[None]] = []

    def serve(config: Config) -> Any:
        token, port = tokens.issue(tmp_path), free_port()
        routes = telling_routes(journal, Door(token, tmp_path), config.sites, Notify(journal, config, Plan()).test)
        server = HttpServer(Http(f"127.0.0.1:{port}"), make_app(journal, Metrics(), {}, routes))
        serving.append(asyncio.create_task(server.run()))

        def post(path: str, body: Any = None, key: str = token) -> tuple[int, Any]:
            with urllib3.PoolManager(retries=False, timeout=20) as pool:
                answer = pool.request(
                    "POST",
                    f"http://127.0.0.1:{port}/api/v1/{path}",
                    body=json.dumps(body),
                    headers={"Authorization": f"Bearer {key}"},
                )
                return answer.status, answer.json()

        return lambda *arguments, **keys: asyncio.to_thread(post, *arguments, **keys)

    yield serve
    for task in serving:
        task.cancel()
    await asyncio.wait(serving)


async def test_the_test_button_tells_what_was_answered(
    ask: Callable[[Config], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TEST_SECONDS", 0.2)
    with Hook() as hook:
        config = configuration(tmp_path, Webhook(name="duty", url=hook.url))
        post = ask(structs.replace(config, exercise=True))
        assert await post("notify/duty/test") == (200, {"taken": True, "words": "204"})
        (posted,) = hook.posted
        assert (posted.json["type"], posted.json["data"]["exercise"], posted.json["data"]["incidents"]) == (
            "test",
            True,
            [],
        )
        assert posted.json["data"]["subject"] == "EXERCISE: Test message of the gateway to duty"
        hook.answer = (500, {})
        status, answer = await post("notify/duty/test")
        assert (status, answer["taken"]) == (200, False)
        assert "answered 500" in answer["words"]
        hook.silent.set()
        assert await post("notify/duty/test") == (200, {"taken": False, "words": "no answer within 0.2 s"})
        assert await post("notify/nobody/test") == (404, {"error": "no target nobody is in the configuration"})
        assert (await post("notify/duty/test", key="guess"))[0] == 401


async def test_drills_over_http(ask: Callable[[Config], Any], journal: JournalAccess, tmp_path: Path) -> None:
    post = ask(configuration(tmp_path))
    await journal.call(Journal.commit, [make_pack(1, node="water-1")], 0.0)
    now = int(time.time())
    wish = {"kind": "burst", "site": "riverside", "node": "water-1", "opened": now}
    status, made = await post("incidents/drill", wish)
    assert (status, made["id"], made["drill"]) == (200, f"drill.burst.riverside.water-1.{now}", True)
    assert await post("incidents/drill", wish) == (status, made)  # asked again, as when the answer was lost
    assert len(await journal.call(Journal.incidents)) == 1
    for change, words in (
        ({"kind": "brust"}, "kind: there is no 'brust'; the nearest is burst"),
        ({"site": "hill"}, "site: there is no 'hill'; the nearest is riverside"),
        ({"node": "water-2"}, "node: there is no 'water-2'; the nearest is water-1"),
        ({"minutes": 0}, "the body is not {kind, site, node, opened, minutes, severity}"),
        ({"why": "x"}, "the body is not {kind, site, node, opened, minutes, severity}"),
    ):
        status, answer = await post("incidents/drill", wish | change)
        assert status == 400
        assert answer["error"].startswith(words)
    status, ended = await post(f"incidents/{made['id']}/end")
    assert (status, ended["closed"] >= now) == (200, True)
    assert (await post("incidents/nothing/end"))[0] == 404
    await journal.call(Journal.report, [incident(1)])
    assert await post("incidents/burst-1/end") == (
        400,
        {"error": "burst-1 is no drill: it ends when the evidence does"},
    )


async def test_a_drill_ends_by_itself(journal: JournalAccess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that was to end while no gateway ran; what is real goes on."""
    monkeypatch.setattr(drills, "LOOK_SECONDS", 0.02)
    now = int(time.time())
    long_ago = Drill("jam", "riverside", now - 7200, minutes=30)
    await journal.call(drills.begin, long_ago, ["riverside"])
    await journal.call(Journal.report, [incident(1)])
    task = asyncio.create_task(Drills(journal).run())

    async def open_ones() -> list[str]:
        return [each.id for each in await journal.call(Journal.incidents, open_only=True)]

    async def only_the_real() -> bool:
        return await open_ones() == ["burst-1"]

    await until(only_the_real)
    (ended,) = [each for each in await journal.call(Journal.incidents) if each.drill]
    assert ended.closed == now - 7200 + 30 * 60
    await journal.call(drills.begin, Drill("leak", "riverside", now, minutes=5), ["riverside"])
    journal.tell("incidents")
    await asyncio.sleep(0)
    assert len(await open_ones()) == 2
    clock = time.time
    monkeypatch.setattr(drills.time, "time", lambda: clock() + 301)
    await until(only_the_real)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(NoDrill):
        await journal.call(drills.end, "burst-1", now)
