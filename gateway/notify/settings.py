"""`[[notify]]`: who is told of which incidents, when, and by what way."""

import re
from collections.abc import Collection
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.cap.kinds import KINDS
from gateway.errors import ConfigError
from gateway.near import hint
from gateway.notify.hours import DAYS, DIGEST, DURATION, SPAN, minutes_of, span_of
from gateway.records import Severity

Event = Literal["opened", "confirmed", "turned", "closed", "acknowledged"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Port = Annotated[int, Meta(ge=1, le=65535)]


class Table(Struct, frozen=True, kw_only=True, tag_field="via"):
    """What all have in common. Empty lists of names mean: all."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]
    kinds: tuple[str, ...] = ()
    severity: Severity = "info"
    """At least."""
    sites: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    """Of the plan."""
    nodes: tuple[str, ...] = ()
    hours: str = ""
    """`07:00-19:00`, may pass midnight: when it is told at all. Empty: always."""
    days: tuple[Day, ...] = ()
    """On which `hours` begin."""
    quiet: str = ""
    """`22:00-06:00`: then critical ones alone; the rest comes at its end, together."""
    digest: str = ""
    """`07:30`, once a day, or `15m`: everything together."""
    after: str = ""
    """`15m`: only of what nobody has acknowledged so long after it was known."""
    updates: tuple[Event, ...] = ("opened", "turned", "closed")
    late: str = "6h"
    """What is first heard of with newest evidence older than this wakes nobody. Empty: nothing is too old."""

    @property
    def via(self) -> str:
        """By what way, as the configuration says it."""
        return str(self.__struct_config__.tag)


class Webhook(Table, frozen=True, kw_only=True, tag="webhook"):
    """An HTTP server that takes a POST."""

    url: str
    secret_env: str = ""
    """Names the variable with the key of signatures; `whsec_` and base64, or any text."""
    secret_file: str = ""
    """File with it instead; so below. See `gateway.secret`."""
    token_env: str = ""
    """Names the variable with a bearer token."""
    token_file: str = ""
    format: Literal["json", "cap"] = "json"
    """`cap`: a CAP 1.2 document of each incident."""


class Email(Table, frozen=True, kw_only=True, tag="email"):
    to: Annotated[tuple[str, ...], Meta(min_length=1)]
    sender: str = msgspec.field(name="from")
    host: str = "localhost"
    port: Port = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    ca: str = ""
    """PEM file of the authority of the server's certificate; empty: those of the machine. Absolute after `load`."""
    username: str = ""
    password_env: str = ""
    password_file: str = ""


class Topic(Table, frozen=True, kw_only=True, tag="mqtt"):
    """A topic of a broker: the gateway's, where `host` is empty."""

    topic: str
    retained: bool = False
    host: str = ""
    port: Port = 1883
    ca: str = ""
    cert: str = ""
    key: str = ""
    username: str = ""
    password_env: str = ""
    password_file: str = ""


class Ntfy(Table, frozen=True, kw_only=True, tag="ntfy"):
    topic: Annotated[str, Meta(min_length=1)]
    url: str = "https://ntfy.sh"
    token_env: str = ""
    token_file: str = ""


Notify = Webhook | Email | Topic | Ntfy

_FORMS: Final = {
    "hours": (SPAN, '"07:00-19:00"'),
    "quiet": (SPAN, '"22:00-06:00"'),
    "digest": (DIGEST, '"07:30" or "15m"'),
    "after": (DURATION, '"15m", "2h" or "1d"'),
    "late": (DURATION, '"15m", "6h" or "1d"'),
}
_ADDRESS: Final = re.compile(r"[^@\s<>,]+@[^@\s<>,]+")


def check(tables: Collection[Notify], sites: Collection[str]) -> None:
    """What types alone cannot say. Raises ConfigError that names the key and the nearest known name."""
    names = [table.name for table in tables]
    for table in tables:
        here = f"notify.{table.name}"
        if names.count(table.name) > 1:
            raise ConfigError(f"notify.name: {table.name!r} is there twice; give each its own")
        known(f"{here}.kinds", table.kinds, KINDS)
        known(f"{here}.sites", table.sites, sites)
        for key, (form, example) in _FORMS.items():
            if (value := getattr(table, key)) and not form.fullmatch(value):
                raise ConfigError(f"{here}.{key}: {value!r} is not like {example}")
        if not table.updates:
            raise ConfigError(f"{here}.updates: is empty: nothing would be told; take the table away instead")
        hours, quiet = span_of(table.hours), span_of(table.quiet)
        if hours and quiet and all(minute in quiet for minute in minutes_of(hours)):
            raise ConfigError(f"{here}.quiet: all of {table.hours} is quiet: nothing but critical would ever be told")
        _check_way(table, here)


def _check_way(table: Notify, here: str) -> None:
    match table:
        case Webhook(url=url) | Ntfy(url=url):
            if not re.match(r"https?://[^/\s]+", url):
                raise ConfigError(f"{here}.url: {url!r} is not http://host or https://host")
            if "@" in re.split("[/?#]", url, maxsplit=3)[2]:
                raise ConfigError(f"{here}.url: name and password before the host are not sent; use token_file")
        case Email():
            for address in (*table.to, table.sender):
                if not _ADDRESS.fullmatch(address):
                    raise ConfigError(f"{here}: {address!r} is no address such as duty@city.example")
            if table.username and table.security == "none":
                raise ConfigError(f"{here}.security: a password is not sent in the clear; use starttls or tls")
        case Topic():
            if not table.topic or re.search(r"[#+\0]", table.topic) or table.topic.startswith("$"):
                raise ConfigError(f"{here}.topic: {table.topic!r} is no topic to publish on: no +, no #, no $ first")
            if not table.host and (table.ca or table.username):
                raise ConfigError(f"{here}.host: is missing; without it the broker is that of [mqtt], with its login")
            if bool(table.cert) != bool(table.key) or (table.cert and not table.ca):
                raise ConfigError(f"{here}: cert, key and ca: each of the first needs the other and ca")


def known(key: str, names: Collection[str], there: Collection[Any]) -> None:
    """Raises ConfigError for a name that is not there."""
    for name in names:
        if name not in there:
            raise ConfigError(f"{key}: there is no {name!r}{hint(name, there)}")


DAY_NUMBERS: Final = {day: number for number, day in enumerate(DAYS)}
"""0 is Monday, as in Python."""
