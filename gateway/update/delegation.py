"""What the owner's anchor says about a signing key: that it may sign updates, and since when those before it may not.

The anchor is the key whose public part boards hold as `update.key`. It signs a delegation where there is no network; a
manifest carries that as `by`. A board that has seen a delegation refuses all with a lower serial number from then on.
"""

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from gateway.files import create
from gateway.update.errors import UpdateError

MAX_SERIAL: Final = (1 << 31) - 1
_MOST_BYTES: Final = 4096

Number = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{512}\Z")]
"""384 bytes, big-endian, in base64."""


class Delegation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As a manifest carries it, and as it stands in a file of its own."""

    serial: Annotated[int, Meta(ge=1, le=MAX_SERIAL)]
    key: Number
    """Modulus of the signing key."""
    signature: Number
    """Of the anchor, over `delegated_text`."""

    def save(self, path: Path) -> None:
        """Never replaces a file. Raises UpdateError."""
        try:
            create(path, msgspec.json.encode(self) + b"\n")
        except FileExistsError as error:
            raise UpdateError(f"{path} exists: name another file, for updates may be signed with that one") from error
        except OSError as error:
            raise UpdateError(f"{path} cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: Path) -> "Delegation":
        """Raises UpdateError."""
        try:
            with path.open("rb") as file:
                return msgspec.json.decode(file.read(_MOST_BYTES), type=cls)
        except OSError as error:
            raise UpdateError(f"{path} cannot be read: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UpdateError(f"{path} is no delegation of `ganglion update delegate`: {error}") from error


def delegated_text(serial: int, key: str) -> bytes:
    """What the anchor signs. `firmware/node/manifest.py` makes the same. It is never the text of a manifest."""
    return f"ganglion update key 1\nserial {serial}\nkey {key}\n".encode()
