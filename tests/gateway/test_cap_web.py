"""CAP documents and their feed on the console's port."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import atoma
import msgspec
import pytest
from fastapi import FastAPI
from lxml import etree

from gateway.cap.web import KEPT, make_router
from gateway.config import Config, Console
from gateway.web.seat import Seat, Snapshot
from tests.gateway.drawn import START, jam
from tests.gateway.served import Served, served

NOW = START + 30 * 86_400
JAM = jam(summary="Full and slow.")


@pytest.fixture
def seat(tmp_path: Path) -> Seat:
    found = Seat(Config(("riverside",), str(tmp_path), console=Console(link="https://console.example/")))
    changes: list[dict[str, Any]] = [
        {},
        {"id": "burst.riverside.water-0007.1", "kind": "burst", "node": "water-0007", "held": True},
        {"id": "jam.riverside.old.1", "closed": NOW - KEPT - 1},
        {"id": "jam.riverside.new.1", "closed": NOW - KEPT + 1, "confirmed": START + 900},
    ]
    told = tuple(msgspec.structs.replace(JAM, **each) for each in changes)
    found.snapshot = Snapshot(float(NOW), incidents=told)
    return found


@pytest.fixture
def client(seat: Seat) -> Iterator[Served]:
    app = FastAPI()
    app.include_router(make_router(seat))
    with served(app) as found:
        yield found


def test_the_feed_leads_to_the_documents_of_what_was_told(client: Served) -> None:
    answer = client.get("/cap/feed.atom")
    assert answer.headers["content-type"].startswith("application/atom+xml")
    entries = atoma.parse_atom_bytes(answer.data).entries
    assert [each.title.value for each in entries] == ["Traffic jam is over: riverside", "Traffic jam: riverside"]
    for each in entries:
        found = client.get(each.links[0].href.removeprefix("https://console.example"))
        assert found.status == 200
        assert found.headers["content-type"].startswith("application/cap+xml")
        assert etree.fromstring(found.data).tag == "{urn:oasis:names:tc:emergency:cap:1.2}alert"


@pytest.mark.parametrize("path", ["/cap/feed.atom", f"/cap/{JAM.id}.xml"], ids=["feed", "document"])
def test_what_is_known_is_not_sent_again(client: Served, seat: Seat, path: str) -> None:
    first = client.get(path)
    assert first.headers["cache-control"] == "private, max-age=15"
    same = client.get(path, headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (same.status, same.data) == (304, b"")
    assert client.get(path, headers={"If-Modified-Since": first.headers["last-modified"]}).status == 304
    assert client.get(path, headers={"If-Modified-Since": "yesterday"}).status == 200
    over = msgspec.structs.replace(JAM, closed=NOW, confirmed=START + 900)
    seat.snapshot = Snapshot(float(NOW), incidents=(over,))
    assert client.get(path, headers={"If-None-Match": first.headers["etag"]}).status == 200
    assert client.get(path, headers={"If-Modified-Since": first.headers["last-modified"]}).status == 200


def test_what_is_held_or_unknown_is_not_there(client: Served) -> None:
    for name in ("burst.riverside.water-0007.1", "jam.riverside.old.1", "nothing"):
        answer = client.get(f"/cap/{name}.xml")
        assert (answer.status, name in answer.json()["detail"]) == (404, True)
