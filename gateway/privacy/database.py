"""What a database has of a node: counted, given out as rows, and deleted, as far as its dialect can.

After the API references of InfluxDB 1.x (`DROP SERIES`, which is of all retention policies) and 2.7 (`/api/v2/delete`).
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from gateway.config import Influx
from gateway.detect.unnamed import hidden
from gateway.errors import GanglionError, Lasting
from gateway.forward.lines import INCIDENT, line
from gateway.forward.server import major_version
from gateway.forward.target import make_target
from gateway.influx.plan import Api, SetupError
from gateway.influx.rollups import MEASUREMENTS, STEPS
from gateway.query.client import ask, rows
from gateway.query.influxql import quote_name, quote_text
from gateway.secret import secret_of

MONTH: Final = 30 * 86_400
"""Seconds that are asked for at once."""
BEGIN, END = "1677-09-21T00:12:44Z", "2262-04-11T23:47:16Z"
"""All time that there is in InfluxDB."""
_TAGS: Final[tuple[str, ...]] = ("site", "node", "channel", "kind")


class CannotDelete(GanglionError):
    """This server has no way to delete one node's readings; the message says what to do instead."""


class Table(NamedTuple):
    """One measurement of a retention policy; of 2.x a bucket."""

    policy: str
    measurement: str

    @property
    def name(self) -> str:
        return f"{self.policy}/{self.measurement}"

    def of(self, whose: str) -> str:
        """The `FROM` and `WHERE` of a node."""
        return f"FROM {quote_name(self.policy)}.{quote_name(self.measurement)} WHERE {whose}"


class Database:
    """One server's, for one node. Blocking. All raise Passing, Lasting, QueryError and ConfigError."""

    def __init__(self, settings: Influx, site: str, node: str) -> None:
        self._settings = settings
        self._site, self._node = site, node
        self._whose = f'"site" = {quote_text(site)} AND "node" = {quote_text(node)}'
        # Names have nothing that means anything in a pattern.
        word = f"/(^|[^a-z0-9-]){re.escape(node)}($|[^a-z0-9-])/".replace("\\-", "-")
        self._named = f'"site" = {quote_text(site)} AND "node" != {quote_text(node)} AND "summary" =~ {word}'

    def tables(self) -> list[Table]:
        """All that could hold something of it."""
        own = self._policies()
        return [Table(policy, each) for policy in own for each in (*MEASUREMENTS, INCIDENT)]

    def _policies(self) -> list[str]:
        found = ask(self._settings, f"SHOW RETENTION POLICIES ON {quote_name(self._settings.database)}")
        _, named = rows(found)
        return [row["name"] for row in named]

    def count(self) -> dict[str, int]:
        """Points by table; those of other nodes' incidents whose words name it as `... of others`."""
        counted: dict[str, int] = {}
        for table in self.tables():
            _, found = rows(ask(self._settings, f"SELECT count(*) {table.of(self._whose)}"))
            points = sum(max((v for k, v in row.items() if k.startswith("count_")), default=0) for row in found)
            if points:
                counted[table.name] = points
            if table.measurement == INCIDENT and (others := len(self._others(table))):
                counted[f"{table.name} of others"] = others
        return counted

    def rows(self, table: Table) -> Iterator[dict[str, Any]]:
        """All of the node's, in order of time, a month at a time."""
        edges = [
            _unix(row["time"])
            for order in ("ASC", "DESC")
            for row in rows(ask(self._settings, f"SELECT * {table.of(self._whose)} ORDER BY time {order} LIMIT 1"))[1]
        ]
        for begin in range(min(edges), max(edges) + 1, MONTH) if edges else ():
            within = f"time >= {begin}s AND time < {begin + MONTH}s"
            yield from rows(ask(self._settings, f"SELECT * {table.of(f'{self._whose} AND {within}')}"))[1]

    def delete(self) -> None:
        """Everything of the node; and its name out of what is said of others. Raises CannotDelete too."""
        if self._version() == 1:
            self._drop_series()
        else:
            self._delete_by_predicate()
        self._unname()

    def _drop_series(self) -> None:
        statement = f"DROP SERIES WHERE {self._whose}"
        api = Api(self._settings)
        answer = api.ask("POST", "/query", {"db": self._settings.database, "q": statement})
        if error := next((each["error"] for each in answer["results"] if "error" in each), ""):
            raise SetupError(f"{api.url} refused {statement}: {error}")

    def _delete_by_predicate(self) -> None:
        body = {"start": BEGIN, "stop": END, "predicate": f'site="{self._site}" AND node="{self._node}"'}
        for bucket in (self._settings.database, *(f"{self._settings.database}/{step.rollup}" for step in STEPS)):
            where = {"org": self._settings.org, "bucket": bucket}
            Api(self._settings).ask("POST", "/api/v2/delete", where, body, empty=(404,))  # 404: there are no roll-ups

    def _version(self) -> Literal[1, 2]:
        url = self._settings.url
        try:
            version = major_version(url, secret_of(self._settings, "token"))
        except Lasting as error:
            raise CannotDelete(
                f"{url} is no InfluxDB. If it is VictoriaMetrics: ask it for /api/v1/admin/tsdb/delete_series with "
                f"match[]={{site={self._site!r},node={self._node!r}}}; it frees the disk when it merges its files"
            ) from error
        if version == 3:
            raise CannotDelete(
                f"{url} is InfluxDB 3 Core, which cannot delete rows: they go with its retention, or when the database "
                f"{self._settings.database} is deleted and made anew out of a backup without them"
            )
        return version

    def _others(self, table: Table) -> list[dict[str, Any]]:
        return rows(ask(self._settings, f"SELECT * {table.of(self._named)}"))[1]

    def _unname(self) -> None:
        """Other nodes' incidents are written once more, with the same place and time, so in place of what they were."""
        table = next(each for each in self.tables() if each.measurement == INCIDENT)
        points = []
        for row in self._others(table):
            tags: dict[str, str] = {name: row.pop(name) for name in _TAGS if name in row}
            when = _unix(row.pop("time"))
            row["summary"] = hidden(row["summary"], self._node)
            points.append(line(INCIDENT, tags, row, when))
        if points:
            make_target(self._settings).write(points)


def _unix(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
