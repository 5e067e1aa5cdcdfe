"""InfluxDB 1.x: the database, its retention policies, and continuous queries that fill the roll-ups."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from gateway.config import Influx
from gateway.influx.plan import FOR_EVER, Api, Item, Planned, SetupError, Wish, keep, spell, unspell
from gateway.influx.rollups import MEASUREMENTS, STEPS, Step, continuous_query, query_name, select
from gateway.query.influxql import quote_name, quote_text, seconds
from gateway.times import utc

OWN: Final = "autogen"
"""What 1.x calls the policy that a new database begins with."""
DAY: Final = 86_400
SHARDS: Final = 4
"""A roll-up is kept in as many files at least: what is too old goes by whole files."""


class SetupV1:
    """Plans what is missing; nothing is changed before a `Planned.do` is called."""

    def __init__(self, settings: Influx) -> None:
        self._api = Api(settings)
        self._database = settings.database
        self._on = f"ON {quote_name(settings.database)}"

    def plan(self, wish: Wish) -> Iterator[Planned]:
        """In the order in which it has to be done."""
        there = any(row["name"] == self._database for row in self._rows("SHOW DATABASES"))
        if there:
            policies = {row["name"]: row for row in self._rows(f"SHOW RETENTION POLICIES {self._on}")}
            raw = next((name for name, row in policies.items() if row["default"]), OWN)
            yield Planned(Item("database", self._database, "exists"))
            readings = self._policy(raw, policies.get(raw), wish.retention, "DEFAULT", force=wish.force)
        else:
            policies, raw, readings = {}, OWN, None
            create = (
                f"CREATE DATABASE {quote_name(self._database)} WITH DURATION {_duration(wish.retention)} NAME {OWN}"
            )
            yield self._does(Item("database", self._database, "made", f"keeps {spell(wish.retention)}"), create)
        # What becomes shorter does so last: until then what goes can still be summed up.
        if readings is not None and readings.item.state != "changed":
            yield readings
        if wish.rollups:
            for step in STEPS:
                # Where it is kept for less the server chooses: shards may not be longer than what is kept.
                long = wish.rollup_retention == FOR_EVER or wish.rollup_retention >= SHARDS * seconds(step.shards)
                extra = f"SHARD DURATION {step.shards}" if long else ""
                has = policies.get(step.rollup)
                yield self._policy(step.rollup, has, wish.rollup_retention, extra, force=wish.force)
            yield from self._queries(raw)
            if wish.backfill and there:
                yield from self._backfill(raw)
        if readings is not None and readings.item.state == "changed":
            yield readings

    def _policy(self, name: str, has: dict[str, Any] | None, wished: int, extra: str, *, force: bool) -> Planned:
        named = f"RETENTION POLICY {quote_name(name)} {self._on} DURATION {_duration(wished)}"
        if has is None:
            item = Item("retention policy", name, "made", f"keeps {spell(wished)}")
            return self._does(item, f"CREATE {named} REPLICATION 1 {extra}".rstrip())
        item = keep("retention policy", name, unspell(has["duration"]), wished, force=force)
        if extra == "DEFAULT" and not has["default"]:
            item = Item("retention policy", name, "changed", f"{item.detail}; it was not the default one")
            named = f"RETENTION POLICY {quote_name(name)} {self._on}"
        elif item.state != "changed":
            return Planned(item)
        else:
            extra = "SHARD DURATION 0s"  # the server chooses: a policy may not be shorter than its shards are
        return self._does(item, f"ALTER {named} {extra}")

    def _queries(self, raw: str) -> Iterator[Planned]:
        has = {
            row["name"]: row["query"]
            for row in self._rows("SHOW CONTINUOUS QUERIES")
            if row["series"] == self._database
        }
        for step in STEPS:
            for measurement in MEASUREMENTS:
                name = query_name(measurement, step.rollup)
                create = continuous_query(self._database, raw, measurement, step)
                if name not in has:
                    yield self._does(Item("continuous query", name, "made", _reach(step)), create)
                elif _bare(has[name]) == _bare(create):
                    yield Planned(Item("continuous query", name, "exists", _reach(step)))
                else:
                    drop = f"DROP CONTINUOUS QUERY {quote_name(name)} {self._on}"
                    yield self._does(Item("continuous query", name, "changed", _reach(step)), drop, create)
        if any(row["enabled"] is False for row in self._rows("SHOW DIAGNOSTICS FOR 'config-cqs'")):
            detail = "they are off: set enabled = true below [continuous_queries] in the server's configuration"
            yield Planned(Item("service", "continuous queries", "missing", detail))

    def _backfill(self, raw: str) -> Iterator[Planned]:
        """Day by day, so that no statement is long; what is summed up already is written once more, as it is."""
        for measurement in MEASUREMENTS:
            source = f"{quote_name(raw)}.{quote_name(measurement)}"
            first = self._rows(f"SELECT * FROM {source} ORDER BY time ASC LIMIT 1")
            if not first:
                continue
            begin = int(datetime.fromisoformat(first[0]["time"]).timestamp()) // DAY * DAY
            days = range(begin, int(time.time()) + 1, DAY)
            for step in STEPS:
                statements = [
                    select(
                        self._database,
                        raw,
                        measurement,
                        step.rollup,
                        f"WHERE time >= {_at(day)} AND time < {_at(day + DAY)}",
                    )
                    for day in days
                ]
                since = f"{len(days)} days, from {datetime.fromtimestamp(begin, UTC):%Y-%m-%d} on"
                yield self._does(Item("backfill", f"{measurement} {step.rollup}", "made", since), *statements)

    def _does(self, item: Item, *statements: str) -> Planned:
        def do() -> None:
            for statement in statements:
                self._rows(statement)

        return Planned(item, statements, do)

    def _rows(self, statement: str) -> list[dict[str, Any]]:
        """What a statement answers; `series` is the series' name. Raises SetupError."""
        answer = self._api.ask("POST", "/query", {"db": self._database, "q": statement})
        try:
            (result,) = answer["results"]
            if "error" in result:
                raise SetupError(f"{self._api.url} refused {statement}: {result['error']}")
            return [
                {"series": series.get("name", ""), **dict(zip(series["columns"], values, strict=True))}
                for series in result.get("series", [])
                for values in series.get("values", [])
            ]
        except (TypeError, KeyError, ValueError) as error:
            raise SetupError(f"{self._api.url} does not answer as InfluxDB 1.x does: check influx.url") from error


def _duration(seconds: int) -> str:
    return "INF" if seconds == FOR_EVER else spell(seconds)


def _reach(step: Step) -> str:
    return f"every {step.rollup}, over the last {step.again}"


def _at(seconds: int) -> str:
    return quote_text(utc(seconds))


def _bare(statement: str) -> str:
    """Without what the server writes otherwise than we do: it quotes a name only where it must."""
    return re.sub(r'[\s"\\]', "", statement)
