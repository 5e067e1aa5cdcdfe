"""What an answer means, for servers that cannot be run here: words from their sources and API references."""

import gzip
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Lasting, Passing, Poison
from gateway.forward.answers import TooLarge, judge, retry_after, server_words
from gateway.forward.patience import Patience
from gateway.forward.sending import is_near, packed

LIMIT_500 = '{"error":"max-series-per-database limit exceeded: (1000000)"}'
CONFLICT_2 = (
    '{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: '
    'input field \\"v\\" on measurement \\"m\\" is type string, already exists as type float dropped=1"}'
)
PARTIAL_3 = (
    '{"error":"partial write of line protocol occurred","data":[{"original_line":"m v=","line_number":2,'
    '"error_message":"no fields"}]}'
)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param(500, LIMIT_500, Lasting, id="1.x series limit as 500"),
        pytest.param(500, '{"error":"write /d/1.wal: no space left on device"}', Lasting, id="full disk"),
        pytest.param(500, '{"error":"timeout"}', Passing, id="1.x shard timeout"),
        pytest.param(500, '{"error":"engine: cache-max-memory-size exceeded: (9/8)"}', Passing, id="1.x cache full"),
        pytest.param(401, '{"code":"unauthorized","message":"unauthorized access"}', Lasting, id="wrong token"),
        pytest.param(403, '{"code":"forbidden","message":"insufficient permissions"}', Lasting, id="may not write"),
        pytest.param(404, '{"code":"not found","message":"bucket \\"b\\" not found"}', Lasting, id="no bucket"),
        pytest.param(404, "404 page not found\n", Lasting, id="wrong path"),
        pytest.param(413, '{"code":"request too large","message":"too large"}', TooLarge, id="too large"),
        pytest.param(400, '{"error":"http: request body too large"}', TooLarge, id="too large in other words"),
        pytest.param(429, "", Passing, id="cloud quota"),
        pytest.param(502, "<html>Bad Gateway</html>", Passing, id="proxy"),
        pytest.param(503, '{"code":"unavailable","message":"busy"}', Passing, id="busy"),
        pytest.param(301, "", Lasting, id="redirect"),
        pytest.param(405, "", Lasting, id="not a database"),
        pytest.param(200, "<html>Please log in</html>", Lasting, id="captive portal"),
        pytest.param(200, '{"results":[]}', Lasting, id="200 is no 204"),
        pytest.param(400, "<html>plain HTTP request sent to HTTPS port</html>", Lasting, id="a proxy's 400"),
        pytest.param(422, "", Lasting, id="a proxy's 422"),
        pytest.param(400, '{"error":"unexpected EOF"}', Passing, id="body cut on the way"),
        pytest.param(400, '{"error":"gzip: invalid checksum"}', Passing, id="body damaged on the way"),
        pytest.param(400, '{"code":"invalid","message":"Please provide either orgID or org"}', Lasting, id="no org"),
        pytest.param(500, '{"error":"retention policy not found: autogen"}', Lasting, id="no default policy"),
        pytest.param(503, "request throttled, queue full", Passing, id="1.x throttled"),
        pytest.param(504, "<html>Gateway Time-out</html>", Passing, id="proxy, no answer behind it"),
        pytest.param(500, '{"error":"hinted handoff queue not empty"}', Passing, id="cluster hinted handoff"),
        pytest.param(
            422,
            '{"error":"Update to schema would exceed number of columns per table limit of 500 columns"}',
            Lasting,
            id="3 Core limit",
        ),
        pytest.param(
            500,
            '{"code":"internal error","message":"unexpected error writing points to database: timeout"}',
            Passing,
            id="2.x timeout",
        ),
        pytest.param(999, "", Lasting, id="no status that there is"),
    ],
)
def test_each_answer_has_its_meaning(status: int, body: str, expected: type[Exception]) -> None:
    """Time, a person or nothing heals it."""
    error = judge("http://db", status, {}, body)
    assert type(error) is expected
    assert "to do: " in str(error)


@pytest.mark.parametrize(
    ("status", "body", "rest_written"),
    [
        pytest.param(422, CONFLICT_2, True, id="2.x conflict"),
        pytest.param(400, PARTIAL_3, True, id="3 Core"),
        pytest.param(
            400,
            '{"error":"parsing failed for write_lp endpoint","data":{"line_number":2,"error_message":"no fields"}}',
            False,
            id="3 Core that takes all or nothing",
        ),
        pytest.param(
            422,
            '{"code":"unprocessable entity","message":"failure writing points to database: partial write: '
            'points beyond retention policy dropped=2"}',
            True,
            id="2.x retention",
        ),
        pytest.param(
            400, '{"code":"invalid","message":"unable to parse \'m v=\': missing field"}', False, id="2.x parse"
        ),
    ],
)
def test_poison_knows_whether_the_rest_was_written(status: int, body: str, rest_written: bool) -> None:
    """From the words where the status leaves it open."""
    error = judge("http://db", status, {}, body)
    assert isinstance(error, Poison)
    assert error.rest_written is rest_written


def test_the_servers_words_are_for_people() -> None:
    """One line, bounded, from whichever field or header has them; 3 Core's list of lines is kept."""
    assert server_words({}, '{"error":"a\\nb"}') == "a b"
    assert server_words({}, b'{"code":"invalid","message":"m"}') == "m"
    assert "no fields" in server_words({}, PARTIAL_3)
    assert server_words({"X-Influxdb-Error": "gone"}, "") == "gone"
    assert len(server_words({}, "x" * 10_000)) == 500


@given(
    status=st.integers(100, 999),
    body=st.binary() | st.text() | st.just(b"<style" * 10_000),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "Date", "Location", "X-Influxdb-Error"]), st.text()),
)
def test_whatever_is_answered_has_a_meaning(status: int, body: bytes | str, headers: dict[str, str]) -> None:
    """And what is not a database's own words condemns no line."""
    error = judge("http://db", status, headers, body)
    assert "to do: " in str(error)
    assert not isinstance(error, Poison) or isinstance(msgspec.json.decode(body), dict)


DATE = {"Date": "Tue, 24 Nov 2026 10:58:30 GMT"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"Retry-After": "7"}, 7.0, id="seconds"),
        pytest.param({"retry-after": "7"}, 7.0, id="in another case"),
        pytest.param({}, None, id="none"),
        pytest.param({"Retry-After": "Tue, 24 Nov 2026 11:00:00 GMT"} | DATE, 90.0, id="date"),
        pytest.param({"Retry-After": "Tue, 24 Nov 2026 10:00:00 GMT"} | DATE, 0.0, id="a date that is over"),
        pytest.param({"Retry-After": "Tue, 24 Nov 2026 11:00:00 GMT"}, None, id="date of an unknown clock"),
        pytest.param({"Retry-After": "Tue, 24 Nov 2026 11:00:00 -0000"} | DATE, None, id="date without a zone"),
        pytest.param({"Retry-After": "soon"} | DATE, None, id="nonsense"),
        pytest.param({"Retry-After": f"Tue, 24 Nov {10**30} 11:00:00 GMT"} | DATE, None, id="a year without end"),
        pytest.param({"Retry-After": "-7"} | DATE, None, id="negative"),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    """A date is taken against the server's own clock."""
    assert retry_after(headers) == seconds
    error = judge("http://db", 503, headers, "")
    assert isinstance(error, Passing)
    assert error.retry_after == seconds


def test_a_page_is_told_without_its_marks_and_a_redirect_with_its_goal() -> None:
    """What a person wants to read in the log."""
    page = "<html><head><style>p {color: red}</style></head><body><p>Bad\n Gateway</p></body></html>"
    assert server_words({}, page) == "Bad Gateway"
    error = judge("http://db", 308, {"Location": "https://db/write"}, "")
    assert isinstance(error, Lasting)
    assert "https://db/write" in str(error)


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("http://localhost:8086", True),
        ("http://127.0.0.1:8086/x", True),
        ("http://[::1]:8086", True),
        ("http://10.0.0.7", False),
        ("https://influx.example:443", False),
        ("http://localhost.example", False),
    ],
)
def test_lines_are_packed_for_servers_elsewhere(url: str, near: bool) -> None:
    """As gzip; on this machine they go as they are."""
    assert is_near(url) is near
    body, encoding = packed([b"m v=1 1", b"m v=1 2"], near=near)
    assert encoding == ("" if near else "gzip")
    assert (body if near else gzip.decompress(body)) == b"m v=1 1\nm v=1 2"


def test_waits_double_up_to_a_bound_and_heed_the_server() -> None:
    """At least half of the wait is certain; Retry-After is a least; lasting errors wait long."""
    patience = Patience(first=1.0, most=8.0, lasting=60.0)
    dice = random.Random(1)
    for failures, longest in ((1, 1.0), (2, 2.0), (4, 8.0), (5, 8.0), (5000, 8.0)):
        waits = [patience.wait(Passing("x"), failures, dice) for _ in range(50)]
        assert longest / 2 <= min(waits) < max(waits) <= longest
    assert patience.wait(Passing("x", retry_after=90.0), 1, dice) == 90.0
    assert patience.wait(Passing("x", retry_after=1e6), 1, dice) == 900.0
    assert patience.wait(Lasting("x"), 1, dice) == 60.0
