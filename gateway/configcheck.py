"""What is wrong with a configuration though each of its keys is what it should be."""

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from msgspec import Struct

from gateway.errors import ConfigError
from gateway.identity import settings as identity
from gateway.near import hint
from gateway.notify import settings as notify
from gateway.secret import secret_of, secrets_of

if TYPE_CHECKING:
    from gateway.config import Config


def check(config: "Config", environ: Mapping[str, str] | None) -> None:
    """What types alone cannot say."""
    try:
        ZoneInfo(config.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = hint(config.timezone, available_timezones())
        raise ConfigError(f"timezone: there is no zone {config.timezone!r}{near}") from error
    mqtt = config.mqtt
    if bool(mqtt.cert) != bool(mqtt.key):
        raise ConfigError("mqtt.cert, mqtt.key: one needs the other")
    if mqtt.cert and not mqtt.ca:
        raise ConfigError("mqtt.ca: is missing; mqtt.cert and mqtt.key are of use with TLS only")
    if config.identity is not None:
        identity.check(config.identity, mqtt.ca)
    names = [mirror.name for mirror in config.mirror]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"mirror.name: {name!r} is there twice; give each its own")
    notify.check(config.notify, config.sites)
    _check_addresses(config)
    for key, table in config.secretive.items():
        check_secrets(key, table, environ)


def _check_addresses(config: "Config") -> None:
    for key, database in config.databases.items():
        if "@" in (re.split("[/?#]", database.url, maxsplit=3)[2:3] or [""])[0]:  # not told: it is a password
            raise ConfigError(f"{key}.url: name and password do not belong there; use {key}.token_env or token_file")
        if not re.match(r"https?://[^/\s]+", database.url):
            raise ConfigError(f"{key}.url: {database.url!r} is not http://host:port or https://host:port")
    for key, port in config.ports.items():
        if bool(port.cert) != bool(port.key):
            raise ConfigError(f"{key}.cert, {key}.key: one needs the other")


def check_secrets(key: str, table: Struct, environ: Mapping[str, str] | None = os.environ) -> None:
    """Raises ConfigError for a secret that there is not; without `environ` only for one that is given twice."""
    for name in secrets_of(table):
        try:
            if environ is not None or (getattr(table, f"{name}_env") and getattr(table, f"{name}_file")):
                secret_of(table, name, environ or {})
        except ConfigError as error:
            raise ConfigError(f"{key}.{error}") from error
