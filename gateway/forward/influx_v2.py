"""InfluxDB 2.x and 3 (and what else takes `/api/v2/write`) through influxdb-client; batching and patience are ours."""

from collections.abc import Sequence
from typing import Any

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from gateway.config import Influx, secret
from gateway.forward.answers import judge, unreachable
from gateway.forward.server import CONNECT_SECONDS, READ_SECONDS, in_halves

PRECISION: Any = WritePrecision.S  # the client annotates with its namespace of strings, not with str


class TargetV2:
    """Writes to one bucket of one organisation, or to one database of 3."""

    def __init__(self, settings: Influx) -> None:
        self._url = settings.url.rstrip("/")
        self._bucket = settings.database
        self._client = InfluxDBClient(
            self._url,
            token=secret(settings.token_env),
            org=settings.org,
            enable_gzip=True,
            timeout=(1000 * CONNECT_SECONDS, 1000 * READ_SECONDS),
            retries=False,
        )
        self._writes = self._client.write_api(write_options=SYNCHRONOUS)

    def prepare(self) -> None:
        """Nothing: a token for writing alone may neither see nor create buckets; the first write tells."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Returns when the server has them all. Raises Passing, Lasting or Poison."""
        in_halves(self._send, lines)

    def _send(self, lines: Sequence[bytes]) -> None:
        try:
            self._writes.write(self._bucket, record=b"\n".join(lines), write_precision=PRECISION)
        except ApiException as error:
            if not error.status:  # how the client tells of TLS
                raise unreachable(self._url, error) from error
            raise judge(f"{self._url}/api/v2/write", error.status, error.headers or {}, error.body or "") from error
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(self._url, error) from error
