"""The public's port, as a browser and a feed reader see it, over a real database."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import atoma
import msgspec
import pytest
import urllib3
from lxml import etree

from gateway.cap import atom
from gateway.citizens import wishes
from gateway.citizens.app import make_app
from gateway.citizens.store import Full, Store
from gateway.config import Config
from gateway.detect.plan import Plan, Zone
from gateway.errors import ConfigError
from gateway.journal.store import Journal
from gateway.web.seat import Seat, Snapshot
from sim_hardware.servers import InfluxDB, free_port, wait_until
from tests.gateway.citizens_work import HARBOUR, HILL, NOW, incident, seat_of, turn
from tests.gateway.commandline import CommandLine, sentence
from tests.gateway.databases import write
from tests.gateway.drawn import START
from tests.gateway.pushing import Browser
from tests.gateway.served import Served, served

JAM = incident("jam", "traffic-0001")
ORIGIN = {"Origin": "https://city.example"}
WISH: dict[str, Any] = {"endpoint": "https://push.example.com/1", "keys": Browser().keys, "area": "zone-harbour"}


@pytest.fixture
def seat(tmp_path: Path) -> Seat:
    return seat_of(tmp_path)


@pytest.fixture
def site(seat: Seat) -> Iterator[Served]:
    app = make_app(seat)
    with served(app) as found:
        yield found
    app.state.desk.close()


@pytest.fixture
def store(tmp_path: Path, site: Served) -> Iterator[Store]:
    found = Store(tmp_path)
    yield found
    found.close()


def look(site: Served, seat: Seat, *found: Any) -> None:
    async def turned() -> None:
        turn(seat, *found)

    site.run(turned())


def page(site: Served) -> str:
    answer = site.get("/")
    assert answer.status == 200
    return answer.data.decode()


def test_the_page_tells_what_is_open_and_where(site: Served, seat: Seat) -> None:
    assert "Nothing to tell." in page(site)
    look(site, seat, JAM, incident("main_burst", "water-0001", severity="critical"))
    text = page(site)
    assert "Traffic jam: Market Street" in text
    assert text.index("Burst water main: Harbour") < text.index("Traffic jam: Market Street")
    assert "As of 23 November, 12:40." in text
    look(site, seat, msgspec.structs.replace(JAM, closed=START + 3000))
    assert "Traffic jam" not in page(site)


def test_no_answer_runs_a_script_of_others_or_keeps_a_cookie(site: Served) -> None:
    for path in ("/", "/feed.atom", "/push.js", "/push/key", "/nothing"):
        headers = site.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in headers
    text = page(site)
    assert " style=" not in text
    assert " on" not in {word[:3] for word in text.split("<script")[0].split("=")}


def test_what_is_known_is_not_sent_again(site: Served) -> None:
    for path in ("/", "/feed.atom", "/page.css"):
        first = site.get(path)
        assert first.headers["cache-control"] == "public, max-age=15"
        assert site.get(path, {"If-None-Match": first.headers["etag"]}).status == 304


def test_feeds_lead_to_documents_for_the_public(site: Served, seat: Seat) -> None:
    over = incident("air_episode", "air-0003", closed=START + 3000)
    look(site, seat, JAM, over, incident("leak", HARBOUR[0]), incident("burst", HILL[0]))
    whole = atoma.parse_atom_bytes(site.get("/feed.atom").data)
    assert [each.title.value for each in whole.entries] == [
        "Unhealthy air is over: Hill",
        "Traffic jam: Market Street",
    ]
    part = atoma.parse_atom_bytes(site.get("/area/street-market-street/feed.atom").data)
    assert part.title.value == "City news: Market Street"
    assert [each.id_ for each in part.entries] == [whole.entries[1].id_]
    for each in whole.entries:
        (link,) = [link.href for link in each.links if link.type_ == "application/cap+xml"]
        document = site.get(urlsplit(link).path)
        assert document.headers["content-type"].startswith("application/cap+xml")
        assert etree.fromstring(document.data).findtext("{*}scope") == "Public"
    for path in ("/area/zone-nowhere/feed.atom", "/cap/nothing.xml", f"/cap/{JAM.id}.xml"):
        assert site.get(path).status == 404


def test_a_feed_is_written_once_for_all_who_read_it(site: Served, seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operators' pages wait meanwhile."""
    written: list[str] = []
    write = atom.feed
    monkeypatch.setattr(atom, "feed", lambda *of: written.append(of[0]) or write(*of))
    for _ in range(3):
        look(site, seat, JAM)  # another look, with nothing new
        assert b"Traffic jam" in site.get("/feed.atom").data
        assert b"Traffic jam" in site.get("/area/street-market-street/feed.atom").data
    assert len(written) == 2
    look(site, seat)
    assert b"Traffic jam" not in site.get("/feed.atom").data


def test_a_name_in_any_script_has_an_address(tmp_path: Path) -> None:
    seat = seat_of(tmp_path, plan=Plan(zone=(Zone("港区 <1>", ("air-0001",)),)))
    with served(make_app(seat)) as site:
        look(site, seat, incident("air_episode", "air-0001"))
        assert "港区 &lt;1&gt;" in page(site)
        assert "area/zone-%E6%B8%AF%E5%8C%BA-1/feed.atom" in page(site)
        feed = atoma.parse_atom_bytes(site.get("/area/zone-%E6%B8%AF%E5%8C%BA-1/feed.atom").data)
        (link,) = [link.href for link in feed.entries[0].links if link.type_ == "application/cap+xml"]
        assert site.get(urlsplit(link).path).status == 200


def test_before_anything_is_known_nothing_is_claimed(site: Served, seat: Seat) -> None:
    seat.snapshot, seat.trouble = Snapshot(0.0), "there is no journal"
    text = page(site)
    assert "Nothing is known yet." in text
    assert "Nothing to tell." not in text
    assert "could not be renewed" in text


def test_who_asks_is_kept_and_who_stops_is_deleted(site: Served, seat: Seat, store: Store) -> None:
    look(site, seat, JAM)
    assert site.post("/push/subscribe", WISH, ORIGIN).status == 200
    (kept,) = store.subscriptions()
    assert (kept.endpoint, kept.area) == (WISH["endpoint"], "zone-harbour")
    assert len(store.told(["jam.street-market-street.1795430400/jam.0"])) == 1  # it is on the page already
    assert site.post("/push/unsubscribe", {"endpoint": WISH["endpoint"]}, ORIGIN).status == 200
    assert store.subscriptions() == []


@pytest.mark.parametrize(
    ("changes", "headers", "status"),
    [
        ({}, {}, 403),
        ({}, {"Origin": "https://evil.example"}, 403),
        ({}, {"Origin": "null"}, 403),
        ({}, {**ORIGIN, "Sec-Fetch-Site": "cross-site"}, 403),
        ({}, {**ORIGIN, "Content-Type": "text/plain"}, 415),
        ({"endpoint": "https://169.254.169.254/"}, ORIGIN, 400),
        ({"endpoint": "https://169.254.43518/"}, ORIGIN, 400),
        ({"endpoint": "https://0177.0.0.0x1/"}, ORIGIN, 400),
        ({"endpoint": "https://push.example.com/" + "x" * 1000}, ORIGIN, 400),
        ({"endpoint": "https://push.example.com/" + "x" * 5000}, ORIGIN, 413),
        ({"keys": {"p256dh": "AAAA", "auth": "AAAA"}}, ORIGIN, 400),
        ({"area": "zone-nowhere"}, ORIGIN, 400),
        ({"name": "Ada"}, ORIGIN, 400),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value),
)
def test_what_cannot_be_taken_is_not_kept(
    site: Served, store: Store, changes: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    body = msgspec.json.encode(WISH | changes)
    answer = site.post("/push/subscribe", body, {"Content-Type": "application/json"} | headers)
    assert (answer.status, store.subscriptions()) == (status, [])
    assert "detail" in answer.json()


def test_many_who_ask_at_once_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But who wants to be told no more does not wait behind them."""
    monkeypatch.setattr(wishes, "WISHES", (0.001, 3.0))
    with served(make_app(seat_of(tmp_path))) as site:
        answers = [site.post("/push/subscribe", WISH, ORIGIN) for _ in range(4)]
        assert site.post("/push/unsubscribe", {"endpoint": WISH["endpoint"]}, ORIGIN).status == 200
    assert [each.status for each in answers] == [200, 200, 200, 429]
    assert answers[3].headers["retry-after"] == "60"


def test_one_address_asks_for_so_many_and_others_for_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wishes, "WISHES_OF_ONE", (0.001, 2.0))
    with served(make_app(seat_of(tmp_path))) as site:
        filler, other = ({**ORIGIN, "X-Forwarded-For": each} for each in ("203.0.113.7", "203.0.113.8"))
        assert [site.post("/push/subscribe", WISH, filler).status for _ in range(3)] == [200, 200, 429]
        assert site.post("/push/subscribe", WISH, other).status == 200
        assert site.post("/push/unsubscribe", {"endpoint": WISH["endpoint"]}, filler).status == 200


def test_a_full_store_says_so(site: Served, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.citizens.store.MOST", 1)
    assert site.post("/push/subscribe", WISH, ORIGIN).status == 200
    assert site.post("/push/subscribe", WISH, ORIGIN).status == 200  # the same again
    store.tell(store.newest(), "a")
    answer = site.post("/push/subscribe", {**WISH, "endpoint": "https://push.example.com/2"}, ORIGIN)
    assert (answer.status, len(store.subscriptions())) == (503, 1)
    with pytest.raises(Full, match="1 subscriptions"):
        store.subscribe("https://push.example.com/3", "", "", "", ())


def test_invented_subscriptions_keep_nobody_out(site: Served, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.citizens.store.MOST", 2)
    store.subscribe("https://push.example.com/real", "", "", "", ())
    store.tell(store.newest(), "a")
    for number in range(5):
        store.subscribe(f"https://push.example.com/invented-{number}", "", "", "", ())
    assert [each.endpoint.rpartition("/")[2] for each in store.subscriptions()] == ["real", "invented-4"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80@127.0.0.1", "[", "a\tb"])
def test_nobody_gives_the_feed_another_address(tmp_path: Path, host: str) -> None:
    """By the header `Host`, or those of proxies, which would be kept and given to others."""
    with served(make_app(seat_of(tmp_path, link=""))) as site:
        feed = site.get("/feed.atom", {"Host": host, "X-Forwarded-Host": "evil.example"}).data.decode()
        assert f'href="{site.url}/feed.atom"' in feed
        assert "evil" not in feed
        said = site.post("/push/subscribe", WISH, {"Host": host, "Origin": f"http://{host}"})
        assert said.status == 403


def test_without_a_contact_there_is_no_push(tmp_path: Path) -> None:
    with served(make_app(seat_of(tmp_path, contact=""))) as site:
        assert site.get("/push/key").status == 404
        assert "push.js" not in page(site)
    assert not (tmp_path / "vapid.pem").exists()


def test_without_the_table_there_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"add \[citizens\]"):
        make_app(Seat(Config(("riverside",), str(tmp_path))))


def test_figures_come_from_the_database(tmp_path: Path, influx: InfluxDB, influx_db: str) -> None:
    """Yesterday from midnight to midnight in Berlin, an hour before that in UTC; a meter that was exchanged in it."""
    midnight = 1_795_388_400  # 2026-11-22T23:00Z
    lines = []
    for number, node in enumerate(HARBOUR):
        for hour in range(-26, 3):
            register = 5000 * number + 10 * hour + (1e6 if number == 3 and hour < -12 else 0)
            lines.append(f"water,site=riverside,node={node} volume={register} {midnight + 3600 * hour}")
    until = NOW // 3600 * 3600
    lines += [f"air,site=riverside,node=air-0001 pm2_5=7.5 {until - 60 * minute}" for minute in range(59)]
    lines.append(f"air,site=riverside,node=air-0001 pm2_5=900 {until + 60}")
    write(influx.url, influx_db, lines)
    seat = seat_of(tmp_path)
    seat.config = msgspec.structs.replace(
        seat.config, influx=msgspec.structs.replace(seat.config.influx, url=influx.url, database=influx_db)
    )
    with served(make_app(seat)) as site:
        text = page(site)
    assert "Fair, until 12:00, 1 station" in text
    assert "2\u202f640 litres on 22 November, 11 homes" in text  # 240 l each; nobody knows of the exchanged one


def test_without_a_database_the_page_is_there(site: Served) -> None:
    began = time.monotonic()
    assert "litres" not in page(site)
    assert time.monotonic() - began < 5


def test_works_are_announced_by_a_command(tmp_path: Path) -> None:
    cli = CommandLine(tmp_path, 1)
    folder = tmp_path / "data"
    folder.mkdir()
    plan = tmp_path / "plan.toml"
    plan.write_text('[[zone]]\nname = "Harbour"\n')
    cli.file.write_text(cli.file.read_text() + '[detect]\nplan = "plan.toml"\n')
    cli.file.write_text('timezone = "Europe/Berlin"\n' + cli.file.read_text())
    seat = seat_of(folder)
    now = int(time.time())
    with served(make_app(seat)) as site:
        look(site, seat)
        ends = "2099-12-01T16:00"
        made = cli.invoke("notice", "add", "--area", "Harbour", "--to", ends, "--json", "New <main> in Quay Street.")
        assert msgspec.json.decode(made.output)["end"] == 4_099_820_400  # 15:00 UTC
        turned = page(site)
        assert "New &lt;main&gt; in Quay Street." in turned
        assert "New <main> in Quay Street." in "".join(
            each.summary.value for each in atoma.parse_atom_bytes(site.get("/feed.atom").data).entries
        )
        planned = cli.invoke("notice", "add", "--area", "riverside", "--from", "2099-01-01", "--to", ends, "Later.")
        assert planned.output.startswith("notice 2 is told from now on")
        assert "zone-harbour" in cli.invoke("notice", "list").output
        assert cli.invoke("notice", "end", "2").output == "notice 2 is over\n"
        assert cli.invoke("notice", "end", "1").exit_code == 0
        listed = [msgspec.json.decode(each) for each in cli.invoke("notice", "list", "--json").output.splitlines()]
        assert [each["number"] for each in listed] == [1]
        assert now <= listed[0]["end"] <= time.time()
        wait_until(lambda: "Later." not in page(site), 5, "its going")
    assert "the nearest is Harbour" in sentence(cli.invoke("notice", "add", "--area", "Habour", "--to", ends, "x"))
    assert "later time" in sentence(cli.invoke("notice", "add", "--area", "Harbour", "--to", "2001-01-01", "x"))
    assert "ISO 8601" in sentence(cli.invoke("notice", "add", "--area", "Harbour", "--to", "soon", "x"))
    assert "one line" in sentence(cli.invoke("notice", "add", "--area", "Harbour", "--to", ends, " "))
    assert "no notice 9" in sentence(cli.invoke("notice", "end", "9"))


def test_the_process_of_the_pages_serves_it(tmp_path: Path) -> None:
    """Over a journal, from the start to an orderly end."""
    journal = Journal.open(tmp_path / "data", 2**20)
    journal.report([incident("jam", "traffic-0001", opened=int(time.time()) - 1000)])
    journal.close()
    port = free_port()
    file = tmp_path / "ganglion.toml"
    file.write_text(
        f'sites = ["riverside"]\ndata_dir = "data"\n[citizens]\nlisten = "127.0.0.1:{port}"\n'
        'contact = "mailto:duty@city.example"\n'
    )
    command = [sys.executable, "-m", "gateway.cli.main", "citizens", "--config", str(file)]
    with (
        subprocess.Popen(command, cwd=Path(__file__).parents[2]) as process,
        urllib3.PoolManager(retries=False) as http,
    ):

        def told() -> bool:
            assert process.poll() is None
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                return b"Traffic jam: riverside" in http.request("GET", f"http://127.0.0.1:{port}/").data
            return False

        try:
            wait_until(told, 30, "the page")
        finally:
            process.terminate()
        assert process.wait(10) == 0
