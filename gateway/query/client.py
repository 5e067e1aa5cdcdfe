"""One question, one answer, over HTTP (`/query`, the InfluxQL API of 1.x that 2.x and 3 keep)."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import urllib3
from msgspec import Struct

from gateway.config import Influx
from gateway.forward.answers import server_words, unreachable
from gateway.forward.server import CONNECT_SECONDS, authorization, make_http
from gateway.query.influxql import TAGS, By, QueryError
from gateway.secret import secret_of

READ_SECONDS: Final = 120
"""A year of a city takes its time."""

MOST_BYTES: Final = 2**28
"""Of one answer: what is larger is asked for in parts."""
CHUNK: Final = 2**16

HINTS: Final = {
    401: "check influx.token_env or token_file, and the token or user:password it holds",
    403: "give the token or user the right to read the database",
    404: "check influx.url and influx.database; 2.x needs a DBRP mapping for InfluxQL",
}

_ORDER: Final = {tag: number for number, tag in enumerate(TAGS[By.CHANNEL])}


class DatabaseError(QueryError):
    """The database does not let itself be asked: it is for the operator of the gateway to mend, not for who asks."""


class TooMuch(QueryError):
    """An answer that is larger than allowed."""


class Series(Struct, frozen=True):
    """Rows that share measurement and tags."""

    columns: list[str]
    name: str = ""
    tags: dict[str, str] = {}
    values: list[list[Any]] = []


class Result(Struct, frozen=True):
    """Of one statement."""

    series: list[Series] = []
    error: str = ""
    partial: bool = False
    """The server has cut the rows off (`max-row-limit`)."""


class Answer(Struct, frozen=True):
    results: list[Result] = []


def ask(
    settings: Influx,
    statement: str,
    patience: float = READ_SECONDS,
    *,
    most_bytes: int = MOST_BYTES,
    told: Callable[[int], None] = lambda _: None,
) -> list[Series]:
    """Every series of every statement, times as RFC 3339. `patience` (s) is how long the server may be silent.

    `told` hears how many bytes have come, again and again. Raises QueryError for what the server refuses or cuts off
    (DatabaseError where it refuses us, TooMuch beyond `most_bytes`), Passing when nobody answers, ConfigError when the
    secret is not set.
    """
    url = settings.url.rstrip("/")
    with make_http() as http:
        try:
            answer = http.request(
                "GET",
                f"{url}/query",
                fields={"db": settings.database, "q": statement},
                headers={"Accept": "application/json", **authorization(secret_of(settings, "token"))},
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=patience),
                preload_content=False,
            )
            data = bytearray()
            for chunk in answer.stream(CHUNK):
                data += chunk
                told(len(data))
                if len(data) > most_bytes:
                    answer.close()
                    raise TooMuch(
                        f"the answer has more than {most_bytes:,} bytes: ask for less time, or for longer intervals"
                    )
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(url, error) from error
    body = bytes(data)
    if answer.status != 200:
        hint = HINTS.get(answer.status, "check the statement")
        words = server_words(answer.headers, body)
        kind = DatabaseError if answer.status != 400 else QueryError
        raise kind(f"{url} refused {statement!r} with {answer.status}: {words}; to do: {hint}")
    try:
        results = msgspec.json.decode(body, type=Answer).results
    except msgspec.DecodeError as error:
        raise DatabaseError(f"{url} does not answer as InfluxDB does ({error}): check influx.url") from error
    for result in results:
        if result.error:
            raise QueryError(f"{url} refused {statement!r}: {result.error}")
        if result.partial:
            raise QueryError(f"{url} cut the answer off: ask for less time, or for longer intervals")
    return [series for result in results for series in result.series]


def rows(series: list[Series]) -> tuple[list[str], list[dict[str, Any]]]:
    """All series as one table: (columns, rows without what they do not have).

    Columns: `measurement` where there are several, time, tags from the site down, then values as they come.
    """
    several = len({each.name for each in series}) > 1
    columns: dict[str, None] = {"measurement": None} if several else {}
    columns |= dict.fromkeys(column for each in series for column in each.columns[:1])
    tags = {tag for each in series for tag in each.tags}
    columns |= dict.fromkeys(sorted(tags, key=lambda tag: (_ORDER.get(tag, len(_ORDER)), tag)))
    columns |= dict.fromkeys(column for each in series for column in each.columns)
    table = [
        ({"measurement": each.name} if several else {})
        | {tag: text for tag, text in each.tags.items() if text}
        | {column: value for column, value in zip(each.columns, values, strict=True) if value is not None}
        for each in series
        for values in each.values
    ]
    return list(columns), table
