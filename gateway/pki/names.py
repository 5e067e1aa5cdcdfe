"""What may be the name in a certificate: anything else would be a path, a wildcard or another line somewhere."""

import ipaddress
import re
from typing import Final

from gateway.config import NAME

RESERVED: Final = ("incident",)
"""What stands in topics where the name of a node does: who had such a name could say what only the gateway may."""

_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")


def is_name(text: str) -> bool:
    """Of a site, a node or a gateway."""
    return re.fullmatch(NAME, text) is not None


def is_host(text: str) -> bool:
    """A name in the DNS, in small letters, or an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.match(text) is not None
    return True
