"""`[identity]`: whether and how the gateway issues identities to nodes, and takes them back."""

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from gateway.errors import ConfigError

Address = Annotated[str, Meta(pattern=r"^((\[[0-9a-fA-F:]+\]|[^:\s]+):[0-9]{1,5})?$")]
_FILES: Final = ("issuer", "crl", "ca_crl", "cert", "key")


class IdentityTable(Struct, frozen=True):
    """Without the table nothing is issued or taken back here. Files are absolute after `load`."""

    issuer: str = ""
    """Folder with `cert.pem` and `key.pem` of the authority that is for nodes only."""
    days: Annotated[int, Meta(ge=1, le=3650)] = 90
    """How long a node's certificate holds."""
    crl: str = ""
    """File that the gateway writes and the broker reads: all that holds no more, of both authorities."""
    ca_crl: str = ""
    """The off-line authority's own list, put here by a person. It is looked at again whenever it changes."""
    listen: Address = ""
    """Address of enrolment by token (EST). Empty: none."""
    cert: str = ""
    """Identity of that port, signed by the authority that nodes believe."""
    key: str = ""
    nodes: Address = ""
    """Address of the broker's listener for nodes, as they reach it: for hints."""
    messages_per_s: Annotated[float, Meta(ge=0)] = 10.0
    """Of one node, in the long run. What is more puts it on hold. 0: nobody is."""
    burst: Annotated[int, Meta(ge=1)] = 600
    """Messages that a node may send beyond that, having been quiet before."""
    hold_minutes: Annotated[float, Meta(gt=0, le=525_600)] = 15.0
    """For which it is on hold then."""


def absolute(table: IdentityTable, folder: Path) -> IdentityTable:
    """With its files below the folder of the configuration."""
    files = {key: str(folder / value) for key in _FILES if (value := getattr(table, key))}
    return msgspec.structs.replace(table, **files)


def check(table: IdentityTable, ca: str) -> None:
    """What types alone cannot say; `ca` is `mqtt.ca`. Raises ConfigError that names the key."""
    for key, why in (
        ("issuer", "name the folder with cert.pem and key.pem of the issuer, as `ganglion pki init` makes it"),
        ("crl", "name the file that the broker reads as its crlfile; without it nothing can be taken back"),
        ("ca_crl", "name a copy of the authority's crl.pem; without it the broker would refuse all that ca.pem signed"),
    ):
        if not getattr(table, key):
            raise ConfigError(f"identity.{key}: is missing; {why}")
    if table.crl == table.ca_crl:
        raise ConfigError("identity.crl: is the file of identity.ca_crl, which would be overwritten; name another")
    if not ca:
        raise ConfigError("mqtt.ca: is missing; [identity] needs the authority that signed the nodes' certificates")
    if bool(table.cert) != bool(table.key):
        raise ConfigError("identity.cert, identity.key: one needs the other")
    if table.listen and not table.cert:
        raise ConfigError("identity.cert: is missing; identity.listen needs it, as tokens are sent over TLS alone")
