"""InfluxDB 3 Core: the database and its retention. It has no roll-ups that a client could set up.

After the API reference of InfluxDB 3 Core (`/api/v3/configure/database`). A retention is given when a database is made
and cannot be changed afterwards.
"""

from collections.abc import Iterator

import msgspec

from gateway.config import Influx
from gateway.influx.plan import FOR_EVER, Api, Item, Planned, SetupError, Wish, spell

PATH = "/api/v3/configure/database"


class SetupV3:
    """Plans what is missing; nothing is changed before a `Planned.do` is called."""

    def __init__(self, settings: Influx) -> None:
        self._api = Api(settings, bearer=True)
        self._database = settings.database

    def plan(self, wish: Wish) -> Iterator[Planned]:
        """At most one thing to do."""
        if wish.retention % 3600:
            raise SetupError("--retention: 3 Core counts whole hours, such as 24h or 400d")
        found = self._api.ask("GET", PATH, {"format": "json"}) or []
        if any(each.get("iox::database") == self._database for each in found):
            yield Planned(Item("database", self._database, "exists", "3 Core cannot change how long it keeps"))
        else:
            body = {"db": self._database}
            if wish.retention != FOR_EVER:
                body["retention_period"] = spell(wish.retention)
            yield Planned(
                Item("database", self._database, "made", f"keeps {spell(wish.retention)}"),
                (f"POST {PATH} {msgspec.json.encode(body).decode()}",),
                lambda: self._api.ask("POST", PATH, body=body),
            )
        if wish.rollups:
            detail = (
                "3 Core has no continuous queries and no tasks: ask with --every, or let its processing engine do it"
            )
            yield Planned(Item("roll-ups", "15m, 1h, 1d", "missing", detail))
