"""Settings that work and are weak: what others of the network or of this machine could read, change or play."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from gateway.config import Config, is_loopback
from gateway.control.token import user_name
from gateway.doctor.context import Context
from gateway.doctor.finding import NotAsked, Said, ok, some, warning
from gateway.errors import ConfigError
from gateway.files import OURS
from gateway.notify.settings import Email, Ntfy, Topic, Webhook
from gateway.secret import exposed, secret_of, secrets_of

SHORTEST: Final = 12
"""Characters of a secret that nobody finds by trying."""
SECRETS: Final = "secrets"
"""The service's file of environment variables, beside the configuration."""
TELLING: Final = re.compile(r"(?i)(^|[_-])(token|key|secret|password|passwd|pwd|sig|auth)$")
"""How a parameter of an address is called that is a secret."""


def way(context: Context) -> Iterator[Said]:
    """What leaves this machine, or comes to it, in plain text or from anybody."""
    config = context.config
    found = [*_ports(config), *_broker(config), *_databases(config), *_told(config)]
    yield from found or [ok("nothing that leaves this machine is in plain text or from anybody")]


def files(context: Context) -> Iterator[Said]:
    """What others of this machine may read."""
    folder, here = context.folder, context.path.parent
    paths = [folder, *(path for pattern in OURS for path in folder.glob(pattern))] if folder.is_dir() else []
    paths += [here / SECRETS, *_keys(context.config)]
    shown = [str(path) for path in paths if path.exists() and exposed(path.stat())]
    if shown:
        yield warning(
            f"others of this machine may read {some(shown)}", f"chmod go= {' '.join(shown[:5])}; a start mends data_dir"
        )
    else:
        yield ok("what is secret is its owner's alone")
    authority = Path(context.config.mqtt.ca).parent / "ca.key" if context.config.mqtt.ca else None
    if authority is not None and authority.exists():
        yield warning(
            f"the authority's key, {authority}, is on the gateway's machine: who takes it can be anybody",
            "take it away, to a machine without a network; the gateway needs ca.pem and its own certificate only",
        )


def secrets(context: Context) -> Iterator[Said]:
    """Such as can be found by trying. A secret that is not there is another check's business."""
    short = []
    for key, table in context.config.secretive.items():
        for name in secrets_of(table):
            try:
                value = secret_of(table, name)
            except ConfigError:
                continue
            if 0 < len(value.rpartition(":")[2]) < SHORTEST:
                short.append(f"{key}.{name}")
    if short:
        yield warning(
            f"fewer than {SHORTEST} characters: {some(short)}", "make a longer one, such as by openssl rand -hex 24"
        )
    else:
        yield ok("no secret is short")


def rights(context: Context) -> Iterator[Said]:
    """As whom the gateway runs."""
    if context.holder is None:
        raise NotAsked("no gateway runs")
    try:
        owner = Path(f"/proc/{context.holder}").stat().st_uid
    except OSError as error:
        raise NotAsked(f"this system does not tell as whom it runs: {error.strerror}") from error
    if owner == 0 and os.geteuid() == 0 and not Path("/.dockerenv").exists():
        yield warning("the gateway runs as root", "run it as a user of its own, as the service does")
    else:
        yield ok(f"the gateway runs as {user_name(owner)}")


def _ports(config: Config) -> Iterator[Said]:
    for key, port in config.ports.items():
        if port.in_the_open:
            yield warning(
                f"{key}.listen {port.listen} is reached by others in plain text",
                f"give {key}.cert and {key}.key, or {key}.plain = true behind a proxy or in a VPN",
            )


def _broker(config: Config) -> Iterator[Said]:
    mqtt = config.mqtt
    if mqtt.ca or is_loopback(mqtt.host):
        return
    what = "the password and all packs go" if mqtt.username else "all packs go, without a login,"
    yield warning(f"{what} to {mqtt.host} in plain text", "set mqtt.ca, cert and key: see docs/security.md")


def _databases(config: Config) -> Iterator[Said]:
    for key, database in config.databases.items():
        parts = urlsplit(database.url)
        if is_loopback(parts.hostname or "localhost"):
            continue
        if parts.scheme != "https":
            yield warning(f"{key}.url {database.url} is in plain text, its token too", "use https://")
        if not (database.token_env or database.token_file):
            yield warning(
                f"{key}.url {database.url} is asked without a token: anybody may write there", f"set {key}.token_file"
            )


def _told(config: Config) -> Iterator[Said]:
    for table in config.notify:
        here = f"notify.{table.name}"
        match table:
            case Webhook(url=url) | Ntfy(url=url):
                parts = urlsplit(url)
                where = f"{parts.scheme}://{parts.hostname}"
                if parts.scheme != "https" and not is_loopback(parts.hostname or "localhost"):
                    yield warning(f"{here}.url {where} is in plain text", "use https://")
                if any(TELLING.search(name) for name, _ in parse_qsl(parts.query)):
                    yield warning(
                        f"{here}.url has a secret in its address, and so has this file", f"use {here}.token_file"
                    )
                if isinstance(table, Webhook) and not any(
                    (table.secret_env, table.secret_file, table.token_env, table.token_file)
                ):
                    yield warning(f"{here}: {where} cannot tell our messages from anybody's", f"set {here}.secret_file")
            case Email(security="none", host=host) if not is_loopback(host):
                yield warning(f"{here}: mails go to {host} in plain text", "set security to starttls or tls")
            case Topic(host=host, ca="") if host and not is_loopback(host):
                yield warning(f"{here}: messages go to {host} in plain text", f"set {here}.ca")


def _keys(config: Config) -> Iterator[Path]:
    """Files of the configuration that hold a key or secret."""
    signing = [config.signing] if config.signing else []
    for table in (*config.secretive.values(), *config.ports.values(), *signing):
        names = ["key", *(f"{name}_file" for name in secrets_of(table))]
        yield from (Path(value) for name in names if (value := getattr(table, name, "")))
