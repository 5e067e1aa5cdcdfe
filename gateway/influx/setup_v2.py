"""InfluxDB 2.x: buckets with retention, DBRP mappings for InfluxQL, and tasks in Flux that fill the roll-ups.

After the API reference of InfluxDB OSS 2.7 (`/api/v2/orgs`, `buckets`, `dbrps`, `tasks`). The roll-ups of a bucket are
the buckets `{bucket}/15m` and so on, which InfluxQL reads as retention policies of the same database.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from gateway.config import Influx
from gateway.influx.plan import FOR_EVER, Api, Item, Planned, SetupError, Wish, keep, spell
from gateway.influx.rollups import MEASUREMENTS, STEPS, flux, query_name

OWN: Final = "autogen"
"""The retention policy that 2.x itself gives to a bucket without a slash in its name."""


class SetupV2:
    """Plans what is missing; nothing is changed before a `Planned.do` is called."""

    def __init__(self, settings: Influx) -> None:
        if not settings.org:
            raise SetupError("influx.org: is empty; 2.x needs the name of the organisation")
        self._api = Api(settings)
        self._bucket = settings.database
        self._org = settings.org

    def plan(self, wish: Wish) -> Iterator[Planned]:
        """In the order in which it has to be done."""
        if wish.backfill:
            raise SetupError("--backfill is for 1.x; for 2.x see docs/operating.md, retention and roll-ups")
        orgs = (self._api.ask("GET", "/api/v2/orgs", {"org": self._org}, empty=(404,)) or {}).get("orgs", [])
        if not orgs:
            raise SetupError(
                f"{self._api.url} has no organisation {self._org!r}, or its token may not see it: check influx.org"
            )
        org = orgs[0]["id"]
        goals = [(step, f"{self._bucket}/{step.rollup}") for step in STEPS] if wish.rollups else []
        yield self._retention(org, self._bucket, wish.retention, force=wish.force)
        for _, goal in goals:
            yield self._retention(org, goal, wish.rollup_retention, force=wish.force)
        mapped = self._api.ask("GET", "/api/v2/dbrps", {"orgID": org, "db": self._bucket})["content"]
        yield self._mapping(org, self._bucket, OWN, mapped, force=wish.force)
        for step, goal in goals:
            yield self._mapping(org, goal, step.rollup, mapped, force=wish.force)
        for step, goal in goals:
            for measurement in MEASUREMENTS:
                yield self._task(org, query_name(measurement, step.rollup), flux(self._bucket, goal, measurement, step))

    def _find(self, org: str, bucket: str) -> dict[str, Any] | None:
        found = self._api.ask("GET", "/api/v2/buckets", {"orgID": org, "name": bucket}, empty=(404,)) or {}
        return next((each for each in found.get("buckets", []) if each["name"] == bucket), None)

    def _retention(self, org: str, bucket: str, wished: int, *, force: bool) -> Planned:
        rules = [{"type": "expire", "everySeconds": wished}] if wished != FOR_EVER else []
        has = self._find(org, bucket)
        if has is None:
            body = {"orgID": org, "name": bucket, "retentionRules": rules}
            return self._does(Item("bucket", bucket, "made", f"keeps {spell(wished)}"), "POST", "/api/v2/buckets", body)
        expire = [rule["everySeconds"] for rule in has.get("retentionRules", []) if rule.get("type") == "expire"]
        item = keep("bucket", bucket, expire[0] if expire else FOR_EVER, wished, force=force)
        if item.state != "changed":
            return Planned(item)
        # In a change, unlike in a new bucket, 0 is for ever and no rule is "as it was".
        change = {"retentionRules": [{"type": "expire", "everySeconds": wished}]}
        return self._does(item, "PATCH", f"/api/v2/buckets/{has['id']}", change)

    def _mapping(self, org: str, bucket: str, policy: str, mapped: list[dict[str, Any]], *, force: bool) -> Planned:
        """A new mapping takes the place of an old one, so one of somebody else's is kept without `force`."""
        has = next((each for each in mapped if each["retention_policy"] == policy), None)
        there = self._find(org, bucket)
        name = f"{self._bucket}.{policy}"
        if has and there and has["bucketID"] == there["id"]:
            return Planned(Item("DBRP mapping", name, "exists", f"bucket {bucket}"))
        if has and not force:
            return Planned(Item("DBRP mapping", name, "kept", "belongs to another bucket; --force takes it over"))
        body = {"orgID": org, "database": self._bucket, "retention_policy": policy, "default": policy == OWN}
        said = _said("POST", "/api/v2/dbrps", body | {"bucketID": f"(that of {bucket})"})

        def do() -> None:
            made = self._find(org, bucket)  # only now has it an id
            if made is None:
                raise SetupError(f"the bucket {bucket} is gone; try again")
            self._api.ask("POST", "/api/v2/dbrps", body=body | {"bucketID": made["id"]})

        return Planned(Item("DBRP mapping", name, "changed" if has else "made", f"bucket {bucket}"), (said,), do)

    def _task(self, org: str, name: str, script: str) -> Planned:
        found = self._api.ask("GET", "/api/v2/tasks", {"orgID": org, "name": name})["tasks"]
        has = next((each for each in found if each["name"] == name), None)
        if has is None:
            body = {"orgID": org, "flux": script, "status": "active"}
            return self._does(Item("task", name, "made"), "POST", "/api/v2/tasks", body)
        if has["flux"].split() == script.split():
            return Planned(Item("task", name, "exists", has.get("status", "")))
        return self._does(Item("task", name, "changed"), "PATCH", f"/api/v2/tasks/{has['id']}", {"flux": script})

    def _does(self, item: Item, method: str, path: str, body: dict[str, Any]) -> Planned:
        def do() -> None:
            self._api.ask(method, path, body=body)

        return Planned(item, (_said(method, path, body),), do)


def _said(method: str, path: str, body: dict[str, Any]) -> str:
    return f"{method} {path} {msgspec.json.encode(body).decode()}"
