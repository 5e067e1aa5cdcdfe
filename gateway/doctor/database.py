"""The database: who answers, whether the token opens it, and whether it keeps what is written."""

import contextlib
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import urllib3

from gateway.config import Influx
from gateway.doctor.context import Context
from gateway.doctor.finding import NotAsked, Said, fault, ok, parted, span, warning
from gateway.errors import ConfigError, GanglionError, Lasting, Poison
from gateway.forward.answers import judge, server_words, unreachable
from gateway.forward.server import authorization, detect_api
from gateway.influx.plan import unspell
from gateway.query.client import ask
from gateway.query.influxql import QueryError, quote_name
from gateway.secret import secret_of

SECONDS: Final = 2.5
"""For one answer."""
REFUSED_LINE: Final = b"ganglion_doctor"
"""No line protocol, since it has no field: every server refuses it whole, once it has looked at token and database."""


def server(context: Context) -> Iterator[Said]:
    """Somebody answers, and takes the dialect of the configuration."""
    yield from _server(context.config.influx)


def _server(influx: Influx) -> Iterator[Said]:
    try:
        speaks = detect_api(influx.url, secret_of(influx, "token"))
    except Lasting as error:
        if influx.api == "auto":
            raise
        speaks = influx.api
        yield ok(f"{influx.url} answers, but not as an InfluxDB ({error}); influx.api decides: {influx.api}")
    if influx.api == "v1" and speaks == "v2":
        yield fault(f'{influx.url} is an InfluxDB 2 or 3, influx.api is "v1"', 'set influx.api to "v2" or "auto"')
    elif influx.api == "v2" and _get(influx, "/api/v2/write").status == 404:
        yield fault(f'{influx.url} does not know /api/v2/write, influx.api is "v2"', 'set influx.api to "v1" or "auto"')
    else:
        yield ok(f"{influx.url} answers and takes writes of {speaks}")


def place(context: Context) -> Iterator[Said]:
    """The database or bucket: there, open to the token, with long enough a retention."""
    yield from _place(context.config.influx, context)


def _place(influx: Influx, context: Context) -> Iterator[Said]:
    return (_bucket if _api(influx) == "v2" else _database)(influx, context)


def mirrors(context: Context) -> Iterator[Said]:
    """The same of each further database."""
    for mirror in context.config.mirror:
        said: list[Said] = []
        try:
            said += _server(mirror)
            if all(each.level != "fault" for each in said):
                said += _place(mirror, context)
        except GanglionError as error:
            said.append(fault(*parted(str(error), f"correct mirror {mirror.name} in {context.path}")))
        for each in said:
            cure = each.cure.replace("influx.", "the mirror's ")
            yield each._replace(seen=f"mirror {mirror.name}: {each.seen}", cure=cure)
    if not context.config.mirror:
        yield ok("there is none")


def write(context: Context) -> Iterator[Said]:
    """The right to write, by a line that is always refused; only when asked for."""
    if not context.write:
        raise NotAsked("--write is not given: the right to write is seen by the running gateway alone")
    influx = context.config.influx
    v2 = _api(influx) == "v2"
    path = "/api/v2/write" if v2 else "/write"
    fields = {"org": influx.org, "bucket": influx.database} if v2 else {"db": influx.database}
    answer = _request(influx, "POST", path, fields | {"precision": "s"}, REFUSED_LINE)
    if answer.status < 300:
        yield warning(f"{influx.url} has taken a line that is none", "check influx.url: no InfluxDB does that")
        return
    error = judge(f"{influx.url}{path}", answer.status, answer.headers, answer.data)
    if isinstance(error, Poison):
        yield ok("the token may write (a line that is none was refused as such, nothing is left of it)")
    else:
        yield fault(*parted(str(error)))


def _api(influx: Influx) -> str:
    return detect_api(influx.url, secret_of(influx, "token")) if influx.api == "auto" else influx.api


def _database(influx: Influx, context: Context) -> Iterator[Said]:
    try:
        there = [row[0] for series in ask(influx, "SHOW DATABASES", SECONDS) for row in series.values]
    except QueryError as error:
        yield fault(*parted(str(error), "check influx.url and influx.api"))
        return
    if influx.database not in there:
        said = fault if context.used else warning
        yield said(
            f"{influx.url} shows no database {influx.database}",
            "have the gateway make it at its start, or `ganglion influx setup`, as a user who may",
        )
        return
    try:
        series = ask(influx, f"SHOW RETENTION POLICIES ON {quote_name(influx.database)}", SECONDS)
    except QueryError as error:
        yield warning(f"its retention cannot be seen: {error}", "none needed, if the gateway may write")
        return
    policies = [dict(zip(each.columns, row, strict=True)) for each in series for row in each.values]
    kept = next((float(unspell(policy["duration"])) for policy in policies if policy.get("default")), None)
    if kept is None:
        yield fault(
            f"database {influx.database} has no default retention policy", "make one with CREATE RETENTION POLICY"
        )
        return
    yield _retention(influx, context, kept)


def _bucket(influx: Influx, context: Context) -> Iterator[Said]:
    answer = _get(influx, "/api/v2/buckets", {"org": influx.org, "name": influx.database})
    if answer.status == 401:
        yield fault(
            f"{influx.url} does not know the token", "check the token that influx.token_env or token_file gives"
        )
        return
    said = _json(answer.data)
    words = server_words(answer.headers, answer.data)
    buckets = said.get("buckets") if isinstance(said, dict) and answer.status == 200 else None
    if answer.status == 404 and "bucket" in words:
        buckets = []
    if not isinstance(buckets, list):
        yield warning(
            f"{influx.url} does not show its buckets ({answer.status}: {words:.200})",
            "none needed for 3 Core or a token for writing alone; see `readiness` of the running gateway, or --write",
        )
        return
    if not buckets:
        yield fault(
            f"{influx.url} shows no bucket {influx.database} in organisation {influx.org or '(none)'}",
            "make it with `ganglion influx setup`, check influx.org, or let the token see it",
        )
        return
    rules = buckets[0].get("retentionRules") or [{}]
    yield _retention(influx, context, float(rules[0].get("everySeconds") or 0))
    mapping = _get(influx, "/query", {"db": influx.database, "q": "SHOW MEASUREMENTS"})
    if mapping.status != 200:
        yield warning(
            f"no InfluxQL for bucket {influx.database} ({mapping.status}): `ganglion query` will not work",
            "map it with `ganglion influx setup`, with a token that may",
        )


def _retention(influx: Influx, context: Context, kept: float) -> Said:
    """`kept` in seconds; 0 is for ever. What waits is known of the first database only."""
    oldest, meters = None, False
    if context.used:
        with contextlib.suppress(GanglionError):  # the check of the journal tells of it
            oldest = context.journal.figures.oldest_received if influx == context.config.influx else None
            meters = any(view.kind == "water" for view in context.journal.nodes)
    age = 0.0 if oldest is None else context.clock() - oldest
    if kept and age > kept:
        return fault(
            f"{influx.database} keeps {span(kept)}, but packs wait that came {span(age)} ago: it will refuse them",
            "lengthen the retention (`ganglion influx setup`) before they are written, or they become dead letters",
        )
    if meters and not kept:
        return warning(
            f"{influx.database} keeps the readings of water meters for ever: those of homes are personal data",
            "have an end set by `ganglion influx setup`; docs/privacy.md tells which",
        )
    return ok(f"{influx.database} keeps {span(kept) if kept else 'everything'}")


def _get(influx: Influx, path: str, fields: dict[str, str] | None = None) -> urllib3.BaseHTTPResponse:
    return _request(influx, "GET", path, fields or {})


def _request(
    influx: Influx, method: str, path: str, fields: dict[str, str], body: bytes | None = None
) -> urllib3.BaseHTTPResponse:
    headers = authorization(secret_of(influx, "token"))
    query = urlencode({key: value for key, value in fields.items() if value})
    with urllib3.PoolManager(retries=False, timeout=SECONDS) as pool:
        try:
            return pool.request(method, f"{influx.url.rstrip('/')}{path}?{query}", body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(influx.url, error) from error


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ConfigError(f"the server does not answer as InfluxDB 2 does ({error}): check influx.url") from error


def server_date(context: Context) -> str:
    """The Date header of its answer; empty when it has none."""
    return _get(context.config.influx, "/ping").headers.get("Date", "")
