"""What an answer means, for servers that cannot be run here: words from their sources and API references."""

import random

import pytest

from gateway.errors import Lasting, Passing, Poison
from gateway.forward.answers import TooLarge, judge, retry_after, server_words
from gateway.forward.patience import Patience

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
        pytest.param(429, "", Passing, id="cloud quota"),
        pytest.param(502, "<html>Bad Gateway</html>", Passing, id="proxy"),
        pytest.param(503, '{"code":"unavailable","message":"busy"}', Passing, id="busy"),
        pytest.param(301, "", Lasting, id="redirect"),
        pytest.param(405, "", Lasting, id="not a database"),
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


@pytest.mark.parametrize(("value", "seconds"), [("7", 7.0), ("", None), ("Tue, 24 Nov 2026 11:00:00 GMT", None)])
def test_retry_after_is_seconds(value: str, seconds: float | None) -> None:
    """In whatever case the header comes."""
    assert retry_after({"retry-after": value}) == seconds
    error = judge("http://db", 503, {"Retry-After": value}, "")
    assert isinstance(error, Passing)
    assert error.retry_after == seconds


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
