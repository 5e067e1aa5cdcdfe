"""What the set-up of a database consists of, whatever its dialect."""

import re
from collections.abc import Callable
from typing import Any, Final, Literal
from urllib.parse import urlencode

import msgspec
import urllib3
from msgspec import Struct

from gateway.config import Influx
from gateway.errors import GanglionError
from gateway.forward.answers import server_words, unreachable
from gateway.forward.server import CONNECT_SECONDS, authorization, make_http
from gateway.secret import secret_of

FOR_EVER: Final = 0
RETENTION: Final = "400d"
"""Of readings, where nothing else is said: a year, and some weeks to compare it with the next."""
ROLLUP_RETENTION: Final = "1830d"
"""Of roll-ups: five years. They are of single nodes too, so of homes."""
HOUR: Final = 3600
PATIENCE_SECONDS: Final = 600
"""For one statement: a day of a city is summed up in seconds, but a busy server lets wait."""


class SetupError(GanglionError):
    """A database that cannot be set up; the message says what to do."""


class Wish(Struct, frozen=True):
    """What the database should be. Durations in seconds, `FOR_EVER` for no end."""

    retention: int
    rollups: bool = True
    rollup_retention: int = FOR_EVER
    force: bool = False
    """Shorten what is kept longer than wished, and take over what belongs to something else."""
    backfill: bool = False
    """Sum up what is there already, too."""


class Item(Struct, frozen=True):
    """One thing of the database, as it is once its `Planned.do` is done."""

    what: str
    name: str
    state: Literal["exists", "made", "changed", "kept", "missing"]
    """`kept`: it is not as wished, and only --force would change it; `missing`: this server cannot have it."""
    detail: str = ""


class Planned(Struct, frozen=True):
    """An item, and what makes it so."""

    item: Item
    requests: tuple[str, ...] = ()
    """For people: statements, or method, path and body."""
    do: Callable[[], None] = lambda: None


class Api:
    """Requests to one server, with its secret."""

    def __init__(self, settings: Influx, *, bearer: bool = False) -> None:
        self.url = settings.url.rstrip("/")
        token = secret_of(settings, "token")
        self._headers = {"Authorization": f"Bearer {token}"} if bearer and token else authorization(token)
        self._http = make_http()

    def ask(
        self,
        method: str,
        path: str,
        fields: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        empty: tuple[int, ...] = (),
    ) -> Any:
        """The answer's JSON; None for an empty one, or for a status of `empty`.

        Raises Passing when nobody answers, SetupError for what the server refuses.
        """
        query = f"?{urlencode(fields)}" if fields else ""
        headers = self._headers | {"Accept": "application/json"}
        content = None
        if body is not None:
            content = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        try:
            answer = self._http.request(
                method,
                f"{self.url}{path}{query}",
                body=content,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=PATIENCE_SECONDS),
            )
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(self.url, error) from error
        if answer.status in empty:
            return None
        if answer.status not in (200, 201, 204):
            words = server_words(answer.headers, answer.data)
            right = " with a token or user that may set up databases" if answer.status in (401, 403) else ""
            raise SetupError(f"{self.url} refused {method} {path} with {answer.status}: {words}; try again{right}")
        try:
            return msgspec.json.decode(answer.data) if answer.data.strip() else None
        except msgspec.DecodeError as error:
            raise SetupError(f"{self.url} does not answer as InfluxDB does ({error}): check influx.url") from error


def keep(what: str, name: str, has: int, wished: int, *, force: bool) -> Item:
    """What becomes of the retention of something that is there: never shorter without `force`. Seconds."""
    if has == wished:
        return Item(what, name, "exists", f"keeps {spell(has)}")
    shorter = wished != FOR_EVER and (has == FOR_EVER or wished < has)
    if shorter and not force:
        return Item(what, name, "kept", f"keeps {spell(has)}; --force shortens it to {spell(wished)}")
    return Item(what, name, "changed", f"kept {spell(has)}, keeps {spell(wished)}")


def spell(seconds: int) -> str:
    """A duration for people and for InfluxQL, such as `400d`; `for ever` for none."""
    if seconds == FOR_EVER:
        return "for ever"
    return next(
        f"{seconds // unit}{name}" for name, unit in (("d", 86_400), ("h", HOUR), ("s", 1)) if not seconds % unit
    )


def unspell(duration: str) -> int:
    """Seconds of a duration as Go writes it, `9600h0m0s`; `0s` is FOR_EVER."""
    units = {"h": HOUR, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", duration))
