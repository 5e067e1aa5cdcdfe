"""`ganglion.toml` as frozen records. A file that is not wholly right is refused with a message that names the key."""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.airquality.tables import Region
from gateway.configcheck import check
from gateway.errors import ConfigError
from gateway.identity import settings as identity
from gateway.identity.settings import IdentityTable
from gateway.keys import refuse_unknown
from gateway.notify.settings import Notify
from gateway.secret import anchored

NAME: Final = r"[a-z0-9][a-z0-9-]{0,31}"
A_NAME: Final = "1 to 32 of a-z, 0-9 and -, not beginning with -"
"""What a site, a node or a channel may be called."""

MIRROR: Final = "mirror."

Positive = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Api = Literal["auto", "v1", "v2"]
Listen = Annotated[str, Meta(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):[0-9]{1,5}$")]


class Mqtt(Struct, frozen=True):
    """`[mqtt]`: the broker. With `ca` the connection is TLS; `cert` and `key` are the gateway's own identity."""

    host: str = "localhost"
    port: Port = 1883
    ca: str = ""
    cert: str = ""
    key: str = ""
    username: str = ""
    password_env: str = ""
    """Name of the environment variable that holds the password."""
    password_file: str = ""
    """File that holds it instead; see `gateway.secret`."""


class Influx(Struct, frozen=True):
    """`[influx]`: the database."""

    url: str = "http://localhost:8086"
    api: Api = "auto"
    """`auto` asks the server what it is."""
    database: str = "ganglion"
    """Database of 1.x and 3, bucket of 2.x."""
    org: str = ""
    token_env: str = ""
    """Name of the environment variable that holds the token (2.x, 3) or `user:password` (1.x)."""
    token_file: str = ""
    """File that holds it instead; see `gateway.secret`."""
    batch_lines: Positive = 5000
    flush_ms: Annotated[int, Meta(ge=0)] = 1000
    """How long a batch that is not full may wait for more."""


class Mirror(Influx, frozen=True, kw_only=True):
    """`[[mirror]]`: a further database that gets the same, at its own pace."""

    name: Annotated[str, Meta(pattern=rf"^{NAME}\Z")]

    @property
    def consumer(self) -> str:
        """Its name in the journal, and before its keys where something is wrong with one."""
        return f"{MIRROR}{self.name}"


class JournalSettings(Struct, frozen=True):
    """`[journal]`: the store on disk."""

    max_bytes: Positive = 2**30


class Detect(Struct, frozen=True):
    """`[detect]`: what becomes an incident."""

    plan: str = ""
    """File of streets and zones; see gateway/detect/plan.py. Absolute after `load`."""
    budget: Annotated[float, Meta(ge=0)] = 1.0
    """Alarms a node-month that may be told; critical ones always are."""


class Http(Struct, frozen=True):
    """`[http]`: health and metrics."""

    listen: Listen = "127.0.0.1:8080"
    cert: str = ""
    """PEM file of a certificate and those between it and its authority. With it, and `key`, the port is HTTPS."""
    key: str = ""
    plain: bool = False
    """Whether plain text is meant, where others than this machine reach it: behind a proxy, or within a VPN."""

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def in_the_open(self) -> bool:
        """Whether others than programs of this machine reach it in plain text, and nobody said that this is meant."""
        return not (is_loopback(self.address[0]) or self.cert or self.plain)

    @property
    def here(self) -> tuple[str, int]:
        """Where programs of this machine reach it."""
        host, port = self.address
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port

    @property
    def url(self) -> str:
        """The same, as a URL without an end."""
        host, port = self.here
        return f"http{'s' if self.cert else ''}://{f'[{host}]' if ':' in host else host}:{port}"


class Console(Http, frozen=True):
    """`[console]`: the operators' pages and the interfaces that only read. Without the table there are none."""

    listen: Listen = "127.0.0.1:8090"
    link: str = ""
    """Its address as people reach it, for links in messages: `https://console.example`."""
    read: Literal["", "anyone", "login"] = ""
    """Who may look: anyone who reaches the port, or who has logged in. Empty: anyone while it listens on this machine
    alone and has no `link`, for it shows single homes. To act always takes a login."""

    @property
    def open(self) -> bool:
        """Whether anyone may look."""
        return self.read == "anyone" or (not self.read and is_loopback(self.address[0]) and not self.link)


class Citizens(Http, frozen=True):
    """`[citizens]`: the public's page and feeds. Without the table there are none."""

    listen: Listen = "127.0.0.1:8091"
    link: str = ""
    """Its address as people reach it, for feeds and messages: `https://city.example`."""
    title: str = "City news"
    contact: str = ""
    """Of who answers for it: `mailto:duty@city.example`. Web Push needs one."""
    air_index: Region = "europe"
    """Whose air quality index is shown."""


class North(Struct, frozen=True):
    """`[north]`: what other systems of the city are told. What they ask for is at the console's address."""

    home_assistant: bool = False
    """Whether nodes are announced to Home Assistant, at the broker."""
    home_assistant_prefix: Annotated[str, Meta(pattern=r"^[^/+#\s\0]+(/[^/+#\s\0]+)*\Z")] = "homeassistant"
    """The topic below which it listens for announcements."""
    home_assistant_meters: bool = False
    """Whether the water meters of homes are announced too."""


class Signing(Struct, frozen=True):
    """`[signing]`: the identity that signs incidents and heads of the audit log. Without it they are not signed."""

    cert: str
    key: str
    """PEM files of `ganglion pki signer`. Absolute after `load`."""


class Privacy(Struct, frozen=True):
    """`[privacy]`: how long the gateway itself keeps what may be of people. The database has its own retention."""

    keep_days: Positive = 400
    """Incidents that have ended, and nodes that are not heard any more."""
    letters_days: Positive = 30
    """Dead letters, and messages that were not taken: they hold what was sent, whole."""


class Config(Struct, frozen=True):
    """The whole file."""

    sites: Annotated[tuple[Annotated[str, Meta(pattern=rf"^{NAME}\Z")], ...], Meta(min_length=1)]
    data_dir: str
    """Absolute after `load`; relative in the file means relative to the file."""
    timezone: str = "UTC"
    """IANA name of where the sites are: for hours of rules, days of reports and times on pages."""
    exercise: bool = False
    """Whether everything told is marked as an exercise: for a simulated city."""
    mqtt: Mqtt = Mqtt()
    influx: Influx = Influx()
    journal: JournalSettings = JournalSettings()
    detect: Detect = Detect()
    http: Http = Http()
    console: Console | None = None
    citizens: Citizens | None = None
    north: North = North()
    signing: Signing | None = None
    privacy: Privacy = Privacy()
    identity: IdentityTable | None = None
    mirror: tuple[Mirror, ...] = ()
    notify: tuple[Notify, ...] = ()

    @property
    def databases(self) -> dict[str, Influx]:
        """By what stands before their keys."""
        return {"influx": self.influx, **{mirror.consumer: mirror for mirror in self.mirror}}

    @property
    def ports(self) -> dict[str, Http]:
        """What is listened on, by table."""
        found = {"http": self.http, "console": self.console, "citizens": self.citizens}
        return {key: port for key, port in found.items() if port is not None}

    @property
    def secretive(self) -> dict[str, Struct]:
        """Tables that can have secrets, by what stands before their keys."""
        return {"mqtt": self.mqtt, **self.databases, **{f"notify.{each.name}": each for each in self.notify}}


def load(path: Path, environ: Mapping[str, str] | None = os.environ) -> Config:
    """Read and check a configuration. Raises ConfigError that names file, key and cure.

    Without `environ` the secrets are not asked for: enough to look into the journal.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        cure = "run this as the gateway's user" if isinstance(error, PermissionError) else "give the file with --config"
        raise ConfigError(f"{path} cannot be read: {error.strerror}; {cure}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    try:
        refuse_unknown(table, Config)
        config = msgspec.convert(table, Config)
        if config.data_dir == "":
            raise ConfigError("data_dir: is empty; name the folder of the gateway's journal")
        config = _anchored(config, path.parent.absolute())
        check(config, environ)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$")
        raise ConfigError(f"{path}: {_in_words(where.strip('`').lstrip('.'), reason)}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return config


def _anchored(config: Config, folder: Path) -> Config:
    """With every file and folder that is relative below this one."""
    detect = config.detect
    return msgspec.structs.replace(
        config,
        data_dir=str(folder / config.data_dir),
        mqtt=anchored(config.mqtt, folder),
        influx=anchored(config.influx, folder),
        detect=msgspec.structs.replace(detect, plan=str(folder / detect.plan) if detect.plan else ""),
        http=anchored(config.http, folder),
        console=config.console and anchored(config.console, folder),
        citizens=config.citizens and anchored(config.citizens, folder),
        signing=config.signing and anchored(config.signing, folder),
        identity=config.identity and identity.absolute(config.identity, folder),
        mirror=tuple(anchored(mirror, folder) for mirror in config.mirror),
        notify=tuple(anchored(table, folder) for table in config.notify),
    )


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, which nobody else reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_words(key: str, reason: str) -> str:
    """What the library says of a key, where a person would not understand it, in other words."""
    if missing := re.fullmatch(r"Object missing required field `(.+)`", reason):
        return f"{key}{'.' if key else ''}{missing[1]}: is missing"
    if "matching regex" in reason:
        listen = 'is no address and port, such as "127.0.0.1:8080" or "[::1]:8080"'
        topic = "is no topic: write levels between /, without +, # and spaces, such as homeassistant"
        name = f"is no name: that is {A_NAME}"
        reason = {"listen": listen, "nodes": listen, "home_assistant_prefix": topic}.get(key.rpartition(".")[2], name)
    return f"{key or 'the file'}: {reason}"
