"""InfluxDB 1.x from 1.6: `/write` and, for its one CREATE DATABASE, `/query`."""

from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec
import urllib3
from msgspec import Struct

from gateway.config import Influx
from gateway.errors import Lasting, Poison
from gateway.forward.answers import UNREADABLE, judge, unreachable
from gateway.forward.sending import in_halves, is_near, once_more, packed
from gateway.forward.server import authorization, make_http
from gateway.secret import secret_of


class _Series(Struct):
    values: list[list[str]] = []


class _Result(Struct):
    series: list[_Series] = []
    error: str = ""


class _Answer(Struct):
    results: list[_Result]


class TargetV1:
    """Writes to one database with its default retention policy."""

    def __init__(self, settings: Influx) -> None:
        self._url = settings.url.rstrip("/")
        self._database = settings.database
        self._headers = authorization(secret_of(settings, "token"))
        self._near = is_near(self._url)
        self._http = make_http()

    def prepare(self) -> None:
        """Create the database when it is missing. Raises Passing or Lasting."""
        # Looked for first: a user who may only write may not say CREATE, even of what exists.
        if self._database not in self._query("SHOW DATABASES"):
            name = self._database.replace("\\", "\\\\").replace('"', '\\"')
            self._query(f'CREATE DATABASE "{name}"')

    def write(self, lines: Sequence[bytes]) -> None:
        """Returns when the server has them all. Raises Passing, Lasting or Poison."""
        in_halves(self._send, lines)

    def _send(self, lines: Sequence[bytes]) -> None:
        body, encoding = packed(lines, near=self._near)
        headers = {"Content-Encoding": encoding} if encoding else {}
        self._request(204, "/write", {"db": self._database, "precision": "s"}, body, headers)

    def _query(self, statement: str) -> list[str]:
        """The first column of the answer."""
        try:
            body = self._request(200, "/query", {"q": statement})
        except Poison as error:  # there are no lines here that could be to blame
            raise Lasting(str(error)) from error
        try:
            (result,) = msgspec.json.decode(body, type=_Answer).results
        except (*UNREADABLE, ValueError) as error:
            raise Lasting(
                f"{self._url} does not answer as InfluxDB 1.x does: check influx.url and influx.api"
            ) from error
        if result.error:
            raise Lasting(f"{self._url} refused {statement}: {result.error}; create the database by hand")
        return [row[0] for series in result.series for row in series.values if row]

    def _request(
        self, good: int, path: str, fields: dict[str, str], body: bytes = b"", headers: dict[str, str] | None = None
    ) -> bytes:
        """The body of an answer with the status `good`: another, even a 200, may be that of who stands between."""
        url = f"{self._url}{path}?{urlencode(fields)}"
        try:
            answer = once_more(
                lambda: self._http.request(
                    "POST", url, body=body, headers=self._headers | (headers or {}), redirect=False
                )
            )
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(self._url, error) from error
        if answer.status != good:
            raise judge(f"{self._url}{path}", answer.status, answer.headers, answer.data)
        return answer.data
