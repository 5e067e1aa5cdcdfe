"""Who may change a running gateway over HTTP: whoever may read its `data_dir`, and so no web page.

The gateway writes a new token there at each start; the commands read it. The lock of the journal tells whether a
gateway runs at all.
"""

import fcntl
import hmac
import pwd
import secrets
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError
from gateway.files import PRIVATE, replace

TOKEN_FILE: Final = "control.token"
LOCK_FILE: Final = "journal.lock"


def issue(folder: Path) -> str:
    """Write a new token into `data_dir`, for its owner alone, and return it. Raises ConfigError."""
    token = secrets.token_urlsafe(32)
    path = folder / TOKEN_FILE
    try:
        replace(path, f"{token}\n".encode("ascii"), PRIVATE)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}; give the gateway its data_dir") from error
    return token


def token(folder: Path) -> str:
    """The token of the gateway that runs. Raises ConfigError for whoever may not read it."""
    path = folder / TOKEN_FILE
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}; run this as the gateway's user, beside a gateway that runs"
        ) from error


def allows(token: str, header: str) -> bool:
    """Whether an `Authorization` header carries the token."""
    scheme, _, given = header.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def is_held(folder: Path) -> bool:
    """Whether a gateway, or another program, has the journal in `folder` open for writing. Raises ConfigError."""
    path = folder / LOCK_FILE
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        raise ConfigError(f"{path} cannot be opened: {error.strerror}; run this as the gateway's user") from error
    return False


def user_name(number: int) -> str:
    """Of a user of this machine; its number where it has no name, as in containers."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
