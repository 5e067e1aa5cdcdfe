"""InfluxDB 2.x and 3 (and what else takes `/api/v2/write`) through influxdb-client; batching and patience are ours."""

from collections.abc import Sequence
from typing import Any

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from gateway.config import Influx
from gateway.errors import Passing
from gateway.forward.answers import judge, unreachable
from gateway.forward.sending import in_halves, is_near, once_more, packed
from gateway.forward.server import CONNECT_SECONDS, READ_SECONDS
from gateway.secret import secret_of

PRECISION: Any = WritePrecision.S  # the client annotates with its namespace of strings, not with str


class TargetV2:
    """Writes to one bucket of one organisation, or to one database of 3."""

    def __init__(self, settings: Influx) -> None:
        self._url = settings.url.rstrip("/")
        self._org = settings.org
        self._bucket = settings.database
        self._near = is_near(self._url)
        self._client = InfluxDBClient(
            self._url,
            token=secret_of(settings, "token"),
            timeout=(1000 * CONNECT_SECONDS, 1000 * READ_SECONDS),
            retries=False,
        )
        # Not the client's WriteApi: it packs at level 9, ten times as dear, and takes any 2xx for written.
        service: Any = WriteService  # the client's services are without types
        self._writes = service(self._client.api_client)

    def prepare(self) -> None:
        """Nothing: a token for writing alone may neither see nor create buckets; the first write tells."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Returns when the server has them all. Raises Passing, Lasting or Poison."""
        in_halves(self._send, lines)

    def _send(self, lines: Sequence[bytes]) -> None:
        where = f"{self._url}/api/v2/write"
        body, encoding = packed(lines, near=self._near)
        more = {"content_encoding": encoding} if encoding else {}
        try:
            _, status, headers = once_more(
                lambda: self._writes.post_write_with_http_info(
                    self._org, self._bucket, body, precision=PRECISION, **more
                )
            )
        except ApiException as error:
            if not error.status:  # how the client tells of TLS
                raise unreachable(self._url, error) from error
            raise judge(where, error.status, error.headers or {}, error.body or "") from error
        except ValueError as error:  # the client reads all as UTF-8 and as URLs; a proxy's page need not be
            raise Passing(
                f"{where} answered with what is no text, or no address: {error}; to do: check influx.url"
            ) from error
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(self._url, error) from error
        if status != 204:
            raise judge(where, status, headers, "")
