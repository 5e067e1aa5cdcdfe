"""Secrets: from an environment variable, or from a file that nobody else may read. Never from the configuration itself.

A table with a secret `password` has the keys `password_env` and `password_file`, of which one is given, or none.
"""

import base64
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct, structs

from gateway.errors import ConfigError

ENV: Final = "_env"
FILE: Final = "_file"
MOST_BYTES: Final = 65_536
"""Of a file: what is larger is no secret, but a mistake."""
TLS_FILES: Final = ("ca", "cert", "key")

SHORTEST: Final = 6
"""Characters of a secret that is looked for in what is told: shorter ones are in any text."""
HIDDEN: Final = "[secret]"

T = TypeVar("T", bound=Struct)

_given: set[str] = set()
"""Every secret that this process has been given, in each form in which it leaves."""


def secret(variable: str, environ: Mapping[str, str] = os.environ) -> str:
    """The value of an environment variable; empty when none is named. Raises ConfigError when it is not set."""
    if variable and variable not in environ:
        raise ConfigError(f"the environment variable {variable} is not set: set it, or change the key that names it")
    return _remembered(environ[variable]) if variable else ""


def redacted(text: str) -> str:
    """Without any secret of this process: a server that is asked with one may send it back in what it answers."""
    for each in sorted(_given, key=len, reverse=True):
        text = text.replace(each, HIDDEN)
    return text


def secret_of(table: Struct, name: str, environ: Mapping[str, str] = os.environ) -> str:
    """The secret `name` (`password`, `token`, `secret`) of a table of the configuration; empty when it has none.

    A file is read each time, so a new one counts from the next connection on. Raises ConfigError, whose words begin
    with the key, and never with anything of the secret.
    """
    variable, file = getattr(table, name + ENV), getattr(table, name + FILE)
    if variable and file:
        raise ConfigError(f"{name}{ENV}, {name}{FILE}: both are given; take one away")
    key = name + (FILE if file else ENV)
    try:
        return secret_in(Path(file)) if file else secret(variable, environ)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error


def secrets_of(table: Struct) -> Iterator[str]:
    """Names of the secrets that a table can have."""
    for field in structs.fields(type(table)):
        if field.name.endswith(ENV):
            yield field.name.removesuffix(ENV)


def anchored(table: T, folder: Path) -> T:
    """With its files (TLS, secrets) below the folder of the configuration, where they are relative."""
    names = [field.name for field in structs.fields(type(table))]
    files = {
        name: str(folder / value)
        for name in names
        if (name in TLS_FILES or name.endswith(FILE)) and (value := getattr(table, name))
    }
    return structs.replace(table, **files)


def exposed(status: os.stat_result) -> bool:
    """Whether others than its owner may read or write a file. The group of root is no other: systemd's credentials
    have it, and let the service's user in by a list beside."""
    mode = stat.S_IMODE(status.st_mode)
    return bool(mode & 0o007 or (mode & 0o070 and status.st_gid != 0))


def _remembered(value: str) -> str:
    if len(value) >= SHORTEST:
        _given.update((value, base64.b64encode(value.encode()).decode()))
        password = value.partition(":")[2]  # of InfluxDB 1.x
        if len(password) >= SHORTEST:
            _given.add(password)
    return value


def secret_in(path: Path) -> str:
    """What a file holds, without the end of its line. Raises ConfigError, also when others may read it."""
    try:
        with path.open("rb") as file:
            if exposed(os.fstat(file.fileno())):
                raise ConfigError(f"{path} may be read by others: chmod 600 {path}")
            data = file.read(MOST_BYTES + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; it must belong to who runs this") from error
    except UnicodeDecodeError as error:
        # Not the error itself: it has the bytes.
        raise ConfigError(f"{path} is no text in UTF-8 from byte {error.start} on: write the secret anew") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or "\0" in text or len(data) > MOST_BYTES:
        raise ConfigError(f"{path} holds no secret: it is empty, too long, or no text; write the secret into it")
    return _remembered(text)
