"""InfluxDB 1.x from 1.6: `/write` and, for its one CREATE DATABASE, `/query`."""

import gzip
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
import urllib3

from gateway.config import Influx, secret
from gateway.errors import Lasting
from gateway.forward.answers import judge, unreachable
from gateway.forward.server import authorization, in_halves, make_http


class TargetV1:
    """Writes to one database with its default retention policy."""

    def __init__(self, settings: Influx) -> None:
        self._url = settings.url.rstrip("/")
        self._database = settings.database
        self._headers = authorization(secret(settings.token_env))
        self._http = make_http()

    def prepare(self) -> None:
        """Create the database when it is missing. Raises Passing or Lasting."""
        # Looked for first: a user who may only write may not say CREATE, even of what exists.
        databases = self._query("SHOW DATABASES")
        if [self._database] not in databases.get("series", [{}])[0].get("values", []):
            name = self._database.replace("\\", "\\\\").replace('"', '\\"')
            self._query(f'CREATE DATABASE "{name}"')

    def write(self, lines: Sequence[bytes]) -> None:
        """Returns when the server has them all. Raises Passing, Lasting or Poison."""
        in_halves(self._send, lines)

    def _send(self, lines: Sequence[bytes]) -> None:
        # Level 1: line protocol repeats itself so much that more effort saves little.
        self._request(
            "/write",
            fields={"db": self._database, "precision": "s"},
            body=gzip.compress(b"\n".join(lines), 1),
            headers={"Content-Encoding": "gzip"},
        )

    def _query(self, statement: str) -> dict[str, Any]:
        answer: dict[str, Any] = msgspec.json.decode(self._request("/query", {"q": statement}))
        result: dict[str, Any] = answer["results"][0]
        if "error" in result:
            raise Lasting(f"{self._url} refused {statement}: {result['error']}; create the database by hand")
        return result

    def _request(
        self, path: str, fields: dict[str, str], body: bytes = b"", headers: dict[str, str] | None = None
    ) -> bytes:
        """The body of a good answer."""
        url = f"{self._url}{path}?{urlencode(fields)}"
        try:
            answer = self._http.request("POST", url, body=body, headers=self._headers | (headers or {}))
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(self._url, error) from error
        if answer.status >= 300:
            raise judge(f"{self._url}{path}", answer.status, answer.headers, answer.data)
        return answer.data
