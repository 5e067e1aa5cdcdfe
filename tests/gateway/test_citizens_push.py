"""Web Push: whom we send to, what arrives, and what becomes of those who cannot be reached."""

import asyncio
import socket
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import msgspec
import pytest
from py_vapid import Vapid02

from gateway.cap.area import Places
from gateway.citizens.notices import Board
from gateway.citizens.pump import Pump, Word, due, known_keys, words
from gateway.citizens.push import Identity, Keys, PushError, Sender, Sent, Wish, check, judge
from gateway.citizens.store import FAILING_DAYS, FILE, Store, Subscription
from gateway.errors import ConfigError
from gateway.web.seat import Seat, Snapshot
from sim_hardware.servers import free_port, wait_until
from tests.gateway.citizens_work import NODES, NOW, PLAN, incident, seat_of, turn
from tests.gateway.drawn import START
from tests.gateway.pushing import Browser, PushService
from tests.gateway.served import Served, served

BROWSER = Browser()
JAM = incident("jam", "traffic-0001")
OVER = msgspec.structs.replace(JAM, closed=START + 3000)
QUICK = (0.05, 0.2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path)
    yield found
    found.close()


@pytest.fixture
def service() -> Iterator[PushService]:
    with PushService().running() as found:
        yield found


def subscribe(store: Store, endpoint: str, area: str = "", known: tuple[str, ...] = ()) -> None:
    store.subscribe(endpoint, BROWSER.keys["p256dh"], BROWSER.keys["auth"], area, known)


def told_now(*found: object) -> list[Word]:
    board = Board(Places(PLAN), "city.example", "", exercise=False)
    return words(board.notices(found, (), NODES, NOW))  # type: ignore[arg-type]


@pytest.fixture
def pumping(tmp_path: Path) -> Iterator[Callable[[], tuple[Served, Seat]]]:
    """Starts a pump beside a server that answers nothing; each is ended at the end."""
    running = []

    def start() -> tuple[Served, Seat]:
        seat = seat_of(tmp_path)
        seat.snapshot = Snapshot(0.0)
        pump = Pump(seat, private=True, pause=QUICK)
        context = served(_nothing, pump.run())
        found = context.__enter__()
        running.append(context)
        return found, seat

    yield start
    for context in running:
        context.__exit__(None, None, None)


async def _nothing(scope: object, receive: object, send: object) -> None:
    raise AssertionError("nobody asks")


def look(running: tuple[Served, Seat], *found: object, times: int = 1) -> None:
    """The seat looks so often, and sees this."""
    server, seat = running
    for _ in range(times):
        server.loop.call_soon_threadsafe(turn, seat, *found)
        time.sleep(0.02)


def look_until(running: tuple[Served, Seat], condition: Callable[[], bool], *found: object) -> None:
    """As often as it takes."""

    def looked() -> bool:
        look(running, *found)
        return condition()

    wait_until(looked, 10, "what the seat saw")


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example.com/1",
        "https://push.example.com:8443/1",
        "https://127.0.0.1/1",
        "https://[::1]/1",
        "https://[::ffff:10.0.0.1]/1",
        "https://[64:ff9b::a00:1]/1",
        "https://[2002:7f00:1::]/1",
        "https://10.1.2.3/1",
        "https://169.254.169.254/latest",
        "https://224.0.0.1/1",
        "https://localhost/1",
        "https://influx/1",
        "https://db.internal/1",
        "https://printer.local./1",
        "https://me@push.example.com/1",
        "https://push.example.com/a b",
        "https://push.example.com/\r\nX: y",
        "https://[half/1",
        "file:///etc/passwd",
        "",
        "https://a..example.com/",
        f"https://{'a' * 64}.example.com/",
        "https://push.example.com:/",
        "https://[::ffff:1.2.3.4%25lo]/",
        "https://[v1.fe]/",
    ],
)
def test_only_a_push_service_of_the_open_internet_is_sent_to(endpoint: str) -> None:
    with pytest.raises(PushError, match="endpoint"):
        check(Wish(endpoint, Keys(**BROWSER.keys)))
    check(Wish("https://fcm.googleapis.com/fcm/send/abc:DEF-_", Keys(**BROWSER.keys)))


@pytest.mark.parametrize("endpoint", ["https://a..example.com/1", "https://push.example.com:/1"])
def test_what_cannot_be_sent_ends_nothing(tmp_path: Path, endpoint: str) -> None:
    """The process is the operators', too, and anybody may subscribe."""
    to = Subscription(1, endpoint, BROWSER.keys["p256dh"], BROWSER.keys["auth"], "")

    async def send() -> Sent:
        async with Sender(Identity(tmp_path, "mailto:duty@city.example"), private=True) as sender:
            return await sender.send(to, b"{}", "topic", urgent=False)

    with ThreadPoolExecutor(1) as thread:  # whose loop is its own
        assert thread.submit(asyncio.run, send()).result().state == "refused"


@pytest.mark.parametrize("keys", [("", ""), ("AAAA", "AAAA"), ("!", "AAAAAAAAAAAAAAAAAAAAAA"), ("ä", "")])
def test_keys_that_are_none_are_refused(keys: tuple[str, str]) -> None:
    with pytest.raises(PushError, match="keys"):
        check(Wish("https://push.example.com/1", Keys(*keys)))


def test_a_name_that_leads_to_a_private_network_is_not_sent_to(
    tmp_path: Path, service: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for again at each connection, so that it does not help to change it after the first look."""
    port = int(service.url.rpartition(":")[2])
    real = socket.getaddrinfo

    def lie(host: str, *rest: object, **named: object) -> object:
        return real("127.0.0.1" if host == "push.example.com" else host, port, *rest[1:], **named)  # type: ignore

    monkeypatch.setattr(socket, "getaddrinfo", lie)
    sender = Sender(Identity(tmp_path, "mailto:duty@city.example"))
    to = Subscription(1, "https://push.example.com/1", BROWSER.keys["p256dh"], BROWSER.keys["auth"], "")

    async def send() -> Sent:
        async with sender:
            return await sender.send(to, b"{}", "topic", urgent=False)

    with ThreadPoolExecutor(1) as thread:  # whose loop is its own
        sent = thread.submit(asyncio.run, send()).result()
    assert (sent.state, "private network" in sent.why) == ("gone", True)
    assert service.heard == []


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (201, "taken"),
        (202, "taken"),
        (404, "gone"),
        (410, "gone"),
        (429, "later"),
        (503, "later"),
        (400, "refused"),
        (307, "refused"),
        (403, "refused"),
        (413, "refused"),
    ],
)
def test_what_answers_mean(status: int, state: str) -> None:
    assert judge(status, None).state == state


def test_how_long_a_service_asks_us_to_wait() -> None:
    assert judge(429, "120").after == 120
    assert judge(429, "tomorrow").after is None


def test_the_store_is_for_its_owner_alone(tmp_path: Path, store: Store) -> None:
    subscribe(store, "https://push.example.com/secret")
    for path in (tmp_path / FILE, *tmp_path.glob(f"{FILE}-*")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    Identity(tmp_path, "mailto:duty@city.example")
    assert stat.S_IMODE((tmp_path / "vapid.pem").stat().st_mode) == 0o600


def test_our_key_stays(tmp_path: Path) -> None:
    one, other = (Identity(tmp_path, "mailto:duty@city.example") for _ in range(2))
    assert one.public_key == other.public_key
    (tmp_path / "vapid.pem").write_text("nonsense")
    with pytest.raises(ConfigError, match="subscribe again"):
        Identity(tmp_path, "mailto:duty@city.example")


def test_who_stops_is_deleted_from_the_disk(tmp_path: Path, store: Store) -> None:
    subscribe(store, "https://push.example.com/very-secret", known=("a", "b"))
    assert store.unsubscribe("https://push.example.com/very-secret")
    assert not store.unsubscribe("https://push.example.com/very-secret")
    assert store.subscriptions() == []
    assert store.told(["a", "b"]) == set()
    for path in tmp_path.glob(f"{FILE}*"):
        assert b"very-secret" not in path.read_bytes()


def test_what_is_kept_of_a_subscriber(tmp_path: Path, store: Store) -> None:
    """The endpoint, its keys, the area, whether it fails and whether it ever took anything; nothing else."""
    columns = {
        row[1] for row in sqlite3.connect(tmp_path / FILE).execute("SELECT * FROM pragma_table_info('subscriptions')")
    }
    assert columns == {"number", "endpoint", "p256dh", "auth", "area", "failing", "proven"}


def test_asking_again_replaces(store: Store) -> None:
    subscribe(store, "https://push.example.com/1", "zone-harbour")
    subscribe(store, "https://push.example.com/1", "zone-hill")
    assert [each.area for each in store.subscriptions()] == ["zone-hill"]


def test_one_that_is_refused_for_a_month_goes(store: Store) -> None:
    subscribe(store, "https://push.example.com/1")
    store.skip(1, "a", 20_000)
    store.skip(1, "b", 20_000 + FAILING_DAYS - 1)
    assert store.told(["a", "b"]) == {(1, "a"), (1, "b")}
    store.tell(1, "c")
    store.skip(1, "d", 20_000 + FAILING_DAYS)
    assert len(store.subscriptions()) == 1
    store.skip(1, "e", 20_000 + 2 * FAILING_DAYS)
    assert store.subscriptions() == []


def test_who_is_told_what() -> None:
    """The area's own and those of all; the end to those who know of the beginning."""
    here, all_of_it, other = (
        Subscription(number, f"https://push.example.com/{number}", "", "", area)
        for number, area in enumerate(("street-market-street", "", "zone-hill"), 1)
    )
    (open_word,), (over,) = told_now(JAM), told_now(OVER)
    jobs = due([open_word], [here, all_of_it, other], set())
    assert [job.to.number for job in jobs["push.example.com"]] == [1, 2]
    assert due([over], [here, all_of_it], set()) == {}
    assert [job.to.number for job in due([over], [here, all_of_it], {(1, open_word.key)})["push.example.com"]] == [1]
    known = set(known_keys([open_word.notice]))
    assert due([open_word], [here], {(1, key) for key in known}) == {}


def test_what_arrives(
    tmp_path: Path, store: Store, service: PushService, pumping: Callable[[], tuple[Served, Seat]]
) -> None:
    subscribe(store, f"{service.url}/mine", "street-market-street")
    subscribe(store, f"{service.url}/hill", "zone-hill")
    running = pumping()
    look(running, JAM)
    ((path, headers, body),) = service.wait(1)
    assert path == "/mine"
    payload = BROWSER.read(body)
    assert payload["title"] == "Traffic jam: Market Street"
    assert set(payload) == {"title", "body", "tag"}
    assert b"traffic-0001" not in body
    assert (headers["content-encoding"], headers["topic"]) == ("aes128gcm", payload["tag"])
    assert 0 < int(headers["ttl"]) <= 86_400
    assert Vapid02.verify(headers["authorization"])
    look_until(running, lambda: bool(store.told([_key(JAM)])), JAM)
    look(running, OVER, times=3)
    assert BROWSER.read(service.wait(2)[1][2])["title"] == "Traffic jam is over: Market Street"
    look(running, OVER, times=5)
    assert len(service.heard) == 2


def test_what_was_told_is_known_after_a_restart(
    store: Store, service: PushService, pumping: Callable[[], tuple[Served, Seat]]
) -> None:
    subscribe(store, f"{service.url}/mine")
    running = pumping()
    look(running, JAM)
    service.wait(1)
    look_until(running, lambda: bool(store.told([_key(JAM)])), JAM)
    again = pumping()
    other = incident("air_episode", "air-0003")
    look(again, JAM, other)
    titles = [BROWSER.read(body)["title"] for *_, body in service.wait(2)]
    assert titles == ["Traffic jam: Market Street", "Unhealthy air: Hill"]


def test_one_that_is_gone_is_deleted(
    store: Store, service: PushService, pumping: Callable[[], tuple[Served, Seat]]
) -> None:
    service.answers = {"/gone": [410], "/lost": [404]}
    for path in ("/gone", "/lost", "/mine"):
        subscribe(store, service.url + path)
    running = pumping()
    look_until(running, lambda: len(store.subscriptions()) == 1, JAM)
    service.wait(1, "/mine")
    assert [each.endpoint for each in store.subscriptions()] == [f"{service.url}/mine"]


def test_a_failure_is_tried_again_and_holds_up_nobody(
    store: Store, service: PushService, pumping: Callable[[], tuple[Served, Seat]]
) -> None:
    service.answers = {"/bad": [500, 503, 429, 201]}
    subscribe(store, f"{service.url}/bad")
    subscribe(store, f"{service.url}/good")
    running = pumping()
    look_until(running, lambda: len(store.told([_key(JAM)])) == 2, JAM)
    assert [path for path, *_ in service.heard].count("/bad") == 4
    assert [path for path, *_ in service.heard].count("/good") == 1


def test_a_dead_service_delays_no_other(
    store: Store, service: PushService, pumping: Callable[[], tuple[Served, Seat]]
) -> None:
    """One that takes connections and never answers, and one that is not there."""
    with PushService().running() as silent:
        silent.answers = {f"/{number}": [0] for number in range(20)}
        for number in range(20):
            subscribe(store, f"{silent.url}/{number}")
            subscribe(store, f"http://127.0.0.1:{free_port()}/{number}")
        subscribe(store, f"{service.url}/mine")
        running = pumping()
        look(running, JAM)
        silent.wait(1)
        service.wait(1, seconds=5)
        look_until(running, lambda: len(store.told([_key(JAM)])) == 1, JAM)
        look(running, OVER)
        service.wait(2, seconds=5)
        assert len(silent.heard) == 1


def test_a_redirect_is_not_followed(
    store: Store, service: PushService, pumping: Callable[[], tuple[Served, Seat]]
) -> None:
    service.answers = {"/there": [307]}
    subscribe(store, f"{service.url}/there")
    running = pumping()
    look_until(running, lambda: bool(store.told([_key(JAM)])), JAM)
    assert [path for path, *_ in service.heard] == ["/there"]


def test_many_are_told_once_each(
    store: Store, service: PushService, pumping: Callable[[], tuple[Served, Seat]]
) -> None:
    dice = Random(7)
    service.answers = {f"/{number}": [dice.choice([201, 500]), 201] for number in range(150)}
    failing = sum(statuses[0] == 500 for statuses in service.answers.values())
    for number in range(150):
        subscribe(store, f"{service.url}/{number}")
    running = pumping()
    look_until(running, lambda: len(store.told([_key(JAM)])) == 150, JAM)
    assert len(service.heard) == 150 + failing


def _key(found: object) -> str:
    (word,) = told_now(found)
    return word.key
